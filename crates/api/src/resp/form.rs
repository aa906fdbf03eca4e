//! How outcomes become replies.

use std::borrow::Cow;
use std::time::Duration;

use super::commands::bits;
use super::replies::Replies;
use crate::{Failure, Outcome, Reply};

/// What a command's reply is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The value or null.
    Value,
    /// The value or null, as the only element of an array.
    ValueInArray,
    /// The value or an empty one.
    Part,
    /// OK, or null where the condition did not hold.
    Stored,
    /// 1 if there is or was a value or something was changed, else 0; a `Put`: 1 if it was applied.
    Flag,
    /// The value that was there, or null.
    Previous,
    /// A whole number.
    Number,
    /// A number with a fraction.
    Float,
    /// Length of the value, 0 without one.
    Length,
    /// A bit of the one byte that was read: which, from the most significant.
    Bit(u8),
    /// How many bits are set in what was read.
    Ones(bits::Span),
    /// A time.
    Time(Time),
    /// OK, or an error without a value.
    Renamed,
    /// 1 or 0, or an error without a value.
    RenamedFlag,
    /// `string` or `none`.
    Kind,
    /// Redis' name for how it would store the beginning that was read.
    Encoding,
    /// 1 or null.
    References,
    /// Bytes of memory; holds the key's length.
    Memory(usize),
    /// Nothing is written.
    Silent,
}

/// Which time is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// The moment, not what is left until then.
    pub(super) moment: bool,
    /// In milliseconds, not seconds.
    pub(super) millis: bool,
}

/// How the answers of a command on several keys become one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// An array of values.
    Values,
    /// How many keys had a value.
    Count,
    /// OK.
    Ok,
    /// 1.
    One,
    /// Nothing is written.
    Silent,
}

/// Bytes of a value that are read to tell its encoding: more than the longest that Redis embeds.
pub(super) const ENCODING_BYTES: i64 = 45;

/// About what a small entry takes beyond its key and value: `used_memory` of 200 000 of them.
const ENTRY_OVERHEAD_BYTES: usize = 22;

/// What no command makes of its outcome; only a holder of another version could answer so.
pub(super) const UNFITTING: &str = "ERR the holder's answer does not fit the command";

/// Several values of one step are more than an answer between nodes takes.
const TOGETHER_TOO_LARGE: &str = "ERR the values are too large together: ask for fewer keys at once";

impl Form {
    /// Writes the reply.
    pub(super) fn write(self, result: Result<Reply, Failure>, out: &mut Replies) {
        self.write_outcome(result.map(|reply| reply.outcome), out);
    }

    /// Writes the reply.
    pub(super) fn write_outcome(self, result: Result<Outcome, Failure>, out: &mut Replies) {
        if self == Form::Silent {
            return;
        }
        match result {
            Ok(Outcome::Overflow) if self == Form::Float => {
                out.error("ERR increment would produce NaN or Infinity");
            }
            Ok(outcome) => match refused(&outcome) {
                Some(error) => out.error(error),
                None => self.success(&outcome, out),
            },
            Err(Failure::TooLarge { .. }) if self.brings_value() => out.error(TOGETHER_TOO_LARGE),
            Err(failure) => fail(&failure, out),
        }
    }

    /// Whether the reply is a value that is stored already; that can be too large only together with others.
    fn brings_value(self) -> bool {
        matches!(
            self,
            Form::Value | Form::ValueInArray | Form::Part | Form::Bit(_) | Form::Ones(_) | Form::Encoding
        )
    }

    /// Writes the reply about a value that is there, or not.
    pub(super) fn write_value(self, value: Option<&[u8]>, out: &mut Replies) {
        let bytes = value.unwrap_or_default();
        match self {
            Form::Value | Form::Encoding if value.is_none() => out.null(),
            Form::Value | Form::Part => out.bulk(bytes),
            Form::ValueInArray => {
                out.array(1);
                Form::Value.write_value(value, out);
            }
            Form::Bit(bit) => {
                let byte = bytes.first().copied().unwrap_or(0);
                out.integer(i64::from(byte >> (7 - bit) & 1));
            }
            Form::Ones(span) => out.integer(span.ones(bytes)),
            Form::Encoding => out.bulk(encoding(bytes)),
            _ => out.error(UNFITTING),
        }
    }

    fn success(self, outcome: &Outcome, out: &mut Replies) {
        match (self, outcome) {
            (form, Outcome::Value { value, .. }) if form.brings_value() => form.write_value(Some(value), out),
            (form, Outcome::Missing) if form.brings_value() => form.write_value(None, out),
            (Form::References | Form::Memory(_), Outcome::Missing) => out.null(),
            (Form::Stored, _) => match flag(outcome) {
                Some(1) => out.ok(),
                _ => out.null(),
            },
            (Form::Previous, _) => previous(outcome, out),
            (Form::Number, Outcome::Integer { value, .. }) => out.integer(*value),
            (Form::Float, Outcome::Float { value, .. }) => out.bulk(value.to_string().as_bytes()),
            (Form::Number, Outcome::Length(length)) | (Form::Length, Outcome::Found { length, .. }) => {
                out.integer(integer(*length));
            }
            (Form::Length, _) => out.integer(0),
            (Form::Time(time), _) => out.integer(time.of(outcome)),
            (Form::Renamed | Form::RenamedFlag, Outcome::Missing) => {
                out.error("ERR no such key");
            }
            (Form::Renamed, _) => out.ok(),
            (Form::Kind, Outcome::Missing) => out.simple("none"),
            (Form::Kind, _) => out.simple("string"),
            (Form::References, _) => out.integer(1),
            (Form::Memory(key), Outcome::Found { length, .. }) => {
                out.integer(integer(*length + (key + ENTRY_OVERHEAD_BYTES) as u64));
            }
            _ => match flag(outcome) {
                Some(flag) => out.integer(flag),
                None => out.error(UNFITTING),
            },
        }
    }
}

impl Join {
    /// Writes the reply: the first error, if there is one.
    pub(super) fn write(self, results: Vec<Result<Reply, Failure>>, out: &mut Replies) {
        self.write_outcomes(results.into_iter().map(|result| result.map(|reply| reply.outcome)), out);
    }

    /// Writes the reply: the first error, if there is one.
    pub(super) fn write_outcomes(
        self,
        results: impl Iterator<Item = Result<Outcome, Failure>>,
        out: &mut Replies,
    ) {
        if self == Join::Silent {
            return;
        }
        let outcomes: Result<Vec<Outcome>, Failure> = results.collect();
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(Failure::TooLarge { .. }) if self == Join::Values => return out.error(TOGETHER_TOO_LARGE),
            Err(failure) => return fail(&failure, out),
        };
        if let Some(error) = outcomes.iter().find_map(refused) {
            return out.error(error);
        }
        match self {
            Join::Values => {
                out.array(outcomes.len());
                for outcome in &outcomes {
                    Form::Value.success(outcome, out);
                }
            }
            Join::Count => out.integer(outcomes.iter().filter_map(flag).sum()),
            Join::Ok => out.ok(),
            Join::One => out.integer(1),
            Join::Silent => {}
        }
    }
}

/// Answers by the error for a failure.
pub(super) fn fail(failure: &Failure, out: &mut Replies) {
    out.error(&error(failure));
}

/// The text of the error for a failure.
pub(super) fn error(failure: &Failure) -> Cow<'static, str> {
    match failure {
        Failure::Unavailable { reason, .. } => format!("TRYAGAIN {reason}").into(),
        Failure::OutcomeUnknown => {
            "UNKNOWN the holder did not answer in time: the operation may have been applied".into()
        }
        Failure::TooLarge { limit } => {
            format!("ERR string exceeds maximum allowed size ({limit} bytes)").into()
        }
        Failure::StepTooLarge { .. } => format!("ERR {failure}").into(),
        Failure::CrossSlot => "CROSSSLOT Keys in request don't hash to the same slot".into(),
        Failure::BadCursor => "ERR invalid cursor".into(),
    }
}

/// The text of the error, if the outcome is one.
pub(super) fn refused(outcome: &Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Full => "OOM command not allowed when used memory > 'maxmemory'.",
        Outcome::NotAnInteger => "ERR value is not an integer or out of range",
        Outcome::NotAFloat => "ERR value is not a valid float",
        Outcome::Overflow => "ERR increment or decrement would overflow",
        _ => return None,
    })
}

/// 1 if there was a value or something was done, else 0.
fn flag(outcome: &Outcome) -> Option<i64> {
    Some(match outcome {
        Outcome::Created(_)
        | Outcome::Replaced { .. }
        | Outcome::Deleted { .. }
        | Outcome::Found { .. }
        | Outcome::Value { .. }
        | Outcome::Changed(true) => 1,
        Outcome::Missing | Outcome::Refused { .. } | Outcome::Changed(false) => 0,
        _ => return None,
    })
}

fn previous(outcome: &Outcome, out: &mut Replies) {
    match outcome {
        Outcome::Replaced { previous: Some(value), .. }
        | Outcome::Deleted { previous: Some(value), .. }
        | Outcome::Refused { previous: Some(value), .. } => out.bulk(value),
        _ => out.null(),
    }
}

impl Time {
    /// -2 without a value, -1 without a lifetime.
    fn of(self, outcome: &Outcome) -> i64 {
        let Outcome::Found { expires_at_ms, ttl_left, .. } = outcome else { return -2 };
        let (Some(moment), Some(left)) = (expires_at_ms, ttl_left) else { return -1 };
        let millis = if self.moment { integer(*moment) } else { millis(*left) };
        if self.millis { millis } else { millis.saturating_add(500) / 1000 }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As a Redis server would store such a string when it is set.
fn encoding(beginning: &[u8]) -> &'static [u8] {
    match beginning.len() {
        0..=20 if super::number::integer(beginning).is_some() => b"int",
        0..=44 => b"embstr",
        _ => b"raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(write: impl FnOnce(Result<Outcome, Failure>, &mut Replies)) -> String {
        let mut out = Replies::new(1000);
        write(Err(Failure::TooLarge { limit: 8 }), &mut out);
        String::from_utf8(out.waiting().to_vec()).unwrap()
    }

    #[test]
    fn values_that_are_stored_are_too_large_only_together() {
        let written = "-ERR string exceeds maximum allowed size (8 bytes)\r\n";
        assert_eq!(told(|result, out| Form::Stored.write_outcome(result, out)), written);
        let read = format!("-{TOGETHER_TOO_LARGE}\r\n");
        assert_eq!(told(|result, out| Form::Value.write_outcome(result, out)), read);
        assert_eq!(told(|result, out| Join::Values.write_outcomes([result].into_iter(), out)), read);
    }
}
