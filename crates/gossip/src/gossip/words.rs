//! What members say about themselves: address, name and tags, and the room they take.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Gossip;
use super::merge::News;
use crate::codec::announced;
use crate::member::attribute_bytes;
use crate::signature::Words;
use crate::table::Entry;
use crate::wire::ArchivedAnnounce;
use crate::{Config, Event, Member, NodeId, Pid, Tags};

impl Gossip {
    /// Whether an announcement is news and names its tags by a hash of others than are known.
    pub(super) fn lacks_tags(&self, announce: &ArchivedAnnounce<'static>, teller: Pid) -> bool {
        let pid = Pid::from(&announce.pid);
        let news = self.table.get(pid.id).is_none_or(|entry| match pid.boot.cmp(&entry.member.boot) {
            Ordering::Greater => teller == pid,
            Ordering::Equal => {
                announce.incarnation >= entry.announced && !entry.member.tags.have_hash(&announce.tags)
            }
            Ordering::Less => false,
        });
        news && Tags::is_hash(&announce.tags) && pid.id != self.me.id
    }

    /// Room for so many more members with so many bytes of name and tags; for a live one, some dead or gone are forgotten before
    /// their time.
    pub(super) fn make_room(&mut self, gone: bool, members: usize, bytes: usize) -> bool {
        let Config { members_max, attribute_bytes, .. } = self.config;
        while self.table.len() + members > members_max || self.table.bytes() + bytes > attribute_bytes {
            let place = self.table.any_gone().filter(|_| !gone);
            if place.and_then(|id| self.forget(id)).is_none() {
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

    /// A suspicion overtook the announcement it speaks of: its words are still news, its state is not.
    pub(super) fn catch_up(&mut self, news: News<'_>) {
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
    pub(super) fn take_words(&mut self, news: &News<'_>) -> bool {
        let id = news.pid.id;
        let (Some(entry), Some(words)) = (self.table.get(id), news.words) else { return false };
        if !are_new(words, entry) {
            return false;
        }
        let announce = words.announce;
        let hash = Tags::is_hash(&announce.tags);
        let room = hash || self.has_room(id, announce);
        let Some(entry) = self.table.get_mut(id) else { return false };
        entry.announced = announce.incarnation.to_native();
        let Member { addr, mut name, mut tags, signature, .. } = announced(words);
        if entry.member.signature != signature {
            Arc::make_mut(&mut entry.member).signature = signature;
        }
        let known = &*entry.member;
        entry.missing = match (hash, room) {
            (true, _) => (!known.tags.have_hash(&announce.tags)).then(|| (*announce.tags).into()),
            (false, room) => (!room).then(|| Tags::text_hash(&announce.tags).into()),
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
}

/// Whether a known boot has not been heard to say this yet, or its tags had still to be fetched.
pub(super) fn are_new(Words { announce, .. }: Words<'_>, known: &Entry) -> bool {
    let said = announce.incarnation.to_native();
    let wanted = known.missing.as_deref().is_some_and(|hash| Tags::has_text_hash(&announce.tags, hash));
    said > known.announced || said == known.announced && wanted
}
