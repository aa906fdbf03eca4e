//! CRC16-XMODEM (polynomial 0x1021, initial value 0, nothing reflected), eight bytes at a time.
//!
//! Eight table reads per word that do not wait for each other ("slicing-by-8": Kounavis and Berry,
//! "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008). The initial
//! value is 0, so zeros in front of a message do not change its CRC: a message is padded in front to
//! whole words and needs no loop over single bytes.

const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[k][b]` is the CRC of the byte `b` followed by `k` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u16;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut zeros = 0;
        while zeros < 8 {
            crc = shift_byte(crc);
            tables[zeros][byte as usize] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// The CRC register after eight more message bits of zero.
const fn shift_byte(mut crc: u16) -> u16 {
    let mut bit = 0;
    while bit < 8 {
        let carry = crc & 0x8000 != 0;
        crc <<= 1;
        if carry {
            crc ^= POLYNOMIAL;
        }
        bit += 1;
    }
    crc
}

/// The CRC of a message whose CRC was `crc` before these eight bytes (big-endian in `word`).
#[inline]
pub(crate) fn step(crc: u16, word: u64) -> u16 {
    let read = |zeros: usize, word: u64| TABLES[zeros][(word >> (8 * zeros) & 0xff) as usize];
    // Only the first two bytes wait for the step before: the other six are read meanwhile.
    let others =
        (read(5, word) ^ read(4, word)) ^ (read(3, word) ^ read(2, word)) ^ (read(1, word) ^ read(0, word));
    let mixed = word ^ (u64::from(crc) << 48);
    read(7, mixed) ^ read(6, mixed) ^ others
}

/// The bytes as big-endian words, zeros in front of the first.
#[inline]
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (first, rest) = bytes.split_at(bytes.len() % 8);
    let first = match bytes.first_chunk() {
        _ if first.is_empty() => 0,
        Some(word) => u64::from_be_bytes(*word) >> (64 - 8 * first.len()),
        None => short_word(first),
    };
    let rest = rest.as_chunks().0.iter().map(|chunk| u64::from_be_bytes(*chunk));
    std::iter::once(first).chain(rest)
}

/// At most seven bytes as one big-endian word; four and more by two reads that overlap.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(head), Some(tail)) => {
            let (head, tail) = (u32::from_be_bytes(*head), u32::from_be_bytes(*tail));
            u64::from(head) << (8 * (bytes.len() - 4)) | u64::from(tail)
        }
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crc16(bytes: &[u8]) -> u16 {
        words(bytes).fold(0, step)
    }

    /// The textbook definition, bit by bit.
    fn by_definition(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| shift_byte(crc ^ u16::from(*byte) << 8))
    }

    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(crc16(&bytes), by_definition(&bytes));
        }
    }
}
