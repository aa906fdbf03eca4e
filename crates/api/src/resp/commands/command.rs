//! `COMMAND`: the command table for programs.

use super::{Context, server};
use crate::resp::glob;
use crate::resp::hints;
use crate::resp::replies::Replies;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::resp::table::{self, Group, Keys, LOADING, OF_CONNECTION, Run, STALE, Spec};

pub(super) static SPECS: [Spec; 6] = [
    sub("command|count", 2, count).about("2.8.13", "How many commands there are."),
    sub("command|docs", -2, docs).about("7.0.0", "What commands do."),
    sub("command|info", -2, info).about("2.8.13", "Arity, flags and keys of commands."),
    sub("command|getkeys", -4, getkeys).about("2.8.13", "The keys of a command."),
    sub("command|list", -2, list).about("7.0.0", "The names of the commands."),
    sub("command|help", 2, help).about("5.0.0", "Tells the subcommands."),
];

const fn sub(
    name: &'static str,
    arity: i8,
    run: fn(&mut Context<'_>, &Request<'_>) -> Result<(), Refusal>,
) -> Spec {
    Spec::new(name, arity, LOADING | STALE | OF_CONNECTION, Group::Server, Run::Here(run))
}

/// A handler's result.
type Handled = Result<(), Refusal>;

pub(super) fn all(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.array(table::all().count());
    table::all().for_each(|spec| describe(spec, context.out));
    Ok(())
}

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    server::help("command", context.out);
    Ok(())
}

fn count(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.integer(i64::try_from(table::all().count()).unwrap_or(i64::MAX));
    Ok(())
}

fn info(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let names = &request.args()[1..];
    if names.is_empty() {
        return all(context, request);
    }
    context.out.array(names.len());
    for name in names {
        match find(name) {
            Some(spec) => describe(spec, context.out),
            None => context.out.null(),
        }
    }
    Ok(())
}

/// A command, or with `|` in its name a subcommand.
fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let (_, spec) = table::command(words.next()?)?;
    words.next().map_or(Some(spec), |sub| table::subcommand(spec, sub))
}

fn describe(spec: &Spec, out: &mut Replies) {
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.integer(spec.arity.into());
    statuses(&spec.flag_names().collect::<Vec<_>>(), out);
    out.integer(spec.keys.first.into());
    out.integer(spec.keys.last.into());
    out.integer(spec.keys.step.into());
    statuses(&spec.categories().map(|category| format!("@{category}")).collect::<Vec<_>>(), out);
    let tips = hints::tips(spec.name);
    out.set(tips.len());
    for tip in tips {
        out.bulk(tip.as_bytes());
    }
    specify_keys(spec, out);
    out.array(spec.subcommands.len());
    spec.subcommands.iter().for_each(|sub| describe(sub, out));
}

fn statuses(names: &[impl AsRef<str>], out: &mut Replies) {
    out.set(names.len());
    for name in names {
        out.simple(name.as_ref());
    }
}

/// The positions of keys, and what is done with them, as Redis 7 gives them.
fn specify_keys(spec: &Spec, out: &mut Replies) {
    let Keys { first, last, step } = spec.keys;
    if first == 0 {
        return out.set(0);
    }
    let flags = hints::key_flags(spec.name);
    let last = if last < 0 { last } else { 0 };
    out.set(flags.len());
    for (place, flags) in (first..).zip(flags) {
        out.map(3);
        out.bulk(b"flags");
        statuses(flags, out);
        out.bulk(b"begin_search");
        typed("index", &[("index", place)], out);
        out.bulk(b"find_keys");
        typed("range", &[("lastkey", last), ("keystep", step), ("limit", 0)], out);
    }
}

fn typed(kind: &str, numbers: &[(&str, i8)], out: &mut Replies) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(numbers.len());
    for (name, number) in numbers {
        out.bulk(name.as_bytes());
        out.integer((*number).into());
    }
}

fn docs(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let names = &request.args()[1..];
    let specs: Vec<_> = match names {
        [] => table::all().collect(),
        names => names.iter().filter_map(|name| find(name)).collect(),
    };
    context.out.map(specs.len());
    for spec in specs {
        if context.out.overflown() {
            break;
        }
        document(spec, context.out);
    }
    Ok(())
}

fn document(spec: &Spec, out: &mut Replies) {
    out.bulk(spec.name.as_bytes());
    out.map(3 + usize::from(!spec.subcommands.is_empty()));
    for (field, text) in [("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())] {
        out.bulk(field.as_bytes());
        out.bulk(text.as_bytes());
    }
    if !spec.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(spec.subcommands.len());
        spec.subcommands.iter().for_each(|sub| document(sub, out));
    }
}

fn getkeys(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let words = &request.args()[1..];
    let (_, mut spec) = table::command(words[0]).ok_or("ERR Invalid command specified")?;
    if let (false, Some(name)) = (spec.subcommands.is_empty(), words.get(1)) {
        spec = table::subcommand(spec, name).ok_or("ERR Invalid command specified")?;
    }
    if spec.keys.first == 0 {
        return Err("ERR The command has no key arguments".into());
    }
    if !spec.takes(words.len()) {
        return Err("ERR Invalid number of arguments specified for command".into());
    }
    let keys: Vec<_> = spec.keys_of(words).collect();
    context.out.array(keys.len());
    for key in keys {
        context.out.bulk(key);
    }
    Ok(())
}

fn list(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let chosen: Box<dyn Fn(&Spec) -> bool> = match &request.args()[1..] {
        [] => Box::new(|_| true),
        [filter, kind, value] if filter.eq_ignore_ascii_case(b"FILTERBY") => {
            let value = value.to_ascii_lowercase();
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => Box::new(move |spec| spec.categories().any(|own| own.as_bytes() == value)),
                b"pattern" => Box::new(move |spec| glob::matches(&value, spec.name.as_bytes(), true)),
                _ => return Err(Refusal::SYNTAX),
            }
        }
        _ => return Err(Refusal::SYNTAX),
    };
    let with_subs = request.args().len() > 1;
    let subs = |spec: &'static Spec| if with_subs { spec.subcommands } else { &[] };
    let names: Vec<_> = table::all()
        .flat_map(|spec| std::iter::once(spec).chain(subs(spec)))
        .filter(|spec| chosen(spec))
        .map(|spec| spec.name)
        .collect();
    if with_subs {
        context.out.array(names.len());
    } else {
        context.out.set(names.len());
    }
    for name in names {
        context.out.bulk(name.as_bytes());
    }
    Ok(())
}
