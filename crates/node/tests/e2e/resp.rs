//! Redis' clients at real nodes: keys held elsewhere, pipelines, cluster clients, members that come and go.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{Client, Commands as _};

use crate::harness::{Cluster, Node, Resp, Said, boato, ensure, wait};

#[test]
fn every_node_serves_every_key() {
    let cluster = Cluster::new("resp");
    let [a, b, c] = cluster.start(["a", "b", "c"]);
    let keys: Vec<String> = (0..60).map(|n| format!("key-{n}")).collect();
    let mut at_a = Resp::connect(a.resp);
    for key in &keys {
        assert_eq!(at_a.ask(&format!("SET {key} {key}")), Said::ok());
    }
    for node in [&a, &b, &c] {
        let mut client = Resp::connect(node.resp);
        for key in &keys {
            assert_eq!(client.ask(&format!("GET {key}")), Said::text(key));
        }
        let all = keys.iter().map(Said::text).collect();
        assert_eq!(client.ask(&format!("MGET {}", keys.join(" "))), Said::Array(all));
    }
    assert_eq!(b.client().get("/key-7").text(), "key-7");
    c.client().put("/http", "x");
    assert_eq!(at_a.ask("GET http"), Said::text("x"));
    assert_eq!(at_a.ask("DBSIZE"), Said::Integer(61));
    assert_eq!(at_a.ask(&format!("DEL {}", keys.join(" "))), Said::Integer(60));
}

#[test]
fn a_pipeline_over_all_nodes_is_answered_in_its_order() {
    let cluster = Cluster::new("resp-pipeline");
    let [a, _b, _c] = cluster.start(["a", "b", "c"]);
    let mut client = Resp::connect(a.resp);
    for round in 0..20 {
        let lines: Vec<String> = (0..300)
            .map(|n| match n % 3 {
                0 => format!("SET {{{}}} {round}.{n}", n / 3),
                1 => format!("APPEND {{{}}} !", n / 3),
                _ => format!("GET {{{}}}", n / 3),
            })
            .collect();
        for (n, said) in client.pipeline(&lines).into_iter().enumerate() {
            let value = format!("{round}.{}", n / 3 * 3);
            let expected = match n % 3 {
                0 => Said::ok(),
                1 => Said::Integer(i64::try_from(value.len()).unwrap() + 1),
                _ => Said::text(value + "!"),
            };
            assert_eq!(said, expected, "{} of round {round}", lines[n]);
        }
    }
}

#[test]
fn the_door_for_cluster_clients_points_to_the_holder() {
    let cluster = Cluster::new("resp-moved");
    let nodes = cluster.start(["a", "b", "c"]);
    let doors: BTreeSet<String> = nodes.iter().map(|node| node.resp_cluster.to_string()).collect();
    let mut client = Resp::connect(nodes[0].resp_cluster);
    let mut pointed_to = BTreeSet::new();
    for n in 0..100 {
        match wait("the table is at rest", || match client.ask(&format!("SET key-{n} {n}")) {
            // Until it has been for a while, a node answers for all.
            Said::Error(text) if text.starts_with("MOVED ") => Ok(Some(text)),
            Said::Status(_) if held_by_a(&mut client, n) => Ok(None),
            other => Err(format!("{other:?}")),
        }) {
            None => pointed_to.insert(nodes[0].resp_cluster.to_string()),
            Some(moved) => {
                let door = moved.split(' ').nth(2).unwrap().to_owned();
                let mut other = Resp::connect(door.parse().unwrap());
                assert_eq!(other.ask(&format!("SET key-{n} {n}")), Said::ok(), "{moved}");
                pointed_to.insert(door)
            }
        };
    }
    assert_eq!(pointed_to, doors);
}

/// Whether the node says that it holds the slot of a key itself.
fn held_by_a(client: &mut Resp, n: usize) -> bool {
    let Said::Integer(slot) = client.ask(&format!("CLUSTER KEYSLOT key-{n}")) else { panic!("no slot") };
    let Said::Text(me) = client.ask("CLUSTER MYID") else { panic!("no id") };
    client.ask("CLUSTER SLOTS").into_array().into_iter().map(Said::into_array).any(|run| {
        let [Said::Integer(first), Said::Integer(last)] = run[..2] else { panic!("{run:?}") };
        (first..=last).contains(&slot) && run[2].clone().into_array()[2] == Said::text(&me)
    })
}

#[test]
fn a_door_may_be_left_out_and_asks_for_the_client_secret() {
    let cluster = Cluster::new("resp-doors");
    let secret = cluster.dir().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let a = cluster.node("a").arg("--client-secret-file", &secret).start();
    let mut client = Resp::connect(a.resp);
    assert_eq!(client.ask("GET k"), Said::Error("NOAUTH Authentication required.".to_owned()));
    assert!(matches!(client.ask("AUTH wrong"), Said::Error(text) if text.starts_with("WRONGPASS")));
    assert_eq!(client.ask("AUTH default s3cret"), Said::ok());
    assert_eq!(client.ask("PING"), Said::Status("PONG".to_owned()));

    let b = cluster.node("b").arg("--resp", "none").arg("--resp-cluster", "off").spawn().ready();
    assert_eq!((b["resp"].as_str(), b["resp_cluster"].as_str()), (None, None));

    let taken = a.resp.to_string();
    let args = ["run", "--cluster", "taken", "--discover", "off", "--http", "127.0.0.1:0", "--resp", &taken];
    let output = boato(args.into_iter().chain(["--quic", "127.0.0.1:0"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose another --resp"), "{output:?}");
}

#[test]
fn a_node_shows_its_doors_and_counts_their_commands() {
    let cluster = Cluster::new("resp-shown");
    let [a] = cluster.start(["a"]);
    Resp::connect(a.resp).ask("NONSENSE");
    Resp::connect(a.resp_cluster).ask("PING");
    let mut view = a.view();
    let (status, members) = (view.json("/_/status"), view.json("/_/members"));
    for shown in [&status, &members[0]] {
        assert_eq!(shown["resp"], a.resp.to_string());
        assert_eq!(shown["resp_cluster"], a.resp_cluster.to_string());
    }
    let shown = boato(["status", "--http", &a.http.to_string()]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&a.resp.to_string()), "{shown:?}");
    wait("both are counted", || {
        let metrics = a.client().get("/_/metrics").text();
        let line = "boato_resp_commands_total{command=\"unknown\",outcome=\"error\"} 1";
        ensure(metrics.contains(line) && metrics.contains("{command=\"ping\",outcome=\"ok\"} 1"), || metrics)
    });
}

#[test]
fn the_redis_crate_is_a_client() {
    let cluster = Cluster::new("resp-crate");
    let nodes = cluster.start(["a", "b", "c"]);
    let mut plain = Client::open(format!("redis://{}/", nodes[1].resp)).unwrap().get_connection().unwrap();
    let mut routed = routed(&nodes.each_ref());
    for n in 0..100 {
        let key = format!("key-{n}");
        let () = plain.set(&key, n).unwrap();
        assert_eq!(routed.get::<_, usize>(&key).unwrap(), n);
        assert_eq!(routed.incr::<_, _, usize>(&key, 1).unwrap(), n + 1);
        assert_eq!(plain.get::<_, usize>(&key).unwrap(), n + 1);
    }
    let keys: Vec<String> = (0..100).map(|n| format!("key-{n}")).collect();
    let values: Vec<usize> = plain.mget(&keys).unwrap();
    assert_eq!(values, (1..=100).collect::<Vec<_>>());
}

/// A cluster client that was told of all these nodes.
fn routed(nodes: &[&Node]) -> ClusterConnection {
    let urls = nodes.iter().map(|node| format!("redis://{}/", node.resp_cluster));
    ClusterClient::new(urls.collect::<Vec<_>>()).unwrap().get_connection().unwrap()
}

#[test]
fn nodes_come_and_go_and_no_client_sees_an_error() {
    let cluster = Cluster::new("resp-changes");
    let [a, b, mut c] = cluster.start(["a", "b", "c"]);
    let counters = Counters::start(a.resp, &[&a, &b, &c]);
    counters.run();
    let d = cluster.node("d").start();
    Cluster::settle(&[&a, &b, &c, &d]);
    counters.run();
    c.terminate();
    assert_eq!(c.ended(), 0);
    Cluster::settle(&[&a, &b, &d]);
    counters.run();
    counters.finish();
}

/// Clients that count on keys of their own and miss nothing.
struct Counters {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Counters {
    /// Commands between two changes.
    const STRETCH: u64 = 3_000;
    const KEYS: usize = 64;

    /// Starts a client with pipelines at one door, and two cluster clients.
    fn start(door: SocketAddr, nodes: &[&Node]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut counters = Self { stop, done, clients: Vec::new() };
        let mut plain = Resp::connect(door);
        counters.spawn(move |round| {
            let lines: Vec<String> = (0..Self::KEYS).map(|n| format!("INCR plain-{n}")).collect();
            for (line, said) in lines.iter().zip(plain.pipeline(&lines)) {
                assert_eq!(said, Said::Integer(i64::try_from(round).unwrap()), "{line}");
            }
        });
        for client in 0..2 {
            let mut routed = routed(nodes);
            counters.spawn(move |round| {
                for n in 0..Self::KEYS {
                    let key = format!("routed-{client}-{n}");
                    assert_eq!(routed.incr::<_, _, u64>(&key, 1).unwrap(), round, "{key}");
                }
            });
        }
        counters
    }

    fn spawn(&mut self, mut count: impl FnMut(u64) + Send + 'static) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::clone(&self.done));
        self.clients.push(thread::spawn(move || {
            for round in 1.. {
                if stop.load(SeqCst) {
                    return;
                }
                count(round);
                done.fetch_add(Self::KEYS as u64, SeqCst);
            }
        }));
    }

    /// Waits until so many commands more have been answered.
    fn run(&self) {
        let goal = self.done.load(SeqCst) + Self::STRETCH;
        wait("the clients go on", || {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client failed");
            let done = self.done.load(SeqCst);
            ensure(done >= goal, || format!("{done} of {goal} commands are done"))
        });
    }

    fn finish(self) {
        self.stop.store(true, SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}
