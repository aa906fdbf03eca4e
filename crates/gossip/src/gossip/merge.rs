//! What is believed: news about members, weighed by the one rule of precedence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{INCARNATION_MAX, announced};
use crate::member::attribute_bytes;
use crate::precedence::Standing;
use crate::suspicion::Suspicion;
use crate::table::Entry;
use crate::timers::Timer;
use crate::wire::{ArchivedAnnounce, ArchivedPacket, ArchivedRecord, Body};
use crate::{Config, Event, Member, NodeId, Pid, State, Tags};

/// How far an incarnation may be ahead of the one known. A member raises it by one per refutation or update, so a
/// larger step is a defect, which must not drive the number to its end.
const INCARNATION_STEP_MAX: u64 = 1 << 20;

/// A statement about one member.
#[derive(Clone, Copy)]
pub(super) struct News<'a> {
    pid: Pid,
    incarnation: u64,
    state: State,
    by: NodeId,
    /// How long ago it died or left.
    gone: Duration,
    /// Its own announcement, of this incarnation or an older one.
    words: Option<&'a ArchivedAnnounce<'static>>,
    source: Source,
    /// A suspicion that stands for a death somebody else has concluded.
    condemned: bool,
}

/// How a statement came here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From this member's own probe, or the end of its own suspicion.
    Own,
    /// As news in a packet.
    Packet,
    /// In a push-pull: the belief of one other, perhaps formed on the far side of a partition. `spread` says
    /// whether there was anybody here to tell.
    PushPull { spread: bool },
}

impl Gossip {
    /// Learns what a packet says. True if it names tags that have yet to be fetched.
    pub(super) fn learn_news(&mut self, packet: &ArchivedPacket<'static>) -> bool {
        let mut missing = false;
        for announce in packet.announces.iter() {
            missing |= self.lacks_tags(announce);
            self.learn(News {
                pid: (&announce.pid).into(),
                incarnation: announce.incarnation.to_native(),
                state: State::Alive,
                by: NodeId(announce.pid.id.to_native()),
                gone: Duration::ZERO,
                words: Some(announce),
                source: Source::Packet,
                condemned: false,
            });
        }
        for claim in packet.claims.iter() {
            self.learn(News {
                pid: (&claim.pid).into(),
                incarnation: claim.incarnation.to_native(),
                state: (&claim.state).into(),
                by: NodeId(claim.by.to_native()),
                gone: Duration::ZERO,
                words: None,
                source: Source::Packet,
                condemned: false,
            });
        }
        missing
    }

    /// Whether an announcement is news and names its tags by a hash of others than are known.
    fn lacks_tags(&self, announce: &ArchivedAnnounce<'static>) -> bool {
        let pid = Pid::from(&announce.pid);
        let known = self.table.get(pid.id).filter(|entry| entry.member.boot >= pid.boot);
        let news = known.is_none_or(|entry| {
            let newer = announce.incarnation >= entry.announced && entry.member.boot == pid.boot;
            newer && !entry.member.tags.have_hash(&announce.tags)
        });
        news && Tags::is_hash(&announce.tags) && pid.id != self.me.id
    }

    pub(super) fn learn_record(&mut self, record: &ArchivedRecord<'static>, spread: bool) {
        self.learn(News {
            pid: (&record.announce.pid).into(),
            incarnation: record.incarnation.to_native(),
            state: (&record.state).into(),
            by: NodeId(record.by.to_native()),
            gone: Duration::from_secs(record.gone_s.to_native().into()),
            words: Some(&record.announce),
            source: Source::PushPull { spread },
            condemned: false,
        });
    }

    /// A member is not alive, says `by` in an exchange.
    pub(super) fn learn_claim(&mut self, pid: Pid, standing: Standing, by: NodeId, spread: bool) {
        self.learn(News {
            pid,
            incarnation: standing.incarnation,
            state: standing.state,
            by,
            gone: Duration::ZERO,
            words: None,
            source: Source::PushPull { spread },
            condemned: false,
        });
    }

    /// This member got no answer. The suspect is told at once: its time runs, and it may be about to stand still again.
    pub(super) fn accuse(&mut self, id: NodeId) {
        self.learn_own(id, State::Suspect);
        let Some(entry) = self.table.get(id).filter(|entry| entry.suspicion.is_some()) else { return };
        let (addr, pid) = (entry.member.addr, entry.member.pid());
        self.send(addr, Some(pid), Body::News, Way::Datagram);
    }

    pub(super) fn learn_own(&mut self, id: NodeId, state: State) {
        let Some(entry) = self.table.get(id) else { return };
        self.learn(News {
            pid: entry.member.pid(),
            incarnation: entry.member.incarnation,
            state,
            by: self.me.id,
            gone: Duration::ZERO,
            words: None,
            source: Source::Own,
            condemned: false,
        });
    }

    fn learn(&mut self, news: News<'_>) {
        if news.pid.id == self.me.id {
            return self.learn_of_me(news);
        }
        let Some(entry) = self.table.get(news.pid.id) else { return self.learn_of_unknown(news) };
        let known = entry.standing();
        if news.pid.boot > known.boot {
            return self.learn_of_restart(news);
        }
        if news.incarnation > known.incarnation.saturating_add(INCARNATION_STEP_MAX) {
            return;
        }
        let believed = believed(news, known);
        if believed.standing().beats(known) {
            self.change(believed);
        } else if news.pid.boot == known.boot {
            if believed.standing() == known && known.state == State::Suspect {
                self.confirm(believed);
            }
            self.catch_up(news);
        }
    }

    /// The one answer to any belief that this member is not alive is a higher incarnation. What is said about
    /// earlier boots is left alone: it is true.
    fn learn_of_me(&mut self, news: News<'_>) {
        if let Some(words) = news.words.filter(|_| news.pid.boot > self.me.boot) {
            return self.ask_successor(news.pid, SocketAddr::from(&words.addr));
        }
        let current = news.pid == self.me.pid() && self.phase == Phase::Active;
        let ahead = news.incarnation.saturating_sub(self.me.incarnation);
        let refute = news.state != State::Alive && news.incarnation >= self.me.incarnation;
        if !current || ahead > INCARNATION_STEP_MAX || !(refute || ahead > 0) {
            return;
        }
        if news.incarnation >= INCARNATION_MAX {
            return;
        }
        self.me.incarnation = news.incarnation + 1;
        self.tell(self.me.id);
        if refute {
            self.stats.refutations += 1;
            self.worsen_health(1);
            // Not on the clock of gossip: it may be about to stand still again.
            self.show_myself(self.config.gossip_fanout);
        }
    }

    /// A member is taken in by its own words only. One that is dead or gone comes in without a sound, so that its
    /// death outlives older news of its life; news of a death is no use where the member is unknown.
    fn learn_of_unknown(&mut self, news: News<'_>) {
        let Some(words) = news.words.filter(|words| !Tags::is_hash(&words.tags)) else { return };
        let gone = !matches!(news.state, State::Alive | State::Suspect);
        if gone && news.gone >= self.reclaim_after(news.state) {
            return;
        }
        if !self.make_room(gone, attribute_bytes(&words.name, &words.tags)) {
            self.stats.members_refused += 1;
            return;
        }
        let id = news.pid.id;
        self.changes += 1;
        // Comes in alive and is then changed like any other, so there is one place where states change.
        let member = Arc::new(announced(words));
        let shared = self.pool.as_ref().map(|pool| pool.share(Arc::clone(&member)));
        self.table.insert(Entry::new(shared.unwrap_or(member)), &mut self.rng);
        if gone {
            self.set_belief(&news);
        } else {
            self.event(id, Event::Joined);
            self.pass_on(&news);
            if news.standing().beats(self.standing(id)) {
                self.change(news);
            }
        }
    }

    /// Room for one more member with so many bytes of name and tags; for a live one, some dead or gone are forgotten before
    /// their time.
    fn make_room(&mut self, gone: bool, bytes: usize) -> bool {
        let Config { members_max, attribute_bytes, .. } = self.config;
        while self.table.len() >= members_max || self.table.bytes() + bytes > attribute_bytes {
            let place = self.table.any_gone().filter(|_| !gone);
            if place.and_then(|id| self.remove(id)).is_none() {
                return false;
            }
        }
        true
    }

    /// Whether there is room for what the words of a known member add to its name and tags.
    fn has_room(&mut self, id: NodeId, words: &ArchivedAnnounce<'static>) -> bool {
        let known = self.member(id).map_or(0, |known| attribute_bytes(&known.name, known.tags.text()));
        let more = attribute_bytes(&words.name, &words.tags).saturating_sub(known);
        let fits = more == 0 || self.table.bytes() + more <= self.config.attribute_bytes;
        self.stats.members_refused += u64::from(!fits);
        fits
    }

    /// A newer boot replaces the older at once; the older is dead, whatever it said last.
    fn learn_of_restart(&mut self, news: News<'_>) {
        if news.words.is_none_or(|words| Tags::is_hash(&words.tags)) {
            return;
        }
        if let Some(old) = self.remove(news.pid.id).filter(|old| old.is_live()) {
            self.emit(Event::Failed(Member { state: State::Dead, ..Member::clone(&old) }));
        }
        self.learn_of_unknown(news);
    }

    /// A known boot has another standing now.
    fn change(&mut self, news: News<'_>) {
        let id = news.pid.id;
        self.changes += 1;
        let former = self.standing(id).state;
        let updated = self.take_words(&news);
        self.set_belief(&news);
        let was_live = matches!(former, State::Alive | State::Suspect);
        match (was_live, news.state) {
            (false, State::Alive | State::Suspect) => self.event(id, Event::Joined),
            (true, State::Dead) => self.event(id, Event::Failed),
            (true, State::Left) => self.event(id, Event::Left),
            (false, State::Left | State::Pruned) if former == State::Dead => self.event(id, Event::Removed),
            (true, State::Alive) if former == State::Suspect => self.event(id, Event::Recovered),
            _ => {}
        }
        if was_live && updated && news.state == State::Alive {
            self.event(id, Event::Updated);
        }
        if news.state == State::Suspect && former != State::Suspect {
            self.stats.suspicions += 1;
            self.event(id, Event::Suspected);
        }
        if news.state == State::Dead && was_live {
            self.remember_fallen(id);
        }
        self.pass_on(&news);
    }

    /// Writes the belief down, with the timers that belong to it.
    fn set_belief(&mut self, news: &News<'_>) {
        let (id, state) = (news.pid.id, news.state);
        self.cancel_deadline(id);
        let suspicion = (state == State::Suspect)
            .then(|| Box::new(Suspicion::new(&self.config, self.size(), news.by, self.now, news.condemned)));
        let deadline = match &suspicion {
            Some(suspicion) => suspicion.deadline(),
            None => self.now + self.reclaim_after(state).saturating_sub(news.gone),
        };
        self.table.set_state(id, state, &mut self.rng);
        let Some(entry) = self.table.get_mut(id) else { return };
        if entry.member.incarnation != news.incarnation {
            Arc::make_mut(&mut entry.member).incarnation = news.incarnation;
        }
        if let Some(pool) = self.pool.as_ref().filter(|_| state == State::Alive) {
            entry.member = pool.share(Arc::clone(&entry.member));
        }
        entry.suspicion = suspicion;
        entry.deadline = deadline;
        if state != State::Alive {
            self.timers.set(deadline, Timer::Member(id));
        }
        if state == State::Suspect {
            self.wake_gossip();
        }
    }

    /// Another member suspects it, too.
    fn confirm(&mut self, news: News<'_>) {
        let id = news.pid.id;
        if self.change_suspicion(id, |suspicion| suspicion.confirm(news.by, news.condemned)) {
            self.pass_on(&news);
        }
    }

    /// This process did not run for `late`, so the suspect gets that much longer.
    pub(super) fn postpone(&mut self, id: NodeId, late: Duration) {
        let not_before = self.now + self.config.probe_interval;
        self.change_suspicion(id, |suspicion| {
            suspicion.postpone(late, not_before);
            true
        });
    }

    fn change_suspicion(&mut self, id: NodeId, change: impl FnOnce(&mut Suspicion) -> bool) -> bool {
        let Some(entry) = self.table.get_mut(id) else { return false };
        let Some(suspicion) = entry.suspicion.as_mut() else { return false };
        let changed = change(suspicion);
        // Never in the past, which would be taken for a stall of this process.
        let (before, after) = (entry.deadline, suspicion.deadline().max(self.now));
        entry.deadline = after;
        self.timers.cancel(before, Timer::Member(id));
        self.timers.set(after, Timer::Member(id));
        changed
    }

    /// A suspicion overtook the announcement it speaks of: its words are still news, its state is not.
    fn catch_up(&mut self, news: News<'_>) {
        let id = news.pid.id;
        let lacked = self.lacks_words(id);
        if self.take_words(&news) {
            if self.table.get(id).is_some_and(|entry| entry.member.is_live()) {
                self.event(id, Event::Updated);
            }
            self.pass_on(&news);
        }
        if lacked && !self.lacks_words(id) {
            self.tell(id);
        }
    }

    /// Takes over address, name and tags if they are newer than those known. True if they differ. Where there is no room for
    /// name and tags, they are as good as not fetched: that the member lives is news all the same.
    fn take_words(&mut self, news: &News<'_>) -> bool {
        let id = news.pid.id;
        let (Some(entry), Some(words)) = (self.table.get(id), news.words) else { return false };
        let (said, hash) = (words.incarnation.to_native(), Tags::is_hash(&words.tags));
        let wanted = entry.missing.as_deref().is_some_and(|hash| Tags::has_text_hash(&words.tags, hash));
        let fetched = said == entry.announced && wanted;
        if said <= entry.announced && !fetched {
            return false;
        }
        let room = hash || self.has_room(id, words);
        let Some(entry) = self.table.get_mut(id) else { return false };
        entry.announced = said;
        let Member { addr, mut name, mut tags, .. } = announced(words);
        let known = &*entry.member;
        entry.missing = match (hash, room) {
            (true, _) => (!known.tags.have_hash(&words.tags)).then(|| (*words.tags).into()),
            (false, room) => (!room).then(|| Tags::text_hash(&words.tags).into()),
        };
        if hash || !room {
            tags.clone_from(&known.tags);
        }
        if !room {
            name = Arc::clone(&known.name);
        }
        if (addr, &name, &tags) == (known.addr, &known.name, &known.tags) {
            return false;
        }
        Arc::make_mut(&mut entry.member).addr = addr;
        self.table.set_attributes(id, name, tags);
        true
    }

    /// The time of a suspicion or of a record is up.
    pub(super) fn on_member_deadline(&mut self, id: NodeId) {
        match self.table.get(id).map(|entry| (entry.member.state, entry.member.addr)) {
            Some((State::Suspect, _)) => self.learn_own(id, State::Dead),
            Some((State::Dead, addr)) => {
                self.remove(id);
                self.remember_forgotten(addr);
            }
            Some((State::Left | State::Pruned, _)) => {
                self.remove(id);
            }
            Some((State::Alive, _)) | None => {}
        }
    }

    fn remove(&mut self, id: NodeId) -> Option<Arc<Member>> {
        self.cancel_deadline(id);
        self.queue.remove(id);
        self.table.remove(id).map(|entry| entry.member)
    }

    fn cancel_deadline(&mut self, id: NodeId) {
        if let Some(entry) = self.table.get(id).filter(|entry| entry.member.state != State::Alive) {
            self.timers.cancel(entry.deadline, Timer::Member(id));
        }
    }

    pub(super) fn reclaim_after(&self, state: State) -> Duration {
        match state {
            State::Left => self.config.reclaim_left,
            _ => self.config.reclaim_dead,
        }
    }

    fn standing(&self, id: NodeId) -> Standing {
        self.table.get(id).expect("invariant: only asked about members in the table").standing()
    }

    /// Passes news on, unless it came in a push-pull and there was nobody to tell. What one other member has known for
    /// a while needs a few messengers only, who pass it on in full; it must not hold up what has just happened.
    ///
    /// What others need not hear at all is a suspicion from an exchange: it is as old as the death that was heard of,
    /// and after a partition there is one about everybody. The suspect alone is told, so that it refutes.
    fn pass_on(&mut self, news: &News<'_>) {
        match news.source {
            Source::Own | Source::Packet => self.tell(news.pid.id),
            Source::PushPull { .. } if news.state == State::Suspect => self.warn(news.pid.id),
            Source::PushPull { spread: true } => self.tell_some(news.pid.id),
            Source::PushPull { spread: false } => {}
        }
    }

    fn event(&mut self, id: NodeId, kind: fn(Member) -> Event) {
        if let Some(entry) = self.table.get(id) {
            self.emit(kind(Member::clone(&entry.member)));
            self.compare_names(id);
        }
    }
}

impl News<'_> {
    fn standing(&self) -> Standing {
        Standing { boot: self.pid.boot, incarnation: self.incarnation, state: self.state }
    }
}

/// What to make of news about a boot whose standing is known.
///
/// What an operator had removed was dead; to whoever takes it for alive that is a death.
///
/// A goodbye counts only in an incarnation of its own, which nobody but the member can have opened: without it,
/// somebody else said goodbye for the member, and that is a death, which it can refute. A death that somebody else has
/// concluded is a suspicion, so that no member dies of a single message and a partition heals by refutation. If others
/// had their time for it (it did not come in an exchange), it lasts no longer than the shortest.
fn believed(news: News<'_>, known: Standing) -> News<'_> {
    let mut believed = news;
    let live = matches!(known.state, State::Alive | State::Suspect);
    let foreign = news.incarnation == known.incarnation;
    if live && (believed.state == State::Pruned || believed.state == State::Left && foreign) {
        believed.state = State::Dead;
    }
    if believed.state == State::Dead && live && news.source != Source::Own {
        believed.state = State::Suspect;
        believed.condemned = news.source == Source::Packet;
    }
    believed
}
