//! Host names as they occur, their popularity, and what a proxy wants to know of each.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use fastrand::Rng;
use serde_json::{Value, json};

const LABELS: [&str; 12] =
    ["www", "www", "www", "api", "cdn", "img", "static", "shop", "blog", "m", "mail", "app"];
const ADJECTIVES: [&str; 32] = [
    "able", "blue", "bold", "bright", "calm", "clear", "cool", "crisp", "daily", "eager", "early", "fair",
    "fast", "fine", "fresh", "grand", "green", "happy", "kind", "lucky", "mellow", "neat", "north", "open",
    "prime", "quiet", "rapid", "silver", "smart", "sunny", "true", "urban",
];
const NOUNS: [&str; 32] = [
    "atlas", "bakery", "bank", "books", "bridge", "cars", "clinic", "coffee", "dental", "design", "farm",
    "fitness", "garden", "hotel", "house", "jobs", "kitchen", "labs", "legal", "market", "media", "music",
    "news", "paper", "pizza", "sports", "studio", "tickets", "tools", "toys", "travel", "yoga",
];
/// Common ones are listed more often.
const DOMAINS: [&str; 16] = [
    "com", "com", "com", "com", "de", "net", "org", "co.uk", "fr", "io", "nl", "com.br", "it", "shop", "dev",
    "app",
];

/// Sizes of configurations, in bytes; each doubling is as frequent as the next.
const CONFIG_BYTES_MIN: usize = 205;
const CONFIG_BYTES_MAX: usize = 4096;

/// All sites, the most popular first; a site's id is its place.
pub(crate) struct Sites {
    hosts: Vec<String>,
    seed: u64,
    /// Popularity of each site and all before it (Zipf's law: the `k`th weighs `1/k`).
    cumulated: Vec<f64>,
    /// Hashes of the configurations, to check answers by.
    configs: Vec<u64>,
}

impl Sites {
    /// `count` distinct sites, the same ones for the same seed.
    pub(crate) fn generate(count: usize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (mut hosts, mut known) = (Vec::with_capacity(count), HashSet::with_capacity(count));
        while hosts.len() < count {
            let host = host(&mut rng);
            if known.insert(host.clone()) {
                hosts.push(host);
            }
        }
        let weights = (1..).take(count).map(|rank: u32| 1.0 / f64::from(rank));
        let cumulated = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let cumulated = cumulated.collect();
        let mut sites = Self { hosts, seed, cumulated, configs: Vec::new() };
        sites.configs = (0..count).map(|id| hash(sites.config(id).as_bytes())).collect();
        sites
    }

    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn host(&self, id: usize) -> &str {
        self.hosts.get(id).map_or("no site", String::as_str)
    }

    /// A site by chance and popularity.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let all = self.cumulated.last().copied().unwrap_or_default();
        let at = rng.f64() * all;
        self.cumulated.partition_point(|&sum| sum <= at).min(self.hosts.len() - 1)
    }

    /// What a proxy wants to know of a site: JSON of 0.2 to 4 KiB.
    pub(crate) fn config(&self, id: usize) -> String {
        let mut rng = Rng::with_seed(self.seed ^ (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let least = CONFIG_BYTES_MIN << rng.u32(..5);
        let bytes = rng.usize(least..=(2 * least).min(CONFIG_BYTES_MAX));
        let mut config = format!(
            r#"{{"id":{id},"host":"{}","origin":"10.{}.{}.{}:8080","tls":"1.3","cache_s":{},"rate_per_s":{},"rules":["#,
            self.hosts[id],
            rng.u8(..),
            rng.u8(..),
            rng.u8(..),
            rng.u32(0..86_400),
            rng.u32(10..5_000),
        );
        for i in 0.. {
            let rule = rule(i, &mut rng).to_string();
            if config.len() >= CONFIG_BYTES_MIN && config.len() + rule.len() + ",]}".len() > bytes {
                break;
            }
            config.extend((i > 0).then_some(','));
            config.push_str(&rule);
        }
        config.push_str("]}");
        config
    }

    /// Whether these are the bytes of [`Sites::config`].
    pub(crate) fn is_config(&self, id: usize, bytes: &[u8]) -> bool {
        self.configs.get(id) == Some(&hash(bytes))
    }
}

fn host(rng: &mut Rng) -> String {
    let mut pick = |words: &[&'static str]| words[rng.usize(..words.len())];
    let (label, adjective, noun, domain) = (pick(&LABELS), pick(&ADJECTIVES), pick(&NOUNS), pick(&DOMAINS));
    // Most good names are taken: others get along with a number.
    match rng.u32(..4) {
        0 => format!("{label}.{adjective}{noun}.{domain}"),
        1 => format!("{label}.{adjective}-{noun}.{domain}"),
        2 => format!("{label}.{noun}{}.{domain}", rng.u32(1..10_000)),
        _ => format!("{adjective}-{noun}{}.{domain}", rng.u32(1..1_000)),
    }
}

fn rule(i: usize, rng: &mut Rng) -> Value {
    let path = format!("/{}/{:x}", NOUNS[rng.usize(..NOUNS.len())], rng.u32(..));
    match rng.u32(..3) {
        0 => json!({ "path": path, "cache_s": rng.u32(0..3_600) }),
        1 => json!({ "path": path, "redirect": format!("/{i}{path}"), "status": 301 }),
        _ => json!({ "path": path, "deny": [format!("192.0.2.{}", rng.u8(..))] }),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}
