//! Single bits of a value, and how many are set.

use super::plan::{Planned, one};
use crate::Action;
use crate::resp::form::Form;
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{DENYOOM, FAST, Group, KEY, READONLY, Run, Spec, WRITE};

/// Redis' limit, which is that of a value of 512 MiB.
const BITS_MAX: i64 = 1 << 32;

pub(super) static SPECS: &[Spec] = &[
    bits("setbit", 4, WRITE | DENYOOM, setbit)
        .about("2.2.0", "Sets or clears a bit and returns what it was."),
    bits("getbit", 3, READONLY | FAST, getbit).about("2.2.0", "A bit."),
    bits("bitcount", -2, READONLY, bitcount).about("2.6.0", "How many bits are set."),
];

const fn bits(
    name: &'static str,
    arity: i8,
    flags: u32,
    plan: for<'a> fn(&Request<'a>) -> Planned<'a>,
) -> Spec {
    Spec::new(name, arity, flags, Group::Bitmap, Run::Keys(plan)).keys(KEY)
}

/// Which bits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Span {
    /// All.
    All,
    /// From the first to the last, both included; negative ones count from the end.
    Bits(i64, i64),
}

impl Span {
    /// How many bits of `bytes` are set within.
    pub(in crate::resp) fn ones(self, bytes: &[u8]) -> i64 {
        let ones = |bytes: &[u8]| -> i64 { bytes.iter().map(|byte| i64::from(byte.count_ones())).sum() };
        let Span::Bits(first, last) = self else { return ones(bytes) };
        let Some((first, last)) = within(first, last, bytes.len() * 8) else { return 0 };
        let (head, tail) = (first / 8, last / 8);
        let before = bytes[head] & !(0xff >> (first % 8));
        let after = bytes[tail] & !(0xff << (7 - last % 8));
        ones(&bytes[head..=tail]) - ones(&[before, after])
    }
}

/// The bytes from the first to the last, as [`Action::GetRange`] counts them.
pub(super) fn part(bytes: &[u8], first: i64, last: i64) -> &[u8] {
    within(first, last, bytes.len()).map_or(b"", |(first, last)| &bytes[first..=last])
}

/// The places from the first to the last of `length` that a range means, if there is one.
fn within(first: i64, last: i64, length: usize) -> Option<(usize, usize)> {
    let length = i64::try_from(length).ok()?;
    let from_start = |place: i64| if place < 0 { place.saturating_add(length).max(0) } else { place };
    let (first, last) = if first < 0 && last < 0 && first > last {
        return None;
    } else {
        (from_start(first), from_start(last).min(length - 1))
    };
    if first > last { None } else { Some((usize::try_from(first).ok()?, usize::try_from(last).ok()?)) }
}

fn offset(text: &[u8]) -> Result<u64, Refusal> {
    let offset = number::integer(text).filter(|offset| (0..BITS_MAX).contains(offset));
    offset.map(i64::unsigned_abs).ok_or("ERR bit offset is not an integer or out of range".into())
}

fn setbit<'a>(request: &Request<'a>) -> Planned<'a> {
    let args = request.args();
    let offset = offset(args[1])?;
    let bit = match args[2] {
        b"0" => false,
        b"1" => true,
        _ => return Err("ERR bit is not an integer or out of range".into()),
    };
    one(args[0], Action::SetBit { offset, bit }, Form::Number)
}

fn getbit<'a>(request: &Request<'a>) -> Planned<'a> {
    let offset = offset(request.args()[1])?;
    let byte = i64::try_from(offset / 8).map_err(|_| Refusal::NOT_AN_INTEGER)?;
    one(request.args()[0], Action::GetRange { first: byte, last: byte }, Form::Bit((offset % 8) as u8))
}

fn bitcount<'a>(request: &Request<'a>) -> Planned<'a> {
    let (key, range) = (request.args()[0], &request.args()[1..]);
    let number = |place: usize| number::integer(range[place]).ok_or(Refusal::NOT_AN_INTEGER);
    let unit = match range {
        [] => return one(key, Action::Get, Form::Ones(Span::All)),
        [_, _] => &b"BYTE"[..],
        [_, _, unit] => unit,
        _ => return Err(Refusal::SYNTAX),
    };
    let (first, last) = (number(0)?, number(1)?);
    let in_bits = unit.eq_ignore_ascii_case(b"BIT");
    if !in_bits && !unit.eq_ignore_ascii_case(b"BYTE") {
        return Err(Refusal::SYNTAX);
    }
    if in_bits {
        return one(key, Action::Get, Form::Ones(Span::Bits(first, last)));
    }
    one(key, Action::GetRange { first, last }, Form::Ones(Span::All))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_between_two_places() {
        let bytes = b"foobar";
        assert_eq!(Span::All.ones(bytes), 26);
        for (first, last, ones) in [
            (0, -1, 26),
            (5, 30, 17),
            (1, 1, 1),
            (0, 0, 0),
            (-8, -1, 4),
            (40, 3, 0),
            (-1, -2, 0),
            (47, 100, 0),
            (48, 100, 0),
        ] {
            assert_eq!(Span::Bits(first, last).ones(bytes), ones, "{first} {last}");
        }
        assert_eq!(Span::Bits(0, -1).ones(b""), 0);
    }
}
