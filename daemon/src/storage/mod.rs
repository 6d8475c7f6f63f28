//! What the core asks of the database: plain requests and answers, in Spectrum 2's own schema.
//!
//! [`Storage`] is a queue in front of a thread; the engine behind it is SQLite. With `database.type=none` that is a
//! database in memory, so that everything works alike and nothing outlives the daemon.

mod archive;
mod place;
mod schema;
mod sqlite;
mod worker;

use jid::BareJid;
use serde::{Deserialize, Serialize};
use spectrum2_config::Secret;

pub use archive::{Archived, Lines, NewLine, Page, Wanted};
pub use worker::{Reply, Storage};

/// A registered user: one row of `users`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Row id; 0 before the row is stored.
    pub id: i64,
    /// Name on the legacy network (`uin`), after `registration.username_mask`.
    pub legacy_name: String,
    /// Password on the legacy network; empty where none is needed.
    pub password: Secret,
    /// What the registration form's `language` said; may be empty.
    pub language: String,
    /// What the registration form's `encoding` said; may be empty.
    pub encoding: String,
    /// May log in where `service.vip_only` is set.
    pub vip: bool,
}

/// A contact: one row of `buddies` and its `icon_hash` setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredContact {
    /// Name on the legacy network (`uin`), in its own letter case.
    pub legacy_name: String,
    /// Alias (`nickname`); may be empty.
    pub alias: String,
    /// Names of groups, joined by newlines in the database.
    pub groups: Vec<String>,
    /// `subscription` is `both` rather than `ask`.
    pub subscribed: bool,
    /// Bit 2: the JID is escaped as XEP-0106 says; bit 8: blocked. Other bits are kept.
    pub flags: i32,
    /// Hash of the avatar; may be empty.
    pub icon_hash: String,
}

/// Everything that is stored of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    /// The row of `users`.
    pub registration: Registration,
    /// Rows of `users_settings`: name and value.
    pub settings: Vec<(String, String)>,
    /// Rows of `buddies`.
    pub contacts: Vec<StoredContact>,
}

/// A request of the core. Each is stored wholly or not at all, and on the disk before it is answered.
#[derive(Clone, Debug)]
pub enum Request {
    /// All of one user. Answer: [`Answer::User`].
    LoadUser(BareJid),
    /// Insert the user, or update name, password, language and encoding of an existing one (never `online` or `vip`).
    /// Answer: [`Answer::Id`].
    SaveUser(BareJid, Registration),
    /// Delete the user with settings, contacts and archives. Answer: [`Answer::Done`].
    RemoveUser(i64),
    /// Remember whether the user is logged in, and when (`last_login`). Answer: [`Answer::Done`].
    SetOnline(i64, bool),
    /// Insert or update contacts of the user by their legacy names. Answer: [`Answer::Done`].
    SaveContacts(i64, Vec<StoredContact>),
    /// Delete contacts of the user by their legacy names, with their settings. Answer: [`Answer::Done`].
    RemoveContacts(i64, Vec<String>),
    /// Insert or update a setting of the user (name, Spectrum 2's type number, value). Answer: [`Answer::Done`].
    SaveSetting(i64, String, i32, String),
    /// JIDs of all users that were logged in when the daemon last ended. Answer: [`Answer::Jids`].
    OnlineUsers,
    /// JIDs of all registered users. Answer: [`Answer::Jids`].
    AllUsers,
    /// JIDs and legacy names of the registered users, but no more than so many. Answer: [`Answer::Users`].
    ListUsers(u32),
    /// How many users are registered. Answer: [`Answer::Count`].
    CountUsers,
    /// Whether another user than this one has this legacy name. Answer: [`Answer::Taken`].
    LegacyNameTaken(String, BareJid),
    /// Add messages to the archives of rooms, and keep so many of each room. Those of users who are not registered are
    /// left out. Answer: [`Answer::Done`].
    Archive(Lines, u32),
    /// A page of the archive of a user's room. Answer: [`Answer::Page`].
    ArchivePage(BareJid, String, Wanted),
    /// Id and time of the first and last message of a user's room. Answer: [`Answer::Ends`].
    ArchiveEnds(BareJid, String),
    /// The rooms that are archived for a user. Answer: [`Answer::Rooms`].
    ArchivedRooms(BareJid),
    /// Delete some of the messages beyond so many of each room, of those whose id is below this one, and of those whose
    /// owner is gone. Answer: [`Answer::More`].
    PruneArchives(u32, i64),
    /// The greatest id in all archives. Answer: [`Answer::Id`].
    NewestArchived,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The user, or `None` if not registered.
    User(Option<Box<StoredUser>>),
    /// Row id of the saved user; the id that was asked for.
    Id(i64),
    /// It is done.
    Done,
    /// A list of JIDs; rows whose `jid` is not a JID are left out (and logged).
    Jids(Vec<BareJid>),
    /// JIDs with legacy names; rows whose `jid` is not a JID are left out (and logged).
    Users(Vec<(BareJid, String)>),
    /// A number.
    Count(u64),
    /// Whether the name is taken.
    Taken(bool),
    /// A page of an archive; none if an id that was named is not in it.
    Page(Option<Page>),
    /// Id and time of the first and last message.
    Ends(Option<[(i64, u64); 2]>),
    /// Local parts of rooms, each with a number of messages.
    Rooms(Vec<(String, u64)>),
    /// Whether there is more to do.
    More(bool),
}

/// Archives for conversations with the core, which plays the rest of storage: the real engine, in memory.
#[cfg(test)]
pub struct Archives(sqlite::Sqlite);

#[cfg(test)]
impl Default for Archives {
    fn default() -> Self {
        Self(sqlite::Sqlite::in_memory().expect("a database in memory"))
    }
}

#[cfg(test)]
impl Archives {
    /// Carries out a request about archives, or the removal of a user, while these are registered.
    pub fn carry_out<'a>(
        &mut self,
        users: impl IntoIterator<Item = (i64, &'a BareJid)>,
        request: Request,
    ) -> Answer {
        self.0.set_users(users);
        self.0.carry_out(&[request]).remove(0).expect("an answer")
    }
}

/// Why storage could not answer. The text names the database, the cause and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Why storage cannot be had at all. The text names the database, the cause and what to do; which of the three it is
/// decides whether starting again can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `[database]` asks for something that cannot be.
    #[error("{0}")]
    Configuration(String),
    /// This user may not do that here.
    #[error("{0}")]
    NotPermitted(String),
    /// It may work later: the file is locked, the disk is full.
    #[error("{0}")]
    Unavailable(String),
}
