//! What is measured: a workload is a door and the way in which clients use it.

use std::fmt;

use anyhow::{Result, ensure};

/// Values of one server together are at most about this large, in bytes; there are fewer keys otherwise.
const DATA_BYTES_MAX: usize = 1 << 30;
/// Keys, unless another number is asked for.
pub(super) const KEYS: u32 = 1_000_000;

const SIZES: [usize; 3] = [64, 1 << 10, 16 << 10];
const DEPTHS: [usize; 3] = [1, 16, 64];

/// The protocol that boato is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    /// RESP; memcached is asked in its own.
    Resp,
    Http,
}

/// How many nodes there are, and which are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// A single node.
    One,
    /// Three nodes; each key is asked for where it is.
    Cluster,
    /// Three nodes; any is asked for any key.
    Proxy,
}

/// Reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mix {
    Get,
    Set,
    /// Nine reads to a write.
    Mixed,
}

/// How often each key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spread {
    /// All alike.
    Uniform,
    /// By Zipf's law, exponent 0.99.
    Zipf,
}

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Workload {
    pub(super) door: Door,
    pub(super) shape: Shape,
    /// Length of a value.
    pub(super) bytes: usize,
    pub(super) mix: Mix,
    pub(super) spread: Spread,
    /// Requests that a connection sends at once.
    pub(super) depth: usize,
    /// How many keys there are.
    pub(super) keys: u32,
}

/// What workloads have in common that can be measured with the same processes and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) door: Door,
    pub(super) shape: Shape,
    pub(super) bytes: usize,
    pub(super) keys: u32,
}

impl Stage {
    pub(super) fn nodes(self) -> usize {
        if self.shape == Shape::One { 1 } else { 3 }
    }
}

impl Workload {
    pub(super) fn stage(&self) -> Stage {
        Stage { door: self.door, shape: self.shape, bytes: self.bytes, keys: self.keys }
    }

    /// The words of its name.
    fn words(&self) -> [String; 6] {
        let size =
            if self.bytes < 1 << 10 { self.bytes.to_string() } else { format!("{}k", self.bytes >> 10) };
        let word = |word: &dyn fmt::Debug| format!("{word:?}").to_lowercase();
        let depth = format!("p{}", self.depth);
        [word(&self.door), word(&self.mix), size, depth, word(&self.spread), word(&self.shape)]
    }

    /// Whether every word of `pattern` is one of its name's.
    fn fits(&self, pattern: &str) -> bool {
        let words = self.words();
        pattern.split('-').all(|wanted| words.iter().any(|word| word == wanted))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join("-"))
    }
}

/// Every workload with up to so many keys, those that share a stage side by side.
fn all(keys: u32) -> Vec<Workload> {
    let depths = |door, shape, bytes, mix, spread| {
        let keys = u32::try_from(DATA_BYTES_MAX / bytes).map_or(keys, |most| keys.min(most));
        DEPTHS.map(|depth| Workload { door, shape, bytes, mix, spread, depth, keys })
    };
    let mut all = Vec::new();
    for shape in [Shape::One, Shape::Cluster] {
        for bytes in SIZES {
            for mix in [Mix::Get, Mix::Set, Mix::Mixed] {
                for spread in [Spread::Uniform, Spread::Zipf] {
                    all.extend(depths(Door::Resp, shape, bytes, mix, spread));
                }
            }
        }
    }
    for mix in [Mix::Get, Mix::Set] {
        all.extend(depths(Door::Resp, Shape::Proxy, 64, mix, Spread::Uniform));
    }
    for bytes in SIZES {
        all.extend(depths(Door::Http, Shape::One, bytes, Mix::Get, Spread::Uniform));
    }
    all
}

/// What is measured unless something else is asked for, as patterns of names: every mix, size, depth, spread and shape, but not
/// each with every other one.
const USUAL: [&str; 11] = [
    "resp-64-uniform-one",
    "resp-get-1k-uniform-one",
    "resp-set-1k-uniform-one",
    "resp-get-16k-uniform-one",
    "resp-set-16k-uniform-one",
    "resp-64-p64-zipf-one",
    "resp-64-uniform-cluster",
    "resp-64-p64-zipf-cluster",
    "resp-1k-p16-uniform-cluster",
    "proxy",
    "http",
];

/// The workloads with up to so many keys of which some pattern gives words of the name (`get-64-p16`), or the usual ones.
pub(super) fn choose(patterns: &[String], keys: u32) -> Result<Vec<Workload>> {
    let all = all(keys);
    let usual = USUAL.map(str::to_owned);
    let patterns = if patterns.is_empty() { &usual } else { patterns };
    for pattern in patterns {
        ensure!(
            all.iter().any(|workload| workload.fits(pattern)),
            "no workload is called `{pattern}`: give words of a name like {}",
            all[0]
        );
    }
    let chosen = |workload: &Workload| patterns.iter().any(|pattern| workload.fits(pattern));
    Ok(all.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn chosen(pattern: &str) -> Vec<String> {
        choose(&[pattern.to_owned()], KEYS).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_of_a_name_choose_whole_words_only() {
        assert_eq!(chosen("http-p1-64"), ["http-get-64-p1-uniform-one"]);
        assert_eq!(chosen("set-16k-p64-zipf-cluster"), ["resp-set-16k-p64-zipf-cluster"]);
        assert!(choose(&["get-p6".to_owned()], KEYS).is_err());
    }

    #[test]
    fn every_workload_is_there_once() {
        let all = choose(&["resp", "http"].map(str::to_owned), KEYS).unwrap();
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((all.len(), unique.len()), (123, 123));
    }

    #[test]
    fn the_usual_workloads_have_everything_that_any_has() {
        let words = |workloads: &[Workload]| -> BTreeSet<String> {
            workloads.iter().flat_map(Workload::words).collect()
        };
        let usual = choose(&[], KEYS).unwrap();
        assert_eq!(words(&usual), words(&all(KEYS)));
        assert_eq!(usual.len(), 54);
    }

    #[test]
    fn large_values_have_fewer_keys() {
        let keys = |pattern: &str, most| choose(&[pattern.to_owned()], most).unwrap()[0].keys;
        assert_eq!(["64", "1k", "16k"].map(|bytes| keys(bytes, KEYS)), [1_000_000, 1_000_000, 65_536]);
        assert_eq!(["64", "16k"].map(|bytes| keys(bytes, 100_000)), [100_000, 65_536]);
    }
}
