//! What merges gave up, as the nodes' logs tell it at level debug.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use boato_sim::check::{Epoch, Given, Pid};
use serde::Deserialize;

use super::client::version;

/// The part of the log that tells it.
const LOG: &str = "boato_cluster=debug";
const MESSAGE: &str = "a merge gave a value up";

/// By key.
#[derive(Default)]
pub(super) struct Merges(HashMap<String, Vec<Given>>);

#[derive(Deserialize)]
struct Line {
    message: String,
    key: String,
    kept: String,
    gone: String,
    sent: String,
    winner: String,
    loser: String,
    again: bool,
}

/// Flags of a node, and those that make its log tell what merges give up.
pub(super) fn logged(flags: &[String]) -> Vec<String> {
    let mut flags = flags.to_vec();
    let given = flags.iter().position(|flag| flag == "--log" || flag.starts_with("--log="));
    match given.map(|at| at + usize::from(flags[at] == "--log")).and_then(|at| flags.get_mut(at)) {
        Some(filter) => *filter = format!("{filter},{LOG}"),
        None => flags.extend(["--log".to_owned(), format!("info,{LOG}")]),
    }
    flags
}

impl Merges {
    /// Reads all logs in a folder.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut all = Self::default();
        for file in dir.read_dir().context("listing the logs")? {
            let path = file.context("listing the logs")?.path();
            if path.extension() == Some(OsStr::new("log")) {
                let log = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                all.add(&String::from_utf8_lossy(&log));
            }
        }
        Ok(all)
    }

    #[cfg(test)]
    pub(super) fn of_log(log: &str) -> Self {
        let mut all = Self::default();
        all.add(log);
        all
    }

    fn add(&mut self, log: &str) {
        for (key, given) in log.lines().filter_map(given) {
            self.0.entry(key).or_default().push(given);
        }
    }

    /// What was given up of the key of this path.
    pub(super) fn of(&self, path: &str) -> &[Given] {
        let key = path.trim_start_matches('/').replace("%7B", "{").replace("%7D", "}");
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }

    /// How much of it counts.
    pub(super) fn counted(&self) -> u64 {
        self.0.values().flatten().map(|given| u64::from(given.counted)).sum()
    }
}

/// What a line of a log tells of, if it does, and of which key.
fn given(line: &str) -> Option<(String, Given)> {
    let line: Line = serde_json::from_str(line).ok().filter(|line: &Line| line.message == MESSAGE)?;
    let [kept, gone, sent] = [line.kept, line.gone, line.sent].map(|text| version(&text));
    let merge = (epoch(&line.winner)?, epoch(&line.loser)?);
    Some((line.key, Given { kept: kept?, gone: gone?, sent: sent?, merge, counted: !line.again }))
}

/// An epoch as it is written for people, which is enough to tell one from another: `counter@node.boot`.
fn epoch(text: &str) -> Option<Epoch> {
    let (counter, pid) = text.split_once('@')?;
    let (node, boot) = pid.split_once('.')?;
    let pid = Pid { node: u128::from_str_radix(node, 16).ok()?, boot: u64::from_str_radix(boot, 16).ok()? };
    Some(Epoch { counter: counter.parse().ok()?, pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_was_given_up_of_a_key() {
        let line = r#"{"timestamp":"t","level":"DEBUG","message":"a merge gave a value up","key":"churn/{7}/4/0","kept":"1a-ff","gone":"19-fe","sent":"19-fe","winner":"8@01020304.000a","loser":"5@0a0b0c0d.0001","again":false}"#;
        let again = line.replace("false", "true");
        let other = line.replace("gave a value up", "began");
        let merges = Merges::of_log(&[line, &again, &other].join("\n"));
        let [first, second] = merges.of("/churn/%7B7%7D/4/0") else { panic!("two lines tell of it") };
        assert_eq!((first.kept, first.gone, first.sent), ((0x1a, 0xff), (0x19, 0xfe), (0x19, 0xfe)));
        assert_eq!((first.counted, second.counted, merges.counted()), (true, false, 1));
        assert_eq!((first.merge.0.counter, first.merge.1.counter), (8, 5));
        assert!(merges.of("/churn/%7B7%7D/4/1").is_empty());
    }

    #[test]
    fn the_log_tells_it_whatever_else_it_is_to_tell() {
        let flags = |flags: &[&str]| logged(&flags.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(flags(&[]), ["--log", "info,boato_cluster=debug"]);
        assert_eq!(flags(&["--log=warn"]), ["--log=warn,boato_cluster=debug"]);
        assert_eq!(flags(&["--log", "warn", "--x"]), ["--log", "warn,boato_cluster=debug", "--x"]);
    }
}
