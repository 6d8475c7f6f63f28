//! A transport that cannot be served for now, beside others of the same file that are: its database is broken, or a file
//! that only it needs.
//!
//! Guarantees that it is tried again, with a growing pause or as soon as a reload is asked for, until it can be served;
//! that whoever looks sees why it is not; and that the others never wait for it.

use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::bus::{About, Bus, Question, microseconds};
use crate::gateway::admin::{Answer, Outcome, Refusal, Request};
use crate::run::Parts;
use crate::status::{Snapshot, XmppState};
use crate::supervisor::{Order, Reporter};

/// Before the second attempt; each pause is twice as long as the one before it.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);

/// An attempt to make the transport. It must not hold up the thread.
pub type Attempt<C> = Pin<Box<dyn Future<Output = Result<Box<Parts<C>>, Problem>>>>;

/// Why a transport cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong and what to do.
    pub text: String,
    /// The entry of the journal's catalog that explains it.
    pub message_id: &'static str,
}

/// A transport that cannot be served for now.
pub struct Unserved<C> {
    /// Its JID.
    pub jid: String,
    /// Who it is on the bus; `None` if it is not to be there.
    pub about: Option<About>,
    /// Why not.
    pub problem: Problem,
    /// Tries again.
    pub again: Box<dyn FnMut() -> Attempt<C>>,
}

impl<C> Unserved<C> {
    /// Tries again and again. `None`: it was told to stop meanwhile.
    pub async fn until_served(
        &mut self,
        bus: &mut Bus,
        reporter: &mut Reporter,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Option<Box<Parts<C>>> {
        let since = SystemTime::now();
        let mut pause = SHORTEST;
        let mut next = Instant::now() + pause;
        let mut attempt: Option<Attempt<C>> = None;
        // Who asked for a reload over the bus.
        let mut curious: Vec<oneshot::Sender<Outcome>> = Vec::new();
        self.show(reporter, since, pause);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Prove) => reporter.proven(),
                    Some(Order::Reload) => next = Instant::now(),
                    Some(Order::Stop) | None => return None,
                },
                Question { request, reply } = bus.question() => if request == Request::Reload {
                    curious.push(reply);
                    next = Instant::now();
                } else {
                    // Who is gone needs no answer.
                    let _ = reply.send(Err(self.refusal()));
                },
                result = outcome(attempt.as_mut()) => {
                    attempt = None;
                    match result {
                        Ok(parts) => {
                            info!("{} is served now.", self.jid);
                            tell(&mut curious, &Ok(Answer::Reloaded(Vec::new())));
                            return Some(parts);
                        }
                        Err(problem) => self.problem = problem,
                    }
                    tell(&mut curious, &Err(self.refusal()));
                    pause = (2 * pause).min(LONGEST);
                    next = Instant::now() + pause;
                    self.show(reporter, since, pause);
                }
                () = sleep_until(next), if attempt.is_none() => attempt = Some((self.again)()),
            }
        }
    }

    fn refusal(&self) -> Refusal {
        Refusal::Failed(format!("{} is not served: {}", self.jid, self.problem.text))
    }

    fn show(&self, reporter: &mut Reporter, since: SystemTime, pause: Duration) {
        let Problem { text, message_id } = &self.problem;
        // The log has all of it.
        let reason = text.lines().next().unwrap_or_default().trim_end_matches('.');
        reporter.hurry();
        reporter.show(Instant::now(), || Snapshot {
            xmpp_state: XmppState::WAITING,
            xmpp_since: microseconds(since),
            xmpp_error: reason.to_owned(),
            refusal: text.clone(),
            refusal_id: message_id,
            status: format!("not served ({reason}), trying again within {} s", pause.as_secs()),
            last_error: reason.to_owned(),
            ..Snapshot::default()
        });
    }
}

async fn outcome<C>(attempt: Option<&mut Attempt<C>>) -> Result<Box<Parts<C>>, Problem> {
    match attempt {
        Some(attempt) => attempt.await,
        None => pending().await,
    }
}

fn tell(curious: &mut Vec<oneshot::Sender<Outcome>>, outcome: &Outcome) {
    for reply in curious.drain(..) {
        // Who is gone needs no answer.
        let _ = reply.send(outcome.clone());
    }
}
