//! What a service manager is told (`sd_notify(3)`): ready, what the node does, that it is alive, that it needs longer.

use std::sync::Arc;
use std::time::Duration;

use boato_api::{Backend, Status};
use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the node is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Rest between two changes of the text that only tell figures.
const TEXTS: Duration = Duration::from_secs(5);

/// What is asked for beyond now while keys are handed over.
const EXTENSION: Duration = Duration::from_secs(20);

/// Whether there is a service manager that wants to hear.
pub(crate) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells how the node behind `backend` fares until it is dropped.
pub(crate) async fn tell(backend: Arc<dyn Backend>) {
    let watchdog = sd_notify::watchdog_enabled();
    let mut ticks = interval(watchdog.map_or(LOOK, |limit| (limit / 3).min(LOOK)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut teller = Teller::default();
    loop {
        ticks.tick().await;
        // A node of which a lock is stuck is not alive: this takes all of them.
        let status = backend.status();
        let text = text(&status);
        let mut news = teller.look(&status, &text, Instant::now());
        news.extend(watchdog.map(|_| NotifyState::Watchdog));
        notify(&news);
    }
}

/// The node begins to leave, which may take longer than the service manager would wait.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping, longer(), NotifyState::Status("leaving")]);
}

fn longer() -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX))
}

/// The configuration is being read again. Of a node that is not ready nothing is told, since the end of a reload is told
/// as being ready.
pub(crate) fn reloading(ready: bool) {
    if !ready {
        return;
    }
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    notify(&states);
}

/// It has been read, and this came of it.
pub(crate) fn reloaded(text: &str, ready: bool) {
    let end = ready.then_some(NotifyState::Ready);
    notify(&end.into_iter().chain([NotifyState::Status(text)]).collect::<Vec<_>>());
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if !states.is_empty()
        && is_there()
        && let Err(error) = sd_notify::notify(states)
    {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// What has been told.
#[derive(Default)]
struct Teller {
    ready: bool,
    text: Option<(Instant, String, bool)>,
}

impl Teller {
    fn look<'a>(&mut self, status: &Status, text: &'a str, now: Instant) -> Vec<NotifyState<'a>> {
        let mut news = Vec::new();
        let leaving = status.reason.as_deref() == Some("leaving");
        if leaving {
            news.push(longer());
        } else if status.ready && !std::mem::replace(&mut self.ready, true) {
            news.push(NotifyState::Ready);
        }
        let due =
            |&(at, _, ready): &(Instant, String, bool)| ready != status.ready || leaving || at + TEXTS <= now;
        if self.text.as_ref().is_none_or(due) && self.text.as_ref().is_none_or(|(_, told, _)| told != text) {
            news.push(NotifyState::Status(text));
            self.text = Some((now, text.to_owned(), status.ready));
        }
        news
    }
}

/// One line about a node.
fn text(status: &Status) -> String {
    let Status { slots, entries, members, .. } = status;
    let mib = status.bytes >> 20;
    match status.reason.as_deref() {
        None => format!("ready: {slots} slots, {entries} entries, {mib} MiB, {members} members"),
        Some("leaving") => format!("leaving: {slots} slots, {mib} MiB left to hand over"),
        Some(reason) => format!("not ready: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(teller: &mut Teller, status: &Status, now: Instant) -> Vec<String> {
        teller.look(status, &text(status), now).iter().map(ToString::to_string).collect()
    }

    fn status(reason: Option<&str>, slots: usize) -> Status {
        let ready = reason.is_none();
        Status { ready, reason: reason.map(str::to_owned), slots, members: 2, ..Status::default() }
    }

    #[test]
    fn ready_is_said_once_and_figures_rarely() {
        let (mut teller, start) = (Teller::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(said(&mut teller, &status(Some("joining"), 0), at(0)), ["STATUS=not ready: joining"]);
        assert_eq!(said(&mut teller, &status(Some("joining"), 0), at(9)), [""; 0]);
        let ready = said(&mut teller, &status(None, 5), at(10));
        assert_eq!(ready, ["READY=1", "STATUS=ready: 5 slots, 0 entries, 0 MiB, 2 members"]);
        assert_eq!(said(&mut teller, &status(None, 6), at(11)), [""; 0]);
        let later = said(&mut teller, &status(None, 7), at(15));
        assert_eq!(later, ["STATUS=ready: 7 slots, 0 entries, 0 MiB, 2 members"]);
        assert_eq!(said(&mut teller, &status(None, 7), at(30)), [""; 0]);
    }

    #[test]
    fn a_node_that_leaves_asks_for_time_again_and_again() {
        let (mut teller, now) = (Teller::default(), Instant::now());
        said(&mut teller, &status(None, 9), now);
        let first = said(&mut teller, &status(Some("leaving"), 9), now);
        let text = "STATUS=leaving: 9 slots, 0 MiB left to hand over";
        assert_eq!(first, ["EXTEND_TIMEOUT_USEC=20000000", text]);
        assert_eq!(said(&mut teller, &status(Some("leaving"), 9), now), ["EXTEND_TIMEOUT_USEC=20000000"]);
    }
}
