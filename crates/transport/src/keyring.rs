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
/// Most secrets accepted after changes that were made at several nodes at once; those stated first are removed.
const MERGED_MAX: usize = 2 * KEYS_MAX;
/// Most removed secrets remembered one by one; of those removed before them only the time is kept.
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
    /// There is no later time.
    #[error(
        "the secrets have been changed too often: restart all nodes with one secret and without the kept keyring"
    )]
    Worn,
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
    /// Since when, and which; time 0 is what a node was told at its start, and anything that was said later wins.
    used: (u64, KeyId),
    /// What was removed before this time may be remembered by its absence alone.
    since: u64,
}

impl Keyring {
    /// A keyring of one secret.
    pub fn new(secret: Secret) -> Keyring {
        let id = secret.id();
        Keyring {
            entries: BTreeMap::from([(id, Entry { time: 0, secret: Some(secret) })]),
            used: (0, id),
            since: 0,
        }
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
    /// [`KeyringError::Full`], [`KeyringError::Worn`].
    pub fn install(&mut self, secret: Secret) -> Result<KeyId, KeyringError> {
        let id = secret.id();
        if self.accepts(id) {
            return Ok(id);
        }
        if self.keys().count() >= KEYS_MAX {
            return Err(KeyringError::Full);
        }
        let time = self.next_time()?;
        self.entries.insert(id, Entry { time, secret: Some(secret) });
        if self.used.0 == 0 {
            // Or else a node that starts with the new secret would have everybody use it.
            self.used.0 = time;
        }
        Ok(id)
    }

    /// Shows this one from now on.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`], [`KeyringError::Worn`].
    pub fn use_key(&mut self, id: KeyId) -> Result<(), KeyringError> {
        if !self.accepts(id) {
            return Err(KeyringError::Unknown(id));
        }
        if self.used.1 != id {
            self.used = (self.next_time()?, id);
        }
        Ok(())
    }

    /// Accepts this one no longer.
    ///
    /// # Errors
    /// [`KeyringError::InUse`], [`KeyringError::Unknown`], [`KeyringError::Worn`].
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyringError> {
        if self.used.1 == id {
            return Err(KeyringError::InUse(id));
        }
        if !self.accepts(id) {
            return Err(KeyringError::Unknown(id));
        }
        let time = self.next_time()?;
        self.entries.insert(id, Entry { time, secret: None });
        self.forget();
        Ok(())
    }

    /// Takes over what the other knows later. True if that changed anything.
    pub fn merge(&mut self, other: &Keyring) -> bool {
        let before = self.clone();
        self.entries.retain(|id, ours| other.entries.contains_key(id) || ours.time >= other.since);
        for (id, theirs) in &other.entries {
            let newer = match before.entries.get(id) {
                Some(ours) => rank(theirs) > rank(ours),
                None => theirs.time >= before.since,
            };
            if newer {
                self.entries.insert(*id, theirs.clone());
            }
        }
        self.since = self.since.max(other.since);
        self.used = self.used.max(other.used);
        // Two nodes may have changed things at once: what is used is accepted, whoever removed it.
        let used = self.used.1;
        if !self.accepts(used)
            && let Some(secret) =
                [&before, other].iter().find_map(|ring| ring.entries.get(&used)?.secret.clone())
        {
            let time = self.time().saturating_add(1).min(TIME_MAX);
            self.entries.insert(used, Entry { time, secret: Some(secret) });
        }
        self.trim();
        self.forget();
        *self != before
    }

    fn accepts(&self, id: KeyId) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.secret.is_some())
    }

    fn time(&self) -> u64 {
        self.entries.values().map(|entry| entry.time).max().unwrap_or(0).max(self.used.0)
    }

    fn next_time(&self) -> Result<u64, KeyringError> {
        Some(self.time() + 1).filter(|time| *time <= TIME_MAX).ok_or(KeyringError::Worn)
    }

    /// Removes what was stated first where more is accepted than there is room for.
    fn trim(&mut self) {
        let mut accepted: Vec<(u64, KeyId)> = self
            .keys()
            .map(|(id, _)| (self.entries[&id].time, id))
            .filter(|(_, id)| *id != self.used.1)
            .collect();
        accepted.sort_unstable();
        for (time, id) in accepted.iter().take(accepted.len().saturating_sub(MERGED_MAX - 1)) {
            self.entries.insert(*id, Entry { time: *time, secret: None });
        }
    }

    fn forget(&mut self) {
        let removed = self.entries.iter().filter(|(_, entry)| entry.secret.is_none());
        let mut removed: Vec<(u64, KeyId)> = removed.map(|(id, entry)| (entry.time, *id)).collect();
        removed.sort_unstable();
        for (time, _) in removed.iter().take(removed.len().saturating_sub(REMOVED_MAX)) {
            self.since = self.since.max(*time + 1);
        }
        let since = self.since;
        self.entries.retain(|_, entry| entry.secret.is_some() || entry.time >= since);
    }

    /// As text, secrets included: for files that only their owner reads, and for peers over the transport.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!(
            "boato keyring 1\nsince {}\nused {} {}\n",
            self.since, self.used.0, self.used.1
        ));
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
        let mut lines = text.strip_prefix("boato keyring 1\n")?.lines();
        let since = lines.next()?.strip_prefix("since ")?.parse().ok()?;
        let (time, id) = lines.next()?.strip_prefix("used ")?.split_once(' ')?;
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
        Some(Keyring { entries, used, since })
    }

    fn is_sound(&self) -> bool {
        let accepted = self.keys().count();
        self.accepts(self.used.1)
            && accepted <= MERGED_MAX
            && self.entries.len() - accepted <= REMOVED_MAX
            && self.time() <= TIME_MAX
            && self.since <= self.time() + 1
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
mod tests;
