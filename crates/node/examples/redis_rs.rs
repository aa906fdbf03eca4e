//! The redis crate, one node and cluster: what an application sees while nodes come and go.
//!
//!     redis_rs PLAIN CLUSTER,CLUSTER,...       addresses, host:port
//!
//! It says "ready" once everyday commands have been tried, and then works until its input ends. Every answer has to be right,
//! and no error is caught.

use std::error::Error;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use redis::cluster::ClusterClient;
use redis::{AsyncCommands, Client, ErrorKind, RedisResult, ServerErrorKind};

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

const KEYS: usize = 50;
static OPEN: AtomicBool = AtomicBool::new(true);

#[tokio::main]
async fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plain, cluster] = &arguments[..] else {
        return Err("usage: redis_rs PLAIN CLUSTER,CLUSTER,...".into());
    };
    let mut one = Client::open(format!("redis://{plain}"))?.get_multiplexed_async_connection().await?;
    let nodes = cluster.split(',').map(|address| format!("redis://{address}"));
    let mut cluster = ClusterClient::new(nodes)?.get_async_connection().await?;
    // No other run has these keys.
    let prefix = format!("redis-rs:{}", std::process::id());
    let cluster_prefix = format!("{prefix}:cluster");
    everyday(&mut one, &prefix).await?;
    everyday(&mut cluster, &cluster_prefix).await?;
    println!("ready");
    thread::spawn(|| {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        OPEN.store(false, Relaxed);
        ended
    });
    let (one, cluster) = tokio::try_join!(work(&mut one, &prefix), work(&mut cluster, &cluster_prefix))?;
    println!("{} operations", one + cluster);
    Ok(())
}

/// Commands that any application uses.
async fn everyday(client: &mut impl AsyncCommands, prefix: &str) -> Done<()> {
    let key = |name: &str| format!("{prefix}:{{everyday}}:{name}");
    let () = client.set_ex(key("text"), "hello", 100).await?;
    check(client.get(key("text")).await?, Some("hello".to_owned()))?;
    check(client.set_nx(key("text"), "again").await?, false)?;
    let seconds: i64 = client.ttl(key("text")).await?;
    check(seconds > 0, true)?;
    check(client.incr(key("number"), 42).await?, 42)?;
    let () = client.mset(&[(key("a"), 1), (key("b"), 2)]).await?;
    check(client.mget(&[key("a"), key("b"), key("c")]).await?, vec![Some(1), Some(2), None])?;
    let mut pipe = redis::pipe();
    pipe.atomic().incr(key("number"), 1).get(key("number"));
    check(pipe.query_async(client).await?, (43, 43))?;
    check(client.del(&[key("a"), key("b")]).await?, 2)?;
    let counted: RedisResult<i64> = client.incr(key("text"), 1).await;
    let refused =
        counted.is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError));
    check(refused, true)
}

/// Writes, reads and counts until told to stop.
async fn work(client: &mut impl AsyncCommands, prefix: &str) -> Done<usize> {
    let mut rounds = 0;
    while rounds == 0 || OPEN.load(Relaxed) {
        rounds += 1;
        for n in 0..KEYS {
            let (key, value) = (format!("{prefix}:{n}"), format!("{n}-{rounds}"));
            let () = client.set(&key, &value).await?;
            check(client.get(&key).await?, value)?;
            check(client.incr(format!("{key}:count"), 1).await?, rounds)?;
        }
    }
    Ok(rounds * KEYS * 3)
}

#[expect(clippy::needless_pass_by_value, reason = "answers that nothing else is done with")]
fn check<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Done<()> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}").into()) }
}
