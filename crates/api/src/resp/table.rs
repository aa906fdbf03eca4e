//! The command table: names, arity, flags, positions of keys and handlers. All of `COMMAND` and docs/redis.md is
//! made from it.

use std::sync::LazyLock;

use super::commands::{self, Context, Planned};
use super::door::Door;
use super::form::Join;
use super::request::Request;
use super::step::{Later, Refusal, Step};

/// The place of what is no command.
pub(super) const UNKNOWN: usize = 255;

/// A command or a subcommand.
pub(super) struct Spec {
    /// In lower case; a subcommand's behind its command's and `|`.
    pub(super) name: &'static str,
    /// How many words it has, its name included; negative: at least as many.
    pub(super) arity: i8,
    pub(super) flags: u32,
    pub(super) keys: Keys,
    pub(super) group: Group,
    /// The version of Redis that has it.
    pub(super) since: &'static str,
    pub(super) summary: &'static str,
    pub(super) run: Run,
    /// How the values of its keys, which are all of its arguments, become the reply, if it does nothing but read them.
    pub(super) reads: Option<Join>,
    /// How what comes of the same write on each of its keys becomes the reply, if it does nothing else.
    pub(super) writes: Option<Writes>,
    pub(super) subcommands: &'static [Spec],
}

/// Which words are keys: the first, the last (-1: the last of all) and the distance between two; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) first: i8,
    pub(super) last: i8,
    pub(super) step: i8,
}

pub(super) const NO_KEYS: Keys = Keys { first: 0, last: 0, step: 0 };
pub(super) const KEY: Keys = Keys { first: 1, last: 1, step: 1 };
pub(super) const TWO_KEYS: Keys = Keys { first: 1, last: 2, step: 1 };
pub(super) const ALL_KEYS: Keys = Keys { first: 1, last: -1, step: 1 };
pub(super) const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };
pub(super) const SECOND_KEY: Keys = Keys { first: 2, last: 2, step: 1 };

/// What a command does to each of its keys that does nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Stores the value behind the key; the reply is OK.
    Put,
    /// Removes the value; the reply is how many there were.
    Delete,
}

/// How a command is run.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// On keys: it only says what is to be done with them.
    Keys(for<'a> fn(&Request<'a>) -> Planned<'a>),
    /// At once.
    Here(Here),
    /// By asking others; not within a transaction.
    Away(fn(&Door, &Request<'_>) -> Result<Later, Refusal>),
    /// At once, also within a transaction, which it begins, ends or leaves.
    Flow(fn(&mut Context<'_>, &Request<'_>) -> Result<Step<'static>, Refusal>),
    /// Only its subcommands do anything.
    Container,
}

/// A handler that answers at once.
pub(super) type Here = fn(&mut Context<'_>, &Request<'_>) -> Result<(), Refusal>;

/// Redis' groups of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    String,
    Bitmap,
    Generic,
    Connection,
    Server,
    Cluster,
    Transactions,
    Scripting,
}

pub(super) const WRITE: u32 = 1;
pub(super) const READONLY: u32 = 1 << 1;
pub(super) const DENYOOM: u32 = 1 << 2;
pub(super) const ADMIN: u32 = 1 << 3;
pub(super) const NOSCRIPT: u32 = 1 << 4;
pub(super) const LOADING: u32 = 1 << 5;
pub(super) const STALE: u32 = 1 << 6;
pub(super) const SKIP_SLOWLOG: u32 = 1 << 7;
pub(super) const FAST: u32 = 1 << 8;
pub(super) const NO_AUTH: u32 = 1 << 9;
pub(super) const ALLOW_BUSY: u32 = 1 << 10;
pub(super) const NO_MULTI: u32 = 1 << 11;
/// Only of the categories of access: what no group and no other flag tells.
pub(super) const DANGEROUS: u32 = 1 << 12;
pub(super) const OF_KEYSPACE: u32 = 1 << 13;
pub(super) const OF_CONNECTION: u32 = 1 << 14;

const FLAG_NAMES: [(u32, &str); 12] = [
    (WRITE, "write"),
    (READONLY, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (NOSCRIPT, "noscript"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (ALLOW_BUSY, "allow_busy"),
    (NO_MULTI, "no_multi"),
];

impl Spec {
    /// A command without keys.
    pub(super) const fn new(name: &'static str, arity: i8, flags: u32, group: Group, run: Run) -> Spec {
        let (keys, since, summary, reads, writes, subcommands) = (NO_KEYS, "1.0.0", "", None, None, &[]);
        Spec { name, arity, flags, keys, group, since, summary, run, reads, writes, subcommands }
    }

    /// A command without keys that is answered at once, in whatever state the server is.
    pub(super) const fn at_once(name: &'static str, arity: i8, flags: u32, group: Group, run: Here) -> Spec {
        Spec::new(name, arity, flags | LOADING | STALE, group, Run::Here(run))
    }

    /// With these keys.
    pub(super) const fn keys(self, keys: Keys) -> Spec {
        Spec { keys, ..self }
    }

    /// With a reply that is made of the values of all its arguments.
    pub(super) const fn reads(self, join: Join) -> Spec {
        Spec { keys: ALL_KEYS, reads: Some(join), ..self }
    }

    /// Does the same to each key, which are its arguments, with or without values.
    pub(super) const fn writes(self, writes: Writes) -> Spec {
        let keys = if matches!(writes, Writes::Put) { PAIRS } else { ALL_KEYS };
        Spec { keys, writes: Some(writes), ..self }
    }

    /// Since which version of Redis, and what it does.
    pub(super) const fn about(self, since: &'static str, summary: &'static str) -> Spec {
        Spec { since, summary, ..self }
    }

    /// With these subcommands.
    pub(super) const fn with(self, subcommands: &'static [Spec]) -> Spec {
        Spec { subcommands, ..self }
    }

    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether so many words, the name included, are a command.
    pub(super) fn takes(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// Redis' names of its flags.
    pub(super) fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        FLAG_NAMES.into_iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }

    /// Redis' categories of access, without the `@`.
    pub(super) fn categories(&self) -> impl Iterator<Item = &'static str> {
        let fast = if self.has(FAST) { "fast" } else { "slow" };
        [
            self.group.category().filter(|_| !matches!(self.run, Run::Container)),
            self.has(OF_KEYSPACE).then_some("keyspace"),
            self.has(OF_CONNECTION).then_some("connection"),
            self.has(WRITE).then_some("write"),
            self.has(READONLY).then_some("read"),
            self.has(ADMIN).then_some("admin"),
            (self.has(ADMIN) || self.has(DANGEROUS)).then_some("dangerous"),
            Some(fast),
        ]
        .into_iter()
        .flatten()
    }

    /// Those of `words` that are keys; the name is word 0.
    pub(super) fn keys_of<'w, 'a>(
        &self,
        words: &'w [&'a [u8]],
    ) -> impl Iterator<Item = &'a [u8]> + use<'w, 'a> {
        let Keys { first, last, step } = self.keys;
        let first = usize::from(first.unsigned_abs());
        let end = if last < 0 { words.len() } else { usize::from(last.unsigned_abs()) + 1 };
        let range = if first == 0 { 0..0 } else { first..end.min(words.len()) };
        words.get(range).unwrap_or_default().iter().copied().step_by(usize::from(step.unsigned_abs().max(1)))
    }
}

impl Group {
    pub(super) fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Generic => "generic",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Cluster => "cluster",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
        }
    }

    fn category(self) -> Option<&'static str> {
        match self {
            Group::String => Some("string"),
            Group::Bitmap => Some("bitmap"),
            Group::Generic => Some("keyspace"),
            Group::Connection => Some("connection"),
            Group::Transactions => Some("transaction"),
            Group::Scripting => Some("scripting"),
            Group::Server | Group::Cluster => None,
        }
    }
}

/// All commands, in the order of their places.
pub(super) fn all() -> impl Iterator<Item = &'static Spec> {
    commands::GROUPS.iter().copied().flatten()
}

/// The name of the command in this place.
pub(super) fn name(place: usize) -> &'static str {
    INDEX.specs.get(place).map_or("unknown", |spec| spec.name)
}

/// The command of this name, in whatever case, and its place.
pub(super) fn command(name: &[u8]) -> Option<(usize, &'static Spec)> {
    INDEX.find(name)
}

/// The subcommand of this name, in whatever case.
pub(super) fn subcommand(spec: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    let own = |sub: &&Spec| sub.name.as_bytes()[spec.name.len() + 1..].eq_ignore_ascii_case(name);
    spec.subcommands.iter().find(own)
}

/// The commands by name: an open hash table of their first 16 letters, at most a quarter full.
struct Index {
    specs: Vec<&'static Spec>,
    /// Folded name and place; [`UNKNOWN`] where nothing is.
    slots: Box<[(u128, usize); SLOTS]>,
}

const SLOTS: usize = 512;

static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

impl Index {
    fn new() -> Index {
        let specs: Vec<_> = all().collect();
        assert!(specs.len() <= SLOTS / 4, "the table of commands has to stay sparse");
        let mut slots = Box::new([(0, UNKNOWN); SLOTS]);
        for (place, spec) in specs.iter().enumerate() {
            let folded = fold(spec.name.as_bytes()).expect("invariant: names of commands are short");
            let mut slot = start(folded);
            while slots[slot].1 != UNKNOWN {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = (folded, place);
        }
        Index { specs, slots }
    }

    fn find(&self, name: &[u8]) -> Option<(usize, &'static Spec)> {
        let folded = fold(name)?;
        let mut slot = start(folded);
        loop {
            let (own, place) = self.slots[slot];
            if own == folded {
                let spec = self.specs.get(place)?;
                return spec.name.as_bytes().eq_ignore_ascii_case(name).then_some((place, spec));
            }
            if place == UNKNOWN {
                return None;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// A name of at most 16 bytes as a number that does not depend on the case of its letters; different names of other
/// bytes may share one.
fn fold(name: &[u8]) -> Option<u128> {
    let mut bytes = [0; 16];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(u128::from_le_bytes(bytes) | u128::from_le_bytes([b' '; 16]))
}

/// Where the search for a name begins: multiplicative hashing.
#[expect(clippy::cast_possible_truncation, reason = "halves of a number are wanted")]
fn start(folded: u128) -> usize {
    let mixed = (folded as u64 ^ (folded >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (64 - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else() {
        for (place, spec) in all().enumerate() {
            for name in [spec.name.to_owned(), spec.name.to_uppercase()] {
                let (found, same) = command(name.as_bytes()).unwrap();
                assert_eq!((found, same.name), (place, spec.name));
            }
            assert_eq!(self::name(place), spec.name);
        }
        for name in ["", "ge", "gets", "get ", "\x07et", "a name that is far too long for a command"] {
            assert!(command(name.as_bytes()).is_none(), "{name:?}");
        }
        assert_eq!(name(UNKNOWN), "unknown");
    }

    #[test]
    fn subcommands_carry_the_name_of_their_command() {
        for spec in all() {
            for sub in spec.subcommands {
                assert!(sub.name.starts_with(&format!("{}|", spec.name)), "{}", sub.name);
                let name = &sub.name[spec.name.len() + 1..];
                assert_eq!(subcommand(spec, name.to_uppercase().as_bytes()).unwrap().name, sub.name);
            }
            assert!(subcommand(spec, b"nonsense").is_none());
        }
    }

    #[test]
    fn every_command_says_what_it_does() {
        for spec in all().flat_map(|spec| spec.subcommands.iter().chain([spec])) {
            assert!(spec.summary.ends_with('.'), "{}", spec.name);
            assert!(spec.since.split('.').count() == 3, "{}", spec.name);
        }
    }

    /// The table as docs/redis.md shows it.
    fn documented() -> String {
        let line = |spec: &Spec| {
            let name = spec.name.to_uppercase().replace('|', " ");
            format!("| `{name}` | {} | {} |\n", spec.since, spec.summary)
        };
        let specs = all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
        let lines = specs.filter(|spec| !matches!(spec.run, Run::Container)).map(line);
        std::iter::once("| command | since Redis | |\n|---|---|---|\n".to_owned()).chain(lines).collect()
    }

    #[test]
    fn the_documentation_lists_exactly_these_commands() {
        let page = include_str!("../../../../docs/redis.md");
        let (_, listed) = page.split_once("## Commands\n\n").unwrap();
        assert!(listed == documented(), "docs/redis.md has to end with\n\n{}", documented());
    }

    #[test]
    fn keys_are_found_by_their_positions() {
        let keys = |name: &[u8], words: &[&'static [u8]]| -> Vec<&'static [u8]> {
            command(name).unwrap().1.keys_of(words).collect()
        };
        assert_eq!(keys(b"get", &[b"get", b"a"]), [b"a"]);
        assert_eq!(keys(b"mset", &[b"mset", b"a", b"1", b"b", b"2"]), [b"a", b"b"]);
        assert_eq!(keys(b"rename", &[b"rename", b"a", b"b"]), [b"a", b"b"]);
        assert!(keys(b"ping", &[b"ping", b"a"]).is_empty());
    }
}
