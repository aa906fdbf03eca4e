//! News about members, weighed by the one rule of precedence.

use std::cmp::Ordering;
use std::collections::BTreeSet;
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
/// Most members that are asked for themselves in one gossip interval.
const INQUIRIES_MAX: usize = 32;

/// Members of which others have said what has to be heard from themselves, asked since `since`.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    asked: BTreeSet<NodeId>,
    since: Duration,
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
    /// else may have made up are a question to the member.
    fn credible<'a>(&mut self, mut news: News<'a>) -> Option<News<'a>> {
        let entry = self.table.get(news.pid.id)?;
        let (known, mut signed) = (entry.standing(), entry.announced);
        if !self.is_keyed(news.pid.id) {
            return news.is_near(known.incarnation).then_some(news);
        }
        if news.teller == news.pid || news.source == Source::Own {
            return Some(news);
        }
        if let Some(words) = news.words.filter(|words| are_new(*words, entry)) {
            if self.has_signed(words) {
                signed = words.announce.incarnation.to_native();
            } else {
                self.inquire(news.pid, SocketAddr::from(&words.announce.addr));
                news.words = None;
            }
        }
        if news.incarnation <= signed.max(known.incarnation) {
            return Some(news);
        }
        self.unsigned(news, known, signed).filter(|news| news.is_near(signed))
    }

    /// What another says of an incarnation that the member has not signed, so that it may not exist: a live member is suspected
    /// for it, but nobody lives longer. `signed` is the latest that it has signed, which may come with the news.
    fn unsigned<'a>(&mut self, news: News<'a>, known: Standing, signed: u64) -> Option<News<'a>> {
        let gone = |state| !matches!(state, State::Alive | State::Suspect);
        match (known.state, news.state) {
            (_, State::Alive) => None,
            (State::Alive, _) => Some(news),
            (State::Suspect, State::Left) => {
                Some(News { incarnation: signed.max(known.incarnation), ..news })
            }
            (known, said) if gone(known) && gone(said) => Some(news),
            _ => {
                // Whoever says so may have the words that go with it; in an exchange it would have brought them.
                let teller = self.address(news.teller.id).filter(|_| news.source == Source::Packet);
                if let Some((addr, _)) = teller {
                    self.push_pull_with(addr);
                }
                None
            }
        }
    }

    fn is_keyed(&self, id: NodeId) -> bool {
        self.signer.as_ref().is_some_and(|signer| signer.keyed(id))
    }

    /// Whether words that another passes on are the member's.
    fn has_signed(&mut self, words: Words<'_>) -> bool {
        let signed = self.signer.as_ref().is_some_and(|signer| words.are_signed(&**signer));
        self.stats.signatures_refused += u64::from(!signed && !words.signature.is_empty());
        signed
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
        self.me.incarnation = news.incarnation + 1;
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
        let Some(words) = news.words.filter(|words| !Tags::is_hash(&words.announce.tags)) else { return };
        let announce = words.announce;
        let gone = !matches!(news.state, State::Alive | State::Suspect);
        let near = news.is_near(announce.incarnation.to_native());
        if !near || gone && news.gone >= self.reclaim_after(news.state) {
            return;
        }
        if news.teller != news.pid && self.is_keyed(news.pid.id) && !self.has_signed(words) {
            return self.inquire(news.pid, SocketAddr::from(&announce.addr));
        }
        if !self.make_room(gone, attribute_bytes(&announce.name, &announce.tags)) {
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
        let short = Tags::is_hash(&words.announce.tags);
        if news.teller != news.pid {
            let live = matches!(news.state, State::Alive | State::Suspect);
            if !live {
                return;
            }
            if short || !self.is_keyed(news.pid.id) || !self.has_signed(words) {
                return self.inquire(news.pid, SocketAddr::from(&words.announce.addr));
            }
        }
        if short {
            return;
        }
        if let Some(old) = self.remove(news.pid.id).filter(|old| old.is_live()) {
            self.emit(Event::Failed(Member { state: State::Dead, ..Member::clone(&old) }));
        }
        self.learn_of_unknown(news);
    }

    /// Asks a member that others say is at an address what it says about itself: for the boot before, as whoever is asked for
    /// another says who it is. On a stream, as the news may not come again. What is not asked now is when it does, or when the
    /// older boot is probed.
    fn inquire(&mut self, pid: Pid, addr: SocketAddr) {
        let Inquiries { asked, since } = &mut self.inquiries;
        if self.now >= *since + self.config.gossip_interval {
            asked.clear();
            *since = self.now;
        }
        if asked.len() < INQUIRIES_MAX && addr != self.me.addr && asked.insert(pid.id) {
            let number = self.next_number();
            let former = Pid { boot: pid.boot.wrapping_sub(1), ..pid };
            self.send(addr, None, Body::Ping { number, target: former.into() }, Way::Stream);
        }
    }
}

impl News<'_> {
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
