//! Settings from several sources, one over the other, each value with where it came from.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::path::{Path, PathBuf};

use toml::Table;

use super::{ConfigError, Settings};
use crate::files;

/// Largest configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A `BOATO_*` variable.
    Environment,
    /// The command line.
    Flag,
    /// The program that embeds the node.
    Program,
}

/// Settings with their origins. Later layers win.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: Table,
    origins: BTreeMap<String, Origin>,
    overruled: Vec<String>,
}

impl Layers {
    /// Lays `settings` over what is there; `origin` is asked with each key that it sets.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub fn add(&mut self, settings: &Settings, origin: impl Fn(&str) -> Origin) -> Result<(), ConfigError> {
        let table = Table::try_from(settings).map_err(|source| ConfigError::Text { source })?;
        for (key, value) in table {
            let origin = origin(&key);
            if let (Origin::File(path), Origin::Environment) = (self.origin(&key), &origin)
                && self.values.get(&key) != Some(&value)
            {
                let (variable, path) = (variable(&key), path.display());
                self.overruled
                    .push(format!("{variable} overrules {key} in {path}: unset it for the file to hold"));
            }
            self.origins.insert(key.clone(), origin);
            self.values.insert(key, value);
        }
        Ok(())
    }

    /// Lays the file at `path` over what is there.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, has an unknown key or a value that cannot be read.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |source| ConfigError::FileRead { path: path.to_owned(), source };
        let text = File::open(path).and_then(|file| files::read(&file, FILE_MAX)).map_err(unreadable)?;
        let settings: Settings = toml::from_str(&text)
            .map_err(|source| ConfigError::FileParse { path: path.to_owned(), source: Box::new(source) })?;
        self.add(&settings, |_| Origin::File(path.to_owned()))
    }

    /// All layers as one.
    pub(crate) fn settings(&self) -> Settings {
        self.values.clone().try_into().expect("invariant: every layer was made from settings")
    }

    /// What variables say otherwise than the file: whoever wrote the file may not know of them.
    pub(crate) fn overruled(&self) -> &[String] {
        &self.overruled
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// A value as a person would have to look for it: `--data-dir`, `BOATO_DATA_DIR`, `data-dir in FILE`.
    pub fn describe(&self, key: &str) -> String {
        match self.origin(key) {
            Origin::Default => format!("the default of {key}"),
            Origin::File(path) => format!("{key} in {}", path.display()),
            Origin::Environment => variable(key),
            Origin::Flag => format!("--{key}"),
            Origin::Program => key.to_owned(),
        }
    }

    /// The settings as TOML, a key a line in the order of the documentation, each with its origin as a
    /// comment; what has no value is a comment.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for key in keys() {
            let _ = match self.values.get(&key) {
                Some(value) => writeln!(text, "{key} = {value}  # {}", self.origin(&key)),
                None => writeln!(text, "# {key} is not set"),
            };
        }
        text
    }

    /// The settings that have a value, each with its origin.
    pub fn to_json(&self) -> serde_json::Value {
        let setting = |(key, value): (&String, &toml::Value)| {
            (key.clone(), serde_json::json!({ "value": value, "origin": self.origin(key).to_string() }))
        };
        self.values.iter().map(setting).collect()
    }
}

/// The variable of a setting: `data-dir` is `BOATO_DATA_DIR`.
pub(crate) fn variable(key: &str) -> String {
    format!("BOATO_{}", key.replace('-', "_").to_ascii_uppercase())
}

/// Every key, in the order of the documentation.
fn keys() -> Vec<String> {
    let command = <Settings as clap::Args>::augment_args(clap::Command::new("settings"));
    command.get_arguments().filter_map(clap::Arg::get_long).map(str::to_owned).collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "from {}", path.display().to_string().escape_debug()),
            Self::Environment => f.write_str("from the environment"),
            Self::Flag => f.write_str("from the command line"),
            Self::Program => f.write_str("from the program"),
        }
    }
}
