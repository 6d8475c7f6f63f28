//! What admins ask, on the bus and in words.

use spectrum2_config::{Change, Kind, OPTIONS, Secret};

use super::*;
use crate::gateway::admin::{Account, Answer, Refusal, Request as Wish, Right, State};

const ADMIN: &str = "service.admin_jid=escalus@verona.example\n";

fn jid(name: &str) -> BareJid {
    format!("{name}@example.org").parse().expect("a bare JID")
}

fn account(legacy_name: &str) -> Account {
    let password = Secret::new("capulet".into());
    Account { legacy_name: legacy_name.into(), password, language: "it".into() }
}

impl Stage {
    /// An admin on the bus wants something.
    #[track_caller]
    fn wish(&mut self, wish: Wish) -> Outcome {
        self.event(Event::Admin(Ticket(42), wish));
        assert_eq!(self.answers.len(), 1, "one answer for one request");
        let (ticket, outcome) = self.answers.remove(0);
        assert_eq!(ticket, Ticket(42));
        outcome
    }

    /// An admin on the bus types a line.
    #[track_caller]
    fn command(&mut self, line: &str) -> String {
        match self.wish(Wish::Command(line.into())) {
            Ok(Answer::Text(text)) => text,
            other => panic!("no text: {other:?}"),
        }
    }
}

#[test]
fn all_users_are_listed_and_on_request_only_those_who_are_there() {
    let mut stage = Stage::new();
    stage.registered("juliet@example.org", "capulet");
    stage.romeo_online();
    stage.wait(90);
    let Ok(Answer::Users(all)) = stage.wish(Wish::ListUsers { online: false }) else { panic!("no list") };
    let all: Vec<_> = all.iter().map(|u| (u.jid.as_str(), u.legacy_name.as_str(), u.state)).collect();
    assert_eq!(
        all,
        [("juliet@example.org", "capulet", State::Offline), ("romeo@example.org", "romeo", State::Online)]
    );
    let Ok(Answer::Users(online)) = stage.wish(Wish::ListUsers { online: true }) else { panic!("no list") };
    assert_eq!(online.len(), 1);
    assert_eq!(online[0].since, Some(Time(1_000)));
}

#[test]
fn a_user_who_is_not_at_hand_is_read_from_the_database() {
    let mut stage = Stage::new();
    stage.registered("juliet@example.org", "capulet");
    let Ok(Answer::User(juliet)) = stage.wish(Wish::GetUser(jid("juliet"))) else { panic!("no user") };
    assert_eq!((juliet.line.legacy_name.as_str(), juliet.line.state), ("capulet", State::Offline));
    assert_eq!(stage.wish(Wish::GetUser(jid("tybalt"))), Err(Refusal::NoSuchUser(jid("tybalt"))));
}

#[test]
fn an_admin_registers_and_unregisters() {
    let mut stage = Stage::with("\n[registration]\nenable_public_registration=0\n", OURS);
    assert_eq!(stage.wish(Wish::RegisterUser(jid("juliet"), account("capulet"))), Ok(Answer::Done));
    assert_eq!(stage.database[&jid("juliet")].registration.language, "it");
    stage.stanza(presence_from(GATEWAY, Some("subscribe")));
    assert_eq!(stage.gateway.status().registered, 1);
    assert_eq!(
        stage.wish(Wish::RegisterUser(jid("juliet"), account("other"))),
        Err(Refusal::UserExists(jid("juliet")))
    );
    assert!(matches!(
        stage.wish(Wish::RegisterUser(jid("nurse"), account(""))),
        Err(Refusal::InvalidArguments(_))
    ));
    assert_eq!(stage.wish(Wish::UnregisterUser(jid("juliet"))), Ok(Answer::Done));
    assert!(stage.database.is_empty());
    assert_eq!(stage.gateway.status().registered, 0);
    assert_eq!(stage.wish(Wish::UnregisterUser(jid("juliet"))), Err(Refusal::NoSuchUser(jid("juliet"))));
}

#[test]
fn a_name_without_password_belongs_to_the_first() {
    let mut stage = Stage::new();
    stage.registered("juliet@example.org", "capulet");
    let claim = Account { password: Secret::default(), ..account("capulet") };
    assert!(matches!(
        stage.wish(Wish::RegisterUser(jid("nurse"), claim)),
        Err(Refusal::InvalidArguments(text)) if text.contains("Somebody else")
    ));
}

#[test]
fn an_admin_logs_a_user_out_and_in() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.notices.clear();
    assert_eq!(stage.wish(Wish::LogOutUser(jid("romeo"))), Ok(Answer::Done));
    let out = stage.frame(|frame| matches!(frame, Frame::Logout(_)).then_some(()));
    assert_eq!(out.0, link);
    let reason = String::new();
    assert_eq!(stage.notices, [Notice::UserState { jid: jid("romeo"), state: State::Offline, reason }]);
    assert_eq!(stage.wish(Wish::LogInUser(jid("romeo"))), Ok(Answer::Done));
    stage.login_of("romeo@example.org");
    stage.registered("juliet@example.org", "capulet");
    assert!(
        matches!(stage.wish(Wish::LogInUser(jid("juliet"))), Err(Refusal::Failed(_))),
        "no client is there"
    );
}

#[test]
fn the_reason_of_a_refusal_is_told_and_a_retry_can_be_had_at_once() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.notices.clear();
    let gone = |message: &str, error: i32| {
        let message = Some(message.into());
        Frame::Disconnected(Disconnected { user: "romeo@example.org".into(), error, message })
    };
    stage.network(link, gone("Connection timed out.", 0));
    let Ok(Answer::User(romeo)) = stage.wish(Wish::GetUser(jid("romeo"))) else { panic!("no user") };
    assert_eq!((romeo.line.state, romeo.line.reason.as_str()), (State::Retrying, "Connection timed out"));
    assert!(romeo.line.until.is_some_and(|until| until > stage.now));
    assert_eq!(stage.wish(Wish::LogInUser(jid("romeo"))), Ok(Answer::Done));
    let (link, _) = stage.login_of("romeo@example.org");
    stage.notices.clear();
    stage.network(link, gone("Wrong password.", 2));
    let reason = "Wrong password".to_owned();
    assert_eq!(stage.notices, [Notice::UserState { jid: jid("romeo"), state: State::Refused, reason }]);
}

#[test]
fn an_export_has_everything_but_the_password() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    stage.buddy(link, "nurse", "Angelica", StatusType::Online);
    let Ok(Answer::Export(export)) = stage.wish(Wish::ExportUser(jid("romeo"))) else { panic!("no export") };
    assert_eq!(export.legacy_name, "romeo");
    assert_eq!(export.contacts[0].alias, "Angelica");
    let json = serde_json::to_string(&export).expect("plain data");
    assert!(!json.contains("juliet"), "the password is not in {json}");
}

#[test]
fn erasing_has_the_backend_forget_too() {
    let mut stage = Stage::with("", "[registration]\nneedPassword=1\n[extensions]\nname=erase\n");
    let link = stage.romeo_online();
    assert_eq!(stage.wish(Wish::EraseUser(jid("romeo"))), Ok(Answer::Done));
    stage.frames.retain(|(_, frame)| matches!(frame, Frame::Logout(_) | Frame::Erase(_)));
    let [(_, Frame::Logout(_)), (to, Frame::Erase(erase))] = stage.frames.as_slice() else {
        panic!("not logged out, then erased: {:?}", stage.frames);
    };
    assert_eq!((*to, erase.user.as_str(), erase.legacy_name.as_str()), (link, "romeo@example.org", "romeo"));
}

#[test]
fn a_backend_that_cannot_erase_is_not_passed_over_in_silence() {
    let mut stage = Stage::new();
    stage.romeo_online();
    assert!(matches!(stage.wish(Wish::EraseUser(jid("romeo"))), Err(Refusal::Failed(_))));
    assert!(stage.database.is_empty(), "what can be deleted is");
}

#[test]
fn backends_are_listed_and_their_death_is_told() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    let stats =
        spectrum2_backend_protocol::Stats { res: 9_000, init_res: 8_000, shared: 7_000, id: "4711".into() };
    stage.network(link, Frame::Stats(stats));
    let Ok(Answer::Backends(backends)) = stage.wish(Wish::ListBackends) else { panic!("no list") };
    let romeos = backends.iter().find(|backend| backend.link == link).expect("his backend");
    assert_eq!((romeos.pid, romeos.memory, romeos.state.as_str()), (Some(4711), 9_000, "ready"));
    assert_eq!(romeos.users, [jid("romeo")]);
    stage.notices.clear();
    stage.event(Event::BackendDown(link, "connection closed".into()));
    let lost = Notice::BackendLost { pid: Some(4711), reason: "connection closed".into() };
    assert_eq!(stage.notices[0], lost);
    assert_eq!(stage.command("crashed_backends"), "4711\n");
    assert_eq!(stage.command("crashed_backends_count"), "1");
}

#[test]
fn what_munin_reads() {
    let mut stage = Stage::new();
    let link = stage.romeo_online();
    assert_eq!(stage.command("status"), "Running (1 users connected using 1 backends)");
    stage.wait(45);
    assert_eq!(stage.command("uptime"), "45");
    assert_eq!(stage.command("online_users_count"), "1");
    assert_eq!(stage.command("backends_count"), "1");
    assert_eq!(stage.command("crashed_backends_count"), "0");
    assert_eq!(stage.command("crashed_backends"), "");
    stage.says(
        "<message from='romeo@example.org/orchard' to='nurse@irc.example.org' id='1' type='chat'><body>Hi</body></message>",
    );
    assert_eq!(stage.command("messages_from_xmpp"), "1");
    assert_eq!(stage.command("messages_to_xmpp"), "0");
    let stats =
        spectrum2_backend_protocol::Stats { res: 9_000, init_res: 8_000, shared: 7_000, id: "4711".into() };
    stage.network(link, Frame::Stats(stats));
    assert_eq!(stage.command("res_memory"), "18000", "9000 of the daemon, 9000 of the backend");
    assert_eq!(stage.command("shr_memory"), "11000");
    assert_eq!(stage.command("used_memory"), "7000");
    assert_eq!(stage.command("average_memory_per_user"), "1000");
}

#[test]
fn commands_in_words() {
    let mut stage = Stage::new();
    // Quirk 38: nobody is online, and nobody is made up.
    assert_eq!(stage.command("online_users"), "");
    stage.romeo_online();
    assert_eq!(stage.command("online_users"), "romeo@example.org UIN: romeo\n");
    assert_eq!(stage.command("has_online_user romeo@example.org"), "1");
    assert_eq!(stage.command("has_online_user tybalt@example.org"), "0");
    assert_eq!(stage.command("register juliet@example.org capulet secret"), "User registered");
    assert_eq!(stage.database[&jid("juliet")].registration.legacy_name, "capulet");
    assert_eq!(stage.command("register juliet@example.org x y"), "Error: User is already registered");
    assert_eq!(stage.command("unregister juliet@example.org"), "User 'juliet@example.org' unregistered.");
    assert!(
        stage
            .command("unregister juliet@example.org")
            .starts_with("Error: juliet@example.org is not registered")
    );
}

#[test]
fn errors_in_words() {
    let mut stage = Stage::new();
    for (line, answer) in [
        ("", "Error: Unknown variable or command"),
        ("nosuchcommand", "Error: Unknown variable or command"),
        ("get", "Error: Unknown variable or command"),
        ("set status 1", "Error: This variable cannot be set."),
        ("set status", "Error: Value is missing."),
        ("get help", "Error: This variable cannot be get."),
        ("get status", "Running (0 users connected using 1 backends)"),
        ("status extra", "Running (0 users connected using 1 backends)"),
        ("register juliet@example.org capulet", "Error: Argument is missing."),
        ("register juliet@example.org capulet a b", "Error: Too many arguments."),
        ("unregister", "Error: No username given."),
        ("args uptime", "Error: This is not a command."),
        ("args unregister", ""),
    ] {
        assert_eq!(stage.command(line), answer, "{line:?}");
    }
}

/// Splits as the old web pages do: at spaces, but not within quotes.
fn tokens(line: &str) -> usize {
    let mut quoted = false;
    line.split(|c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
    .count()
}

#[test]
fn lists_for_programs_have_the_columns_of_spectrum_2() {
    let mut stage = Stage::new();
    let commands = stage.command("commands");
    assert!(commands.lines().all(|line| tokens(line) == 11), "{commands}");
    assert!(commands.contains("Category: Users AccesMode: User Context: User Label: \"Unregister\"\n"));
    let variables = stage.command("variables");
    assert!(variables.lines().all(|line| tokens(line) == 13), "{variables}");
    assert_eq!(variables.lines().count() + commands.lines().count(), 21);
    let args = stage.command("args register");
    assert_eq!(args.lines().map(tokens).collect::<Vec<_>>(), [7, 7, 7]);
    assert!(args.ends_with("Type: \"password\"\n"));
    stage.file = Ok(config("[registration]\nusername_label=Nick\npassword_label=The \"word\"\n"));
    assert_eq!(stage.command("reload"), "Config reloaded");
    assert_eq!(
        stage.command("args register"),
        "username - \"Jabber ID\" Example: \"\" Type: \"string\"\n\
         legacy_username - \"Nick\" Example: \"\" Type: \"string\"\n\
         legacy_password - \"The 'word'\" Example: \"\" Type: \"password\"\n"
    );
    let help = stage.command("help");
    assert!(help.starts_with("General:\n   CMD   args - "));
    assert!(help.contains("\nMemory:\n   VAR   average_memory_per_user - "));
}

#[test]
fn an_admin_writes_to_the_gateway() {
    let mut stage = Stage::with(ADMIN.trim_start_matches("service."), OURS);
    stage.says(
        "<message from='escalus@verona.example/palace' to='irc.example.org' id='a1' type='chat'><body>status</body>\
         <active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    let answer = stage.only_stanza();
    assert_eq!(answer.attr("to"), Some("escalus@verona.example/palace"));
    assert_eq!(
        answer.child_text("body", ns::CLIENT).as_deref(),
        Some("Running (0 users connected using 1 backends)")
    );
    // Quirk 40.
    assert_eq!(answer.elements().count(), 1, "nothing of the question is in the answer");
    stage.says(
        "<message from='romeo@example.org/orchard' to='irc.example.org' type='chat'><body>online_users</body></message>",
    );
    assert_eq!(condition(&stage.only_stanza()), Some("service-unavailable"));
    stage.says("<message from='escalus@verona.example/palace' to='irc.example.org' type='error'><body>help</body></message>");
    stage.silence();
}

#[test]
fn admins_are_those_who_are_listed_from_wherever_they_are() {
    let mut stage = Stage::with("admin_jid=escalus@verona.example\nadmin_jid=Friar@Mantua.example\n", OURS);
    let mut asks = |from: &str, kind: &str, body: &str| {
        stage.stanzas.clear();
        stage.says(&format!("<message from='{from}' to='{GATEWAY}' id='m' type='{kind}'>{body}</message>"));
        stage.only_stanza()
    };
    for admin in ["escalus@verona.example/palace", "escalus@verona.example", "friar@mantua.example/cell"] {
        for kind in ["chat", "normal"] {
            let answer = asks(admin, kind, "<body>uptime</body>");
            assert_eq!((answer.attr("from"), answer.attr("to")), (Some(GATEWAY), Some(admin)));
            assert_eq!(answer.child_text("body", ns::CLIENT).as_deref(), Some("0"));
        }
    }
    let word = |answer: Element| answer.child_text("body", ns::CLIENT).unwrap_or_default().into_owned();
    let admin = "escalus@verona.example/palace";
    assert_eq!(
        word(asks(admin, "chat", "<body>  status \n </body>")),
        "Running (0 users connected using 1 backends)"
    );
    assert_eq!(word(asks(admin, "chat", "<body/>")), "Error: Unknown variable or command");
    assert_eq!(word(asks(admin, "chat", "<body>STATUS</body>")), "Error: Unknown variable or command");
    for (line, answer) in [
        ("register", "Argument is missing."),
        ("has_online_user", "Argument is missing."),
        ("args", "Argument is missing."),
        ("args nosuch", "This is not a command."),
        ("unregister", "No username given."),
        ("reload now", "Too many arguments."),
        ("register @ a b", "The username is not a bare JID."),
        ("unregister a@b/c", "The username is not a bare JID."),
    ] {
        assert_eq!(
            word(asks(admin, "chat", &format!("<body>{line}</body>"))),
            format!("Error: {answer}"),
            "{line}"
        );
    }
    for other in [
        "escalus@mantua.example/palace",
        "verona.example",
        "friar@mantua.example.org/cell",
        "escalus.verona.example",
    ] {
        assert_eq!(
            condition(&asks(other, "chat", "<body>status</body>")),
            Some("service-unavailable"),
            "{other}"
        );
    }
}

#[test]
fn a_reload_changes_what_can_change_and_names_the_rest() {
    let mut stage = Stage::with("admin_jid=escalus@verona.example\n", OURS);
    stage.file = Ok(config("vip_only=1\nvip_message=No.\nbackend_port=99\n[identity]\nname=Verona\n"));
    assert_eq!(stage.wish(Wish::Reload), Ok(Answer::Reloaded(vec!["service.backend_port".into()])));
    stage.registered("romeo@example.org", "romeo");
    stage.says(&format!("<presence from='{ROMEO}' to='{GATEWAY}'/>"));
    stage.stanza(|stanza| stanza.child_text("body", ns::CLIENT).as_deref() == Some("No."));
    stage.stanzas.clear();
    stage.says(
        "<message from='escalus@verona.example/palace' to='irc.example.org'><body>status</body></message>",
    );
    assert_eq!(condition(&stage.only_stanza()), Some("service-unavailable"), "he is no admin any more");
}

/// Of the whole table: the core that has read a file again is as one that began with it, so that nothing is kept of an
/// option that a reload changes; where a reload does not change it, it says so.
#[test]
fn after_a_reload_the_core_is_as_if_it_had_begun_with_the_file() {
    let begun =
        |config: &Arc<Config>| Gateway::new(Arc::clone(config), Time(1_000), 7).expect("a usable file");
    let seen = |gateway: &Gateway| {
        let pattern = gateway.cx.allowed_usernames.as_ref().map(ToString::to_string);
        format!("{:?} {pattern:?}", gateway.cx.hashes)
    };
    for option in OPTIONS {
        let value = match option.kind {
            Kind::Boolean => if option.default == "1" { "0" } else { "1" }.to_owned(),
            Kind::Integer { max, .. } => max.to_string(),
            Kind::Choice(words) => {
                words.iter().find(|word| **word != option.default).expect("two").to_string()
            }
            Kind::Path => "/srv/verona".to_owned(),
            Kind::Text | Kind::Secret | Kind::List => "verona".to_owned(),
        };
        // As lenient as the check of a file is strict: what it would need beside the option does not matter here.
        let text = format!("[service]\njid={GATEWAY}\nserver=127.0.0.1\nprotocol=prpl-irc\n");
        let outline = |more: &str| Arc::new(Config::outline(&format!("{text}{more}"), Path::new("irc.cfg")));
        let before = outline("");
        let after = outline(&format!("[{}]\n{}={value}\n", option.section, option.key));
        let mut reloaded = begun(&before);
        let mut actions = Vec::new();
        reloaded.handle(Time(2_000), Event::Admin(Ticket(1), Wish::Reload), &mut actions);
        reloaded.handle(Time(2_000), Event::Reload(Ok(Arc::clone(&after))), &mut actions);
        let told = actions.iter().find_map(|action| match action {
            Action::Admin(_, Ok(Answer::Reloaded(waiting))) => Some(waiting),
            _ => None,
        });
        let named = told.expect("an answer").iter().any(|name| name == option.name);
        match option.change {
            Change::Reload => {
                assert_eq!(reloaded.cx.config.changes(&after).count(), 0, "{}", option.name);
                assert_eq!(seen(&reloaded), seen(&begun(&after)), "{}", option.name);
            }
            // Those few stand above already, and a file has each of them once.
            Change::Restart
                if ["service.jid", "service.server", "service.protocol"].contains(&option.name) => {}
            Change::Restart => assert!(named, "{}", option.name),
        }
    }
}

#[test]
fn a_broken_file_changes_nothing() {
    let mut stage = Stage::with("admin_jid=escalus@verona.example\n", OURS);
    assert_eq!(stage.wish(Wish::Reload), Err(Refusal::Failed("irc.cfg cannot be read".into())));
    stage.file = Ok(config("[registration]\nusername_label=Nick\n"));
    assert_eq!(stage.command("reload"), "Config reloaded");
    stage.file = Err("irc.cfg:7: odd".into());
    assert_eq!(stage.command("reload"), "Error: irc.cfg:7: odd.");
}

#[test]
fn names_are_matched_against_the_pattern_of_the_new_file() {
    let mut stage = Stage::new();
    stage.file = Ok(config("[registration]\nallowed_usernames=[a-z]+\n"));
    assert_eq!(stage.command("reload"), "Config reloaded");
    stage.says(&format!(
        "<iq type='set' from='{ROMEO}' to='{GATEWAY}' id='r'><query xmlns='{}'><username>R0meo</username>\
         <password>x</password></query></iq>",
        ns::REGISTER
    ));
    assert_eq!(condition(&stage.stanza(iq("r"))), Some("not-acceptable"));
}

#[test]
fn requests_about_a_user_who_is_being_read_wait_for_the_database() {
    let mut stage = Stage::new();
    stage.registered("juliet@example.org", "capulet");
    let mut actions = Vec::new();
    for ticket in 0..60 {
        let wish = Wish::GetUser(jid("juliet"));
        stage.gateway.handle(stage.now, Event::Admin(Ticket(ticket), wish), &mut actions);
    }
    let refused = |action: &&Action| matches!(action, Action::Admin(_, Err(Refusal::Failed(_))));
    assert_eq!(actions.iter().filter(refused).count(), 10, "fifty may wait");
    let Some(Action::Store(token, _)) =
        actions.into_iter().find(|action| matches!(action, Action::Store(..)))
    else {
        panic!("storage was not asked");
    };
    let juliet = stage.database[&jid("juliet")].clone();
    stage.event(Event::Stored(token, Ok(crate::storage::Answer::User(Some(Box::new(juliet))))));
    assert_eq!(stage.answers.len(), 50);
}

#[test]
fn a_broken_database_is_said_to_those_who_wait() {
    let mut stage = Stage::new();
    let mut actions = Vec::new();
    stage.gateway.handle(stage.now, Event::Admin(Ticket(1), Wish::ExportUser(jid("juliet"))), &mut actions);
    let Some(Action::Store(token, _)) = actions.pop() else { panic!("storage was not asked") };
    stage.event(Event::Stored(token, Err(crate::storage::Error("The disk is full".into()))));
    assert!(matches!(stage.answers.as_slice(), [(Ticket(1), Err(Refusal::Failed(_)))]));
}

/// What a line needs a right for and what it does must be told from the same word.
#[test]
fn a_line_does_what_its_right_is_asked_for() {
    let mut stage = Stage::new();
    stage.registered("juliet@example.org", "capulet");
    for blank in ['\u{a0}', '\u{85}', '\u{2003}', '\u{b}', '\t', ' '] {
        let line = format!("{blank}unregister juliet@example.org");
        let harmless = Wish::Command(line.clone()).right() == Right::Inspect;
        let done = stage.command(&line).starts_with("User");
        assert!(!(harmless && done), "{blank:?}");
    }
}

/// Whoever may see the users sees nothing of what they keep, such as the passwords of rooms.
#[test]
fn what_a_user_keeps_is_not_shown() {
    let mut stage = Stage::new();
    stage.romeo_online();
    stage.says(&format!(
        "<iq type='set' from='{ROMEO}' to='{GATEWAY}' id='p'><query xmlns='{}'><storage xmlns='{}'>\
         <conference jid='#verona@irc.example.org'><password>rose</password></conference></storage></query></iq>",
        ns::PRIVATE,
        ns::BOOKMARKS
    ));
    assert_eq!(stage.stanza(iq("p")).attr("type"), Some("result"));
    let shown = format!("{:?}", stage.wish(Wish::GetUser(jid("romeo"))));
    assert!(!shown.contains("rose"), "{shown}");
}
