//! All keys: pages of them, their number, their end. On the door for any client they are those of the whole cluster; cluster
//! clients ask every node by themselves, and get from each what it has by the topology.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::dispatch::refused;
use crate::resp::config::Kind;
use crate::resp::door::Door;
use crate::resp::form;
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::{Finish, Later, Refusal};
use crate::resp::table::{DANGEROUS, FAST, Group, OF_KEYSPACE, READONLY, Run, Spec, WRITE};
use crate::{Backend, Failure, ScanPage, ScanQuery};

/// As many keys are looked at for a page at most.
const COUNT_MAX: i64 = 1 << 16;

/// Keys looked at for a page where the client did not say.
const COUNT: usize = 10;

/// Keys looked at for a page of `KEYS` and the like.
const PAGE: usize = 4096;

/// Beyond this the positions of cursors do not reach.
const CURSORS: u64 = 1 << 53;

pub(super) static SPECS: &[Spec] = &[
    away("scan", -2, READONLY, Group::Generic, scan).about("2.8.0", "A page of keys."),
    away("keys", 2, READONLY | DANGEROUS, Group::Generic, keys)
        .about("1.0.0", "The keys that match a pattern."),
    away("randomkey", 1, READONLY, Group::Generic, randomkey).about("1.0.0", "One of the keys."),
    away("dbsize", 1, READONLY | FAST | OF_KEYSPACE, Group::Server, dbsize)
        .about("1.0.0", "How many keys there are."),
    away("flushdb", -1, WRITE | DANGEROUS | OF_KEYSPACE, Group::Server, flush)
        .about("1.0.0", "Removes all keys."),
    away("flushall", -1, WRITE | DANGEROUS | OF_KEYSPACE, Group::Server, flush)
        .about("1.0.0", "Removes all keys."),
];

const fn away(
    name: &'static str,
    arity: i8,
    flags: u32,
    group: Group,
    run: fn(&Door, &Request<'_>) -> Result<Later, Refusal>,
) -> Spec {
    Spec::new(name, arity, flags, group, Run::Away(run))
}

/// What of the keys is looked at.
pub(super) struct Scope {
    backend: Arc<dyn Backend>,
    pattern: Option<Vec<u8>>,
    slot: Option<u16>,
    mine: bool,
}

impl Scope {
    fn of(door: &Door, pattern: Option<&[u8]>) -> Scope {
        Scope {
            backend: Arc::clone(&door.backend),
            pattern: pattern.map(<[u8]>::to_vec),
            slot: None,
            mine: door.kind == Kind::Cluster,
        }
    }

    pub(super) fn of_slot(door: &Door, slot: u16) -> Scope {
        Scope { slot: Some(slot), mine: false, ..Scope::of(door, None) }
    }

    async fn page(&self, cursor: u64, count: usize) -> Result<ScanPage, Failure> {
        let Scope { backend, pattern, slot, mine } = self;
        let query = ScanQuery { cursor, pattern: pattern.as_deref(), count, slot: *slot, mine: *mine };
        backend.scan(query).await
    }

    /// All keys, each once, until `enough` says so of their number and bytes.
    pub(super) async fn all(
        &self,
        enough: impl Fn(usize, usize) -> bool,
    ) -> Result<BTreeSet<Bytes>, Failure> {
        let mut found = BTreeSet::new();
        let (mut cursor, mut bytes) = (0, 0);
        loop {
            let page = self.page(cursor, PAGE).await?;
            for key in page.keys {
                let length = key.len();
                bytes += if found.insert(key) { length } else { 0 };
            }
            cursor = page.cursor;
            if cursor == 0 || enough(found.len(), bytes) {
                return Ok(found);
            }
        }
    }
}

/// The arguments of `SCAN`.
struct Arguments<'a> {
    cursor: u64,
    pattern: Option<&'a [u8]>,
    count: usize,
    /// Whether keys of this type are asked for; all are strings.
    strings: bool,
}

impl<'a> Arguments<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Arguments<'a>, Refusal> {
        let cursor = cursor(args[0]).ok_or("ERR invalid cursor")?;
        let mut arguments = Arguments { cursor, pattern: None, count: COUNT, strings: true };
        let (options, rest) = args[1..].as_chunks::<2>();
        for [option, value] in options {
            if option.eq_ignore_ascii_case(b"COUNT") {
                let count = number::integer(value).ok_or(Refusal::NOT_AN_INTEGER)?;
                let count = if count < 1 { return Err(Refusal::SYNTAX) } else { count.min(COUNT_MAX) };
                arguments.count = usize::try_from(count).map_err(|_| Refusal::NOT_AN_INTEGER)?;
            } else if option.eq_ignore_ascii_case(b"MATCH") {
                arguments.pattern = Some(value);
            } else if option.eq_ignore_ascii_case(b"TYPE") {
                arguments.strings = value.eq_ignore_ascii_case(b"string");
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        if rest.is_empty() { Ok(arguments) } else { Err(Refusal::SYNTAX) }
    }
}

/// A cursor as Redis reads it, by `strtoul`: with or without a sign, and nothing is 0.
fn cursor(text: &[u8]) -> Option<u64> {
    match text {
        [] => Some(0),
        [b'-', digits @ ..] => number::unsigned(digits).map(u64::wrapping_neg),
        [b'+', digits @ ..] | digits => number::unsigned(digits),
    }
}

fn scan(door: &Door, request: &Request<'_>) -> Result<Later, Refusal> {
    let Arguments { cursor, pattern, count, strings } = Arguments::parse(request.args())?;
    let scope = Scope::of(door, pattern);
    Ok(async move {
        let page = if strings { scope.page(cursor, count).await } else { Ok(ScanPage::default()) };
        let finish: Finish = Box::new(move |_, _, out| match page {
            Ok(page) => {
                out.array(2);
                out.bulk(page.cursor.to_string().as_bytes());
                out.array(page.keys.len());
                page.keys.iter().for_each(|key| out.bulk(key));
            }
            Err(failure) => form::fail(&failure, out),
        });
        finish
    }
    .boxed())
}

fn keys(door: &Door, request: &Request<'_>) -> Result<Later, Refusal> {
    let scope = Scope::of(door, request.args().first().copied().filter(|pattern| *pattern != b"*"));
    let limit = door.limits.reply_bytes / 4;
    Ok(async move {
        // A tree's node and a handle of bytes beside the key itself.
        let too_many = move |keys: usize, bytes: usize| bytes + keys * 64 > limit;
        match scope.all(too_many).await {
            Ok(keys) if too_many(keys.len(), keys.iter().map(Bytes::len).sum()) => {
                refused("ERR too many keys match for one reply, use SCAN".into())
            }
            result => listed(result),
        }
    }
    .boxed())
}

/// Answers by an array of keys.
pub(super) fn listed(result: Result<BTreeSet<Bytes>, Failure>) -> Finish {
    Box::new(move |_, _, out| match result {
        Ok(keys) => {
            out.array(keys.len());
            for key in &keys {
                out.bulk(key);
            }
        }
        Err(failure) => form::fail(&failure, out),
    })
}

fn randomkey(door: &Door, _: &Request<'_>) -> Result<Later, Refusal> {
    let scope = Scope::of(door, None);
    Ok(async move {
        let random = RandomState::new().build_hasher().finish();
        let found = match any_from(&scope, random % CURSORS, random).await {
            Ok(None) => any_from(&scope, 0, random).await,
            found => found,
        };
        let finish: Finish = Box::new(move |_, _, out| match found {
            Ok(Some(key)) => out.bulk(&key),
            Ok(None) => out.null(),
            Err(failure) => form::fail(&failure, out),
        });
        finish
    }
    .boxed())
}

/// One of the keys of the first page that has any, from a cursor on to the last page.
async fn any_from(scope: &Scope, cursor: u64, random: u64) -> Result<Option<Bytes>, Failure> {
    let mut cursor = cursor;
    loop {
        let mut page = scope.page(cursor, COUNT).await?;
        if !page.keys.is_empty() {
            let place = random % page.keys.len() as u64;
            return Ok(usize::try_from(place).ok().map(|place| page.keys.swap_remove(place)));
        }
        cursor = page.cursor;
        if cursor == 0 {
            return Ok(None);
        }
    }
}

fn dbsize(door: &Door, _: &Request<'_>) -> Result<Later, Refusal> {
    Ok(match door.kind {
        Kind::Proxy => counted(door, None),
        Kind::Cluster => {
            let finish: Finish = Box::new(move |_, door, out| {
                out.integer(i64::try_from(door.backend.status().entries).unwrap_or(i64::MAX));
            });
            std::future::ready(finish).boxed()
        }
    })
}

/// How many keys a slot has, or all.
pub(super) fn counted(door: &Door, slot: Option<u16>) -> Later {
    let backend = Arc::clone(&door.backend);
    async move { number_of(backend.count(slot).await) }.boxed()
}

fn number_of(count: Result<u64, Failure>) -> Finish {
    Box::new(move |_, _, out| match count {
        Ok(count) => out.integer(i64::try_from(count).unwrap_or(i64::MAX)),
        Err(failure) => form::fail(&failure, out),
    })
}

fn flush(door: &Door, request: &Request<'_>) -> Result<Later, Refusal> {
    match request.args() {
        [] => {}
        [how] if how.eq_ignore_ascii_case(b"SYNC") || how.eq_ignore_ascii_case(b"ASYNC") => {}
        _ => return Err(Refusal::SYNTAX),
    }
    let backend = Arc::clone(&door.backend);
    Ok(async move {
        let result = backend.flush().await;
        let finish: Finish = Box::new(move |_, _, out| match result {
            Ok(_) => out.ok(),
            Err(failure) => form::fail(&failure, out),
        });
        finish
    }
    .boxed())
}
