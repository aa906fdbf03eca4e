//! Starting a node inside a program.

use crate::config::{Config, Settings};
use crate::inherited::Inherited;
use crate::live::Reread;
use crate::node::Node;
use crate::start_error::StartError;

/// A node that is to be started; what is not said is as with `boato run` without flags.
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    inherited: Inherited,
    reread: Option<Reread>,
}

impl Builder {
    /// Name of the cluster; nodes of another cluster are refused. Default `boato`.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.settings.cluster = Some(name.into());
        self
    }

    /// Anything that `boato run` has a flag for, but `exit_on_idle`: a program ends its node itself. `log` is followed where the
    /// program has started its log with [`logging::init`](crate::logging::init), else refused.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Doors that somebody else has bound. Default: none.
    pub fn inherited(mut self, doors: Inherited) -> Self {
        self.inherited = doors;
        self
    }

    /// How to read the configuration again, for [`Node::reload`]. Default: it cannot be.
    pub fn reread(mut self, reread: Reread) -> Self {
        self.reread = Some(reread);
        self
    }

    /// Starts the node. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(self) -> Result<Node, StartError> {
        Node::embed(Config::new(&self.settings)?, self.inherited, self.reread).await
    }
}
