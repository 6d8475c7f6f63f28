//! The backends' side: their life, and what they say.

use jid::BareJid;
use spectrum2_backend_protocol::{Capabilities, Extensions, Frame, Stats, extension};
use spectrum2_log::message_id;
use spectrum2_xmpp::xep_0085::ChatState;
use tracing::{debug, error, info, trace, warn};

use super::admin::{Memory, Notice};
use super::context::Context;
use super::counters::Fault;
use super::disco;
use super::event::{Action, Link, Time};
use super::pool::Stage;
use super::room_name;
use super::timer::Timer;
use super::{Gateway, HANDSHAKE, PING, SPAWN_PAUSE};

/// Backends that died whose process ids are remembered.
const CRASHED: usize = 100;

/// Backends that are lost within this time, in milliseconds, are lost together.
const TOGETHER: u64 = 1_000;

impl Gateway {
    /// Gives users who wait to backends, and asks for those that are missing.
    pub(super) fn serve_waiting(&mut self) {
        if self.cx.stopping {
            return;
        }
        while let Some((jid, link)) = self.cx.next_placed() {
            self.with(&jid, |user, cx| user.seated(cx, link));
        }
        for _ in 0..self.cx.pool.missing(self.cx.limits()) {
            let link = self.cx.pool.open(self.cx.now);
            self.cx.out.push(Action::OpenBackend(link));
        }
    }

    /// A process stands behind the link. The daemon speaks first (Spectrum 2's protocol has no other greeting).
    pub(super) fn backend_up(&mut self, link: Link) {
        let Some(backend) = self.cx.pool.get_mut(link) else {
            self.cx.out.push(Action::CloseBackend(link));
            return;
        };
        backend.stage = Stage::Shaking;
        self.cx.ping(link);
        self.cx.timers.set(Timer::Handshake(link), self.cx.now.after(HANDSHAKE));
    }

    pub(super) fn backend_busy(&mut self, link: Link, busy: bool) {
        if let Some(backend) = self.cx.pool.get_mut(link) {
            backend.busy = busy;
        }
    }

    /// It said nothing: it is given up.
    pub(super) fn handshake_late(&mut self, link: Link) {
        if self.cx.pool.get(link).is_some_and(|backend| backend.stage == Stage::Shaking) {
            self.cx.out.push(Action::CloseBackend(link));
            self.backend_down(link, "it did not answer the first ping");
        }
    }

    /// The process, or the way to it, is gone. Its users are logged in again elsewhere.
    pub(super) fn backend_down(&mut self, link: Link, reason: &str) {
        self.cx.timers.cancel(&Timer::Handshake(link));
        let Some(backend) = self.cx.pool.remove(link) else { return };
        // Several at once: something else is wrong than the users on them.
        let alone = self.cx.now.since(self.cx.last_loss) > TOGETHER || self.cx.last_loss == Time::default();
        if backend.stage == Stage::Ready {
            // A spare one that ends is no trouble, nor a sign of one.
            if !backend.users.is_empty() {
                warn!(
                    backend = link.0,
                    pid = backend.pid,
                    users = backend.users.len(),
                    reason,
                    message_id = message_id::BACKEND_CRASHED,
                    "a backend is gone; its users are logged in again"
                );
                self.cx.crashed(backend.pid, reason);
            }
            for jid in &backend.users {
                self.with(jid, |user, cx| user.backend_lost(cx, link, alone.then_some(backend.solo)));
            }
            if !backend.users.is_empty() {
                self.cx.last_loss = self.cx.now;
            }
            self.cx.timers.set_once(Timer::Spawn, self.cx.now.after(1_000));
            return;
        }
        self.cx.pool.failures = self.cx.pool.failures.saturating_add(1);
        self.cx.counters.fault(Fault::Backend);
        let pause = (1_000_u64 << self.cx.pool.failures.min(6)).min(SPAWN_PAUSE);
        warn!(
            backend = link.0,
            reason,
            pause_s = pause / 1_000,
            message_id = message_id::BACKEND_UNAVAILABLE,
            "no backend could be started; trying again"
        );
        self.cx.problem = Some(format!("no backend can be started ({reason})"));
        let pause = self.cx.jitter(pause);
        self.cx.timers.set(Timer::Spawn, self.cx.now.after(pause));
    }

    /// Asks for signs of life, gives up the dead, closes those that nobody needs.
    pub(super) fn ping_backends(&mut self) {
        self.cx.timers.set(Timer::Ping, self.cx.now.after(PING));
        self.cx.out.push(Action::Measure);
        self.cx.prune_in_time();
        // Here, so that a reload changes it.
        match u64::from(self.cx.config.service.memory_collector_time) {
            0 => self.cx.timers.cancel(&Timer::Collect),
            seconds => self.cx.timers.set_once(Timer::Collect, self.cx.now.after(seconds * 1_000)),
        }
        let check = self.cx.pool.check(self.cx.limits(), self.cx.now, self.cx.accepts_frames());
        for link in check.ping {
            self.cx.ping(link);
        }
        for link in check.idle {
            self.cx.pool.remove(link);
            self.cx.frame(link, Frame::Exit);
            self.cx.out.push(Action::CloseBackend(link));
        }
        for link in check.dead {
            self.cx.out.push(Action::CloseBackend(link));
            self.backend_down(link, "it does not answer pings");
        }
        self.cx.timers.set_once(Timer::Spawn, self.cx.now);
    }

    /// A frame from a backend.
    pub(super) fn frame(&mut self, link: Link, frame: Frame) {
        self.cx.pool.heard(link);
        match frame {
            Frame::Pong => self.pong(link),
            Frame::BackendConfig(config) => self.backend_config(link, &config.config),
            Frame::Stats(stats) => self.stats(link, &stats),
            // COMPAT(Spectrum 2): a list for nobody is for everybody.
            Frame::RoomList(list) if list.user.is_none() => {
                let most = usize::try_from(self.cx.config.service.max_room_list_size).unwrap_or(usize::MAX);
                let mut rooms = super::room::listed(&self.cx, &list.rooms, &list.names);
                rooms.truncate(most);
                self.cx.rooms = rooms;
            }
            Frame::Problem(problem) => self.problem(&problem.text, problem.fatal == Some(true)),
            frame => self.user_frame(link, frame),
        }
    }

    /// The first one makes the backend usable; the last one is the end of what it says.
    fn pong(&mut self, link: Link) {
        let Some(backend) = self.cx.pool.get_mut(link) else { return };
        backend.pongs += 1;
        let is_first = backend.stage == Stage::Shaking;
        self.heard_out();
        let Some(backend) = self.cx.pool.get_mut(link).filter(|_| is_first) else { return };
        backend.stage = Stage::Ready;
        self.cx.timers.cancel(&Timer::Handshake(link));
        self.cx.pool.failures = 0;
        self.cx.problem = None;
        self.serve_waiting();
    }

    /// What the backend needs and can do.
    fn backend_config(&mut self, link: Link, text: &str) {
        let capabilities = Capabilities::parse(text);
        let ours = [extension::ACK, extension::ERASE, extension::PROBLEM, extension::ROOMS];
        let names: Vec<String> =
            ours.into_iter().filter(|name| capabilities.has_extension(name)).map(str::to_owned).collect();
        if let Some(backend) = self.cx.pool.get_mut(link) {
            backend.acknowledges = capabilities.has_extension(extension::ACK);
            backend.rooms = capabilities.has_extension(extension::ROOMS);
            backend.erases = capabilities.has_extension(extension::ERASE);
        }
        if !names.is_empty() {
            self.cx.frame(link, Frame::Extensions(Extensions { names }));
        }
        self.cx.capabilities.merge(&capabilities);
        self.cx.hashes = disco::Hashes::compute(&self.cx.config, &self.cx.capabilities);
    }

    fn stats(&mut self, link: Link, stats: &Stats) {
        if let Some(backend) = self.cx.pool.get_mut(link) {
            backend.pid = stats.id.parse().ok();
            let kib = |number: i32| number.try_into().unwrap_or(0);
            backend.memory = Memory { resident: kib(stats.res), shared: kib(stats.shared) };
            backend.initial_memory = kib(stats.init_res);
        }
    }

    /// The backend says why it cannot work.
    fn problem(&mut self, text: &str, fatal: bool) {
        error!(problem = text, message_id = message_id::BACKEND_USELESS, "the backend cannot work");
        self.cx.problem = Some(text.to_owned());
        // Not from one that has talked to a network: a plugin that was taken over must not end the daemon.
        if fatal && !self.cx.proven {
            self.cx.out.push(Action::Misconfigured(text.to_owned()));
        }
    }

    /// A frame about one user. It counts only if he is on this backend: one backend has no say over others' users.
    fn user_frame(&mut self, link: Link, frame: Frame) {
        let Some(name) = user_of(&frame) else {
            debug!(backend = link.0, frame = frame.name(), "a frame that only the daemon sends is ignored");
            return;
        };
        let Some(user) = BareJid::new(name).ok().and_then(|jid| self.users.get_mut(&jid)) else { return };
        let pongs = self.cx.pool.get(link).map_or(0, |backend| backend.pongs);
        // What came of a session that is over must not count for the next: it may have had another password.
        let is_late =
            matches!(frame, Frame::Connected(_) | Frame::Disconnected(_)) && pongs < user.login_ping;
        if user.link() != Some(link) || is_late {
            info!(
                user = name,
                backend = link.0,
                frame = frame.name(),
                "a frame for a user who is not on this backend, or not any more, is ignored"
            );
            return;
        }
        trace!(user = name, frame = frame.name(), "{} from the backend", frame.name());
        let cx = &mut self.cx;
        match frame {
            Frame::Connected(_) => user.connected(cx, link),
            Frame::Disconnected(disconnected) => {
                user.disconnected(cx, link, &disconnected);
                cx.timers.set_once(Timer::Spawn, cx.now);
            }
            Frame::BuddyChanged(buddy) => user.buddy_changed(cx, &buddy),
            Frame::BuddyRemoved(buddy) => user.buddy_removed(cx, &buddy),
            Frame::ConvMessage(message) => user.network_message(cx, &message),
            Frame::BuddyTyping(buddy) => user.network_chat_state(cx, &buddy, ChatState::Composing),
            Frame::BuddyTyped(buddy) => user.network_chat_state(cx, &buddy, ChatState::Paused),
            Frame::BuddyStoppedTyping(buddy) => user.network_chat_state(cx, &buddy, ChatState::Active),
            Frame::AuthRequest(buddy) => user.auth_request(cx, &buddy),
            Frame::Attention(message) => user.network_attention(cx, &message),
            Frame::ConvMessageAck(message) => user.network_receipt(cx, &message),
            Frame::VCard(vcard) => user.network_vcard(cx, vcard),
            Frame::ParticipantChanged(participant) => user.participant(cx, &participant),
            Frame::RoomNicknameChanged(room) => user.room_nick_changed(cx, &room),
            Frame::RoomSubjectChanged(message) => user.room_subject(cx, &message),
            Frame::RoomJoined(room) => user.room_joined(cx, &room),
            Frame::RoomRefused(end) => user.room_refused(cx, &end),
            Frame::RoomLeft(end) => user.room_left(cx, &end),
            Frame::RoomInvite(invitation) => user.network_invitation(cx, &invitation),
            Frame::RoomList(list) => user.room_list(cx, &list),
            Frame::RoomBookmarks(list) => user.room_bookmarks(cx, &list),
            Frame::Result(result) => user.message_result(cx, &result),
            other => {
                debug!(backend = link.0, frame = other.name(), "a frame without meaning here is ignored");
            }
        }
    }
}

/// Whom a frame of a backend is about.
fn user_of(frame: &Frame) -> Option<&str> {
    Some(match frame {
        Frame::Connected(f) => &f.user,
        Frame::Disconnected(f) => &f.user,
        Frame::BuddyChanged(f)
        | Frame::BuddyRemoved(f)
        | Frame::BuddyTyping(f)
        | Frame::BuddyTyped(f)
        | Frame::BuddyStoppedTyping(f)
        | Frame::AuthRequest(f) => &f.user_name,
        Frame::ConvMessage(f)
        | Frame::RoomSubjectChanged(f)
        | Frame::Attention(f)
        | Frame::ConvMessageAck(f) => &f.user_name,
        Frame::ParticipantChanged(f) => &f.user_name,
        Frame::RoomNicknameChanged(f) | Frame::RoomJoined(f) => &f.user_name,
        Frame::RoomRefused(f) | Frame::RoomLeft(f) => &f.user_name,
        Frame::RoomInvite(f) => &f.user_name,
        Frame::VCard(f) => &f.user_name,
        Frame::RoomList(f) | Frame::RoomBookmarks(f) => f.user.as_deref()?,
        Frame::Result(f) => &f.user_name,
        _ => return None,
    })
}

impl Context {
    /// A backend with users on it died.
    fn crashed(&mut self, pid: Option<u32>, reason: &str) {
        self.counters.crashed_backends += 1;
        if self.crashed.len() >= CRASHED {
            self.crashed.pop_front();
        }
        self.crashed.extend(pid);
        self.notice_admins(Notice::BackendLost { pid, reason: reason.to_owned() });
    }

    /// The local part for a room's name; `None` if it is too long for one.
    pub(super) fn room_node(&self, name: &str) -> Option<String> {
        // COMPAT(Spectrum 2): its backends do not say whether names are the same in capitals and in small letters.
        let known =
            || matches!(self.config.service.protocol.as_str(), "prpl-irc" | "prpl-jabber" | "irc" | "xmpp");
        let caseless = self.capabilities.caseless_rooms.unwrap_or_else(known);
        room_name::node(name, self.escaping(), caseless)
    }

    /// Whether a room of the network can have this name.
    pub(super) fn is_room_name(&self, name: &str) -> bool {
        self.room_prefixes().is_empty() || self.is_no_persons_name(name)
    }

    /// Whether this name can be that of a room only.
    pub(super) fn is_no_persons_name(&self, name: &str) -> bool {
        name.starts_with(|first| self.room_prefixes().contains(first))
    }

    /// The characters with which names of rooms begin; empty where they may begin with any.
    fn room_prefixes(&self) -> &str {
        // COMPAT(Spectrum 2): its backends do not say how names begin; on IRC, RFC 2811 §2.1 does.
        let irc = matches!(self.config.service.protocol.as_str(), "prpl-irc" | "irc");
        self.capabilities.room_prefixes.as_deref().unwrap_or(if irc { "#&+!" } else { "" })
    }

    /// Whether contacts' JIDs are escaped as XEP-0106 says, or have `%` for `@`.
    pub(super) fn escaping(&self) -> bool {
        self.config.service.jid_escaping && self.capabilities.disable_jid_escaping != Some(true)
    }
}
