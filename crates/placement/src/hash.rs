//! The frozen hash: node ids and items to 64 bits, alike on every platform.
//!
//! Everything is built from one bijection of 64 bits, the finaliser of `SplitMix64` with the
//! multipliers of David Stafford's "Mix13" (both in the public domain). Golden vectors below pin it;
//! changing it is a new [`VERSION`](crate::VERSION).

/// Keeps id 0 and item 0 away from the fixed point of [`mix`], which is 0. (2^64 / golden ratio.)
const OFFSET: u64 = 0x9e37_79b9_7f4a_7c15;

/// A bijection in which every input bit flips about half of the output bits.
#[inline]
pub(crate) const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The hash of an item (a range, the hash of a key) on its own.
#[inline]
pub(crate) const fn item(item: u64) -> u64 {
    mix(item.wrapping_add(OFFSET))
}

/// The hash of a node id on its own.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of the id, one after the other")]
pub(crate) const fn node(id: u128) -> u64 {
    mix(mix((id as u64).wrapping_add(OFFSET)) ^ (id >> 64) as u64)
}

/// The hash of a node together with an item, from the hashes of each.
#[inline]
pub(crate) const fn pair(node: u64, item: u64) -> u64 {
    mix(node ^ item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors() {
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
        assert_eq!(mix(u64::MAX), 0xb4d0_55fc_f2cb_bd7b);
        // The first number of SplitMix64 from seed 0, as published.
        assert_eq!(item(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(item(2047), 0xb317_6756_d828_d698);
        for (id, hash, with_item_7) in [
            (0, 0x4821_8226_ff3c_d4bf, 0x02e7_3bb2_5e16_80cc),
            (1, 0xdce4_23fc_82c0_d5b8, 0xb788_4434_b298_b99e),
            (0x0123_4567_89ab_cdef_fedc_ba98_7654_3210, 0x729f_ab7e_a7d7_88c6, 0x6d4f_8b75_22f3_94d9),
        ] {
            assert_eq!(node(id), hash);
            assert_eq!(pair(node(id), item(7)), with_item_7);
        }
    }
}
