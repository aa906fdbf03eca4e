//! The key space: slots, and the Redis Cluster rule that maps a key to one.

use crate::crc16::{step, words};

/// Number of slots of the key space, as in Redis Cluster.
pub const SLOTS: usize = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 14;

/// Number of contiguous ranges that slots are owned in.
pub const RANGES: usize = 2048;

/// Slots in one range: range `r` holds the slots `8 * r ..= 8 * r + 7`.
pub const SLOTS_PER_RANGE: usize = SLOTS / RANGES;

/// The slot of a key, below [`SLOTS`]: CRC16-XMODEM modulo 16384, exactly as Redis Cluster.
///
/// Where the key holds a `{` and the next `}` after the first `{` is not right behind it, only the
/// bytes between the two are hashed (the hash tag), so that related keys can share a slot.
///
/// ```
/// use boato_placement::slot;
/// assert_eq!(slot(b"foo"), 12182);
/// assert_eq!(slot(b"{foo}.bar"), 12182);
/// assert_eq!(slot(b"{}foo"), 9500); // an empty tag is no tag
/// ```
#[inline]
pub fn slot(key: &[u8]) -> u16 {
    let mut crc = 0;
    for word in words(key) {
        if places(word, b'{') != 0 {
            // Whatever comes before a tag is not hashed.
            crc = words(hash_tag(key).unwrap_or(key)).fold(0, step);
            break;
        }
        crc = step(crc, word);
    }
    crc % (1 << SLOT_BITS)
}

/// Not 0 if and only if a byte of the word is this one: a byte of zero borrows through its top bit. The lowest bit set is that
/// of the lowest such byte.
#[inline]
fn places(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero_where_it_is = word ^ (ONES * u64::from(byte));
    zero_where_it_is.wrapping_sub(ONES) & !zero_where_it_is & TOPS
}

/// What is hashed instead of the key, if it has a tag that is not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let tag = &key[find(key, b'{')? + 1..];
    let close = find(tag, b'}')?;
    (close > 0).then(|| &tag[..close])
}

/// Where a byte is first, eight at a time.
#[inline]
fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let within = |chunk: &[u8; 8]| match places(u64::from_le_bytes(*chunk), byte) {
        0 => None,
        places => Some(places.trailing_zeros() as usize / 8),
    };
    let (chunks, rest) = bytes.as_chunks();
    for (index, chunk) in chunks.iter().enumerate() {
        if let Some(place) = within(chunk) {
            return Some(8 * index + place);
        }
    }
    match bytes.last_chunk() {
        // The bytes before the rest are known to be others.
        Some(last) => within(last).map(|place| bytes.len() - 8 + place),
        None => rest.iter().position(|other| *other == byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_of_redis() {
        // CLUSTER KEYSLOT of Redis 7.
        for (key, expected) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("bar", 5061),
            ("hello", 866),
            ("somekey", 11058),
            ("foo{hash_tag}", 2515),
            ("somekey{hash_tag}", 2515),
            ("{user1000}.following", 3443),
            ("user1000", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("{bar", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn a_tag_needs_both_braces_in_order_and_something_between() {
        for whole in ["a}b{c", "a{b", "{}", "}{", "a{}b", "{", "}"] {
            assert_eq!(hash_tag(whole.as_bytes()), None, "{whole}");
        }
        assert_eq!(hash_tag(b"a{b}c"), Some(&b"b"[..]));
        assert_eq!(hash_tag(b"}{{b}c"), Some(&b"{b"[..]));
    }

    #[test]
    fn a_brace_is_seen_in_every_place_and_nothing_else_is() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut bytes = [b'z'; 8];
                bytes[place] = byte;
                assert_eq!(places(u64::from_be_bytes(bytes), b'{') != 0, byte == b'{');
            }
        }
    }

    #[test]
    fn a_byte_is_found_where_it_is_first() {
        for length in 0..40 {
            let mut bytes = vec![b'z'; length];
            assert_eq!(find(&bytes, b'{'), None);
            // Also behind itself, and behind a byte that differs by one.
            for place in (0..length).rev() {
                bytes[place] = b'{';
                assert_eq!(find(&bytes, b'{'), Some(place), "{length} bytes");
                bytes[place] = if place % 2 == 0 { b'z' } else { b'{' + 1 };
                assert_eq!(find(&bytes, b'{'), None, "{length} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn the_tag_alone_decides(before in "[^{]{0,20}", tag in "[^}]{1,20}", after in ".{0,20}") {
            let key = format!("{before}{{{tag}}}{after}");
            let tag_crc = words(tag.as_bytes()).fold(0, step);
            prop_assert_eq!(slot(key.as_bytes()), tag_crc % 16384);
        }

        #[test]
        fn every_slot_exists(key in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(usize::from(slot(&key)) < SLOTS);
        }
    }
}
