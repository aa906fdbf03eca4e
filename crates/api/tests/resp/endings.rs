//! How connections end.

use std::time::Duration;

use boato_api::resp::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, TestDoor, encoded};

#[tokio::test]
async fn quit_is_answered_and_what_follows_is_not() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    client.send(b"SET far/k 1\r\nQUIT\r\nPING\r\n").await;
    assert_eq!(client.reply().await, b"+OK\r\n");
    assert_eq!(client.reply().await, b"+OK\r\n");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_replies() {
    let door = TestDoor::open().await;
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(b"PING\r\nGET far/x\r\nPIN").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut replies = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut replies)).await.expect("the end in time").unwrap();
    assert_eq!(replies, "+PONG\r\n$-1\r\n");
}

#[tokio::test]
async fn a_door_that_closes_answers_what_has_arrived_and_ends_idle_connections() {
    let door = TestDoor::open().await;
    let (mut idle, mut busy) = (door.client().await, door.client().await);
    assert_eq!(idle.ask("PING").await, "+PONG\r\n");
    assert_eq!(busy.ask("PING").await, "+PONG\r\n");
    busy.send(&encoded(&["SET", "far/k", "v"]).repeat(50)).await;
    door.shutdown.cancel();
    for _ in 0..50 {
        assert_eq!(busy.reply().await, b"+OK\r\n");
    }
    assert!(busy.is_closed().await && idle.is_closed().await);
    timeout(PATIENCE, door.served).await.expect("the door ends").unwrap();
}

#[tokio::test]
async fn a_client_that_never_stops_does_not_keep_a_door_open() {
    let door = TestDoor::open().await;
    let stream = TcpStream::connect(door.addr).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sender = tokio::spawn(async move { while writer.write_all(b"PING\r\nPING\r\n").await.is_ok() {} });
    let receiver = tokio::spawn(async move {
        let mut scratch = [0; 4096];
        while reader.read(&mut scratch).await.is_ok_and(|bytes| bytes > 0) {}
    });
    door.shutdown.cancel();
    timeout(PATIENCE, door.served).await.expect("the door ends").unwrap();
    sender.await.unwrap();
    receiver.await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_when_the_door_has_closed() {
    let limits = Limits { drain_timeout: Duration::from_millis(50), ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    door.client().await.ask(&format!("SET k {}", "x".repeat(1 << 20))).await;
    let mut stuck = TcpStream::connect(door.addr).await.unwrap();
    stuck.write_all(&encoded(&["GET", "k"]).repeat(100)).await.unwrap();
    door.shutdown.cancel();
    timeout(PATIENCE, door.served).await.expect("the door ends").unwrap();
}

#[tokio::test]
async fn a_client_that_is_killed_is_gone() {
    let door = TestDoor::open().await;
    let (mut one, mut other) = (door.client().await, door.client().await);
    let id = one.ask("CLIENT ID").await.trim_matches([':', '\r', '\n']).to_owned();
    assert_eq!(other.ask(&format!("CLIENT KILL ID {id}")).await, ":1\r\n");
    assert!(one.is_closed().await);
    assert_eq!(other.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn a_client_that_is_killed_is_gone_though_it_takes_nothing() {
    let door = TestDoor::open().await;
    let mut other = door.client().await;
    other.ask(&format!("SET k {}", "x".repeat(1 << 20))).await;
    for more in [0, 100] {
        let mut stuck = TcpStream::connect(door.addr).await.unwrap();
        // More than the sockets take; with more it is not even read from.
        stuck.write_all(&encoded(&["GET", "k"]).repeat(30 + more)).await.unwrap();
        timeout(PATIENCE, stuck.readable()).await.expect("its commands are run").unwrap();
        let from = stuck.local_addr().unwrap();
        let listed = |list: &str| list.contains(&format!("addr={from} "));
        assert_eq!(other.ask(&format!("CLIENT KILL ADDR {from}")).await, ":1\r\n");
        let ended = async { while listed(&other.ask("CLIENT LIST").await) {} };
        timeout(PATIENCE, ended).await.expect("it is gone");
    }
}

#[tokio::test]
async fn a_client_that_kills_itself_is_told_so() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let from = client.addr();
    client.send(format!("PING\r\nCLIENT KILL ADDR {from} SKIPME no\r\n").as_bytes()).await;
    assert_eq!((client.reply().await, client.reply().await), (b"+PONG\r\n".to_vec(), b":1\r\n".to_vec()));
    assert!(client.is_closed().await);
}
