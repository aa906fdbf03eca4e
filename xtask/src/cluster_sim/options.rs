//! What a run of membership is given: by flags, or by a file of the same names, which flags overrule.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use boato_sim::membership::{self, Scenario};
use serde::{Deserialize, Deserializer};

/// What the nodes run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Protocol {
    /// The production gossip core
    Boato,
    /// The same without Lifeguard
    BoatoSwim,
    /// foca, with the settings it publishes for a LAN
    Foca,
}

macro_rules! options {
    ($($(#[$attribute:meta])* $name:ident: $type:ty,)*) => {
        /// What was given.
        #[derive(Clone, Default, PartialEq, Debug, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(super) struct Options {
            $($(#[$attribute])* pub(super) $name: Option<$type>,)*
        }

        impl Options {
            /// These, and of what they leave open what `file` says.
            pub(super) fn or(self, file: Self) -> Self {
                Self { $($name: self.$name.or(file.$name),)* }
            }

            /// Names of what was given.
            pub(super) fn given(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name.is_some()),)*];
                all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
            }
        }
    };
}

options! {
    /// How many nodes [default: 100; registers: drawn from the seed]
    #[arg(long)]
    nodes: u32,
    /// Everything random follows from it [default: random]
    #[arg(long)]
    seed: u64,
    /// Membership: virtual time of the whole run [default: 5]. Registers: of its part with faults [default: drawn]
    #[arg(long)]
    minutes: f64,
    /// Membership: what the nodes run [default: boato]
    #[arg(long)]
    protocol: Protocol,
    /// Membership: probability that a packet gets lost [default: 0]
    #[arg(long)]
    loss: f64,
    /// Membership: mean one-way delay of a packet [default: 1ms]
    #[arg(long, value_parser = duration)]
    #[serde(default, deserialize_with = "text_duration")]
    latency: Duration,
    /// Membership: the share of that delay that is a heavy tail, 0 to 1 [default: 0.5]
    #[arg(long)]
    tail: f64,
    /// Membership: bytes per second that a node can send, 0 for no limit [default: 0]
    #[arg(long)]
    bandwidth: u64,
    /// Membership: clocks run too fast or slow by up to this share [default: 0]
    #[arg(long)]
    skew: f64,
    /// Membership: how many nodes crash [default: 1]
    #[arg(long)]
    crashes: u32,
    /// Membership: how many of those start again, with their id [default: 0]
    #[arg(long)]
    restarts: u32,
    /// Membership: how long after its crash a node starts again [default: 10s]
    #[arg(long, value_parser = duration)]
    #[serde(default, deserialize_with = "text_duration")]
    down: Duration,
    /// Membership: they start again at an address that nobody has had [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    new_address: bool,
    /// Membership: so many nodes more join at once when the cluster has converged [default: 0]
    #[arg(long)]
    burst: u32,
    /// Membership: so many minutes of the run, the cluster is cut in half [default: 0]
    #[arg(long)]
    partition: f64,
    /// Membership: that cut goes one way only [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    one_way: bool,
    /// Membership: so many nodes stand still again and again [default: 0]
    #[arg(long)]
    stalls: u32,
    /// Membership: how long they stand still at most [default: 5s]
    #[arg(long, value_parser = duration)]
    #[serde(default, deserialize_with = "text_duration")]
    stall: Duration,
    /// Membership: how long they run in between at most [default: as --stall]
    #[arg(long, value_parser = duration)]
    #[serde(default, deserialize_with = "text_duration")]
    between: Duration,
    /// Membership: only their messages stand still, and their timers go on [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    mute: bool,
    /// Membership: boato's shortest suspicion in probe intervals, for ten nodes: Lifeguard's alpha [default: 7, and 8 at least]
    #[arg(long)]
    suspicion: u32,
    /// Membership: boato's longest suspicion in shortest ones [default: 6]
    #[arg(long)]
    suspicion_max: u32,
    /// Membership: boato's probe interval, half of which a direct probe may take [default: 500ms]
    #[arg(long, value_parser = duration)]
    #[serde(default, deserialize_with = "text_duration")]
    probe_interval: Duration,
}

fn text_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
}

impl Options {
    /// The same with what a scenario file says where they say nothing.
    pub(super) fn with_file(self, file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let said: Self = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        Ok(self.or(said))
    }

    pub(super) fn scenario(&self) -> Result<Scenario> {
        let default = Scenario::new(self.nodes.unwrap_or(100), self.seed.unwrap_or_else(super::made_up));
        let mut gossip = default.gossip.clone();
        if let Some(alpha) = self.suspicion {
            (gossip.suspicion_multiplier, gossip.suspicion_floor) = (alpha, alpha);
        }
        gossip.suspicion_max_multiplier = self.suspicion_max.unwrap_or(gossip.suspicion_max_multiplier);
        gossip.probe_interval = self.probe_interval.unwrap_or(gossip.probe_interval);
        gossip.probe_timeout = gossip.probe_interval / 2;
        Ok(Scenario {
            length: super::length(self.minutes.unwrap_or(5.0))?,
            loss: self.loss.unwrap_or(default.loss),
            latency: self.latency.unwrap_or(default.latency),
            tail: self.tail.unwrap_or(default.tail),
            bandwidth: self.bandwidth.unwrap_or(default.bandwidth),
            skew: self.skew.unwrap_or(default.skew),
            crashes: self.crashes.unwrap_or(default.crashes),
            restarts: self.restarts.unwrap_or(default.restarts),
            down: self.down.unwrap_or(default.down),
            new_address: self.new_address.unwrap_or(default.new_address),
            burst: self.burst.unwrap_or(default.burst),
            partition: self.partition.map_or(Ok(Duration::ZERO), super::span)?,
            one_way: self.one_way.unwrap_or(default.one_way),
            stalls: self.stalls.unwrap_or(default.stalls),
            stall: self.stall.unwrap_or(default.stall),
            between: self.between.or(self.stall).unwrap_or(default.between),
            mute: self.mute.unwrap_or(default.mute),
            protocol: match self.protocol.unwrap_or(Protocol::Boato) {
                Protocol::Boato => membership::Protocol::Boato,
                Protocol::BoatoSwim => membership::Protocol::BoatoSwim,
                Protocol::Foca => membership::Protocol::Foca,
            },
            gossip,
            ..default
        })
    }
}

/// All options that have a meaning in the run, by the names of their flags, so that anybody can do the same run again.
pub(super) struct Shown<'a>(pub(super) &'a Scenario);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario { nodes, seed, length, loss, latency, tail, bandwidth, skew, .. } = self.0;
        let Scenario {
            crashes,
            restarts,
            down,
            new_address,
            burst,
            partition,
            one_way,
            stalls,
            stall,
            between,
            mute,
            protocol: kind,
            gossip,
            ..
        } = self.0;
        let protocol = match kind {
            membership::Protocol::Boato => "boato",
            membership::Protocol::BoatoSwim => "boato-swim",
            membership::Protocol::Foca => "foca",
        };
        let minutes = |time: &Duration| time.as_secs_f64() / 60.0;
        write!(
            f,
            "seed {seed}  nodes {nodes}  protocol {protocol}  minutes {}  loss {loss}  ",
            minutes(length)
        )?;
        write!(
            f,
            "latency {latency:?}  tail {tail}  bandwidth {bandwidth}  skew {skew}  crashes {crashes}  "
        )?;
        write!(f, "restarts {restarts}  down {down:?}  new-address {new_address}  ")?;
        write!(f, "burst {burst}  partition {}  one-way {one_way}  ", minutes(partition))?;
        write!(f, "stalls {stalls}  stall {stall:?}  between {between:?}  mute {mute}")?;
        if *kind == membership::Protocol::Foca {
            return Ok(());
        }
        write!(
            f,
            "  suspicion {}  floor {}  probe-interval {:?}",
            gossip.suspicion_multiplier, gossip.suspicion_floor, gossip.probe_interval
        )?;
        if *kind == membership::Protocol::BoatoSwim {
            return Ok(());
        }
        write!(f, "  suspicion-max {}", gossip.suspicion_max_multiplier)
    }
}

/// A number and its unit: `500us`, `1ms`, `0.2s`.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => anyhow::bail!("give a number and its unit: ns, us, ms or s"),
    };
    let seconds = digits.parse::<f64>().context("give a number and its unit")? * unit;
    ensure!((0.0..=60.0).contains(&seconds), "give 0 to 60 s");
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn flags_overrule_the_file_and_the_file_the_defaults() {
        let file = parse("nodes = 7\nstall = \"2s\"\nprotocol = \"boato-swim\"\none-way = true").unwrap();
        let file = file.or(parse("crashes = 1\nrestarts = 1\ndown = \"3s\"\nnew-address = true").unwrap());
        let flags = Options { nodes: Some(9), seed: Some(1), ..Options::default() };
        let scenario = flags.or(file).scenario().unwrap();
        assert_eq!((scenario.restarts, scenario.down), (1, Duration::from_secs(3)));
        assert!(scenario.new_address);
        assert_eq!((scenario.nodes, scenario.seed, scenario.crashes), (9, 1, 1));
        assert_eq!((scenario.stall, scenario.one_way), (Duration::from_secs(2), true));
        assert_eq!(scenario.protocol, membership::Protocol::BoatoSwim);
    }

    #[test]
    fn a_file_that_says_something_else_is_refused_by_name() {
        for (text, named) in [("nods = 7", "nods"), ("stall = \"2h\"", "2h"), ("nodes = \"x\"", "nodes")] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn committed_scenarios_can_be_run() {
        let folder = crate::root().join("crates/sim/scenarios");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 3);
        for file in files {
            Options::default().with_file(&file).unwrap().scenario().unwrap();
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, micros) in [("500us", 500), ("1ms", 1_000), ("0.2s", 200_000), ("1.5ms", 1_500), ("0s", 0)]
        {
            let parsed = duration(text).unwrap();
            assert_eq!(parsed, Duration::from_micros(micros), "{text}");
            let again = duration(&format!("{parsed:?}")).unwrap();
            assert_eq!(again, parsed, "what is printed can be given again");
        }
        for bad in ["", "1", "ms", "-1ms", "1h", "61s", "nans", "infs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
