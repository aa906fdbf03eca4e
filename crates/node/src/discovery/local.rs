//! Neighbours on this machine: a directory where every node keeps a small file.
//!
//! `<root>/<cluster>/<node id>` holds the node's QUIC address. The node keeps the file locked as long as it
//! runs, and the system drops the lock however the process ends: a file that can be locked is stale, and
//! whoever finds it removes it. So neither process ids nor ages are guessed at, and it works between
//! containers that share the directory.
//!
//! Two roots are used where both exist, `$XDG_RUNTIME_DIR/boato` and `<temporary directory>/boato-<user id>`,
//! since of two terminals only one may have the variable.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::{FOUND_MAX, Plan, Sink, Source};
use crate::files;

/// Rest between two looks in the first seconds, when neighbours are likely to be starting too, and later.
const EARLY: Duration = Duration::from_secs(10);
const EARLY_MS: Range<u64> = 150..250;
const LATE_MS: Range<u64> = 1_000..2_000;

/// Longest text of an address in a file, in bytes.
const ADDR_MAX: u64 = 64;

/// Why the rendezvous directory is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Somebody else could write false addresses there, or watch.
    #[error(
        "{} is {what}, so it cannot be trusted to find the other nodes on this machine: \
         remove it, set XDG_RUNTIME_DIR to a directory of your own, or start with --discover off", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What it is instead of a directory of this user.
        what: &'static str,
    },
}

/// The directories of `plan`. One that cannot be written is left out with a warning.
///
/// # Errors
/// One belongs to somebody else.
pub(super) fn open(plan: &Plan) -> Result<Vec<Rendezvous>, LocalError> {
    let mut rendezvous = Vec::new();
    for root in owner::roots() {
        match Rendezvous::open(&root, plan) {
            Ok(opened) => rendezvous.push(opened),
            Err(OpenError::Foreign(error)) => return Err(error),
            Err(OpenError::Io(error)) => {
                tracing::warn!(%error, "cannot use {} to find other nodes on this machine: let this user write there, or name them with --join",
                    root.display());
            }
        }
    }
    if rendezvous.is_empty() {
        tracing::warn!("this node finds no neighbours on this machine by itself: use --join");
    }
    Ok(rendezvous)
}

/// Keeps this node's files and reports its neighbours until it is time to end.
pub(super) async fn run(mut rendezvous: Vec<Rendezvous>, sink: Sink, pace: Pace) {
    let start = Instant::now();
    loop {
        let looked = tokio::task::spawn_blocking(move || {
            let found: Vec<_> = rendezvous.iter_mut().flat_map(Rendezvous::look).collect();
            (rendezvous, found)
        });
        let Ok((back, mut found)) = looked.await else { return };
        rendezvous = back;
        found.sort_unstable();
        found.dedup();
        let rest_ms = if start.elapsed() < EARLY { EARLY_MS } else { LATE_MS };
        if !sink.report(found, Source::Local).await || !pace.rest(rest_ms).await {
            return;
        }
    }
}

#[derive(Debug)]
enum OpenError {
    Foreign(LocalError),
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One directory with this node's file in it. Removes the file when dropped.
pub(super) struct Rendezvous {
    dir: PathBuf,
    path: PathBuf,
    addr: SocketAddr,
    /// The file at `path`, locked.
    held: Option<File>,
}

impl Rendezvous {
    /// Creates the directory if needed and announces this node.
    fn open(root: &Path, plan: &Plan) -> Result<Self, OpenError> {
        owner::create(root)?;
        let dir = root.join(&plan.cluster);
        owner::create(&dir)?;
        let path = dir.join(plan.node.to_string());
        let mut rendezvous = Self { dir, path, addr: plan.addr, held: None };
        // The last of the other nodes may remove the directory just now: once more makes it anew.
        rendezvous.announce().or_else(|_| rendezvous.announce())?;
        Ok(rendezvous)
    }

    /// Makes sure that the file is there and ours: a cleaner of temporary files, or a neighbour that opened
    /// it between creation and lock, may have removed it.
    fn announce(&mut self) -> io::Result<()> {
        if self.held.as_ref().is_some_and(|held| owner::is_at(held, &self.path)) {
            return Ok(());
        }
        self.held = None;
        fs::create_dir_all(&self.dir)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        match file.try_lock() {
            Ok(()) => {}
            // A neighbour is looking whether the file is stale: the next look tries again.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        writeln!(file, "{}", self.addr)?;
        self.held = Some(file);
        Ok(())
    }

    /// The addresses of the neighbours that run now. Stale files are removed on the way.
    fn look(&mut self) -> Vec<SocketAddr> {
        if let Err(error) = self.announce() {
            tracing::debug!(%error, "cannot announce this node at {}", self.path.display());
        }
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter(|path| *path != self.path && is_node(path))
            .filter_map(|path| neighbour(&path))
            .take(FOUND_MAX)
            .collect()
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        if self.held.as_ref().is_some_and(|held| owner::is_at(held, &self.path)) {
            let _ = fs::remove_file(&self.path);
            // Succeeds for the last node of a cluster only: a directory that is not empty stays.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Named like a node: 32 hexadecimal digits.
fn is_node(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The address in a file whose node runs; `None`, and the file is gone, if it does not.
fn neighbour(path: &Path) -> Option<SocketAddr> {
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let text = files::read(&file, ADDR_MAX).ok()?;
            text.trim().parse().ok()
        }
        Ok(()) => {
            let _ = fs::remove_file(path);
            None
        }
        Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(unix)]
mod owner {
    //! Directories of this user alone.

    use std::env;
    use std::fs::{self, DirBuilder, File, Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    use std::path::{Path, PathBuf};

    use super::{LocalError, OpenError};

    /// Where nodes of this user meet on this machine.
    pub(super) fn roots() -> Vec<PathBuf> {
        let uid = rustix::process::geteuid().as_raw();
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        // Under sudo the variable may still name the directory of another user.
        let runtime = runtime.filter(|dir| fs::metadata(dir).is_ok_and(|metadata| is_ours(&metadata)));
        let temporary = env::temp_dir().join(format!("boato-{uid}"));
        runtime.map(|dir| dir.join("boato")).into_iter().chain([temporary]).collect()
    }

    /// Creates `dir` for this user alone; one that is there has to be a directory, not a link, of this user.
    pub(super) fn create(dir: &Path) -> Result<(), OpenError> {
        let foreign = |what| OpenError::Foreign(LocalError::Foreign { path: dir.to_owned(), what });
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let metadata = fs::symlink_metadata(dir)?;
        if !metadata.is_dir() {
            return Err(foreign("not a directory"));
        }
        if !is_ours(&metadata) {
            return Err(foreign("owned by another user"));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    fn is_ours(metadata: &Metadata) -> bool {
        metadata.uid() == rustix::process::geteuid().as_raw()
    }

    /// Whether `path` still names `file`.
    pub(super) fn is_at(file: &File, path: &Path) -> bool {
        let inode = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (held, named) = (file.metadata().map(inode), fs::metadata(path).map(inode));
        matches!((held, named), (Ok(held), Ok(named)) if held == named)
    }
}

#[cfg(not(unix))]
mod owner {
    //! Directories of this user: the temporary directory is one already.

    use std::fs::{self, File};
    use std::path::{Path, PathBuf};

    use super::OpenError;

    pub(super) fn roots() -> Vec<PathBuf> {
        vec![std::env::temp_dir().join("boato")]
    }

    pub(super) fn create(dir: &Path) -> Result<(), OpenError> {
        Ok(fs::create_dir_all(dir)?)
    }

    pub(super) fn is_at(_: &File, path: &Path) -> bool {
        path.exists()
    }
}

#[cfg(test)]
mod tests;
