//! Memory for all that the steps of one operation store, set aside before the first of them is applied: what does not fit is
//! refused as a whole.

use std::borrow::Borrow;

use boato_storage::{Aside, Entries, Needs, PutError, Value};

use super::apply::Applier;
use super::{Action, Expiry, Step, number};

impl Applier<'_> {
    /// Sets memory aside for everything that `steps` store; `None`: they store nothing, or there is no limit.
    ///
    /// A step that moves or copies what a step before it has stored is not foreseen: it looks for memory itself.
    ///
    /// # Errors
    ///
    /// There is too little.
    pub(crate) fn set_aside<B: AsRef<[u8]>, S: Borrow<Step<B>>>(
        &self,
        entries: &Entries,
        steps: impl Iterator<Item = S>,
    ) -> Result<Option<Aside>, PutError> {
        if !entries.is_limited() {
            return Ok(None);
        }
        let mut needs = None;
        for step in steps {
            self.need(entries, step.borrow(), &mut needs);
        }
        needs.map(|needs| entries.set_aside(&needs)).transpose()
    }

    /// Adds what one step stores.
    fn need<B: AsRef<[u8]>>(&self, entries: &Entries, step: &Step<B>, needs: &mut Option<Needs>) {
        let key = step.key.as_ref();
        if !step.action.is_write() {
            return;
        }
        let now_ms = self.writer.now_ms;
        let stored = entries.get(key, now_ms);
        let before = stored.map_or(Value::default(), |entry| Value {
            bytes: entry.value,
            content_type: entry.content_type,
            expires_at_ms: entry.expires_at_ms,
        });
        // A number takes the place of the value, not of its media type and lifetime.
        let number_text = Value { bytes: &[], ..before };
        let (to, (value, more)) = match &step.action {
            Action::Put { guard, .. } if !guard.holds(stored.as_ref()) => return,
            Action::Put { value, content_type, expiry, .. } => {
                let kept = before.expires_at_ms.filter(|_| *expiry == Expiry::Keep);
                let (bytes, content_type) = (value.as_ref(), content_type.as_ref());
                (key, (Value { bytes, content_type, expires_at_ms: expiry.deadline(kept, now_ms) }, 0))
            }
            Action::Append { .. } | Action::SetRange { .. } | Action::SetBit { .. } => {
                let len = before.bytes.len();
                (key, (before, step.action.leaves(len).saturating_sub(len)))
            }
            Action::Add { by, ttl_ms } => {
                let number = stored.map_or(Some(0), |entry| number::integer(entry.value));
                let sum = number.and_then(|number| number.checked_add(*by));
                let fresh_until = ttl_ms.filter(|_| stored.is_none()).map(|ttl| now_ms.saturating_add(ttl));
                let value = Value { expires_at_ms: before.expires_at_ms.or(fresh_until), ..number_text };
                (key, (value, sum.map_or(0, |sum| sum.to_string().len())))
            }
            Action::AddFloat { by_bits } => {
                let sum = number::sum(stored.map_or(b"0", |entry| entry.value), f64::from_bits(*by_bits));
                (key, (number_text, sum.map_or(0, |sum| sum.len())))
            }
            Action::Rename { to, .. } if stored.is_some() => (to.as_ref(), (before, 0)),
            _ => return,
        };
        entries.need(needs.get_or_insert_default(), to, &value, more, self.writer.node);
    }
}
