//! Keys as such: whether they are there, how they are stored, other names for them.

use super::Context;
use super::plan::{Planned, each, one};
use crate::Action;
use crate::resp::form::{ENCODING_BYTES, Form, Join};
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{
    DENYOOM, FAST, Group, KEY, READONLY, Run, SECOND_KEY, Spec, TWO_KEYS, WRITE, Writes,
};

pub(super) static SPECS: &[Spec] = &[
    keys("del", -2, WRITE, del).writes(Writes::Delete).about("1.0.0", "Removes keys."),
    keys("unlink", -2, WRITE | FAST, del)
        .writes(Writes::Delete)
        .about("4.0.0", "Removes keys; the same as DEL."),
    keys("exists", -2, READONLY | FAST, exists)
        .reads(Join::Count)
        .about("1.0.0", "How many keys have a value."),
    keys("touch", -2, READONLY | FAST, exists)
        .reads(Join::Count)
        .about("3.2.1", "How many keys have a value."),
    keys("type", 2, READONLY | FAST, kind).about("1.0.0", "The type of a value: a string or none."),
    keys("rename", 3, WRITE, rename).keys(TWO_KEYS).about("1.0.0", "Moves a value to another key."),
    keys("renamenx", 3, WRITE | FAST, renamenx)
        .keys(TWO_KEYS)
        .about("1.0.0", "Moves a value to another key that has none."),
    keys("copy", -3, WRITE | DENYOOM, copy).keys(TWO_KEYS).about("6.2.0", "Copies a value to another key."),
    Spec::new("object", -2, 0, Group::Generic, Run::Container)
        .about("2.2.3", "How a value is stored.")
        .with(&OBJECT),
];

static OBJECT: [Spec; 3] = [
    keys("object|encoding", 3, READONLY, encoding)
        .keys(SECOND_KEY)
        .about("2.2.3", "How a Redis server would store such a string."),
    keys("object|refcount", 3, READONLY, refcount).keys(SECOND_KEY).about("2.2.3", "Always 1."),
    Spec::at_once("object|help", 2, 0, Group::Generic, help).about("6.2.0", "Tells the subcommands."),
];

const fn keys(
    name: &'static str,
    arity: i8,
    flags: u32,
    plan: for<'a> fn(&Request<'a>) -> Planned<'a>,
) -> Spec {
    Spec::new(name, arity, flags, Group::Generic, Run::Keys(plan)).keys(KEY)
}

fn del<'a>(request: &Request<'a>) -> Planned<'a> {
    each(request.args(), &Action::delete(), Form::Flag, Join::Count)
}

fn exists<'a>(request: &Request<'a>) -> Planned<'a> {
    each(request.args(), &Action::Head, Form::Flag, Join::Count)
}

fn kind<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[0], Action::Head, Form::Kind)
}

fn rename<'a>(request: &Request<'a>) -> Planned<'a> {
    let action = Action::Rename { to: request.args()[1], replace: true, keep: false };
    one(request.args()[0], action, Form::Renamed)
}

fn renamenx<'a>(request: &Request<'a>) -> Planned<'a> {
    let action = Action::Rename { to: request.args()[1], replace: false, keep: false };
    one(request.args()[0], action, Form::RenamedFlag)
}

fn copy<'a>(request: &Request<'a>) -> Planned<'a> {
    let (from, to) = (request.args()[0], request.args()[1]);
    let mut replace = false;
    let mut options = request.args()[2..].iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"DB") {
            check_database(options.next().ok_or(Refusal::SYNTAX)?)?;
        } else {
            return Err(Refusal::SYNTAX);
        }
    }
    if from == to {
        return Err("ERR source and destination objects are the same".into());
    }
    one(from, Action::Rename { to, replace, keep: true }, Form::Flag)
}

/// There is database 0 and no other.
pub(super) fn check_database(number: &[u8]) -> Result<(), Refusal> {
    match number::integer(number) {
        Some(0) => Ok(()),
        Some(number) if i32::try_from(number).is_err() => {
            Err("ERR value is out of range, value must between -2147483648 and 2147483647".into())
        }
        Some(_) => Err("ERR DB index is out of range".into()),
        None => Err(Refusal::NOT_AN_INTEGER),
    }
}

fn encoding<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[1], Action::GetRange { first: 0, last: ENCODING_BYTES - 1 }, Form::Encoding)
}

fn refcount<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[1], Action::Head, Form::References)
}

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    super::server::help("object", context.out);
    Ok(())
}
