//! The single things that happen to nodes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::conductor::{Conductor, LOOK, PATIENCE};
use super::fate::Fate;
use super::fleet::{Fleet, News};
use super::view::SlotSet;
use crate::fault::Fault;
use crate::nodes::Node;

/// Stops shorter than this are no reason to take a node for dead: the shortest suspicion lasts 3 s.
const STOP_MS: std::ops::Range<u64> = 50..1_200;
/// How long a pair of nodes is cut: others still probe both on their behalf.
const CUT_MS: std::ops::Range<u64> = 200..4_000;
/// How long a node that has just joined takes slots before another one is killed.
const TAKING_MS: std::ops::Range<u64> = 0..200;
/// How long a stalled node stays stopped once it is taken for dead: its slots begin anew meanwhile.
const AFTERLIFE_MS: std::ops::Range<u64> = 500..3_000;

/// How long a node stays cut off once the others take it for dead: it may take them for dead as well meanwhile.
const EXILE_MS: std::ops::Range<u64> = 500..30_000;

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
    /// A node is killed, at rest or while slots move.
    Kill,
    /// One node does not hear another for a moment, or neither hears the other.
    Cut,
    /// A node is cut off from all others until they take it for dead.
    Partition,
}

impl Conductor<'_> {
    pub(super) fn is_possible(&self, kind: Trouble) -> bool {
        let count = self.fleet.len();
        match kind {
            Trouble::Join => count < self.size + 2,
            Trouble::Leave => count >= self.size,
            Trouble::Restart | Trouble::Stop | Trouble::Cut => count > 2,
            // Those who are left have to agree on the death.
            Trouble::Stall | Trouble::Kill | Trouble::Partition => count > 2 && count >= self.size,
        }
    }

    pub(super) fn happen(&mut self, kind: Trouble) -> Result<()> {
        self.events += 1;
        let names = self.fleet.names();
        let name = self.rng.choice(names).context("no node is left")?;
        match kind {
            Trouble::Join => {
                let fresh = self.fleet.fresh_name();
                self.join(&fresh)?;
            }
            Trouble::Leave => self.leave(&name)?,
            Trouble::Restart => {
                self.leave(&name)?;
                self.start_again(&name)?;
            }
            Trouble::Stop => self.stop(&name)?,
            Trouble::Stall => self.stall(&name)?,
            Trouble::Kill => self.kill(&name)?,
            Trouble::Cut => self.cut(&name)?,
            Trouble::Partition => self.partition(&name)?,
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
        self.stage.doors.open(door.context("an admitted node has a door")?);
        Ok(())
    }

    /// A node joins, and then the oldest one leaves.
    pub(super) fn exchange(&mut self) -> Result<()> {
        let fresh = self.fleet.fresh_name();
        self.join(&fresh)?;
        self.settle()?;
        let oldest = self.fleet.names().into_iter().next().context("no node is left")?;
        self.leave_gently(&oldest)?;
        self.settle()
    }

    /// The same in another cluster, which nobody uses.
    pub(super) fn exchange_elsewhere(&mut self, fleet: &mut Fleet) -> Result<()> {
        std::mem::swap(&mut self.fleet, fleet);
        let fresh = self.fleet.fresh_name();
        self.say(&format!("{fresh} starts elsewhere"));
        let mut started = Some(self.fleet.start(&fresh)?);
        let served = self.wait("a node elsewhere serves", |conductor| {
            let Some(node) = started.take() else { return Ok(None) };
            started = conductor.fleet.admit(node)?.err();
            Ok(started.is_some().then(|| "it is not ready".to_owned()))
        });
        let ended = served.and_then(|()| {
            self.fleet.dismiss(&fresh)?;
            self.wait("a node elsewhere ends", |conductor| {
                Ok(conductor.fleet.is_parting().then(|| "it runs".to_owned()))
            })
        });
        std::mem::swap(&mut self.fleet, fleet);
        ended
    }

    /// Clients ask the node no more once it says that it is leaving.
    fn leave_gently(&mut self, name: &str) -> Result<()> {
        self.say(&format!("{name} leaves"));
        let http = self.fleet.http_of(name)?;
        self.fleet.dismiss(name)?;
        self.wait(&format!("{name} says that it leaves"), |conductor| {
            Ok(conductor.fleet.serves(http).then(|| "it is ready".to_owned()))
        })?;
        self.stage.doors.close(http);
        Ok(())
    }

    fn leave(&mut self, name: &str) -> Result<()> {
        self.say(&format!("{name} leaves"));
        self.fleet.dismiss(name)
    }

    /// Clients ask the node no more once it says that it is leaving.
    pub(super) fn restart_gently(&mut self, name: &str) -> Result<()> {
        self.leave_gently(name)?;
        self.start_again(name)
    }

    /// Waits until a node that was told to leave has left, and starts it again.
    fn start_again(&mut self, name: &str) -> Result<()> {
        self.wait(&format!("{name} has left"), |conductor| {
            Ok(conductor.fleet.is_parting().then(|| "it still runs".to_owned()))
        })?;
        self.say(&format!("{name} starts again"));
        let started = self.fleet.start(name)?;
        self.admit(started)
    }

    fn stop(&mut self, name: &str) -> Result<()> {
        let time = Duration::from_millis(self.rng.u64(STOP_MS));
        self.say(&format!("{name} is stopped for {} ms", time.as_millis()));
        let http = self.fleet.http_of(name)?;
        // Clients that have asked it already wait.
        self.fleet.freeze(name)?;
        self.stage.doors.close(http);
        let passed = self.pass(time);
        self.fleet.thaw(name)?;
        self.stage.doors.open(http);
        passed
    }

    fn stall(&mut self, name: &str) -> Result<()> {
        self.settle()?;
        let slots = self.fleet.slots_of(name)?;
        let http = self.fleet.http_of(name)?;
        let from = self.stage.now();
        self.say(&format!("{name} is stopped with {} slots until it is taken for dead", slots.len()));
        self.fleet.doomed = vec![name.to_owned()];
        self.fleet.freeze(name)?;
        self.stage.doors.close(http);
        self.wait_for_death(name)?;
        let afterlife_ms = self.rng.u64(AFTERLIFE_MS);
        self.pass(Duration::from_millis(afterlife_ms))?;
        self.say(&format!("{name} goes on"));
        self.fleet.thaw(name)?;
        self.stage.doors.open(http);
        self.healed(name, from, slots)
    }

    fn partition(&mut self, name: &str) -> Result<()> {
        self.settle()?;
        let others = self.others(name);
        let from = self.stage.now();
        self.say(&format!("{name} is cut off until it is taken for dead"));
        // It takes the others for dead in its turn.
        self.fleet.doomed = self.fleet.names();
        self.fleet.cut(name, &others, [true, true]);
        self.wait_for_death(name)?;
        let exile_ms = self.rng.u64(EXILE_MS);
        self.pass(Duration::from_millis(exile_ms))?;
        self.say(&format!("{name} is not cut off any more"));
        self.fleet.cut(name, &others, [false, false]);
        self.healed(name, from, SlotSet::all())
    }

    /// After a false death: waits for rest. What clients do from then on is judged strictly again: with other keys, as those
    /// of `slots` may have two pasts.
    fn healed(&mut self, name: &str, from: Duration, slots: SlotSet) -> Result<()> {
        self.settle()?;
        self.fleet.doomed.clear();
        let fate = Fate { node: name.to_owned(), from, to: self.stage.now(), slots };
        if let Some(load) = self.load {
            load.retire(&fate.slots);
        }
        self.fates.forks.push(fate);
        Ok(())
    }

    fn cut(&mut self, name: &str) -> Result<()> {
        let others = self.others(name);
        let other = self.rng.choice(others).context("there is no other node")?;
        let time = Duration::from_millis(self.rng.u64(CUT_MS));
        let back = self.rng.bool();
        let way = if back { "and" } else { "to" };
        self.say(&format!("{name} {way} {other}: cut for {} ms", time.as_millis()));
        let others = [other];
        self.fleet.cut(name, &others, [true, back]);
        let passed = self.pass(time);
        self.fleet.cut(name, &others, [false, false]);
        passed
    }

    fn others(&self, name: &str) -> Vec<String> {
        self.fleet.names().into_iter().filter(|other| other != name).collect()
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

    /// Kills a node at rest, or while a node that has just joined takes slots.
    fn kill(&mut self, name: &str) -> Result<()> {
        self.settle()?;
        let at_rest = self.rng.bool();
        if !at_rest {
            let fresh = self.fleet.fresh_name();
            self.join(&fresh)?;
            let taking_ms = self.rng.u64(TAKING_MS);
            self.pass(Duration::from_millis(taking_ms))?;
        }
        let http = self.fleet.http_of(name)?;
        let lost_before = self.fleet.count().lost;
        let held = self.fleet.slots_of(name)?;
        let from = self.stage.now();
        self.fleet.kill(name)?;
        self.stage.doors.close(http);
        self.say(&format!("{name} is killed with {} slots", held.len()));
        let unheld = self.fleet.slots(name)?.unheld();
        self.settle()?;
        let lost = self.fleet.count().lost - lost_before;
        self.say(&format!("{lost} slots of {name} are counted as lost"));
        // What moves is told by nobody for a moment, or by two; at rest both are the same.
        let (least, most) = (held.and(&unheld), held.or(&unheld));
        if !(least.len()..=most.len()).contains(&usize::try_from(lost)?) || (at_rest && held != unheld) {
            self.fates.miscounts.push(format!(
                "{name} was killed with {} slots, {} are without a holder, and {lost} are counted as lost",
                held.len(),
                unheld.len()
            ));
        }
        self.fates.crashes.push(Fate { node: name.to_owned(), from, to: self.stage.now(), slots: most });
        Ok(())
    }
}
