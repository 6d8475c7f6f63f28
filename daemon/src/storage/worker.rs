//! The thread that owns the database.
//!
//! Guarantees: asking never blocks the caller; both queues are bounded; requests are carried out in the order in which
//! they were made; everything that was accepted is carried out before [`Storage`] is gone, also when nobody waits for
//! the answer any more.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use spectrum2_config::{Config, DatabaseKind};
use tokio::sync::mpsc;
use tracing::warn;

use super::sqlite::Sqlite;
use super::{Answer, Error, OpenError, Request};
use crate::gateway::Token;
use crate::logging;

/// Requests that may wait. A burst of logins is a few requests for each user.
const QUEUE: usize = 1024;

/// Requests that share a transaction, and so one sync of the disk.
const BATCH: usize = 64;

/// What comes back for a request.
pub type Reply = (Token, Result<Answer, Error>);

/// The database, behind a queue.
#[derive(Debug)]
pub struct Storage {
    requests: Option<SyncSender<(Token, Request)>>,
    replies: mpsc::Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
}

impl Storage {
    /// Opens the database that `[database]` names and starts its thread.
    ///
    /// # Errors
    /// The section asks for something that cannot be, or the database cannot be opened.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::start(engine(config)?, QUEUE)
    }

    fn start(engine: Sqlite, queue: usize) -> Result<Self, OpenError> {
        let (requests, incoming) = sync_channel(queue);
        let (outgoing, replies) = mpsc::channel(queue);
        let thread = thread::Builder::new()
            .name("storage".to_owned())
            .spawn(logging::inheriting(move || serve(engine, &incoming, &outgoing)))
            .map_err(|error| {
                OpenError::Unavailable(format!(
                    "The storage thread cannot be started: {error}. Raise TasksMax= or ulimit -u."
                ))
            })?;
        Ok(Self { requests: Some(requests), replies, thread: Some(thread) })
    }

    /// Queues a request; its answer comes from [`Storage::reply`] with the same token.
    ///
    /// # Errors
    /// The queue is full: the request is given back, to be made again after the next [`Storage::reply`].
    // Large because it is the request itself, which the caller needs again.
    #[allow(clippy::result_large_err)]
    pub fn ask(&self, token: Token, request: Request) -> Result<(), (Token, Request)> {
        let Some(requests) = &self.requests else { return Err((token, request)) };
        requests.try_send((token, request)).map_err(|error| match error {
            TrySendError::Full(rejected) | TrySendError::Disconnected(rejected) => rejected,
        })
    }

    /// Waits for the next answer. Cancelling loses nothing. `None`: the thread has died, and no answer will ever come.
    pub async fn reply(&mut self) -> Option<Reply> {
        self.replies.recv().await
    }
}

impl Drop for Storage {
    /// Waits until everything that was accepted is stored.
    fn drop(&mut self) {
        self.requests = None;
        // A thread that waits for somebody to take its answers would wait for ever.
        self.replies.close();
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The engine that the configuration asks for.
fn engine(config: &Config) -> Result<Sqlite, OpenError> {
    let database = &config.database;
    match database.kind {
        DatabaseKind::Sqlite3 => {
            if !database.encryption_key.is_empty() {
                // COMPAT(Spectrum 2): it ignores the key for SQLite, so files hold plain passwords.
                warn!(
                    "database.encryption_key does nothing for SQLite, as in Spectrum 2: passwords in {} are plain text.",
                    database.database
                );
            }
            Sqlite::open(database.database.as_ref(), &database.prefix)
        }
        DatabaseKind::None => Sqlite::in_memory(),
        kind @ (DatabaseKind::Mysql | DatabaseKind::Pqxx) => Err(OpenError::Configuration(format!(
            "database.type is {}, and this program is built without it. Use sqlite3, which needs no further setting.",
            kind.as_str()
        ))),
    }
}

/// Until the queue is closed and empty.
fn serve(mut engine: Sqlite, requests: &Receiver<(Token, Request)>, replies: &mpsc::Sender<Reply>) {
    while let Ok(first) = requests.recv() {
        let (tokens, batch): (Vec<_>, Vec<_>) =
            std::iter::once(first).chain(requests.try_iter().take(BATCH - 1)).unzip();
        for reply in tokens.into_iter().zip(engine.carry_out(&batch)) {
            // Fails when the daemon ends and no longer listens; what is queued is to be stored all the same.
            let _ = replies.blocking_send(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Registration;
    use jid::BareJid;
    use spectrum2_config::Secret;

    fn save(number: usize) -> Request {
        Request::SaveUser(
            BareJid::new(&format!("user{number}@example.org")).unwrap(),
            Registration {
                id: 0,
                legacy_name: format!("user{number}"),
                password: Secret::default(),
                language: String::new(),
                encoding: String::new(),
                vip: false,
            },
        )
    }

    fn token(number: usize) -> Token {
        Token(u64::try_from(number).unwrap())
    }

    #[tokio::test]
    async fn answers_come_in_the_order_of_the_requests() {
        let mut storage = Storage::start(Sqlite::in_memory().unwrap(), QUEUE).unwrap();
        for number in 1..=200 {
            storage.ask(token(number), save(number)).unwrap();
        }
        for number in 1..=200 {
            let id = i64::try_from(number).unwrap();
            assert_eq!(storage.reply().await, Some((token(number), Ok(Answer::Id(id)))));
        }
    }

    #[tokio::test]
    async fn a_full_queue_gives_the_request_back() {
        let mut storage = Storage::start(Sqlite::in_memory().unwrap(), 1).unwrap();
        let mut asked = 0;
        // Nobody takes answers, so the thread stops taking requests.
        let rejected = loop {
            match storage.ask(token(asked), Request::AllUsers) {
                Ok(()) => asked += 1,
                Err((token, _)) => break token,
            }
        };
        assert_eq!(rejected, token(asked));
        for number in 0..asked {
            assert_eq!(storage.reply().await.unwrap().0, token(number));
        }
        storage.ask(rejected, Request::AllUsers).unwrap();
        assert_eq!(storage.reply().await.unwrap().0, rejected);
    }

    #[test]
    fn what_was_accepted_is_stored_although_nobody_waits() {
        let path = std::env::temp_dir().join(format!("spectrum2-test-{}", fastrand::u64(..)));
        let storage = Storage::start(Sqlite::open(&path, "").unwrap(), QUEUE).unwrap();
        for number in 0..300 {
            storage.ask(token(number), save(number)).unwrap();
        }
        drop(storage);
        let answers = Sqlite::open(&path, "").unwrap().carry_out(&[Request::AllUsers]);
        assert!(matches!(&answers[0], Ok(Answer::Jids(jids)) if jids.len() == 300));
        std::fs::remove_file(path).unwrap();
    }
}
