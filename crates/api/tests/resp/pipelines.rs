//! Many commands at once: the order of replies, what is asked together, large replies.

use std::sync::atomic::Ordering::Relaxed;

use boato_api::resp::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, TestClient, TestDoor, encoded};

/// Sends all commands in one write and brings as many replies.
async fn pipeline(client: &mut TestClient, lines: &[&str]) -> Vec<String> {
    let commands = lines.iter().map(|line| encoded(&line.split(' ').collect::<Vec<_>>()));
    client.send(&commands.collect::<Vec<_>>().concat()).await;
    let mut replies = Vec::new();
    for _ in lines {
        replies.push(String::from_utf8(client.reply().await).unwrap());
    }
    replies
}

#[tokio::test]
async fn replies_come_in_order_wherever_keys_are_held() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let replies = pipeline(
        &mut client,
        &[
            "SET far/a 1",
            "SET b 2",
            "GET far/a",
            "GET b",
            "NONSENSE",
            "MGET b far/a c",
            "GET far/none",
            "PING",
            "GET busy/d",
            "DBSIZE",
            "DEL far/a b",
        ],
    )
    .await;
    let expected = [
        "+OK\r\n",
        "+OK\r\n",
        "$1\r\n1\r\n",
        "$1\r\n2\r\n",
        "-ERR unknown command 'NONSENSE', with args beginning with: \r\n",
        "*3\r\n$1\r\n2\r\n$1\r\n1\r\n$-1\r\n",
        "$-1\r\n",
        "+PONG\r\n",
        "-TRYAGAIN the slot is moving\r\n",
        ":2\r\n",
        ":2\r\n",
    ];
    assert_eq!(replies, expected);
}

#[tokio::test]
async fn what_is_held_elsewhere_is_asked_for_together() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let lines: Vec<String> = (0..150)
        .map(|n| if n % 3 == 0 { format!("GET near{n}") } else { format!("SET far/{n} x") })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for (line, reply) in lines.iter().zip(pipeline(&mut client, &lines).await) {
        assert_eq!(reply, if line.starts_with("GET") { "$-1\r\n" } else { "+OK\r\n" });
    }
    assert_eq!(door.map.commands.load(Relaxed), 100);
    let batches = door.map.batches.load(Relaxed);
    assert!(batches <= 3, "{batches} batches for what fits into one read");
}

#[tokio::test]
async fn commands_on_one_key_keep_their_order_while_it_moves() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let lines: Vec<String> = (0..100).map(|n| format!("APPEND flip/{} {}", n % 7, n % 10)).collect();
    pipeline(&mut client, &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for key in 0..7 {
        let expected: String =
            (0..100).filter(|n| n % 7 == key).map(|n| char::from_digit(n % 10, 10).unwrap()).collect();
        let reply = client.ask(&format!("GET flip/{key}")).await;
        assert_eq!(reply, format!("${}\r\n{expected}\r\n", expected.len()), "key {key}");
    }
}

#[tokio::test]
async fn a_reply_that_is_on_its_way_keeps_the_version_it_was_asked_in() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let replies = pipeline(&mut client, &["GET far/x", "HELLO 3", "GET far/x", "GET y"]).await;
    assert_eq!(replies[0], "$-1\r\n");
    assert!(replies[1].starts_with('%'), "{}", replies[1]);
    assert_eq!(replies[2..], ["_\r\n", "_\r\n"]);
}

#[tokio::test]
async fn large_values_pass_however_they_are_cut() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let value: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    for piece in encoded(&[&b"SET"[..], b"large", &value]).chunks(1_000_003) {
        client.send(piece).await;
    }
    assert_eq!(client.reply().await, b"+OK\r\n");
    client.send(&encoded(&["GET", "large"]).repeat(6)).await;
    for _ in 0..6 {
        let reply = client.reply().await;
        assert!(reply.starts_with(b"$8388608\r\n") && reply[10..reply.len() - 2] == value);
    }
    client.command(&[&b"SET"[..], b"larger", &[value, vec![0]].concat()]).await;
    let reply = client.reply().await;
    assert!(reply.starts_with(b"-ERR string exceeds maximum allowed size"), "{reply:?}");
    assert_eq!(client.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn large_values_held_elsewhere_pass_however_many_are_asked_for_at_once() {
    const COMMANDS: usize = 100;
    let limits = Limits { reply_bytes: 4 << 20, memory_bytes: 8 << 20, ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    let mut client = door.client().await;
    // What is small lets more be asked for at once.
    pipeline(&mut client, &["GET far/none"; COMMANDS]).await;
    let value = "x".repeat(200_000);
    assert_eq!(client.ask(&format!("SET far/a {value}")).await, "+OK\r\n");
    let commands = [encoded(&["GET", "far/a"]).repeat(COMMANDS), encoded(&["PING"])].concat();
    client.send(&commands).await;
    for _ in 0..COMMANDS {
        assert_eq!(client.reply().await, format!("$200000\r\n{value}\r\n").as_bytes());
    }
    assert_eq!(client.reply().await, b"+PONG\r\n");
}

#[tokio::test]
async fn no_more_is_asked_for_once_a_reply_is_too_long() {
    let door = TestDoor::limited(Limits { reply_bytes: 1 << 20, ..Limits::default() }).await;
    let mut client = door.client().await;
    assert_eq!(client.ask(&format!("SET far/a {}", "x".repeat(100_000))).await, "+OK\r\n");
    let asked = door.map.commands.load(Relaxed);
    client.command(&[vec!["MGET", "b"], vec!["far/a"; 10_000]].concat()).await;
    assert!(client.is_closed().await);
    let more = door.map.commands.load(Relaxed) - asked;
    assert!(more < 100, "{more} values of 100 kB for a reply of 1 MiB");
}

#[tokio::test]
async fn values_that_are_long_together_are_not_read_in_vain() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let value = "x".repeat(50_000);
    assert_eq!(client.ask(&format!("SET a {value}")).await, "+OK\r\n");
    let reply = client.ask_words(&[vec!["MGET"], vec!["a"; 20]].concat()).await;
    assert_eq!(reply, ["*20\r\n", &format!("$50000\r\n{value}\r\n").repeat(20)].concat().as_bytes());
    assert_eq!(door.map.told.load(Relaxed), 2, "the first two tell that it is a megabyte");
    client.ask_words(&[vec!["MGET"], vec!["b"; 20]].concat()).await;
    assert_eq!(door.map.told.load(Relaxed), 22);
    client.ask_words(&[vec!["MGET", "a"], vec!["b"; 49]].concat()).await;
    assert_eq!(door.map.told.load(Relaxed), 72, "one long value does not tell that others are");
}

/// Commands that fill the first read of a connection to its last byte, and how many.
fn full_read() -> (Vec<u8>, usize) {
    let commands = [encoded(&["PING"]).repeat(1169), b"PING\r\n".repeat(3)].concat();
    assert_eq!(commands.len(), 16 << 10);
    (commands, 1172)
}

#[tokio::test]
async fn a_client_that_has_filled_a_read_and_sends_no_more_has_its_replies() {
    let door = TestDoor::open().await;
    let (commands, replies) = full_read();
    let mut client = door.client().await;
    client.send(&commands).await;
    for _ in 0..replies {
        assert_eq!(client.reply().await, b"+PONG\r\n");
    }
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(&commands).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut words = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut words)).await.expect("the end in time").unwrap();
    assert_eq!(words, b"+PONG\r\n".repeat(replies));
}

#[tokio::test]
async fn replies_that_are_there_do_not_wait_for_what_other_nodes_say_to_the_next_read() {
    let far = [encoded(&["GET", "far/x"]), encoded(&["PING"]), encoded(&["EXISTS", "far/y"])].concat();
    for (next, expected) in [
        (far, &["$-1\r\n", "+PONG\r\n", ":0\r\n"][..]),
        (encoded(&["DBSIZE"]), &[":0\r\n"]),
        (b"GET far/x\r\n".to_vec(), &["$-1\r\n"]),
    ] {
        let door = TestDoor::open().await;
        let mut client = door.client().await;
        let (commands, replies) = full_read();
        let silent = door.map.away.lock().await;
        client.send(&[commands, next].concat()).await;
        for _ in 0..replies {
            assert_eq!(client.reply().await, b"+PONG\r\n");
        }
        drop(silent);
        for reply in expected {
            assert_eq!(client.reply().await, reply.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_client_may_send_all_before_it_reads() {
    const COMMANDS: usize = 20_000;
    let door = TestDoor::open().await;
    door.client().await.ask(&format!("SET k {}", "x".repeat(1000))).await;
    let mut stream = TcpStream::connect(door.addr).await.unwrap();
    stream.write_all(&encoded(&["GET", "k"]).repeat(COMMANDS)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).await.unwrap();
    assert_eq!(replies.len(), COMMANDS * "$1000\r\n\r\n".len() + COMMANDS * 1000);
}
