//! How long keys live.

use super::options::{self, EX, EXAT, PX, PXAT, Unit};
use super::plan::{Planned, one};
use crate::resp::form::{Form, Time};
use crate::resp::request::Request;
use crate::resp::table::{FAST, Group, KEY, READONLY, Run, Spec, WRITE};
use crate::{Action, ExpireWhen, Expiry};

pub(super) static SPECS: &[Spec] = &[
    lifetime("expire", -3, WRITE, expire).about("1.0.0", "Lets a key expire after some seconds."),
    lifetime("pexpire", -3, WRITE, pexpire).about("2.6.0", "Lets a key expire after some milliseconds."),
    lifetime("expireat", -3, WRITE, expireat).about("1.2.0", "Lets a key expire at a second since 1970."),
    lifetime("pexpireat", -3, WRITE, pexpireat)
        .about("2.6.0", "Lets a key expire at a millisecond since 1970."),
    lifetime("ttl", 2, READONLY, ttl).about("1.0.0", "Seconds until a key expires."),
    lifetime("pttl", 2, READONLY, pttl).about("2.6.0", "Milliseconds until a key expires."),
    lifetime("expiretime", 2, READONLY, expiretime)
        .about("7.0.0", "The second since 1970 at which a key expires."),
    lifetime("pexpiretime", 2, READONLY, pexpiretime)
        .about("7.0.0", "The millisecond since 1970 at which a key expires."),
    lifetime("persist", 2, WRITE, persist).about("2.2.0", "Lets a key live until it is deleted."),
];

const fn lifetime(
    name: &'static str,
    arity: i8,
    flags: u32,
    plan: for<'a> fn(&Request<'a>) -> Planned<'a>,
) -> Spec {
    Spec::new(name, arity, flags | FAST, Group::Generic, Run::Keys(plan)).keys(KEY)
}

fn expire<'a>(request: &Request<'a>) -> Planned<'a> {
    change(request, EX, "expire")
}

fn pexpire<'a>(request: &Request<'a>) -> Planned<'a> {
    change(request, PX, "pexpire")
}

fn expireat<'a>(request: &Request<'a>) -> Planned<'a> {
    change(request, EXAT, "expireat")
}

fn pexpireat<'a>(request: &Request<'a>) -> Planned<'a> {
    change(request, PXAT, "pexpireat")
}

fn change<'a>(request: &Request<'a>, unit: Unit, name: &str) -> Planned<'a> {
    let args = request.args();
    let when = options::expire(&args[2..])?;
    one(args[0], Action::Expire { expiry: unit.any(args[1], name)?, when, value: false }, Form::Flag)
}

fn ttl<'a>(request: &Request<'a>) -> Planned<'a> {
    time(request, Time { moment: false, millis: false })
}

fn pttl<'a>(request: &Request<'a>) -> Planned<'a> {
    time(request, Time { moment: false, millis: true })
}

fn expiretime<'a>(request: &Request<'a>) -> Planned<'a> {
    time(request, Time { moment: true, millis: false })
}

fn pexpiretime<'a>(request: &Request<'a>) -> Planned<'a> {
    time(request, Time { moment: true, millis: true })
}

fn time<'a>(request: &Request<'a>, time: Time) -> Planned<'a> {
    one(request.args()[0], Action::Head, Form::Time(time))
}

fn persist<'a>(request: &Request<'a>) -> Planned<'a> {
    let action = Action::Expire { expiry: Expiry::Never, when: ExpireWhen::Always, value: false };
    one(request.args()[0], action, Form::Flag)
}
