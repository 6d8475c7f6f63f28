//! Messages, both ways.
//!
//! A message of the user is acknowledged (extension `ack`) when libpurple has taken the last of it, or refused with a
//! reason. Until then the daemon keeps it, so that a crash of this process loses nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spectrum2_backend_protocol::{ConnectionError, ConversationMessage, Frame, MessageResult};

use crate::confirm::Silence;
use crate::html;
use crate::irc;
use crate::pace::Bucket;
use crate::purple::{Message, MessageKind, os};
use crate::session::{Session, is_one_line};

/// Lines of one user that may wait to be sent; what comes on top is refused.
const MAX_LINES: usize = 500;
/// prpl-irc's own figures.
const INTERVAL: u64 = 2;
const BURST: u32 = 5;
/// A message that is older than this says when it was written.
const DELAYED: i64 = 10;

/// Lines that wait for their turn, for networks that want that.
#[derive(Debug)]
pub struct Outgoing {
    bucket: Bucket,
    lines: VecDeque<Line>,
    /// When the bucket has a token again.
    next: Option<Instant>,
    by_line: bool,
}

#[derive(Debug)]
struct Line {
    target: String,
    in_room: bool,
    text: String,
    message: u64,
    /// Of the message's last line: the serial to acknowledge.
    last: Option<Option<u64>>,
}

impl Outgoing {
    /// Nothing waits. The administrator's `[purple]` figures for prpl-irc's limiter are those of ours.
    pub fn new(purple: &[(String, String)], protocol: &str) -> Self {
        let figure =
            |name: &str| purple.iter().find(|(key, _)| key == name).and_then(|(_, text)| text.parse().ok());
        let interval = figure("ratelimit-interval").unwrap_or(INTERVAL);
        let burst = figure("ratelimit-burst").and_then(|burst| burst.try_into().ok()).unwrap_or(BURST);
        Self {
            bucket: Bucket::new(Duration::from_secs(interval), burst),
            lines: VecDeque::new(),
            next: None,
            by_line: protocol == "prpl-irc",
        }
    }

    /// When the next line may go.
    pub fn deadline(&self) -> Option<Instant> {
        if self.lines.is_empty() { None } else { self.next }
    }
}

impl Session {
    /// The user wrote to a contact or room.
    pub fn send_message(&mut self, message: &ConversationMessage, now: Instant, out: &mut Vec<Frame>) {
        let name = message.buddy_name.as_str();
        let serial = message.serial;
        if self.requests.is_assistant(name) {
            self.answer_question(&message.message, out);
            return self.accepted(serial, out);
        }
        if !self.account.is_connected() {
            let text = "The message was not sent: you are not connected to the network";
            return self.refused(serial, ConnectionError::NetworkError, text, out);
        }
        if !is_one_line(name) {
            let text = "The message was not sent: the name of its receiver has control characters";
            return self.refused(serial, ConnectionError::InvalidUsername, text, out);
        }
        let in_room = self.account.is_in_room(name);
        if self.outgoing.by_line {
            return self.queue_lines(message, in_room, now, out);
        }
        let xhtml = message.xhtml.as_deref().unwrap_or_default();
        let html = html::to_network(&message.message, xhtml, self.account.takes_formatting());
        let sent =
            if in_room { self.account.send_to_room(name, &html) } else { self.account.send(name, &html) };
        match sent {
            Ok(()) if in_room => self.spoke(name, &message.message, serial, out),
            Ok(()) => self.accepted(serial, out),
            Err(number) => self.refused_by_network(name, serial, number, out),
        }
    }

    fn queue_lines(
        &mut self,
        message: &ConversationMessage,
        in_room: bool,
        now: Instant,
        out: &mut Vec<Frame>,
    ) {
        let serial = message.serial;
        // A private message to an occupant of a room is one to the nick.
        let target = message.buddy_name.rsplit('/').next().unwrap_or_default();
        if !irc::is_name(target) {
            let text = format!("The message was not sent: “{target}” is not a nick");
            return self.refused(serial, ConnectionError::InvalidUsername, &text, out);
        }
        let lines = irc::lines(target, &message.message);
        if lines.is_empty() {
            return self.accepted(serial, out);
        }
        if self.outgoing.lines.len() + lines.len() > MAX_LINES {
            let text = "The message was not sent: too many are waiting for their turn, as the network allows only so many";
            return self.refused(serial, ConnectionError::OtherError, text, out);
        }
        let number = self.outgoing.lines.back().map_or(0, |line| line.message + 1);
        let last = lines.len() - 1;
        self.outgoing.lines.extend(lines.into_iter().enumerate().map(|(place, text)| Line {
            target: target.to_owned(),
            in_room,
            text,
            message: number,
            last: (place == last).then_some(serial),
        }));
        if in_room && self.rooms.tells(target) {
            self.begin_to_ask(serial, target, "", Silence::Consent);
        }
        self.send_lines(now, out);
    }

    /// Sends the lines whose turn it is.
    pub fn send_lines(&mut self, now: Instant, out: &mut Vec<Frame>) {
        while let Some(line) = self.outgoing.lines.front() {
            if let Err(next) = self.outgoing.bucket.take(now) {
                self.outgoing.next = Some(next);
                return;
            }
            let html = html::to_network(&line.text, "", false);
            let sent = if line.in_room {
                self.account.send_to_room(&line.target, &html)
            } else {
                self.account.send(&line.target, &html)
            };
            self.account.flush();
            let Some(line) = self.outgoing.lines.pop_front() else { return };
            match (sent, line.last) {
                (Ok(()), Some(serial)) => self.asked_for(serial, out),
                (Ok(()), None) => {}
                (Err(number), _) => {
                    let serial = self.drop_rest(&line);
                    self.not_asked_for(serial);
                    self.refused_by_network(&line.target, serial, number, out);
                }
            }
        }
    }

    /// Drops what is left of a message, because the network refused its beginning.
    pub(crate) fn drop_lines(&mut self, serial: u64) {
        let is_last = |line: &&Line| line.last == Some(Some(serial));
        if let Some(message) = self.outgoing.lines.iter().find(is_last).map(|line| line.message) {
            self.outgoing.lines.retain(|line| line.message != message);
        }
    }

    /// Drops the rest of a message whose line failed, and returns its serial.
    fn drop_rest(&mut self, failed: &Line) -> Option<u64> {
        let mut last = failed.last;
        while last.is_none() {
            let Some(line) = self.outgoing.lines.pop_front() else { break };
            last = line.last;
        }
        last.flatten()
    }

    /// The session ends: what waits was not sent.
    pub fn abandon_outgoing(&mut self, out: &mut Vec<Frame>) {
        for line in std::mem::take(&mut self.outgoing.lines) {
            if let Some(serial) = line.last {
                let text = "The message was not sent: the connection to the network ended";
                self.refused(serial, ConnectionError::NetworkError, text, out);
            }
        }
    }

    pub(crate) fn accepted(&self, serial: Option<u64>, out: &mut Vec<Frame>) {
        if let Some(serial) = serial {
            let user_name = self.user.clone();
            out.push(Frame::Result(MessageResult {
                user_name,
                serial,
                error: None,
                text: None,
                denied: None,
                names: Vec::new(),
            }));
        }
    }

    pub(crate) fn refused(
        &self,
        serial: Option<u64>,
        error: ConnectionError,
        text: &str,
        out: &mut Vec<Frame>,
    ) {
        match serial {
            Some(serial) => out.push(Frame::Result(MessageResult {
                user_name: self.user.clone(),
                serial,
                error: Some(error.into()),
                text: Some(text.to_owned()),
                denied: None,
                names: Vec::new(),
            })),
            // Spectrum 2's daemon cannot be told; the user can.
            None => self.tell(text.to_owned(), out),
        }
    }

    fn refused_by_network(&self, name: &str, serial: Option<u64>, number: i32, out: &mut Vec<Frame>) {
        let reason = os::error_text(-number);
        let text = format!("The message to {name} was not sent: {reason}");
        self.refused(serial, ConnectionError::OtherError, &text, out);
    }

    /// The user wants a contact's attention.
    pub fn send_attention(&mut self, message: &ConversationMessage, now: Instant, out: &mut Vec<Frame>) {
        if self.account.is_connected() {
            self.account.send_attention(&message.buddy_name);
        }
        if !message.message.is_empty() {
            self.send_message(message, now, out);
        }
    }

    /// Somebody wrote, or the network said something about a conversation.
    pub fn received(&mut self, message: &Message, out: &mut Vec<Frame>) {
        let text = html::from_network(&message.html);
        if message.kind == MessageKind::Error
            && self.room_refused_message(&message.conversation, &text.plain, out)
        {
            return;
        }
        if matches!(message.kind, MessageKind::System | MessageKind::Error) {
            // Not as if the contact had said it.
            if message.kind == MessageKind::Error || !message.in_room {
                self.tell(format!("{}: {}", message.conversation, text.plain), out);
            }
            return;
        }
        if text.plain.is_empty() && text.xhtml.is_empty() {
            return;
        }
        if message.in_room && self.is_known_echo(message, &text.plain, out) {
            return;
        }
        let from_self = message.kind == MessageKind::SentElsewhere;
        let mut frame = if message.in_room {
            let room = self.rooms.name(&message.conversation);
            let mut frame = self.conversation_message(room, text.plain);
            frame.nickname = Some(message.who.clone());
            frame
        } else {
            let name = if from_self { &message.conversation } else { &message.who };
            let name = self.account.normalize(name);
            match name.split_once('/') {
                // A private message of an occupant of a room.
                Some((room, nick)) => {
                    let mut frame = self.conversation_message(self.rooms.name(room), text.plain);
                    if self.account.is_in_room(room) {
                        frame.nickname = Some(nick.to_owned());
                        frame.pm = Some(true);
                    }
                    frame
                }
                None => self.conversation_message(self.contacts.name(&name), text.plain),
            }
        };
        frame.xhtml = Some(text.xhtml);
        let now = if message.delayed { i64::MAX } else { now_in_seconds() };
        frame.timestamp = Some(timestamp(message.time, now));
        frame.carbon = Some(from_self && !message.in_room);
        out.push(Frame::ConvMessage(frame));
    }
}

fn now_in_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `YYYYMMDDTHHMMSS` in UTC; empty if the message is new.
fn timestamp(seconds: i64, now: i64) -> String {
    if seconds <= 0 || seconds > now - DELAYED {
        return String::new();
    }
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Years are counted from March, so that the leap day is the last day of one; eras are 400 years.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{date:02}T{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_messages_say_when_they_were_written() {
        assert_eq!(timestamp(1_795_299_786, 1_800_000_000), "20261121T222306");
        assert_eq!(timestamp(951_782_400, 1_800_000_000), "20000229T000000");
        assert_eq!(timestamp(1_000, 2_000), "19700101T001640");
    }

    #[test]
    fn new_messages_do_not() {
        assert_eq!(timestamp(1_000, 1_005), "");
        assert_eq!(timestamp(1_000, 900), "");
        assert_eq!(timestamp(-5, 900), "");
    }
}
