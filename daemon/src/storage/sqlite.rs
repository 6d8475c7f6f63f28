//! The SQLite engine, on Spectrum 2's own tables.
//!
//! Guarantees: a database made by Spectrum 2 is read whatever its rows hold, the schema of its tables is never changed
//! (archives get tables of their own beside them, when they are needed), and Spectrum 2 can open the file afterwards. A fresh file gets all tables in one transaction, so a crash cannot leave some of them.
//!
//! While the daemon runs, the file is in write-ahead mode (an administrator's `sqlite3` never blocks a login, and a
//! commit is one sync). A clean end puts it back into rollback mode: one plain file, as Spectrum 2 leaves it, that can
//! be copied. After a crash there is a `-wal` file beside it, which every SQLite since 3.7.0 (2010) takes in by itself.

use std::collections::HashSet;
use std::path::Path;

use jid::BareJid;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use spectrum2_config::Secret;
use tracing::{info, warn};

use super::archive::Archive;
use super::place::{BUSY_TIMEOUT, Place, claim_file};
use super::schema::{check_prefix, check_version, ensure_tables};
use super::{Answer, Error, OpenError, Registration, Request, StoredContact, StoredUser};

/// Name of the one contact setting in use, and its number in libpurple's old numbering of types (a string).
const ICON_HASH: &str = "icon_hash";
const TYPE_STRING: i32 = 13;

/// Statements about archives that are kept prepared.
const ARCHIVE_STATEMENTS: usize = 25;

/// How many odd values are reported, so that a broken table cannot fill the log.
const MAX_COMPLAINTS: usize = 100;

/// An open database.
pub(super) struct Sqlite {
    connection: Connection,
    sql: Statements,
    archive: Archive,
    place: Place,
    /// Values already reported: column and row.
    complaints: HashSet<(&'static str, i64)>,
}

impl Sqlite {
    /// Opens the file at `path`, creating it (mode 0600) and its directory (mode 0700) where they are missing.
    pub fn open(path: &Path, prefix: &str) -> Result<Self, OpenError> {
        check_prefix(prefix)?;
        let place = Place::File(path.to_owned());
        claim_file(path)?;
        let connection = Connection::open(path).map_err(|error| place.open_error(&error))?;
        Self::set_up(connection, prefix, place)
    }

    /// An empty database in memory, gone when it is dropped.
    pub fn in_memory() -> Result<Self, OpenError> {
        let connection = Connection::open_in_memory().map_err(|error| Place::Memory.open_error(&error))?;
        Self::set_up(connection, "", Place::Memory)
    }

    fn set_up(mut connection: Connection, prefix: &str, place: Place) -> Result<Self, OpenError> {
        prepare_connection(&connection).map_err(|error| place.open_error(&error))?;
        let sql = Statements::new(prefix);
        ensure_tables(&mut connection, prefix, &sql.all()).map_err(|error| place.open_error(&error))?;
        check_version(&connection, prefix, &place)?;
        let archive = Archive::new(&connection, prefix).map_err(|error| place.open_error(&error))?;
        connection.set_prepared_statement_cache_capacity(sql.all().len() + ARCHIVE_STATEMENTS);
        Ok(Self { connection, sql, archive, place, complaints: HashSet::new() })
    }

    /// Makes these the registered users.
    #[cfg(test)]
    pub fn set_users<'a>(&self, users: impl IntoIterator<Item = (i64, &'a BareJid)>) {
        self.connection.execute_batch("DELETE FROM users").expect("no users");
        for (id, jid) in users {
            let row = "INSERT INTO users (id, jid, uin, password, language) VALUES (?1, ?2, '', '', '')";
            self.connection.execute(row, params![id, jid.as_str()]).expect("a user");
        }
    }

    /// Carries requests out in one transaction; each succeeds or fails by itself.
    pub fn carry_out(&mut self, requests: &[Request]) -> Vec<Result<Answer, Error>> {
        match self.together(requests) {
            Ok(answers) => answers,
            // One request took the whole transaction down (a full disk does that), or it could not be committed.
            // Nothing was stored yet, so each can have its own transaction.
            Err(error) if requests.len() > 1 => {
                // Who has just waited for a lock in vain does not wait again; what is only read needs none.
                let locked = is_locked(&error).then(|| self.place.error(&error));
                let again = requests.iter().map(|request| match &locked {
                    Some(error) if is_write(request) => Err(error.clone()),
                    _ => self.alone(request),
                });
                again.collect()
            }
            Err(error) => requests.iter().map(|_| Err(self.place.error(&error))).collect(),
        }
    }

    fn alone(&mut self, request: &Request) -> Result<Answer, Error> {
        match self.together(std::slice::from_ref(request)) {
            Ok(mut answers) => answers.pop().unwrap_or(Ok(Answer::Done)),
            Err(error) => Err(self.place.error(&error)),
        }
    }

    /// One transaction, in it a savepoint for each request. An error means that nothing at all was stored.
    fn together(&mut self, requests: &[Request]) -> rusqlite::Result<Vec<Result<Answer, Error>>> {
        // Taking the write lock at once makes a locked database fail here, where all of it can be tried again.
        let begin = if requests.iter().any(is_write) { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.connection.execute_batch(begin)?;
        let answers = self.in_transaction(requests);
        if answers.is_err() {
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
            self.archive.look(&self.connection)?;
        }
        answers
    }

    fn in_transaction(&mut self, requests: &[Request]) -> rusqlite::Result<Vec<Result<Answer, Error>>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            self.connection.execute_batch("SAVEPOINT request")?;
            let answer = match self.answer(request) {
                Ok(answer) => Ok(answer),
                Err(error) if self.connection.is_autocommit() => return Err(error),
                Err(error) => {
                    self.connection.execute_batch("ROLLBACK TO request")?;
                    self.archive.look(&self.connection)?;
                    Err(self.place.error(&error))
                }
            };
            self.connection.execute_batch("RELEASE request")?;
            answers.push(answer);
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(answers)
    }

    fn answer(&mut self, request: &Request) -> rusqlite::Result<Answer> {
        match request {
            Request::LoadUser(jid) => self.load_user(jid).map(|user| Answer::User(user.map(Box::new))),
            Request::SaveUser(jid, registration) => self.save_user(jid, registration).map(Answer::Id),
            Request::RemoveUser(user) => self.remove_user(*user),
            Request::SetOnline(user, online) => {
                self.run(&self.sql.set_online, params![user, online])?;
                Ok(Answer::Done)
            }
            Request::SaveContacts(user, contacts) => self.save_contacts(*user, contacts),
            Request::RemoveContacts(user, names) => self.remove_contacts(*user, names),
            Request::SaveSetting(user, name, kind, value) => {
                self.need_user(*user)?;
                self.run(&self.sql.save_setting, params![user, name, kind, value])?;
                Ok(Answer::Done)
            }
            Request::OnlineUsers => self.read_jids(|sql| &sql.online_users).map(Answer::Jids),
            Request::AllUsers => self.read_jids(|sql| &sql.all_users).map(Answer::Jids),
            Request::ListUsers(limit) => self.list_users(*limit).map(Answer::Users),
            Request::CountUsers => {
                let mut statement = self.connection.prepare_cached(&self.sql.count_users)?;
                let count: i64 = statement.query_row([], |row| row.get(0))?;
                Ok(Answer::Count(count.try_into().unwrap_or(0)))
            }
            Request::LegacyNameTaken(name, jid) => {
                let mut statement = self.connection.prepare_cached(&self.sql.name_taken)?;
                statement.query_row(params![name, jid.as_str()], |row| row.get(0)).map(Answer::Taken)
            }
            Request::Archive(lines, keep) => {
                self.archive.add(&self.connection, lines, *keep)?;
                Ok(Answer::Done)
            }
            Request::ArchivePage(owner, room, wanted) => {
                self.archive.page(&self.connection, owner, room, wanted).map(Answer::Page)
            }
            Request::ArchiveEnds(owner, room) => {
                self.archive.ends(&self.connection, owner, room).map(Answer::Ends)
            }
            Request::ArchivedRooms(owner) => self.archive.rooms(&self.connection, owner).map(Answer::Rooms),
            Request::PruneArchives(keep, oldest) => {
                self.archive.prune(&self.connection, *keep, *oldest).map(Answer::More)
            }
            Request::NewestArchived => self.archive.newest(&self.connection).map(Answer::Id),
        }
    }

    fn load_user(&mut self, jid: &BareJid) -> rusqlite::Result<Option<StoredUser>> {
        let registration = {
            let mut statement = self.connection.prepare_cached(&self.sql.load_user)?;
            statement
                .query_row([jid.as_str()], |row| Ok((registration(row)?, integer(row, 5)?)))
                .optional()?
        };
        let Some((mut registration, vip)) = registration else { return Ok(None) };
        registration.vip = self.is_vip(registration.id, vip);
        let settings = {
            let mut statement = self.connection.prepare_cached(&self.sql.load_settings)?;
            let rows = statement.query_map([registration.id], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        let contacts = {
            let mut statement = self.connection.prepare_cached(&self.sql.load_contacts)?;
            let rows = statement.query_map([registration.id], contact)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        Ok(Some(StoredUser { registration, settings, contacts }))
    }

    /// COMPAT(Spectrum 2): automatic registration stored whatever was in memory as `vip` (112 is seen). Nobody meant such
    /// a user to be a VIP, so only 1 makes one.
    fn is_vip(&mut self, user: i64, vip: Option<i64>) -> bool {
        match vip {
            Some(0) => false,
            Some(1) => true,
            _ => {
                self.complain("users.vip", user, "is neither 0 nor 1; the user counts as no VIP");
                false
            }
        }
    }

    fn save_user(&self, jid: &BareJid, user: &Registration) -> rusqlite::Result<i64> {
        let known = {
            let mut statement = self.connection.prepare_cached(&self.sql.user_id)?;
            statement.query_row([jid.as_str()], |row| row.get::<_, i64>(0)).optional()?
        };
        let Registration { legacy_name, password, language, encoding, vip, .. } = user;
        let password = password.expose();
        if let Some(id) = known {
            self.run(&self.sql.update_user, params![id, legacy_name, password, language, encoding])?;
            return Ok(id);
        }
        self.run(
            &self.sql.insert_user,
            params![jid.as_str(), legacy_name, password, language, encoding, vip],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn remove_user(&self, user: i64) -> rusqlite::Result<Answer> {
        self.archive.disown(&self.connection, user)?;
        for statement in &self.sql.remove_user {
            self.run(statement, [user])?;
        }
        Ok(Answer::Done)
    }

    fn save_contacts(&self, user: i64, contacts: &[StoredContact]) -> rusqlite::Result<Answer> {
        self.need_user(user)?;
        for contact in contacts {
            let StoredContact { legacy_name, alias, subscribed, flags, icon_hash, .. } = contact;
            let groups = join_groups(&contact.groups);
            // Spectrum 2 takes every word but `both` for `ask`, and writes only these two.
            let subscription = if *subscribed { "both" } else { "ask" };
            let columns = params![user, legacy_name, subscription, alias, groups, flags];
            let id = if let Some(id) = self.contact_id(user, legacy_name)? {
                self.run(&self.sql.update_contact, columns)?;
                id
            } else {
                self.run(&self.sql.insert_contact, columns)?;
                self.connection.last_insert_rowid()
            };
            self.run(&self.sql.save_contact_setting, params![user, id, ICON_HASH, TYPE_STRING, icon_hash])?;
        }
        Ok(Answer::Done)
    }

    fn remove_contacts(&self, user: i64, names: &[String]) -> rusqlite::Result<Answer> {
        for name in names {
            for statement in &self.sql.remove_contact {
                self.run(statement, params![user, name])?;
            }
        }
        Ok(Answer::Done)
    }

    fn contact_id(&self, user: i64, name: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached(&self.sql.contact_id)?;
        statement.query_row(params![user, name], |row| row.get(0)).optional()
    }

    /// Keeps rows from being written for a user who is not there: they would belong to whoever gets the number next.
    fn need_user(&self, user: i64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&self.sql.user_exists)?;
        if statement.exists([user])? { Ok(()) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
    }

    fn read_jids(&mut self, statement: fn(&Statements) -> &String) -> rusqlite::Result<Vec<BareJid>> {
        let rows: Vec<(i64, String)> = {
            let mut statement = self.connection.prepare_cached(statement(&self.sql))?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, text(row, 1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        Ok(rows.into_iter().filter_map(|(id, jid)| self.jid(id, &jid)).collect())
    }

    fn list_users(&mut self, limit: u32) -> rusqlite::Result<Vec<(BareJid, String)>> {
        let rows: Vec<(i64, String, String)> = {
            let mut statement = self.connection.prepare_cached(&self.sql.list_users)?;
            let rows = statement.query_map([limit], |row| Ok((row.get(0)?, text(row, 1)?, text(row, 2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        Ok(rows.into_iter().filter_map(|(id, jid, name)| Some((self.jid(id, &jid)?, name))).collect())
    }

    /// The JID in a row of `users`.
    fn jid(&mut self, row: i64, jid: &str) -> Option<BareJid> {
        BareJid::new(jid)
            .map_err(|error| {
                self.complain("users.jid", row, &format!("is not a JID ({error}); the row is skipped"));
            })
            .ok()
    }

    fn run(&self, statement: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(statement)?.execute(parameters)
    }

    /// Reports an odd value once. The value itself is not shown: it may be anything, also a password gone astray.
    fn complain(&mut self, column: &'static str, row: i64, what: &str) {
        if self.complaints.len() < MAX_COMPLAINTS && self.complaints.insert((column, row)) {
            warn!("{}: {column} of the row with id {row} {what}.", self.place);
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Fails while somebody else has the file open; then it stays in write-ahead mode, which does no harm.
        self.connection.flush_prepared_statement_cache();
        if let Err(error) = self.connection.execute_batch("PRAGMA journal_mode = DELETE") {
            info!("{} stays in write-ahead mode: {error}.", self.place);
        }
    }
}

/// The texts of all statements, with the prefix glued in once.
struct Statements {
    load_user: String,
    load_settings: String,
    load_contacts: String,
    user_id: String,
    user_exists: String,
    update_user: String,
    insert_user: String,
    set_online: String,
    contact_id: String,
    update_contact: String,
    insert_contact: String,
    save_contact_setting: String,
    save_setting: String,
    online_users: String,
    all_users: String,
    list_users: String,
    count_users: String,
    name_taken: String,
    remove_user: [String; 4],
    remove_contact: [String; 2],
}

impl Statements {
    fn new(p: &str) -> Self {
        Self {
            load_user: format!(
                "SELECT id, uin, password, language, encoding, vip FROM {p}users WHERE jid = ?1 ORDER BY id LIMIT 1"
            ),
            load_settings: format!(
                "SELECT var, value FROM {p}users_settings WHERE user_id = ?1 ORDER BY var"
            ),
            load_contacts: format!(
                "SELECT c.uin, c.subscription, c.nickname, c.\"groups\", c.flags, s.value FROM {p}buddies c \
                 LEFT JOIN {p}buddies_settings s ON s.buddy_id = c.id AND s.var = '{ICON_HASH}' \
                 WHERE c.user_id = ?1 ORDER BY c.id"
            ),
            user_id: format!("SELECT id FROM {p}users WHERE jid = ?1 ORDER BY id LIMIT 1"),
            user_exists: format!("SELECT 1 FROM {p}users WHERE id = ?1"),
            update_user: format!(
                "UPDATE {p}users SET uin = ?2, password = ?3, language = ?4, encoding = ?5, \
                 last_login = DATETIME('NOW') WHERE id = ?1"
            ),
            insert_user: format!(
                "INSERT INTO {p}users (jid, uin, password, language, encoding, last_login, vip) \
                 VALUES (?1, ?2, ?3, ?4, ?5, DATETIME('NOW'), ?6)"
            ),
            set_online: format!(
                "UPDATE {p}users SET online = ?2, last_login = DATETIME('NOW') WHERE id = ?1"
            ),
            contact_id: format!(
                "SELECT id FROM {p}buddies WHERE user_id = ?1 AND uin = ?2 ORDER BY id LIMIT 1"
            ),
            update_contact: format!(
                "UPDATE {p}buddies SET subscription = ?3, nickname = ?4, \"groups\" = ?5, flags = ?6 \
                 WHERE user_id = ?1 AND uin = ?2"
            ),
            insert_contact: format!(
                "INSERT INTO {p}buddies (user_id, uin, subscription, nickname, \"groups\", flags) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            ),
            save_contact_setting: format!(
                "INSERT OR REPLACE INTO {p}buddies_settings (user_id, buddy_id, var, type, value) \
                 VALUES (?1, ?2, ?3, ?4, ?5)"
            ),
            save_setting: format!(
                "INSERT OR REPLACE INTO {p}users_settings (user_id, var, type, value) VALUES (?1, ?2, ?3, ?4)"
            ),
            online_users: format!("SELECT id, jid FROM {p}users WHERE online <> 0 ORDER BY id"),
            all_users: format!("SELECT id, jid FROM {p}users ORDER BY id"),
            list_users: format!("SELECT id, jid, uin FROM {p}users ORDER BY id LIMIT ?1"),
            count_users: format!("SELECT count(*) FROM {p}users"),
            name_taken: format!("SELECT EXISTS (SELECT 1 FROM {p}users WHERE uin = ?1 AND jid <> ?2)"),
            remove_user: [
                format!("DELETE FROM {p}buddies_settings WHERE user_id = ?1"),
                format!("DELETE FROM {p}buddies WHERE user_id = ?1"),
                format!("DELETE FROM {p}users_settings WHERE user_id = ?1"),
                format!("DELETE FROM {p}users WHERE id = ?1"),
            ],
            remove_contact: [
                format!(
                    "DELETE FROM {p}buddies_settings WHERE buddy_id IN \
                     (SELECT id FROM {p}buddies WHERE user_id = ?1 AND uin = ?2)"
                ),
                format!("DELETE FROM {p}buddies WHERE user_id = ?1 AND uin = ?2"),
            ],
        }
    }

    fn all(&self) -> Vec<&str> {
        let Self { remove_user, remove_contact, .. } = self;
        [
            &self.load_user,
            &self.load_settings,
            &self.load_contacts,
            &self.user_id,
            &self.user_exists,
            &self.update_user,
            &self.insert_user,
            &self.set_online,
            &self.contact_id,
            &self.update_contact,
            &self.insert_contact,
            &self.save_contact_setting,
            &self.save_setting,
            &self.online_users,
            &self.all_users,
            &self.list_users,
            &self.count_users,
            &self.name_taken,
        ]
        .into_iter()
        .chain(remove_user)
        .chain(remove_contact)
        .map(String::as_str)
        .collect()
    }
}

fn is_write(request: &Request) -> bool {
    !matches!(
        request,
        Request::LoadUser(_)
            | Request::OnlineUsers
            | Request::AllUsers
            | Request::ListUsers(_)
            | Request::CountUsers
            | Request::LegacyNameTaken(..)
            | Request::ArchivePage(..)
            | Request::ArchiveEnds(..)
            | Request::ArchivedRooms(_)
            | Request::NewestArchived
    )
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn prepare_connection(connection: &Connection) -> rusqlite::Result<()> {
    // Not by rusqlite's own function: since 0.41 that needs SQLite 3.44, and Debian 12 has 3.40.
    connection.query_row(&format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis()), [], |_| Ok(()))?;
    // Where the file system cannot do it (a network share), SQLite says so in its answer and stays in rollback mode.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // What a user was told is stored outlives a power cut.
    connection.execute_batch("PRAGMA synchronous = FULL")
}

fn registration(row: &Row<'_>) -> rusqlite::Result<Registration> {
    Ok(Registration {
        id: row.get(0)?,
        legacy_name: text(row, 1)?,
        password: Secret::new(text(row, 2)?),
        language: text(row, 3)?,
        encoding: text(row, 4)?,
        vip: false,
    })
}

fn contact(row: &Row<'_>) -> rusqlite::Result<StoredContact> {
    Ok(StoredContact {
        legacy_name: text(row, 0)?,
        subscribed: text(row, 1)? == "both",
        alias: text(row, 2)?,
        groups: split_groups(&text(row, 3)?),
        flags: integer(row, 4)?.and_then(|flags| i32::try_from(flags).ok()).unwrap_or(0),
        icon_hash: text(row, 5)?,
    })
}

/// Names of groups are joined by newlines, so a newline within a name becomes a blank.
fn join_groups(groups: &[String]) -> String {
    let names: Vec<String> = groups.iter().map(|name| name.replace('\n', " ")).collect();
    names.join("\n")
}

fn split_groups(groups: &str) -> Vec<String> {
    groups.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whatever the column holds, as text: SQLite does not enforce declared types. Nothing is "" and bad UTF-8 is replaced.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// Whatever the column holds, as a whole number, if it can be taken for one.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Text(bytes) => str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Lines, NewLine, Wanted};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A directory with a copy of a database that Spectrum 2 made.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn database(&self) -> PathBuf {
            self.0.join("database.sql")
        }

        fn with(fixture: &str) -> Self {
            let directory = Self::new();
            let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/database");
            fs::copy(fixtures.join(fixture), directory.database()).unwrap();
            directory
        }

        fn open(&self, prefix: &str) -> Sqlite {
            Sqlite::open(&self.database(), prefix).unwrap()
        }

        fn names(&self) -> Vec<String> {
            fs::read_dir(&self.0).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect()
        }

        /// The database as another program sees it.
        fn raw(&self) -> Connection {
            Connection::open(self.database()).unwrap()
        }

        /// All that defines the schema, without the blanks that mean nothing.
        fn schema(&self) -> Vec<String> {
            let raw = self.raw();
            let mut statement =
                raw.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(|sql| sql.unwrap().split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "("))
                .collect()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    impl Sqlite {
        fn one(&mut self, request: Request) -> Result<Answer, Error> {
            self.carry_out(&[request]).remove(0)
        }

        fn user(&mut self, jid: &str) -> Option<StoredUser> {
            match self.one(Request::LoadUser(BareJid::new(jid).unwrap())) {
                Ok(Answer::User(user)) => user.map(|user| *user),
                other => panic!("{jid}: {other:?}"),
            }
        }

        fn save(&mut self, jid: &str, legacy_name: &str) -> i64 {
            match self.one(Request::SaveUser(BareJid::new(jid).unwrap(), registration_of(legacy_name))) {
                Ok(Answer::Id(id)) => id,
                other => panic!("{jid}: {other:?}"),
            }
        }

        fn jids(&mut self, request: Request) -> Vec<String> {
            match self.one(request) {
                Ok(Answer::Jids(jids)) => jids.iter().map(ToString::to_string).collect(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn registration_of(legacy_name: &str) -> Registration {
        Registration {
            id: 0,
            legacy_name: legacy_name.to_owned(),
            password: Secret::new("mercutio's".to_owned()),
            language: "en".to_owned(),
            encoding: String::new(),
            vip: false,
        }
    }

    fn contact_of(legacy_name: &str) -> StoredContact {
        StoredContact {
            legacy_name: legacy_name.to_owned(),
            alias: "Amme Käthe ♥".to_owned(),
            groups: vec!["Haus Capulet".to_owned(), "Gefolge 🌹".to_owned()],
            subscribed: true,
            flags: 2,
            icon_hash: "a67ed628d5975988099dbddaaa1fa8aa2c5cba0e".to_owned(),
        }
    }

    #[test]
    fn all_users_of_spectrum_2_are_read() {
        for (fixture, prefix) in [("sqlite.sqlite", ""), ("sqlite-icq.sqlite", "icq_")] {
            let directory = Directory::with(fixture);
            let mut database = directory.open(prefix);
            let stored = [
                ("romeo", "romeo@example.net", "Capulet'; DROP TABLE users;--", "", ""),
                ("juliet", "juliet@example.net", "s3cr€t \"quoted\" 'single' \\back\\ %41 ; -- #x", "", ""),
                ("bärbel", "bärbel@example.net", "pässwörd", "de", "iso-8859-1"),
                ("d\\27artagnan", "d'artagnan@example.net", "o'hara", "", ""),
                ("prince", "123456789", "", "", ""),
                ("mercutio", "mercutio@example.net", &"x".repeat(60), "", ""),
                ("escalus", "escalus@example.net", "#hash=in;it", "", ""),
                ("laurence", "laurence@example.net", "admin-given", "en", "utf-8"),
                ("benvolio", "benvolio@example.net", " leading and trailing ", "", ""),
            ];
            for (index, (name, legacy_name, password, language, encoding)) in stored.into_iter().enumerate() {
                let user = database.user(&format!("{name}@example.org")).unwrap();
                let expected = Registration {
                    id: i64::try_from(index).unwrap() + 1,
                    legacy_name: legacy_name.to_owned(),
                    password: Secret::new(password.to_owned()),
                    language: language.to_owned(),
                    encoding: encoding.to_owned(),
                    vip: name == "prince",
                };
                assert_eq!(user.registration, expected);
            }
            assert_eq!(database.user("lady@example.org"), None);
            assert_eq!(database.jids(Request::AllUsers).len(), 9);
            assert_eq!(database.jids(Request::OnlineUsers), ["juliet@example.org", "benvolio@example.org"]);
        }
    }

    #[test]
    fn contacts_and_settings_of_spectrum_2_are_read() {
        let directory = Directory::with("sqlite.sqlite");
        let romeo = directory.open("").user("romeo@example.org").unwrap();
        let contacts: Vec<_> =
            romeo.contacts.iter().map(|c| (c.legacy_name.as_str(), c.subscribed, c.flags)).collect();
        assert_eq!(
            contacts,
            [
                ("friar@example.net", true, 2),
                ("nurse@example.net", true, 2),
                ("rosaline@example.net", false, 2),
                ("tybalt@example.net", true, 10)
            ]
        );
        assert_eq!(romeo.contacts[1].alias, "Amme Käthe ♥");
        assert_eq!(romeo.contacts[1].groups, ["Haus Capulet – Gefolge"]);
        assert_eq!(romeo.contacts[1].icon_hash, "a67ed628d5975988099dbddaaa1fa8aa2c5cba0e");
        assert_eq!(romeo.contacts[2].groups, ["Old flames", "Friends"]);
        let names: Vec<_> = romeo.settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["enable_transport", "send_headlines", "stay_connected", "storage"]);
        assert!(romeo.settings[3].1.contains("Straße &amp; &lt;Platz&gt;"));
        let mercutio = directory.open("").user("mercutio@example.org").unwrap();
        assert!(mercutio.settings.contains(&("stay_connected".to_owned(), "true".to_owned())));
    }

    #[test]
    fn what_automatic_registration_left_in_vip_makes_no_vip() {
        let directory = Directory::with("sqlite-autoregistered.sqlite");
        let mut database = directory.open("");
        let juliet = database.user("juliet@example.org").unwrap();
        assert_eq!(juliet.registration.legacy_name, "Juliet");
        assert!(!juliet.registration.vip);
        assert_eq!(database.jids(Request::OnlineUsers).len(), 3);
    }

    #[test]
    fn a_fresh_database_is_the_one_that_spectrum_2_makes() {
        for (fixture, prefix) in [("sqlite.sqlite", ""), ("sqlite-icq.sqlite", "icq_")] {
            let fresh = Directory::new();
            drop(fresh.open(prefix));
            assert_eq!(fresh.schema(), Directory::with(fixture).schema());
            let version: i64 = fresh
                .raw()
                .query_row(&format!("SELECT ver FROM {prefix}db_version"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(version, 3);
            assert_eq!(fs::metadata(fresh.database()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    fn add_line(lines: &mut Lines, owner: &str, room: &str, id: i64) {
        let nick = if id % 2 == 0 { "nurse" } else { "tybalt" };
        let line = NewLine { id, stamp: id.unsigned_abs() * 10, nick };
        let text = format!("<message xmlns='jabber:client'><body>{id}</body></message>");
        lines.push(&BareJid::new(owner).unwrap(), room, line, |out| out.push_str(&text));
    }

    fn lines_of(owner: &str, room: &str, ids: std::ops::RangeInclusive<i64>) -> Lines {
        let mut lines = Lines::default();
        ids.for_each(|id| add_line(&mut lines, owner, room, id));
        lines
    }

    const ROMEO: &str = "romeo@example.org";

    /// The ids in an archive.
    fn archive(database: &mut Sqlite, owner: &str, room: &str) -> Vec<i64> {
        let wanted = Wanted { max: u32::MAX, ..Wanted::default() };
        let request = Request::ArchivePage(BareJid::new(owner).unwrap(), room.to_owned(), wanted);
        match database.one(request) {
            Ok(Answer::Page(Some(page))) => page.lines.iter().map(|line| line.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn rows(directory: &Directory, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        directory.raw().query_row(&count, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn archives_are_beside_the_tables_of_spectrum_2_and_only_if_they_are_needed() {
        for (fixture, prefix) in [("sqlite.sqlite", ""), ("sqlite-icq.sqlite", "icq_")] {
            let directory = Directory::with(fixture);
            let before = directory.schema();
            let mut database = directory.open(prefix);
            assert!(archive(&mut database, ROMEO, "#verona").is_empty());
            assert_eq!(database.one(Request::PruneArchives(0, i64::MAX)), Ok(Answer::More(false)));
            assert_eq!(database.one(Request::NewestArchived), Ok(Answer::Id(0)));
            database.one(Request::RemoveUser(99)).unwrap();
            drop(database);
            assert_eq!(directory.schema(), before);

            let mut database = directory.open(prefix);
            database.one(Request::Archive(lines_of(ROMEO, "#verona", 1..=3), 10)).unwrap();
            drop(database);
            let mut database = directory.open(prefix);
            assert_eq!(archive(&mut database, ROMEO, "#verona"), [1, 2, 3]);
            assert_eq!(database.one(Request::NewestArchived), Ok(Answer::Id(3)));
            drop(database);
            let after = directory.schema();
            assert!(before.iter().all(|sql| after.contains(sql)), "nothing of Spectrum 2's is changed");
            let ours: Vec<_> = after.iter().filter(|sql| !before.contains(sql)).collect();
            assert!(ours.len() == 4 && ours.iter().all(|sql| sql.contains(&format!("{prefix}archive"))));
            assert_eq!(fs::read(directory.database()).unwrap()[18..20], [1, 1], "one plain file");
        }
    }

    #[test]
    fn an_archive_keeps_the_last_messages_of_each_room() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        let mut both = lines_of(ROMEO, "#verona", 1..=8);
        (9..=10).for_each(|id| add_line(&mut both, ROMEO, "#mantua", id));
        database.one(Request::Archive(both, 5)).unwrap();
        database.one(Request::Archive(lines_of("juliet@example.org", "#verona", 11..=11), 5)).unwrap();
        assert_eq!(archive(&mut database, ROMEO, "#verona"), [4, 5, 6, 7, 8]);
        assert_eq!(archive(&mut database, ROMEO, "#mantua"), [9, 10]);
        assert_eq!(archive(&mut database, "juliet@example.org", "#verona"), [11]);
        let rooms = Request::ArchivedRooms(BareJid::new(ROMEO).unwrap());
        let known = vec![("#mantua".to_owned(), 2), ("#verona".to_owned(), 5)];
        assert_eq!(database.one(rooms.clone()), Ok(Answer::Rooms(known)));
        // A smaller limit, then age.
        assert_eq!(database.one(Request::PruneArchives(3, 0)), Ok(Answer::More(false)));
        assert_eq!(archive(&mut database, ROMEO, "#verona"), [6, 7, 8]);
        assert_eq!(database.one(Request::PruneArchives(3, 9)), Ok(Answer::More(false)));
        assert_eq!(database.one(rooms), Ok(Answer::Rooms(vec![("#mantua".to_owned(), 2)])));
        assert_eq!(rows(&directory, "archive_rooms"), 2, "a room without messages is forgotten");
        assert_eq!(database.one(Request::PruneArchives(0, 0)), Ok(Answer::More(false)));
        assert_eq!((rows(&directory, "archive_rooms"), rows(&directory, "archive")), (0, 0));
    }

    #[test]
    fn much_is_deleted_in_steps() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        database.one(Request::Archive(lines_of(ROMEO, "#verona", 1..=12_000), 20_000)).unwrap();
        let mut steps = 0;
        while database.one(Request::PruneArchives(1_500, 0)) == Ok(Answer::More(true)) {
            steps += 1;
        }
        assert_eq!((steps, rows(&directory, "archive")), (2, 1_500));
        database.one(Request::Archive(lines_of(ROMEO, "#verona", 12_001..=24_000), 20_000)).unwrap();
        // The user is gone at once; some of the messages follow.
        database.one(Request::RemoveUser(1)).unwrap();
        assert_eq!(
            database.one(Request::ArchivedRooms(BareJid::new(ROMEO).unwrap())),
            Ok(Answer::Rooms(vec![]))
        );
        assert_eq!(rows(&directory, "archive"), 8_500);
        while database.one(Request::PruneArchives(20_000, 0)) == Ok(Answer::More(true)) {}
        assert_eq!((rows(&directory, "archive_rooms"), rows(&directory, "archive")), (0, 0));
    }

    #[test]
    fn nobody_inherits_an_archive() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        database.one(Request::Archive(lines_of(ROMEO, "#verona", 1..=3), 10)).unwrap();
        drop(database);
        // Spectrum 2 deletes the user, and gives the number of the row to another one.
        directory.raw().execute("UPDATE users SET jid = 'paris@example.org' WHERE id = 1", []).unwrap();
        let mut database = directory.open("");
        assert!(archive(&mut database, "paris@example.org", "#verona").is_empty());
        database.one(Request::PruneArchives(10, 0)).unwrap();
        assert_eq!(rows(&directory, "archive"), 0);
        database.one(Request::Archive(lines_of(ROMEO, "#verona", 4..=5), 10)).unwrap();
        assert_eq!(rows(&directory, "archive"), 0, "of somebody who is not registered nothing is kept");
    }

    #[test]
    fn a_user_has_a_bounded_number_of_archives() {
        let mut database = Sqlite::in_memory().unwrap();
        database.save("romeo@example.org", "romeo");
        let mut lines = Lines::default();
        (1..=1_002).for_each(|n| add_line(&mut lines, ROMEO, &format!("#{n}"), n));
        database.one(Request::Archive(lines, 10)).unwrap();
        database.one(Request::Archive(lines_of(ROMEO, "#3", 2_000..=2_000), 10)).unwrap();
        database.one(Request::Archive(lines_of(ROMEO, "#new", 2_001..=2_001), 10)).unwrap();
        let Ok(Answer::Rooms(rooms)) = database.one(Request::ArchivedRooms(BareJid::new(ROMEO).unwrap()))
        else {
            panic!("no rooms");
        };
        let has = |name: &str| rooms.iter().any(|(room, _)| room == name);
        assert_eq!(rooms.len(), 1_000);
        assert!(has("#3") && has("#new") && has("#5") && !has("#1") && !has("#2") && !has("#4"));
    }

    #[test]
    fn tables_that_could_not_be_made_are_made_later() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        let full = "PRAGMA max_page_count = 1";
        database.connection.query_row(full, [], |_| Ok(())).unwrap();
        let lines = lines_of(ROMEO, "#verona", 1..=2_000);
        assert!(database.one(Request::Archive(lines.clone(), 5_000)).is_err());
        database.connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
        database.one(Request::Archive(lines, 5_000)).unwrap();
        assert_eq!(archive(&mut database, ROMEO, "#verona").len(), 2_000);
    }

    #[test]
    fn a_page_is_found_by_the_index() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        database.one(Request::Archive(lines_of(ROMEO, "#verona", 1..=3), 10)).unwrap();
        let plan = |sql: &str| -> String {
            let raw = directory.raw();
            let mut statement = raw.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        let which = "FROM archive WHERE room_id = 1 AND id > 5 AND id < 9 AND stamp BETWEEN 3 AND 8";
        let count = plan(&format!("SELECT count(*) {which} AND NULL IS NULL"));
        assert!(count.contains("COVERING INDEX archive_room (room_id=? AND id>? AND id<?)"), "{count}");
        let page = plan(&format!("SELECT id, stamp, message {which} ORDER BY id DESC LIMIT 9"));
        assert!(page.contains("INDEX archive_room (room_id=? AND id>? AND id<?)"), "{page}");
        assert!(!page.contains("TEMP B-TREE"), "{page}");
    }

    #[test]
    fn a_used_database_stays_one_that_spectrum_2_opens() {
        let directory = Directory::with("sqlite.sqlite");
        let before = directory.schema();
        let mut database = directory.open("");
        let user = database.save("benedick@example.org", "benedick");
        database.one(Request::SaveContacts(user, vec![contact_of("beatrice")])).unwrap();
        database.one(Request::SaveSetting(user, "enable_transport".into(), 4, "1".into())).unwrap();
        database.one(Request::RemoveUser(1)).unwrap();
        drop(database);
        assert_eq!(directory.schema(), before);
        // One plain file, in rollback mode (bytes 18 and 19: file format versions).
        assert_eq!(directory.names(), ["database.sql"]);
        assert_eq!(fs::read(directory.database()).unwrap()[18..20], [1, 1]);
        // Its own way of asking.
        let raw = directory.raw();
        let row: (String, String) = raw
            .query_row("SELECT subscription, groups FROM buddies WHERE user_id = ?1", [user], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(row, ("both".to_owned(), "Haus Capulet\nGefolge 🌹".to_owned()));
        let icon: (i64, String) = raw
            .query_row(
                "SELECT type, value FROM buddies_settings WHERE user_id = ?1 AND var = 'icon_hash'",
                [user],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(icon, (13, contact_of("").icon_hash));
    }

    #[test]
    fn registering_again_changes_what_the_form_holds_and_nothing_else() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        // prince is a VIP by the administrator's hand; juliet is online.
        assert_eq!(database.save("prince@example.org", "987"), 5);
        assert_eq!(database.save("juliet@example.org", "capulet"), 2);
        let prince = database.user("prince@example.org").unwrap().registration;
        assert!(prince.vip);
        assert_eq!(prince, Registration { id: 5, vip: true, ..registration_of("987") });
        assert!(database.jids(Request::OnlineUsers).contains(&"juliet@example.org".to_owned()));
        assert_eq!(database.user("juliet@example.org").unwrap().contacts.len(), 3);
    }

    #[test]
    fn contacts_are_known_by_name() {
        let mut database = Sqlite::in_memory().unwrap();
        let user = database.save("romeo@example.org", "romeo");
        let other = database.save("juliet@example.org", "juliet");
        for user in [user, other] {
            database
                .one(Request::SaveContacts(user, vec![contact_of("Nurse"), contact_of("friar")]))
                .unwrap();
        }
        let changed = StoredContact {
            alias: String::new(),
            groups: vec!["a\nb".to_owned()],
            subscribed: false,
            flags: 10,
            icon_hash: String::new(),
            ..contact_of("Nurse")
        };
        database.one(Request::SaveContacts(user, vec![changed.clone(), contact_of("nurse")])).unwrap();
        database.one(Request::RemoveContacts(user, vec!["friar".to_owned(), "nobody".to_owned()])).unwrap();
        assert_eq!(
            database.user("romeo@example.org").unwrap().contacts,
            [StoredContact { groups: vec!["a b".to_owned()], ..changed }, contact_of("nurse")]
        );
        assert_eq!(
            database.user("juliet@example.org").unwrap().contacts,
            [contact_of("Nurse"), contact_of("friar")]
        );
    }

    #[test]
    fn a_removed_user_leaves_nothing_behind() {
        let directory = Directory::new();
        let mut database = directory.open("");
        let user = database.save("romeo@example.org", "romeo");
        database.one(Request::SaveContacts(user, vec![contact_of("nurse")])).unwrap();
        database.one(Request::SaveSetting(user, "storage".into(), 0, "<storage/>".into())).unwrap();
        database.one(Request::RemoveUser(user)).unwrap();
        // What was on its way when the user went must not reach the next one with this number.
        for late in [
            Request::SaveContacts(user, vec![contact_of("nurse")]),
            Request::SaveSetting(user, "storage".into(), 0, "<storage/>".into()),
        ] {
            let error = database.one(late).unwrap_err();
            assert!(error.to_string().ends_with("has no such user any more; nothing was stored."), "{error}");
        }
        for table in ["users", "users_settings", "buddies", "buddies_settings"] {
            let rows: i64 = directory
                .raw()
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }

    #[test]
    fn settings_are_inserted_and_updated() {
        let mut database = Sqlite::in_memory().unwrap();
        let user = database.save("romeo@example.org", "romeo");
        for value in ["0", "1"] {
            database.one(Request::SaveSetting(user, "stay_connected".into(), 4, value.into())).unwrap();
        }
        let stored = database.user("romeo@example.org").unwrap().settings;
        assert_eq!(stored, [("stay_connected".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_legacy_name_belongs_to_one_user() {
        let mut database = Sqlite::in_memory().unwrap();
        database.save("romeo@example.org", "romeo");
        let mut taken = |name: &str, jid: &str| {
            database.one(Request::LegacyNameTaken(name.to_owned(), BareJid::new(jid).unwrap()))
        };
        assert_eq!(taken("romeo", "juliet@example.org"), Ok(Answer::Taken(true)));
        assert_eq!(taken("romeo", "romeo@example.org"), Ok(Answer::Taken(false)));
        assert_eq!(taken("Romeo", "juliet@example.org"), Ok(Answer::Taken(false)));
    }

    #[test]
    fn users_are_counted_and_listed_up_to_a_limit() {
        let mut database = Sqlite::in_memory().unwrap();
        database.save("romeo@example.org", "montague");
        database.save("juliet@example.org", "capulet");
        assert_eq!(database.one(Request::CountUsers), Ok(Answer::Count(2)));
        let line = |jid: &str, name: &str| (BareJid::new(jid).unwrap(), name.to_owned());
        let romeo = line("romeo@example.org", "montague");
        let juliet = line("juliet@example.org", "capulet");
        assert_eq!(database.one(Request::ListUsers(1)), Ok(Answer::Users(vec![romeo.clone()])));
        assert_eq!(database.one(Request::ListUsers(9)), Ok(Answer::Users(vec![romeo, juliet])));
    }

    #[test]
    fn online_users_are_remembered() {
        let mut database = Sqlite::in_memory().unwrap();
        let user = database.save("romeo@example.org", "romeo");
        database.save("juliet@example.org", "juliet");
        database.one(Request::SetOnline(user, true)).unwrap();
        assert_eq!(database.jids(Request::OnlineUsers), ["romeo@example.org"]);
        database.one(Request::SetOnline(user, false)).unwrap();
        assert!(database.jids(Request::OnlineUsers).is_empty());
    }

    #[test]
    fn rows_may_hold_anything() {
        let directory = Directory::with("sqlite.sqlite");
        directory
            .raw()
            .execute_batch(
                "UPDATE users SET jid = '@' WHERE id = 1;
                 UPDATE users SET jid = x'FF00' WHERE id = 3;
                 UPDATE users SET uin = 7, password = x'80', language = 1.5, vip = 'yes' WHERE id = 2;
                 UPDATE buddies SET flags = 'many', groups = x'0A0A', subscription = 1 WHERE user_id = 2;
                 UPDATE buddies SET flags = 99999999999 WHERE id = 7;
                 INSERT INTO buddies_settings VALUES (2, 999, 'icon_hash', 'x', 'of nobody');
                 DELETE FROM db_version;",
            )
            .unwrap();
        let mut database = directory.open("");
        assert_eq!(database.jids(Request::AllUsers).len(), 7);
        assert_eq!(database.complaints.len(), 2);
        assert_eq!(database.jids(Request::AllUsers).len(), 7);
        let juliet = database.user("juliet@example.org").unwrap();
        assert_eq!(juliet.registration.legacy_name, "7");
        assert_eq!(juliet.registration.password.expose(), "\u{fffd}");
        assert!(!juliet.registration.vip);
        assert_eq!(juliet.contacts.len(), 3);
        for contact in juliet.contacts {
            assert_eq!((contact.flags, contact.groups, contact.subscribed), (0, vec![], false));
        }
        assert_eq!(database.complaints.len(), 3);
    }

    #[test]
    fn two_transports_share_a_file() {
        let directory = Directory::with("sqlite-icq.sqlite");
        let mut icq = directory.open("icq_");
        let mut irc = directory.open("irc_");
        // The second has no unique index on `jid`, since that name is taken.
        assert_eq!(irc.save("romeo@example.org", "one"), 1);
        assert_eq!(irc.save("romeo@example.org", "two"), 1);
        assert_eq!(irc.jids(Request::AllUsers), ["romeo@example.org"]);
        assert_eq!(icq.user("romeo@example.org").unwrap().registration.legacy_name, "romeo@example.net");
    }

    #[test]
    fn tables_that_spectrum_2_did_not_get_to_are_added() {
        let directory = Directory::with("sqlite.sqlite");
        let complete = directory.schema();
        directory.raw().execute_batch("DROP TABLE users_settings; DROP TABLE db_version").unwrap();
        assert!(directory.open("").user("romeo@example.org").is_some());
        assert_eq!(directory.schema(), complete);
    }

    #[test]
    fn requests_of_one_batch_fail_alone() {
        let mut database = Sqlite::in_memory().unwrap();
        let user = database.save("romeo@example.org", "romeo");
        let answers = database.carry_out(&[
            Request::SaveContacts(user, vec![contact_of("nurse")]),
            Request::SaveContacts(99, vec![contact_of("nobody")]),
            Request::SaveContacts(user, vec![contact_of("friar")]),
            Request::LoadUser(BareJid::new("romeo@example.org").unwrap()),
        ]);
        assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
        match &answers[3] {
            Ok(Answer::User(Some(user))) => assert_eq!(user.contacts.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_disk_takes_only_what_does_not_fit() {
        let directory = Directory::new();
        let mut database = directory.open("");
        let user = database.save("romeo@example.org", "romeo");
        let pages: i64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        database
            .connection
            .query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_| Ok(()))
            .unwrap();
        let huge = Request::SaveSetting(user, "storage".into(), 0, "x".repeat(100_000));
        let small = |name: &str| Request::SaveSetting(user, name.into(), 4, "1".into());
        let answers = database.carry_out(&[small("before"), huge, small("after")]);
        assert_eq!((&answers[0], &answers[2]), (&Ok(Answer::Done), &Ok(Answer::Done)));
        let error = answers[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("database.sql cannot grow: the disk is full. Free some space."), "{error}");
        let names: Vec<_> =
            database.user("romeo@example.org").unwrap().settings.into_iter().map(|s| s.0).collect();
        assert_eq!(names, ["after", "before"]);
    }

    #[test]
    fn a_locked_database_is_an_error_and_then_works_again() {
        let directory = Directory::new();
        let mut database = directory.open("");
        database.connection.query_row("PRAGMA busy_timeout = 20", [], |_| Ok(())).unwrap();
        let other = directory.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let save = || Request::SaveUser(BareJid::new("romeo@example.org").unwrap(), registration_of("romeo"));
        // Reading goes on meanwhile.
        assert!(database.jids(Request::AllUsers).is_empty());
        let answers = database.carry_out(&[save(), Request::AllUsers]);
        let error = answers[0].as_ref().unwrap_err().to_string();
        assert!(error.contains("is locked by another process") && error.contains("fuser"), "{error}");
        assert_eq!(answers[1], Ok(Answer::Jids(vec![])));
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(database.one(save()), Ok(Answer::Id(1)));
    }

    /// Or the watchdog would end a daemon that has much to store.
    #[test]
    fn all_requests_together_wait_once_for_a_lock() {
        let directory = Directory::new();
        let mut database = directory.open("");
        database.connection.query_row("PRAGMA busy_timeout = 200", [], |_| Ok(())).unwrap();
        let other = directory.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let requests = vec![Request::SetOnline(1, true); 20];
        let began = std::time::Instant::now();
        assert!(database.carry_out(&requests).iter().all(Result::is_err));
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn a_database_that_became_read_only_can_still_be_read() {
        let directory = Directory::with("sqlite.sqlite");
        let mut database = directory.open("");
        database.connection.execute_batch("PRAGMA query_only = 1").unwrap();
        let error = database.one(Request::SetOnline(1, true)).unwrap_err().to_string();
        assert!(
            error.contains("may not be written") && error.contains("must be writable for uid"),
            "{error}"
        );
        assert!(database.user("romeo@example.org").is_some());
    }

    fn refusal(path: &Path, prefix: &str) -> OpenError {
        Sqlite::open(path, prefix).err().unwrap()
    }

    #[test]
    fn what_is_no_database_of_spectrum_2_is_refused() {
        let directory = Directory::new();
        fs::write(directory.database(), "[service]\njid=icq.example.org\n".repeat(100)).unwrap();
        let error = refusal(&directory.database(), "");
        assert!(
            matches!(&error, OpenError::Configuration(text) if text.contains("is not an SQLite file")),
            "{error}"
        );
        fs::remove_file(directory.database()).unwrap();
        directory.raw().execute_batch("CREATE TABLE users (name, shoe_size)").unwrap();
        let error = refusal(&directory.database(), "");
        let text = "does not have Spectrum 2's tables (no such column: ";
        assert!(matches!(&error, OpenError::Configuration(error) if error.contains(text)), "{error}");
        assert_eq!(directory.schema(), ["CREATE TABLE users (name, shoe_size)"]);
    }

    #[test]
    fn a_damaged_database_says_how_to_save_it() {
        let directory = Directory::with("sqlite.sqlite");
        let mut bytes = fs::read(directory.database()).unwrap();
        bytes[4096..].fill(0xA5);
        fs::write(directory.database(), bytes).unwrap();
        let error = refusal(&directory.database(), "").to_string();
        assert!(error.contains("is damaged") && error.contains(".recover"), "{error}");
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let directory = Directory::with("sqlite.sqlite");
        directory.raw().execute_batch("UPDATE db_version SET ver = 4").unwrap();
        let error = refusal(&directory.database(), "");
        assert!(
            matches!(&error, OpenError::Configuration(text) if text.contains("schema version 4")),
            "{error}"
        );
    }

    #[test]
    fn a_prefix_that_is_no_name_is_refused() {
        for prefix in ["icq-", "1", "a b", "x;--", "sqlite_", "ü"] {
            let error = refusal(Path::new("/nonexistent"), prefix);
            assert!(
                matches!(&error, OpenError::Configuration(text) if text.starts_with("database.prefix")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_place_that_cannot_be_says_why() {
        let directory = Directory::new();
        fs::write(directory.0.join("file"), "").unwrap();
        let error = refusal(&directory.0.join("file/x/database.sql"), "");
        assert!(
            error.to_string().contains("The directory ") && error.to_string().contains("cannot be created")
        );
        let error = refusal(&directory.0, "");
        assert!(matches!(&error, OpenError::Configuration(text) if text.contains("directory")), "{error}");
        drop(Sqlite::open(&directory.0.join("new/deep/database.sql"), "").unwrap());
        let mode = |name| fs::metadata(directory.0.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("new"), mode("new/deep")), (0o700, 0o700));
    }
}
