//! News about members, weighed by the one rule of precedence.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{INCARNATION_MAX, announced};
use crate::member::attribute_bytes;
use crate::precedence::Standing;
use crate::suspicion::Doubt;
use crate::table::Entry;
use crate::wire::{ArchivedAnnounce, ArchivedPacket, ArchivedRecord, Body};
use crate::{Event, Member, NodeId, Pid, State, Tags};

/// How far an incarnation may be ahead of the one known. A member raises it by one per refutation or update, so a
/// larger step is a defect, which must not drive the number to its end.
const INCARNATION_STEP_MAX: u64 = 1 << 20;
/// Most restarted members that are asked for themselves in one gossip interval.
const INQUIRIES_MAX: usize = 32;

/// Members that others say have started again, asked since `since`.
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
    pub(super) words: Option<&'a ArchivedAnnounce<'static>>,
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
    pub(super) fn learn_news(&mut self, packet: &ArchivedPacket<'static>) -> bool {
        let teller = Pid::from(&packet.from);
        let mut missing = false;
        for announce in packet.announces.iter() {
            missing |= self.lacks_tags(announce, teller);
            self.learn(News {
                pid: (&announce.pid).into(),
                incarnation: announce.incarnation.to_native(),
                state: State::Alive,
                by: NodeId(announce.pid.id.to_native()),
                teller,
                gone: Duration::ZERO,
                words: Some(announce),
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

    pub(super) fn learn_record(&mut self, record: &ArchivedRecord<'static>, teller: Pid, spread: bool) {
        self.learn(News {
            pid: (&record.announce.pid).into(),
            incarnation: record.incarnation.to_native(),
            state: (&record.state).into(),
            by: NodeId(record.by.to_native()),
            teller,
            gone: Duration::from_secs(record.gone_s.to_native().into()),
            words: Some(&record.announce),
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
            self.arrived();
            self.pass_on(&news);
            if news.standing().beats(self.standing(id)) {
                self.change(news);
            }
        }
    }

    /// A newer boot replaces the older at once; the older is dead, whatever it said last. Only the newer itself can say so:
    /// of a boot that does not exist nobody could take the word back. Whoever hears it from others asks it.
    fn learn_of_restart(&mut self, news: News<'_>) {
        let Some(words) = news.words else { return };
        if news.teller != news.pid {
            if matches!(news.state, State::Alive | State::Suspect) {
                self.inquire(news.pid.id, SocketAddr::from(&words.addr));
            }
            return;
        }
        if Tags::is_hash(&words.tags) {
            return;
        }
        if let Some(old) = self.remove(news.pid.id).filter(|old| old.is_live()) {
            self.emit(Event::Failed(Member { state: State::Dead, ..Member::clone(&old) }));
        }
        self.learn_of_unknown(news);
    }

    /// Asks at the address for the boot that is known: a newer one says who it is. On a stream, as the news may not come
    /// again. What is not asked now is when it does, or when the older boot is probed.
    fn inquire(&mut self, id: NodeId, addr: SocketAddr) {
        let Inquiries { asked, since } = &mut self.inquiries;
        if self.now >= *since + self.config.gossip_interval {
            asked.clear();
            *since = self.now;
        }
        if asked.len() < INQUIRIES_MAX && addr != self.me.addr && asked.insert(id) {
            let Some((_, known)) = self.address(id) else { return };
            let number = self.next_number();
            self.send(addr, None, Body::Ping { number, target: known.into() }, Way::Stream);
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
