//! Relative links in Markdown lead to a file of the repository and, with `#`, to one of its headings.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;

/// Links that lead nowhere.
pub(super) fn violations(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in super::with_extension(files, "md") {
        let text = super::read(root, path)?;
        for target in targets(&text) {
            if !resolves(root, path, &text, &target)? {
                broken.push(format!("{}: the link to {target} leads nowhere", path.display()));
            }
        }
    }
    Ok(broken)
}

fn resolves(root: &Path, page: &Path, text: &str, target: &str) -> Result<bool> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    if file.is_empty() {
        return Ok(has_heading(text, heading));
    }
    let Some(path) = join(page.parent().unwrap_or(Path::new("")), file) else { return Ok(false) };
    if heading.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return Ok(root.join(path).exists());
    }
    Ok(root.join(&path).is_file() && has_heading(&super::read(root, &path)?, heading))
}

/// `folder/file` with `..` resolved; `None` when it leaves the repository.
fn join(folder: &Path, file: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in folder.join(file).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

/// The relative targets of links and pictures of a page, those inside code left out.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text).map(without_code) {
        for (opening, closing) in [("](", [')', ' ']), ("src=\"", ['"', '"'])] {
            let found = line.split(opening).skip(1).filter_map(|rest| rest.split(closing).next());
            targets.extend(found.filter(|target| !is_external(target)).map(str::to_owned));
        }
    }
    targets
}

fn is_external(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// A line without its `code`: every second piece between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

fn has_heading(text: &str, anchor: &str) -> bool {
    prose(text).filter(|line| line.starts_with('#')).any(|line| slug(line.trim_start_matches('#')) == anchor)
}

/// The anchor of a heading: lower case, words joined by `-`, punctuation dropped.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_prose_only() {
        let text = "See [a](a.md) and [b](docs/b.md#part \"title\").\n```\n[c](c.md)\n```\n[d](https://d.example)\n\
                    [`e`](e.md) and `[f](f.md)` and <img src=\"g.svg\" alt=\"\">";
        assert_eq!(targets(text), ["a.md", "docs/b.md#part", "e.md", "g.svg"]);
    }

    #[test]
    fn a_link_must_stay_inside_and_exist() {
        let root = crate::root();
        let page = Path::new("docs/page.md");
        for (target, good) in [
            ("../Cargo.toml", true),
            ("missing.md", false),
            ("../../outside.md", false),
            ("#a-heading-of-its-own", true),
            ("#another", false),
            ("../CHANGELOG.md#changelog", true),
            ("../CHANGELOG.md#nowhere", false),
        ] {
            let found = resolves(root, page, "# A heading, of its own\n", target).unwrap();
            assert_eq!(found, good, "{target}");
        }
    }
}
