//! Spectrum 2's tables for SQLite: made in a fresh file, recognised in an old one, never changed.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::OpenError;
use super::place::Place;

/// The version that Spectrum 2 writes for SQLite. It never reads it.
const VERSION: i64 = 3;

struct Table {
    /// Without prefix.
    name: &'static str,
    columns: &'static str,
    index: Option<Index>,
}

/// Indices have no prefix in Spectrum 2, so in a file that two transports share the second one has none, and nothing may
/// count on `users.jid` being a key.
struct Index {
    create: &'static str,
    name: &'static str,
    columns: &'static str,
}

/// In the order in which Spectrum 2 makes them. It takes the first for the sign that all are there.
const TABLES: [Table; 5] = [
    Table {
        name: "buddies",
        columns: "id INTEGER PRIMARY KEY NOT NULL, user_id int(10) NOT NULL, uin varchar(255) NOT NULL, \
                  subscription varchar(20) NOT NULL, nickname varchar(255) NOT NULL, \
                  groups varchar(255) NOT NULL, flags int(4) NOT NULL DEFAULT '0'",
        index: Some(Index { create: "CREATE UNIQUE INDEX", name: "user_id", columns: "user_id, uin" }),
    },
    Table {
        name: "buddies_settings",
        columns: "user_id int(10) NOT NULL, buddy_id int(10) NOT NULL, var varchar(50) NOT NULL, \
                  type int(4) NOT NULL, value varchar(255) NOT NULL, PRIMARY KEY (buddy_id, var)",
        index: Some(Index { create: "CREATE INDEX", name: "user_id02", columns: "user_id" }),
    },
    Table {
        name: "users",
        columns: "id INTEGER PRIMARY KEY NOT NULL, jid varchar(255) NOT NULL, uin varchar(4095) NOT NULL, \
                  password varchar(255) NOT NULL, language varchar(25) NOT NULL, \
                  encoding varchar(50) NOT NULL DEFAULT 'utf8', last_login datetime, \
                  vip int(1) NOT NULL DEFAULT '0', online int(1) NOT NULL DEFAULT '0'",
        index: Some(Index { create: "CREATE UNIQUE INDEX", name: "jid", columns: "jid" }),
    },
    Table {
        name: "users_settings",
        columns: "user_id int(10) NOT NULL, var varchar(50) NOT NULL, type int(4) NOT NULL, \
                  value varchar(4095) NOT NULL, PRIMARY KEY (user_id, var)",
        index: Some(Index { create: "CREATE INDEX", name: "user_id03", columns: "user_id" }),
    },
    Table { name: "db_version", columns: "ver INTEGER NOT NULL DEFAULT '3'", index: None },
];

/// The prefix becomes part of SQL text, without quotes as in Spectrum 2, so it must be (the start of) a name.
pub(super) fn check_prefix(prefix: &str) -> Result<(), OpenError> {
    let is_name = prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !prefix.starts_with(|c: char| c.is_ascii_digit())
        && !prefix.to_ascii_lowercase().starts_with("sqlite_");
    if is_name {
        return Ok(());
    }
    Err(OpenError::Configuration(format!(
        "database.prefix is {prefix:?}, which cannot start the name of a table. Use letters, digits and '_', with a \
         letter first and not 'sqlite_'."
    )))
}

/// Creates the tables that are missing, in one transaction: all of a fresh file, or the rest where Spectrum 2 was killed
/// between two of them. Then `statements` must make sense, so that a table which lacks a column is found now and not at
/// somebody's first login; if they do not, the file is somebody else's and stays as it was.
pub(super) fn ensure_tables(
    connection: &mut Connection,
    prefix: &str,
    statements: &[&str],
) -> rusqlite::Result<()> {
    if missing_tables(connection, prefix)?.is_empty() {
        return statements.iter().try_for_each(|sql| connection.prepare(sql).map(drop));
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again: another transport with the same file may just have made them.
    for Table { name: table, columns, index } in missing_tables(&transaction, prefix)? {
        transaction.execute_batch(&format!("CREATE TABLE {prefix}{table} ({columns})"))?;
        if let Some(Index { create, name, columns }) = index {
            transaction
                .execute_batch(&format!("{create} IF NOT EXISTS {name} ON {prefix}{table} ({columns})"))?;
        }
        if *table == "db_version" {
            transaction.execute(&format!("INSERT INTO {prefix}db_version (ver) VALUES (?1)"), [VERSION])?;
        }
    }
    statements.iter().try_for_each(|sql| transaction.prepare(sql).map(drop))?;
    transaction.commit()
}

fn missing_tables(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<&'static Table>> {
    // Names of tables are compared without regard to case.
    let mut find = connection
        .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")?;
    let mut missing = Vec::new();
    for table in &TABLES {
        if !find.exists([format!("{prefix}{}", table.name)])? {
            missing.push(table);
        }
    }
    Ok(missing)
}

/// Refuses a database whose meaning may have changed since this program was made.
pub(super) fn check_version(connection: &Connection, prefix: &str, place: &Place) -> Result<(), OpenError> {
    // Versions 1 to 3 are all alike; a row that is missing or says something else is no reason to refuse.
    let newer: Option<i64> = connection
        .query_row(
            &format!("SELECT ver FROM {prefix}db_version WHERE typeof(ver) = 'integer' AND ver > ?1"),
            [VERSION],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| place.open_error(&error))?;
    match newer {
        None => Ok(()),
        Some(version) => Err(OpenError::Configuration(format!(
            "{place} has schema version {version}, and this program knows versions up to {VERSION}. Install the newer \
             program that made it, or restore a backup."
        ))),
    }
}
