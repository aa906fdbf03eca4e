//! Why a command failed, and the exit code that says so.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::entries::LineError;
use crate::client::ClientError;
use crate::config::{self, ConfigError};

/// Exit codes; 69 and 78 are those of sysexits.h for an unavailable service and for configuration.
const RUNTIME: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 69;
const CONFIGURATION: u8 = 78;

/// What others call `keys`.
const LIST: &str = "boato scan, or boato scan --match 'user:*'";

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The command line cannot be read (or asks for help).
    #[error(transparent)]
    Usage(clap::Error),
    /// A `BOATO_*` variable cannot be read.
    #[error(transparent)]
    Variable(clap::Error),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node gave no answer of use.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no such key.
    #[error("key not found")]
    Missing,
    /// There are no such keys.
    #[error("not found: {0}")]
    SomeMissing(String),
    /// What was waited for did not come in time.
    #[error("not in time: {slots} slots are still on the node, which goes on; look with `boato status`")]
    Late {
        /// Slots left.
        slots: u64,
    },
    /// All others that could take keys are gone.
    #[error(
        "nobody is left to take the last {slots} slots: no other member is alive, stays, and has a weight above 0; \
         the node keeps them (`boato weight` with a number above 0 makes it ready again)"
    )]
    NoHeirs {
        /// Slots left.
        slots: u64,
    },
    /// A node left, and not all of its keys were taken over.
    #[error(
        "the node has left, and nobody took over {slots} slots in time: {entries} entries are lost \
         (--leave-timeout and --handoff-rate bound how much can go)"
    )]
    Lost {
        /// Slots that begin anew, empty.
        slots: u64,
        /// Entries in them.
        entries: u64,
    },
    /// A node ended without a word.
    #[error(
        "the node ended before it said that its keys were handed off: look at its log and at `boato slots`"
    )]
    Silently,
    /// The node has no RESP door.
    #[error("this needs the node's RESP door, which is off there: name a node with one by --http ADDR")]
    NoResp,
    /// The RESP address that a node tells leads elsewhere, or nowhere.
    #[error(
        "no RESP door of the cluster at {addr}: {found}; the address is the one that the node tells, or of --resp, and has to \
         lead there from this machine: name one that does by --resp ADDR (forward a port, for example), or start the node \
         with --resp on an address that is reachable from here"
    )]
    Door {
        /// The address.
        addr: String,
        /// What is there instead.
        found: String,
    },
    /// A node or server gave no answer of use over RESP.
    #[error("no answer of use from {name}: {reason}{}", advice(reason, *unreachable))]
    Resp {
        /// Its address.
        name: String,
        /// Why.
        reason: String,
        /// Whether it cannot be reached.
        unreachable: bool,
    },
    /// A key's value cannot be read or written, and so could none after it.
    #[error("at the key {key}: {reason}")]
    Key {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// Some keys were refused.
    #[error("{0} keys were refused, each for a reason of its own; those above are the first")]
    Refused(u64),
    /// A file cannot be read or written.
    #[error("cannot use the file {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file is no entry.
    #[error("at byte {at}: not a line that `boato export` writes")]
    Line {
        /// Where the lines before it end, about.
        at: u64,
        /// Why.
        source: LineError,
    },
    /// What cannot be imported from.
    #[error("cannot import from {name}: {why}")]
    Source {
        /// What was named.
        name: String,
        /// Why not, and what can be.
        why: &'static str,
    },
    /// An option that there is no use for.
    #[error("{option} is of no use here: {why}")]
    Unfit {
        /// The option.
        option: &'static str,
        /// Why.
        why: &'static str,
    },
    /// Another import's state.
    #[error("{} is the state of another import: name another file with --state, or remove it to begin anew", path.display())]
    State {
        /// Its path.
        path: PathBuf,
    },
    /// Keys were left out.
    #[error("left out, as boato keeps strings only: {0} (--skip-others makes this no error)")]
    Others(String),
    /// The node does not serve.
    #[error("not ready: {0}")]
    Unready(String),
    /// Members that are taken for alive do not answer.
    #[error(
        "{0} of {1} live members do not answer: either they have just ended (boato members tells in some seconds), or \
         packets between them and the others are lost: compare reachability as other nodes see it, with --http"
    )]
    Silent(usize, usize),
    /// Members that are taken for alive have not told what secrets they know.
    #[error(
        "{0} of {1} live members have not answered, and hear of changes within 30 s of being back: look with boato keys list"
    )]
    Untold(usize, usize),
    /// Members that were asked say nothing in time.
    #[error(
        "{0} members that were asked have not even said that they heard: more --timeout, or look with boato reachability"
    )]
    NoWord(usize),
    /// What comes of a query ended before its end.
    #[error("the node ended before all could answer: there may be more answers")]
    CutShort,
    /// The value on standard input is too large.
    #[error("the value is larger than {0} bytes")]
    TooLarge(u64),
    /// Standard input or output failed.
    #[error("standard input or output failed")]
    Io(#[from] io::Error),
    /// A node could not run.
    #[error(transparent)]
    Run(#[from] anyhow::Error),
}

/// What to do about a server that gives no answer of use over RESP.
fn advice(reason: &str, unreachable: bool) -> &'static str {
    match reason.split(' ').next() {
        _ if unreachable => " (is it running, and is this its address?)",
        Some("NOAUTH" | "WRONGPASS") => {
            " (the password of a Redis goes into the variable REDISCLI_AUTH, a node's secret into --client-secret-file)"
        }
        _ => "",
    }
}

/// The variable that an error about a flag is about.
fn variable(error: &clap::Error) -> String {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return "the environment".to_owned();
    };
    let name = flag.trim_start_matches('-').split([' ', '=', '[']).next().unwrap_or_default();
    config::variable(name)
}

impl Failure {
    /// Says what went wrong on standard error.
    pub(super) fn report(self) -> ExitCode {
        let code = match &self {
            // Help and versions are errors to clap: it knows the stream and the code.
            Self::Usage(error) => {
                let _ = error.print();
                if error.kind() == ErrorKind::InvalidSubcommand && error.to_string().contains("boato keys ") {
                    eprintln!(
                        "boato keys is about the secrets of the cluster; what clients have stored is listed by {LIST}"
                    );
                }
                return u8::try_from(error.exit_code()).unwrap_or(RUNTIME).into();
            }
            Self::Variable(error) => {
                let _ = error.print();
                eprintln!("the value comes from {}", variable(error));
                return CONFIGURATION.into();
            }
            // The reader of our output has seen enough.
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Self::Config(_) => CONFIGURATION,
            Self::Client(ClientError::Unreachable { .. } | ClientError::Unresolved { .. })
            | Self::Resp { unreachable: true, .. }
            | Self::Door { .. } => UNREACHABLE,
            Self::Unfit { .. } | Self::Source { .. } => USAGE,
            _ => RUNTIME,
        };
        eprintln!("boato: {}", in_full(&self));
        code.into()
    }
}

/// An error with its causes, but those that what stands before them has said already.
fn in_full(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::entries::Entry;

    #[test]
    fn a_refused_password_is_told_with_where_it_goes() {
        let told = |reason: &str| {
            let (name, reason) = ("redis://web1".to_owned(), reason.to_owned());
            Failure::Resp { name, reason, unreachable: false }.to_string()
        };
        assert!(told("NOAUTH Authentication required.").contains("REDISCLI_AUTH"));
        assert!(told("ERR unknown command").ends_with("ERR unknown command"));
    }

    #[test]
    fn a_cause_is_told_once() {
        let line = Entry::from_line("rubbish").unwrap_err();
        let told = in_full(&Failure::Line { at: 7, source: line });
        assert_eq!(told.matches("expected value").count(), 1, "{told}");
        let source = io::Error::other("why");
        assert_eq!(in_full(&Failure::File { path: "x".into(), source }), "cannot use the file x: why");
    }
}
