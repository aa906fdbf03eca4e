//! `MULTI` to `EXEC`: commands on keys of one slot, applied in one step by the node that holds it, if no watched key has
//! changed; commands without keys are run in between, in their places.

use std::sync::Arc;

use super::dispatch::{refused, served_here, within_limits};
use super::plan::Plan;
use super::{Context, Owned};
use crate::budget::Share;
use crate::resp::config::Kind;
use crate::resp::door::Door;
use crate::resp::form::{self, Form, Join};
use crate::resp::replies::Replies;
use crate::resp::request::Request;
use crate::resp::session::Session;
use crate::resp::step::{Finish, Later, Refusal, Step};
use crate::resp::table::{
    ALL_KEYS, ALLOW_BUSY, FAST, Group, LOADING, NOSCRIPT, Run, SKIP_SLOWLOG, STALE, Spec,
};
use crate::{Action, Backend, Command, Failure, Outcome, Transaction, Version};

const FLAGS: u32 = NOSCRIPT | LOADING | STALE;

pub(super) static SPECS: &[Spec] = &[
    flow("multi", 1, FAST | ALLOW_BUSY, Run::Flow(multi)).about("1.2.0", "Begins a transaction."),
    flow("exec", 1, SKIP_SLOWLOG, Run::Flow(exec)).about("1.2.0", "Runs a transaction."),
    flow("discard", 1, FAST | ALLOW_BUSY, Run::Flow(discard)).about("2.0.0", "Drops a transaction."),
    flow("watch", -2, FAST | ALLOW_BUSY, Run::Flow(watch))
        .keys(ALL_KEYS)
        .about("2.2.0", "Makes the next EXEC depend on some keys."),
    flow("unwatch", 1, FAST | ALLOW_BUSY, Run::Here(unwatch)).about("2.2.0", "Takes WATCH back."),
];

const fn flow(name: &'static str, arity: i8, flags: u32, run: Run) -> Spec {
    Spec::new(name, arity, flags | FLAGS, Group::Transactions, run)
}

/// The commands of a transaction that is not run yet.
#[derive(Default)]
pub(in crate::resp) struct Queue {
    commands: Vec<(Owned, &'static Spec)>,
    bytes: usize,
    without_keys: usize,
    spoilt: bool,
}

/// Keys that must not change before `EXEC`.
#[derive(Debug)]
pub(in crate::resp) struct Watched {
    /// The `WATCH` that named them.
    command: Owned,
    /// Of each; `None`: it was absent.
    versions: Vec<Option<Version>>,
    _share: Share,
}

/// Keys that one client watches, and commands without keys in its transaction, at most: these are run all in one go.
const WATCHED_MAX: usize = 1 << 16;
const WITHOUT_KEYS_MAX: usize = 1024;

impl Queue {
    /// From now on it can only be dropped.
    pub(super) fn spoil(&mut self) {
        self.spoilt = true;
        self.commands.clear();
    }

    /// One more command; without room for it the transaction is spoilt.
    pub(super) fn push(
        &mut self,
        request: &Request<'_>,
        spec: &'static Spec,
        door: &Door,
    ) -> Result<(), Refusal> {
        if self.spoilt {
            return Ok(());
        }
        let owned = Owned::of(request, &door.memory).inspect_err(|_| self.spoil())?;
        self.bytes += owned.len();
        self.without_keys += usize::from(!matches!(spec.run, Run::Keys(_)));
        if self.bytes > door.limits.command_bytes
            || self.commands.len() >= door.limits.arguments
            || self.without_keys > WITHOUT_KEYS_MAX
        {
            self.spoil();
            return Err("ERR the transaction is too long".into());
        }
        self.commands.push((owned, spec));
        Ok(())
    }

    fn has_keys(&self) -> bool {
        self.commands.iter().any(|(_, spec)| matches!(spec.run, Run::Keys(_)))
    }
}

fn multi(context: &mut Context<'_>, _: &Request<'_>) -> Result<Step<'static>, Refusal> {
    if context.session.queue.is_some() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    context.session.queue = Some(Queue::default());
    context.out.ok();
    Ok(Step::Done)
}

fn discard(context: &mut Context<'_>, _: &Request<'_>) -> Result<Step<'static>, Refusal> {
    context.session.queue.take().ok_or("ERR DISCARD without MULTI")?;
    context.session.watched.clear();
    context.out.ok();
    Ok(Step::Done)
}

fn unwatch(context: &mut Context<'_>, _: &Request<'_>) -> Result<(), Refusal> {
    context.session.watched.clear();
    context.out.ok();
    Ok(())
}

fn watch(context: &mut Context<'_>, request: &Request<'_>) -> Result<Step<'static>, Refusal> {
    let Context { session, door, .. } = context;
    if session.queue.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    served_here(door.kind, &*door.backend, door.backend.slot(request.args()[0]))?;
    let keys = request.args().len();
    if keys + session.watched.iter().map(|watched| watched.versions.len()).sum::<usize>() > WATCHED_MAX {
        return Err("ERR too many keys are watched".into());
    }
    let command = Owned::of(request, &door.memory)?;
    let mut share = door.memory.share();
    if !share.grow(keys * size_of::<Option<Version>>()) {
        return Err(Refusal::NO_MEMORY);
    }
    let backend = Arc::clone(&door.backend);
    Ok(Step::Later(Box::pin(async move {
        let call = {
            let request = command.request();
            let heads = request.args().iter().map(|key| Command { key, action: Action::Head });
            backend.execute_all(&heads.collect::<Vec<_>>())
        };
        let versions: Result<Vec<_>, Failure> =
            call.await.into_iter().map(|result| result.map(|reply| version(&reply.outcome))).collect();
        let finish: Finish = Box::new(move |session, _, out| match versions {
            Ok(versions) => {
                session.watched.push(Watched { command, versions, _share: share });
                out.ok();
            }
            Err(failure) => form::fail(&failure, out),
        });
        finish
    })))
}

fn version(outcome: &Outcome) -> Option<Version> {
    match outcome {
        Outcome::Found { version, .. } => Some(*version),
        _ => None,
    }
}

fn exec(context: &mut Context<'_>, _: &Request<'_>) -> Result<Step<'static>, Refusal> {
    let Context { session, door, out } = context;
    let queue = session.queue.take().ok_or("ERR EXEC without MULTI")?;
    let watched = std::mem::take(&mut session.watched);
    if queue.spoilt {
        return Err("EXECABORT Transaction discarded because of previous errors.".into());
    }
    if watched.is_empty() && !queue.has_keys() {
        let parts = queue.commands.iter().map(|_| Part::Here).collect();
        write(&queue, parts, Vec::new(), session, door, out);
        return Ok(Step::Done);
    }
    Ok(Step::Later(run(Arc::clone(&door.backend), door.kind, queue, watched)))
}

/// Drops the transaction whose `EXEC` is refused.
pub(super) fn abort(session: &mut Session, refusal: &Refusal) -> Refusal {
    session.queue = None;
    session.watched.clear();
    aborted(refusal.0.strip_prefix("ERR ").unwrap_or(&refusal.0))
}

fn aborted(reason: &str) -> Refusal {
    format!("EXECABORT Transaction discarded because of: {reason}").into()
}

/// How a command of a transaction is answered.
enum Part {
    /// By one outcome.
    One(Form),
    /// By this many.
    Many(usize, Join),
    /// By an error that was found before anything was run.
    Refused(Refusal),
    /// By running it.
    Here,
}

fn run(backend: Arc<dyn Backend>, kind: Kind, queue: Queue, watched: Vec<Watched>) -> Later {
    Box::pin(async move {
        let (call, parts) = match begin(&*backend, kind, &queue, &watched) {
            Ok(begun) => begun,
            Err(refusal) => return refused(refusal),
        };
        let result = call.await;
        let finish: Finish = Box::new(move |session, door, out| match result {
            Ok(Some(outcomes)) => match nothing_applied(&outcomes) {
                Some(reason) => out.error(&aborted(reason).0),
                None => write(&queue, parts, outcomes, session, door, out),
            },
            Ok(None) => out.null_array(),
            Err(failure) => form::fail(&failure, out),
        });
        finish
    })
}

/// Why a transaction was refused as a whole for want of memory.
fn nothing_applied(outcomes: &Outcomes) -> Option<&'static str> {
    let refused = |outcome| matches!(outcome, &Ok(Outcome::Full));
    let all = !outcomes.is_empty() && outcomes.iter().all(refused);
    all.then(|| form::refused(&Outcome::Full)).flatten()
}

type Outcomes = Vec<Result<Outcome, Failure>>;
type Call = futures_util::future::BoxFuture<'static, Result<Option<Outcomes>, Failure>>;

fn begin(
    backend: &dyn Backend,
    kind: Kind,
    queue: &Queue,
    watched: &[Watched],
) -> Result<(Call, Vec<Part>), Refusal> {
    let mut commands = Vec::new();
    let parts =
        queue.commands.iter().map(|(owned, spec)| part(backend, owned, spec, &mut commands)).collect();
    let requests: Vec<_> =
        watched.iter().map(|watched| (watched.command.request(), &watched.versions)).collect();
    let watched: Vec<_> = requests
        .iter()
        .flat_map(|(request, versions)| request.args().iter().copied().zip(versions.iter().copied()))
        .collect();
    let keys = commands.iter().map(|command| command.key).chain(watched.iter().map(|(key, _)| *key));
    let mut slots = keys.map(|key| backend.slot(key));
    if let Some(slot) = slots.next() {
        if slots.any(|other| other != slot) {
            return Err(Refusal::CROSS_SLOT);
        }
        served_here(kind, backend, slot)?;
    }
    Ok((backend.transact(Transaction { watched: &watched, commands: &commands }), parts))
}

fn part<'a>(backend: &dyn Backend, owned: &'a Owned, spec: &Spec, commands: &mut Vec<Command<'a>>) -> Part {
    let Run::Keys(plan) = spec.run else { return Part::Here };
    match plan(&owned.request()).and_then(|plan| within_limits(backend, plan)) {
        Ok(Plan::One(command, form)) => {
            commands.push(command);
            Part::One(form)
        }
        Ok(Plan::Many(several, join)) => {
            let count = several.len();
            commands.extend(several);
            Part::Many(count, join)
        }
        // MSETNX, which is not taken into a transaction.
        Ok(Plan::IfAbsent(_)) => Part::Refused(Refusal::SYNTAX),
        Err(refusal) => Part::Refused(refusal),
    }
}

fn write(
    queue: &Queue,
    parts: Vec<Part>,
    outcomes: Outcomes,
    session: &mut Session,
    door: &Door,
    out: &mut Replies,
) {
    out.array(parts.len());
    let mut outcomes = outcomes.into_iter();
    for (part, (owned, spec)) in parts.into_iter().zip(&queue.commands) {
        if out.overflown() {
            return;
        }
        match part {
            Part::One(form) => match outcomes.next() {
                Some(outcome) => form.write_outcome(outcome, out),
                None => out.error(form::UNFITTING),
            },
            Part::Many(count, join) => join.write_outcomes(outcomes.by_ref().take(count), out),
            Part::Refused(refusal) => out.error(&refusal.0),
            Part::Here => here(spec, &owned.request(), session, door, out),
        }
    }
}

fn here(spec: &Spec, request: &Request<'_>, session: &mut Session, door: &Door, out: &mut Replies) {
    let Run::Here(run) = spec.run else { return out.error(form::UNFITTING) };
    if let Err(refusal) = run(&mut Context { session, door, out }, request) {
        out.error(&refusal.0);
    }
}
