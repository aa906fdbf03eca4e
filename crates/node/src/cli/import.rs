//! `boato import`: keys and values from a running Redis, or from lines of JSON.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::IntoConnectionInfo as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::door::Doors;
use super::entries::Entry;
use super::failure::Failure;
use super::output::{self, Progress};
use super::resp::{Resp, unix_ms};
use super::values;
use crate::client::Client;
use crate::files;

/// Entries that are read, then written.
const BATCH: usize = 512;

/// Refused keys that are named one by one.
const NAMED_MAX: u64 = 10;

/// Largest file that says how far an import got, in bytes.
const STATE_MAX: u64 = 64 << 10;

#[expect(clippy::doc_markdown, reason = "the comments are help texts, which have no markup")]
/// What, from where, how.
#[derive(clap::Args)]
pub(super) struct Args {
    /// redis://[[user]:password@]host[:port][/database], a file that `boato export` has written, or - for standard input
    ///
    /// Of a Redis, strings are read, page by page (SCAN, GET, PTTL), with their times to live; other types are
    /// counted and told. Of a Redis Cluster, import from every master. The variable REDISCLI_AUTH holds the password
    /// of a Redis where the URL has none: other users of this machine see the command line.
    source: String,

    /// Only keys that match this pattern of Redis' KEYS: *, ?, [a-z] (from a Redis)
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,

    /// Leave alone the keys that are there already
    #[arg(long)]
    keep: bool,

    /// Go on without keys of other types than strings, rather than fail in the end
    #[arg(long)]
    skip_others: bool,

    /// Most keys per second
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// A file that says how far the import got: written again and again, gone on from when it is there, removed in the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Print JSON in the end
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    doors: Doors,
}

/// How far an import got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    source: String,
    pattern: Option<String>,
    /// Where to go on: SCAN's cursor, or bytes into the file.
    at: u64,
    read: u64,
    written: u64,
    #[serde(default)]
    refused: u64,
    others: BTreeMap<String, u64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    let mut node = args.doors.connect()?;
    let (state, client) = (args.begin()?, args.doors.target.client()?);
    let mut import = Import { args, client, started: Instant::now(), read_before: state.read, state };
    if args.source.contains("://") {
        import.take_from_server(&mut node)?;
    } else {
        import.take_lines(&mut node)?;
    }
    if let Some(path) = &args.state {
        // The work is done whether or not it can be removed.
        let _ = fs::remove_file(path);
    }
    import.report()
}

impl Args {
    /// Refuses what the source has no use for.
    fn check(&self) -> Result<(), Failure> {
        if self.pattern.is_some() && !self.source.contains("://") {
            let why = "only a Redis chooses keys; choose lines of a file with grep or jq, and import them from standard input";
            return Err(Failure::Unfit { option: "--match", why });
        }
        if self.state.is_some() && self.source == "-" {
            let why = "standard input cannot be read from the middle; import a file, or leave the option out";
            return Err(Failure::Unfit { option: "--state", why });
        }
        self.check_url()
    }

    fn check_url(&self) -> Result<(), Failure> {
        let Some((scheme, _)) = self.source.split_once("://") else { return Ok(()) };
        let why = if matches!(scheme, "rediss" | "valkeys") {
            "TLS is not spoken here; let a tunnel like stunnel or ssh -L speak it, and import from redis:// at its end"
        } else if self.source.as_str().into_connection_info().is_err() {
            "it is no address of a Redis, which is redis://[[user]:password@]host[:port][/database]; a file of keys is \
             named without ://"
        } else {
            return Ok(());
        };
        Err(Failure::Source { name: self.shown_source(), why })
    }

    /// Where to begin: where the state file says.
    fn begin(&self) -> Result<State, Failure> {
        let fresh = State { source: self.shown_source(), pattern: self.pattern.clone(), ..State::default() };
        let Some(path) = &self.state else { return Ok(fresh) };
        let text = match File::open(path).and_then(|file| files::read(&file, STATE_MAX)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            Err(source) => return Err(Failure::File { path: path.clone(), source }),
        };
        let state: Option<State> = serde_json::from_str(&text).ok();
        let same = |state: &State| (&state.source, &state.pattern) == (&fresh.source, &fresh.pattern);
        state.filter(same).ok_or_else(|| Failure::State { path: path.clone() })
    }

    /// Entries to read before they are written: a tenth of a second's where there is a rate, so that they do not come in bursts.
    fn batch(&self) -> usize {
        self.rate.map_or(BATCH, |rate| usize::try_from(rate / 10).unwrap_or(BATCH).clamp(1, BATCH))
    }

    /// The source without its password.
    fn shown_source(&self) -> String {
        match self.source.split_once("://").zip(self.source.rsplit_once('@')) {
            Some(((scheme, _), (_, host))) => format!("{scheme}://{host}"),
            None => self.source.clone(),
        }
    }
}

struct Import<'a> {
    args: &'a Args,
    client: Client,
    state: State,
    started: Instant,
    /// Entries read by the runs before this one.
    read_before: u64,
}

impl Import<'_> {
    fn take_from_server(&mut self, node: &mut Resp) -> Result<(), Failure> {
        let mut server = Resp::of_server(&self.args.source)?;
        let progress = Progress::bar(server.len()?, "keys");
        progress.add(self.state.read);
        loop {
            let (next, keys) = server.page(self.state.at, self.args.pattern.as_deref(), self.args.batch())?;
            let read = server.read(&keys)?;
            for (kind, count) in read.others {
                *self.state.others.entry(kind).or_default() += count;
            }
            let entries: Vec<(Option<u64>, Entry)> = read.entries.into_iter().map(|it| (None, it)).collect();
            self.write(node, &entries)?;
            self.advance(next, keys.len() as u64, &progress)?;
            if next == 0 {
                return Ok(());
            }
        }
    }

    fn take_lines(&mut self, node: &mut Resp) -> Result<(), Failure> {
        let path = Path::new(&self.args.source);
        let failed = |source| Failure::File { path: path.to_owned(), source };
        let (mut lines, len): (Box<dyn BufRead>, u64) = if self.args.source == "-" {
            (Box::new(io::stdin().lock()), 0)
        } else {
            let mut file = File::open(path).map_err(failed)?;
            let len = file.metadata().map_err(failed)?.len();
            file.seek(SeekFrom::Start(self.state.at)).map_err(failed)?;
            (Box::new(BufReader::new(file)), len)
        };
        let progress = Progress::bar(len, "bytes");
        progress.add(self.state.at);
        loop {
            let (mut entries, mut at) = (Vec::new(), self.state.at);
            while entries.len() < self.args.batch() {
                let mut line = String::new();
                let bytes = lines.read_line(&mut line).map_err(failed)?;
                if bytes == 0 {
                    break;
                }
                if !line.trim().is_empty() {
                    let entry = Entry::from_line(&line).map_err(|source| Failure::Line { at, source })?;
                    entries.push((Some(at), entry));
                }
                at += bytes as u64;
            }
            if at == self.state.at {
                return Ok(());
            }
            self.write(node, &entries)?;
            self.advance(at, entries.len() as u64, &progress)?;
        }
    }

    /// Writes entries, each with its place in the file if it is from one; those that the node does not take are named.
    fn write(&mut self, node: &mut Resp, entries: &[(Option<u64>, Entry)]) -> Result<(), Failure> {
        let now_ms = unix_ms();
        let live = entries.iter().filter(|(_, entry)| entry.expires_at_ms.is_none_or(|at| at > now_ms));
        let (typed, plain): (Vec<_>, Vec<_>) = live.partition(|(_, entry)| entry.content_type.is_some());
        let plain_entries: Vec<&Entry> = plain.iter().map(|(_, entry)| entry).collect();
        let mut results = node.write(&plain_entries, self.args.keep)?;
        for (_, entry) in &typed {
            results.push(values::write(&self.client, entry, self.args.keep)?);
        }
        for ((at, entry), result) in plain.into_iter().chain(typed).zip(results) {
            match result {
                Ok(written) => self.state.written += u64::from(written),
                Err(reason) => {
                    self.state.refused += 1;
                    if self.state.refused <= NAMED_MAX {
                        let place = at.map(|at| format!(" (at byte {at})")).unwrap_or_default();
                        eprintln!("boato: the key {}{place} is left out: {reason}", entry.shown());
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes that everything before `at` is done, and rests as long as the rate asks for.
    fn advance(&mut self, at: u64, read: u64, progress: &Progress) -> Result<(), Failure> {
        let is_file = !self.args.source.contains("://");
        progress.add(if is_file { at - self.state.at } else { read });
        self.state.at = at;
        self.state.read += read;
        if let Some(path) = &self.args.state {
            let text = json!(self.state).to_string();
            files::replace(path, text.as_bytes())
                .map_err(|source| Failure::File { path: path.clone(), source })?;
        }
        if let Some(rate) = self.args.rate {
            let due = Duration::from_secs(self.state.read - self.read_before) / rate;
            sleep(due.saturating_sub(self.started.elapsed()));
        }
        Ok(())
    }

    /// Says what came of it; keys that were not taken are a failure unless they were to be skipped.
    fn report(&self) -> Result<(), Failure> {
        let State { read, written, refused, others, .. } = &self.state;
        if self.args.json {
            output::json(&json!({ "read": read, "written": written, "refused": refused, "others": others }))?;
        } else {
            output::line(&format!("{written} of {read} keys written"))?;
        }
        if *refused > 0 {
            return Err(Failure::Refused(*refused));
        }
        if others.is_empty() || self.args.skip_others {
            return Ok(());
        }
        let list: Vec<String> = others.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        Err(Failure::Others(list.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Cli::parse_from(["import"].iter().chain(words)).args
    }

    #[test]
    fn a_rate_comes_in_tenths_of_a_second() {
        let batch = |rate| args(&["-", "--rate", rate]).batch();
        assert_eq!([batch("1"), batch("10"), batch("200"), batch("1000000")], [1, 1, 20, BATCH]);
        assert_eq!(args(&["-"]).batch(), BATCH);
    }

    #[test]
    fn what_the_source_has_no_use_for_is_refused() {
        for words in [&["keys.jsonl", "--match", "a*"], &["-", "--match", "a*"], &["-", "--state", "file"]] {
            assert!(matches!(args(words).check(), Err(Failure::Unfit { .. })), "{words:?}");
        }
        for words in [&["redis://web1", "--match", "a*"][..], &["keys.jsonl", "--state", "file"], &["-"]] {
            assert!(args(words).check().is_ok(), "{words:?}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_redis_is_refused_with_what_would_be_one() {
        for (source, said) in [
            ("http://web1", "redis://[["),
            ("redis://web1:port", "redis://[["),
            ("rediss://u:secret@web1", "TLS is not spoken here"),
        ] {
            let error = args(&[source]).check().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn a_state_file_keeps_no_password_and_serves_only_its_own_import() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = path.to_str().unwrap();
        let first = args(&["redis://u:p@ss@web1:6379/2", "--state", state]).begin().unwrap();
        assert_eq!((&*first.source, first.at), ("redis://web1:6379/2", 0));
        fs::write(&path, json!(State { at: 7, ..first }).to_string()).unwrap();
        assert_eq!(args(&["redis://web1:6379/2", "--state", state]).begin().unwrap().at, 7);
        for other in [
            &["redis://web2", "--state", state][..],
            &["redis://web1:6379/2", "--match", "a*", "--state", state],
        ] {
            assert!(matches!(args(other).begin(), Err(Failure::State { .. })));
        }
        fs::write(&path, "{}").unwrap();
        assert!(matches!(
            args(&["redis://web1:6379/2", "--state", state]).begin(),
            Err(Failure::State { .. })
        ));
    }
}
