//! `SLOWLOG`: the commands that took long at this node's RESP doors.

use super::{Context, server};
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::slow_log::KEPT;
use crate::resp::step::Refusal;
use crate::resp::table::{ADMIN, Group, Spec};

pub(super) static SPECS: [Spec; 4] = [
    Spec::at_once("slowlog|get", -2, ADMIN, Group::Server, get)
        .about("2.2.12", "The last slow commands of this node, 10 unless told."),
    Spec::at_once("slowlog|len", 2, ADMIN, Group::Server, len)
        .about("2.2.12", "How many of them are kept, 128 at most."),
    Spec::at_once("slowlog|reset", 2, ADMIN, Group::Server, reset).about("2.2.12", "Forgets them."),
    Spec::at_once("slowlog|help", 2, 0, Group::Server, help).about("6.2.0", "Tells the subcommands."),
];

/// How many `SLOWLOG GET` shows unless it is told.
const SHOWN: usize = 10;

fn get(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let count = match &request.args()[1..] {
        [] => SHOWN,
        [count] => match number::integer(count).filter(|count| *count >= -1).map(usize::try_from) {
            Some(Ok(count)) => count,
            Some(Err(_)) => KEPT,
            None => return Err("ERR count should be greater than or equal to -1".into()),
        },
        _ => return Err(Refusal::subcommand_arity("SLOWLOG", request.args()[0])),
    };
    let entries = context.door.slow_log.newest(count);
    let out = &mut *context.out;
    out.array(entries.len());
    for entry in entries {
        out.array(6);
        out.integer(entry.id);
        out.integer(i64::try_from(entry.unix_s).unwrap_or(i64::MAX));
        out.integer(i64::try_from(entry.took.as_micros()).unwrap_or(i64::MAX));
        out.array(entry.words.len());
        entry.words.iter().for_each(|word| out.bulk(word));
        out.bulk(entry.client.to_string().as_bytes());
        out.bulk(entry.name.as_bytes());
    }
    Ok(())
}

fn len(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    context.out.integer(i64::try_from(context.door.slow_log.len()).unwrap_or(i64::MAX));
    Ok(())
}

fn reset(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    context.door.slow_log.reset();
    context.out.ok();
    Ok(())
}

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    server::help("slowlog", context.out);
    Ok(())
}
