//! Who this node is: a key that lasts as long as its data directory, with the id that follows from it, and a boot epoch that
//! only grows.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boato_gossip::NodeId;
use boato_transport::NodeKey;
use ring::rand::SecureRandom as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files;

/// The file that holds the key, the one that holds the boot epoch, and the one whose lock says that the directory is in use.
const KEY_FILE: &str = "key";
const NODE_FILE: &str = "node";
const LOCK_FILE: &str = "lock";

/// Longest part of the default name that comes from the host, so that the whole stays within a name's 64
/// bytes.
const HOST_PART_MAX: usize = 55;

/// Largest file read from a data directory, in bytes.
const FILE_MAX: u64 = 4096;

/// Who this node is in this boot. Holds the lock of its data directory until dropped.
#[derive(Debug)]
pub struct Identity {
    /// Kept in the data directory; the node's id follows from it.
    pub key: NodeKey,
    /// Higher than at every earlier start with this data directory: the Unix time in ms, or one more than the
    /// last.
    pub boot: u64,
    _lock: Option<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It cannot be created, read or written.
    #[error(
        "cannot use the data directory: {}: {source}; let the user that runs the node write there, or name another by --data-dir",
        path.display()
    )]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("the data directory {} is in use by another node{}: give each node its own --data-dir", path.display(), process_note(holder))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id of the other node, empty if it could not be read.
        holder: String,
    },
    /// What a file says cannot be understood.
    #[error("{} is damaged ({reason}): restore it, or delete it to start as a new node", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no random bytes to give.
    #[error("the system gives no random bytes for a node id")]
    Random,
}

fn process_note(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
}

/// The content of the file with the boot epoch, as TOML.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// 32 random hexadecimal digits: the node's id in wire versions before 9, kept for who goes back to one. Never that of
    /// the key, which those could not show.
    id: String,
    boot: u64,
}

impl Identity {
    /// The identity kept in `dir`, created if missing; a new one without a directory.
    ///
    /// # Errors
    /// The directory is in use, damaged or out of reach.
    pub fn open(dir: Option<&Path>) -> Result<Self, IdentityError> {
        Self::open_at(dir, unix_ms())
    }

    fn open_at(dir: Option<&Path>, now_ms: u64) -> Result<Self, IdentityError> {
        let Some(dir) = dir else {
            return Ok(Self { key: NodeKey::generate(), boot: now_ms, _lock: None });
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let path = dir.join(NODE_FILE);
        let before = load(&path)?;
        let key = key(&dir.join(KEY_FILE), before.is_some())?;
        let (id, boot) = match before {
            Some((id, last)) => (id, now_ms.max(last.saturating_add(1))),
            None => (random_id()?, now_ms),
        };
        let record = Record { id: id.to_string(), boot };
        let text = toml::to_string(&record).expect("invariant: a text and a number are TOML");
        files::replace(&path, text.as_bytes()).map_err(at(&path))?;
        Ok(Self { key, boot, _lock: Some(lock) })
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        NodeId(self.key.node())
    }

    /// The name of a node that was given none: the host's name and the short id, like `web1-3fa9c2d1`.
    pub fn default_name(&self) -> String {
        default_name(&host_name(), self.id())
    }
}

fn default_name(host: &str, id: NodeId) -> String {
    let label = host.split('.').next().unwrap_or_default();
    let known = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label: String = label.chars().filter(known).take(HOST_PART_MAX).collect();
    let label = if label.is_empty() { "node" } else { &label };
    format!("{label}-{}", id.short())
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

fn random_id() -> Result<NodeId, IdentityError> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| IdentityError::Random)?;
    Ok(NodeId(u128::from_be_bytes(bytes)))
}

/// Milliseconds since 1970; 0 on a clock that is before that.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    move |source| IdentityError::Io { path: path.to_owned(), source }
}

/// Takes the directory for this process until the file is closed, and writes the process id into it for
/// people.
fn lock(dir: &Path) -> Result<File, IdentityError> {
    let path = dir.join(LOCK_FILE);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = files::read(&file, FILE_MAX).unwrap_or_default();
            return Err(IdentityError::InUse { path: dir.to_owned(), holder: holder.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(at(&path)(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", process::id())).map_err(at(&path))?;
    Ok(file)
}

/// The key that is kept at `path`, else a new one. `used`: the last boot epoch is known. Where it is not, the key is of no use, as
/// what a boot says that is older than the last is believed by nobody.
fn key(path: &Path, used: bool) -> Result<NodeKey, IdentityError> {
    if let Some(key) = load_key(path)?.filter(|_| used) {
        return Ok(key);
    }
    let key = NodeKey::generate();
    files::replace_private(path, key_text(&key).as_bytes()).map_err(at(path))?;
    if used {
        tracing::info!(
            id = %NodeId(key.node()),
            "there was no {} (older versions have none): the node has a new key, and by it another id",
            path.display()
        );
    }
    Ok(key)
}

/// One line: the id and the seed, by which damage is noticed.
fn key_text(key: &NodeKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(STANDARD.encode(key.seed()));
    Zeroizing::new([&NodeId(key.node()).to_string(), " ", &seed, "\n"].concat())
}

/// The key, if the file is there.
fn load_key(path: &Path) -> Result<Option<NodeKey>, IdentityError> {
    let read = || -> io::Result<(Zeroizing<String>, Metadata)> {
        let file = File::open(path)?;
        Ok((files::read(&file, FILE_MAX)?.into(), file.metadata()?))
    };
    let (text, metadata) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    if files::readable_by_others(&metadata) {
        let path = path.display();
        tracing::warn!(
            "the node's key {path} is readable by other users of this machine, who can pass for this node if they know \
             the cluster's secret: chmod go-rwx {path}, or delete it to start with a new one"
        );
    }
    let damaged = || IdentityError::Damaged { path: path.to_owned(), reason: "it holds no key".to_owned() };
    let (_, seed) = text.trim_end().split_once(' ').ok_or_else(damaged)?;
    let seed = STANDARD.decode(seed).map(Zeroizing::new).map_err(|_| damaged())?;
    let key = NodeKey::from_seed(seed.as_slice().try_into().map_err(|_| damaged())?);
    if key_text(&key).trim_end() == text.trim_end() { Ok(Some(key)) } else { Err(damaged()) }
}

/// The id before keys and the last boot epoch, if the file is there.
fn load(path: &Path) -> Result<Option<(NodeId, u64)>, IdentityError> {
    let text = match File::open(path).and_then(|file| files::read(&file, FILE_MAX)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let damaged = |reason: String| IdentityError::Damaged { path: path.to_owned(), reason };
    let record: Record = toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    let digits = record.id.len() == 32 && record.id.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u128::from_str_radix(&record.id, 16).ok().filter(|_| digits);
    let id = id.ok_or_else(|| damaged("the id has to be 32 hexadecimal digits".to_owned()))?;
    Ok(Some((NodeId(id), record.boot)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_kept_and_the_boot_epoch_grows_even_when_the_clock_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new/data");
        let first = Identity::open_at(Some(&dir), 5_000).unwrap();
        let id = first.id();
        assert_eq!(first.boot, 5_000);
        drop(first);
        for (now_ms, boot) in [(4_000, 5_001), (4_000, 5_002), (9_000, 9_000), (9_000, 9_001)] {
            let again = Identity::open_at(Some(&dir), now_ms).unwrap();
            assert_eq!((again.id(), again.boot), (id, boot));
        }
    }

    #[test]
    fn without_a_directory_every_node_is_new() {
        let (a, b) = (Identity::open(None).unwrap(), Identity::open(None).unwrap());
        assert_ne!(a.id(), b.id());
        assert!(a.boot > 1_700_000_000_000);
    }

    #[test]
    fn a_directory_serves_one_node_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(Some(dir.path())).unwrap();
        let error = Identity::open(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by another node (process {})", process::id())), "{error}");
        drop(first);
        Identity::open(Some(dir.path())).unwrap();
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for text in
            ["", "boot = 1", "id = \"7\"\nboot = 1", "id = \"+0000000000000000000000000000007\"\nboot = 1"]
        {
            fs::write(dir.path().join(NODE_FILE), text).unwrap();
            let error = Identity::open(Some(dir.path())).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{text}: {error}");
            assert!(error.to_string().contains("delete it to start as a new node"));
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let key = Identity::open(Some(dir.path())).unwrap().key;
        let text = key_text(&key);
        assert_eq!(fs::read_to_string(&path).unwrap(), *text);
        let other = key_text(&NodeKey::generate());
        let foreign_seed = format!("{} {}", &text[..32], &other[33..]);
        for text in ["", "seed", &text[..40], &text[33..], &foreign_seed] {
            fs::write(&path, text).unwrap();
            let error = Identity::open(Some(dir.path())).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{text}: {error}");
            assert!(error.to_string().contains("delete it to start as a new node"));
        }
        fs::remove_file(&path).unwrap();
        assert_ne!(Identity::open(Some(dir.path())).unwrap().id(), NodeId(key.node()));
    }

    #[test]
    fn without_the_last_boot_epoch_the_node_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open_at(Some(dir.path()), 9_000).unwrap().id();
        fs::remove_file(dir.path().join(NODE_FILE)).unwrap();
        let second = Identity::open_at(Some(dir.path()), 5_000).unwrap();
        assert_ne!(second.id(), first);
        assert_eq!(
            key_text(&second.key),
            load_key(&dir.path().join(KEY_FILE)).unwrap().map(|key| key_text(&key)).unwrap()
        );
    }

    #[test]
    fn a_directory_of_a_version_without_keys_gets_one_and_keeps_the_id_to_go_back_to() {
        let dir = tempfile::tempdir().unwrap();
        let before = "id = \"000000000000000000000000000000aa\"\nboot = 7000\n";
        fs::write(dir.path().join(NODE_FILE), before).unwrap();
        let first = Identity::open_at(Some(dir.path()), 5_000).unwrap();
        let id = first.id();
        assert_eq!((id, first.boot), (NodeId(first.key.node()), 7_001));
        drop(first);
        let text = fs::read_to_string(dir.path().join(NODE_FILE)).unwrap();
        assert_eq!(text, before.replace("7000", "7001"));
        assert_eq!(Identity::open(Some(dir.path())).unwrap().id(), id);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Identity::open(Some(dir.path())).unwrap();
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_default_name_is_host_and_short_id() {
        let id = NodeId(0x3fa9_c2d1 << 96);
        assert_eq!(default_name("web1.example.org", id), "web1-3fa9c2d1");
        assert_eq!(default_name("", id), "node-3fa9c2d1");
        assert_eq!(default_name("w\u{e9}b 1", id), "wb1-3fa9c2d1");
        assert_eq!(default_name(&"x".repeat(80), id).len(), 64);
    }
}
