//! What a client says about itself and its connection.

use super::keys::check_database;
use super::{Context, client, info};
use crate::resp::config::Kind;
use crate::resp::number;
use crate::resp::replies::Protocol;
use crate::resp::request::Request;
use crate::resp::step::{Refusal, Step};
use crate::resp::table::{ALLOW_BUSY, FAST, Group, LOADING, NO_AUTH, NOSCRIPT, Run, STALE, Spec};

const GREETING: u32 = NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY;

/// The one name that `AUTH` knows.
const USER: &[u8] = b"default";

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

pub(super) static SPECS: &[Spec] = &[
    connection("ping", -1, FAST, Run::Here(ping)).about("1.0.0", "Says PONG, or what it was told."),
    connection("echo", 2, LOADING | STALE | FAST, Run::Here(echo)).about("1.0.0", "Says what it was told."),
    connection("quit", -1, GREETING, Run::Flow(quit)).about("1.0.0", "Closes the connection."),
    connection("reset", 1, GREETING, Run::Flow(reset))
        .about("6.2.0", "Makes the connection as if it were new."),
    connection("select", 2, LOADING | STALE | FAST, Run::Here(select)).about("1.0.0", "Chooses database 0."),
    connection("hello", -1, GREETING, Run::Here(hello))
        .about("6.0.0", "Chooses the version of the protocol."),
    connection("auth", -2, GREETING, Run::Here(auth)).about("1.0.0", "Shows the password."),
    Spec::new("client", -2, 0, Group::Connection, Run::Container)
        .about("2.4.0", "The connections and what they are called.")
        .with(&client::SPECS),
];

const fn connection(name: &'static str, arity: i8, flags: u32, run: Run) -> Spec {
    Spec::new(name, arity, flags, Group::Connection, run)
}

fn ping(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    match request.args() {
        [] => context.out.simple("PONG"),
        [text] => context.out.bulk(text),
        _ => return Err(Refusal::arity("ping")),
    }
    Ok(())
}

fn echo(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    context.out.bulk(request.args()[0]);
    Ok(())
}

fn quit(context: &mut Context<'_>, _: &Request<'_>) -> Result<Step<'static>, Refusal> {
    context.out.ok();
    Ok(Step::Close)
}

fn reset(context: &mut Context<'_>, _: &Request<'_>) -> Result<Step<'static>, Refusal> {
    context.session.reset(context.door);
    context.out.set_protocol(Protocol::V2);
    context.out.simple("RESET");
    Ok(Step::Done)
}

fn select(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let number = request.args()[0];
    if context.door.kind == Kind::Cluster && number::integer(number).is_some_and(|number| number != 0) {
        return Err("ERR SELECT is not allowed in cluster mode".into());
    }
    check_database(number)?;
    context.out.ok();
    Ok(())
}

fn auth(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let (user, password) = match request.args() {
        [_] if !context.door.asks_for_password() => {
            return Err("ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?"
                .into());
        }
        [password] => (USER, *password),
        [user, password] => (*user, *password),
        _ => return Err(Refusal::SYNTAX),
    };
    authenticate(context, user, password)?;
    context.out.ok();
    Ok(())
}

/// Without a password on the door, any one will do.
fn authenticate(context: &mut Context<'_>, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    let Context { session, door, .. } = context;
    if user == USER && (!door.asks_for_password() || session.authenticate(door, password)) {
        return Ok(());
    }
    Err(WRONG_PASSWORD.into())
}

/// What `HELLO` is told.
#[derive(Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    user_and_password: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Greeting<'a>, Refusal> {
        let mut greeting = Greeting::default();
        let Some((version, mut rest)) = args.split_first() else { return Ok(greeting) };
        greeting.protocol = Some(match number::integer(version) {
            Some(2) => Protocol::V2,
            Some(3) => Protocol::V3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        });
        loop {
            rest = match rest {
                [] => return Ok(greeting),
                [option, user, password, rest @ ..] if option.eq_ignore_ascii_case(b"AUTH") => {
                    greeting.user_and_password = Some((user, password));
                    rest
                }
                [option, name, rest @ ..] if option.eq_ignore_ascii_case(b"SETNAME") => {
                    greeting.name = Some(name);
                    rest
                }
                [option, ..] => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
                }
            }
        }
    }
}

fn hello(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let Greeting { protocol, user_and_password, name } = Greeting::parse(request.args())?;
    let name = name.map(client::name).transpose()?;
    if let Some((user, password)) = user_and_password {
        authenticate(context, user, password)?;
    }
    let Context { session, door, out } = context;
    if !session.authenticated() {
        return Err(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                    AUTH <user> <pass> option can be used to authenticate the client and select the \
                    RESP protocol version at the same time"
                .into(),
        );
    }
    if let Some(name) = name {
        session.client().label(|labels| labels.name = name);
    }
    if let Some(protocol) = protocol {
        out.set_protocol(protocol);
    }
    let mode = if door.kind == Kind::Cluster { "cluster" } else { "standalone" };
    out.map(7);
    for (field, value) in [("server", "redis"), ("version", info::REDIS_VERSION)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.integer(if out.protocol() == Protocol::V3 { 3 } else { 2 });
    out.bulk(b"id");
    out.integer(i64::try_from(session.client().id).unwrap_or(i64::MAX));
    for (field, value) in [("mode", mode), ("role", "master")] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_in_any_order_or_refused() {
        let greeting = Greeting::parse(&[b"3", b"setname", b"me", b"AUTH", b"default", b"x"]).unwrap();
        assert_eq!(greeting.protocol, Some(Protocol::V3));
        assert_eq!(greeting.name, Some(&b"me"[..]));
        assert_eq!(greeting.user_and_password, Some((&b"default"[..], &b"x"[..])));
        for wrong in [&[&b"4"[..]][..], &[b"x"], &[b"3", b"AUTH", b"x"], &[b"2", b"SETNAME"], &[b"2", b"FOO"]]
        {
            assert!(Greeting::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
