//! The subcommands of `CLIENT`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Context, server};
use crate::resp::clients::Client;
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::session::Quiet;
use crate::resp::step::Refusal;
use crate::resp::table::{ADMIN, Group, NOSCRIPT, Spec};

pub(super) static SPECS: [Spec; 17] = [
    Spec::at_once("client|id", 2, NOSCRIPT, Group::Connection, id)
        .about("5.0.0", "The number of this connection."),
    Spec::at_once("client|info", 2, NOSCRIPT, Group::Connection, info).about("6.2.0", "This connection."),
    Spec::at_once("client|list", -2, ADMIN | NOSCRIPT, Group::Connection, list)
        .about("2.4.0", "The connections of this door."),
    Spec::at_once("client|kill", -3, ADMIN | NOSCRIPT, Group::Connection, kill)
        .about("2.4.0", "Ends connections of this door."),
    Spec::at_once("client|getname", 2, NOSCRIPT, Group::Connection, getname)
        .about("2.6.9", "What this connection is called."),
    Spec::at_once("client|setname", 3, NOSCRIPT, Group::Connection, setname)
        .about("2.6.9", "Names this connection."),
    Spec::at_once("client|setinfo", 4, NOSCRIPT, Group::Connection, setinfo)
        .about("7.2.0", "Names the library and its version."),
    Spec::at_once("client|no-evict", 3, ADMIN | NOSCRIPT, Group::Connection, on_or_off)
        .about("7.0.0", "Does nothing: no connection is ended for memory of others."),
    Spec::at_once("client|no-touch", 3, NOSCRIPT, Group::Connection, on_or_off)
        .about("7.2.0", "Does nothing: reading a key changes nothing."),
    Spec::at_once("client|reply", 3, NOSCRIPT, Group::Connection, reply)
        .about("3.2.0", "Leaves replies out."),
    Spec::at_once("client|tracking", -3, NOSCRIPT, Group::Connection, tracking)
        .about("6.0.0", "Takes OFF only: there is no tracking."),
    Spec::at_once("client|trackinginfo", 2, NOSCRIPT, Group::Connection, trackinginfo)
        .about("6.2.0", "Says that there is no tracking."),
    Spec::at_once("client|caching", 3, NOSCRIPT, Group::Connection, caching)
        .about("6.0.0", "Refused: there is no tracking."),
    Spec::at_once("client|getredir", 2, NOSCRIPT, Group::Connection, getredir)
        .about("6.0.0", "Always -1: there is no tracking."),
    Spec::at_once("client|unblock", -3, ADMIN | NOSCRIPT, Group::Connection, unblock)
        .about("5.0.0", "Always 0: no command blocks."),
    Spec::at_once("client|unpause", 2, ADMIN | NOSCRIPT, Group::Connection, unpause)
        .about("6.2.0", "Does nothing: nothing is paused."),
    Spec::at_once("client|help", 2, 0, Group::Connection, help).about("5.0.0", "Tells the subcommands."),
];

/// A handler's result.
type Handled = Result<(), Refusal>;

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    server::help("client", context.out);
    Ok(())
}

fn id(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.integer(i64::try_from(context.session.client().id).unwrap_or(i64::MAX));
    Ok(())
}

fn info(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.verbatim(&format!("{}\n", context.session.client().line()));
    Ok(())
}

fn list(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let all = context.door.clients.all();
    let chosen: Vec<Arc<Client>> = match &request.args()[1..] {
        [] => all,
        [option, kind] if option.eq_ignore_ascii_case(b"TYPE") => {
            if is_normal(kind)? {
                all
            } else {
                Vec::new()
            }
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            let ids: Option<BTreeSet<u64>> = ids.iter().map(|id| number::unsigned(id)).collect();
            let ids = ids.ok_or("ERR Invalid client ID")?;
            all.into_iter().filter(|client| ids.contains(&client.id)).collect()
        }
        _ => return Err(Refusal::SYNTAX),
    };
    let lines: String = chosen.iter().map(|client| client.line() + "\n").collect();
    context.out.verbatim(&lines);
    Ok(())
}

/// Whether clients of this type are the ordinary ones, which all are.
fn is_normal(kind: &[u8]) -> Result<bool, Refusal> {
    let is = |name: &&str| kind.eq_ignore_ascii_case(name.as_bytes());
    if ["normal", "master", "slave", "replica", "pubsub"].iter().any(is) {
        return Ok(is(&"normal"));
    }
    Err(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(kind)).into())
}

/// Which connections `CLIENT KILL` ends: those that all of these are true of.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    /// None at all, because of a type that nobody has.
    nobody: bool,
    even_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Filter<'a>, Refusal> {
        let mut filter = Filter::default();
        let (options, rest) = args.as_chunks::<2>();
        for [option, value] in options {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("ID") {
                let id = number::unsigned(value).filter(|id| *id > 0);
                filter.id = Some(id.ok_or("ERR client-id should be greater than 0")?);
            } else if is("ADDR") {
                filter.addr = Some(value);
            } else if is("LADDR") {
                filter.laddr = Some(value);
            } else if is("TYPE") {
                filter.nobody |= !is_normal(value)?;
            } else if is("USER") {
                if *value != b"default" {
                    return Err(format!("ERR No such user '{}'", String::from_utf8_lossy(value)).into());
                }
            } else if is("SKIPME") && value.eq_ignore_ascii_case(b"yes") {
                filter.even_me = false;
            } else if is("SKIPME") && value.eq_ignore_ascii_case(b"no") {
                filter.even_me = true;
            } else {
                return Err(Refusal::SYNTAX);
            }
        }
        if rest.is_empty() { Ok(filter) } else { Err(Refusal::SYNTAX) }
    }

    fn takes(&self, client: &Client, me: u64) -> bool {
        let is = |addr: std::net::SocketAddr, text: &[u8]| addr.to_string().as_bytes() == text;
        !self.nobody
            && (self.even_me || client.id != me)
            && self.id.is_none_or(|id| client.id == id)
            && self.addr.is_none_or(|addr| is(client.peer, addr))
            && self.laddr.is_none_or(|addr| is(client.local, addr))
    }
}

fn kill(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let me = context.session.client().id;
    let args = &request.args()[1..];
    let filter = match args {
        [addr] => Filter { addr: Some(addr), even_me: true, ..Filter::default() },
        options => Filter::parse(options)?,
    };
    let all = context.door.clients.all();
    let killed = all.iter().filter(|client| filter.takes(client, me)).inspect(|client| client.kill()).count();
    match (args.len(), killed) {
        (1, 0) => return Err("ERR No such client".into()),
        (1, _) => context.out.ok(),
        _ => context.out.integer(i64::try_from(killed).unwrap_or(i64::MAX)),
    }
    Ok(())
}

fn getname(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let name = context.session.client().labels().name;
    if name.is_empty() {
        context.out.null();
    } else {
        context.out.bulk(name.as_bytes());
    }
    Ok(())
}

/// A name for a connection.
pub(super) fn name(text: &[u8]) -> Result<String, Refusal> {
    label(text, "Client names")
}

/// Longest name, so that the list of all connections is no longer than a reply may be.
const LABEL_BYTES_MAX: usize = 1024;

/// Printable ASCII without blanks.
fn label(text: &[u8], what: &str) -> Result<String, Refusal> {
    let printable = text.iter().all(u8::is_ascii_graphic);
    match str::from_utf8(text) {
        Ok(text) if text.len() > LABEL_BYTES_MAX => {
            Err(format!("ERR {what} cannot be longer than {LABEL_BYTES_MAX} bytes.").into())
        }
        Ok(text) if printable => Ok(text.to_owned()),
        _ => Err(format!("ERR {what} cannot contain spaces, newlines or special characters.").into()),
    }
}

fn setname(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let name = name(request.args()[1])?;
    context.session.client().label(|labels| labels.name = name);
    context.out.ok();
    Ok(())
}

fn setinfo(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let (option, value) = (request.args()[1], request.args()[2]);
    let client = context.session.client();
    if option.eq_ignore_ascii_case(b"lib-name") {
        let library = label(value, "lib-name")?;
        client.label(|labels| labels.library = library);
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        let version = label(value, "lib-ver")?;
        client.label(|labels| labels.library_version = version);
    } else {
        return Err(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(option)).into());
    }
    context.out.ok();
    Ok(())
}

fn on_or_off(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let choice = request.args()[1];
    if !choice.eq_ignore_ascii_case(b"ON") && !choice.eq_ignore_ascii_case(b"OFF") {
        return Err(Refusal::SYNTAX);
    }
    context.out.ok();
    Ok(())
}

fn reply(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let choice = request.args()[1];
    let quiet = &mut context.session.quiet;
    if choice.eq_ignore_ascii_case(b"ON") {
        *quiet = Quiet::No;
        context.out.ok();
    } else if choice.eq_ignore_ascii_case(b"OFF") {
        *quiet = Quiet::Yes;
    } else if choice.eq_ignore_ascii_case(b"SKIP") {
        if *quiet != Quiet::Yes {
            *quiet = Quiet::ThisAndNext;
        }
    } else {
        return Err(Refusal::SYNTAX);
    }
    Ok(())
}

fn tracking(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    match &request.args()[1..] {
        [off] if off.eq_ignore_ascii_case(b"OFF") => context.out.ok(),
        [on, ..] if on.eq_ignore_ascii_case(b"ON") => {
            return Err("ERR client tracking is not supported".into());
        }
        _ => return Err(Refusal::SYNTAX),
    }
    Ok(())
}

fn trackinginfo(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let out = &mut *context.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(1);
    out.bulk(b"off");
    out.bulk(b"redirect");
    out.integer(-1);
    out.bulk(b"prefixes");
    out.array(0);
    Ok(())
}

fn caching(_: &mut Context<'_>, _: &Request<'_>) -> Handled {
    Err("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled".into())
}

fn getredir(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.integer(-1);
    Ok(())
}

fn unblock(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let args = request.args();
    match &args[2..] {
        [] => {}
        [reason] if reason.eq_ignore_ascii_case(b"TIMEOUT") || reason.eq_ignore_ascii_case(b"ERROR") => {}
        [_] => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
        _ => return Err(Refusal::subcommand_arity("CLIENT", args[0])),
    }
    number::integer(args[1]).ok_or(Refusal::NOT_AN_INTEGER)?;
    context.out.integer(0);
    Ok(())
}

fn unpause(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.ok();
    Ok(())
}
