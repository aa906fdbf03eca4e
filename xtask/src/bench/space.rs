//! Keys, and what their values must look like.

use fastrand::Rng;

use super::workload::Spread;

/// Length of a key in bytes.
pub(super) const KEY_BYTES: usize = 20;
/// Number of the key and of the write, in front of every value.
const HEAD_BYTES: usize = 8;
/// How many places there are in the text that values are cut from.
const PLACES: usize = 1 << 14;
/// Seed of the text.
const TEXT_SEED: u64 = 5;
/// Exponent of Zipf's law, as YCSB has it.
const ZIPF: f64 = 0.99;
/// Scatters the frequent keys: a prime greater than any number of keys.
const SCATTER: u64 = 2_654_435_761;

/// The keys of a run and their values.
pub(super) struct Space {
    pub(super) keys: u32,
    pub(super) bytes: usize,
    text: Vec<u8>,
    zipf: Zipf,
}

impl Space {
    pub(super) fn new(keys: u32, bytes: usize) -> Self {
        let mut rng = Rng::with_seed(TEXT_SEED);
        let text = (0..PLACES + bytes).map(|_| rng.alphanumeric() as u8).collect();
        Self { keys, bytes, text, zipf: Zipf::new(keys) }
    }

    /// The name of a key.
    pub(super) fn key(key: u32) -> [u8; KEY_BYTES] {
        let mut name = *b"key:0000000000000000";
        let mut rest = key;
        for digit in name.iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        name
    }

    /// Appends the value that a write puts there.
    pub(super) fn write_value(&self, key: u32, write: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&write.to_le_bytes());
        out.extend_from_slice(self.rest(key, write));
    }

    /// Whether some write of the key put `value` there, whole.
    pub(super) fn is_value(&self, key: u32, value: &[u8]) -> bool {
        let Some((head, rest)) = value.split_at_checked(HEAD_BYTES) else { return false };
        let (whose, write) = head.split_at(4);
        let Ok(write) = write.try_into().map(u32::from_le_bytes) else { return false };
        whose == key.to_le_bytes() && rest == self.rest(key, write)
    }

    fn rest(&self, key: u32, write: u32) -> &[u8] {
        let place = (key.wrapping_mul(31) ^ write.wrapping_mul(0x9e37_79b9)) as usize % PLACES;
        &self.text[place..place + self.bytes - HEAD_BYTES]
    }

    /// A key by chance.
    pub(super) fn draw(&self, spread: Spread, rng: &mut Rng) -> u32 {
        match spread {
            Spread::Uniform => rng.u32(..self.keys),
            Spread::Zipf => {
                let scattered = u64::from(self.zipf.rank(rng.f64())) * SCATTER % u64::from(self.keys);
                u32::try_from(scattered).expect("invariant: a remainder is below the number of keys")
            }
        }
    }
}

/// Ranks by Zipf's law: Gray et al., Quickly Generating Billion-Record Synthetic Databases (1994), section 3.2.
struct Zipf {
    count: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(count: u32) -> Self {
        let zeta = |count: u32| (1..=count).map(|rank| f64::from(rank).powf(-ZIPF)).sum::<f64>();
        let all = zeta(count);
        let count = f64::from(count);
        let eta = (1.0 - (2.0 / count).powf(1.0 - ZIPF)) / (1.0 - zeta(2) / all);
        Self { count, zeta: all, alpha: 1.0 / (1.0 - ZIPF), eta }
    }

    /// The rank, from 0, that a number drawn from [0, 1) stands for.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank lies between 0 and the count, which is a u32"
    )]
    fn rank(&self, drawn: f64) -> u32 {
        let scaled = drawn * self.zeta;
        if scaled < 1.0 {
            0
        } else if scaled < 1.0 + 0.5_f64.powf(ZIPF) {
            1
        } else {
            let rank = self.count * (self.eta * drawn - self.eta + 1.0).powf(self.alpha);
            rank.min(self.count - 1.0) as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_length_and_number() {
        assert_eq!(&Space::key(1_020), b"key:0000000000001020");
        assert_eq!(&Space::key(u32::MAX), b"key:0000004294967295");
    }

    #[test]
    fn a_value_of_another_key_or_torn_from_two_writes_is_wrong() {
        let space = Space::new(100, 64);
        let value = |key, write| {
            let mut value = Vec::new();
            space.write_value(key, write, &mut value);
            value
        };
        let whole = value(7, 3);
        assert!(whole.len() == 64 && space.is_value(7, &whole));
        assert!(!space.is_value(8, &whole));
        assert!(!space.is_value(7, &whole[..63]) && !space.is_value(7, b""));
        let torn = [&value(7, 4)[..32], &whole[32..]].concat();
        assert!(!space.is_value(7, &torn));
    }

    #[test]
    fn zipf_uses_the_first_key_most_and_the_last_ones_at_all() {
        let (space, mut rng) = (Space::new(1000, 64), Rng::with_seed(1));
        let mut counts = vec![0; 1000];
        (0..100_000).for_each(|_| counts[space.draw(Spread::Zipf, &mut rng) as usize] += 1);
        // The first rank's share of 1000 is 1 / 7.73.
        assert!((12_000..14_000).contains(&counts[0]), "{}", counts[0]);
        assert_eq!(counts[0], *counts.iter().max().unwrap());
        assert!(counts.iter().filter(|count| **count > 0).count() > 900);
        (0..10_000).for_each(|_| assert!(space.draw(Spread::Uniform, &mut rng) < 1000));
    }
}
