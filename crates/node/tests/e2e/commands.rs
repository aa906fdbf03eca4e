//! The command line against running nodes.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Cluster, boato, ensure, wait};

/// Runs a command against the node at `http` and checks its exit code; gives what it printed.
pub(crate) fn run(http: &str, args: &[&str], code: i32) -> String {
    let output = boato(args.iter().chain(&["--http", http]));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn commands_work_through_any_node() {
    let nodes = Cluster::new("commands").start(["one", "two"]);
    let [one, two] = nodes.each_ref().map(|node| node.http.to_string());
    for (i, key) in ["greeting", "a/b c", "_key", "caf\u{e9}"].into_iter().enumerate() {
        let value = format!("value {i}");
        assert_eq!(run(&one, &["set", key, &value], 0), "created\n");
        assert_eq!(run(&two, &["set", key, &value], 0), "replaced\n");
        assert_eq!(run(&one, &["get", key], 0), value);
        assert_eq!(run(&two, &["get", key], 0), value);
        let [by_one, by_two] = [&one, &two].map(|http| run(http, &["where", key], 0));
        assert_eq!(by_one, by_two);
        let json: Value = serde_json::from_str(&run(&two, &["where", key, "--json"], 0)).unwrap();
        assert_eq!(by_one, format!("slot {} on {}\n", json["slot"], json["owner"].as_str().unwrap()));
        assert_eq!(run(&two, &["del", key], 0), "deleted\n");
        assert_eq!(run(&one, &["del", key], 0), "not found\n");
        assert_eq!(run(&one, &["get", key], 1), "");
    }
    for key in ["user:1", "user:2", "users"] {
        run(&one, &["set", key, &format!("value of {key}")], 0);
    }
    assert_eq!(run(&two, &["scan", "--match", "user:?", "--limit", "1"], 0).lines().count(), 1);
    let listed = run(&two, &["scan", "--match", "*r:?"], 0);
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["user:1", "user:2"]));
    assert_eq!(run(&one, &["scan", "x", "--match", "user:*"], 0), "");
    assert_eq!(run(&two, &["get", "user:2", "users"], 0), "value of user:2\nvalue of users\n");
    assert_eq!(run(&two, &["get", "user:1", "nobody", "users"], 1), "value of user:1\nvalue of users\n");
    assert_eq!(run(&one, &["del", "user:1", "user:2", "nobody"], 0), "deleted 2 of 3\n");
    assert_eq!(run(&one, &["set", "short", "v", "--ttl", "100"], 0), "created\n");
    let left = nodes[1].client().get("/short").header("cache-control").unwrap().to_owned();
    assert!(left.starts_with("max-age="), "{left}");
}

#[test]
fn members_and_status_tell_of_the_whole_cluster() {
    let nodes = Cluster::new("overview").start(["one", "two"]);
    let http = nodes[0].http.to_string();
    let table = run(&http, &["members"], 0);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("one ") && lines[2].starts_with("two "), "{table}");
    let members: Value = serde_json::from_str(&run(&http, &["members", "--json"], 0)).unwrap();
    let mut slots = 0;
    for node in &nodes {
        let member =
            members.as_array().unwrap().iter().find(|member| member["name"] == node.name.as_str()).unwrap();
        assert_eq!(member["id"], format!("{:032x}", node.id));
        assert_eq!(member["state"], "alive");
        assert_eq!(member["quic"], node.quic.to_string());
        assert_eq!(member["http"], node.http.to_string());
        assert_eq!(member["weight"], 1);
        assert_eq!(member["version"], env!("CARGO_PKG_VERSION"));
        slots += member["load"]["slots"].as_u64().unwrap();
        assert!(member["load"]["bytes"].is_u64());
    }
    assert_eq!(slots, 16_384);
    let text = run(&http, &["status"], 0);
    assert!(text.contains("one") && text.contains("overview (2 members)"), "{text}");
    let status: Value = serde_json::from_str(&run(&http, &["status", "--json"], 0)).unwrap();
    assert_eq!(
        (&status["name"], &status["ready"], &status["members"]),
        (&"one".into(), &true.into(), &2.into())
    );
    assert_eq!(status["cluster"], "overview");
}

#[test]
fn leave_ends_the_node_and_then_nobody_answers() {
    let cluster = Cluster::new("commanded");
    let [one, mut two] = cluster.start(["one", "two"]);
    let http = two.http.to_string();
    assert_eq!(run(&http, &["set", "k", "v"], 0), "created\n");
    assert!(run(&http, &["leave"], 0).starts_with("leaving"));
    assert_eq!(two.ended(), 0);
    assert_eq!(run(&http, &["get", "k"], 69), "");
    assert_eq!(run(&one.http.to_string(), &["get", "k"], 0), "v");
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let cluster = Cluster::new("taken");
    let [a] = cluster.start(["a"]);
    for (flag, addr) in [("--http", a.http), ("--quic", a.quic)] {
        let addr = addr.to_string();
        let mut args = vec!["run", "--cluster", "taken-too", "--discover", "off", flag, &addr];
        args.extend(if flag == "--http" { ["--quic", "127.0.0.1:0"] } else { ["--http", "127.0.0.1:0"] });
        let output = boato(args);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(&addr), "{}", said(&output));
    }
}

#[test]
fn a_weight_of_auto_is_the_memory_that_a_node_may_use() {
    let cluster = Cluster::new("auto");
    let node = cluster.node("one").arg("--max-memory", "5GiB").start();
    let addr = node.http.to_string();
    assert_eq!(run(&addr, &["weight", "auto"], 0), "weight: 1 -> 5\n");
    assert_eq!(run(&addr, &["weight", "2"], 0), "weight: 5 -> 2\n");
}

#[test]
fn what_happened_before_is_told_to_who_asks_for_it() {
    let nodes = Cluster::new("history").start(["one", "two"]);
    let http = nodes[0].http.to_string();
    run(&http, &["event", "deploy", "v42"], 0);
    let shown = run(&http, &["monitor", "--history", "--only", "user", "--count", "1", "--json"], 0);
    let event: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&event["data"]["name"], &event["data"]["payload"]), (&"deploy".into(), &"v42".into()));
    let joined = run(&http, &["monitor", "--history", "--only", "joined", "--count", "1"], 0);
    assert!(joined.contains("Z joined ") && joined.contains("name=two"), "{joined}");
}

/// The node that is asked shows warnings only.
#[test]
fn the_log_of_a_node_is_read_along_also_where_it_shows_less_itself() {
    let cluster = Cluster::new("read-along");
    let [one, two] = ["one", "two"].map(|name| cluster.node(name).arg("--log", "warn").start());
    Cluster::settle(&[&one, &two]);
    let [http, other] = [&one, &two].map(|node| node.http.to_string());
    let read = |args: &[&str], happens: &dyn Fn(usize)| {
        let args = [&["monitor", "--http", &http, "--count", "1", "--log"], args].concat();
        let mut reader = Command::new(env!("CARGO_BIN_EXE_boato"));
        let mut reader = reader.env_clear().args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut times = 0;
        // It begins to listen at some time.
        wait("a record is shown", || {
            times += 1;
            happens(times);
            ensure(reader.try_wait().unwrap().is_some(), || "it shows nothing".into())
        });
        String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap()
    };
    let reload = |_| assert!(run(&http, &["drain"], 0).contains("drain"));
    let text = read(&["off,node::backend=info"], &reload);
    assert!(text.contains("Z INFO  node::backend asked to be drained"), "{text}");
    let retag = |times: usize| {
        run(&other, &["tags", "set", &format!("times={times}")], 0);
    };
    let record: Value =
        serde_json::from_str(&read(&["off,node::membership=debug", "--json"], &retag)).unwrap();
    let told = [&record["level"], &record["message"], &record["name"]];
    assert_eq!(told, ["DEBUG", "a member was updated", "two"], "{record}");
    assert_eq!(run(&http, &["monitor", "--log", "dbug"], 1), "");
    assert_eq!(run(&http, &["monitor", "--log", "info", "--history"], 2), "");
    assert!(!one.log().contains("INFO"), "{}", one.log());
}

#[test]
fn a_request_that_takes_longer_than_allowed_is_in_the_log() {
    let cluster = Cluster::new("slow-log");
    let slow = cluster.node("slow").arg("--slow-log", "0s").start();
    let other = cluster.node("other").start();
    slow.client().put("/key", "v");
    slow.client().get("/_/members");
    wait("both are in the log", || {
        let log = slow.log();
        let told = |path: &str| {
            log.lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .any(|line| line["level"] == "WARN" && line["path"] == path && line["took_us"].is_u64())
        };
        ensure(told("/key") && told("/_/members"), || log.clone())
    });
    other.client().get("/key");
    assert!(!other.log().contains("a slow request"), "nothing is slow unless it is said");
}
