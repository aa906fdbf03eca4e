//! The secrets that a cluster accepts, so that one can take the place of another while nodes come and go.
//!
//! What two nodes know of the secrets is merged entry by entry, the later statement wins: whatever the order in which
//! they hear of changes, they end with the same keyring, and one that was away takes part again by one exchange.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Secret;
use crate::secret::derive;

/// Most secrets accepted at a time.
pub const KEYS_MAX: usize = 8;
/// Most removed secrets remembered; the one that was removed first is forgotten first.
const REMOVED_MAX: usize = 64;
/// Largest text of a keyring.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Nobody changes a keyring so often.
const TIME_MAX: u64 = 1 << 48;

/// Which secret: 64 bits that tell nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// Reads 16 hexadecimal digits.
    pub fn parse(text: &str) -> Option<KeyId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| digits).map(KeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a keyring was not changed, or not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// There is no room.
    #[error("{KEYS_MAX} secrets are accepted already: remove one that is not used")]
    Full,
    /// It is not there.
    #[error("no accepted secret has the id {0}: list them, or install it first")]
    Unknown(KeyId),
    /// It is the one that nodes show.
    #[error("{0} is the secret in use: use another before removing it")]
    InUse(KeyId),
    /// The bytes are not those of a keyring.
    #[error("not a keyring of this version")]
    Malformed,
}

/// A secret that is accepted, or (without it) one that is not any more, since when.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    time: u64,
    secret: Option<Secret>,
}

/// The secrets that are accepted, one of which is in use: nodes show it to each other, where the other knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring {
    entries: BTreeMap<KeyId, Entry>,
    used: (u64, KeyId),
}

impl Keyring {
    /// A keyring of one secret.
    pub fn new(secret: Secret) -> Keyring {
        let id = secret.id();
        Keyring { entries: BTreeMap::from([(id, Entry { time: 0, secret: Some(secret) })]), used: (0, id) }
    }

    /// The secrets that are accepted.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &Secret)> {
        self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.secret.as_ref()?)))
    }

    /// The one in use.
    pub fn used(&self) -> KeyId {
        self.used.1
    }

    /// Whether this secret was removed.
    pub fn has_removed(&self, id: KeyId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.secret.is_none())
    }

    /// Accepts a further secret.
    ///
    /// # Errors
    /// [`KeyringError::Full`].
    pub fn install(&mut self, secret: Secret) -> Result<KeyId, KeyringError> {
        let id = secret.id();
        if self.accepts(id) {
            return Ok(id);
        }
        if self.keys().count() >= KEYS_MAX {
            return Err(KeyringError::Full);
        }
        let time = self.next_time();
        self.entries.insert(id, Entry { time, secret: Some(secret) });
        Ok(id)
    }

    /// Shows this one from now on.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`].
    pub fn use_key(&mut self, id: KeyId) -> Result<(), KeyringError> {
        if !self.accepts(id) {
            return Err(KeyringError::Unknown(id));
        }
        if self.used.1 != id {
            self.used = (self.next_time(), id);
        }
        Ok(())
    }

    /// Accepts this one no longer.
    ///
    /// # Errors
    /// [`KeyringError::InUse`], [`KeyringError::Unknown`].
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyringError> {
        if self.used.1 == id {
            return Err(KeyringError::InUse(id));
        }
        if !self.accepts(id) {
            return Err(KeyringError::Unknown(id));
        }
        let time = self.next_time();
        self.entries.insert(id, Entry { time, secret: None });
        self.forget();
        Ok(())
    }

    /// Takes over what the other knows later. True if that changed anything.
    pub fn merge(&mut self, other: &Keyring) -> bool {
        let before = self.clone();
        for (id, theirs) in &other.entries {
            let newer = self.entries.get(id).is_none_or(|ours| rank(theirs) > rank(ours));
            if newer {
                self.entries.insert(*id, theirs.clone());
            }
        }
        self.used = self.used.max(other.used);
        // Two nodes may have changed things at once: what is used is accepted, whoever removed it.
        if !self.accepts(self.used.1) {
            let secret =
                [&before, other].iter().find_map(|ring| ring.entries.get(&self.used.1)?.secret.clone());
            let time = self.next_time();
            if secret.is_none() {
                self.clone_from(&before);
            } else {
                self.entries.insert(self.used.1, Entry { time, secret });
            }
        }
        self.forget();
        *self != before
    }

    fn accepts(&self, id: KeyId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.secret.is_some())
    }

    fn time(&self) -> u64 {
        self.entries.values().map(|entry| entry.time).max().unwrap_or(0).max(self.used.0)
    }

    fn next_time(&self) -> u64 {
        self.time() + 1
    }

    fn forget(&mut self) {
        let mut removed: Vec<(u64, KeyId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.secret.is_none())
            .map(|(id, entry)| (entry.time, *id))
            .collect();
        removed.sort_unstable();
        for (_, id) in removed.iter().take(removed.len().saturating_sub(REMOVED_MAX)) {
            self.entries.remove(id);
        }
    }

    /// As text, secrets included: for files that only their owner reads, and for peers over the transport.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("boato keyring 1\nused {} {}\n", self.used.0, self.used.1));
        for (id, Entry { time, secret }) in &self.entries {
            let secret = secret.as_ref().map(Secret::to_text);
            let secret = secret.as_ref().map_or("-", |text| text.as_str());
            text.push_str(&["key", &time.to_string(), &id.to_string(), secret].join(" "));
            text.push('\n');
        }
        text
    }

    /// Reads what [`Keyring::to_text`] wrote.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`].
    pub fn parse(text: &str) -> Result<Keyring, KeyringError> {
        Self::read(text).filter(Self::is_sound).ok_or(KeyringError::Malformed)
    }

    fn read(text: &str) -> Option<Keyring> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut lines = text.strip_prefix("boato keyring 1\nused ")?.lines();
        let (time, id) = lines.next()?.split_once(' ')?;
        let used = (time.parse().ok()?, KeyId::parse(id)?);
        let mut entries = BTreeMap::new();
        for line in lines {
            let mut words = line.strip_prefix("key ")?.split(' ');
            let (time, id) = (words.next()?.parse().ok()?, KeyId::parse(words.next()?)?);
            let secret = match words.next()? {
                "-" => None,
                text => Some(Secret::parse(text).ok().filter(|secret| secret.id() == id)?),
            };
            entries.insert(id, Entry { time, secret });
        }
        Some(Keyring { entries, used })
    }

    fn is_sound(&self) -> bool {
        let accepted = self.keys().count();
        self.accepts(self.used.1)
            && accepted <= 2 * KEYS_MAX
            && self.entries.len() - accepted <= REMOVED_MAX
            && self.time() <= TIME_MAX
    }
}

/// Of two statements about one secret the later wins; of two at once, the removal.
fn rank(entry: &Entry) -> (u64, bool) {
    (entry.time, entry.secret.is_none())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<KeyId> = self.keys().map(|(id, _)| id).collect();
        f.debug_struct("Keyring").field("used", &self.used.1).field("keys", &keys).finish_non_exhaustive()
    }
}

impl Secret {
    /// What to call it.
    pub fn id(&self) -> KeyId {
        let bytes = derive(Some(self), &["key id"]);
        KeyId(bytes[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }

    fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(n: usize) -> Secret {
        Secret::parse(&STANDARD.encode([u8::try_from(n).unwrap(); 16])).unwrap()
    }

    fn ids(ring: &Keyring) -> Vec<KeyId> {
        ring.keys().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_rotation_reaches_one_that_was_away() {
        let mut away = Keyring::new(secret(1));
        let mut ring = away.clone();
        let new = ring.install(secret(2)).unwrap();
        ring.use_key(new).unwrap();
        assert!(ring.remove(new) == Err(KeyringError::InUse(new)));
        assert!(!ring.clone().merge(&away), "what is older changes nothing");
        let mut between = away.clone();
        assert!(between.merge(&ring) && between.used() == new && ids(&between).len() == 2);
        ring.remove(secret(1).id()).unwrap();
        assert!(away.merge(&ring));
        assert_eq!((ids(&away), away.used()), (vec![new], new));
        assert!(away.has_removed(secret(1).id()) && away == ring);
        assert_eq!(away.use_key(secret(1).id()), Err(KeyringError::Unknown(secret(1).id())));
    }

    #[test]
    fn a_removed_secret_can_be_installed_again_and_room_is_bounded() {
        let mut ring = Keyring::new(secret(1));
        for n in 2..=KEYS_MAX {
            ring.install(secret(n)).unwrap();
        }
        assert_eq!(ring.install(secret(100)), Err(KeyringError::Full));
        assert_eq!(ring.install(secret(2)), Ok(secret(2).id()), "it is there");
        ring.remove(secret(2).id()).unwrap();
        ring.install(secret(2)).unwrap();
        assert!(!ring.has_removed(secret(2).id()));
        for n in 10..100 {
            ring.remove(secret(3).id()).ok();
            let id = ring.install(secret(n)).unwrap();
            ring.remove(id).unwrap();
        }
        assert_eq!(Keyring::parse(&ring.to_text()), Ok(ring.clone()));
        assert!(ring.entries.len() <= KEYS_MAX + REMOVED_MAX);
    }

    #[test]
    fn a_text_is_read_back_and_others_are_refused() {
        let mut ring = Keyring::new(secret(1));
        ring.install(secret(2)).unwrap();
        ring.remove(secret(2).id()).unwrap();
        let text = ring.to_text();
        assert_eq!(Keyring::parse(&text), Ok(ring));
        let other = secret(9).id().to_string();
        let wrong = [
            String::new(),
            text.replace('1', "2"),
            text.replace("used 0", "used x"),
            text.replace(&secret(1).id().to_string(), &other),
            format!("{}key 0 {other} -\n", text.lines().take(2).collect::<Vec<_>>().join("\n") + "\n"),
            format!("{}key {} {other} -\n", text.as_str(), u64::MAX),
        ];
        for wrong in wrong {
            assert_eq!(Keyring::parse(&wrong), Err(KeyringError::Malformed), "{wrong}");
        }
        assert!(!format!("{:?}", Keyring::new(secret(1))).contains("AQEB"));
    }

    #[derive(Clone, Debug)]
    enum Change {
        Install(usize, usize),
        Use(usize, usize),
        Remove(usize, usize),
        Merge(usize, usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let pair = || (0..3_usize, 1..6_usize);
        prop_oneof![
            pair().prop_map(|(at, n)| Change::Install(at, n)),
            pair().prop_map(|(at, n)| Change::Use(at, n)),
            pair().prop_map(|(at, n)| Change::Remove(at, n)),
            (0..3_usize, 0..3_usize).prop_map(|(at, n)| Change::Merge(at, n)),
        ]
    }

    proptest! {
        #[test]
        fn all_end_with_the_same_whatever_is_changed_where(changes in proptest::collection::vec(change(), 0..40)) {
            let mut rings = [(); 3].map(|()| Keyring::new(secret(1)));
            for change in changes {
                match change {
                    Change::Install(at, n) => _ = rings[at].install(secret(n)),
                    Change::Use(at, n) => _ = rings[at].use_key(secret(n).id()),
                    Change::Remove(at, n) => _ = rings[at].remove(secret(n).id()),
                    Change::Merge(at, from) => {
                        let from = rings[from].clone();
                        rings[at].merge(&from);
                    }
                }
                for ring in &rings {
                    prop_assert!(ring.is_sound() && Keyring::parse(&ring.to_text()).as_ref() == Ok(ring));
                }
            }
            // Everybody hears everything, a few times over.
            for _ in 0..4 {
                for (at, from) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                    let from = rings[from].clone();
                    rings[at].merge(&from);
                }
            }
            prop_assert_eq!(&rings[0], &rings[1]);
            prop_assert_eq!(&rings[1], &rings[2]);
        }
    }
}
