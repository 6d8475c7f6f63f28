//! What the server wants to be woken for.

use serde::{Deserialize, Serialize};

use crate::client::Client;

/// A reason to wake up. Each is armed at most once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// The network has not let in whoever waits on this connection.
    Login(Client),
    /// Whoever failed to log in on this connection has waited long enough for the answer.
    Answer(Client),
    /// Whoever logged in on this connection has not bound a resource.
    Bind(Client),
    /// The client of this session (account, number) has not come back.
    Resume(String, u64),
    /// Messages kept for this account are too old.
    Held(String),
    /// Forget attempts to log in that are long past.
    Attempts,
}
