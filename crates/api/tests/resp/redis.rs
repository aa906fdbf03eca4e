//! The commands over a map, compared with a redis-server's.

use crate::client::TestDoor;
use crate::oracle::{Redis, compare_commands, compare_transactions};
use crate::wire::TestClient;

#[tokio::test]
async fn thousands_of_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    let seed = std::env::var("BOATO_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    compare_commands(door.addr, &redis, seed, 2, 4000).await;
    compare_commands(door.addr, &redis, seed + 1, 3, 4000).await;
}

#[tokio::test]
async fn transactions_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    compare_transactions(door.addr, &redis, 3, 300).await;
}

#[tokio::test]
async fn the_command_table_says_what_redis_says() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    let mut ours = door.client().await;
    let mut theirs = TestClient::connect(redis.addr).await;
    let names = ours.ask("COMMAND LIST").await;
    let names: Vec<&str> = names
        .split("\r\n")
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .collect();
    assert!(names.len() > 60, "{names:?}");
    for name in names {
        let (ours, theirs) = (
            ours.ask(&format!("COMMAND INFO {name}")).await,
            theirs.ask(&format!("COMMAND INFO {name}")).await,
        );
        assert_eq!(essence(&ours), essence(&theirs), "{name}");
    }
}

/// Name, arity, flags, positions and categories, in no order: what comes before the tips.
fn essence(info: &str) -> Vec<String> {
    let mut lines: Vec<String> = info.split("\r\n").map(str::to_owned).collect();
    // The second set of statuses, the categories, ends where an aggregate or a string begins.
    let categories = lines.iter().position(|line| line.starts_with("+@")).unwrap();
    let end = lines[categories..].iter().position(|line| !line.starts_with("+@")).unwrap();
    lines.truncate(categories + end);
    lines.retain(|line| line != "+no_multi" && line != "+movablekeys" && !line.starts_with('*'));
    lines.sort();
    lines
}
