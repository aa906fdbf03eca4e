//! What is believed of a member, written down: its state, the time that runs for it, who is told.

use std::sync::Arc;
use std::time::Duration;

use super::Gossip;
use super::merge::{News, Source};
use crate::precedence::Standing;
use crate::suspicion::{Doubt, Suspicion};
use crate::timers::Timer;
use crate::{Event, Member, NodeId, State};

impl Gossip {
    /// A known boot has another standing now.
    pub(super) fn change(&mut self, news: News<'_>) {
        let id = news.pid.id;
        self.changes += 1;
        let former = self.standing(id).state;
        let updated = self.take_words(&news);
        self.set_belief(&news);
        let was_live = matches!(former, State::Alive | State::Suspect);
        match (was_live, news.state) {
            (false, State::Alive | State::Suspect) => {
                self.event(id, Event::Joined);
                self.arrived();
            }
            (true, State::Dead) => self.event(id, Event::Failed),
            (true, State::Left) => self.event(id, Event::Left),
            (false, State::Left | State::Pruned) if former == State::Dead => self.event(id, Event::Removed),
            (false, State::Pruned) if former == State::Left => self.event(id, Event::Removed),
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
    pub(super) fn set_belief(&mut self, news: &News<'_>) {
        let (id, state) = (news.pid.id, news.state);
        self.cancel_deadline(id);
        let suspicion = (state == State::Suspect)
            .then(|| Box::new(Suspicion::new(&self.config, self.size(), news.by, self.now, news.doubt)));
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
    pub(super) fn confirm(&mut self, news: News<'_>) {
        let id = news.pid.id;
        if self.change_suspicion(id, |suspicion| suspicion.confirm(news.by, news.doubt)) {
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

    /// The time of a suspicion or of a record is up.
    pub(super) fn on_member_deadline(&mut self, id: NodeId) {
        let Some(entry) = self.table.get(id) else { return };
        if let Some(suspicion) = &entry.suspicion {
            return self.learn_own(id, suspicion.verdict());
        }
        match (entry.member.state, entry.member.addr) {
            (State::Dead, addr) => {
                self.forget(id);
                self.remember_forgotten(addr);
            }
            (State::Left | State::Pruned, _) => {
                self.forget(id);
            }
            (State::Alive | State::Suspect, _) => {}
        }
    }

    /// Its record is not kept any longer.
    pub(super) fn forget(&mut self, id: NodeId) -> Option<Arc<Member>> {
        self.changes += 1;
        self.remove(id)
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Arc<Member>> {
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

    pub(super) fn standing(&self, id: NodeId) -> Standing {
        self.table.get(id).expect("invariant: only asked about members in the table").standing()
    }

    /// Passes news on, unless it came in a push-pull and there was nobody to tell. What one other member has known for
    /// a while needs a few messengers only, who pass it on in full; it must not hold up what has just happened.
    ///
    /// What others need not hear at all is a suspicion from an exchange: it is as old as the death that was heard of,
    /// and after a partition there is one about everybody. The suspect alone is told, so that it refutes; and so is whoever is said
    /// to have left, as it is the one to say so.
    pub(super) fn pass_on(&mut self, news: &News<'_>) {
        if news.doubt == Doubt::Goodbye && news.source == Source::Packet {
            self.warn(news.pid.id);
        }
        match news.source {
            Source::Own | Source::Packet => self.tell(news.pid.id),
            Source::PushPull { .. } if news.state == State::Suspect => self.warn(news.pid.id),
            Source::PushPull { spread: true } => self.tell_some(news.pid.id),
            Source::PushPull { spread: false } => {}
        }
    }

    pub(super) fn event(&mut self, id: NodeId, kind: fn(Member) -> Event) {
        if let Some(entry) = self.table.get(id) {
            self.emit(kind(Member::clone(&entry.member)));
            self.compare_names(id);
        }
    }
}
