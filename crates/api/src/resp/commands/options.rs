//! Options of `SET`, `GETEX`, `EXPIRE` and its kin, and lifetimes: what goes with what, as in Redis.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::resp::number;
use crate::resp::step::Refusal;
use crate::{Condition, ExpireWhen, Expiry};

/// The longest lifetime that is counted from when it is applied; longer ones become a moment.
const AFTER_MS_MAX: i64 = 100 * 365 * 24 * 3600 * 1000;

/// What a number of a lifetime means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// A moment, not a time from now.
    moment: bool,
    /// Milliseconds, not seconds.
    millis: bool,
}

pub(super) const EX: Unit = Unit { moment: false, millis: false };
pub(super) const PX: Unit = Unit { moment: false, millis: true };
pub(super) const EXAT: Unit = Unit { moment: true, millis: false };
pub(super) const PXAT: Unit = Unit { moment: true, millis: true };

impl Unit {
    fn of(option: &[u8]) -> Option<Unit> {
        let units: [(&[u8], Unit); 4] = [(b"EX", EX), (b"PX", PX), (b"EXAT", EXAT), (b"PXAT", PXAT)];
        units.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(option)).map(|(_, unit)| unit)
    }

    /// A lifetime that must lie ahead, for the command of this name.
    pub(super) fn positive(self, number: &[u8], command: &str) -> Result<Expiry, Refusal> {
        let number = number::integer(number).ok_or(Refusal::NOT_AN_INTEGER)?;
        if number <= 0 { Err(invalid(command)) } else { self.expiry(number, command) }
    }

    /// A lifetime that may have passed, for the command of this name.
    pub(super) fn any(self, number: &[u8], command: &str) -> Result<Expiry, Refusal> {
        self.expiry(number::integer(number).ok_or(Refusal::NOT_AN_INTEGER)?, command)
    }

    fn expiry(self, number: i64, command: &str) -> Result<Expiry, Refusal> {
        let factor = if self.millis { 1 } else { 1000 };
        let millis = number.checked_mul(factor).ok_or_else(|| invalid(command))?;
        match millis {
            1..=AFTER_MS_MAX if !self.moment => {
                Ok(Expiry::After(Duration::from_millis(millis.unsigned_abs())))
            }
            ..=0 => Ok(Expiry::At(0)),
            _ if self.moment => Ok(Expiry::At(millis.unsigned_abs())),
            _ => {
                let moment = now_ms().checked_add(millis).ok_or_else(|| invalid(command))?;
                Ok(Expiry::At(moment.unsigned_abs()))
            }
        }
    }
}

fn invalid(command: &str) -> Refusal {
    format!("ERR invalid expire time in '{command}' command").into()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The options of `SET`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Set<'a> {
    pub(super) expiry: Expiry,
    pub(super) condition: Condition<'a>,
    pub(super) previous: bool,
}

impl<'a> Set<'a> {
    pub(super) fn parse(options: &[&'a [u8]]) -> Result<Set<'a>, Refusal> {
        let mut set = Set::default();
        let mut lifetime = Lifetime::default();
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match (lower(option).as_ref(), &set.condition) {
                (b"nx", Condition::Always | Condition::Absent) => set.condition = Condition::Absent,
                (b"xx", Condition::Always | Condition::Present) => set.condition = Condition::Present,
                (b"ifeq", Condition::Always) => {
                    set.condition = Condition::ValueIs(options.next().ok_or(Refusal::SYNTAX)?);
                }
                (b"get", _) => set.previous = true,
                (b"keepttl", _) => lifetime.choose(Lifetime::Word)?,
                _ => lifetime.choose_unit(option, options.next())?,
            }
        }
        set.expiry = match lifetime {
            Lifetime::Unset => Expiry::Never,
            Lifetime::Word => Expiry::Keep,
            Lifetime::Until(unit, number) => unit.positive(number, "set")?,
        };
        Ok(set)
    }
}

/// The options of `GETEX`; `None`: nothing changes.
pub(super) fn getex(options: &[&[u8]]) -> Result<Option<Expiry>, Refusal> {
    let mut lifetime = Lifetime::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"PERSIST") {
            lifetime.choose(Lifetime::Word)?;
        } else {
            lifetime.choose_unit(option, options.next())?;
        }
    }
    match lifetime {
        Lifetime::Unset => Ok(None),
        Lifetime::Word => Ok(Some(Expiry::Never)),
        Lifetime::Until(unit, number) => unit.positive(number, "getex").map(Some),
    }
}

/// Which option about the lifetime was given: at most one kind, though that one again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lifetime<'a> {
    #[default]
    Unset,
    /// `KEEPTTL` or `PERSIST`.
    Word,
    Until(Unit, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    fn choose(&mut self, chosen: Lifetime<'a>) -> Result<(), Refusal> {
        let agrees = match (*self, chosen) {
            (Lifetime::Unset, _) | (Lifetime::Word, Lifetime::Word) => true,
            (Lifetime::Until(before, _), Lifetime::Until(unit, _)) => before == unit,
            _ => false,
        };
        *self = chosen;
        agrees.then_some(()).ok_or(Refusal::SYNTAX)
    }

    fn choose_unit(&mut self, option: &[u8], number: Option<&&'a [u8]>) -> Result<(), Refusal> {
        let unit = Unit::of(option).ok_or(Refusal::SYNTAX)?;
        self.choose(Lifetime::Until(unit, number.ok_or(Refusal::SYNTAX)?))
    }
}

/// The options of `EXPIRE` and its kin.
pub(super) fn expire(options: &[&[u8]]) -> Result<ExpireWhen, Refusal> {
    let [mut nx, mut xx, mut gt, mut lt] = [false; 4];
    for option in options {
        match lower(option).as_ref() {
            b"nx" => nx = true,
            b"xx" => xx = true,
            b"gt" => gt = true,
            b"lt" => lt = true,
            _ => return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(option)).into()),
        }
    }
    match (nx, xx, gt, lt) {
        (true, true, _, _) | (true, _, true, _) | (true, _, _, true) => {
            Err("ERR NX and XX, GT or LT options at the same time are not compatible".into())
        }
        (_, _, true, true) => Err("ERR GT and LT options at the same time are not compatible".into()),
        (true, ..) => Ok(ExpireWhen::NoExpiry),
        (_, _, true, _) => Ok(ExpireWhen::Later),
        (_, true, _, true) => Ok(ExpireWhen::OnlySooner),
        (_, _, _, true) => Ok(ExpireWhen::Sooner),
        (_, true, ..) => Ok(ExpireWhen::HasExpiry),
        _ => Ok(ExpireWhen::Always),
    }
}

/// The first bytes of an option in lower case: enough to tell all of them apart, none of which is longer.
struct Lower([u8; 8], usize);

fn lower(option: &[u8]) -> Lower {
    let mut bytes = [0; 8];
    let length = option.len().min(bytes.len());
    bytes[..length].copy_from_slice(&option[..length]);
    bytes.make_ascii_lowercase();
    Lower(bytes, length)
}

impl AsRef<[u8]> for Lower {
    fn as_ref(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&[u8]> {
        text.split_whitespace().map(str::as_bytes).collect()
    }

    #[test]
    fn the_options_of_set_agree_or_are_refused() {
        let set = |text| Set::parse(&words(text));
        let after = |seconds| Expiry::After(Duration::from_secs(seconds));
        assert_eq!(set(""), Ok(Set::default()));
        assert_eq!(set("ex 10 eX 20").unwrap().expiry, after(20));
        assert_eq!(set("PX 1500").unwrap().expiry, Expiry::After(Duration::from_millis(1500)));
        assert_eq!(set("EXAT 5").unwrap().expiry, Expiry::At(5000));
        assert_eq!(set("PXAT 5").unwrap().expiry, Expiry::At(5));
        let all = Set { expiry: Expiry::Keep, condition: Condition::Absent, previous: true };
        assert_eq!(set("nx GET KEEPTTL nx"), Ok(all));
        assert_eq!(set("IFEQ old").unwrap().condition, Condition::ValueIs(b"old"));
        for wrong in [
            "NX XX",
            "XX NX",
            "IFEQ a NX",
            "NX IFEQ a",
            "IFEQ",
            "EX",
            "EX 1 PX 1",
            "KEEPTTL EX 1",
            "EX 1 KEEPTTL",
            "foo",
            "PERSIST",
            "keepttlx",
        ] {
            assert_eq!(set(wrong), Err(Refusal::SYNTAX), "{wrong}");
        }
        assert_eq!(set("EX x"), Err(Refusal::NOT_AN_INTEGER));
        for wrong in
            ["EX 0", "EX -1", "EX 9223372036854775807", "PX 9223372036854775807", "EXAT 9223372036854775"]
        {
            let refused = set(wrong).map(|set| set.expiry);
            let expected = Err("ERR invalid expire time in 'set' command".into());
            if wrong == "EXAT 9223372036854775" {
                assert_eq!(refused, Ok(Expiry::At(9_223_372_036_854_775_000)), "fits");
            } else {
                assert_eq!(refused, expected, "{wrong}");
            }
        }
    }

    #[test]
    fn a_lifetime_of_centuries_becomes_a_moment() {
        assert!(
            matches!(PX.any(b"9000000000000", "expire"), Ok(Expiry::At(moment)) if moment > 9_000_000_000_000)
        );
        assert_eq!(EX.any(b"-5", "expire"), Ok(Expiry::At(0)));
        assert_eq!(EXAT.any(b"0", "expireat"), Ok(Expiry::At(0)));
    }

    #[test]
    fn getex_takes_one_kind_of_lifetime() {
        assert_eq!(getex(&words("")), Ok(None));
        assert_eq!(getex(&words("persist")), Ok(Some(Expiry::Never)));
        for wrong in ["KEEPTTL", "PERSIST EX 1", "EX 1 PERSIST", "NX", "GET", "EX"] {
            assert_eq!(getex(&words(wrong)), Err(Refusal::SYNTAX), "{wrong}");
        }
    }

    #[test]
    fn the_options_of_expire_agree_or_are_refused() {
        for (text, when) in [
            ("", ExpireWhen::Always),
            ("nx", ExpireWhen::NoExpiry),
            ("XX", ExpireWhen::HasExpiry),
            ("GT", ExpireWhen::Later),
            ("XX GT", ExpireWhen::Later),
            ("lt", ExpireWhen::Sooner),
            ("LT XX LT", ExpireWhen::OnlySooner),
        ] {
            assert_eq!(expire(&words(text)), Ok(when), "{text}");
        }
        for wrong in ["NX XX", "NX GT", "LT NX", "GT LT", "foo"] {
            assert!(expire(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
