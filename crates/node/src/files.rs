//! Small files: read with a bound, and written so that a reader never sees half of one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The text of a file of at most `max` bytes.
pub(crate) fn read(file: &File, max: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max} bytes")));
    }
    Ok(text)
}

/// Whether any user of this machine may read it.
#[cfg(unix)]
pub(crate) fn readable_by_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o004 != 0
}

#[cfg(not(unix))]
pub(crate) fn readable_by_others(_: &fs::Metadata) -> bool {
    false
}

/// Replaces the content of `path` in one step that survives a power failure: a new file beside it, synced,
/// then renamed.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_by(path, content, &mut File::options())
}

/// The same for a file that only its owner may read.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    replace_by(path, content, &mut options)
}

fn replace_by(path: &Path, content: &[u8], options: &mut fs::OpenOptions) -> io::Result<()> {
    let new = beside(path, ".new")?;
    // What an interrupted replacement left may be open to others.
    fs::remove_file(&new)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut file = options.write(true).create_new(true).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_parent(path)
}

fn beside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

/// A file that takes the place of another once it is complete. If it is dropped before, the other stays as it is.
#[derive(Debug)]
pub(crate) struct Successor {
    file: File,
    new: PathBuf,
    /// What it replaces; `None` once it has.
    path: Option<PathBuf>,
}

impl Successor {
    /// With the permissions of the file at `path`; if there is none, only its owner may read it.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        // What a link leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = beside(&path, &format!(".{}.new", std::process::id()))?;
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.write(true).create(true).truncate(true).open(&new)?;
        let successor = Self { file, new, path: Some(path) };
        if let Some(Ok(before)) = successor.path.as_deref().map(fs::metadata) {
            successor.file.set_permissions(before.permissions())?;
        }
        Ok(successor)
    }

    /// Takes the place, in one step that survives a power failure.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(path) = self.path.as_deref() else { return Ok(()) };
        fs::rename(&self.new, path)?;
        sync_parent(path)?;
        self.path = None;
        Ok(())
    }
}

impl io::Write for Successor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.path.is_some() {
            // It is of no use, and in nobody's way.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// The rename itself is in the directory.
#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_place_until_its_successor_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, "old").unwrap();
        let begin = |text: &str| {
            let mut successor = Successor::of(&path).unwrap();
            successor.write_all(text.as_bytes()).unwrap();
            successor
        };
        drop(begin("half"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        begin("new").finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[cfg(unix)]
    #[test]
    fn a_successor_may_be_read_by_whom_the_file_could_be_and_else_by_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("keys"), dir.path().join("link"));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        Successor::of(&path).unwrap().finish().unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Successor::of(&link).unwrap().finish().unwrap();
        assert_eq!(mode(), 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn reading_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "12345").unwrap();
        let file = || File::open(&path).unwrap();
        assert_eq!(read(&file(), 5).unwrap(), "12345");
        assert_eq!(read(&file(), 4).unwrap_err().to_string(), "larger than 4 bytes");
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(dir.path().join("a.new"), "left over").unwrap();
        replace_private(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_replaced_file_has_the_new_content_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
