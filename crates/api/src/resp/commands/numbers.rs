//! Counters.

use super::plan::{Planned, one};
use crate::Action;
use crate::resp::form::Form;
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{DENYOOM, FAST, Group, KEY, Run, Spec, WRITE};

pub(super) static SPECS: &[Spec] = &[
    counter("incr", 2, incr).about("1.0.0", "Adds one."),
    counter("decr", 2, decr).about("1.0.0", "Takes one away."),
    counter("incrby", 3, incrby).about("1.0.0", "Adds a whole number."),
    counter("decrby", 3, decrby).about("1.0.0", "Takes a whole number away."),
    counter("incrbyfloat", 3, incrbyfloat).about("2.6.0", "Adds a number with a fraction."),
];

const fn counter(name: &'static str, arity: i8, plan: for<'a> fn(&Request<'a>) -> Planned<'a>) -> Spec {
    Spec::new(name, arity, WRITE | DENYOOM | FAST, Group::String, Run::Keys(plan)).keys(KEY)
}

fn incr<'a>(request: &Request<'a>) -> Planned<'a> {
    add(request, 1)
}

fn decr<'a>(request: &Request<'a>) -> Planned<'a> {
    add(request, -1)
}

fn incrby<'a>(request: &Request<'a>) -> Planned<'a> {
    add(request, operand(request)?)
}

fn decrby<'a>(request: &Request<'a>) -> Planned<'a> {
    let by = operand(request)?.checked_neg();
    add(request, by.ok_or("ERR decrement would overflow")?)
}

fn operand(request: &Request<'_>) -> Result<i64, Refusal> {
    number::integer(request.args()[1]).ok_or(Refusal::NOT_AN_INTEGER)
}

fn add<'a>(request: &Request<'a>, by: i64) -> Planned<'a> {
    one(request.args()[0], Action::Add { by, ttl: None }, Form::Number)
}

fn incrbyfloat<'a>(request: &Request<'a>) -> Planned<'a> {
    let by = number::float(request.args()[1]).ok_or(Refusal::NOT_A_FLOAT)?;
    if by.is_infinite() {
        return Err("ERR increment would produce NaN or Infinity".into());
    }
    one(request.args()[0], Action::AddFloat { by }, Form::Float)
}
