//! Archives of rooms: what was said in each room of each user, in two tables of our own beside those of Spectrum 2.
//!
//! Guarantees: the tables are made when the first message is archived and not before; Spectrum 2 never sees them, and
//! what it does to its own tables cannot show one user the archive of another, because an archive belongs to a JID and
//! not to the number of a row. No step deletes more than [`STEP`] messages, so that nothing else waits long: an archive
//! that goes loses its owner at once, and with it every way to read it, and its messages in further steps.

use std::collections::HashMap;

use jid::BareJid;
use rusqlite::{Connection, OptionalExtension, Statement, named_params, params};
use serde::{Deserialize, Serialize};

/// Messages that are deleted at once.
pub(super) const STEP: i64 = 5_000;
/// Messages that one statement adds: a statement of its own for each costs a quarter more.
const ROWS: usize = 20;
/// Archives of one user. The one in which nothing was said for the longest time gives way to a new one.
const ROOMS: i64 = 1_000;

/// Messages that are archived together. Their texts are one, so that a message costs no allocation of its own, here or
/// where it is freed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Whose archives they are for: owner, and local part of the room's JID.
    archives: Vec<(BareJid, String)>,
    /// Where they are, by owner.
    places: HashMap<BareJid, Vec<usize>>,
    lines: Vec<Line>,
    /// Nick and message of each line, in their order.
    texts: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Place in `archives`.
    archive: usize,
    id: i64,
    stamp: u64,
    /// Length of the nick, and of the message behind it.
    nick: usize,
    message: usize,
}

/// A message that is to be archived.
#[derive(Clone, Copy, Debug)]
pub struct NewLine<'a> {
    /// Its place among all messages, and its name: later ones have greater ids, and none is used twice.
    pub id: i64,
    /// When it was said, in milliseconds since 1970.
    pub stamp: u64,
    /// Who said it, as shown; empty for the room itself.
    pub nick: &'a str,
}

impl Lines {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a message to the archive of this room of this user; `write` appends its text.
    pub fn push(&mut self, owner: &BareJid, room: &str, line: NewLine<'_>, write: impl FnOnce(&mut String)) {
        let archive = self.place(owner, room);
        self.texts.push_str(line.nick);
        let before = self.texts.len();
        write(&mut self.texts);
        let message = self.texts.len().saturating_sub(before);
        let NewLine { id, stamp, nick } = line;
        self.lines.push(Line { archive, id, stamp, nick: nick.len(), message });
    }

    fn place(&mut self, owner: &BareJid, room: &str) -> usize {
        let is_it = |at: &&usize| self.archives.get(**at).is_some_and(|(_, known)| known == room);
        if let Some(at) = self.places.get(owner).and_then(|places| places.iter().find(is_it)) {
            return *at;
        }
        self.archives.push((owner.clone(), room.to_owned()));
        let at = self.archives.len() - 1;
        self.places.entry(owner.clone()).or_default().push(at);
        at
    }

    /// Takes out what is of this user.
    pub fn remove_owner(&mut self, owner: &BareJid) {
        if !self.places.contains_key(owner) {
            return;
        }
        let all = std::mem::take(self);
        for (archive, line, text) in all.iter().filter(|((whose, _), ..)| whose != owner) {
            self.push(&archive.0, &archive.1, line, |out| out.push_str(text));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&(BareJid, String), NewLine<'_>, &str)> {
        let mut rest = self.texts.as_str();
        self.lines.iter().filter_map(move |line| {
            let (nick, behind) = rest.split_at_checked(line.nick)?;
            let (message, behind) = behind.split_at_checked(line.message)?;
            rest = behind;
            let new = NewLine { id: line.id, stamp: line.stamp, nick };
            Some((self.archives.get(line.archive)?, new, message))
        })
    }
}

/// Which messages of an archive are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Not those from before this time.
    pub start: Option<u64>,
    /// Not those from after this time.
    pub end: Option<u64>,
    /// Those of this occupant.
    pub nick: Option<String>,
    /// Those behind this one.
    pub after_id: Option<i64>,
    /// Those before this one.
    pub before_id: Option<i64>,
    /// These; empty: all.
    pub ids: Vec<i64>,
    /// Of those that are wanted, the page behind this one.
    pub page_after: Option<i64>,
    /// Of those that are wanted, the page before this one.
    pub page_before: Option<i64>,
    /// The last page instead of the first.
    pub backwards: bool,
    /// The page that begins at this place, counted from 0.
    pub index: Option<u64>,
    /// So many, at most.
    pub max: u32,
}

/// A message as it is read from an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Its id.
    pub id: i64,
    /// When it was said, in milliseconds since 1970.
    pub stamp: u64,
    /// Who said it, as shown; empty for the room itself.
    pub nick: String,
    /// The stanza.
    pub message: String,
}

/// A page of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub lines: Vec<Archived>,
    /// Place of the first of them among all that are wanted, counted from 0.
    pub first: u64,
    /// How many are wanted.
    pub count: u64,
    /// There are none beyond them, in the direction of paging.
    pub complete: bool,
}

/// The tables, as far as they are there.
pub(super) struct Archive {
    /// They are there.
    exists: bool,
    prefix: String,
    sql: Statements,
}

/// The texts of the statements that do not depend on what is asked.
struct Statements {
    find_room: String,
    find_room_of_user: String,
    is_user: String,
    add_room: String,
    count_rooms: String,
    stalest_room: String,
    disown_room: String,
    disown_rooms: String,
    disown_strangers: String,
    insert: String,
    insert_some: String,
    grow: String,
    trim: String,
    oversized: String,
    forget_rooms: String,
    rooms: String,
    newest: String,
    ends: String,
    is_there: String,
}

impl Statements {
    fn new(p: &str) -> Self {
        Self {
            find_room: format!("SELECT id FROM {p}archive_rooms WHERE owner = ?1 AND room = ?2"),
            find_room_of_user: format!(
                "SELECT id FROM {p}archive_rooms WHERE owner = ?1 AND room = ?2 \
                 AND EXISTS (SELECT 1 FROM {p}users WHERE jid = ?1)"
            ),
            is_user: format!("SELECT 1 FROM {p}users WHERE jid = ?1"),
            add_room: format!("INSERT INTO {p}archive_rooms (owner, room) VALUES (?1, ?2)"),
            count_rooms: format!("SELECT count(*) FROM {p}archive_rooms WHERE owner = ?1"),
            stalest_room: format!(
                "SELECT id FROM {p}archive_rooms AS r WHERE owner = ?1 \
                 ORDER BY coalesce((SELECT max(id) FROM {p}archive WHERE room_id = r.id), {newest}) LIMIT 1",
                // The first message of an archive may still be on its way.
                newest = i64::MAX
            ),
            disown_room: format!("UPDATE {p}archive_rooms SET owner = NULL WHERE id = ?1"),
            disown_rooms: format!(
                "UPDATE {p}archive_rooms SET owner = NULL WHERE owner = (SELECT jid FROM {p}users WHERE id = ?1)"
            ),
            disown_strangers: format!(
                "UPDATE {p}archive_rooms SET owner = NULL \
                 WHERE owner IS NOT NULL AND owner NOT IN (SELECT jid FROM {p}users)"
            ),
            insert: insert(p, 1),
            insert_some: insert(p, ROWS),
            grow: format!("UPDATE {p}archive_rooms SET size = size + ?2 WHERE id = ?1 RETURNING size"),
            trim: format!(
                "DELETE FROM {p}archive WHERE id IN \
                 (SELECT id FROM {p}archive WHERE room_id = ?1 ORDER BY id LIMIT ?2)"
            ),
            oversized: format!(
                "SELECT id, size - iif(owner IS NULL, 0, ?1) FROM {p}archive_rooms \
                 WHERE size > iif(owner IS NULL, 0, ?1) LIMIT ?2"
            ),
            forget_rooms: format!(
                "DELETE FROM {p}archive_rooms WHERE NOT EXISTS \
                 (SELECT 1 FROM {p}archive WHERE room_id = {p}archive_rooms.id)"
            ),
            rooms: format!(
                "SELECT room, size FROM {p}archive_rooms WHERE owner = ?1 AND size > 0 ORDER BY room"
            ),
            newest: format!("SELECT max(id) FROM {p}archive"),
            ends: format!(
                "SELECT id, stamp FROM {p}archive WHERE id IN \
                 ((SELECT min(id) FROM {p}archive WHERE room_id = ?1), (SELECT max(id) FROM {p}archive WHERE room_id = ?1)) \
                 ORDER BY id"
            ),
            is_there: format!("SELECT 1 FROM {p}archive WHERE room_id = ?1 AND id = ?2"),
        }
    }
}

/// Adds so many messages. What is to become of those before one that fails, the savepoint around all says: without a
/// journal for each statement (<https://www.sqlite.org/tempfiles.html> §2.4).
fn insert(p: &str, rows: usize) -> String {
    let rows = vec!["(?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT OR FAIL INTO {p}archive (id, room_id, stamp, nick, message) VALUES {rows}")
}

/// A message as a row.
type Row<'a> = (i64, NewLine<'a>, &'a str);

fn execute(insert: &mut Statement<'_>, rows: &[Row<'_>]) -> rusqlite::Result<()> {
    for (at, (room, new, message)) in rows.iter().enumerate() {
        let first = at * 5;
        insert.raw_bind_parameter(first + 1, new.id)?;
        insert.raw_bind_parameter(first + 2, room)?;
        insert.raw_bind_parameter(first + 3, number(new.stamp))?;
        insert.raw_bind_parameter(first + 4, new.nick)?;
        insert.raw_bind_parameter(first + 5, message)?;
    }
    insert.raw_execute().map(|_| ())
}

impl Archive {
    /// The tables with this prefix, if they are there.
    pub fn new(connection: &Connection, prefix: &str) -> rusqlite::Result<Self> {
        let mut archive = Self { exists: false, prefix: prefix.to_owned(), sql: Statements::new(prefix) };
        archive.look(connection)?;
        Ok(archive)
    }

    /// Looks whether the tables are there: a transaction that made them may have failed.
    pub fn look(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let find = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        self.exists = connection.prepare_cached(find)?.exists([format!("{}archive", self.prefix)])?;
        Ok(())
    }

    fn create(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if !self.exists {
            let p = &self.prefix;
            // Types as in Spectrum 2's own tables. The index over messages holds all that counting needs.
            connection.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {p}archive_rooms (id INTEGER PRIMARY KEY NOT NULL, owner varchar(255), \
                 room varchar(1023) NOT NULL, size int(10) NOT NULL DEFAULT '0');\
                 CREATE UNIQUE INDEX IF NOT EXISTS {p}archive_owner ON {p}archive_rooms (owner, room);\
                 CREATE TABLE IF NOT EXISTS {p}archive (id INTEGER PRIMARY KEY NOT NULL, room_id int(10) NOT NULL, \
                 stamp bigint NOT NULL, nick varchar(1023) NOT NULL, message text NOT NULL);\
                 CREATE INDEX IF NOT EXISTS {p}archive_room ON {p}archive (room_id, id, stamp);"
            ))?;
            self.exists = true;
        }
        Ok(())
    }

    /// Adds messages; of each room not more than `keep` stay.
    pub fn add(&mut self, connection: &Connection, lines: &Lines, keep: u32) -> rusqlite::Result<()> {
        self.create(connection)?;
        // Found with the first line of each: which archive gives way to a new one depends on what is in all of them.
        let mut rooms: Vec<Option<(Option<i64>, i64)>> = vec![None; lines.archives.len()];
        let (mut one, mut some) =
            (connection.prepare_cached(&self.sql.insert)?, connection.prepare_cached(&self.sql.insert_some)?);
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(ROWS);
        for (line, ((owner, room), new, message)) in lines.lines.iter().zip(lines.iter()) {
            let Some(place) = rooms.get_mut(line.archive) else { continue };
            let (room, added) = match place {
                Some(known) => known,
                None => place.insert((self.room_for(connection, owner, room)?, 0)),
            };
            // Of somebody who has just been deleted nothing is kept.
            let Some(room) = room else { continue };
            *added += 1;
            rows.push((*room, new, message));
            if rows.len() == ROWS {
                execute(&mut some, &rows)?;
                rows.clear();
            }
        }
        rows.iter().try_for_each(|row| execute(&mut one, std::slice::from_ref(row)))?;
        for (room, added) in rooms.into_iter().flatten() {
            let Some(room) = room else { continue };
            let size: i64 = connection
                .prepare_cached(&self.sql.grow)?
                .query_row(params![room, added], |row| row.get(0))?;
            self.trim(connection, room, size - i64::from(keep))?;
        }
        Ok(())
    }

    fn room(&self, connection: &Connection, owner: &BareJid, room: &str) -> rusqlite::Result<Option<i64>> {
        let mut statement = connection.prepare_cached(&self.sql.find_room)?;
        statement.query_row(params![owner.as_str(), room], |row| row.get(0)).optional()
    }

    /// The room's archive, made if it is missing; none if there is no such user.
    fn room_for(
        &self,
        connection: &Connection,
        owner: &BareJid,
        room: &str,
    ) -> rusqlite::Result<Option<i64>> {
        let known: Option<i64> = connection
            .prepare_cached(&self.sql.find_room_of_user)?
            .query_row(params![owner.as_str(), room], |row| row.get(0))
            .optional()?;
        if known.is_some() || !connection.prepare_cached(&self.sql.is_user)?.exists([owner.as_str()])? {
            return Ok(known);
        }
        let count: i64 = connection
            .prepare_cached(&self.sql.count_rooms)?
            .query_row([owner.as_str()], |row| row.get(0))?;
        if count >= ROOMS {
            let stalest: i64 = connection
                .prepare_cached(&self.sql.stalest_room)?
                .query_row([owner.as_str()], |row| row.get(0))?;
            connection.prepare_cached(&self.sql.disown_room)?.execute([stalest])?;
        }
        connection.prepare_cached(&self.sql.add_room)?.execute(params![owner.as_str(), room])?;
        Ok(Some(connection.last_insert_rowid()))
    }

    /// Deletes the oldest messages of a room, so many or [`STEP`]; gives how many it were.
    fn trim(&self, connection: &Connection, room: i64, surplus: i64) -> rusqlite::Result<i64> {
        if surplus <= 0 {
            return Ok(0);
        }
        let deleted = connection.prepare_cached(&self.sql.trim)?.execute(params![room, surplus.min(STEP)])?;
        let deleted = i64::try_from(deleted).unwrap_or(0);
        connection.prepare_cached(&self.sql.grow)?.query_row(params![room, -deleted], |_| Ok(()))?;
        Ok(deleted)
    }

    /// The user goes, and what was archived for him.
    pub fn disown(&self, connection: &Connection, user: i64) -> rusqlite::Result<()> {
        if self.exists {
            connection.prepare_cached(&self.sql.disown_rooms)?.execute([user])?;
            self.sweep(connection, i64::from(u32::MAX))?;
        }
        Ok(())
    }

    /// One step of tidying up: archives without owner, messages beyond `keep` of a room, messages whose id is below
    /// `oldest`. Gives whether there is more to do.
    pub fn prune(&self, connection: &Connection, keep: u32, oldest: i64) -> rusqlite::Result<bool> {
        if !self.exists {
            return Ok(false);
        }
        // COMPAT(Spectrum 2): users whom it deleted meanwhile left their archives behind.
        connection.prepare_cached(&self.sql.disown_strangers)?.execute([])?;
        if self.sweep(connection, i64::from(keep))? {
            return Ok(true);
        }
        let p = &self.prefix;
        let old: Vec<(i64, i64)> = {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT room_id, count(*) FROM (SELECT room_id FROM {p}archive WHERE id < ?1 ORDER BY id LIMIT ?2) \
                 GROUP BY room_id"
            ))?;
            let rows = statement.query_map([oldest, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut deleted = 0;
        for (room, count) in old {
            deleted += self.trim(connection, room, count)?;
        }
        connection.prepare_cached(&self.sql.forget_rooms)?.execute([])?;
        Ok(deleted >= STEP)
    }

    /// Deletes what is too much, as far as one step goes; gives whether there is more.
    fn sweep(&self, connection: &Connection, keep: i64) -> rusqlite::Result<bool> {
        let oversized: Vec<(i64, i64)> = {
            let mut statement = connection.prepare_cached(&self.sql.oversized)?;
            let rows = statement.query_map([keep, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let mut left = STEP;
        for (room, surplus) in oversized {
            left -= self.trim(connection, room, surplus.min(left))?;
            if left <= 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The greatest id there is, or 0.
    pub fn newest(&self, connection: &Connection) -> rusqlite::Result<i64> {
        if !self.exists {
            return Ok(0);
        }
        let newest: Option<i64> =
            connection.prepare_cached(&self.sql.newest)?.query_row([], |row| row.get(0))?;
        Ok(newest.unwrap_or(0))
    }

    /// The rooms of which something is archived for a user, and how many messages.
    pub fn rooms(&self, connection: &Connection, owner: &BareJid) -> rusqlite::Result<Vec<(String, u64)>> {
        if !self.exists {
            return Ok(Vec::new());
        }
        let mut statement = connection.prepare_cached(&self.sql.rooms)?;
        let rows = statement.query_map([owner.as_str()], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
        rows.collect()
    }

    /// Id and time of the first and the last message of a room.
    pub fn ends(
        &self,
        connection: &Connection,
        owner: &BareJid,
        room: &str,
    ) -> rusqlite::Result<Option<[(i64, u64); 2]>> {
        if !self.exists {
            return Ok(None);
        }
        let Some(room) = self.room(connection, owner, room)? else { return Ok(None) };
        let mut statement = connection.prepare_cached(&self.sql.ends)?;
        let rows = statement.query_map([room], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
        let rows: Vec<(i64, u64)> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(rows.first().copied().zip(rows.last().copied()).map(|(first, last)| [first, last]))
    }

    /// A page of a room's archive; none if an id that was named is not in it.
    pub fn page(
        &self,
        connection: &Connection,
        owner: &BareJid,
        room: &str,
        wanted: &Wanted,
    ) -> rusqlite::Result<Option<Page>> {
        let named = [wanted.after_id, wanted.before_id, wanted.page_after, wanted.page_before];
        let named = named.into_iter().flatten().chain(wanted.ids.iter().copied());
        let room = if self.exists { self.room(connection, owner, room)? } else { None };
        let Some(room) = room else {
            let empty = Page { complete: true, ..Page::default() };
            return Ok((named.count() == 0).then_some(empty));
        };
        for id in named {
            if !connection.prepare_cached(&self.sql.is_there)?.exists([room, id])? {
                return Ok(None);
            }
        }
        let (filters, page) = (Filters::of(wanted), Filters::of_page(wanted));
        let max = u64::from(wanted.max);
        let mut rows = self.select(connection, room, wanted, page, max + 1)?;
        let complete = rows.len() as u64 <= max;
        rows.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        if wanted.backwards {
            rows.reverse();
        }
        let count = self.count(connection, room, wanted, filters)?;
        let first = match rows.first() {
            Some(first) => {
                let before = Filters { below: filters.below.min(first.id), ..filters };
                self.count(connection, room, wanted, before)?
            }
            None => 0,
        };
        Ok(Some(Page { lines: rows, first, count, complete }))
    }

    fn select(
        &self,
        connection: &Connection,
        room: i64,
        wanted: &Wanted,
        page: Filters,
        limit: u64,
    ) -> rusqlite::Result<Vec<Archived>> {
        let order = if wanted.backwards { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT id, stamp, nick, message {} ORDER BY id {order} LIMIT {limit} OFFSET {}",
            self.which(wanted),
            // SQLite takes no greater one.
            number(wanted.index.unwrap_or(0))
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let row = |row: &rusqlite::Row<'_>| {
            let stamp = unsigned(row.get(1)?);
            Ok(Archived { id: row.get(0)?, stamp, nick: row.get(2)?, message: row.get(3)? })
        };
        let rows = statement.query_map(
            named_params! {
                ":room": room, ":above": page.above, ":below": page.below,
                ":start": start(wanted), ":end": end(wanted), ":nick": wanted.nick,
            },
            row,
        )?;
        rows.collect()
    }

    fn count(
        &self,
        connection: &Connection,
        room: i64,
        wanted: &Wanted,
        filters: Filters,
    ) -> rusqlite::Result<u64> {
        let mut statement = connection.prepare_cached(&format!("SELECT count(*) {}", self.which(wanted)))?;
        let count: i64 = statement.query_row(
            named_params! {
                ":room": room, ":above": filters.above, ":below": filters.below,
                ":start": start(wanted), ":end": end(wanted), ":nick": wanted.nick,
            },
            |row| row.get(0),
        )?;
        Ok(unsigned(count))
    }

    fn which(&self, wanted: &Wanted) -> String {
        let p = &self.prefix;
        // Named even if it is not compared, so that all statements have the same parameters.
        let nick = if wanted.nick.is_some() { "nick = :nick" } else { ":nick IS NULL" };
        let ids: Vec<String> = wanted.ids.iter().map(i64::to_string).collect();
        let ids = if ids.is_empty() { String::new() } else { format!(" AND id IN ({})", ids.join(",")) };
        format!(
            "FROM {p}archive WHERE room_id = :room AND id > :above AND id < :below \
             AND stamp BETWEEN :start AND :end AND {nick}{ids}"
        )
    }
}

/// Between which ids, without themselves.
#[derive(Clone, Copy)]
struct Filters {
    above: i64,
    below: i64,
}

impl Filters {
    fn of(wanted: &Wanted) -> Self {
        Self { above: wanted.after_id.unwrap_or(i64::MIN), below: wanted.before_id.unwrap_or(i64::MAX) }
    }

    fn of_page(wanted: &Wanted) -> Self {
        let all = Self::of(wanted);
        Self {
            above: wanted.page_after.map_or(all.above, |id| id.max(all.above)),
            below: wanted.page_before.map_or(all.below, |id| id.min(all.below)),
        }
    }
}

fn start(wanted: &Wanted) -> i64 {
    wanted.start.map_or(i64::MIN, number)
}

fn end(wanted: &Wanted) -> i64 {
    wanted.end.map_or(i64::MAX, number)
}

fn number(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
