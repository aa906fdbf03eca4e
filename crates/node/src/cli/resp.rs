//! Many keys at once, over RESP: a node's own door, or a Redis server.

use std::collections::BTreeMap;
use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{
    Connection, ConnectionInfo, IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError,
    RedisResult,
};

use super::entries::Entry;
use super::failure::Failure;

/// How long to connect, and how long for an answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long to try again what a node cannot do now, and the rest between two tries.
pub(super) const TRIES: Duration = Duration::from_mins(1);
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Keys of which a node or server gets the values asked for at a time.
const AT_A_TIME: usize = 64;

/// The variable with the password of a server.
const PASSWORD: &str = "REDISCLI_AUTH";

/// A connection, and the name of what is at its other end.
pub(super) struct Resp {
    connection: Connection,
    pub(super) name: String,
}

/// Entries that a server was asked for.
#[derive(Default)]
pub(super) struct Read {
    pub(super) entries: Vec<Entry>,
    /// Keys that are no strings, by their type.
    pub(super) others: BTreeMap<String, u64>,
}

impl Resp {
    /// A connection to the RESP door at `addr`.
    pub(super) fn at(addr: &str, secret: Option<&str>) -> Result<Self, Failure> {
        let mut settings = RedisConnectionInfo::default();
        if let Some(secret) = secret {
            settings = settings.set_password(secret);
        }
        let info = format!("redis://{addr}").into_connection_info();
        Self::open(addr.to_owned(), info, |info| info.set_redis_settings(settings))
    }

    /// A connection to a server, by a URL like `redis://[user:password@]host:port/database`. Where the URL has no password, it is
    /// the one in the variable that `redis-cli` takes it from, if there is one.
    pub(super) fn of_server(url: &str) -> Result<Self, Failure> {
        // What is before the @ is secret.
        let name = url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned();
        let password = env::var(PASSWORD).ok().filter(|password| !password.is_empty());
        Self::open(name, url.into_connection_info(), |info| with_password(info, password))
    }

    fn open(
        name: String,
        info: RedisResult<ConnectionInfo>,
        change: impl FnOnce(ConnectionInfo) -> ConnectionInfo,
    ) -> Result<Self, Failure> {
        let connect = || -> RedisResult<Connection> {
            let client = redis::Client::open(change(info?))?;
            let connection = client.get_connection_with_timeout(CONNECT_MAX)?;
            connection.set_read_timeout(Some(ANSWER_MAX))?;
            connection.set_write_timeout(Some(ANSWER_MAX))?;
            Ok(connection)
        };
        match connect() {
            Ok(connection) => Ok(Self { connection, name }),
            Err(error) => Err(failed(&name, &error)),
        }
    }

    fn failed(&self, error: &RedisError) -> Failure {
        failed(&self.name, error)
    }

    /// What the server calls itself since its start; a node gives its id.
    pub(super) fn run_id(&mut self) -> Result<String, Failure> {
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query(&mut self.connection)
            .map_err(|error| self.failed(&error))?;
        let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(id.unwrap_or_default().to_owned())
    }

    /// How many keys there are, about.
    pub(super) fn len(&mut self) -> Result<u64, Failure> {
        redis::cmd("DBSIZE").query(&mut self.connection).map_err(|error| self.failed(&error))
    }

    /// The keys of a page, and where the next one begins; 0 after the last.
    pub(super) fn page(
        &mut self,
        cursor: u64,
        pattern: Option<&str>,
        count: usize,
    ) -> Result<(u64, Vec<Vec<u8>>), Failure> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(count);
        if let Some(pattern) = pattern {
            scan.arg("MATCH").arg(pattern);
        }
        let start = Instant::now();
        loop {
            match scan.query(&mut self.connection) {
                Err(error) if is_passing(&error) && start.elapsed() < TRIES => sleep(PAUSE),
                result => return result.map_err(|error| self.failed(&error)),
            }
        }
    }

    /// The entries of these keys; those that are gone are left out.
    pub(super) fn read(&mut self, keys: &[Vec<u8>]) -> Result<Read, Failure> {
        let mut read = Read::default();
        for some in keys.chunks(AT_A_TIME) {
            let types: Vec<String> = self.all(some, |pipeline, key| pipeline.cmd("TYPE").arg(key))?;
            let (strings, others): (Vec<_>, Vec<_>) =
                some.iter().zip(types).partition(|(_, kind)| kind == "string");
            for (_, kind) in others.into_iter().filter(|(_, kind)| kind != "none") {
                *read.others.entry(kind).or_default() += 1;
            }
            let strings: Vec<&Vec<u8>> = strings.into_iter().map(|(key, _)| key).collect();
            let values: Vec<Option<Vec<u8>>> =
                self.all(&strings, |pipeline, key| pipeline.cmd("GET").arg(key.as_slice()))?;
            let left: Vec<i64> =
                self.all(&strings, |pipeline, key| pipeline.cmd("PTTL").arg(key.as_slice()))?;
            let now_ms = unix_ms();
            for ((key, value), left_ms) in strings.into_iter().zip(values).zip(left) {
                // -1: it does not expire, -2: it is gone.
                let expires_at_ms = u64::try_from(left_ms).ok().map(|left_ms| now_ms + left_ms);
                if let (Some(value), true) = (value, left_ms != -2) {
                    read.entries.push(Entry { key: key.clone(), value, content_type: None, expires_at_ms });
                }
            }
        }
        Ok(read)
    }

    /// Writes entries; with `keep`, only those of which the key is not there. For each in its order, whether it was written, or
    /// why the node does not take it.
    pub(super) fn write(
        &mut self,
        entries: &[&Entry],
        keep: bool,
    ) -> Result<Vec<Result<bool, String>>, Failure> {
        let mut written = Vec::with_capacity(entries.len());
        for some in entries.chunks(AT_A_TIME) {
            let done: Vec<RedisResult<Option<String>>> = self.each(some, |pipeline, entry| {
                pipeline.cmd("SET").arg(&entry.key).arg(&entry.value);
                if let Some(at_ms) = entry.expires_at_ms {
                    pipeline.arg("PXAT").arg(at_ms);
                }
                if keep {
                    pipeline.arg("NX");
                }
                pipeline
            })?;
            for (entry, done) in some.iter().zip(done) {
                written.push(match done {
                    Ok(done) => Ok(done.is_some()),
                    // What is wrong with this entry; all other errors would meet the next as well.
                    Err(error) if error.code() == Some("ERR") => Err(reason(&error)),
                    Err(error) => return Err(Failure::Key { key: entry.shown(), reason: reason(&error) }),
                });
            }
        }
        Ok(written)
    }

    /// Reads (true) or writes keys, all at once; what a node cannot do now is asked for again, and counts as time.
    pub(super) fn use_keys(
        &mut self,
        keys: &[(String, bool)],
        value: &[u8],
        ttl: Duration,
    ) -> Result<(), Failure> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let _: Vec<redis::Value> = self.all(keys, |pipeline, (key, read)| {
            if *read {
                pipeline.cmd("GET").arg(key)
            } else {
                pipeline.cmd("SET").arg(key).arg(value).arg("PX").arg(ttl_ms)
            }
        })?;
        Ok(())
    }

    /// As [`Resp::each`], where every command has to succeed.
    fn all<T, R: redis::FromRedisValue>(
        &mut self,
        items: &[T],
        command: impl for<'p> Fn(&'p mut Pipeline, &T) -> &'p mut Pipeline,
    ) -> Result<Vec<R>, Failure> {
        let replies: RedisResult<Vec<R>> = self.each(items, command)?.into_iter().collect();
        replies.map_err(|error| self.failed(&error))
    }

    /// Sends a command per item and gives the replies; what cannot be done now is asked for again.
    fn each<T, R: redis::FromRedisValue>(
        &mut self,
        items: &[T],
        command: impl for<'p> Fn(&'p mut Pipeline, &T) -> &'p mut Pipeline,
    ) -> Result<Vec<RedisResult<R>>, Failure> {
        let start = Instant::now();
        let mut replies: Vec<Option<RedisResult<R>>> = items.iter().map(|_| None).collect();
        loop {
            let missing: Vec<usize> = (0..items.len()).filter(|&place| replies[place].is_none()).collect();
            if missing.is_empty() {
                return Ok(replies.into_iter().flatten().collect());
            }
            let mut pipeline = redis::pipe();
            for &place in &missing {
                command(&mut pipeline, &items[place]);
            }
            let answers: Vec<RedisResult<R>> =
                pipeline.ignore_errors().query(&mut self.connection).map_err(|error| self.failed(&error))?;
            for (place, answer) in missing.into_iter().zip(answers) {
                let again = answer.as_ref().is_err_and(is_passing) && start.elapsed() < TRIES;
                if !again {
                    replies[place] = Some(answer);
                }
            }
            if replies.iter().any(Option::is_none) {
                sleep(PAUSE);
            }
        }
    }
}

/// With `password` unless the URL has one.
fn with_password(info: ConnectionInfo, password: Option<String>) -> ConnectionInfo {
    let settings = info.redis_settings().clone();
    match password.filter(|_| settings.password().is_none()) {
        Some(password) => info.set_redis_settings(settings.set_password(password)),
        None => info,
    }
}

/// What a server said, without the library's words around it.
fn reason(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    }
}

fn failed(name: &str, error: &RedisError) -> Failure {
    Failure::Resp { name: name.to_owned(), reason: reason(error), unreachable: error.is_io_error() }
}

/// Whether a node says that it cannot now, or that it does not know: writing or reading the same again does no harm.
fn is_passing(error: &RedisError) -> bool {
    matches!(error.code(), Some("TRYAGAIN" | "UNKNOWN" | "LOADING"))
}

pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_url_wins_over_the_one_of_the_environment() {
        let password = |url: &str| {
            let info = with_password(url.into_connection_info().unwrap(), Some("variable".to_owned()));
            info.redis_settings().password().map(str::to_owned)
        };
        assert_eq!(password("redis://web1/2").as_deref(), Some("variable"));
        assert_eq!(password("redis://user@web1").as_deref(), Some("variable"));
        assert_eq!(password("redis://:url@web1").as_deref(), Some("url"));
    }
}
