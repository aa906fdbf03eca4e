//! Nodes that belong together.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{Launch, Node, view};

/// A cluster's name and the directory of its files. Its nodes find each other there without a flag.
pub(crate) struct Cluster {
    name: String,
    dir: TempDir,
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How to start a node of this cluster.
    pub(crate) fn node(&self, name: &str) -> Launch {
        Launch::new(name, &self.name, self.dir.path())
    }

    /// Nodes of these names, started together, at rest.
    pub(crate) fn start<const N: usize>(&self, names: [&str; N]) -> [Node; N] {
        let nodes = names.map(|name| self.node(name).spawn()).map(super::node::Starting::listening);
        Self::settle(&nodes.each_ref());
        nodes
    }

    /// See [`view::settle`].
    pub(crate) fn settle(nodes: &[&Node]) {
        view::settle(nodes);
    }
}

/// Runs a command to its end, without any variable of this process.
pub(crate) fn boato(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_boato")).env_clear().args(args).output().unwrap()
}
