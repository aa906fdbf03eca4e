//! What a door puts up with: sizes, numbers, times.

use std::io::ErrorKind;
use std::time::Duration;

use boato_api::resp::{Config, Limits};
use boato_api::{Token, Tokens};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{PATIENCE, TestClient, TestDoor, encoded};

const SHORT: Duration = Duration::from_millis(50);

/// Everything the door says to these bytes until it ends the connection.
async fn last_words(door: &TestDoor, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut words = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut words)).await.expect("the end in time").unwrap();
    String::from_utf8(words).unwrap()
}

#[tokio::test]
async fn a_protocol_error_is_told_after_the_replies_before_it_and_ends_the_connection() {
    let door = TestDoor::open().await;
    let (ping, line) = ("*1\r\n$4\r\nPING\r\n", "x".repeat(70_000));
    for (bytes, error) in [
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*1\r\n$16777217\r\n", "invalid bulk length"),
        ("SET \"a\r\n", "unbalanced quotes in request"),
        (&line, "too big inline request"),
    ] {
        // What follows is not looked at, and does not take the error away.
        let sent = format!("{ping}GET far/x\r\n{bytes}{}", ping.repeat(20_000));
        let expected = format!("+PONG\r\n$-1\r\n-ERR Protocol error: {error}\r\n");
        assert_eq!(last_words(&door, sent.as_bytes()).await, expected);
    }
}

#[tokio::test]
async fn an_http_request_is_told_nothing() {
    let door = TestDoor::open().await;
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /x\r\n", "Host: localhost\r\n"] {
        let mut stream = TcpStream::connect(door.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut words = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut words)).await.expect("the end in time");
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        assert!(words.is_empty(), "{words:?}");
    }
}

#[tokio::test]
async fn replies_to_what_was_read_before_are_not_lost_with_what_is_refused() {
    let door = TestDoor::open().await;
    let sent = [encoded(&["PING"]).repeat(2000), b"POST /x\r\n".to_vec()].concat();
    let words = last_words(&door, &sent).await;
    assert!(words.starts_with("+PONG\r\n"), "{} bytes", words.len());
    assert_eq!(words.len() % "+PONG\r\n".len(), 0);
}

#[tokio::test]
async fn memory_that_replies_take_only_until_they_are_written_refuses_nobody() {
    let door = TestDoor::limited(Limits { memory_bytes: 32 << 10, ..Limits::default() }).await;
    let mut client = door.client().await;
    assert_eq!(client.ask(&format!("SET k {}", "x".repeat(100))).await, "+OK\r\n");
    let mut client = door.client().await;
    client.send(&encoded(&["GET", "k"]).repeat(1000)).await;
    for _ in 0..1000 {
        assert_eq!(client.reply().await, format!("$100\r\n{}\r\n", "x".repeat(100)).as_bytes());
    }
}

#[tokio::test]
async fn strangers_may_send_little_until_they_show_the_password() {
    let door = TestDoor::locked("secret").await;
    let large = "x".repeat(17_000);
    let set = encoded(&["SET", "k", &large]);
    assert_eq!(last_words(&door, &set).await, "-ERR Protocol error: unauthenticated bulk length\r\n");
    let many = encoded(&["DEL"; 11]);
    assert_eq!(last_words(&door, &many).await, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    let mut client = door.client().await;
    assert_eq!(client.ask("AUTH secret").await, "+OK\r\n");
    assert_eq!(client.ask_words(&["SET", "k", &large]).await, b"+OK\r\n");
}

#[tokio::test]
async fn beyond_the_cap_connections_are_told_so_and_closed() {
    let door = TestDoor::limited(Limits { connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (door.client().await, door.client().await);
    assert_eq!((first.ask("PING").await, second.ask("PING").await), ("+PONG\r\n".into(), "+PONG\r\n".into()));
    assert_eq!(last_words(&door, b"").await, "-ERR max number of clients reached\r\n");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while last_words_or_pong(&door).await != "+PONG\r\n" {
        assert!(Instant::now() < deadline, "the place is not given back");
    }
}

#[tokio::test]
async fn a_stranger_shows_the_password_in_time_whatever_it_says_meanwhile() {
    let password_timeout = Duration::from_secs(2);
    let limits = Limits { password_timeout, ..Limits::default() };
    let passwords = Tokens::new([Token::new("secret")]);
    let door = TestDoor::with(Config { passwords, limits, ..Config::default() }).await;
    let mut known = door.client().await;
    assert_eq!(known.ask("AUTH secret").await, "+OK\r\n");
    let started = Instant::now();
    let mut stranger = TcpStream::connect(door.addr).await.unwrap();
    // Writing fails some time after the connection is gone.
    while stranger.write_all(b"PING\r\n").await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "it may stay");
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(started.elapsed() >= password_timeout);
    assert_eq!(known.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_though_it_drips_a_command() {
    let door = TestDoor::limited(Limits { write_timeout: 4 * SHORT, ..Limits::default() }).await;
    door.client().await.ask(&format!("SET k {}", "x".repeat(1 << 20))).await;
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(&encoded(&["GET", "k"]).repeat(20)).await.unwrap();
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$60000\r\n").await.unwrap();
    let mut other = door.client().await;
    let deadline = Instant::now() + PATIENCE;
    while other.ask("CLIENT LIST").await.matches("laddr=").count() > 1 {
        assert!(Instant::now() < deadline, "it is still there");
        let _ = stream.write_all(b"x").await;
        tokio::time::sleep(SHORT / 10).await;
    }
}

#[tokio::test]
async fn what_is_done_in_one_go_is_bounded() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("MULTI").await, "+OK\r\n");
    for _ in 0..1024 {
        assert_eq!(client.ask("PING").await, "+QUEUED\r\n");
    }
    assert_eq!(client.ask("PING").await, "-ERR the transaction is too long\r\n");
    assert!(client.ask("EXEC").await.starts_with("-EXECABORT"));
    let patterns = [&["CONFIG", "GET"][..], &["port"; 64]].concat();
    assert!(client.ask_words(&patterns).await.starts_with(b"*2\r\n$4\r\nport"));
    let more = [&patterns[..], &["port"]].concat();
    assert_eq!(client.ask_words(&more).await, b"-ERR too many patterns\r\n");
    let keys = [&["WATCH"][..], &vec!["k"; 40_000]].concat();
    assert_eq!(client.ask_words(&keys).await, b"+OK\r\n");
    assert_eq!(client.ask_words(&keys).await, b"-ERR too many keys are watched\r\n");
    assert_eq!(client.ask("UNWATCH").await, "+OK\r\n");
    assert_eq!(client.ask_words(&keys).await, b"+OK\r\n");
}

async fn last_words_or_pong(door: &TestDoor) -> String {
    let mut client = TestClient::connect(door.addr).await;
    client.send(b"QUIT\r\n").await;
    String::from_utf8(client.reply().await).unwrap().replace("+OK", "+PONG")
}

#[tokio::test]
async fn a_command_that_does_not_go_on_ends_the_connection_and_silence_between_commands_does_not() {
    let door = TestDoor::limited(Limits { command_timeout: SHORT, ..Limits::default() }).await;
    let mut silent = door.client().await;
    assert_eq!(silent.ask("PING").await, "+PONG\r\n");
    let started = Instant::now();
    assert_eq!(last_words(&door, b"PING\r\n*2\r\n$3\r\nGET\r\n$5\r\nab").await, "+PONG\r\n");
    assert!(started.elapsed() >= SHORT);
    assert_eq!(last_words(&door, b"PIN").await, "");
    assert_eq!(silent.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn silence_ends_a_connection_where_it_is_told_to() {
    let door = TestDoor::limited(Limits { idle_timeout: Some(10 * SHORT), ..Limits::default() }).await;
    assert_eq!(last_words(&door, b"PING\r\n").await, "+PONG\r\n");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let door = TestDoor::limited(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    door.client().await.ask(&format!("SET k {}", "x".repeat(1 << 20))).await;
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(&encoded(&["GET", "k"]).repeat(200)).await.unwrap();
    let mut other = door.client().await;
    let deadline = Instant::now() + PATIENCE;
    while other.ask("CLIENT LIST").await.matches("laddr=").count() > 1 {
        assert!(Instant::now() < deadline, "it is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut taken = Vec::new();
    // It gets what was under way.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut taken)).await.expect("the end in time");
    assert!(taken.len() < 200 << 20);
}

#[tokio::test]
async fn replies_that_nobody_takes_count_against_the_memory_of_all_while_they_wait() {
    let door = TestDoor::limited(Limits { memory_bytes: 8 << 20, ..Limits::default() }).await;
    door.client().await.ask(&format!("SET k {}", "x".repeat(1 << 20))).await;
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(&encoded(&["GET", "k"]).repeat(60)).await.unwrap();
    let mut other = door.client().await;
    let deadline = Instant::now() + PATIENCE;
    while other.ask("CLIENT LIST").await.matches("laddr=").count() > 1 {
        assert!(Instant::now() < deadline, "it waits with more than all may hold");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reply_that_is_too_long_ends_the_connection() {
    let door = TestDoor::limited(Limits { reply_bytes: 1000, ..Limits::default() }).await;
    let mut client = door.client().await;
    assert_eq!(client.ask(&format!("SET k {}", "x".repeat(900))).await, "+OK\r\n");
    assert_eq!(client.ask("GET k").await.len(), "$900\r\n\r\n".len() + 900);
    let after = [encoded(&["SET", "near", "1"]), encoded(&["SET", "far/k", "1"])].concat();
    client.send(&[encoded(&["MGET", "k", "k"]), after].concat()).await;
    assert!(client.is_closed().await);
    let mut other = door.client().await;
    assert_eq!(other.ask("EXISTS near far/k").await, ":0\r\n", "what comes behind it is not run");
}

#[tokio::test]
async fn a_command_for_which_there_is_no_memory_is_refused_and_its_memory_given_back() {
    let door = TestDoor::limited(Limits { memory_bytes: 1 << 20, ..Limits::default() }).await;
    let set = |bytes| encoded(&["SET", "k", &"x".repeat(bytes)]);
    for _ in 0..3 {
        let mut client = door.client().await;
        client.send(&set(2 << 20)).await;
        let reply = String::from_utf8(client.reply().await).unwrap();
        assert!(reply.starts_with("-ERR the commands and replies of all clients"), "{reply}");
        assert!(client.is_closed().await);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = door.client().await;
        client.send(&set(800_000)).await;
        if client.reply().await == b"+OK\r\n" {
            break;
        }
        assert!(Instant::now() < deadline, "the memory of those before is not given back");
    }
}
