//! Rules for single source files: their length, and no marks of unfinished work.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Longer files ask to be cut along a noun; [`EXCUSE`] names the reason where that would be worse.
const LINES_MAX: usize = 500;

/// A line that starts with this, followed by a reason, allows a long file.
const EXCUSE: &str = "// tidy: long because";

/// Marks of unfinished work, written so that this file does not contain them.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("dbg", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
];

/// All files of the repository, relative to `root`, sorted: hidden folders and build output are left out.
pub(super) fn all(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let skipped = name.to_string_lossy().starts_with('.') || name == "target" || name == "node_modules";
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !skipped {
                walk(root, &path, found)?;
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_owned());
        }
    }
    Ok(())
}

/// Rust files that are too long or unfinished.
pub(super) fn violations(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in super::with_extension(files, "rs") {
        let text = super::read(root, path)?;
        broken.extend(judge(&text).into_iter().map(|why| format!("{}{why}", path.display())));
    }
    Ok(broken)
}

fn judge(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX && !text.lines().any(excuses) {
        broken.push(format!(": {lines} lines, more than {LINES_MAX}: cut it, or say `{EXCUSE} ...`"));
    }
    for (index, line) in text.lines().enumerate() {
        let marks = MARKS.iter().filter(|mark| line.contains(*mark));
        broken.extend(marks.map(|mark| format!(":{}: unfinished work ({mark})", index + 1)));
    }
    broken
}

fn excuses(line: &str) -> bool {
    line.strip_prefix(EXCUSE).is_some_and(|reason| reason.trim().len() > 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "// a line\n".repeat(LINES_MAX + 1);
        assert_eq!(judge(&long).len(), 1);
        assert_eq!(judge(&format!("{EXCUSE} it is one table\n{long}")), Vec::<String>::new());
        assert_eq!(judge(&format!("{EXCUSE}\n{long}")).len(), 1);
        assert_eq!(judge(&"// a line\n".repeat(LINES_MAX)), Vec::<String>::new());
    }

    #[test]
    fn marks_of_unfinished_work_are_found_with_their_line() {
        for mark in MARKS {
            let broken = judge(&format!("fn f() {{\n    {mark}\n}}\n"));
            assert_eq!(broken.len(), 1, "{mark}");
            assert!(broken[0].starts_with(":2:"), "{broken:?}");
        }
    }
}
