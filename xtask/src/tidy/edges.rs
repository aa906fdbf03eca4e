//! Which crate may import which: the directions between the rooms of the workspace.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// One package of the workspace and the packages of the workspace that it may import.
struct Room {
    package: &'static str,
    folder: &'static str,
    /// Allowed in every dependency section.
    imports: &'static [&'static str],
    /// Allowed only as an optional dependency that nothing but the feature `quic` switches on.
    behind_quic: &'static [&'static str],
    /// A core: no I/O library unless optional, and no `quic` feature of another crate.
    core: bool,
}

const fn room(package: &'static str, folder: &'static str, imports: &'static [&'static str]) -> Room {
    Room { package, folder, imports, behind_quic: &[], core: false }
}

const fn core(package: &'static str, folder: &'static str, imports: &'static [&'static str]) -> Room {
    Room { core: true, ..room(package, folder, imports) }
}

const QUIC: &str = "quic";

const LIBRARIES: &[&str] =
    &["boato-api", "boato-cluster", "boato-gossip", "boato-placement", "boato-storage", "boato-transport"];

const ROOMS: &[Room] = &[
    room("boato-transport", "crates/transport", &[]),
    room("boato-api", "crates/api", &[]),
    core("boato-placement", "crates/placement", &[]),
    core("boato-storage", "crates/storage", &[]),
    Room { behind_quic: &["boato-transport"], ..core("boato-gossip", "crates/gossip", &[]) },
    Room {
        behind_quic: &["boato-transport"],
        ..core("boato-cluster", "crates/cluster", &["boato-placement", "boato-storage"])
    },
    core("boato-sim", "crates/sim", &["boato-gossip", "boato-cluster", "boato-placement", "boato-storage"]),
    room("node", "crates/node", LIBRARIES),
    // The simulator and what it is made of, so that it compiles quickly: nodes are run as processes.
    room("xtask", "xtask", &["boato-placement", "boato-sim"]),
    room(
        "boato-benches",
        "benches",
        &[
            "boato-api",
            "boato-cluster",
            "boato-gossip",
            "boato-placement",
            "boato-sim",
            "boato-storage",
            "boato-transport",
            "node",
        ],
    ),
];

/// Libraries that bring sockets, tasks or wall time.
const IO_LIBRARIES: &[&str] = &[
    "async-std",
    "hyper",
    "hyper-util",
    "mdns-sd",
    "mio",
    "quinn",
    "rustls",
    "socket2",
    "tokio",
    "tokio-util",
    "ureq",
];

/// Every edge in the manifests below `root` that the table of rooms does not allow.
pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let workspace = manifest(root, "")?;
    let mut broken = members(root)?;
    for room in ROOMS {
        broken.extend(check(room, &workspace, &manifest(root, room.folder)?));
    }
    Ok(broken)
}

fn manifest(root: &Path, folder: &str) -> Result<Table> {
    let path = Path::new(folder).join("Cargo.toml");
    super::read(root, &path)?.parse().with_context(|| format!("parsing {}", path.display()))
}

/// Folders below `crates` that no room describes.
fn members(root: &Path) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).context("listing crates")? {
        let folder = format!("crates/{}", entry?.file_name().to_string_lossy());
        let is_crate = root.join(&folder).join("Cargo.toml").exists();
        if is_crate && !ROOMS.iter().any(|room| room.folder == folder) {
            unknown.push(format!("{folder}: not a room of this house (xtask/src/tidy/edges.rs)"));
        }
    }
    unknown.sort();
    Ok(unknown)
}

fn check(room: &Room, workspace: &Table, manifest: &Table) -> Vec<String> {
    let mut broken = Vec::new();
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    if name != Some(room.package) {
        broken.push(format!("{}: the package must be named {}", room.folder, room.package));
    }
    for edge in dependencies(workspace, manifest) {
        broken.extend(judge(room, &edge, manifest).map(|why| format!("{}: {why}", room.folder)));
    }
    broken
}

/// One line of one dependency section.
struct Edge {
    /// The name in the manifest, which features refer to.
    key: String,
    package: String,
    section: String,
    optional: bool,
    quic: bool,
}

fn judge(room: &Room, edge: &Edge, manifest: &Table) -> Option<String> {
    let Edge { package, section, .. } = edge;
    if room.core && IO_LIBRARIES.contains(&package.as_str()) && section.ends_with("dependencies") {
        let normal = !section.ends_with("dev-dependencies");
        return (normal && !edge.optional)
            .then(|| format!("{package} brings I/O into a core, make it optional"));
    }
    if !ROOMS.iter().any(|room| room.package == package) {
        return None;
    }
    if room.core && edge.quic {
        return Some(format!("{package} with feature {QUIC} brings I/O into a core ([{section}])"));
    }
    if room.imports.contains(&package.as_str()) {
        return None;
    }
    if room.behind_quic.contains(&package.as_str()) {
        return (!only_behind_quic(edge, manifest)).then(|| {
            format!("{package} must be optional and enabled by feature {QUIC} alone ([{section}])")
        });
    }
    Some(format!("must not import {package} ([{section}])"))
}

fn only_behind_quic(edge: &Edge, manifest: &Table) -> bool {
    let features = enabling_features(manifest, &edge.key);
    edge.section == "dependencies" && edge.optional && features == [QUIC] && !default_has_quic(manifest)
}

fn default_has_quic(manifest: &Table) -> bool {
    feature_lists(manifest).get("default").is_some_and(|list| list.contains(&QUIC))
}

/// The features that switch the optional dependency `key` on, its own implicit one included.
fn enabling_features<'a>(manifest: &'a Table, key: &'a str) -> Vec<&'a str> {
    let lists = feature_lists(manifest);
    let named = format!("dep:{key}");
    let explicit = lists.values().flatten().any(|item| *item == named);
    let enables = |item: &str| item == named || item == key || item.starts_with(&format!("{key}/"));
    let mut features: Vec<_> = lists
        .into_iter()
        .filter(|(_, list)| list.iter().any(|item| enables(item)))
        .map(|(name, _)| name)
        .collect();
    if !explicit {
        features.push(key);
    }
    features
}

fn feature_lists(manifest: &Table) -> BTreeMap<&str, Vec<&str>> {
    let Some(features) = manifest.get("features").and_then(Value::as_table) else { return BTreeMap::new() };
    features.iter().map(|(name, list)| (name.as_str(), strings(Some(list)))).collect()
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// All edges of a manifest: normal, dev and build dependencies, for every target.
fn dependencies(workspace: &Table, manifest: &Table) -> Vec<Edge> {
    let mut edges = sections(workspace, manifest, "");
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    for (target, table) in targets {
        if let Some(table) = table.as_table() {
            edges.extend(sections(workspace, table, &format!("target.{target}.")));
        }
    }
    edges
}

fn sections(workspace: &Table, table: &Table, prefix: &str) -> Vec<Edge> {
    let mut edges = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (key, spec) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            edges.push(edge(workspace, format!("{prefix}{section}"), key, spec));
        }
    }
    edges
}

fn edge(workspace: &Table, section: String, key: &str, spec: &Value) -> Edge {
    let inherited = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(|dependencies| dependencies.get(key))
        .filter(|_| flag(spec, "workspace"));
    let renamed =
        [Some(spec), inherited].into_iter().flatten().find_map(|spec| spec.get("package")?.as_str());
    let has_quic = |spec: &Value| strings(spec.get("features")).contains(&QUIC);
    Edge {
        key: key.to_owned(),
        package: renamed.unwrap_or(key).to_owned(),
        section,
        optional: flag(spec, "optional"),
        quic: has_quic(spec) || inherited.is_some_and(has_quic),
    }
}

fn flag(spec: &Value, name: &str) -> bool {
    spec.get(name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
        [workspace.dependencies]
        boato-gossip = { path = "crates/gossip" }
        boato-transport = { path = "crates/transport" }
        carrier = { package = "boato-transport", path = "crates/transport" }
    "#;

    /// Judges `manifest` as the manifest of `package`, whose `[package]` table is added.
    fn judged(package: &str, manifest: &str) -> Vec<String> {
        let room = ROOMS.iter().find(|room| room.package == package).unwrap();
        let manifest = format!("{manifest}\n[package]\nname = \"{package}\"\n").parse().unwrap();
        check(room, &WORKSPACE.parse().unwrap(), &manifest)
    }

    #[test]
    fn a_foreign_import_is_an_error_in_every_section() {
        for section in
            ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"]
        {
            let broken = judged("boato-api", &format!("[{section}]\nboato-gossip.workspace = true"));
            assert_eq!(broken.len(), 1, "{section}: {broken:?}");
        }
    }

    #[test]
    fn a_renamed_import_is_seen() {
        assert_eq!(judged("boato-api", "[dependencies]\ncarrier.workspace = true").len(), 1);
        assert_eq!(
            judged("boato-api", "[dependencies]\nx = { package = \"node\", path = \"../node\" }").len(),
            1
        );
    }

    #[test]
    fn gossip_may_import_transport_behind_quic_only() {
        let optional = "[dependencies]\nboato-transport = { workspace = true, optional = true }\n";
        let with = |features: &str| judged("boato-gossip", &format!("{optional}[features]\n{features}"));
        assert_eq!(with("quic = [\"dep:boato-transport\"]"), Vec::<String>::new());
        assert_eq!(with("quic = [\"dep:boato-transport\"]\nextra = [\"boato-transport/x\"]").len(), 1);
        assert_eq!(with("quic = [\"dep:boato-transport\"]\ndefault = [\"quic\"]").len(), 1);
        assert_eq!(with("quic = []").len(), 1);
        assert_eq!(judged("boato-gossip", "[dependencies]\nboato-transport.workspace = true").len(), 1);
    }

    #[test]
    fn a_core_has_no_io_and_no_driver() {
        assert_eq!(judged("boato-sim", "[dependencies]\ntokio = \"1\"").len(), 1);
        assert_eq!(
            judged("boato-sim", "[dependencies]\ntokio = { version = \"1\", optional = true }").len(),
            0
        );
        assert_eq!(judged("boato-sim", "[dev-dependencies]\ntokio = \"1\"").len(), 0);
        let driver = "[dependencies]\nboato-gossip = { workspace = true, features = [\"quic\"] }";
        assert_eq!(judged("boato-sim", driver).len(), 1);
    }

    #[test]
    fn a_wrong_package_name_is_an_error() {
        let room = &ROOMS[0];
        let manifest = "[package]\nname = \"common\"".parse().unwrap();
        assert_eq!(check(room, &Table::new(), &manifest).len(), 1);
    }
}
