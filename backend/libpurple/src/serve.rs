//! One connection to a daemon, from its first PING to its end: frames to sessions, libpurple's events to frames.
//!
//! There is one [`Server`] in a process. GLib's loop calls it when the daemon's socket is ready, when libpurple told
//! something, and when a moment has come that it asked for; nothing else does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use spectrum2_backend_protocol::{
    BackendConfig, Buddy, Capabilities, ConnectionError, Extensions, Frame, Login, Logout, Problem, Stats,
    extension,
};

use crate::html;
use crate::link::{Link, LinkError};
use crate::log;
use crate::purple::{self, AccountId, Dialog, Event, Protocol, Typing, event_loop, os};
use crate::request;
use crate::session::{self, ANY, LoginError, Session, disconnected};
use crate::settings::Settings;
use crate::store::Store;

/// A daemon asks every 20 seconds whether we are there; one that stops hangs.
const NO_PING: Duration = Duration::from_secs(90);
/// The kernel ends a process whose loop stood still for so long.
const HUNG: u32 = 60;
/// How often the two above are looked at.
const CHECK: Duration = Duration::from_secs(10);
/// Settings that changed are written so soon.
const SAVE: Duration = Duration::from_secs(1);
/// How long a login waits for another process to let go of the account, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// All that the process serves.
struct Server {
    settings: Settings,
    /// What the transport is called, in the process's title.
    name: String,
    link: Link,
    watched: Option<(bool, event_loop::Source)>,
    sessions: HashMap<String, Session>,
    by_account: HashMap<AccountId, String>,
    /// Logins of accounts that another process still has: until when to try.
    waiting: Vec<(Instant, Login)>,
    /// What the daemon understands beyond Spectrum 2.
    acknowledges: bool,
    hears_problems: bool,
    hears_of_rooms: bool,
    /// Why no login can work.
    problem: Option<String>,
    greeted: bool,
    last_ping: Instant,
    unsaved: Option<Instant>,
    timer: Option<Instant>,
    initial_memory: i32,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Serves a daemon until the connection or the process ends.
///
/// # Errors
/// The socket cannot be used.
pub fn run(settings: Settings, name: String, socket: OwnedFd, problem: Option<String>) -> io::Result<()> {
    let server = Server {
        settings,
        name,
        link: Link::new(socket)?,
        watched: None,
        sessions: HashMap::new(),
        by_account: HashMap::new(),
        waiting: Vec::new(),
        acknowledges: false,
        hears_problems: false,
        hears_of_rooms: false,
        problem,
        greeted: false,
        last_ping: Instant::now(),
        unsaved: None,
        timer: None,
        initial_memory: memory().0,
    };
    server.show_title();
    SERVER.with_borrow_mut(|place| *place = Some(server));
    purple::on_event(|| with_server(|_| ()));
    event_loop::on_termination(|| with_server(|server| server.finish("Asked to stop")));
    os::rearm_alarm(HUNG);
    event_loop::every(CHECK, || {
        os::rearm_alarm(HUNG);
        with_server(Server::check_daemon);
    });
    with_server(|_| ());
    event_loop::run()
}

/// Does something with the server, and then all that follows from it.
fn with_server(action: impl FnOnce(&mut Server)) {
    SERVER.with(|place| {
        // Nobody calls from inside: callbacks of libpurple only queue. Should it happen all the same, the event stays
        // queued and is found when the outer call ends.
        if let Ok(mut place) = place.try_borrow_mut()
            && let Some(server) = place.as_mut()
        {
            action(server);
            server.settle();
        }
    });
}

impl Server {
    /// Handles what libpurple told meanwhile and what is due, writes, and sees to it that we are called again.
    fn settle(&mut self) {
        let mut out = Vec::new();
        while let Some(event) = purple::next_event() {
            self.event(event, &mut out);
        }
        let now = Instant::now();
        for session in self.sessions.values_mut() {
            session.tick(now, &mut out);
        }
        self.retry_logins(&mut out);
        if self.unsaved.is_some_and(|due| due <= now) {
            self.unsaved = None;
            self.sessions.values_mut().for_each(Session::save);
        }
        self.send_all(out);
        if let Err(error) = self.link.flush() {
            self.lost(&error);
        }
        self.watch();
        self.set_timer(now);
    }

    fn send_all(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            if self.is_understood(&frame)
                && let Err(error) = self.link.send(&frame)
            {
                self.lost(&error);
            }
        }
    }

    /// Whether the daemon announced that it knows such frames.
    const fn is_understood(&self, frame: &Frame) -> bool {
        match frame {
            Frame::Result(_) => self.acknowledges,
            Frame::Problem(_) => self.hears_problems,
            _ => true,
        }
    }

    /// Watches the socket for what is of interest now.
    fn watch(&mut self) {
        let writing = self.link.is_waiting();
        if self.watched.as_ref().is_none_or(|(watched, _)| *watched != writing) {
            let source = event_loop::watch(self.link.fd(), writing, |readable| {
                with_server(|server| {
                    if readable {
                        server.readable();
                    }
                });
            });
            self.watched = Some((writing, source));
        }
    }

    fn set_timer(&mut self, now: Instant) {
        let look = (!self.waiting.is_empty()).then(|| now + LOOK);
        let deadlines =
            self.sessions.values().filter_map(Session::next_deadline).chain(self.unsaved).chain(look);
        let Some(next) = deadlines.min() else { return };
        if self.timer.is_some_and(|timer| timer <= next) {
            return;
        }
        self.timer = Some(next);
        event_loop::after(next.saturating_duration_since(now) + Duration::from_millis(1), move || {
            with_server(|server| {
                if server.timer == Some(next) {
                    server.timer = None;
                }
            });
        });
    }

    fn readable(&mut self) {
        let frames = match self.link.receive() {
            Ok(frames) => frames,
            Err(error) => return self.lost(&error),
        };
        let mut out = Vec::new();
        if !self.greeted && !frames.is_empty() {
            self.greeted = true;
            out.push(Frame::BackendConfig(BackendConfig { config: self.capabilities().to_string() }));
        }
        for frame in frames {
            self.frame(frame, &mut out);
            // In the order in which things happened: what libpurple said to one frame goes before the next.
            while let Some(event) = purple::next_event() {
                self.event(event, &mut out);
            }
        }
        self.send_all(out);
    }

    fn capabilities(&self) -> Capabilities {
        let protocol = Protocol::find(&self.settings.protocol);
        let irc = self.settings.protocol == "prpl-irc";
        let extensions = [extension::ACK, extension::ERASE, extension::PROBLEM, extension::ROOMS];
        let extensions = extensions.map(str::to_owned).into();
        Capabilities {
            need_password: Some(!protocol.is_some_and(Protocol::needs_no_password)),
            password_optional: Some(protocol.is_some_and(Protocol::password_is_optional)),
            need_registration: Some(!self.settings.server_mode && !irc),
            receipts: Some(false),
            muc: Some(true),
            rawxml: Some(false),
            disable_jid_escaping: Some(false),
            // RFC 2811 §2.1: a name without one of these is a nick.
            room_prefixes: Some(if irc { "#&+!" } else { "" }.to_owned()),
            // RFC 2812 §1.3, RFC 7622 §3.3.
            caseless_rooms: Some(irc || self.settings.protocol == "prpl-jabber"),
            extensions,
            ..Capabilities::default()
        }
    }

    fn frame(&mut self, frame: Frame, out: &mut Vec<Frame>) {
        let now = Instant::now();
        match frame {
            Frame::Ping => {
                self.last_ping = now;
                out.push(Frame::Pong);
                out.push(self.stats());
            }
            Frame::Extensions(extensions) => self.extensions(&extensions, out),
            Frame::Exit => self.finish("The daemon wants this process to end"),
            Frame::Login(login) => self.login(login, out),
            Frame::Logout(logout) => {
                self.waiting.retain(|(_, login)| login.user != logout.user);
                if let Some(session) = self.remove(&logout.user) {
                    session.logout(out);
                }
            }
            Frame::Erase(account) => self.erase(&account),
            Frame::StatusChanged(status) => {
                self.with(&status.user_name, |session| session.set_status(&status));
            }
            Frame::BuddyChanged(buddy) => {
                self.with(&buddy.user_name, |session| session.change_contact(&buddy, now));
            }
            Frame::BuddyRemoved(buddy) => {
                if let Some(session) = self.sessions.get_mut(&buddy.user_name) {
                    session.remove_contact(&self.settings, &buddy);
                }
            }
            Frame::ConvMessage(message) => {
                self.with(&message.user_name, |session| session.send_message(&message, now, out));
            }
            Frame::Attention(message) => {
                self.with(&message.user_name, |session| session.send_attention(&message, now, out));
            }
            Frame::BuddyTyping(buddy) => self.typing(&buddy, Typing::Composing),
            Frame::BuddyTyped(buddy) => self.typing(&buddy, Typing::Paused),
            Frame::BuddyStoppedTyping(buddy) => self.typing(&buddy, Typing::Stopped),
            Frame::VCard(vcard) => {
                if let Some(session) = self.sessions.get_mut(&vcard.user_name) {
                    session.profile_frame(&self.settings, vcard, out);
                }
            }
            Frame::JoinRoom(room) => {
                let tells = self.hears_of_rooms;
                self.with(&room.user_name, |session| session.join_room(&room, tells, now, out));
            }
            Frame::LeaveRoom(room) => {
                self.with(&room.user_name, |session| session.leave_room(&room.room, now, out));
            }
            Frame::RoomNicknameChanged(room) => {
                self.with(&room.user_name, |session| session.change_nick(&room));
            }
            Frame::RoomInvite(invitation) => {
                self.with(&invitation.user_name, |session| session.invite(&invitation, out));
            }
            Frame::RoomCommand(command) => {
                self.with(&command.user_name, |session| session.moderate(&command, out));
            }
            Frame::ListRooms(request) => {
                self.with(&request.user_name, |session| session.list_rooms(out));
            }
            Frame::RoomSubjectChanged(message) => self.with(&message.user_name, |session| {
                session.set_topic(&message, out);
            }),
            // BUDDIES was not asked for; the rest is what backends send, or not known.
            _ => {}
        }
    }

    fn with(&mut self, user: &str, action: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(user) {
            action(session);
            session.account.flush();
        }
    }

    fn typing(&mut self, buddy: &Buddy, typing: Typing) {
        self.with(&buddy.user_name, |session| session.send_typing(&buddy.buddy_name, typing));
    }

    fn extensions(&mut self, extensions: &Extensions, out: &mut Vec<Frame>) {
        let has = |name: &str| extensions.names.iter().any(|other| other == name);
        self.acknowledges = has(extension::ACK);
        self.hears_problems = has(extension::PROBLEM);
        self.hears_of_rooms = has(extension::ROOMS);
        purple::take_invitations(self.hears_of_rooms);
        if let Some(text) = &self.problem {
            out.push(Frame::Problem(Problem { text: text.clone(), fatal: Some(true) }));
        }
    }

    fn login(&mut self, login: Login, out: &mut Vec<Frame>) {
        if self.sessions.get(&login.user).is_some_and(|session| session.is_same(&login))
            || self.waiting.iter().any(|(_, waiting)| *waiting == login)
        {
            return;
        }
        // Another name or password: the daemon knows of one session only, which is this one then.
        self.waiting.retain(|(_, waiting)| waiting.user != login.user);
        if let Some(session) = self.remove(&login.user) {
            session.logout(out);
        }
        self.try_login(login, Instant::now() + PATIENCE, out);
    }

    fn try_login(&mut self, login: Login, until: Instant, out: &mut Vec<Frame>) {
        let (protocol, name) = session::resolve(&self.settings.protocol, &login.legacy_name);
        if self.sessions.values().any(|session| session.has_account(protocol, name)) {
            let text = format!("The account {name} is in use by another user of this transport");
            return out.push(disconnected(&login.user, ConnectionError::InvalidUsername.into(), &text));
        }
        match Session::start(&self.settings, &login) {
            Ok(session) => {
                self.by_account.insert(session.id(), login.user.clone());
                self.sessions.insert(login.user, session);
                self.show_title();
            }
            Err(LoginError::Later) if Instant::now() < until => self.waiting.push((until, login)),
            Err(LoginError::Later) => {
                let text = "The account is still in use by another process of this transport";
                out.push(disconnected(&login.user, ConnectionError::NetworkError.into(), text));
            }
            Err(LoginError::Failed(error, text)) => out.push(disconnected(&login.user, error.into(), &text)),
        }
    }

    /// Deletes what is kept of a user who is logged out for ever.
    fn erase(&self, account: &Logout) {
        let (protocol, name) = session::resolve(&self.settings.protocol, &account.legacy_name);
        if let Err(error) = Store::erase(&self.settings.state, protocol, name, &account.user) {
            log::error(format_args!("What is kept of {} is not deleted: {error}.", account.user));
        }
    }

    fn retry_logins(&mut self, out: &mut Vec<Frame>) {
        for (until, login) in std::mem::take(&mut self.waiting) {
            self.try_login(login, until, out);
        }
    }

    fn remove(&mut self, user: &str) -> Option<Session> {
        let session = self.sessions.remove(user)?;
        self.by_account.remove(&session.id());
        self.show_title();
        Some(session)
    }

    fn session(&mut self, account: AccountId) -> Option<&mut Session> {
        self.sessions.get_mut(self.by_account.get(&account)?)
    }

    fn event(&mut self, event: Event, out: &mut Vec<Frame>) {
        let now = Instant::now();
        match event {
            Event::SignedOn(account) => {
                let rooms = self.hears_of_rooms;
                if let Some(session) = self.session(account) {
                    session.signed_on(out);
                    if rooms {
                        session.seek_bookmarks(now);
                    }
                }
            }
            Event::ConnectionError(account, reason, text) => self.session_ended(account, reason, &text, out),
            Event::SignedOff(account) => {
                let text = "The network ended the session";
                self.session_ended(account, ConnectionError::NetworkError.into(), text, out);
            }
            Event::SettingsChanged => {
                self.unsaved.get_or_insert(now + SAVE);
            }
            Event::Dialog(account, id, dialog) => self.asked(account, id, dialog, out),
            Event::Notice(account, html) => self.notice(account, html::from_network(&html).plain, out),
            Event::OpenUri(account, uri) => self.notice(account, format!("Open this page: {uri}"), out),
            Event::Authorize(account, who, id) => {
                let user = self.by_account.get(&account);
                if let Some(session) = user.and_then(|user| self.sessions.get_mut(user)) {
                    session.authorization_requested(&self.settings, &who, id, out);
                }
            }
            Event::ContactChanged(account, name) => {
                self.of(account, |session| session.contact_changed(&name, now));
            }
            Event::Message(message) => self.of(message.account, |session| session.received(&message, out)),
            Event::Typing(account, name, typing) => {
                self.of(account, |session| session.typing(&name, typing, out));
            }
            Event::Attention(account, name) => self.of(account, |session| session.attention(&name, out)),
            Event::UserInfo(account, who, facts) => {
                self.of(account, |session| session.profile_arrived(&who, &facts, out));
            }
            Event::Participants(account, room, participants) => {
                self.of(account, |session| session.participants(&room, participants, out));
            }
            Event::ParticipantRenamed(account, room, old, new) => {
                self.of(account, |session| session.participant_renamed(&room, &old, new, out));
            }
            Event::ParticipantsLeft(account, room, leavers) => {
                self.of(account, |session| session.participants_left(&room, leavers, out));
            }
            Event::RoomJoined(account, room) => {
                self.of(account, |session| session.room_joined(&room, now, out));
            }
            Event::RoomRefused(account, room, reason, text) => {
                self.of(account, |session| session.room_refused(&room, reason, &text, out));
            }
            Event::NickRefused(account, reason, text) => {
                self.of(account, |session| session.nick_refused(reason, &text, out));
            }
            Event::RoomLeft(account, room, departure) => {
                self.of(account, |session| session.room_left(&room, departure, out));
            }
            Event::RoomVacated(account, room, nick) => {
                self.of(account, |session| session.room_vacated(&room, &nick, now, out));
            }
            Event::Invited(account, room, who, text, password) => {
                self.of(account, |session| session.invited(room, &who, &text, password, out));
            }
            Event::Card(account, number, from, card) => {
                self.of(account, |session| session.card_arrived(number, &from, &card, out));
            }
            Event::ChatsChanged(account) => self.of(account, |session| session.chats_changed(now)),
            Event::Bookmarks(account, found) => {
                self.of(account, |session| session.bookmarks_found(found, now));
            }
            Event::Denied(account, names, denial) => {
                self.of(account, |session| session.network_denied(&names, &denial, out));
            }
            Event::Answered(account, number) => {
                self.of(account, |session| session.network_answered(number, out));
            }
            Event::RoomAnswered(account, room, number, answer) => {
                self.of(account, |session| session.room_answered(&room, number, answer, out));
            }
            Event::Banned(account, room, mask) => self.of(account, |session| session.banned(&room, mask)),
            Event::Hosts(account, hosts) => self.of(account, |session| session.host_known(hosts)),
            Event::RoomList(account, rooms) => {
                self.of(account, |session| session.rooms_listed(rooms, out));
            }
            Event::RoomJoinFailed(account, room) => {
                self.of(account, |session| session.room_join_failed(&room, out));
            }
            Event::Topic(account, room, topic, who) => {
                self.of(account, |session| session.topic_changed(&room, &topic, &who, out));
            }
        }
    }

    /// Does something with the session of an account; an account that was logged out meanwhile has none.
    fn of(&mut self, account: AccountId, action: impl FnOnce(&mut Session)) {
        if let Some(session) = self.session(account) {
            action(session);
        }
    }

    fn session_ended(&mut self, account: AccountId, reason: i32, text: &str, out: &mut Vec<Frame>) {
        let user = self.by_account.get(&account).cloned();
        if let Some(session) = user.and_then(|user| self.remove(&user)) {
            session.end(reason, text, out);
        }
    }

    fn asked(
        &mut self,
        account: Option<AccountId>,
        id: purple::DialogId,
        dialog: Dialog,
        out: &mut Vec<Frame>,
    ) {
        let user = account.and_then(|account| self.by_account.get(&account));
        match user.and_then(|user| self.sessions.get_mut(user)) {
            Some(session) => session.asked(&self.settings, id, dialog, out),
            // Questions about certificates name no account.
            None => {
                let answer = request::decide(&dialog, self.settings.verify_certs);
                id.answer(&answer.unwrap_or(purple::Answer::Cancel));
            }
        }
    }

    /// If libpurple does not say whom a notice is for, it is given only where there is no doubt: to the only user.
    fn notice(&self, account: Option<AccountId>, text: String, out: &mut Vec<Frame>) {
        let named = account.and_then(|account| self.sessions.get(self.by_account.get(&account)?));
        let mut all = self.sessions.values();
        match (named, all.next(), all.next()) {
            (Some(session), ..) | (None, Some(session), None) => session.tell(text, out),
            _ => log::debug(format_args!("A notice of the network cannot be given to one of several users")),
        }
    }

    fn check_daemon(&mut self) {
        if self.last_ping.elapsed() > NO_PING {
            self.finish("The daemon has not asked for a sign of life for 90 seconds; it hangs");
        }
    }

    fn lost(&mut self, error: &LinkError) {
        self.finish(&error.to_string());
    }

    /// Logs everybody out and ends the process: its users belong to the connection.
    fn finish(&mut self, reason: &str) {
        log::info(format_args!("{reason}: logging out {} users", self.sessions.len()));
        let mut out = Vec::new();
        for (_, session) in self.sessions.drain() {
            session.logout(&mut out);
        }
        // What was not sent is said to be so, if the daemon still listens.
        out.retain(|frame| self.is_understood(frame));
        for frame in &out {
            let _ = self.link.send(frame);
        }
        let _ = self.link.flush();
        os::end(0);
    }

    fn stats(&self) -> Frame {
        let (resident, shared) = memory();
        Frame::Stats(Stats {
            res: resident,
            init_res: self.initial_memory,
            shared,
            id: std::process::id().to_string(),
        })
    }

    fn show_title(&self) {
        let users = self.sessions.len();
        let plural = if users == 1 { "" } else { "s" };
        os::set_title(&format!("spectrum2 backend {}: {users} user{plural}", self.name));
    }
}

/// Resident and shared memory in KiB.
fn memory() -> (i32, i32) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    let mut fields = text.split_whitespace().skip(1).map(|field| field.parse::<i64>().unwrap_or(0));
    let mut next = || i32::try_from(fields.next().unwrap_or(0) * page / 1024).unwrap_or(i32::MAX);
    (next(), next())
}

/// Why no login can work with this protocol, if so.
pub fn missing_plugin(protocol: &str) -> Option<String> {
    if protocol == ANY || Protocol::find(protocol).is_some() {
        return None;
    }
    let mut present: Vec<_> = purple::protocols().into_iter().map(Protocol::id).collect();
    present.sort();
    Some(format!(
        "service.protocol: libpurple has no plugin {protocol:?}. Install the package that brings it, or use one of these: {}.",
        present.join(", ")
    ))
}
