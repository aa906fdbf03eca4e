//! Pages of a slot's keys in an order that is the same on every node and does not change: that of a public hash of the
//! key. So a walk over pages goes on where it was, on whatever node the slot is then.

use boato_storage::Entries;
use bytes::Bytes;
use rapidhash::v3::rapidhash_v3;

use super::{Page, SCAN_LIMIT, glob};

/// A position is the first bits of a key's hash, so many of them; keys of one position come together.
pub const POSITION_BITS: u32 = 39;

/// A page looks at this part of a slot's keys at least.
const PART: usize = 32;

/// Bytes of keys after which a page ends.
const BYTES_MAX: usize = 4 << 20;

/// Where a key comes.
fn position_of(key: &[u8]) -> u64 {
    rapidhash_v3(key) >> (u64::BITS - POSITION_BITS)
}

/// The live keys from `position` on, about `count` of them.
pub(super) fn of(entries: &Entries, position: u64, count: u32, pattern: Option<&[u8]>, now_ms: u64) -> Page {
    let want = (count.clamp(1, SCAN_LIMIT) as usize).max(entries.len() / PART);
    let live = entries.entries().filter(|entry| entry.is_live(now_ms));
    let mut keys: Vec<(u64, &[u8])> = live.map(|entry| (position_of(entry.key), entry.key)).collect();
    keys.retain(|(at, _)| *at >= position);
    let mut page = Page::default();
    if keys.len() > want {
        let (_, &mut (last, _), _) = keys.select_nth_unstable(want - 1);
        keys.retain(|(at, _)| *at <= last);
        page.next = Some(last + 1).filter(|next| next >> POSITION_BITS == 0);
    }
    keys.sort_unstable();
    let mut bytes = 0;
    for (index, &(at, key)) in keys.iter().enumerate() {
        if bytes > BYTES_MAX && keys[index - 1].0 < at {
            page.next = Some(at);
            break;
        }
        page.seen += 1;
        if pattern.is_none_or(|pattern| glob::matches(pattern, key)) {
            bytes += key.len();
            page.keys.push(Bytes::copy_from_slice(key));
        }
    }
    page
}
