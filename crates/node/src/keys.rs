//! Pages of keys over the whole cluster: the cursor walks the slots, wherever each is held.

use std::time::Duration;

use boato_api::{self as api, KeysPage, KeysQuery};
use boato_cluster::quic::Cluster;
use boato_cluster::{Effect, LIST_BYTES, LIST_LIMIT, Operation};
use boato_placement::SLOTS;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use crate::backend::failure;

/// Slots that a page looks at before it is handed out with few keys.
const SLOTS_PER_PAGE: u16 = 4096;

/// How long a page without keys goes on beyond that.
const TIME_WITHOUT_KEYS: Duration = Duration::from_secs(2);

/// Slots asked at a time.
const CONCURRENCY: usize = 16;

/// Where a page begins: in a slot, after a key. As text `<slot>` or `<slot>-<key in hexadecimal>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    slot: u16,
    after: Option<Bytes>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (slot, after) = match text.split_once('-') {
            Some((slot, key)) => (slot, Some(unhex(key)?)),
            None => (text, None),
        };
        let slot = slot.parse().ok().filter(|&slot: &u16| usize::from(slot) < SLOTS)?;
        Some(Self { slot, after })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.slot)?;
        if let Some(key) = &self.after {
            f.write_str("-")?;
            key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// One page. A key that is there throughout is listed, whatever moves meanwhile: each slot is asked at its
/// holder.
pub(crate) fn page(
    cluster: Cluster,
    query: KeysQuery<'_>,
) -> BoxFuture<'static, Result<KeysPage, api::Failure>> {
    let cursor = query.cursor.map_or(Some(Cursor::default()), Cursor::parse);
    let (prefix, limit) = (Bytes::copy_from_slice(query.prefix), query.limit.min(LIST_LIMIT as usize));
    async move {
        let cursor = cursor.ok_or_else(bad_cursor)?;
        walk(cluster, cursor, prefix, limit).await
    }
    .boxed()
}

async fn walk(
    cluster: Cluster,
    cursor: Cursor,
    prefix: Bytes,
    limit: usize,
) -> Result<KeysPage, api::Failure> {
    let all = u16::try_from(SLOTS).expect("invariant: 16384 slots");
    let want = u32::try_from(limit).unwrap_or(LIST_LIMIT);
    let (first, began) = (cursor.slot, Instant::now());
    let mut lists = stream::iter(first..all)
        .map(|slot| {
            let after = cursor.after.clone().filter(|_| slot == first);
            let operation = Operation::List { slot, prefix: prefix.clone(), after, limit: want };
            let cluster = cluster.clone();
            async move { (slot, cluster.execute(operation).await) }
        })
        .buffered(CONCURRENCY);
    let mut keys: Vec<Bytes> = Vec::new();
    while let Some((slot, listed)) = lists.next().await {
        let (Effect::Keys(mut found), _) = listed.map_err(failure)? else { continue };
        let room = limit - keys.len();
        let bytes: usize = found.iter().map(Bytes::len).sum();
        if found.len() >= room || bytes >= LIST_BYTES {
            found.truncate(room);
            keys.append(&mut found);
            let cursor = Cursor { slot, after: keys.last().cloned() };
            return Ok(KeysPage { keys, cursor: Some(cursor.to_string()) });
        }
        keys.append(&mut found);
        let next = slot + 1;
        let is_long = next - first >= SLOTS_PER_PAGE;
        if next < all && is_long && (!keys.is_empty() || began.elapsed() >= TIME_WITHOUT_KEYS) {
            return Ok(KeysPage { keys, cursor: Some(Cursor { slot: next, after: None }.to_string()) });
        }
    }
    Ok(KeysPage { keys, cursor: None })
}

fn bad_cursor() -> api::Failure {
    api::Failure::BadCursor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for after in [None, Some(Bytes::new()), Some(Bytes::from_static(b"a/\xff"))] {
            let cursor = Cursor { slot: 16383, after };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
    }

    #[test]
    fn a_cursor_of_somebodys_own_making_is_refused() {
        for text in ["", "16384", "-1", "1-0", "1-zz", "1-\u{e9}\u{e9}", "x"] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
    }
}
