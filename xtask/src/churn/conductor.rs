//! What happens to the nodes while clients use them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};

use super::fate::Fates;
use super::fleet::{Fleet, News};
use super::load::Load;
use super::stage::Stage;
use super::trouble::Trouble;
use crate::fault::Fault;
use crate::nodes::Signals;

/// Between two looks at the nodes.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for anything that nodes do by themselves.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// A cluster that takes longer than this to come to rest says why.
const SLOW: Duration = Duration::from_secs(10);
/// The cluster is at rest when it has looked so for this long.
const CALM: Duration = Duration::from_millis(300);

/// Directs one run.
pub(super) struct Conductor<'a> {
    pub(super) fleet: Fleet,
    pub(super) fates: Fates,
    pub(super) stage: &'a Stage,
    /// Keys that may get two pasts.
    pub(super) load: Option<&'a Load>,
    signals: &'a Signals,
    pub(super) rng: Rng,
    bar: ProgressBar,
    pub(super) events: u64,
    /// How many nodes there should be.
    pub(super) size: usize,
    /// Time between two looks at the nodes, which take some of theirs.
    pub(super) pace: Duration,
}

impl<'a> Conductor<'a> {
    pub(super) fn new(
        fleet: Fleet,
        stage: &'a Stage,
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
            stage,
            load: None,
            signals,
            rng: Rng::with_seed(seed),
            bar: ProgressBar::new(length.as_secs()).with_style(style),
            events: 0,
            size,
            pace: LOOK,
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
            self.restart_gently(&name)?;
            self.settle()?;
            self.pass(Duration::from_millis(500))?;
        }
        Ok(())
    }

    /// Waits until the nodes are one cluster at rest.
    pub(super) fn settle(&mut self) -> Result<()> {
        let (begin, mut calm_since, mut last) = (Instant::now(), None, String::new());
        self.wait("one cluster at rest", |conductor| {
            let unrest = conductor.fleet.unrest().unwrap_or_else(|error| Some(format!("{error:#}")));
            if let Some(unrest) = unrest {
                (calm_since, last) = (None, unrest.clone());
                return Ok(Some(unrest));
            }
            let since: &mut Instant = calm_since.get_or_insert_with(Instant::now);
            Ok((since.elapsed() < CALM).then(|| "it has only just come to rest".to_owned()))
        })?;
        if begin.elapsed() > SLOW {
            self.say(&format!("at rest after {:.1} s; until then, {last}", begin.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    /// Waits until `missing` has nothing to say any more.
    pub(super) fn wait(
        &mut self,
        what: &str,
        mut missing: impl FnMut(&mut Self) -> Result<Option<String>>,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(missing) = missing(self)? {
            if Instant::now() > deadline {
                return Err(Fault::stuck(format!("not within {} s: {what}: {missing}", PATIENCE.as_secs())));
            }
            self.look(self.pace)?;
        }
        Ok(())
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.look(left.min(self.pace))?;
        }
        Ok(())
    }

    /// Waits so long, then looks what has become of the nodes.
    pub(super) fn look(&mut self, time: Duration) -> Result<Vec<News>> {
        if self.signals.wait(time) {
            bail!("interrupted");
        }
        let news = self.fleet.look()?;
        for news in &news {
            match news {
                News::Left { name, http } => {
                    self.stage.doors.close(*http);
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
        self.bar.set_position(self.stage.now().as_secs());
        let done = self.stage.calls();
        self.bar.set_message(format!(
            "{} events, {done} operations, {} nodes",
            self.events,
            self.fleet.len()
        ));
        Ok(news)
    }

    /// A line about an event.
    pub(super) fn say(&self, text: &str) {
        let now = self.stage.now().as_secs_f64();
        self.bar.suspend(|| println!("{now:7.1} s  {text}"));
    }

    /// The run is over: the bar goes.
    pub(super) fn finish(&self) -> u64 {
        self.bar.finish_and_clear();
        self.events
    }
}
