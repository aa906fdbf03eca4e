//! Rules of the repository that a compiler does not know, as functions that list what breaks them.
//!
//! `cargo xtask tidy` prints the list, `cargo test` fails on it.

mod edges;
mod files;
mod links;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Checks the repository at `root` and fails with every broken rule, one per line.
pub(crate) fn check(root: &Path) -> Result<()> {
    let files = files::all(root)?;
    let mut broken = edges::violations(root)?;
    broken.extend(files::violations(root, &files)?);
    broken.extend(links::violations(root, &files)?);
    if broken.is_empty() {
        return Ok(());
    }
    bail!("rules of the repository broken, {} times:\n  {}", broken.len(), broken.join("\n  "))
}

/// Reads a text file below `root`; `path` is relative.
fn read(root: &Path, path: &Path) -> Result<String> {
    let full = root.join(path);
    std::fs::read_to_string(&full).with_context(|| format!("reading {}", full.display()))
}

/// The files among `files` whose name ends in `.extension`.
fn with_extension<'a>(files: &'a [PathBuf], extension: &'a str) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().filter(move |path| path.extension().is_some_and(|found| found == extension))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_keeps_its_rules() {
        if let Err(broken) = super::check(crate::root()) {
            panic!("{broken}");
        }
    }
}
