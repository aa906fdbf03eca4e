//! What `/_/events?with=...` shows beside events: the events before, the cluster as this node sees it, and the figures of all members.
//! The last two are gathered once for all who look, and not at all while nobody does; who is slow gets the latest only.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::gauges::Gauges;
use super::problem::Problem;
use crate::{Backend, MemberInfo, RoundTrip};

/// How often figures are told.
const FIGURES_EACH: Duration = Duration::from_secs(1);
/// The rest between two looks at the cluster is twice what a look takes, within these: all members are asked.
const VIEW_REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Round trips are told at every so many looks, between so many members.
const ROUND_TRIP_LOOKS: u64 = 5;
const ROUND_TRIP_MEMBERS: usize = 12;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// An event `history` with those before.
    pub(super) history: bool,
    /// What is gathered.
    pub(super) shown: Vec<Show>,
}

impl Wanted {
    /// Reads a list like `history,cluster,figures`.
    pub(super) fn read(text: &str) -> Result<Wanted, Problem> {
        let mut wanted = Wanted::default();
        for name in text.split(',') {
            let show = match name {
                "history" => {
                    wanted.history = true;
                    continue;
                }
                "cluster" => Show::Cluster,
                "figures" => Show::Figures,
                _ => {
                    let known = "with= names what to show beside events: history, cluster, figures";
                    return Err(Problem::bad_request(known));
                }
            };
            if !wanted.shown.contains(&show) {
                wanted.shown.push(show);
            }
        }
        Ok(wanted)
    }
}

/// What can be gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// The cluster: events `status`, `members`, `slots` and `round_trips`.
    Cluster,
    /// The load of all members: events `figures`.
    Figures,
}

/// The latest event of each kind, as it is sent.
type Latest = BTreeMap<&'static str, Bytes>;

/// What is being gathered, for as long as anybody looks.
#[derive(Default)]
pub(super) struct Live {
    cluster: Mutex<Weak<Gathering>>,
    figures: Mutex<Weak<Gathering>>,
}

impl Live {
    /// What is known now, and from then on what changes.
    pub(super) fn watch(
        &self,
        show: Show,
        backend: &Arc<dyn Backend>,
        gauges: &Arc<Gauges>,
    ) -> BoxStream<'static, Bytes> {
        let mut shared = match show {
            Show::Cluster => self.cluster.lock(),
            Show::Figures => self.figures.lock(),
        };
        let gathering = shared.upgrade().unwrap_or_else(|| {
            let gathering = Arc::new(Gathering::begin(show, backend, gauges));
            *shared = Arc::downgrade(&gathering);
            gathering
        });
        gathering.read()
    }
}

/// A task that gathers until nobody reads any more.
struct Gathering {
    latest: watch::Receiver<Latest>,
    task: JoinHandle<()>,
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gathering {
    fn begin(show: Show, backend: &Arc<dyn Backend>, gauges: &Arc<Gauges>) -> Gathering {
        let (board, latest) = watch::channel(Latest::new());
        let board = Board(board);
        let task = match show {
            Show::Cluster => tokio::spawn(cluster(Arc::clone(backend), board)),
            Show::Figures => tokio::spawn(figures(Arc::clone(gauges), board)),
        };
        Gathering { latest, task }
    }

    fn read(self: Arc<Self>) -> BoxStream<'static, Bytes> {
        let mut latest = self.latest.clone();
        latest.mark_changed();
        stream::unfold((self, latest, Latest::new()), |(gathering, mut latest, mut sent)| async move {
            loop {
                latest.changed().await.ok()?;
                let now = latest.borrow_and_update().clone();
                let mut fresh = BytesMut::new();
                for (_, event) in now.iter().filter(|(kind, event)| sent.get(*kind) != Some(event)) {
                    fresh.extend_from_slice(event);
                }
                sent = now;
                if !fresh.is_empty() {
                    return Some((fresh.freeze(), (gathering, latest, sent)));
                }
            }
        })
        .boxed()
    }
}

/// Where what is gathered is put for those who read.
struct Board(watch::Sender<Latest>);

impl Board {
    /// Nobody is told of what is as it was.
    fn put(&self, kind: &'static str, value: &impl Serialize) {
        let Some(event) = shown(kind, value) else { return };
        self.0.send_if_modified(|latest| {
            let changed = latest.get(kind) != Some(&event);
            if changed {
                latest.insert(kind, event);
            }
            changed
        });
    }
}

/// An event without a number, as it is sent. JSON text has no line breaks; what cannot be written so, a number that is none, is
/// passed over.
pub(super) fn shown(kind: &str, value: &impl Serialize) -> Option<Bytes> {
    let json = serde_json::to_string(value).ok()?;
    Some(format!("event: {kind}\ndata: {json}\n\n").into())
}

async fn cluster(backend: Arc<dyn Backend>, board: Board) {
    for look in 0_u64.. {
        let began = Instant::now();
        board.put("status", &backend.status());
        let members = async {
            let members = backend.members().await;
            board.put("members", &members);
            members
        };
        let slots = async { board.put("slots", &backend.slots().await) };
        let (members, ()) = join(members, slots).await;
        if look % ROUND_TRIP_LOOKS == 0 {
            board.put("round_trips", &round_trips(&*backend, &members).await);
        }
        sleep((began.elapsed() * 2).clamp(VIEW_REST.0, VIEW_REST.1)).await;
    }
}

/// Those of each pair of live members, the first few by name.
async fn round_trips(backend: &dyn Backend, members: &[MemberInfo]) -> Vec<RoundTrip> {
    let Some(membership) = backend.membership() else { return Vec::new() };
    let mut live: Vec<&MemberInfo> = members.iter().filter(|member| member.state == "alive").collect();
    live.sort_by_key(|member| &member.name);
    live.truncate(ROUND_TRIP_MEMBERS);
    let mut found = Vec::new();
    for (place, from) in live.iter().enumerate() {
        for to in &live[place + 1..] {
            // Of a member that has gone meanwhile there is nothing to tell.
            found.extend(membership.round_trip(from.id.clone(), to.id.clone()).await);
        }
    }
    found
}

async fn figures(gauges: Arc<Gauges>, board: Board) {
    let mut ticks = interval(FIGURES_EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        board.put("figures", &gauges.all().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_show_is_named() {
        let wanted = |history, shown: &[Show]| Wanted { history, shown: shown.to_vec() };
        assert_eq!(Wanted::read("cluster,figures").unwrap(), wanted(false, &[Show::Cluster, Show::Figures]));
        assert_eq!(Wanted::read("figures,history,figures").unwrap(), wanted(true, &[Show::Figures]));
        for wrong in ["", "slots", "figures,"] {
            assert_eq!(Wanted::read(wrong).unwrap_err().status(), 400, "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_the_latest_and_nothing_twice() {
        let (board, latest) = watch::channel(Latest::new());
        let board = Board(board);
        let gathering = Arc::new(Gathering { latest, task: tokio::spawn(async {}) });
        let mut reader = gathering.read();
        board.put("a", &1);
        board.put("a", &2);
        board.put("b", &"x");
        assert_eq!(reader.next().await.unwrap(), "event: a\ndata: 2\n\nevent: b\ndata: \"x\"\n\n");
        board.put("b", &"x");
        board.put("a", &3);
        assert_eq!(reader.next().await.unwrap(), "event: a\ndata: 3\n\n");
        drop(board);
        assert_eq!(reader.next().await, None);
    }
}
