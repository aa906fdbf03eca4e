//! Reading secrets: the cluster's and the clients'.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use boato_transport::Secret;

use super::{ConfigError, Origin};
use crate::files;

/// Largest secret file, in bytes.
const FILE_MAX: u64 = 16 << 10;

/// Most secrets in a file: the one in use, and those on their way in or out.
const CLIENT_SECRETS_MAX: usize = 8;

/// The secrets of which clients show one: 1 to 8, each of 1 to 1024 visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Vec<String>);

impl ClientSecret {
    /// The first, which a client shows that has the same file.
    pub fn as_str(&self) -> &str {
        &self.0[0]
    }

    /// All of them: any admits.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Reads client secrets, one a line; adds to `warnings` when others can read the file too.
    pub(crate) fn read(path: &Path, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let text = read(path, warnings)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<String> = lines.map(str::to_owned).collect();
        let usable = |secret: &String| secret.len() <= 1024 && secret.bytes().all(|b| b.is_ascii_graphic());
        if (1..=CLIENT_SECRETS_MAX).contains(&secrets.len()) && secrets.iter().all(usable) {
            Ok(Self(secrets))
        } else {
            Err(ConfigError::ClientSecret { path: path.to_owned() })
        }
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// The cluster's secret from the source that ranks highest: a file named by a flag, the variables, a file
/// named in the configuration file. `origin` is where `path` came from, `variable` the text of
/// `BOATO_SECRET`; adds to `warnings` when others can read the file too.
pub(crate) fn cluster_secret(
    path: Option<&Path>,
    origin: &Origin,
    variable: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Option<Secret>, ConfigError> {
    match (path, variable, origin) {
        (Some(_), Some(_), Origin::Environment) => Err(ConfigError::TwoSecrets),
        (None, Some(text), _) | (Some(_), Some(text), Origin::File(_)) => {
            parse(text, "BOATO_SECRET".to_owned()).map(Some)
        }
        (Some(path), _, _) => parse(&read(path, warnings)?, path.display().to_string()).map(Some),
        (None, None, _) => Ok(None),
    }
}

fn parse(text: &str, whence: String) -> Result<Secret, ConfigError> {
    Secret::parse(text).map_err(|source| ConfigError::Secret { whence, source })
}

fn read(path: &Path, warnings: &mut Vec<String>) -> Result<String, ConfigError> {
    let open = || -> io::Result<(String, Metadata)> {
        let file = File::open(path)?;
        Ok((files::read(&file, FILE_MAX)?, file.metadata()?))
    };
    let (text, metadata) =
        open().map_err(|source| ConfigError::SecretRead { path: path.to_owned(), source })?;
    if files::readable_by_others(&metadata) {
        let path = path.display();
        warnings.push(format!(
            "the secret file {path} is readable by other users of this machine: chmod go-rwx {path}"
        ));
    }
    Ok(text)
}
