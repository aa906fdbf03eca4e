//! What may enter the dependency tree, as `deny.toml` says: by cargo-deny where it is installed; elsewhere licences and
//! sources are checked here, from the same file.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toml::Table;

pub(crate) fn run() -> Result<()> {
    let deny = crate::cargo().args(["deny", "--version"]).output().context("looking for cargo-deny")?;
    if deny.status.success() {
        let status = crate::cargo().args(["deny", "check", "bans", "licenses", "sources"]).status();
        let status = status.context("starting cargo deny")?;
        ensure!(status.success(), "cargo deny failed: {status}");
        return Ok(());
    }
    println!("cargo-deny is not installed: licences and sources are checked, bans are not");
    let rules: Table =
        std::fs::read_to_string(crate::root().join("deny.toml"))?.parse().context("parsing deny.toml")?;
    let packages = packages()?;
    let home = packages.first().and_then(|package| package["source"].as_str()).unwrap_or_default();
    let broken: Vec<_> = packages.iter().filter_map(|package| judge(&rules, home, package)).collect();
    ensure!(broken.is_empty(), "not allowed by deny.toml:\n  {}", broken.join("\n  "));
    println!("{} packages are allowed by deny.toml", packages.len());
    Ok(())
}

/// All packages of Cargo.lock that are not ours.
fn packages() -> Result<Vec<Value>> {
    let output = crate::cargo().args(["metadata", "--format-version", "1", "--all-features"]).output();
    let output = output.context("starting cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    let packages: Vec<Value> =
        serde_json::from_value(metadata["packages"].take()).context("cargo metadata")?;
    Ok(packages.into_iter().filter(|package| !package["source"].is_null()).collect())
}

/// What is wrong with a package; `home` is the one registry that all packages come from.
fn judge(rules: &Table, home: &str, package: &Value) -> Option<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let name = format!("{} {}", text("name"), text("version"));
    let list = |table: &str, key: &str| -> Vec<&str> {
        let list = rules.get(table).and_then(|table| table.get(key)?.as_array());
        list.into_iter().flatten().filter_map(toml::Value::as_str).collect()
    };
    let source = text("source");
    if source != home || !source.starts_with("registry+") {
        return Some(format!("{name}: its source {source}"));
    }
    let licence = text("license");
    let mut allowed = list("licenses", "allow");
    allowed.extend(exceptions(rules, text("name")));
    (!satisfies(licence, &allowed)).then(|| format!("{name}: its licence `{licence}`"))
}

/// Licences that one package may have beyond those that all may have.
fn exceptions<'a>(rules: &'a Table, package: &str) -> Vec<&'a str> {
    let exceptions = rules.get("licenses").and_then(|table| table.get("exceptions")?.as_array());
    let of_package = exceptions
        .into_iter()
        .flatten()
        .filter(|exception| exception.get("crate").and_then(toml::Value::as_str) == Some(package));
    let allow = of_package.filter_map(|exception| exception.get("allow")?.as_array());
    allow.flatten().filter_map(toml::Value::as_str).collect()
}

/// Whether the SPDX expression can be satisfied by licences of the list. A slash is the old way to write `OR`.
fn satisfies(expression: &str, allowed: &[&str]) -> bool {
    let spaced =
        expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "-WITH-");
    let mut tokens = spaced.split_whitespace().peekable();
    any(&mut tokens, allowed) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut result = all(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        result |= all(tokens, allowed);
    }
    result
}

fn all(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut result = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        result &= one(tokens, allowed);
    }
    result
}

fn one(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    match tokens.next() {
        Some("(") => any(tokens, allowed) & (tokens.next() == Some(")")),
        licence => licence.is_some_and(|licence| allowed.contains(&licence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_as_spdx_says() {
        for (expression, good) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 OR ISC AND MIT", true),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("(MIT OR ISC) AND GPL-3.0", false),
            ("ISC WITH LLVM-exception", false),
            ("", false),
            ("MIT ISC", false),
            ("(MIT", false),
        ] {
            assert_eq!(satisfies(expression, &["MIT", "ISC"]), good, "{expression}");
        }
    }

    #[test]
    fn a_foreign_source_or_licence_is_named() {
        let rules = "[licenses]\nallow = [\"MIT\"]".parse().unwrap();
        let judged = |source: &str, licence: &str| {
            let package =
                serde_json::json!({"name": "x", "version": "1", "source": source, "license": licence});
            judge(&rules, "registry+https://r.example", &package)
        };
        assert_eq!(judged("registry+https://r.example", "MIT"), None);
        assert!(judged("git+https://r.example", "MIT").unwrap().contains("source"));
        assert!(judged("registry+https://other.example", "MIT").unwrap().contains("source"));
        assert!(judged("registry+https://r.example", "GPL-3.0").unwrap().contains("GPL-3.0"));
    }
}
