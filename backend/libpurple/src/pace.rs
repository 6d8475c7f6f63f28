//! How fast lines may be sent to a network that punishes haste.

use std::time::{Duration, Instant};

/// A bucket of tokens, one for each line: some lines may go at once, further ones one in so many seconds.
#[derive(Debug)]
pub struct Bucket {
    /// Time for one line; zero: no limit.
    interval: Duration,
    /// Lines that may go at once.
    burst: u32,
    /// When the bucket will be full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: None }
    }

    /// Takes a token, or says when there will be one.
    ///
    /// # Errors
    /// The moment of the next token.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let room = self.interval * self.burst.max(1);
        let full_at = self.full_at.unwrap_or(now).max(now) + self.interval;
        if full_at > now + room {
            return Err(full_at.checked_sub(room).unwrap_or(now));
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_step() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::new(2 * second, 5);
        for _ in 0..5 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(start + 2 * second));
        assert_eq!(bucket.take(start + second), Err(start + 2 * second));
        assert_eq!(bucket.take(start + 2 * second), Ok(()));
        assert_eq!(bucket.take(start + 2 * second), Err(start + 4 * second));
    }

    #[test]
    fn a_rest_fills_the_bucket_but_not_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Duration::from_secs(2), 3);
        let later = start + Duration::from_secs(1000);
        assert_eq!(bucket.take(start), Ok(()));
        for _ in 0..3 {
            assert_eq!(bucket.take(later), Ok(()));
        }
        assert!(bucket.take(later).is_err());
    }

    #[test]
    fn without_an_interval_there_is_no_limit() {
        let mut bucket = Bucket::new(Duration::ZERO, 0);
        assert!((0..10_000).all(|_| bucket.take(Instant::now()).is_ok()));
    }
}
