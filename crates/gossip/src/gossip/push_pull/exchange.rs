//! One exchange: a digest, what the other knows where it differs, what each knows better.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::codec::{PACKET_BYTES, STANDING_BYTES, Signatures, announce, encode, record_bytes, standing};
use crate::digest::Digest;
use crate::gossip::receive::Way;
use crate::gossip::{Gossip, Phase};
use crate::precedence::Standing;
use crate::table::Entry;
use crate::wire::{
    ArchivedPushPull, ArchivedStep, ArchivedWireStanding, Message, PushPull, Record, Step, WireStanding,
};
use crate::{Event, Member, NodeId, Pid, State};

/// Most answers to newcomers that wait for their turn.
const ANSWERS_QUEUED_MAX: usize = 1024;
/// Records sent in answers per gossip interval, about 2 MB; at least one answer. More waits for the next interval, or
/// for the next exchange.
const RECORDS_PER_INTERVAL: usize = 20_000;
/// Most bytes of one message. Of a larger state, a random part is sent.
const BYTES_MAX: usize = 8 << 20;

/// What a message holds so far.
struct Load<'a> {
    size: usize,
    records: Vec<Record<'a>>,
}

impl Gossip {
    /// Begins an exchange, or begins it once more.
    pub(super) fn send_digest(&mut self, to: SocketAddr, number: u64) {
        let buckets = if self.table.len() == 0 { Vec::new() } else { self.digest(None).into_buckets() };
        self.send_step(to, number, Step::Digest(buckets), 0);
    }

    /// What all beliefs come to, in as many buckets as the members are worth, or in `2^log2`.
    fn digest(&self, log2: Option<u8>) -> Digest {
        let mut digest = log2.map_or_else(|| Digest::for_members(self.size()), Digest::of);
        self.standings().for_each(|(id, standing)| digest.add(id, standing));
        digest
    }

    /// What is told of all, in no order that means anything.
    fn standings(&self) -> impl Iterator<Item = (NodeId, Standing)> {
        let Member { id, boot, incarnation, state, .. } = self.me;
        let others = self.table.iter_unordered().map(|entry| (entry.id, entry.told()));
        std::iter::once((id, Standing { boot, incarnation, state })).chain(others)
    }

    pub(in crate::gossip) fn on_push_pull(
        &mut self,
        from: SocketAddr,
        message: &ArchivedPushPull<'static>,
        signatures: Signatures<'_>,
    ) {
        let sender = Pid::from(&message.from);
        let number = message.number.to_native();
        if sender == self.me.pid() {
            return self.on_own_join(number);
        }
        if sender.id == self.me.id && sender.boot > self.me.boot {
            return self.meet_myself(sender, from);
        }
        let unasked = !self.push_pulls.pending.contains_key(&number);
        if unasked && matches!(message.step, ArchivedStep::Summary { .. } | ArchivedStep::Answer) {
            return;
        }
        self.events.witness(message.event_time.to_native());
        let before = self.changes;
        self.learn_exchange(sender, message, signatures);
        match &message.step {
            ArchivedStep::Digest(buckets) if buckets.is_empty() => self.answer(from, number),
            ArchivedStep::Digest(buckets) => {
                let log2 = buckets_log2(buckets.len());
                let theirs = buckets.iter().map(|bucket| bucket.to_native());
                let differing = self.digest(Some(log2)).differing(theirs);
                if differing.is_empty() {
                    self.agreed();
                }
                self.send_summary(from, number, log2, differing);
            }
            ArchivedStep::Summary { log2, buckets, standings } => {
                let buckets = buckets.iter().map(|bucket| bucket.to_native()).collect();
                self.on_summary(from, number, *log2, &buckets, standings);
            }
            ArchivedStep::Difference { wanted, .. } => {
                if !wanted.is_empty() {
                    self.send_wanted(from, number, wanted.iter().map(|id| NodeId(id.to_native())));
                }
            }
            ArchivedStep::Answer => self.on_answer(number),
        }
        self.learnt_by_exchange(self.changes - before);
    }

    /// Learns what records and standings say.
    fn learn_exchange(
        &mut self,
        sender: Pid,
        message: &ArchivedPushPull<'static>,
        signatures: Signatures<'_>,
    ) {
        // A member that knows nobody has nobody to tell what it hears.
        let spread = !self.table.live().is_empty();
        for (record, signature) in message.records.iter().zip(signatures) {
            self.learn_record(record, signature, sender, spread);
        }
        let standings: &[ArchivedWireStanding] = match &message.step {
            ArchivedStep::Summary { standings, .. } | ArchivedStep::Difference { standings, .. } => standings,
            ArchivedStep::Digest(_) | ArchivedStep::Answer => &[],
        };
        for standing in standings {
            self.learn_standing(standing, sender, spread);
        }
        self.answer_doubts();
    }

    /// An exchange begun here is over.
    fn on_answer(&mut self, number: u64) {
        let Some(pending) = self.end(number) else { return };
        self.push_pulls.answered = true;
        if pending.join {
            self.introduce();
            self.hurry_push_pull();
        }
        self.start_joins();
    }

    /// What was sent to an address came back to its sender.
    fn on_own_join(&mut self, number: u64) {
        let Some(pending) = self.end(number) else { return };
        if self.phase == Phase::Active {
            self.emit(Event::SelfJoin { addr: pending.to });
            self.start_joins();
        }
    }

    fn send_summary(&mut self, to: SocketAddr, number: u64, log2: u8, buckets: Vec<u16>) {
        let digest = Digest::of(log2);
        let differing: BTreeSet<u16> = buckets.iter().copied().collect();
        let differs = |id| differing.contains(&digest.bucket(id));
        let standings = self.standings().filter(|(id, _)| differs(*id));
        let standings: Vec<WireStanding> =
            standings.take(BYTES_MAX / STANDING_BYTES / 2).map(|(id, known)| standing(id, known)).collect();
        let bytes = standings.len() * STANDING_BYTES + buckets.len() * size_of::<u16>();
        self.send_step(to, number, Step::Summary { log2, buckets, standings }, bytes);
    }

    /// Sends what this member knows better, and asks for what the other knows better. What was said of members that
    /// both know has been learnt already.
    fn on_summary(
        &mut self,
        to: SocketAddr,
        number: u64,
        log2: u8,
        buckets: &BTreeSet<u16>,
        summary: &[ArchivedWireStanding],
    ) {
        let theirs: BTreeMap<NodeId, Standing> =
            summary.iter().map(|standing| (Pid::from(&standing.pid).id, standing.into())).collect();
        let wanted: Vec<u128> =
            theirs.iter().filter(|(id, standing)| self.wants(**id, **standing)).map(|(id, _)| id.0).collect();
        let digest = Digest::of(log2);
        let mut load = self.load();
        let mut standings = Vec::new();
        for entry in self.table.iter_unordered().filter(|entry| buckets.contains(&digest.bucket(entry.id))) {
            let known = theirs.get(&entry.id).copied();
            if known.is_some_and(|known| !entry.told().beats(known)) {
                continue;
            }
            if known.is_some_and(|known| says_enough(entry, known)) {
                standings.push(standing(entry.member.id, entry.claimed()));
            } else {
                self.add(&mut load, entry);
            }
        }
        let done = wanted.is_empty();
        if buckets.is_empty() {
            self.agreed();
        } else {
            load.size += standings.len() * STANDING_BYTES + wanted.len() * size_of::<u128>();
            let bytes = self.encoded(number, Step::Difference { standings, wanted }, load);
            self.send_bytes(to, bytes, Way::Stream);
        }
        if done {
            self.on_answer(number);
        }
    }

    /// Whether the record of a member with this standing would be news.
    fn wants(&self, id: NodeId, standing: Standing) -> bool {
        match self.table.get(id) {
            Some(entry) => standing.beats(entry.told()) && !is_claim(standing, entry),
            None => id != self.me.id,
        }
    }

    /// Learns a standing of which no more than that is needed. The same as here is no news: that another has heard of a
    /// suspicion, too, confirms nothing, for it does not say from whom.
    fn learn_standing(&mut self, standing: &ArchivedWireStanding, teller: Pid, spread: bool) {
        let pid = Pid::from(&standing.pid);
        let said = Standing::from(standing);
        let known = self.table.get(pid.id).map(|entry| is_claim(said, entry) && said != entry.claimed());
        if known.unwrap_or(pid.id == self.me.id && said.state != State::Alive) {
            self.learn_claim(pid, said, teller, spread);
        }
    }

    fn send_wanted(&mut self, to: SocketAddr, number: u64, wanted: impl Iterator<Item = NodeId>) {
        self.renew_budget();
        let mut load = self.load();
        let room = RECORDS_PER_INTERVAL.saturating_sub(self.push_pulls.spent);
        for entry in wanted.filter_map(|id| self.table.get(id)).take(room) {
            self.add(&mut load, entry);
        }
        let spent = load.records.len();
        let bytes = self.encoded(number, Step::Answer, load);
        self.push_pulls.spent += spent;
        self.send_bytes(to, bytes, Way::Stream);
    }

    fn answer(&mut self, to: SocketAddr, number: u64) {
        if self.push_pulls.answers.len() < ANSWERS_QUEUED_MAX {
            self.push_pulls.answers.push_back((to, number));
            self.resume_answers();
        }
    }

    pub(in crate::gossip) fn answers_waiting(&self) -> bool {
        !self.push_pulls.answers.is_empty()
    }

    fn renew_budget(&mut self) {
        if self.now >= self.push_pulls.since + self.config.gossip_interval {
            self.push_pulls.since = self.now;
            self.push_pulls.spent = 0;
        }
    }

    /// Sends the answers that this interval has room for.
    pub(in crate::gossip) fn resume_answers(&mut self) {
        self.renew_budget();
        while self.push_pulls.spent < RECORDS_PER_INTERVAL {
            let Some((to, number)) = self.push_pulls.answers.pop_front() else { return };
            self.send_all(to, number);
        }
        if self.answers_waiting() {
            self.wake_gossip();
        }
    }

    /// Sends all this member knows, from a random member on, so that a part is not always the same part.
    fn send_all(&mut self, to: SocketAddr, number: u64) {
        let first = self.rng.usize(..=self.table.len());
        let mut load = self.load();
        for entry in self.table.iter().skip(first).chain(self.table.iter().take(first)) {
            if !self.add(&mut load, entry) {
                break;
            }
        }
        let spent = load.records.len();
        let bytes = self.encoded(number, Step::Answer, load);
        self.push_pulls.spent += spent;
        self.send_bytes(to, bytes, Way::Stream);
    }

    fn send_step(&mut self, to: SocketAddr, number: u64, step: Step, bytes: usize) {
        let mut load = self.load();
        load.size += bytes;
        let bytes = self.encoded(number, step, load);
        self.send_bytes(to, bytes, Way::Stream);
    }

    fn encoded(&self, number: u64, step: Step, load: Load<'_>) -> Vec<u8> {
        let (from, event_time) = (self.me.pid().into(), self.events.time());
        let message = PushPull { from, number, event_time, step, records: load.records };
        encode(&Message::PushPull(message), load.size)
    }

    /// A message with the own record.
    fn load(&self) -> Load<'_> {
        // A goodbye raises the incarnation without other words.
        let announced = self.me.incarnation - u64::from(self.me.state == State::Left);
        let record = self.record(&self.me, announced, Duration::ZERO);
        Load { size: PACKET_BYTES + record_bytes(&self.me), records: vec![record] }
    }

    /// Adds a record, if it fits. One without its tags is no use.
    fn add<'a>(&'a self, load: &mut Load<'a>, entry: &'a Entry) -> bool {
        if entry.missing.is_some() {
            return true;
        }
        let bytes = record_bytes(&entry.member);
        let fits = load.size + bytes <= BYTES_MAX;
        if fits {
            load.size += bytes;
            load.records.push(self.record(&entry.member, entry.announced, self.gone(entry)));
        }
        fits
    }

    /// How long ago the member died or left.
    fn gone(&self, entry: &Entry) -> Duration {
        match entry.member.state {
            State::Alive | State::Suspect => Duration::ZERO,
            state => self.reclaim_after(state).saturating_sub(entry.deadline.saturating_sub(self.now)),
        }
    }

    fn record<'a>(&self, member: &'a Member, announced: u64, gone: Duration) -> Record<'a> {
        Record {
            announce: announce(member, announced),
            state: self.claimed(member).into(),
            incarnation: member.incarnation,
            by: self.accuser(member.id).0,
            gone_s: u32::try_from(gone.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }
}

/// The binary logarithm of a number of buckets, which the codec has checked.
fn buckets_log2(count: usize) -> u8 {
    u8::try_from(count.ilog2()).expect("invariant: the logarithm of a number has at most two digits")
}

/// Whether a standing says all about a member that is known: it is not alive, in words that are known.
fn is_claim(standing: Standing, known: &Entry) -> bool {
    standing.boot == known.member.boot
        && standing.state != State::Alive
        && standing.incarnation <= known.member.incarnation
}

/// Whether the other side, which has this standing of a member, needs no more than a standing.
fn says_enough(entry: &Entry, known: Standing) -> bool {
    known.boot == entry.member.boot
        && entry.member.state != State::Alive
        && known.incarnation >= entry.announced
}
