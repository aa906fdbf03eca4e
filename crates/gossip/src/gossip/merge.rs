//! News about members, weighed by the one rule of precedence.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::receive::Way;
use super::words::are_new;
use super::{Gossip, Phase};
use crate::codec::{INCARNATION_MAX, Signatures, announced};
use crate::member::attribute_bytes;
use crate::precedence::Standing;
use crate::signature::Words;
use crate::suspicion::Doubt;
use crate::table::Entry;
use crate::wire::{ArchivedPacket, ArchivedRecord, Body};
use crate::{Event, Member, NodeId, Pid, State, Tags};

/// How far an incarnation that the member has not signed may be ahead of the one known. A member raises it by one per
/// refutation or update, so a larger step is a defect, which must not drive the number to its end.
const INCARNATION_STEP_MAX: u64 = 1 << 20;
/// Most questions to members about themselves in one gossip interval, and most because of one teller.
const INQUIRIES_MAX: usize = 64;
const INQUIRIES_PER_TELLER: usize = 16;
/// Most wrong signatures that are checked in one gossip interval, and most of one teller.
const WRONG_MAX: usize = 64;
const WRONG_PER_TELLER: usize = 8;

/// What others have said in the name of members since `since`.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    /// Who was asked about itself, and where.
    asked: BTreeSet<(NodeId, SocketAddr)>,
    tellers: BTreeMap<NodeId, Teller>,
    wrong: usize,
    since: Duration,
}

#[derive(Debug, Default)]
struct Teller {
    asked: usize,
    wrong: usize,
}

/// A statement about one member.
#[derive(Clone, Copy)]
pub(super) struct News<'a> {
    pub(super) pid: Pid,
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) by: NodeId,
    /// Who sent it: what a member says of itself is first-hand.
    pub(super) teller: Pid,
    /// How long ago it died or left.
    pub(super) gone: Duration,
    /// Its own announcement, of this incarnation or an older one.
    pub(super) words: Option<Words<'a>>,
    pub(super) source: Source,
    /// What a suspicion stands for.
    pub(super) doubt: Doubt,
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
    pub(super) fn learn_news(
        &mut self,
        packet: &ArchivedPacket<'static>,
        signatures: Signatures<'_>,
    ) -> bool {
        let teller = Pid::from(&packet.from);
        let mut missing = false;
        for (announce, signature) in packet.announces.iter().zip(signatures) {
            missing |= self.lacks_tags(announce, teller);
            self.learn(News {
                pid: (&announce.pid).into(),
                incarnation: announce.incarnation.to_native(),
                state: State::Alive,
                by: NodeId(announce.pid.id.to_native()),
                teller,
                gone: Duration::ZERO,
                words: Some(Words { announce, signature }),
                source: Source::Packet,
                doubt: Doubt::Suspect,
            });
        }
        for claim in packet.claims.iter() {
            self.learn(News {
                pid: (&claim.pid).into(),
                incarnation: claim.incarnation.to_native(),
                state: (&claim.state).into(),
                by: NodeId(claim.by.to_native()),
                teller,
                gone: Duration::ZERO,
                words: None,
                source: Source::Packet,
                doubt: Doubt::Suspect,
            });
        }
        self.answer_doubts();
        missing
    }

    pub(super) fn learn_record(
        &mut self,
        record: &ArchivedRecord<'static>,
        signature: &[u8],
        teller: Pid,
        spread: bool,
    ) {
        let (announce, state) = (&record.announce, State::from(&record.state));
        // Nobody is alive in an incarnation of which there are no words.
        let alive = state == State::Alive;
        let incarnation = if alive { announce.incarnation } else { record.incarnation };
        self.learn(News {
            pid: (&announce.pid).into(),
            incarnation: incarnation.to_native(),
            state,
            by: NodeId(record.by.to_native()),
            teller,
            gone: Duration::from_secs(record.gone_s.to_native().into()),
            words: Some(Words { announce, signature }),
            source: Source::PushPull { spread },
            doubt: Doubt::Suspect,
        });
    }

    /// A member is not alive, says `teller` in an exchange.
    pub(super) fn learn_claim(&mut self, pid: Pid, standing: Standing, teller: Pid, spread: bool) {
        self.learn(News {
            pid,
            incarnation: standing.incarnation,
            state: standing.state,
            by: teller.id,
            teller,
            gone: Duration::ZERO,
            words: None,
            source: Source::PushPull { spread },
            doubt: Doubt::Suspect,
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
            teller: self.me.pid(),
            gone: Duration::ZERO,
            words: None,
            source: Source::Own,
            doubt: Doubt::Suspect,
        });
    }

    fn learn(&mut self, news: News<'_>) {
        if news.pid.id == self.me.id {
            return self.learn_of_me(news);
        }
        let Some(entry) = self.table.get(news.pid.id) else { return self.learn_of_unknown(news) };
        match news.pid.boot.cmp(&entry.member.boot) {
            Ordering::Greater => self.learn_of_restart(news),
            Ordering::Equal => self.learn_of_known(news),
            Ordering::Less => {}
        }
    }

    fn learn_of_known(&mut self, news: News<'_>) {
        let Some(news) = self.credible(news) else { return };
        let known = self.standing(news.pid.id);
        let believed = believed(news, known);
        if believed.standing().beats(known) {
            self.change(believed);
        } else {
            if believed.standing() == known && known.state == State::Suspect {
                self.confirm(believed);
            }
            self.catch_up(news);
        }
    }

    /// What of the news about a known boot may be true: all that the member itself says or has signed. Words that somebody
    /// else may have made up are a question to the member, and an incarnation that it has not signed may not exist: such news
    /// counts in the one that is known.
    fn credible<'a>(&mut self, mut news: News<'a>) -> Option<News<'a>> {
        let entry = self.table.get(news.pid.id)?;
        let (known, mut signed, addr) = (entry.standing(), entry.announced, entry.member.addr);
        if let Some(words) = news.words.filter(|words| are_new(*words, entry)) {
            news.words = self.weigh(words, news.teller);
            if news.words.is_some() {
                signed = words.announce.incarnation.to_native();
            } else {
                self.inquire(news.pid, SocketAddr::from(&words.announce.addr), news.teller);
                self.inquire(news.pid, addr, news.teller);
            }
        }
        if !self.is_keyed(news.pid.id) {
            return news.is_near(known.incarnation).then_some(news);
        }
        let highest = signed.max(known.incarnation);
        if news.teller == news.pid || news.source == Source::Own || news.incarnation <= highest {
            return Some(news);
        }
        if !news.is_near(signed) {
            return None;
        }
        // It may be the goodbye, which raises the incarnation without words.
        if !matches!(known.state, State::Alive | State::Suspect) && news.is_gone() {
            return Some(news);
        }
        // Whoever says so may have the words that go with it; a goodbye has none, and in an exchange it would have brought them.
        if news.source == Source::Packet
            && news.state != State::Left
            && let Some((addr, _)) = self.address(news.teller.id)
        {
            self.push_pull_with(addr);
        }
        Some(News { incarnation: highest, ..news })
    }

    /// Words as they may be kept, if they count: those of a key if they are signed or told by the member itself, all of others.
    /// What is kept of signatures holds.
    fn weigh<'a>(&mut self, words: Words<'a>, teller: Pid) -> Option<Words<'a>> {
        let pid = Pid::from(&words.announce.pid);
        let keyed = self.is_keyed(pid.id);
        if keyed && self.has_signed(words, teller) {
            return Some(words);
        }
        (!keyed || teller == pid).then_some(Words { signature: &[], ..words })
    }

    fn is_keyed(&self, id: NodeId) -> bool {
        self.signer.as_ref().is_some_and(|signer| signer.keyed(id))
    }

    /// Whether words are signed by the member that they name. Those of a teller of many that were not are not checked any more.
    fn has_signed(&mut self, words: Words<'_>, teller: Pid) -> bool {
        let Some(signer) = self.signer.clone().filter(|_| !words.signature.is_empty()) else { return false };
        let hearsay = self.hearsay();
        let wrong = hearsay.tellers.get(&teller.id).map_or(0, |teller| teller.wrong);
        if wrong < WRONG_PER_TELLER && hearsay.wrong < WRONG_MAX {
            if words.are_signed(&*signer) {
                return true;
            }
            hearsay.wrong += 1;
            hearsay.tellers.entry(teller.id).or_default().wrong += 1;
        }
        self.stats.signatures_refused += 1;
        false
    }

    /// Of this gossip interval.
    fn hearsay(&mut self) -> &mut Hearsay {
        if self.now >= self.hearsay.since + self.config.gossip_interval {
            self.hearsay = Hearsay { since: self.now, ..Hearsay::default() };
        }
        &mut self.hearsay
    }

    /// The one answer to any belief that this member is not alive is a higher incarnation. What is said about
    /// earlier boots is left alone: it is true.
    fn learn_of_me(&mut self, news: News<'_>) {
        if let Some(words) = news.words.filter(|_| news.pid.boot > self.me.boot) {
            return self.ask_successor(news.pid, SocketAddr::from(&words.announce.addr));
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
        let heard = self.doubted.unwrap_or_default();
        self.doubted = Some((heard.0.max(news.incarnation), heard.1 || refute));
    }

    /// Answers what a message said of this member, once however often it said so.
    pub(super) fn answer_doubts(&mut self) {
        let Some((incarnation, refute)) = self.doubted.take() else { return };
        self.me.incarnation = incarnation + 1;
        self.sign();
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
        let Some(words) = news.words.filter(|_| self.may_take_in(&news)) else { return };
        let Some(words) = self.weigh(words, news.teller) else {
            return self.inquire(news.pid, SocketAddr::from(&words.announce.addr), news.teller);
        };
        self.take_in(news, words);
    }

    /// Whether news about a boot that is not known says enough of it, and is recent.
    fn may_take_in(&self, news: &News<'_>) -> bool {
        news.words.is_some_and(|Words { announce, .. }| {
            !Tags::is_hash(&announce.tags) && news.is_near(announce.incarnation.to_native())
        }) && !(news.is_gone() && news.gone >= self.reclaim_after(news.state))
    }

    /// Takes in a boot by words that count, in the place of the one before.
    fn take_in(&mut self, news: News<'_>, words: Words<'_>) {
        let (id, gone) = (news.pid.id, news.is_gone());
        // A live one gives way when there is room for its successor; of another nothing is lost.
        let old = self.member(id).filter(|old| old.is_live()).cloned();
        let (places, known) =
            old.as_ref().map_or((1, 0), |old| (0, attribute_bytes(&old.name, old.tags.text())));
        if old.is_none() {
            self.remove(id);
        }
        let bytes = attribute_bytes(&words.announce.name, &words.announce.tags);
        if !self.make_room(gone, places, bytes.saturating_sub(known)) {
            self.stats.members_refused += 1;
            return;
        }
        if let Some(old) = old {
            self.remove(id);
            self.emit(Event::Failed(Member { state: State::Dead, ..old }));
        }
        self.changes += 1;
        // Comes in alive and is then changed like any other, so there is one place where states change.
        let member = Arc::new(announced(words));
        let shared = self.pool.as_ref().map(|pool| pool.share(Arc::clone(&member)));
        self.table.insert(Entry::new(shared.unwrap_or(member)), &mut self.rng);
        if gone {
            self.set_belief(&news);
        } else {
            self.event(id, Event::Joined);
            self.arrived();
            self.pass_on(&news);
            if news.state == State::Suspect {
                self.learn_of_known(news);
            }
        }
    }

    /// A newer boot replaces the older at once; the older is dead, whatever it said last. The newer itself has to say so, or
    /// to have signed it: of a boot that does not exist nobody could take the word back. Whoever hears it from others asks it.
    fn learn_of_restart(&mut self, news: News<'_>) {
        let Some(words) = news.words else { return };
        let told = news.teller == news.pid;
        if !told && news.is_gone() {
            return;
        }
        let short = Tags::is_hash(&words.announce.tags);
        let counts = told || !short && self.is_keyed(news.pid.id);
        if counts && !self.may_take_in(&news) {
            return;
        }
        match self.weigh(words, news.teller).filter(|_| counts) {
            Some(words) => self.take_in(news, words),
            None => self.inquire(news.pid, SocketAddr::from(&words.announce.addr), news.teller),
        }
    }

    /// Asks a member that others say is at an address what it says about itself: for the boot before, as whoever is asked for
    /// another says who it is. On a stream, as the news may not come again. What is not asked now is when it does, or when the
    /// older boot is probed.
    fn inquire(&mut self, pid: Pid, addr: SocketAddr, teller: Pid) {
        let me = self.me.addr;
        let hearsay = self.hearsay();
        if hearsay.asked.len() >= INQUIRIES_MAX || addr == me {
            return;
        }
        let of_teller = &mut hearsay.tellers.entry(teller.id).or_default().asked;
        if *of_teller < INQUIRIES_PER_TELLER && hearsay.asked.insert((pid.id, addr)) {
            *of_teller += 1;
            let number = self.next_number();
            let former = Pid { boot: pid.boot.wrapping_sub(1), ..pid };
            self.send(addr, None, Body::Ping { number, target: former.into() }, Way::Stream);
        }
    }
}

impl News<'_> {
    fn is_gone(&self) -> bool {
        !matches!(self.state, State::Alive | State::Suspect)
    }

    /// Whether the incarnation it speaks of is one that a member may have come to from this one.
    fn is_near(&self, incarnation: u64) -> bool {
        self.incarnation.saturating_sub(incarnation) <= INCARNATION_STEP_MAX
    }

    fn standing(&self) -> Standing {
        Standing { boot: self.pid.boot, incarnation: self.incarnation, state: self.state }
    }
}

/// What to make of news about a boot whose standing is known.
///
/// What others say of a live member is a suspicion at most, so that no member dies or leaves of a single message and a
/// partition heals by refutation. A death, or the removal of one that was dead to whoever had it removed, lasts no longer than
/// the shortest, if others had their time for it (it did not come in an exchange). A goodbye counts when the member itself
/// says it; passed on, it is a suspicion at whose end the member has left.
fn believed(news: News<'_>, known: Standing) -> News<'_> {
    let mut believed = news;
    let live = matches!(known.state, State::Alive | State::Suspect);
    if !live || news.source == Source::Own {
        return believed;
    }
    match news.state {
        State::Left if news.teller == news.pid => {}
        State::Left => (believed.state, believed.doubt) = (State::Suspect, Doubt::Goodbye),
        State::Dead | State::Pruned => {
            believed.state = State::Suspect;
            if news.source == Source::Packet {
                believed.doubt = Doubt::Condemned;
            }
        }
        State::Alive | State::Suspect => {}
    }
    believed
}
