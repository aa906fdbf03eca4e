//! Which node a command talks to.

use std::path::PathBuf;

use clap::ArgMatches;

use super::failure::Failure;
use super::run::{origin, secret_variable};
use crate::client::Client;
use crate::config::{Address, AddressError, CLUSTER, ClientSecret, cluster_secret};

#[expect(clippy::doc_markdown, reason = "the comments are help texts, which have no markup")]
/// Flags of every command that talks to a node.
#[derive(Clone, clap::Args)]
pub(super) struct Target {
    /// HTTP address of the node: 7480, :7480, host:7480 or [::1]:7480
    #[arg(long, env = "BOATO_HTTP", value_name = "ADDR", default_value = "127.0.0.1:7480", value_parser = http)]
    http: Address,

    /// File with the secret that clients have to show
    #[arg(long, env = "BOATO_CLIENT_SECRET_FILE", value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
}

/// The address of a node, which errors and browsers show as a URL.
fn http(text: &str) -> Result<Address, String> {
    if text.starts_with("https://") {
        return Err(
            "TLS is not spoken here; name the node's own HTTP address, like http://host:7480".to_owned()
        );
    }
    let bare = text.strip_prefix("http://").map_or(text, |rest| rest.trim_end_matches('/'));
    bare.parse().map_err(|error: AddressError| error.to_string())
}

impl Target {
    /// A client that shows the clients' secret, if there is one.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Ok(self.client_and_secret()?.0)
    }

    /// The same, and the secret.
    pub(super) fn client_and_secret(&self) -> Result<(Client, Option<String>), Failure> {
        let mut warnings = Vec::new();
        let secret = match &self.client_secret_file {
            Some(path) => Some(ClientSecret::read(path, &mut warnings)?),
            None => None,
        };
        warn(&warnings);
        let secret = secret.map(|secret| secret.as_str().to_owned());
        Ok((self.client_with(secret.as_deref())?, secret))
    }

    /// A client of another node, at `addr`, that shows the clients' secret.
    pub(super) fn client_at(&self, addr: &str) -> Result<Client, Failure> {
        let address: Address = addr.parse().map_err(|_| Failure::NoResp)?;
        let secret = self
            .client_secret_file
            .as_ref()
            .map(|path| ClientSecret::read(path, &mut Vec::new()))
            .transpose()?;
        Ok(Client::new(&address, secret.as_ref().map(ClientSecret::as_str))?)
    }

    /// A client that shows `secret`.
    pub(super) fn client_with(&self, secret: Option<&str>) -> Result<Client, Failure> {
        Ok(Client::new(&self.http, secret)?)
    }
}

#[expect(clippy::doc_markdown, reason = "the comments are help texts, which have no markup")]
/// Flags of every command that only operators may give: which node, and the secret that allows it.
#[derive(clap::Args)]
pub(super) struct Operator {
    #[command(flatten)]
    target: Target,

    /// File with the cluster's secret, if it has one; or BOATO_SECRET
    #[arg(long, env = "BOATO_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Name of the cluster
    #[arg(long, env = "BOATO_CLUSTER", default_value = CLUSTER)]
    cluster: String,
}

impl Operator {
    /// A client that shows the token derived from the cluster's secret, if there is one, else the clients' secret.
    pub(super) fn client(&self, matches: &ArgMatches) -> Result<Client, Failure> {
        let mut warnings = Vec::new();
        let (path, from) = (self.secret_file.as_deref(), origin(matches, "secret-file"));
        let secret = cluster_secret(path, &from, secret_variable().as_deref(), &mut warnings)?;
        warn(&warnings);
        match secret {
            Some(secret) => self.target.client_with(Some(&secret.admin_token(&self.cluster))),
            None => self.target.client(),
        }
    }
}

/// Commands have no log: warnings go to standard error as they are.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("boato: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_its_address_or_by_the_url_that_errors_show() {
        for text in ["http://web1:7480", "http://web1:7480/", "web1:7480"] {
            assert_eq!(http(text).unwrap().to_string(), "web1:7480");
        }
        assert!(http("https://web1:7480").unwrap_err().contains("TLS"));
        assert!(http("ftp://web1:7480").unwrap_err().contains("expected an address"));
    }
}
