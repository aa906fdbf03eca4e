//! The binary logarithm in integers: the same bits on every machine, which no `f64::log2` promises.

/// Fractional bits of a distance.
pub(crate) const FRACTION_BITS: u32 = 40;

/// Segments per octave; the logarithm is linear between their ends.
const SEGMENTS: usize = 256;

/// `DISTANCES[i] = (1 - log2(1 + i / 256)) * 2^40`, rounded up: the distances within the top octave.
static DISTANCES: [u64; SEGMENTS + 1] = table();

/// `-log2(hash / 2^64)`: how far a hash is from the top, in fixed point with 40 fractional bits.
///
/// At least 1, at most `64 << 40` (for hashes 0 and 1), and never larger for a larger hash. In each of
/// 256 segments of an octave a chord stands for the curve; with that the result is never too small,
/// and too large by less than one part in 900 and five units.
#[inline]
pub(crate) fn distance(hash: u64) -> u64 {
    let hash = hash | 1;
    let octave = hash.leading_zeros();
    let fraction = (hash << octave) << 1;
    let [segment, ..] = fraction.to_be_bytes();
    let within = fraction << 8 >> 33;
    let (left, right) = (DISTANCES[usize::from(segment)], DISTANCES[usize::from(segment) + 1]);
    (u64::from(octave) << FRACTION_BITS) + left - (((left - right) * within) >> 31)
}

const fn table() -> [u64; SEGMENTS + 1] {
    let mut table = [0; SEGMENTS + 1];
    let mut i = 0;
    while i < SEGMENTS {
        table[i] = (1 << FRACTION_BITS) - log2_of_mantissa(((SEGMENTS + i) as u64) << 55);
        i += 1;
    }
    table
}

/// `log2(x / 2^63) * 2^40` for `x >= 2^63`, bit by bit: squaring doubles the logarithm, and its next
/// bit is whether the square reached 2. (Knuth, "The Art of Computer Programming", section 1.2.2.)
#[expect(clippy::cast_possible_truncation, reason = "the shift brings a square of 128 bits back to 64")]
const fn log2_of_mantissa(mut x: u64) -> u64 {
    let mut log = 0;
    let mut bit = 0;
    while bit < FRACTION_BITS {
        let square = x as u128 * x as u128;
        let reached_two = square >> 127;
        log = log << 1 | reached_two as u64;
        x = (square >> (63 + reached_two)) as u64;
        bit += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_vectors() {
        for (hash, expected) in [
            (0, 64 << FRACTION_BITS),
            (1, 64 << FRACTION_BITS),
            (2, 0x3e6a_3fe5_c605),
            (1 << 32, 0x1fff_ffff_fe90),
            (0x1234_5678_9abc_def0, 0x03d0_5412_fb35),
            (1 << 63, 1 << FRACTION_BITS),
            (3 << 62, 0x6a_3fe5_c605),
            (u64::MAX, 2),
        ] {
            assert_eq!(distance(hash), expected, "{hash:#x}");
        }
    }

    /// Hashes of all magnitudes, and as near to the top.
    fn hashes() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32, any::<bool>())
            .prop_map(|(hash, shift, top)| if top { !(hash >> shift) } else { hash >> shift })
    }

    proptest! {
        #[test]
        fn a_larger_hash_is_never_farther(left in hashes(), right in hashes()) {
            prop_assert!(distance(left.max(right)) <= distance(left.min(right)));
            prop_assert!(distance(left) >= 1);
        }

        #[test]
        #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance above the loss")]
        fn as_precise_as_documented(hash in hashes()) {
            let hash = hash | 1;
            let (high, top) = (hash >> 63 == 1, 2_f64.powi(64));
            let from_top = (u64::MAX - hash) as f64 + 1.0;
            let log = if high { (-from_top / top).ln_1p() } else { (hash as f64 / top).ln() };
            let exact = -log / std::f64::consts::LN_2 * (1_u64 << FRACTION_BITS) as f64;
            let ours = distance(hash) as f64;
            prop_assert!(ours >= exact * (1.0 - 1e-12), "{ours} < {exact}");
            prop_assert!(ours <= exact * (1.0 + 1.0 / 900.0) + 5.0, "{ours} > {exact}");
        }
    }
}
