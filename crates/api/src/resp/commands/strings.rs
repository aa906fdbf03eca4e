//! Strings as a whole and in part.

use super::options::{self, EX, PX, Unit};
use super::plan::{Plan, Planned, command, each, one};
use crate::resp::form::{Form, Join};
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{DENYOOM, FAST, Group, KEY, NO_MULTI, PAIRS, READONLY, Run, Spec, WRITE, Writes};
use crate::{Action, Command, Condition, ExpireWhen, Expiry};

const STORE: u32 = WRITE | DENYOOM;

pub(super) static SPECS: &[Spec] = &[
    string("get", 2, READONLY | FAST, get).about("1.0.0", "The value of a key."),
    string("set", -3, STORE, set).about("1.0.0", "Stores a value."),
    string("setnx", 3, STORE | FAST, setnx).about("1.0.0", "Stores a value if there is none."),
    string("setex", 4, STORE, setex).about("2.0.0", "Stores a value for some seconds."),
    string("psetex", 4, STORE, psetex).about("2.6.0", "Stores a value for some milliseconds."),
    string("getset", 3, STORE | FAST, getset).about("1.0.0", "Stores a value and returns the one before."),
    string("getdel", 2, WRITE | FAST, getdel).about("6.2.0", "Returns a value and removes it."),
    string("getex", -2, WRITE | FAST, getex).about("6.2.0", "Returns a value and changes its lifetime."),
    string("mget", -2, READONLY | FAST, mget).reads(Join::Values).about("1.0.0", "The values of some keys."),
    string("mset", -3, STORE, mset).writes(Writes::Put).about("1.0.1", "Stores the values of some keys."),
    string("msetnx", -3, STORE | NO_MULTI, msetnx)
        .keys(PAIRS)
        .about("1.0.1", "Stores the values of some keys if none of them has one."),
    string("append", 3, STORE | FAST, append).about("2.0.0", "Puts bytes behind a value."),
    string("strlen", 2, READONLY | FAST, strlen).about("2.2.0", "The length of a value."),
    string("setrange", 4, STORE, setrange).about("2.2.0", "Overwrites a part of a value."),
    string("getrange", 4, READONLY, getrange).about("2.4.0", "A part of a value."),
    string("substr", 4, READONLY, getrange).about("1.0.0", "A part of a value; the old name of GETRANGE."),
];

const fn string(
    name: &'static str,
    arity: i8,
    flags: u32,
    plan: for<'a> fn(&Request<'a>) -> Planned<'a>,
) -> Spec {
    Spec::new(name, arity, flags, Group::String, Run::Keys(plan)).keys(KEY)
}

fn get<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[0], Action::Get, Form::Value)
}

fn set<'a>(request: &Request<'a>) -> Planned<'a> {
    let args = request.args();
    let options::Set { expiry, condition, previous } = match &args[2..] {
        [] => options::Set::default(),
        options => options::Set::parse(options)?,
    };
    let form = if previous { Form::Previous } else { Form::Stored };
    one(args[0], Action::Put { value: args[1], content_type: b"", expiry, condition, previous }, form)
}

fn setnx<'a>(request: &Request<'a>) -> Planned<'a> {
    let (condition, expiry) = (Condition::Absent, Expiry::Never);
    let value = request.args()[1];
    let action = Action::Put { value, content_type: b"", expiry, condition, previous: false };
    one(request.args()[0], action, Form::Flag)
}

fn setex<'a>(request: &Request<'a>) -> Planned<'a> {
    lasting(request, EX, "setex")
}

fn psetex<'a>(request: &Request<'a>) -> Planned<'a> {
    lasting(request, PX, "psetex")
}

fn lasting<'a>(request: &Request<'a>, unit: Unit, name: &str) -> Planned<'a> {
    let value = request.args()[2];
    let (condition, expiry) = (Condition::Always, unit.positive(request.args()[1], name)?);
    let action = Action::Put { value, content_type: b"", expiry, condition, previous: false };
    one(request.args()[0], action, Form::Stored)
}

fn getset<'a>(request: &Request<'a>) -> Planned<'a> {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    let value = request.args()[1];
    let action = Action::Put { value, content_type: b"", expiry, condition, previous: true };
    one(request.args()[0], action, Form::Previous)
}

fn getdel<'a>(request: &Request<'a>) -> Planned<'a> {
    let action = Action::Delete { condition: Condition::Always, previous: true };
    one(request.args()[0], action, Form::Previous)
}

fn getex<'a>(request: &Request<'a>) -> Planned<'a> {
    let action = match options::getex(&request.args()[1..])? {
        None => Action::Get,
        Some(expiry) => Action::Expire { expiry, when: ExpireWhen::Always, value: true },
    };
    one(request.args()[0], action, Form::Value)
}

fn mget<'a>(request: &Request<'a>) -> Planned<'a> {
    // Also of one key alone an array, so not the form that a single key has elsewhere.
    each(request.args(), &Action::Get, Form::ValueInArray, Join::Values)
}

fn mset<'a>(request: &Request<'a>) -> Planned<'a> {
    match request.args() {
        [key, value] => one(key, Action::put(value), Form::Stored),
        args => Ok(Plan::Many(pairs(args, "mset")?, Join::Ok)),
    }
}

fn msetnx<'a>(request: &Request<'a>) -> Planned<'a> {
    match request.args() {
        [_, _] => setnx(request),
        args => Ok(Plan::IfAbsent(pairs(args, "msetnx")?)),
    }
}

fn pairs<'a>(args: &[&'a [u8]], name: &str) -> Result<Vec<Command<'a>>, Refusal> {
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::arity(name));
    }
    pairs.iter().map(|[key, value]| command(key, Action::put(value))).collect()
}

fn append<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[0], Action::Append { bytes: request.args()[1] }, Form::Number)
}

fn strlen<'a>(request: &Request<'a>) -> Planned<'a> {
    one(request.args()[0], Action::Head, Form::Length)
}

fn setrange<'a>(request: &Request<'a>) -> Planned<'a> {
    let args = request.args();
    let offset = number::integer(args[1]).ok_or(Refusal::NOT_AN_INTEGER)?;
    let offset = u64::try_from(offset).map_err(|_| Refusal::from("ERR offset is out of range"))?;
    one(args[0], Action::SetRange { offset, bytes: args[2] }, Form::Number)
}

fn getrange<'a>(request: &Request<'a>) -> Planned<'a> {
    let number = |place| number::integer(request.args()[place]).ok_or(Refusal::NOT_AN_INTEGER);
    one(request.args()[0], Action::GetRange { first: number(1)?, last: number(2)? }, Form::Part)
}
