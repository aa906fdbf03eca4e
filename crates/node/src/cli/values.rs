//! Entries read and written over HTTP, which knows their content types.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::entries::{self, Entry};
use super::failure::Failure;
use super::resp::{PAUSE, TRIES, unix_ms};
use crate::client::{Client, ClientError, Found};

/// Keys asked for at a time.
const AT_A_TIME: usize = 64;

/// The entries of these keys; those that are gone are left out.
pub(super) fn read(client: &Client, keys: &[Vec<u8>]) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::with_capacity(keys.len());
    // Pieces still to be read, the next one last.
    let mut pieces: Vec<Vec<&[u8]>> =
        keys.chunks(AT_A_TIME).rev().map(|some| some.iter().map(Vec::as_slice).collect()).collect();
    let start = Instant::now();
    while let Some(keys) = pieces.pop() {
        let found = match client.values(&keys) {
            Ok(found) => found,
            Err(ClientError::Refused { status: 413, .. }) if keys.len() > 1 => {
                let (first, second) = keys.split_at(keys.len() / 2);
                pieces.extend([second.to_vec(), first.to_vec()]);
                continue;
            }
            Err(error) if is_passing(&error) && start.elapsed() < TRIES => {
                sleep(PAUSE);
                pieces.push(keys);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let (now_ms, mut again) = (unix_ms(), Vec::new());
        for (key, found) in keys.into_iter().zip(found) {
            match found {
                Found::Nothing => {}
                Found::Value(value) => entries.push(Entry {
                    key: key.to_vec(),
                    value: value.bytes,
                    content_type: value.content_type,
                    expires_at_ms: value.ttl.map(|ttl| now_ms.saturating_add(ms(ttl))),
                }),
                Found::Failed(503 | 504, _) if start.elapsed() < TRIES => again.push(key),
                Found::Failed(_, reason) => return Err(Failure::Key { key: entries::shown(key), reason }),
            }
        }
        if !again.is_empty() {
            sleep(PAUSE);
            pieces.push(again);
        }
    }
    Ok(entries)
}

/// Writes an entry that has a content type; with `keep`, only if its key is not there. Whether it was written, or why the node
/// does not take it.
pub(super) fn write(client: &Client, entry: &Entry, keep: bool) -> Result<Result<bool, String>, Failure> {
    let content_type = entry.content_type.as_deref().unwrap_or_default();
    let ttl_s = entry.expires_at_ms.map(|at| at.saturating_sub(unix_ms()).div_ceil(1000).max(1));
    let start = Instant::now();
    loop {
        match client.put(&entry.key, &entry.value, content_type, ttl_s, keep) {
            Ok(written) => return Ok(Ok(written)),
            Err(error) if is_passing(&error) && start.elapsed() < TRIES => sleep(PAUSE),
            // The entry's own fault: not 412, which `keep` asks for, and not 429, a node with too much to do.
            Err(ClientError::Refused { status: 400 | 411 | 413..=428 | 431, detail, .. }) => {
                return Ok(Err(detail));
            }
            Err(ClientError::Refused { detail: reason, .. }) => {
                return Err(Failure::Key { key: entry.shown(), reason });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a node says that it cannot now, or that it does not know: reading or writing the same again does no harm.
fn is_passing(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 429 | 503 | 504, .. })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
