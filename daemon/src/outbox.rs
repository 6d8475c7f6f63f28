//! Bytes on their way to a peer.
//!
//! The loop appends whole stanzas or frames and never waits; a task of the link writes them out as fast as the peer
//! reads. Nothing is lost when that task is interrupted. What the loop does about a peer that reads too slowly is told
//! by [`Outbox::is_over`] and, once it has caught up, by a wake-up.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// A bounded byte queue with one writer.
#[derive(Debug)]
pub struct Outbox {
    queue: RefCell<Queue>,
    bounds: Bounds,
    /// The queue was over the bound and has not been seen below it since.
    over: Cell<bool>,
    closed: Cell<bool>,
    /// Wakes the writer.
    changed: Notify,
    /// Wakes whoever waits in [`Outbox::closed`].
    closing: Notify,
    drained: Rc<Notify>,
}

/// When a peer counts as slow, and when as quick again.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// More bytes than this are too many.
    pub high: usize,
    /// Once there were too many, fewer than this are few.
    pub low: usize,
    /// A peer that takes not one byte for so long is lost.
    pub stall: Duration,
    /// Memory of an empty outbox above which it is given back.
    pub keep: usize,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// An empty outbox; `drained` is notified when it has been over the bound and is no longer.
    #[must_use]
    pub fn new(bounds: Bounds, drained: Rc<Notify>) -> Self {
        Self {
            queue: RefCell::default(),
            bounds,
            over: Cell::new(false),
            closed: Cell::new(false),
            changed: Notify::new(),
            closing: Notify::new(),
            drained,
        }
    }

    /// Appends what `encode` writes. After [`Outbox::close`] nothing is taken any more.
    pub fn push<T>(&self, encode: impl FnOnce(&mut Vec<u8>) -> T) -> Option<T> {
        if self.closed.get() {
            return None;
        }
        let result = encode(&mut self.queue.borrow_mut().bytes);
        if self.len() > self.bounds.high {
            self.over.set(true);
        }
        self.changed.notify_one();
        Some(result)
    }

    /// Bytes that the peer has not taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        let queue = self.queue.borrow();
        queue.bytes.len() - queue.written
    }

    /// Whether all is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the peer reads too slowly.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// What is in the outbox is the last; [`Outbox::write_to`] ends when it is written.
    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
        self.closing.notify_waiters();
    }

    /// Waits until the outbox is closed.
    pub async fn closed(&self) {
        while !self.closed.get() {
            self.closing.notified().await;
        }
    }

    /// Writes to the peer until the outbox is closed and empty. May be interrupted and called again.
    ///
    /// # Errors
    /// The error of the connection; `TimedOut` if the peer takes nothing for too long.
    pub async fn write_to(&self, peer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        loop {
            while !self.is_empty() {
                let written =
                    timeout(self.bounds.stall, self.write_some(peer)).await.map_err(|_| self.stalled())??;
                self.remove(written);
            }
            // Encryption keeps bytes back that the connection had no room for.
            timeout(self.bounds.stall, peer.flush()).await.map_err(|_| self.stalled())??;
            if self.closed.get() && self.is_empty() {
                return Ok(());
            }
            if self.is_empty() {
                self.changed.notified().await;
            }
        }
    }

    fn stalled(&self) -> io::Error {
        let seconds = self.bounds.stall.as_secs();
        io::Error::new(io::ErrorKind::TimedOut, format!("it has read nothing for {seconds} s"))
    }

    async fn write_some(&self, peer: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        // The queue is borrowed within one poll only, so that the loop can append between two.
        let written = poll_fn(|context| {
            let queue = self.queue.borrow();
            let rest = queue.bytes.get(queue.written..).unwrap_or_default();
            Pin::new(&mut *peer).poll_write(context, rest)
        })
        .await?;
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }

    fn remove(&self, written: usize) {
        let mut queue = self.queue.borrow_mut();
        queue.written += written;
        if queue.written == queue.bytes.len() {
            queue.written = 0;
            queue.bytes.clear();
            queue.bytes.shrink_to(self.bounds.keep);
        } else if queue.written >= queue.bytes.len() / 2 {
            // Moving only when at least half is written keeps the cost of a byte constant.
            let written = std::mem::take(&mut queue.written);
            queue.bytes.drain(..written);
        }
        let left = queue.bytes.len() - queue.written;
        if self.over.get() && left < self.bounds.low {
            self.over.set(false);
            self.drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt, duplex};

    const BOUNDS: Bounds = Bounds { high: 1000, low: 100, stall: Duration::from_secs(60), keep: 1000 };

    fn outbox() -> (Outbox, Rc<Notify>) {
        let drained = Rc::new(Notify::new());
        (Outbox::new(BOUNDS, Rc::clone(&drained)), drained)
    }

    #[tokio::test]
    async fn everything_arrives_in_order_and_closing_ends_the_writer() {
        let (outbox, _drained) = outbox();
        let (mut ours, mut theirs) = duplex(7);
        let sent: Vec<u8> = (0..=255).collect();
        outbox.push(|buffer| buffer.extend_from_slice(&sent[..100]));
        let receive = async {
            let mut received = vec![0; 100];
            theirs.read_exact(&mut received).await.unwrap();
            outbox.push(|buffer| buffer.extend_from_slice(&sent[100..]));
            outbox.close();
            assert_eq!(outbox.push(|buffer| buffer.push(0)), None);
            let mut rest = vec![0; 156];
            theirs.read_exact(&mut rest).await.unwrap();
            received.extend(rest);
            received
        };
        let (written, received) = tokio::join!(outbox.write_to(&mut ours), receive);
        written.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn nothing_is_lost_or_doubled_when_the_writer_is_interrupted() {
        let (outbox, _drained) = outbox();
        let (mut ours, mut theirs) = duplex(3);
        let sent: Vec<u8> = (0..50).collect();
        outbox.push(|buffer| buffer.extend_from_slice(&sent));
        outbox.close();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            tokio::select! {
                biased;
                byte = theirs.read_u8() => received.push(byte.unwrap()),
                result = outbox.write_to(&mut ours) => result.unwrap(),
            }
        }
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn a_slow_peer_is_noticed_and_so_is_its_recovery() {
        let (outbox, drained) = outbox();
        let (mut ours, mut theirs) = duplex(10);
        outbox.push(|buffer| buffer.resize(1000, b'x'));
        assert!(!outbox.is_over());
        outbox.push(|buffer| buffer.push(b'x'));
        assert!(outbox.is_over());
        let read = async {
            let mut received = [0; 500];
            theirs.read_exact(&mut received).await.unwrap();
            assert!(outbox.is_over(), "still more than the lower bound");
            let mut received = [0; 501];
            tokio::join!(drained.notified(), theirs.read_exact(&mut received)).1.unwrap();
        };
        tokio::select! {
            result = outbox.write_to(&mut ours) => panic!("the writer ended: {result:?}"),
            () = read => {}
        }
        assert!(!outbox.is_over());
        assert!(outbox.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_reads_is_lost() {
        let (outbox, _drained) = outbox();
        let (mut ours, _theirs) = duplex(10);
        outbox.push(|buffer| buffer.resize(11, b'x'));
        let error = outbox.write_to(&mut ours).await.unwrap_err();
        assert_eq!(error.to_string(), "it has read nothing for 60 s");
    }
}
