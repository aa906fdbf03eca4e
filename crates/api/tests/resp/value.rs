//! What the actions do with a map of values: the meaning of the vocabulary, without slots, locks and other nodes.

use std::time::Duration;

use boato_api::{Action, Command, Condition, ExpireWhen, Expiry, Failure, Outcome, Version};
use bytes::Bytes;

use crate::map::{VALUE_BYTES_MAX, Values, now_ms, slot};

#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) expires_at_ms: Option<u64>,
}

impl Value {
    pub(crate) fn ttl_left(&self) -> Option<Duration> {
        self.expires_at_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms())))
    }

    fn shown(&self, bytes: &[u8]) -> Outcome {
        Outcome::Value {
            value: Bytes::copy_from_slice(bytes),
            content_type: Bytes::new(),
            version: self.version,
            ttl_left: self.ttl_left(),
        }
    }

    fn previous(&self, asked: bool) -> Option<Bytes> {
        asked.then(|| Bytes::copy_from_slice(&self.bytes))
    }
}

/// Applies a command; what it changes gets this version.
pub(crate) fn apply(
    values: &mut Values,
    command: &Command<'_>,
    version: Version,
) -> Result<Outcome, Failure> {
    let key = command.key;
    let current = values.get(key).cloned();
    Ok(match &command.action {
        Action::Get => current.map_or(Outcome::Missing, |value| value.shown(&value.bytes)),
        Action::GetRange { first, last } => {
            current.map_or(Outcome::Missing, |value| value.shown(range(&value.bytes, *first, *last)))
        }
        Action::Head => current.map_or(Outcome::Missing, |value| Outcome::Found {
            length: value.bytes.len() as u64,
            version: value.version,
            expires_at_ms: value.expires_at_ms,
            ttl_left: value.ttl_left(),
        }),
        Action::Put { value, expiry, condition, previous, .. } => {
            if value.len() as u64 > VALUE_BYTES_MAX {
                return Err(Failure::TooLarge { limit: VALUE_BYTES_MAX });
            }
            let before = current.as_ref().and_then(|value| value.previous(*previous));
            if !holds(condition, current.as_ref()) {
                return Ok(Outcome::Refused {
                    version: current.map(|value| value.version),
                    previous: before,
                });
            }
            let expires_at_ms = until(*expiry, current.as_ref());
            values.insert(key.to_vec(), Value { bytes: value.to_vec(), version, expires_at_ms });
            match current {
                Some(_) => Outcome::Replaced { version, previous: before },
                None => Outcome::Created(version),
            }
        }
        Action::Delete { condition, previous } => match current {
            Some(value) if holds(condition, Some(&value)) => {
                values.remove(key);
                Outcome::Deleted { version, previous: value.previous(*previous) }
            }
            Some(value) => {
                Outcome::Refused { version: Some(value.version), previous: value.previous(*previous) }
            }
            None if holds(condition, None) => Outcome::Missing,
            None => Outcome::Refused { version: None, previous: None },
        },
        Action::Expire { expiry, when, value } => match current {
            None => Outcome::Missing,
            Some(old) => {
                let changed = expire(values, key, &old, *expiry, *when, version);
                if *value { old.shown(&old.bytes) } else { Outcome::Changed(changed) }
            }
        },
        Action::Add { by, ttl } => add(values, key, *by, *ttl, version),
        Action::AddFloat { by } => add_float(values, key, *by, version),
        Action::Append { bytes } => {
            let length = current.as_ref().map_or(0, |value| value.bytes.len());
            return write(values, key, length as u64, bytes, version);
        }
        Action::SetRange { offset, bytes } => {
            if bytes.is_empty() {
                return Ok(Outcome::Length(current.map_or(0, |value| value.bytes.len() as u64)));
            }
            return write(values, key, *offset, bytes, version);
        }
        Action::SetBit { offset, bit } => {
            let place = usize::try_from(offset / 8).unwrap();
            let mask = 0x80 >> (offset % 8);
            let before = current.and_then(|value| value.bytes.get(place).copied()).unwrap_or(0);
            let after = if *bit { before | mask } else { before & !mask };
            write(values, key, offset / 8, &[after], version)?;
            Outcome::Integer { value: i64::from(before & mask != 0), version }
        }
        Action::Rename { to, replace, keep } => {
            if slot(key) != slot(to) {
                return Err(Failure::CrossSlot);
            }
            let Some(value) = current else { return Ok(Outcome::Missing) };
            if values.contains_key(*to) && !replace {
                return Ok(Outcome::Changed(false));
            }
            if !keep {
                values.remove(key);
            }
            values.insert(to.to_vec(), Value { version, ..value });
            Outcome::Changed(true)
        }
    })
}

fn add(values: &mut Values, key: &[u8], by: i64, ttl: Option<Duration>, version: Version) -> Outcome {
    let current = values.get(key);
    let expires_at_ms = match (current, ttl) {
        (None, Some(ttl)) => until(Expiry::After(ttl), None),
        (current, _) => until(Expiry::Keep, current),
    };
    let before = current.map_or(Some(0), |value| whole(&value.bytes));
    let Some(before) = before else { return Outcome::NotAnInteger };
    let Some(sum) = before.checked_add(by) else { return Outcome::Overflow };
    values.insert(key.to_vec(), Value { bytes: sum.to_string().into_bytes(), version, expires_at_ms });
    Outcome::Integer { value: sum, version }
}

fn add_float(values: &mut Values, key: &[u8], by: f64, version: Version) -> Outcome {
    let current = values.get(key);
    let expires_at_ms = until(Expiry::Keep, current);
    let before = current.map_or(Some(0.0), |value| real(&value.bytes));
    let Some(before) = before else { return Outcome::NotAFloat };
    let sum = before + by;
    if !sum.is_finite() {
        return Outcome::Overflow;
    }
    let digits = decimals(before).max(decimals(by));
    let sum: f64 = format!("{sum:.digits$}").parse().unwrap();
    values.insert(key.to_vec(), Value { bytes: sum.to_string().into_bytes(), version, expires_at_ms });
    Outcome::Float { value: sum, version }
}

fn holds(condition: &Condition<'_>, current: Option<&Value>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => current.is_none(),
        Condition::Present => current.is_some(),
        Condition::ValueIs(bytes) => current.is_some_and(|value| value.bytes == *bytes),
        Condition::Is(_) | Condition::IsNot(_) => panic!("Redis' clients know no versions"),
    }
}

fn until(expiry: Expiry, current: Option<&Value>) -> Option<u64> {
    match expiry {
        Expiry::Never => None,
        Expiry::Keep => current.and_then(|value| value.expires_at_ms),
        Expiry::After(ttl) => Some(now_ms() + u64::try_from(ttl.as_millis()).unwrap()),
        Expiry::At(at) => Some(at),
    }
}

fn expire(
    values: &mut Values,
    key: &[u8],
    old: &Value,
    expiry: Expiry,
    when: ExpireWhen,
    version: Version,
) -> bool {
    let new = until(expiry, Some(old));
    let (was, will) = (old.expires_at_ms.unwrap_or(u64::MAX), new.unwrap_or(u64::MAX));
    let applies = match when {
        ExpireWhen::Always => old.expires_at_ms != new || expiry != Expiry::Never,
        ExpireWhen::NoExpiry => old.expires_at_ms.is_none(),
        ExpireWhen::HasExpiry => old.expires_at_ms.is_some(),
        ExpireWhen::Later => will > was,
        ExpireWhen::Sooner => will < was,
        ExpireWhen::OnlySooner => old.expires_at_ms.is_some() && will < was,
    };
    if applies {
        values.insert(key.to_vec(), Value { version, expires_at_ms: new, ..old.clone() });
    }
    applies
}

fn range(bytes: &[u8], first: i64, last: i64) -> &[u8] {
    let length = i64::try_from(bytes.len()).unwrap();
    let place = |place: i64| if place < 0 { place.saturating_add(length).max(0) } else { place };
    if first < 0 && last < 0 && first > last {
        return b"";
    }
    let (first, last) = (place(first), place(last).min(length - 1));
    if first > last { b"" } else { &bytes[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()] }
}

fn write(
    values: &mut Values,
    key: &[u8],
    offset: u64,
    bytes: &[u8],
    version: Version,
) -> Result<Outcome, Failure> {
    let end = offset.saturating_add(bytes.len() as u64);
    if end > VALUE_BYTES_MAX {
        return Err(Failure::TooLarge { limit: VALUE_BYTES_MAX });
    }
    let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(end).unwrap());
    let value =
        values.entry(key.to_vec()).or_insert(Value { bytes: Vec::new(), version, expires_at_ms: None });
    value.version = version;
    value.bytes.resize(value.bytes.len().max(end), 0);
    value.bytes[start..end].copy_from_slice(bytes);
    Ok(Outcome::Length(value.bytes.len() as u64))
}

/// A number that prints as it is written.
fn whole(bytes: &[u8]) -> Option<i64> {
    let text = str::from_utf8(bytes).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

fn real(bytes: &[u8]) -> Option<f64> {
    str::from_utf8(bytes).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn decimals(number: f64) -> usize {
    number.to_string().split_once('.').map_or(0, |(_, fraction)| fraction.len())
}
