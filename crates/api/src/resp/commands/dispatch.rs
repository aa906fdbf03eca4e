//! From a command to its reply, or to what has to be awaited for it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use super::plan::{KEY_BYTES_MAX, Plan};
use super::{Context, Owned, Planned, bits, transaction};
use crate::resp::config::Kind;
use crate::resp::door::Door;
use crate::resp::form::{self, Form, Join};
use crate::resp::replies::Replies;
use crate::resp::request::Request;
use crate::resp::session::{Quiet, Session};
use crate::resp::step::{Finish, Later, Refusal, Step};
use crate::resp::table::{self, NO_AUTH, NO_MULTI, Run, Spec, Writes};
use crate::{Action, Backend, Command, Outcome, Transaction};

/// Most characters of a command's name, and of its arguments together, that an error repeats.
const REPEATED_BYTES: usize = 128;

/// So many keys are read in one go at most, while their reply has so many bytes at most; others make way for other clients.
const TOGETHER_MAX: usize = 1024;
const TOGETHER_BYTES: usize = 256 << 10;

/// So many values, or bytes of them, tell how long the others are.
const TELLING_VALUES: usize = 16;
const TELLING_BYTES: usize = 64 << 10;

/// Runs a command, as far as that can be done at once.
pub(in crate::resp) fn dispatch<'a>(
    session: &mut Session,
    door: &Door,
    request: &Request<'a>,
    out: &mut Replies,
) -> Step<'a> {
    let before = out.len();
    let step = admit(session, door, request)
        .and_then(|spec| run(&mut Context { session, door, out }, spec, request))
        .unwrap_or_else(|refusal| {
            out.error(&refusal.0);
            Step::Done
        });
    if session.quiet == Quiet::No || !session.is_quiet() {
        return step;
    }
    out.truncate(before);
    hush(step)
}

/// The command, if this client may give it now. A command that is refused spoils the transaction it is part of.
fn admit(session: &mut Session, door: &Door, request: &Request<'_>) -> Result<&'static Spec, Refusal> {
    session.command = table::UNKNOWN;
    let admitted = find(session, request).and_then(|spec| {
        if !session.authenticated() && !spec.has(NO_AUTH) {
            return Err("NOAUTH Authentication required.".into());
        }
        if door.kind == Kind::Cluster {
            check_slots(session, door, spec, request)?;
        }
        Ok(spec)
    });
    admitted.map_err(|refusal| {
        if matches!(table::command(request.name()), Some((_, spec)) if spec.name == "exec") {
            return transaction::abort(session, &refusal);
        }
        if let Some(queue) = &mut session.queue {
            queue.spoil();
        }
        refusal
    })
}

fn find(session: &mut Session, request: &Request<'_>) -> Result<&'static Spec, Refusal> {
    let (place, mut spec) = table::command(request.name()).ok_or_else(|| unknown(request))?;
    session.command = place;
    if let (false, Some(name)) = (spec.subcommands.is_empty(), request.args().first()) {
        spec = table::subcommand(spec, name).ok_or_else(|| unknown_subcommand(spec, name))?;
    }
    if spec.takes(request.len()) { Ok(spec) } else { Err(Refusal::arity(spec.name)) }
}

/// On the door for cluster clients: the keys must be of one slot, and what is to wait in a transaction must be served here.
fn check_slots(session: &Session, door: &Door, spec: &Spec, request: &Request<'_>) -> Result<(), Refusal> {
    let several = spec.keys.last != spec.keys.first;
    if !several && session.queue.is_none() {
        return Ok(());
    }
    let mut slots = spec.keys_of(request.words()).map(|key| door.backend.slot(key));
    let Some(slot) = slots.next() else { return Ok(()) };
    if slots.any(|other| other != slot) {
        return Err(Refusal::CROSS_SLOT);
    }
    if session.queue.is_some() { served_here(door.kind, &*door.backend, slot) } else { Ok(()) }
}

/// Whether this door answers for the slot, or which one does.
pub(super) fn served_here(kind: Kind, backend: &dyn Backend, slot: u16) -> Result<(), Refusal> {
    match kind {
        Kind::Proxy => Ok(()),
        Kind::Cluster => backend.redirect(slot).map_or(Ok(()), |addr| Err(moved(slot, addr))),
    }
}

fn moved(slot: u16, addr: SocketAddr) -> Refusal {
    format!("MOVED {slot} {}:{}", addr.ip(), addr.port()).into()
}

fn run<'a>(
    context: &mut Context<'_>,
    spec: &'static Spec,
    request: &Request<'a>,
) -> Result<Step<'a>, Refusal> {
    if context.session.queue.is_some() && !matches!(spec.run, Run::Flow(_)) {
        return enqueue(context, spec, request).map(|()| Step::Done);
    }
    match spec.run {
        Run::Keys(plan) => match spec.reads {
            Some(join) if read_here(context, join, request.args()) => Ok(Step::Done),
            None if written_here(context, spec, request.args()) => Ok(Step::Done),
            _ => keyed(context, plan, request),
        },
        Run::Here(run) => run(context, request).map(|()| Step::Done),
        Run::Away(run) => run(context.door, request).map(Step::Later),
        Run::Flow(run) => run(context, request),
        Run::Container => Err(Refusal::arity(spec.name)),
    }
}

fn enqueue(context: &mut Context<'_>, spec: &'static Spec, request: &Request<'_>) -> Result<(), Refusal> {
    let Some(queue) = &mut context.session.queue else { return Ok(()) };
    if spec.has(NO_MULTI) || matches!(spec.run, Run::Away(_)) {
        queue.spoil();
        return Err("ERR Command not allowed inside a transaction".into());
    }
    queue.push(request, spec, context.door)?;
    context.out.simple("QUEUED");
    Ok(())
}

fn keyed<'a>(
    context: &mut Context<'_>,
    plan: for<'b> fn(&Request<'b>) -> Planned<'b>,
    request: &Request<'a>,
) -> Result<Step<'a>, Refusal> {
    let door = context.door;
    let commands = match plan(request)? {
        Plan::One(command, form) => return alone(context, command, form),
        Plan::Many(commands, join) => {
            if common_slot(door, &commands).is_none() && door.kind == Kind::Proxy {
                return Ok(Step::Many(commands, join));
            }
            commands
        }
        Plan::IfAbsent(commands) => commands,
    };
    let slot = common_slot(door, &commands).ok_or(Refusal::CROSS_SLOT)?;
    served_here(door.kind, &*door.backend, slot)?;
    let owned = Owned::of(request, &door.memory)?;
    Ok(Step::Later(in_one_step(Arc::clone(&door.backend), plan, owned)))
}

/// The way of nearly all commands: one key, done at once where it is held here.
fn alone<'a>(context: &mut Context<'_>, command: Command<'a>, form: Form) -> Result<Step<'a>, Refusal> {
    let Context { session, door, out } = context;
    let overtakes = !session.pending.is_empty() && session.pending.contains(door.backend.slot(command.key));
    if !overtakes && done_here(&*door.backend, &command, session.now_ms, form, out) {
        return Ok(Step::Done);
    }
    if door.kind == Kind::Cluster {
        served_here(door.kind, &*door.backend, door.backend.slot(command.key))?;
    }
    Ok(Step::Key(command, form))
}

/// Reads several keys at once, if they are held here and the reply is not long, as far as can be told from the values so far: true.
/// False: nothing is written.
fn read_here(context: &mut Context<'_>, join: Join, keys: &[&[u8]]) -> bool {
    let Context { session, door, out } = context;
    let backend = &*door.backend;
    let overtakes = || keys.iter().any(|key| session.pending.contains(backend.slot(key)));
    if !(2..=TOGETHER_MAX).contains(&keys.len())
        || keys.iter().any(|key| key.len() > KEY_BYTES_MAX)
        || !session.pending.is_empty() && overtakes()
    {
        return false;
    }
    let (before, mut found, mut told) = (out.len(), 0, 0);
    if join == Join::Values {
        out.array(keys.len());
    }
    let is_read = backend.read_all(keys, session.now_ms, &mut |entry| {
        found += i64::from(entry.is_some());
        told += 1;
        if join == Join::Values {
            Form::Value.write_value(entry.map(|entry| entry.value), out);
        }
        let written = out.len() - before;
        let tells = told >= TELLING_VALUES || written >= TELLING_BYTES;
        (if tells { written / told * keys.len() } else { written }) <= TOGETHER_BYTES
    });
    match join {
        _ if !is_read => out.truncate(before),
        Join::Count => out.integer(found),
        _ => {}
    }
    is_read
}

/// Writes several keys of one slot in one step, if it is held here: true. False: nothing is done.
fn written_here(context: &mut Context<'_>, spec: &Spec, args: &[&[u8]]) -> bool {
    let (Some(writes), Context { session, door, out }) = (spec.writes, context) else { return false };
    let words = if writes == Writes::Put { 2 } else { 1 };
    let count = args.len() / words;
    if !(2..=TOGETHER_MAX).contains(&count)
        || count * words != args.len()
        || args.iter().step_by(words).any(|key| key.len() > KEY_BYTES_MAX)
        || !session.pending.is_empty() && session.pending.contains(door.backend.slot(args[0]))
    {
        return false;
    }
    let write = |place: usize| {
        let (key, rest) = (args[place * words], &args[place * words + 1..]);
        let action = if writes == Writes::Put { Action::put(rest[0]) } else { Action::delete() };
        Command { key, action }
    };
    let (mut removed, mut failed) = (0, None);
    let is_done = door.backend.write_all(count, &write, session.now_ms, &mut |result| match result {
        Ok(Outcome::Deleted { .. }) => removed += 1,
        Ok(outcome) if form::refused(&outcome).is_none() => {}
        _ if failed.is_some() => {}
        result => failed = Some(result),
    });
    match (failed, writes) {
        _ if !is_done => {}
        (Some(result), _) => Form::Stored.write_outcome(result, out),
        (None, Writes::Put) => out.ok(),
        (None, Writes::Delete) => out.integer(removed),
    }
    is_done
}

fn done_here(
    backend: &dyn Backend,
    command: &Command<'_>,
    now_ms: u64,
    form: Form,
    out: &mut Replies,
) -> bool {
    match command.action {
        Action::Get if form == Form::Value => backend.read(command.key, now_ms, &mut |entry| match entry {
            Some(entry) => out.bulk(entry.value),
            None => out.null(),
        }),
        Action::Get => backend.read(command.key, now_ms, &mut |entry| {
            form.write_value(entry.map(|entry| entry.value), out);
        }),
        Action::GetRange { first, last } => backend.read(command.key, now_ms, &mut |entry| {
            form.write_value(entry.map(|entry| bits::part(entry.value, first, last)), out);
        }),
        _ => backend.try_execute(command, now_ms).map(|result| form.write_outcome(result, out)).is_some(),
    }
}

fn common_slot(door: &Door, commands: &[Command<'_>]) -> Option<u16> {
    let mut slots = commands.iter().map(|command| door.backend.slot(command.key));
    let first = slots.next()?;
    slots.all(|slot| slot == first).then_some(first)
}

/// Operations on several keys of one slot.
fn in_one_step(
    backend: Arc<dyn Backend>,
    plan: for<'b> fn(&Request<'b>) -> Planned<'b>,
    owned: Owned,
) -> Later {
    Box::pin(async move {
        let call = match plan(&owned.request()).and_then(|plan| within_limits(&*backend, plan)) {
            Ok(Plan::Many(commands, join)) => {
                Ok((backend.transact(Transaction { watched: &[], commands: &commands }), join))
            }
            Ok(Plan::IfAbsent(commands)) => {
                let watched: Vec<_> = commands.iter().map(|command| (command.key, None)).collect();
                Ok((backend.transact(Transaction { watched: &watched, commands: &commands }), Join::One))
            }
            Ok(Plan::One(..)) => Err(Refusal::SYNTAX),
            Err(refusal) => Err(refusal),
        };
        let (call, join) = match call {
            Ok(call) => call,
            Err(refusal) => return refused(refusal),
        };
        let result = call.await;
        let finish: Finish = Box::new(move |_, _, out| match result {
            Ok(Some(outcomes)) => join.write_outcomes(outcomes.into_iter(), out),
            Ok(None) => out.integer(0),
            Err(failure) => form::fail(&failure, out),
        });
        finish
    })
}

/// The plan, if each of its commands is within its limits.
pub(super) fn within_limits<'a>(backend: &dyn Backend, plan: Plan<'a>) -> Planned<'a> {
    let commands = match &plan {
        Plan::One(command, _) => std::slice::from_ref(command),
        Plan::Many(commands, _) | Plan::IfAbsent(commands) => commands,
    };
    let check = |command| backend.check(command).map_err(|failure| Refusal(form::error(&failure)));
    commands.iter().try_for_each(check).map(|()| plan)
}

/// Answers by an error.
pub(super) fn refused(refusal: Refusal) -> Finish {
    Box::new(move |_, _, out| out.error(&refusal.0))
}

/// The same without a reply.
fn hush(step: Step<'_>) -> Step<'_> {
    match step {
        Step::Key(command, _) => Step::Key(command, Form::Silent),
        Step::Many(commands, _) => Step::Many(commands, Join::Silent),
        Step::Later(later) => Step::Later(Box::pin(async move {
            let finish = later.await;
            let silent: Finish = Box::new(move |session, door, out| {
                let before = out.len();
                finish(session, door, out);
                out.truncate(before);
            });
            silent
        })),
        other @ (Step::Done | Step::Close) => other,
    }
}

fn unknown(request: &Request<'_>) -> Refusal {
    let mut args = String::new();
    for arg in request.args() {
        if args.len() >= REPEATED_BYTES {
            break;
        }
        let arg = repeatable(arg, REPEATED_BYTES - args.len());
        args.extend(["'", &*arg, "' "]);
    }
    let name = repeatable(request.name(), REPEATED_BYTES);
    format!("ERR unknown command '{name}', with args beginning with: {args}").into()
}

fn unknown_subcommand(spec: &Spec, name: &[u8]) -> Refusal {
    let name = repeatable(name, REPEATED_BYTES);
    format!("ERR unknown subcommand '{name}'. Try {} HELP.", spec.name.to_uppercase()).into()
}

/// The beginning of a word, up to its first zero byte.
fn repeatable(word: &[u8], bytes: usize) -> Cow<'_, str> {
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&word[..word.len().min(bytes)])
}
