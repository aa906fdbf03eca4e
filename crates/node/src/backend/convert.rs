//! The doors' words in those of the cluster, and back.

use std::borrow::Cow;
use std::time::Duration;

use boato_api as api;
use boato_cluster::{
    self as cluster, Action, Effect, ExpireWhen, Expiry, Guard, Operation, Outcome, Slice, Step,
    TRANSACTION_BYTES_MAX, TRANSACTION_LIMIT, VALUE_MAX,
};

/// When a client that was turned away should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const VALUE_TOO_LARGE: api::Failure = api::Failure::TooLarge { limit: VALUE_MAX as u64 };

const STEP_TOO_LARGE: api::Failure =
    api::Failure::StepTooLarge { keys: TRANSACTION_LIMIT, bytes: TRANSACTION_BYTES_MAX as u64 };

/// A command, as the holder of its key takes it; borrows what the command borrows.
pub(super) fn operation<'a>(command: &api::Command<'a>) -> Result<Operation<Slice<'a>>, api::Failure> {
    Ok(Operation::Key(step(command)?))
}

/// # Errors
/// [`api::Failure::CrossSlot`], where a command is about two slots.
pub(super) fn step<'a>(command: &api::Command<'a>) -> Result<Step<Slice<'a>>, api::Failure> {
    if let api::Action::Rename { to, .. } = &command.action
        && boato_placement::slot(to) != boato_placement::slot(command.key)
    {
        return Err(api::Failure::CrossSlot);
    }
    Ok(Step { key: Slice(command.key), action: action(&command.action) })
}

/// # Errors
/// [`api::Failure::CrossSlot`] where the keys are of several slots; [`api::Failure::TooLarge`] where a command is beyond its own limit;
/// [`api::Failure::StepTooLarge`] where all of them would fit no frame between nodes.
pub(super) fn transaction<'a>(
    transaction: &api::Transaction<'a>,
) -> Result<Operation<Slice<'a>>, api::Failure> {
    let api::Transaction { watched, commands } = *transaction;
    let mut keys = watched.iter().map(|(key, _)| *key).chain(commands.iter().map(|command| command.key));
    let slot = keys.next().map_or(0, boato_placement::slot);
    if keys.any(|key| boato_placement::slot(key) != slot) {
        return Err(api::Failure::CrossSlot);
    }
    let watched = watched.iter().map(|(key, version)| (Slice(key), version.map(pair))).collect();
    let steps = commands.iter().map(checked);
    let operation = Operation::Transaction { slot, watched, steps: steps.collect::<Result<_, _>>()? };
    if operation.fits() { Ok(operation) } else { Err(STEP_TOO_LARGE) }
}

/// A command that is within its own limits.
///
/// # Errors
/// [`api::Failure::CrossSlot`] as [`step`], [`api::Failure::TooLarge`].
pub(super) fn checked<'a>(command: &api::Command<'a>) -> Result<Step<Slice<'a>>, api::Failure> {
    let step = step(command)?;
    if step.fits() { Ok(step) } else { Err(VALUE_TOO_LARGE) }
}

/// The slot of writes that fit a transaction; `None` where they are of several, or do not fit.
pub(super) fn together<'a>(
    writes: impl Iterator<Item = Result<Step<Slice<'a>>, api::Failure>>,
) -> Option<u16> {
    let (mut common, mut bytes) = (None, 0);
    for write in writes {
        let write = write.map(Operation::Key).ok().filter(Operation::fits)?;
        bytes += write.bytes();
        if *common.get_or_insert(write.slot()) != write.slot() || bytes > TRANSACTION_BYTES_MAX {
            return None;
        }
    }
    common
}

/// What came of a transaction.
pub(super) fn transacted(
    effect: Effect,
) -> Result<Option<Vec<Result<api::Outcome, api::Failure>>>, api::Failure> {
    match effect {
        Effect::Transaction(outcomes) => Ok(outcomes.map(|all| all.into_iter().map(outcome).collect())),
        Effect::Key(Outcome::TooLarge) => Err(STEP_TOO_LARGE),
        other => Err(refusal(&other)),
    }
}

fn action<'a>(action: &api::Action<'a>) -> Action<Slice<'a>> {
    match *action {
        api::Action::Get => Action::Get,
        api::Action::GetRange { first, last } => Action::GetRange { first, last },
        api::Action::Head => Action::Head,
        api::Action::Put { value, content_type, expiry: lives, ref condition, previous } => {
            let (value, content_type) = (Slice(value), Slice(content_type));
            let (expiry, guard) = (expiry(lives), guard(condition));
            Action::Put { value, content_type, expiry, guard, previous }
        }
        api::Action::Delete { ref condition, previous } => {
            Action::Delete { guard: guard(condition), previous }
        }
        api::Action::Expire { expiry: lives, when: rule, value } => {
            Action::Expire { expiry: expiry(lives), when: when(rule), value }
        }
        api::Action::Add { by, ttl } => Action::Add { by, ttl_ms: ttl.map(millis) },
        api::Action::AddFloat { by } => Action::AddFloat { by_bits: by.to_bits() },
        api::Action::Append { bytes } => Action::Append { bytes: Slice(bytes) },
        api::Action::SetRange { offset, bytes } => Action::SetRange { offset, bytes: Slice(bytes) },
        api::Action::SetBit { offset, bit } => Action::SetBit { offset, bit },
        api::Action::Rename { to, replace, keep } => Action::Rename { to: Slice(to), replace, keep },
    }
}

fn expiry(expiry: api::Expiry) -> Expiry {
    match expiry {
        api::Expiry::Never => Expiry::Never,
        api::Expiry::Keep => Expiry::Keep,
        api::Expiry::After(time) => Expiry::After(millis(time)),
        api::Expiry::At(unix_ms) => Expiry::At(unix_ms),
    }
}

fn when(when: api::ExpireWhen) -> ExpireWhen {
    match when {
        api::ExpireWhen::Always => ExpireWhen::Always,
        api::ExpireWhen::NoExpiry => ExpireWhen::NoExpiry,
        api::ExpireWhen::HasExpiry => ExpireWhen::HasExpiry,
        api::ExpireWhen::Later => ExpireWhen::Later,
        api::ExpireWhen::Sooner => ExpireWhen::Sooner,
        api::ExpireWhen::OnlySooner => ExpireWhen::OnlySooner,
    }
}

fn guard<'a>(condition: &api::Condition<'a>) -> Guard<Slice<'a>> {
    let pairs = |versions: &[api::Version]| versions.iter().copied().map(pair).collect();
    match condition {
        api::Condition::Always => Guard::Always,
        api::Condition::Absent => Guard::Absent,
        api::Condition::Present => Guard::Present,
        api::Condition::Is(versions) => Guard::Is(pairs(versions)),
        api::Condition::IsNot(versions) => Guard::IsNot(pairs(versions)),
        api::Condition::ValueIs(bytes) => Guard::ValueIs(Slice(bytes)),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn pair(version: api::Version) -> (u64, u128) {
    (version.hlc, version.node)
}

fn version((hlc, node): (u64, u128)) -> api::Version {
    api::Version { hlc, node }
}

/// What is left at `now_ms` of an entry's time to live.
pub(super) fn ttl_left(expires_at_ms: Option<u64>, now_ms: u64) -> Option<Duration> {
    expires_at_ms.map(|at| Duration::from_millis(at.saturating_sub(now_ms)))
}

/// A value, as doors see it.
pub(super) fn entry<'a>(value: &cluster::Value<'a>, now_ms: u64) -> api::Entry<'a> {
    let ttl_left = ttl_left(value.expires_at_ms, now_ms);
    api::Entry { value: value.bytes, content_type: value.content_type, ttl_left }
}

/// A live entry, as doors see it.
pub(super) fn shown<'a>(entry: &cluster::EntryRef<'a>, now_ms: u64) -> api::Shown<'a> {
    let cluster::EntryRef { value, content_type, version, expires_at_ms, .. } = *entry;
    api::Shown {
        entry: api::Entry { value, content_type, ttl_left: ttl_left(expires_at_ms, now_ms) },
        version: api::Version { hlc: version.hlc, node: version.node },
    }
}

/// What came of a command.
pub(super) fn answer(effect: Effect) -> Result<api::Outcome, api::Failure> {
    match effect {
        Effect::Key(outcome) => self::outcome(outcome),
        other => Err(refusal(&other)),
    }
}

pub(super) fn outcome(outcome: Outcome) -> Result<api::Outcome, api::Failure> {
    Ok(match outcome {
        Outcome::Value { value, content_type, version: stored, ttl_ms } => api::Outcome::Value {
            value,
            content_type,
            version: version(stored),
            ttl_left: ttl_ms.map(Duration::from_millis),
        },
        Outcome::Found { length, version: stored, expires_at_ms, ttl_ms } => api::Outcome::Found {
            length,
            version: version(stored),
            expires_at_ms,
            ttl_left: ttl_ms.map(Duration::from_millis),
        },
        Outcome::Missing => api::Outcome::Missing,
        Outcome::Created(stored) => api::Outcome::Created(version(stored)),
        Outcome::Replaced { version: stored, previous } => {
            api::Outcome::Replaced { version: version(stored), previous }
        }
        Outcome::Deleted { version: stored, previous } => {
            api::Outcome::Deleted { version: version(stored), previous }
        }
        Outcome::Refused { version: stored, previous } => {
            api::Outcome::Refused { version: stored.map(version), previous }
        }
        Outcome::Changed(changed) => api::Outcome::Changed(changed),
        Outcome::Integer { value, version: stored } => {
            api::Outcome::Integer { value, version: version(stored) }
        }
        Outcome::Float { bits, version: stored } => {
            api::Outcome::Float { value: f64::from_bits(bits), version: version(stored) }
        }
        Outcome::Length(length) => api::Outcome::Length(length),
        Outcome::NotAnInteger => api::Outcome::NotAnInteger,
        Outcome::NotAFloat => api::Outcome::NotAFloat,
        Outcome::Overflow => api::Outcome::Overflow,
        Outcome::Full => api::Outcome::Full,
        Outcome::TooLarge => return Err(VALUE_TOO_LARGE),
    })
}

/// Why an effect is not the one asked for.
pub(super) fn refusal(effect: &Effect) -> api::Failure {
    match effect {
        Effect::TooFewMembers { members, needed } => unavailable(format!(
            "the node that holds this key sees {members} of the {needed} live members that it needs to accept writes \
             (--min-members)"
        )),
        Effect::Key(Outcome::TooLarge) => VALUE_TOO_LARGE,
        _ => unavailable("the holder speaks another protocol version"),
    }
}

fn unavailable(reason: impl Into<Cow<'static, str>>) -> api::Failure {
    api::Failure::Unavailable { reason: reason.into(), retry_after: RETRY_AFTER }
}

pub(crate) fn failure(failure: cluster::Failure) -> api::Failure {
    match failure {
        cluster::Failure::OutcomeUnknown => api::Failure::OutcomeUnknown,
        cluster::Failure::Busy => unavailable("too many operations wait for this key's slot"),
        _ => unavailable("this key's slot has no holder at the moment"),
    }
}
