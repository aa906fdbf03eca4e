//! Commands that a node runs when something happens: what it was in their environment and standard input, few at a
//! time, and not for long.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use boato_api::Event;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::membership::Name;

/// Commands at a time, of each of the settings. Others wait; more than the journal keeps are missed, which is an event, too.
const CONCURRENCY: usize = 4;
/// How long one may take; then it is ended, with all it has started.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes of what it says on standard error that are logged.
const COMPLAINT_BYTES: u64 = 1024;

/// A command, and what all its runs are told.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    command: Arc<str>,
    /// The node's, as it is when a run begins.
    name: Name,
    id: Arc<str>,
    places: Arc<Semaphore>,
    time_max: Duration,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("cannot be run: {0}; is its program there, and may this user run it?")]
    Io(#[from] io::Error),
    #[error("took more than {} s and was ended: have it leave long work to another process", TIME_MAX.as_secs())]
    Late,
    #[error("was not run, as {CONCURRENCY} before it took too long: make it quicker")]
    Busy,
    #[error("wrote more than {0} bytes: have it answer with less")]
    TooLong(usize),
    #[error("ended with {status}: {complaint}; try it by hand")]
    Failed { status: ExitStatus, complaint: String },
}

/// Runs each of `commands` for every event of the journal, until `stop`.
pub(crate) fn on_events(handlers: Vec<Handler>, journal: &Journal, stop: &CancellationToken) {
    for handler in handlers {
        let mut events = journal.read();
        let watching = async move {
            while let Some(event) = events.next().await {
                // No more are begun than can run: the journal keeps what waits.
                let Some(place) = handler.place().await else { return };
                let handler = handler.clone();
                tokio::spawn(async move {
                    let (variables, input) = told(&event);
                    if let Err(error) = handler.run(&variables, &input, 0).await {
                        tracing::warn!(
                            event = &*event.kind,
                            command = &*handler.command,
                            "an event handler {error}"
                        );
                    }
                    drop(place);
                });
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(watching));
    }
}

impl Handler {
    /// `name` and `id` are the node's.
    pub(crate) fn new(command: &str, name: &Name, id: &str) -> Self {
        let places = Arc::new(Semaphore::new(CONCURRENCY));
        Self { command: command.into(), name: Arc::clone(name), id: id.into(), places, time_max: TIME_MAX }
    }

    /// Leave to run, once there is room; `None` never comes, as the places are never closed.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Runs it once there is room, if it is done before `deadline`.
    pub(crate) async fn run_before(
        mut self,
        deadline: Instant,
        variables: &[(String, String)],
        input: &[u8],
        output_bytes_max: usize,
    ) -> Result<Vec<u8>, HandlerError> {
        let Ok(_place) = timeout_at(deadline, self.place()).await else { return Err(HandlerError::Busy) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(HandlerError::Busy);
        }
        self.time_max = self.time_max.min(left);
        self.run(variables, input, output_bytes_max).await
    }

    /// Runs it and gives what it writes, which is ignored where nothing may be.
    pub(crate) async fn run(
        &self,
        variables: &[(String, String)],
        input: &[u8],
        output_bytes_max: usize,
    ) -> Result<Vec<u8>, HandlerError> {
        let output = if output_bytes_max == 0 { Stdio::null() } else { Stdio::piped() };
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&*self.command).envs(variables.iter().map(|(key, value)| (key, value)));
        command.env("BOATO_NODE", &**self.name.load_full()).env("BOATO_NODE_ID", &*self.id);
        command.env_remove("BOATO_SECRET");
        command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let mut child = Group(command.spawn()?);
        let done = timeout(self.time_max, child.work(input, output_bytes_max)).await;
        done.unwrap_or(Err(HandlerError::Late))
    }
}

/// A command and the processes it has started, which end with this.
struct Group(Child);

impl Group {
    async fn work(&mut self, input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, HandlerError> {
        let Child { stdin, stdout, stderr, .. } = &mut self.0;
        let (stdin, stdout, stderr) = (stdin.take(), stdout.take(), stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command need not read what it is told.
                let _ = stdin.write_all(input).await;
            }
            Ok(())
        };
        // What is too long ends the command; what it complains of is only cut.
        let output = async {
            let output = read(stdout, output_bytes_max as u64 + 1, false).await?;
            if output.len() > output_bytes_max {
                Err(HandlerError::TooLong(output_bytes_max))
            } else {
                Ok(output)
            }
        };
        let complaint = async { Ok(read(stderr, COMPLAINT_BYTES, true).await?) };
        let ((), output, complaint) = tokio::try_join!(feed, output, complaint)?;
        let status = self.0.wait().await?;
        if status.success() {
            return Ok(output);
        }
        let complaint = String::from_utf8_lossy(&complaint).trim_end().to_owned();
        Err(HandlerError::Failed { status, complaint })
    }
}

/// The first bytes that come. Of what is only to be logged the rest is read, too, and dropped: whoever writes to a pipe that
/// nobody reads is ended by it.
async fn read(stream: Option<impl AsyncRead + Unpin>, bytes_max: u64, rest: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(bytes_max).read_to_end(&mut bytes).await?;
        if rest {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
    }
    Ok(bytes)
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // An error says that all of them have ended.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// An event as a command is told: its kind and the particulars that are single values as variables, and as input the
/// payload of a user event, else the particulars as JSON.
fn told(event: &Event) -> (Vec<(String, String)>, Vec<u8>) {
    let mut variables = vec![("BOATO_EVENT".to_owned(), event.kind.to_string())];
    for (key, value) in event.data.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.replace('\0', ""),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => continue,
        };
        if !matches!(key.as_str(), "payload" | "base64") {
            variables.push((format!("BOATO_EVENT_{}", key.to_ascii_uppercase()), text));
        }
    }
    let payload = event.data["payload"].as_str().map(|text| text.as_bytes().to_vec());
    let payload = payload.or_else(|| BASE64_STANDARD.decode(event.data["base64"].as_str()?).ok());
    (variables, payload.unwrap_or_else(|| event.data.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arc_swap::ArcSwap;
    use serde_json::json;

    fn handler(command: &str) -> Handler {
        Handler::new(command, &Arc::new(ArcSwap::from_pointee("web1".into())), "0a")
    }

    async fn run(command: &str, input: &[u8]) -> Result<String, HandlerError> {
        let variables = [("BOATO_EVENT".to_owned(), "user".to_owned())];
        let output = handler(command).run(&variables, input, 100).await?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[tokio::test]
    async fn a_command_is_told_in_its_environment_and_input() {
        let said = run("echo $BOATO_EVENT at $BOATO_NODE $BOATO_NODE_ID; cat", b"hello").await.unwrap();
        assert_eq!(said, "user at web1 0a\nhello");
        assert_eq!(run("true", &vec![b'x'; 1 << 20]).await.unwrap(), "", "it need not read");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_said() {
        let failed = run("echo no such thing >&2; exit 3", b"").await.unwrap_err().to_string();
        assert!(failed.contains('3') && failed.contains("no such thing"), "{failed}");
        assert!(matches!(run("yes", b"").await, Err(HandlerError::TooLong(100))));
    }

    #[tokio::test]
    async fn one_that_complains_at_length_is_not_ended_by_it() {
        assert_eq!(run("seq 100000 >&2; echo done", b"").await.unwrap(), "done\n");
        let failed = run("seq 100000 >&2; exit 3", b"").await.unwrap_err().to_string();
        assert!(failed.len() < 1200, "{failed}");
    }

    #[tokio::test]
    async fn one_that_has_no_room_in_time_is_not_run() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let handler = handler(&format!("echo >> {}; sleep 60", file.path().display()));
        let deadline = Instant::now() + Duration::from_secs(1);
        let runs = (0..50).map(|_| handler.clone().run_before(deadline, &[], b"", 100));
        let ends = futures_util::future::join_all(runs).await;
        assert!(ends.iter().all(|end| matches!(end, Err(HandlerError::Late | HandlerError::Busy))));
        assert!(std::fs::read(file.path()).unwrap().len() <= CONCURRENCY, "the others were not begun");
        assert!(deadline.elapsed() < Duration::from_secs(10), "all are told in time");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_ended_with_what_it_has_started() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let command = format!("sleep 1000 & echo $! > {}; wait", file.path().display());
        let time_max = Duration::from_secs(1);
        let handler = Handler { time_max, ..handler(&command) };
        assert!(matches!(handler.run(&[], b"", 100).await, Err(HandlerError::Late)));
        let child: i32 = std::fs::read_to_string(file.path()).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(child).unwrap();
        let is_there = || rustix::process::test_kill_process(pid).is_ok() && !is_zombie(child);
        let begin = std::time::Instant::now();
        while is_there() {
            assert!(begin.elapsed() < Duration::from_secs(10), "it still runs");
            std::thread::yield_now();
        }
    }

    /// Ended, and its parent has not asked for it.
    fn is_zombie(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn an_event_is_variables_and_its_payload() {
        let event = |data| Event { id: 1, kind: "user".into(), data };
        let (variables, input) = told(&event(json!({ "name": "deploy\0", "time": 7, "payload": "v1" })));
        let variables: Vec<_> = variables.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(variables, ["BOATO_EVENT=user", "BOATO_EVENT_NAME=deploy", "BOATO_EVENT_TIME=7"]);
        assert_eq!(input, b"v1");
        assert_eq!(told(&event(json!({ "base64": "/w==" }))).1, b"\xff");
        assert_eq!(told(&event(json!({ "slots": 3 }))).1, br#"{"slots":3}"#);
    }
}
