//! What a connection has read and not yet understood.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

/// Room for one read, at least and at most: it grows while clients fill it.
const ROOM_MIN: usize = 16 << 10;
const ROOM_MAX: usize = 64 << 10;

/// A command that brings so many bytes more in its time is on its way.
const PROGRESS_BYTES: usize = 16 << 10;

/// What has come of a command gives it more time in all, but no more than it takes at this rate.
const BYTES_PER_S_MIN: u32 = 64 << 10;

#[derive(Debug)]
pub(super) struct Input {
    bytes: Vec<u8>,
    room: usize,
    /// Whether the last read found no more than there was room for.
    drained: bool,
    /// When the command at the front began.
    since: Option<Instant>,
    /// When it last made progress, and how much of it was there.
    progress: Option<(Instant, usize)>,
}

impl Input {
    pub(super) fn new() -> Input {
        Input { bytes: Vec::new(), room: ROOM_MIN, drained: true, since: None, progress: None }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the last read took all that was there; otherwise there is likely more.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Bytes of memory held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets so many bytes at the front, where commands were.
    pub(super) fn forget(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        (self.since, self.progress) = (None, None);
        self.bytes.drain(..bytes);
        if self.bytes.len() < self.room && self.bytes.capacity() > ROOM_MAX {
            self.bytes.shrink_to(self.room);
        }
    }

    /// Makes room for what the front command needs, but not for more than has come already.
    ///
    /// `needed`: the length at which the parser can go on.
    pub(super) fn make_room(&mut self, needed: usize) {
        let len = self.bytes.len();
        let missing = needed.saturating_sub(len).clamp(1, len.max(self.room));
        if self.bytes.capacity() - len < missing || self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(missing.max(self.room));
        }
    }

    /// Reads what is there, waiting for the first byte; 0 at the end. Can be dropped at any time.
    pub(super) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let spare = self.bytes.capacity() - self.bytes.len();
        let bytes = from.read_buf(&mut self.bytes).await?;
        self.drained = bytes < spare;
        if bytes == spare {
            self.room = (self.room * 2).min(ROOM_MAX);
        } else if bytes < self.room / 8 {
            self.room = (self.room / 2).max(ROOM_MIN);
        }
        Ok(bytes)
    }

    /// Reads what is known to be there; 0 if that is nothing.
    pub(super) fn read_now(&mut self, from: &ReadHalf<'_>) -> io::Result<usize> {
        match from.try_read_buf(&mut self.bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            read => read,
        }
    }

    /// When the command at the front must be complete or have made progress; `None`: nothing has begun.
    ///
    /// Whatever progress it makes, it has no longer than `limit` and the time that its bytes take at 64 KiB/s, from the first
    /// byte: as a command is bounded, so is its time.
    pub(super) fn deadline(&mut self, limit: Duration) -> Option<Instant> {
        let len = self.bytes.len();
        if len == 0 {
            return None;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let progress = match self.progress {
            Some((at, before)) if len < before + PROGRESS_BYTES => at,
            _ => {
                let now = Instant::now();
                self.progress = Some((now, len));
                now
            }
        };
        Some((progress + limit).min(since + limit + at_least_rate(len)))
    }
}

/// How long so many bytes take at the least rate.
fn at_least_rate(bytes: usize) -> Duration {
    let millis = bytes as u64 * 1000 / u64::from(BYTES_PER_S_MIN);
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn dripping_a_command_does_not_extend_its_time_and_progress_does() {
        let mut input = Input::new();
        assert_eq!(input.deadline(LIMIT), None);
        let start = Instant::now();
        input.read(&mut &b"*2\r\n"[..]).await.unwrap();
        assert_eq!(input.deadline(LIMIT), Some(start + LIMIT));
        tokio::time::advance(LIMIT / 2).await;
        input.read(&mut &b"$"[..]).await.unwrap();
        assert_eq!(input.deadline(LIMIT), Some(start + LIMIT));
        input.make_room(1 << 20);
        input.read(&mut &[0; PROGRESS_BYTES][..]).await.unwrap();
        assert_eq!(
            input.deadline(LIMIT),
            Some(start + LIMIT + Duration::from_millis(250)),
            "16 KiB more, at 64 KiB/s"
        );
        input.forget(10);
        tokio::time::advance(LIMIT / 2).await;
        assert_eq!(input.deadline(LIMIT), Some(start + LIMIT * 2), "another command has begun");
        input.forget(input.bytes().len());
        assert_eq!(input.deadline(LIMIT), None);
    }

    /// When a command of 64 MiB is ended that brings 16 KiB in each interval; `None`: it is complete before.
    async fn ended_after(interval: Duration) -> Option<Duration> {
        let (start, all) = (Instant::now(), 64 << 20);
        let mut input = Input::new();
        while input.bytes().len() < all {
            input.make_room(all);
            input.read(&mut &[0; PROGRESS_BYTES][..]).await.unwrap();
            let deadline = input.deadline(LIMIT).unwrap();
            if deadline < Instant::now() + interval {
                return Some(deadline - start);
            }
            tokio::time::advance(interval).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_command_is_bounded_whatever_progress_it_makes() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(ended_after(seconds(31.0)).await, Some(seconds(30.0)), "no progress");
        assert_eq!(ended_after(seconds(29.0)).await, Some(seconds(30.5)), "two pieces");
        assert_eq!(ended_after(seconds(0.5)).await, Some(seconds(60.25)), "half the least rate");
        assert_eq!(ended_after(seconds(0.25)).await, None, "the least rate");
    }

    #[tokio::test]
    async fn memory_follows_what_has_come_and_is_given_back() {
        let mut input = Input::new();
        let needed = 8 << 20;
        let value = vec![7; needed];
        let mut rest = &value[..];
        let mut rooms = 0;
        while !rest.is_empty() {
            input.make_room(needed);
            assert!(input.held_bytes() <= 2 * input.bytes().len() + ROOM_MAX, "claimed, not sent");
            let mut piece = &rest[..rest.len().min(100_000)];
            let before = piece.len();
            input.read(&mut piece).await.unwrap();
            rest = &rest[before - piece.len()..];
            rooms += 1;
        }
        assert!(rooms < 200, "{rooms} reads");
        assert!(input.held_bytes() <= needed + ROOM_MAX, "hardly more than needed");
        input.forget(needed);
        assert!(input.held_bytes() <= ROOM_MAX);
    }
}
