//! Fingerprints of what is believed, by which two members find out cheaply what they believe differently.

use crate::NodeId;
use crate::precedence::Standing;

/// Members per bucket. Fewer make longer digests, more make longer summaries of what differs.
const MEMBERS_PER_BUCKET: usize = 8;
/// Binary logarithm of the most buckets of a digest.
pub(crate) const BUCKETS_LOG2_MAX: u8 = 13;

/// One fingerprint per bucket of node ids. Equal beliefs about equal members give equal fingerprints, in whatever
/// order they are added; others give others, but for 1 of 2^64.
#[derive(Debug)]
pub(crate) struct Digest {
    log2: u8,
    sums: Vec<u64>,
}

impl Digest {
    /// An empty one with a bucket per few of so many members.
    pub(crate) fn for_members(members: usize) -> Digest {
        let wanted = members.div_ceil(MEMBERS_PER_BUCKET);
        let enough = (0..BUCKETS_LOG2_MAX).find(|log2| 1 << log2 >= wanted);
        Digest::of(enough.unwrap_or(BUCKETS_LOG2_MAX))
    }

    /// An empty one of `2^log2` buckets.
    pub(crate) fn of(log2: u8) -> Digest {
        assert!(log2 <= BUCKETS_LOG2_MAX, "the number of a bucket has 16 bits");
        Digest { log2, sums: vec![0; 1 << log2] }
    }

    pub(crate) fn add(&mut self, id: NodeId, standing: Standing) {
        let bucket = usize::from(self.bucket(id));
        self.sums[bucket] = self.sums[bucket].wrapping_add(fingerprint(id, standing));
    }

    /// The bucket of a node.
    pub(crate) fn bucket(&self, id: NodeId) -> u16 {
        let [low, high, ..] = mix(fold(id)).to_le_bytes();
        u16::from_le_bytes([low, high]) & ((1 << self.log2) - 1)
    }

    pub(crate) fn into_buckets(self) -> Vec<u64> {
        self.sums
    }

    /// The buckets in which `other`, which has as many, differs.
    pub(crate) fn differing(&self, other: impl Iterator<Item = u64>) -> Vec<u16> {
        let pairs = self.sums.iter().zip(other).zip(0..);
        pairs.filter(|((own, theirs), _)| *own != theirs).map(|(_, bucket)| bucket).collect()
    }
}

fn fingerprint(id: NodeId, standing: Standing) -> u64 {
    let Standing { boot, incarnation, state } = standing;
    [boot, incarnation, state as u64].iter().fold(mix(fold(id)), |hash, part| mix(hash ^ mix(*part)))
}

/// Node ids are random: mixing their halves is hash enough.
fn fold(id: NodeId) -> u64 {
    ((id.0 ^ (id.0 >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 64) as u64
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014), after its increment.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    fn standing(incarnation: u64, state: State) -> Standing {
        Standing { boot: 1, incarnation, state }
    }

    fn digest(members: impl Iterator<Item = (u128, Standing)>) -> Digest {
        let mut digest = Digest::for_members(1000);
        members.for_each(|(id, standing)| digest.add(NodeId(id), standing));
        digest
    }

    #[test]
    fn equal_beliefs_give_equal_digests_in_any_order() {
        let alive = |id| (id, standing(3, State::Alive));
        let (up, down) = (digest((0..1000).map(alive)), digest((0..1000).rev().map(alive)));
        assert_eq!(up.differing(down.into_buckets().into_iter()), [0_u16; 0]);
    }

    #[test]
    fn what_differs_is_found_in_its_bucket() {
        let all = || (0..1000).map(|id| (id, standing(3, State::Alive)));
        let others = [standing(3, State::Suspect), standing(4, State::Alive)].map(Some);
        for other in others.into_iter().chain([None]) {
            let known = digest(all());
            let changed =
                all().filter_map(|(id, same)| if id == 77 { Some((id, other?)) } else { Some((id, same)) });
            let differing = known.differing(digest(changed).into_buckets().into_iter());
            assert_eq!(differing, [known.bucket(NodeId(77))]);
        }
    }

    #[test]
    fn buckets_hold_a_few_members_each() {
        assert_eq!([0, 1, 16, 17, 1000, 1 << 20].map(|n| Digest::for_members(n).log2), [0, 0, 1, 2, 7, 13]);
        let digest = Digest::for_members(1000);
        let mut counts = [0; 128];
        (0..1000).for_each(|id| counts[usize::from(digest.bucket(NodeId(id << 96 | id)))] += 1);
        assert!(counts.iter().all(|count| *count < 25), "{counts:?}");
    }
}
