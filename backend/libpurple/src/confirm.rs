//! What the network may yet refuse: messages, subjects, invitations and moderators' commands that a plugin sends without
//! waiting for what becomes of them. The daemon is told so when the network has spoken, and not before.
//!
//! IRC answers only what it refuses, but in order: a PING follows each of them, and what the server says before the PONG
//! (RFC 2812 §3.7.2, §3.7.3) is about it. XMPP answers by the id of the stanza.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use spectrum2_backend_protocol::{ConnectionError, Frame, MessageResult};

use crate::irc;
use crate::purple::{Denial, IdPrefix};
use crate::session::Session;

/// Banned people of a room that are listed.
const MAX_NAMES: usize = 500;
/// What may wait in one session; what comes on top is taken for done.
const MAX_WAITING: usize = 200;
/// The network must have answered by then.
const ANSWER: Duration = Duration::from_secs(20);

/// What silence of the network means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It is done.
    Consent,
    /// It is not known to be done.
    Failure,
}

#[derive(Debug)]
struct Waiting {
    serial: u64,
    /// In lower case.
    room: String,
    /// Whom it concerns, if anybody.
    who: String,
    silence: Silence,
    /// `None`: not all of it is sent yet.
    until: Option<Instant>,
    /// The daemon was told that it was refused. IRC may say so again: of each line of a message.
    denied: bool,
    /// What is left to be done when the network has answered.
    rest: Rest,
}

/// What is left of something when the network has answered its first part.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    Nothing,
    /// On IRC: somebody is to be banned.
    Ban(Ban),
    /// On IRC: who is banned is to be removed as well, if he is there.
    Kick,
    /// Who is banned, as far as the network has told.
    Names(Vec<String>),
}

/// A ban that waits until the server has told the host.
#[derive(Debug)]
struct Ban {
    channel: String,
    nick: String,
    reason: String,
    /// The user's own nick.
    own: String,
    /// Nick, user and host of those who are known.
    hosts: Vec<(String, String, String)>,
}

/// All that waits in a session, the oldest first.
#[derive(Debug, Default)]
pub struct Confirmations(VecDeque<Waiting>);

impl Confirmations {
    /// When the first of them has waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|waiting| waiting.until).min()
    }

    /// The stanza id, or the parameter of PING, that stands for a serial.
    pub fn id(serial: u64) -> String {
        format!("{}{serial}", IdPrefix::TEXT)
    }
}

impl Session {
    /// The network is asked for something: the daemon learns what comes of it. Without a serial it does not want to know.
    pub(crate) fn await_network(
        &mut self,
        serial: Option<u64>,
        room: &str,
        who: &str,
        silence: Silence,
        out: &mut Vec<Frame>,
    ) {
        if self.begin_to_ask(serial, room, who, silence) {
            self.asked_for(serial, out);
        } else {
            self.accepted(serial, out);
        }
    }

    /// The first part of something is going to be sent. False: too much waits for an answer.
    pub(crate) fn begin_to_ask(
        &mut self,
        serial: Option<u64>,
        room: &str,
        who: &str,
        silence: Silence,
    ) -> bool {
        let Some(serial) = serial.filter(|_| self.confirmations.0.len() < MAX_WAITING) else { return false };
        self.confirmations.0.push_back(Waiting {
            serial,
            room: room.to_lowercase(),
            who: who.to_lowercase(),
            silence,
            until: None,
            denied: false,
            rest: Rest::Nothing,
        });
        true
    }

    /// All of it is sent; what was not begun is done.
    pub(crate) fn asked_for(&mut self, serial: Option<u64>, out: &mut Vec<Frame>) {
        let is_it = |waiting: &&mut Waiting| Some(waiting.serial) == serial;
        let Some(waiting) = self.confirmations.0.iter_mut().find(is_it) else {
            return self.accepted(serial, out);
        };
        waiting.until = Some(Instant::now() + ANSWER);
        let number = waiting.serial;
        if self.rooms.is_irc() && !self.account.send_raw(&format!("PING :{}\r\n", Confirmations::id(number)))
        {
            self.network_answered(number, out);
        }
    }

    /// It was not sent, which the daemon is told elsewhere.
    pub(crate) fn not_asked_for(&mut self, serial: Option<u64>) {
        self.confirmations.0.retain(|waiting| Some(waiting.serial) != serial);
    }

    /// The network has answered: all that it did not refuse up to here is done.
    pub fn network_answered(&mut self, serial: u64, out: &mut Vec<Frame>) {
        let Some(place) = self.confirmations.0.iter().position(|waiting| waiting.serial == serial) else {
            return;
        };
        let answered = self.confirmations.0.drain(..=place).filter(|waiting| !waiting.denied);
        for waiting in answered.collect::<Vec<_>>() {
            match waiting.rest {
                Rest::Nothing | Rest::Kick => self.accepted(Some(waiting.serial), out),
                Rest::Names(names) => self.listed(waiting.serial, names, out),
                Rest::Ban(Ban { channel, nick, reason, own, hosts }) => {
                    let mask = irc::mask(&nick, &own, &hosts);
                    let raw = format!("MODE {channel} +b {mask}\r\nKICK {channel} {nick} :{reason}\r\n");
                    self.account.send_raw(&raw);
                    self.begin_to_ask(Some(waiting.serial), &channel, &nick, waiting.silence);
                    if let Some(waiting) = self.confirmations.0.back_mut() {
                        waiting.rest = Rest::Kick;
                    }
                    self.asked_for(Some(waiting.serial), out);
                }
            }
        }
    }

    fn listed(&self, serial: u64, names: Vec<String>, out: &mut Vec<Frame>) {
        let user_name = self.user.clone();
        out.push(Frame::Result(MessageResult { user_name, serial, names, ..MessageResult::default() }));
    }

    /// Bans somebody from a channel, by his host if the server tells it.
    pub(crate) fn ban(&mut self, serial: u64, room: &str, nick: &str, reason: String, out: &mut Vec<Frame>) {
        if !self.begin_to_ask(Some(serial), room, nick, Silence::Consent) {
            let text = "Too many things are being asked of the network already";
            return self.refused(Some(serial), ConnectionError::OtherError, text, out);
        }
        let own = self.account.nick_in_room(room);
        if let Some(waiting) = self.confirmations.0.back_mut() {
            let (channel, nick, own, hosts) = (room.to_owned(), nick.to_owned(), own.clone(), Vec::new());
            waiting.rest = Rest::Ban(Ban { channel, nick, reason, own, hosts });
        }
        // RFC 2812 §4.8: his host, and the user's own, which a ban must not hit.
        self.account.send_raw(&format!("USERHOST {nick} {own}\r\n"));
        self.asked_for(Some(serial), out);
    }

    /// Asks who is banned from a room.
    pub(crate) fn list_banned(&mut self, serial: u64, room: &str, raw: &str, out: &mut Vec<Frame>) {
        let silence = Silence::Failure;
        if !self.begin_to_ask(Some(serial), room, "", silence) {
            let text = "Too many things are being asked of the network already";
            return self.refused(Some(serial), ConnectionError::OtherError, text, out);
        }
        if let Some(waiting) = self.confirmations.0.back_mut() {
            waiting.rest = Rest::Names(Vec::new());
        }
        self.account.send_raw(raw);
        self.asked_for(Some(serial), out);
    }

    /// IRC tells who is banned from a channel.
    pub fn banned(&mut self, room: &str, mask: String) {
        let room = room.to_lowercase();
        let lists = self.confirmations.0.iter_mut().filter(|waiting| waiting.room == room);
        for waiting in lists {
            if let Rest::Names(names) = &mut waiting.rest
                && names.len() < MAX_NAMES
            {
                return names.push(mask);
            }
        }
    }

    /// IRC tells user and host of somebody.
    pub fn host_known(&mut self, known: Vec<(String, String, String)>) {
        let asked = self.confirmations.0.iter_mut().find_map(|waiting| match &mut waiting.rest {
            Rest::Ban(Ban { hosts, .. }) if hosts.is_empty() => Some(hosts),
            _ => None,
        });
        if let Some(hosts) = asked {
            *hosts = known;
        }
    }

    /// The room has answered a stanza of ours.
    pub fn room_answered(
        &mut self,
        room: &str,
        serial: u64,
        answer: Result<Vec<String>, Denial>,
        out: &mut Vec<Frame>,
    ) {
        let is_it = |waiting: &Waiting| waiting.serial == serial && waiting.room == room.to_lowercase();
        let place = self.confirmations.0.iter().position(is_it);
        let Some(waiting) = place.and_then(|place| self.confirmations.0.remove(place)) else { return };
        match (answer, waiting.rest) {
            (Err(denial), _) => self.deny(waiting.serial, &denial, out),
            (Ok(mut names), Rest::Names(_)) => {
                names.truncate(MAX_NAMES);
                self.listed(waiting.serial, names, out);
            }
            (Ok(_), _) => self.accepted(Some(waiting.serial), out),
        }
    }

    /// The network refuses something that concerns these names: the oldest that does is it. Else the user is told.
    pub fn network_denied(&mut self, names: &[String], denial: &Denial, out: &mut Vec<Frame>) {
        let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let is_it = |waiting: &Waiting| names.contains(&waiting.room) || names.contains(&waiting.who);
        match self.confirmations.0.iter_mut().find(|waiting| is_it(waiting)) {
            Some(Waiting { denied: true, .. }) => {}
            Some(Waiting { rest: Rest::Kick, .. }) if !denial.no_right => {}
            Some(waiting) => {
                waiting.denied = true;
                let serial = waiting.serial;
                let partly = waiting.until.is_none();
                self.deny(serial, denial, out);
                if partly {
                    // The PING is sent all the same: it ends what the server has to say of this.
                    self.drop_lines(serial);
                    self.asked_for(Some(serial), out);
                }
            }
            None if denial.told => {}
            None => self.tell(format!("{}: {}", names.join(" "), denial.text), out),
        }
    }

    fn deny(&self, serial: u64, denial: &Denial, out: &mut Vec<Frame>) {
        out.push(Frame::Result(MessageResult {
            user_name: self.user.clone(),
            serial,
            error: Some(ConnectionError::OtherError.into()),
            text: Some(denial.text.clone()),
            denied: Some(denial.no_right),
            names: Vec::new(),
        }));
    }

    /// Gives up on what has waited long enough.
    pub fn check_confirmations(&mut self, now: Instant, out: &mut Vec<Frame>) {
        let late = |waiting: &Waiting| waiting.until.is_some_and(|until| until <= now);
        while let Some(place) = self.confirmations.0.iter().position(late) {
            let Some(waiting) = self.confirmations.0.remove(place) else { return };
            match waiting.silence {
                _ if waiting.denied => {}
                Silence::Consent => self.accepted(Some(waiting.serial), out),
                Silence::Failure => self.unanswered(&waiting, "The network did not answer", out),
            }
        }
    }

    /// The session ends: whether it was done, nobody knows.
    pub fn abandon_confirmations(&mut self, out: &mut Vec<Frame>) {
        let all = std::mem::take(&mut self.confirmations.0);
        // Of what is sent in part the rest is abandoned as it waits for its turn.
        for waiting in all.into_iter().filter(|waiting| !waiting.denied && waiting.until.is_some()) {
            self.unanswered(&waiting, "The connection to the network ended before it answered", out);
        }
    }

    fn unanswered(&self, waiting: &Waiting, text: &str, out: &mut Vec<Frame>) {
        self.refused(Some(waiting.serial), ConnectionError::NetworkError, text, out);
    }
}
