//! What prpl-irc leaves to us: lines that fit, and names that are names.

/// RFC 1459 §2.3: 512 bytes with the line end.
const LINE: usize = 510;
/// What the server puts before a message on its way to the receiver: `:nick!user@host `, with a nick of up to 30 bytes,
/// a user of up to 11 and a host of up to 63.
const PREFIX: usize = 1 + 30 + 1 + 11 + 1 + 63 + 1;
/// CTCP ACTION adds `\x01ACTION ` and `\x01`.
const ACTION: usize = 9;

/// Cuts a message into lines that arrive whole: one for each line of the text, longer ones at blanks, or between
/// characters where there is none. Empty lines are left out: IRC cannot send them.
///
/// `/me` at the start of a line makes it an action, as XEP-0245 §3 and IRC's own clients have it.
pub fn lines(target: &str, text: &str) -> Vec<String> {
    let room = LINE - PREFIX - ACTION - "PRIVMSG  :".len();
    let room = room.saturating_sub(target.len()).max(64);
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(action) = line.strip_prefix("/me ") {
            lines.extend(split(action, room).map(|part| format!("\u{1}ACTION {part}\u{1}")));
        } else {
            lines.extend(split(line, room).map(str::to_owned));
        }
    }
    lines
}

/// Pieces of at most `room` bytes.
fn split(mut line: &str, room: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        line = line.trim_end_matches(['\r', ' ']);
        if line.trim().is_empty() {
            return None;
        }
        if line.len() <= room {
            return Some(std::mem::take(&mut line));
        }
        let longest = (0..=room).rev().find(|place| line.is_char_boundary(*place)).unwrap_or(room);
        let (head, _) = line.split_at(longest);
        // A blank in the first half would make short lines of long words.
        let cut = head.rfind(' ').filter(|blank| *blank > longest / 2).unwrap_or(longest);
        let (piece, rest) = line.split_at(cut);
        line = rest.strip_prefix(' ').unwrap_or(rest);
        Some(piece)
    })
}

/// Whether a text can be a nick or channel: anything else would be read as further parameters of the command.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(':')
        && !text.contains(|c: char| c == ' ' || c == ',' || c.is_control())
}

/// The mask by which somebody is banned: his host, as people on IRC do; if that is the user's own too, as it is for all who
/// come by one gateway, user and host; else his nick. `known` is nick, user and host of those who are known.
pub fn mask(nick: &str, own: &str, known: &[(String, String, String)]) -> String {
    let find = |who: &str| known.iter().find(|(known, ..)| known.eq_ignore_ascii_case(who));
    let usual = |text: &str| is_name(text) && !text.contains(['!', '@', '*', '?']);
    match (find(nick), find(own)) {
        (Some((_, user, host)), own) if usual(user) && usual(host) => match own {
            Some((_, _, own_host)) if own_host != host => format!("*!*@{host}"),
            Some((_, own_user, _)) if own_user != user => format!("*!{user}@{host}"),
            _ => format!("{nick}!*@*"),
        },
        _ => format!("{nick}!*@*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_hits_the_host_and_never_the_user_himself() {
        let known = |tybalt: &str| {
            let person = |text: &str| {
                let mut parts = text.split(['!', '@']).map(str::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                (next(), next(), next())
            };
            vec![person(tybalt), person("romeo!~r@gw.example.org")]
        };
        let for_tybalt = |known: &[_]| mask("Tybalt", "romeo", known);
        assert_eq!(for_tybalt(&known("tybalt!~t@capulet.example.org")), "*!*@capulet.example.org");
        assert_eq!(for_tybalt(&known("tybalt!~t@gw.example.org")), "*!~t@gw.example.org");
        assert_eq!(for_tybalt(&known("tybalt!~r@gw.example.org")), "Tybalt!*@*");
        assert_eq!(for_tybalt(&known("tybalt!~t@*")), "Tybalt!*@*");
        assert_eq!(for_tybalt(&[]), "Tybalt!*@*");
    }

    #[test]
    fn each_line_of_a_message_is_a_line() {
        assert_eq!(lines("nurse", "one\n\ntwo\r\n three"), ["one", "two", " three"]);
        assert!(lines("nurse", " \n\n").is_empty());
    }

    #[test]
    fn long_messages_arrive_whole_and_every_line_fits() {
        let words: Vec<String> = (0..900).map(|number| format!("wörd{number}")).collect();
        let text = words.join(" ");
        let lines = lines("nurse", &text);
        assert!(lines.len() > 10);
        assert!(lines.iter().all(|line| line.len() <= 510 - 108 - 10 - "nurse".len()));
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn text_without_blanks_is_cut_between_characters() {
        let text = "☂🌹é".repeat(300);
        let lines = lines("nurse", &text);
        assert!(lines.len() > 1);
        assert_eq!(lines.concat(), text);
    }

    #[test]
    fn me_is_an_action_in_each_of_its_lines() {
        assert_eq!(lines("nurse", "/me bows\nand says"), ["\u{1}ACTION bows\u{1}", "and says"]);
        let long = lines("nurse", &format!("/me {}", "bows ".repeat(200)));
        assert!(long.len() > 1 && long.iter().all(|line| line.starts_with("\u{1}ACTION ")));
    }

    #[test]
    fn only_names_are_names() {
        assert!(is_name("nurse") && is_name("#mantua"));
        assert!(
            !is_name("") && !is_name("a b") && !is_name("a,b") && !is_name(":a") && !is_name("a\r\nQUIT")
        );
    }
}
