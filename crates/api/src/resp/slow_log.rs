//! Commands that took long: each is a warning, and the last of them are what `SLOWLOG` shows.
//!
//! A door measures what was read together from the read to the last reply, so an entry is the first command of a read, with a
//! word about those that came with it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::inline;
use super::parser::{Bounds, Frame, Parser};
use super::table::{self, NO_AUTH};
use crate::http::AccessLog;

/// Entries that are kept, and what is kept of each, as in Redis.
pub(super) const KEPT: usize = 128;
const WORDS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 128;

/// The slow commands of the RESP doors of one process; clones keep them together. A door without one keeps none, as
/// the default's threshold is never.
#[derive(Clone, Debug, Default)]
pub struct SlowLog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Says what is slow, for HTTP too.
    access_log: AccessLog,
    kept: Mutex<Kept>,
}

/// The newest entry is the first.
#[derive(Debug, Default)]
struct Kept {
    next_id: i64,
    entries: VecDeque<Arc<Entry>>,
}

/// Commands that were read together and took long.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) unix_s: u64,
    pub(super) took: Duration,
    /// The first command, cut to what is kept.
    pub(super) words: Vec<Vec<u8>>,
    pub(super) client: SocketAddr,
    pub(super) name: String,
}

impl SlowLog {
    /// Keeps what takes longer than the slow requests of this log, whatever that is at the time.
    pub fn new(access_log: AccessLog) -> SlowLog {
        SlowLog(Arc::new(Inner { access_log, kept: Mutex::default() }))
    }

    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.0.access_log.is_slow(took)
    }

    /// What takes longer is slow; `None`: nothing is.
    pub(super) fn threshold(&self) -> Option<Duration> {
        self.0.access_log.slow()
    }

    /// Commands that were read together, `bytes` in all, have taken so long. The words of commands that carry passwords are not kept.
    pub(super) fn note(
        &self,
        bytes: &[u8],
        commands: u64,
        took: Duration,
        client: SocketAddr,
        name: impl FnOnce() -> String,
    ) {
        let Some(words) = first(bytes) else { return };
        let spec = table::command(&words[0]).map(|(_, spec)| spec);
        if spec.is_some_and(|spec| spec.has(NO_AUTH)) {
            return;
        }
        let borrowed: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let key = spec.and_then(|spec| spec.keys_of(&borrowed).next());
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(WORD_BYTES_MAX)]).into_owned();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::warn!(
            command = text(&words[0]),
            key = key.map(text),
            read_together = commands,
            took_us,
            %client,
            "a slow command: `boato top` tells which node is slow or forwards much, `slow-log` what counts as slow; shorter pipelines wait less"
        );
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let words = cut(&words, commands);
        let name = name();
        let mut kept = self.0.kept.lock();
        let id = kept.next_id;
        kept.next_id += 1;
        kept.entries.truncate(KEPT - 1);
        kept.entries.push_front(Arc::new(Entry { id, unix_s, took, words, client, name }));
    }

    /// The newest first, so many at most.
    pub(super) fn newest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.0.kept.lock().entries.iter().take(count).map(Arc::clone).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.kept.lock().entries.len()
    }

    /// Forgets all. Ids go on.
    pub(super) fn reset(&self) {
        self.0.kept.lock().entries.clear();
    }
}

/// The words of the first command.
fn first(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    // It was read under bounds already.
    let bounds =
        Bounds { arguments: usize::MAX, bulk_bytes: usize::MAX, command_bytes: usize::MAX, stranger: false };
    loop {
        let mut parts = Vec::new();
        let (words, length) = match Parser::default().next(bytes, &bounds, &mut parts).ok()?? {
            Frame::Command(length) => (parts.into_iter().map(<[u8]>::to_vec).collect(), length),
            Frame::Line(line, length) => (inline::split(line).ok()?, length),
            Frame::Nothing(length) => (Vec::new(), length),
        };
        if !words.is_empty() {
            return Some(words);
        }
        bytes = &bytes[length..];
    }
}

/// As Redis cuts, with a last word for the commands that came with this one.
fn cut(words: &[Vec<u8>], commands: u64) -> Vec<Vec<u8>> {
    let kept = if words.len() > WORDS_MAX { WORDS_MAX - 1 } else { words.len() };
    let mut cut: Vec<Vec<u8>> = words[..kept].iter().map(|word| cut_word(word)).collect();
    if words.len() > kept {
        cut.push(format!("... ({} more arguments)", words.len() - kept).into_bytes());
    }
    if commands > 1 {
        cut.push(format!("... ({} more commands)", commands - 1).into_bytes());
    }
    cut
}

fn cut_word(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(WORD_BYTES_MAX) {
        Some((kept, rest)) if !rest.is_empty() => {
            [kept, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(slow: &SlowLog, bytes: &[u8], commands: u64) -> Vec<String> {
        let client = ([127, 0, 0, 1], 1).into();
        slow.note(bytes, commands, Duration::from_millis(20), client, || "me".to_owned());
        let newest = slow.newest(1);
        let words = newest.iter().flat_map(|entry| &entry.words);
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn an_entry_is_the_first_command_cut_as_redis_does() {
        let kept = SlowLog::default();
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        assert_eq!(noted(&kept, get, 1), ["GET", "k"]);
        assert_eq!(
            noted(&kept, &[&b"\r\n*0\r\n"[..], get, get].concat(), 2),
            ["GET", "k", "... (1 more commands)"]
        );
        assert_eq!(noted(&kept, b"set 'a b' 1\r\n", 1), ["set", "a b", "1"]);
        assert_eq!(noted(&kept, b"exec\r\n", 1), ["exec"], "its commands are in no entry of their own");
        let lengthy = format!("set k {}\r\n", "x".repeat(WORD_BYTES_MAX + 5));
        assert_eq!(
            noted(&kept, lengthy.as_bytes(), 1)[2],
            format!("{}... (5 more bytes)", "x".repeat(WORD_BYTES_MAX))
        );
        let many = format!("mget {}\r\n", "k ".repeat(40));
        let words = noted(&kept, many.as_bytes(), 1);
        assert_eq!((words.len(), &*words[WORDS_MAX - 1]), (WORDS_MAX, "... (10 more arguments)"));
    }

    #[test]
    fn passwords_are_not_kept() {
        let kept = SlowLog::default();
        for line in [&b"auth secret\r\n"[..], b"HELLO 3 AUTH default secret\r\n", b"\r\n", b"*1\r\n$3\r\nGE"]
        {
            assert!(noted(&kept, line, 1).is_empty(), "{line:?}");
        }
    }

    #[test]
    fn the_last_entries_are_kept_under_ids_that_go_on() {
        let kept = SlowLog::default();
        for _ in 0..KEPT + 3 {
            noted(&kept, b"ping\r\n", 1);
        }
        let ids: Vec<i64> = kept.newest(2).iter().map(|entry| entry.id).collect();
        assert_eq!((kept.len(), ids), (KEPT, vec![130, 129]));
        kept.reset();
        noted(&kept, b"ping\r\n", 1);
        assert_eq!((kept.len(), kept.newest(9)[0].id), (1, 131));
    }
}
