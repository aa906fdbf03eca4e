//! The server as such.

use std::time::{SystemTime, UNIX_EPOCH};

use super::plan::{Planned, one};
use super::{Context, command, config, info, slowlog};
use crate::Action;
use crate::resp::form::Form;
use crate::resp::number;
use crate::resp::replies::Replies;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{
    self, DANGEROUS, FAST, Group, NOSCRIPT, OF_CONNECTION, READONLY, Run, SECOND_KEY, Spec, WRITE,
};

pub(super) static SPECS: &[Spec] = &[
    Spec::at_once("command", -1, OF_CONNECTION, Group::Server, command::all)
        .about("2.8.13", "The commands.")
        .with(&command::SPECS),
    Spec::at_once("info", -1, DANGEROUS, Group::Server, info::info).about("1.0.0", "This node in figures."),
    Spec::at_once("time", 1, FAST, Group::Server, time)
        .about("2.6.0", "The time: seconds since 1970 and microseconds."),
    Spec::new("config", -2, 0, Group::Server, Run::Container)
        .about("2.0.0", "The parameters of the door.")
        .with(&config::SPECS),
    Spec::new("memory", -2, 0, Group::Server, Run::Container)
        .about("4.0.0", "The memory of keys.")
        .with(&MEMORY),
    Spec::new("slowlog", -2, 0, Group::Server, Run::Container)
        .about("2.2.12", "The commands that took long.")
        .with(&slowlog::SPECS),
    Spec::new("function", -2, 0, Group::Scripting, Run::Container)
        .about("7.0.0", "Functions, of which there are none.")
        .with(&FUNCTION),
];

static MEMORY: [Spec; 2] = [
    Spec::new("memory|usage", -3, READONLY, Group::Server, Run::Keys(usage))
        .keys(SECOND_KEY)
        .about("4.0.0", "Bytes of memory that a key takes."),
    Spec::at_once("memory|help", 2, 0, Group::Server, memory_help).about("4.0.0", "Tells the subcommands."),
];

static FUNCTION: [Spec; 3] = [
    Spec::new("function|flush", -2, WRITE | NOSCRIPT, Group::Scripting, Run::Here(function_flush))
        .about("7.0.0", "Does nothing: there are no functions."),
    Spec::new("function|list", -2, NOSCRIPT, Group::Scripting, Run::Here(function_list))
        .about("7.0.0", "Always empty: there are no functions."),
    Spec::at_once("function|help", 2, 0, Group::Scripting, function_help)
        .about("7.0.0", "Tells the subcommands."),
];

/// Tells the subcommands of a command, two lines for each, as Redis does.
pub(super) fn help(name: &str, out: &mut Replies) {
    let subcommands = table::command(name.as_bytes()).map_or(&[][..], |(_, spec)| spec.subcommands);
    out.array(1 + subcommands.len() * 2);
    let name = name.to_uppercase();
    out.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in subcommands {
        out.simple(&sub.name[name.len() + 1..].to_uppercase());
        out.simple(&format!("    {}", sub.summary));
    }
}

fn time(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|_| "ERR the clock of this machine is before 1970")?;
    context.out.array(2);
    context.out.bulk(now.as_secs().to_string().as_bytes());
    context.out.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(())
}

fn usage<'a>(request: &Request<'a>) -> Planned<'a> {
    let key = request.args()[1];
    match &request.args()[2..] {
        [] => {}
        [option, samples] if option.eq_ignore_ascii_case(b"SAMPLES") => {
            let samples = number::integer(samples).ok_or(Refusal::NOT_AN_INTEGER)?;
            if samples < 0 {
                return Err(Refusal::SYNTAX);
            }
        }
        _ => return Err(Refusal::SYNTAX),
    }
    one(key, Action::Head, Form::Memory(key.len()))
}

fn memory_help(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    help("memory", context.out);
    Ok(())
}

fn function_help(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    help("function", context.out);
    Ok(())
}

fn function_flush(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    match &request.args()[1..] {
        [] => {}
        [how] if how.eq_ignore_ascii_case(b"SYNC") || how.eq_ignore_ascii_case(b"ASYNC") => {}
        [_] => return Err("ERR FUNCTION FLUSH only supports SYNC|ASYNC option".into()),
        _ => return Err(Refusal::subcommand_arity("FUNCTION", request.args()[0])),
    }
    context.out.ok();
    Ok(())
}

fn function_list(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let (mut with_code, mut named) = (false, false);
    let mut args = request.args()[1..].iter();
    while let Some(arg) = args.next() {
        if !with_code && arg.eq_ignore_ascii_case(b"WITHCODE") {
            with_code = true;
        } else if !named && arg.eq_ignore_ascii_case(b"LIBRARYNAME") {
            args.next().ok_or("ERR library name argument was not given")?;
            named = true;
        } else {
            return Err(format!("ERR Unknown argument {}", String::from_utf8_lossy(arg)).into());
        }
    }
    context.out.array(0);
    Ok(())
}
