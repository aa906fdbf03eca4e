//! What happens to the nodes while clients use them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};

use super::fate::{Fate, Fates};
use super::fleet::{Fleet, News};
use super::load::Load;
use crate::fault::Fault;
use crate::nodes::{Node, Signals};

/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for anything that nodes do by themselves.
const PATIENCE: Duration = Duration::from_mins(1);
/// The cluster is at rest when it has looked so for this long.
const CALM: Duration = Duration::from_millis(300);
/// Stops shorter than this are no reason to take a node for dead: the shortest suspicion lasts 3 s.
const STOP_MS: std::ops::Range<u64> = 50..1_200;
/// How long a stalled node stays stopped once it is taken for dead: its slots begin anew meanwhile.
const AFTERLIFE_MS: std::ops::Range<u64> = 500..3_000;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(super) enum Trouble {
    /// A node joins.
    Join,
    /// A node leaves (SIGTERM).
    Leave,
    /// A node leaves and comes again.
    Restart,
    /// A node is stopped for a moment (SIGSTOP).
    Stop,
    /// A node is stopped until others take it for dead.
    Stall,
    /// A node is killed.
    Kill,
}

/// Directs one run.
pub(super) struct Conductor<'a> {
    pub(super) fleet: Fleet,
    pub(super) fates: Fates,
    load: &'a Load,
    signals: &'a Signals,
    rng: Rng,
    bar: ProgressBar,
    events: u64,
    /// How many nodes there should be.
    size: usize,
}

impl<'a> Conductor<'a> {
    pub(super) fn new(
        fleet: Fleet,
        load: &'a Load,
        signals: &'a Signals,
        seed: u64,
        length: Duration,
    ) -> Result<Self> {
        let style = ProgressStyle::with_template("{bar:40} {pos:>4}/{len} s  {msg}")
            .context("the style of the bar")?;
        let size = fleet.len();
        Ok(Self {
            fleet,
            fates: Fates::default(),
            load,
            signals,
            rng: Rng::with_seed(seed),
            bar: ProgressBar::new(length.as_secs()).with_style(style),
            events: 0,
            size,
        })
    }

    /// Lets things of these kinds happen, by chance, until it is time.
    pub(super) fn trouble(&mut self, kinds: &[Trouble], length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let rest_ms = self.rng.u64(100..2_000);
            self.pass(Duration::from_millis(rest_ms))?;
            let possible: Vec<_> = kinds.iter().copied().filter(|kind| self.is_possible(*kind)).collect();
            let Some(kind) = self.rng.choice(possible) else { continue };
            self.happen(kind)?;
        }
        self.settle()
    }

    /// Restarts every node, one after the other.
    pub(super) fn roll(&mut self) -> Result<()> {
        for name in self.fleet.names() {
            self.restart(&name, true)?;
            self.settle()?;
            self.pass(Duration::from_millis(500))?;
        }
        Ok(())
    }

    fn is_possible(&self, kind: Trouble) -> bool {
        let count = self.fleet.len();
        match kind {
            Trouble::Join => count < self.size + 2,
            Trouble::Leave => count >= self.size,
            Trouble::Restart | Trouble::Stop => count > 2,
            // Those who are left have to agree on the death.
            Trouble::Stall | Trouble::Kill => count > 2 && count >= self.size,
        }
    }

    fn happen(&mut self, kind: Trouble) -> Result<()> {
        self.events += 1;
        let names = self.fleet.names();
        let name = self.rng.choice(names).context("no node is left")?;
        match kind {
            Trouble::Join => {
                let fresh = self.fleet.fresh_name();
                self.join(&fresh)?;
            }
            Trouble::Leave => self.leave(&name)?,
            Trouble::Restart => self.restart(&name, false)?,
            Trouble::Stop => self.stop(&name)?,
            Trouble::Stall => self.stall(&name)?,
            Trouble::Kill => self.kill(&name)?,
        }
        // The next thing happens to a cluster at rest, or to one that still moves slots.
        if self.rng.bool() { self.settle() } else { Ok(()) }
    }

    fn join(&mut self, name: &str) -> Result<()> {
        self.say(&format!("{name} joins"));
        let started = self.fleet.start(name)?;
        self.admit(started)
    }

    fn admit(&mut self, node: Node) -> Result<()> {
        let (name, mut node) = (node.name.clone(), Some(node));
        let mut door = None;
        self.wait(&format!("{name} serves"), |conductor| {
            let Some(started) = node.take() else { bail!("invariant: a node is admitted once") };
            match conductor.fleet.admit(started)? {
                Ok(http) => door = Some(http),
                Err(back) => node = Some(back),
            }
            Ok(door.is_none().then(|| "it is not ready".to_owned()))
        })?;
        self.load.doors.open(door.context("an admitted node has a door")?);
        Ok(())
    }

    fn leave(&mut self, name: &str) -> Result<()> {
        self.say(&format!("{name} leaves"));
        self.fleet.dismiss(name)
    }

    /// `gently`: clients ask the node no more once it says that it is leaving.
    fn restart(&mut self, name: &str, gently: bool) -> Result<()> {
        self.say(&format!("{name} restarts"));
        let http = self.fleet.http_of(name)?;
        self.fleet.dismiss(name)?;
        if gently {
            self.wait(&format!("{name} says that it leaves"), |conductor| {
                Ok(conductor.fleet.serves(http).then(|| "it is ready".to_owned()))
            })?;
            self.load.doors.close(http);
        }
        self.wait(&format!("{name} has left"), |conductor| {
            Ok(conductor.fleet.is_parting().then(|| "it still runs".to_owned()))
        })?;
        let started = self.fleet.start(name)?;
        self.admit(started)
    }

    fn stop(&mut self, name: &str) -> Result<()> {
        let time = Duration::from_millis(self.rng.u64(STOP_MS));
        self.say(&format!("{name} is stopped for {} ms", time.as_millis()));
        let http = self.fleet.http_of(name)?;
        // Clients that have asked it already wait.
        self.fleet.freeze(name, false)?;
        self.load.doors.close(http);
        let passed = self.pass(time);
        self.fleet.thaw(name)?;
        self.load.doors.open(http);
        passed
    }

    fn stall(&mut self, name: &str) -> Result<()> {
        self.settle()?;
        let slots = self.fleet.slots_of(name)?;
        let http = self.fleet.http_of(name)?;
        let from = self.load.now();
        self.say(&format!("{name} is stopped with {} slots until it is taken for dead", slots.len()));
        self.fleet.freeze(name, true)?;
        self.load.doors.close(http);
        self.wait_for_death(name)?;
        let afterlife_ms = self.rng.u64(AFTERLIFE_MS);
        self.pass(Duration::from_millis(afterlife_ms))?;
        self.say(&format!("{name} goes on"));
        self.fleet.thaw(name)?;
        self.load.doors.open(http);
        self.settle()?;
        self.fleet.recovered(name)?;
        let fate = Fate { node: name.to_owned(), from, to: self.load.now(), slots };
        // What clients do from now on is judged strictly again: with other keys, as theirs may have two pasts.
        self.load.retire(&fate.slots);
        self.fates.forks.push(fate);
        Ok(())
    }

    fn wait_for_death(&mut self, name: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self
                .look(LOOK)?
                .iter()
                .any(|news| matches!(news, News::GivenUp { name: dead, .. } if dead == name))
            {
                return Ok(());
            }
        }
        Err(Fault::stuck(format!("nobody took {name} for dead within {} s", PATIENCE.as_secs())))
    }

    fn kill(&mut self, name: &str) -> Result<()> {
        self.settle()?;
        let slots = self.fleet.slots_of(name)?;
        let http = self.fleet.http_of(name)?;
        let lost_before = self.fleet.count_lost();
        let from = self.load.now();
        self.fleet.kill(name)?;
        self.load.doors.close(http);
        self.say(&format!("{name} is killed with {} slots", slots.len()));
        let unheld = self.fleet.slots(name)?.unheld();
        if unheld != slots {
            let miscount = format!(
                "{name} was killed with {} slots, and {} are without a holder",
                slots.len(),
                unheld.len()
            );
            self.fates.miscounts.push(miscount);
        }
        self.settle()?;
        let lost = self.fleet.count_lost() - lost_before;
        self.say(&format!("{lost} slots of {name} are counted as lost"));
        if lost != slots.len() as u64 {
            let miscount =
                format!("{name} was killed with {} slots, and {lost} are counted as lost", slots.len());
            self.fates.miscounts.push(miscount);
        }
        self.fates.crashes.push(Fate { node: name.to_owned(), from, to: self.load.now(), slots });
        Ok(())
    }

    /// Waits until the nodes are one cluster at rest.
    pub(super) fn settle(&mut self) -> Result<()> {
        let mut calm_since = None;
        self.wait("one cluster at rest", |conductor| match conductor.fleet.unrest() {
            Ok(None) => {
                let since: &mut Instant = calm_since.get_or_insert_with(Instant::now);
                Ok((since.elapsed() < CALM).then(|| "it has only just come to rest".to_owned()))
            }
            Ok(Some(unrest)) => {
                calm_since = None;
                Ok(Some(unrest))
            }
            Err(error) => {
                calm_since = None;
                Ok(Some(format!("{error:#}")))
            }
        })
    }

    /// Waits until `missing` has nothing to say any more.
    fn wait(
        &mut self,
        what: &str,
        mut missing: impl FnMut(&mut Self) -> Result<Option<String>>,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(missing) = missing(self)? {
            if Instant::now() > deadline {
                return Err(Fault::stuck(format!("not within {} s: {what}: {missing}", PATIENCE.as_secs())));
            }
            self.look(LOOK)?;
        }
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.look(left.min(LOOK))?;
        }
        Ok(())
    }

    /// Waits so long, then looks what has become of the nodes.
    fn look(&mut self, time: Duration) -> Result<Vec<News>> {
        if self.signals.wait(time) {
            bail!("interrupted");
        }
        let news = self.fleet.look()?;
        for news in &news {
            match news {
                News::Left { name, http } => {
                    self.load.doors.close(*http);
                    self.say(&format!("{name} has left"));
                }
                News::FalseDeath { name, by } => {
                    let accident = format!("{by} took {name} for dead, which runs");
                    self.say(&accident);
                    self.fates.accidents.push(accident);
                }
                News::GivenUp { name, by } => self.say(&format!("{by} takes {name} for dead")),
            }
        }
        self.bar.set_position(self.load.now().as_secs());
        let done = self.load.done.load(Relaxed);
        self.bar.set_message(format!(
            "{} events, {done} operations, {} nodes",
            self.events,
            self.fleet.len()
        ));
        Ok(news)
    }

    /// A line about an event.
    fn say(&self, text: &str) {
        let now = self.load.now().as_secs_f64();
        self.bar.suspend(|| println!("{now:7.1} s  {text}"));
    }

    /// The run is over: the bar goes.
    pub(super) fn finish(&self) -> u64 {
        self.bar.finish_and_clear();
        self.events
    }
}
