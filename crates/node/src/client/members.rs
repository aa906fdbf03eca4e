//! What a client asks of a node as a member of its cluster.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use ureq::http::Method;

use super::{Client, ClientError, Events, Question, parameter};

impl Client {
    /// Tells all members something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn event(&self, name: &str, payload: &[u8]) -> Result<serde_json::Value, ClientError> {
        let response = self.call(Method::POST, &format!("/_/event?name={}", parameter(name)), payload)?;
        self.read_json(response)
    }

    /// Asks members something; what comes of it are events of which the last is `done`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn query(&self, question: &Question<'_>) -> Result<Events, ClientError> {
        let response = self.call(Method::POST, &question.path(), question.payload)?;
        self.read_events(response)
    }

    /// How far two members are from each other, as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn rtt<T: DeserializeOwned>(&self, from: &str, to: &str) -> Result<T, ClientError> {
        self.json(&format!("/_/rtt?from={}&to={}", parameter(from), parameter(to)))
    }

    /// Changes the node's tags, and gives all of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn change_tags(
        &self,
        set: &BTreeMap<String, String>,
        remove: &[String],
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let change = serde_json::json!({ "set": set, "remove": remove }).to_string();
        let response = self.call(Method::POST, "/_/tags", change.as_bytes())?;
        self.read_json(response)
    }

    /// Changes the cluster's secrets, and gives what each member knows then, as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn change_keys(
        &self,
        change: &serde_json::Value,
        force: bool,
    ) -> Result<serde_json::Value, ClientError> {
        let path = format!("/_/keyring?force={force}");
        let response = self.call(Method::POST, &path, change.to_string().as_bytes())?;
        self.read_json(response)
    }

    /// Has the node contact another, and waits until that is a member.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn join(&self, addr: &str) -> Result<serde_json::Value, ClientError> {
        let response = self.call(Method::POST, &format!("/_/join?addr={}", parameter(addr)), &[])?;
        self.read_json(response)
    }

    /// Has a dead member removed, or with `prune` forgotten.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn force_leave(&self, member: &str, prune: bool) -> Result<serde_json::Value, ClientError> {
        let path = format!("/_/force-leave?member={}&prune={prune}", parameter(member));
        let response = self.call(Method::POST, &path, &[])?;
        self.read_json(response)
    }
}
