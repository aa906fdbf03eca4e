//! What a person who runs a cluster does with the command line.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Cluster, Node, boato, ensure, wait};

/// Runs a command against a node; gives its exit code and what it printed.
fn run(node: &Node, args: &[&str]) -> (i32, String) {
    let http = node.http.to_string();
    let Output { status, stdout, stderr } = boato(args.iter().chain(&["--http", &http]));
    let said = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(said).unwrap())
}

fn done(node: &Node, args: &[&str]) -> String {
    let (code, said) = run(node, args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

#[test]
fn a_start_tells_the_version_the_addresses_and_how_others_are_found() {
    let cluster = Cluster::new("greeting");
    let dir = cluster.dir().join("data");
    let [one] = cluster.start(["one"]);
    let start = || {
        let node = cluster.node("two").arg("--data-dir", &dir).start();
        Cluster::settle(&[&one, &node]);
        node
    };
    // What is in the way of the file of members.
    let members = dir.join("members");
    fs::create_dir_all(members.join("full")).unwrap();
    let mut two = start();
    wait("it says that it cannot keep them", || {
        ensure(two.log().contains("cannot write"), || "not said".to_owned())
    });
    fs::remove_dir_all(&members).unwrap();
    let told = two.log();
    let version = format!("boato {}: two is up", env!("CARGO_PKG_VERSION"));
    for text in [&version, &two.http.to_string(), "\"cluster\":\"greeting", "joined the cluster"] {
        assert!(told.contains(text), "no {text} in {told}");
    }
    assert!(told.contains("finding others: those of this user on this machine\""), "{told}");
    wait("it keeps whom it knows", || ensure(fs::read_to_string(&members).is_ok(), || "not yet".to_owned()));
    two.terminate();
    two.ended();
    let told = start().log();
    assert!(told.contains("on this machine, 1 known from the start before"), "{told}");
}

#[test]
fn numbers_count_and_keys_are_listed_as_they_are() {
    let [one, two] = Cluster::new("counting").start(["one", "two"]);
    assert_eq!(done(&one, &["incr", "hits"]), "1\n");
    assert_eq!(done(&two, &["incr", "hits", "41", "--json"]), "{\n  \"value\": 42\n}\n");
    assert_eq!(done(&two, &["incr", "hits", "-43"]), "-1\n");
    assert_eq!(done(&one, &["set", "word", "w", "--json"]), "{\n  \"done\": \"created\"\n}\n");
    assert_eq!(done(&two, &["get", "word", "--json"]), "{\"key\":\"word\",\"value\":\"w\"}\n");
    let nothing = "{\"key\":\"none\",\"value\":null}\nboato: key not found\n";
    assert_eq!(run(&two, &["get", "none", "--json"]), (1, nothing.to_owned()));
    let (code, said) = run(&one, &["incr", "word"]);
    assert!(code == 1 && said.contains("no whole number"), "{said}");
    for key in ["list/a b", "list/%41", "list/caf\u{e9}"] {
        done(&one, &["set", key, "v"]);
    }
    let mut keys: Vec<_> = done(&two, &["scan", "list/"]).lines().map(str::to_owned).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["list/%41", "list/a b", "list/caf\u{e9}"]);
    assert!(done(&two, &["scan", "list*"]).contains("boato scan --match 'list*'"));
    assert_eq!(done(&two, &["scan", "--limit", "2", "--json"]).lines().count(), 2);
    let slots = done(&one, &["slots"]);
    assert!(slots.lines().count() == 3 && slots.lines().all(|line| line.len() <= 80), "{slots}");
    assert!(done(&one, &["slots", "--runs"]).lines().count() >= 3);
}

#[test]
fn a_node_is_drained_and_comes_back_and_leaves() {
    let cluster = Cluster::new("drained");
    let [one, mut two] = cluster.start(["one", "two"]);
    for i in 0..50 {
        done(&one, &["set", &format!("k{i}"), "v"]);
    }
    assert_eq!(done(&two, &["status", "--ready"]), "");
    let ready: Value = serde_json::from_str(&done(&two, &["status", "--ready", "--json"])).unwrap();
    assert_eq!(ready, json!({ "ready": true, "reason": null }));
    assert_eq!(done(&two, &["drain"]), "drained: the node has no keys any more, and leave ends it\n");
    let given = ["handoff_duration", "handoff_pause"]
        .map(|name| two.view().metric(&format!("boato_{name}_seconds_count")));
    assert!(given[0] > 0 && given[0] == given[1], "{given:?}");
    let status: Value = serde_json::from_str(&done(&two, &["status", "--json"])).unwrap();
    assert_eq!((&status["slots"], &status["entries"]), (&0.into(), &0.into()));
    let (code, said) = run(&two, &["status", "--ready"]);
    assert!(code == 1 && said.contains("drained"), "{said}");
    assert_eq!(two.client().get("/_/readyz").status, 503);
    assert_eq!(two.client().get("/k7").body, b"v", "it still answers for keys of others");

    assert_eq!(done(&two, &["weight", "3"]), "weight: 0 -> 3, and it is not drained any more\n");
    assert_eq!(done(&two, &["weight", "3"]), "nothing has changed\n");
    wait("three of four slots come back", || {
        let slots = two.view().json("/_/status")["slots"].as_u64().unwrap();
        // By chance of the nodes' ids: of 2048 ranges of 8 slots 1536 +- 20 are due, and no node may have a tenth more than
        // its share, so that the other one has 563 or 564 at most.
        ensure((8 * 1484..=8 * 1690).contains(&slots), || format!("{slots} slots"))
    });
    assert_eq!(done(&two, &["leave", "--wait"]), "the node has left\n");
    assert_eq!(two.ended(), 0);
    for i in 0..50 {
        assert_eq!(one.client().get(&format!("/k{i}")).body, b"v");
    }
    let (code, said) = run(&one, &["drain"]);
    assert!(code == 1 && said.contains("nobody could take the keys over"), "{said}");
    assert!(run(&one, &["status", "--ready"]).0 == 0, "it is as it was");
}

#[test]
fn what_was_exported_can_be_imported_elsewhere() {
    let cluster = Cluster::new("exported");
    let [one, _two] = cluster.start(["one", "two"]);
    let file = cluster.dir().join("keys.jsonl");
    let file = file.to_str().unwrap();
    for i in 0..300 {
        one.client().put(&format!("/key/{i}"), format!("value {i}"));
    }
    one.client().put("/%FF%00binary", [0xff, 0, b'\n']);
    one.client().put("/short?ttl=1000", "lived");
    one.client().request("PUT", "/page?ttl=1000", "content-type: text/html\r\n", "<p>");
    one.client().put("/large", vec![b'x'; 7 << 20]);
    done(&one, &["incr", "count"]);
    // Longer than keys of HTTP can be.
    let long = "long".repeat(1000);
    let at = |node: &Node| redis::Client::open(format!("redis://{}", node.resp)).unwrap();
    let mut resp = at(&one).get_connection().unwrap();
    redis::cmd("SET").arg(&long).arg("v").exec(&mut resp).unwrap();
    assert_eq!(done(&one, &["export", file]), "306 keys written\n");
    assert_eq!(done(&one, &["export", file, "--json"]), "{\n  \"written\": 306\n}\n");
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 306);
    assert_eq!(done(&one, &["export", "--match", "short"]).lines().count(), 1);

    let elsewhere = Cluster::new("elsewhere");
    let [three] = elsewhere.start(["three"]);
    three.client().put("/key/7", "was there");
    assert_eq!(done(&three, &["import", file, "--keep"]), "305 of 306 keys written\n");
    assert_eq!(three.client().get("/key/7").body, b"was there");
    assert_eq!(done(&three, &["import", file]), "306 of 306 keys written\n");
    let mut resp = at(&three).get_connection().unwrap();
    assert_eq!(redis::cmd("GET").arg(&long).query::<String>(&mut resp).unwrap(), "v");
    let page = three.client().get("/page");
    assert_eq!((page.header("content-type"), &*page.body), (Some("text/html"), &b"<p>"[..]));
    assert_eq!(done(&three, &["incr", "count"]), "2\n");
    assert_eq!(three.client().get("/key/7").body, b"value 7");
    assert_eq!(three.client().get("/%FF%00binary").body, [0xff, 0, b'\n']);
    let short = three.client().get("/short");
    let left =
        short.header("cache-control").unwrap().strip_prefix("max-age=").unwrap().parse::<u64>().unwrap();
    assert!((900..=1000).contains(&left), "{left}");

    // Stopped in the middle, and gone on with.
    let (whole, state) = (cluster.dir().join("whole"), cluster.dir().join("state"));
    fs::write(&whole, format!("{text}no entry\n")).unwrap();
    let (whole, state) = (whole.to_str().unwrap(), state.to_str().unwrap());
    let (code, said) = run(&three, &["import", whole, "--state", state]);
    assert!(code == 1 && said.contains("not a line that `boato export` writes"), "{said}");
    fs::write(whole, format!("{text}{{\"key\":\"last\",\"value\":\"v\"}}\n")).unwrap();
    assert_eq!(done(&three, &["import", whole, "--state", state]), "307 of 307 keys written\n");
    assert!(!fs::exists(state).unwrap());
    assert_eq!(three.client().get("/last").body, b"v");

    // What a node does not take is named, and the rest goes on.
    let line = |key: &str, value: &str| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n");
    fs::write(whole, line("long", &"x".repeat(9 << 20)) + &line("next", "v")).unwrap();
    let (code, said) = run(&three, &["import", whole]);
    assert!(code == 1 && said.contains("1 of 2 keys written"), "{said}");
    assert!(said.contains("the key \"long\" (at byte 0) is left out"), "{said}");
    assert_eq!(three.client().get("/next").body, b"v");
}

#[test]
fn whoever_waits_for_a_leave_waits_no_longer_than_asked_for_a_node_that_stands_still() {
    let cluster = Cluster::new("frozen");
    let slow = |name| cluster.node(name).arg("--handoff-rate", "1").start();
    let [one, two] = ["one", "two"].map(slow);
    Cluster::settle(&[&one, &two]);
    for i in 0..200 {
        one.client().put(&format!("/k{i}"), "v".repeat(100));
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&two, &["leave", "--wait", "--timeout", "10s"]));
        wait("it leaves", || ensure(two.log().contains("leaving"), || "not said".to_owned()));
        two.freeze();
        wait("the command ends", || ensure(waiting.is_finished(), || "it waits".to_owned()));
        let (code, said) = waiting.join().unwrap();
        assert!(code == 1 && said.contains("not in time"), "{said}");
    });
}

#[test]
fn a_leave_that_loses_keys_is_a_failure() {
    let cluster = Cluster::new("hasty");
    let [one] = cluster.start(["one"]);
    let hasty = cluster.node("two").arg("--leave-timeout", "1s").arg("--handoff-rate", "1").start();
    let mut two = hasty;
    Cluster::settle(&[&one, &two]);
    for i in 0..200 {
        one.client().put(&format!("/k{i}"), "v".repeat(100));
    }
    let (code, said) = run(&two, &["leave", "--wait"]);
    assert!(code == 1 && said.contains("nobody took over") && said.contains("entries are lost"), "{said}");
    assert_ne!(two.ended(), 0);
    let (code, said) = run(&one, &["leave", "--wait", "--json"]);
    let left: Value = serde_json::from_str(&said).unwrap();
    let gone = left["entries_lost"].as_u64().unwrap();
    assert!(code == 0 && left["done"] == true && gone > 0, "the last takes its keys with it: {said}");
}

/// A server that others wrote.
struct Redis {
    child: Child,
    url: String,
}

impl Redis {
    fn start(dir: &std::path::Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let child =
            Command::new("redis-server").args(args).arg("--dir").arg(dir).stdout(Stdio::null()).spawn();
        let child = child.expect("redis-server is needed to test the import from it");
        let server = Self { child, url: format!("redis://127.0.0.1:{port}") };
        wait("Redis answers", || server.connect().map(drop).map_err(|error| error.to_string()));
        server
    }

    fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(&*self.url)?.get_connection()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_redis_is_imported_with_times_to_live() {
    let cluster = Cluster::new("moving-in");
    let [one, _two] = cluster.start(["one", "two"]);
    let redis = Redis::start(cluster.dir());
    let mut source = redis.connect().unwrap();
    let mut pipeline = redis::pipe();
    for i in 0..2000 {
        pipeline.cmd("SET").arg(format!("user:{i}")).arg(i).ignore();
    }
    pipeline.cmd("SET").arg(b"bin\xff").arg(b"\0\xff").arg("PX").arg(500_000).ignore();
    pipeline.cmd("RPUSH").arg("list").arg("a").ignore();
    pipeline.exec(&mut source).unwrap();

    let (code, said) = run(&one, &["import", &redis.url]);
    assert!(code == 1 && said.contains("2001 of 2002 keys written"), "{said}");
    assert!(said.contains("1 list"), "{said}");
    assert_eq!(one.client().get("/user:1999").body, b"1999");
    let binary = one.client().get("/bin%FF");
    assert_eq!(binary.body, b"\0\xff");
    let left =
        binary.header("cache-control").unwrap().strip_prefix("max-age=").unwrap().parse::<u64>().unwrap();
    assert!((400..=500).contains(&left), "{left}");

    let args = ["import", &redis.url, "--match", "user:1?", "--skip-others", "--json", "--rate", "100000"];
    let report: Value = serde_json::from_str(&done(&one, &args)).unwrap();
    assert_eq!((&report["read"], &report["written"]), (&10.into(), &10.into()));
}

#[test]
fn the_configuration_and_the_manual_are_printed() {
    let output = boato(["config", "print", "--defaults"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("leave-timeout = \"25s\"  # default"), "{text}");
    let print = boato(["config", "print", "--json", "--weight", "3"]);
    let printed: Value = serde_json::from_slice(&print.stdout).unwrap();
    assert_eq!(printed["weight"], serde_json::json!({ "value": 3, "origin": "from the command line" }));
    assert_eq!(printed["http"]["origin"], "default");
    assert_eq!(boato(["config", "check"]).status.code(), Some(0));
    let checked: Value = serde_json::from_slice(&boato(["config", "check", "--json"]).stdout).unwrap();
    assert_eq!(checked["usable"], true);
    let refused = boato(["config", "check", "--quic", "0.0.0.0:7400"]);
    assert_eq!(refused.status.code(), Some(78));
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(boato(["man", "--dir", dir.path().to_str().unwrap()]).status.code(), Some(0));
    for page in ["boato.1", "boato-run.1", "boato-config-print.1"] {
        assert!(fs::read_to_string(dir.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
}

#[test]
fn a_live_view_and_a_load_test_tell_what_the_cluster_does() {
    let [one, _two] = Cluster::new("busy").start(["one", "two"]);
    let args = ["bench", "--time", "1s", "--connections", "2", "--pipeline", "8", "--keys", "50", "--json"];
    let report: Value = serde_json::from_str(&done(&one, &args)).unwrap();
    assert!(report["operations"].as_u64().unwrap() > 0 && report["nodes"] == 2, "{report}");
    assert!(report["took_us"]["p99"].as_u64().unwrap() >= report["took_us"]["p50"].as_u64().unwrap());
    assert!(one.client().get("/_/keys?prefix=boato-bench").text().contains("boato-bench:"));

    let lines = done(&one, &["top", "--count", "2", "--interval", "1s", "--json"]);
    let [first, second] =
        [0, 1].map(|n| serde_json::from_str::<Value>(lines.lines().nth(n).unwrap()).unwrap());
    assert!(first[0]["figures"]["operations_per_s"].is_null(), "nothing to compare with yet");
    assert!(second[1]["figures"]["operations_per_s"].is_number() && second[1]["name"] == "two", "{second}");
    assert_eq!(boato(["monitor", "--count", "0"]).status.code(), Some(2));
    let table = done(&one, &["top", "--count", "1"]);
    assert!(table.starts_with("NAME") && table.lines().all(|line| line.len() <= 80), "{table}");
}

#[test]
fn the_live_view_leaves_the_terminal_as_it_was() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};

    let [node] = Cluster::new("terminal").start(["one"]);
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let modes = || tcgetattr(&terminal).unwrap().local_modes;
    let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
    assert!(modes().contains(usual));
    let stdio = || Stdio::from(terminal.try_clone().unwrap());
    let mut top = Command::new(env!("CARGO_BIN_EXE_boato"));
    top.args(["top", "--count", "3", "--interval", "200ms", "--http", &node.http.to_string()]);
    let status = top.stdin(stdio()).stdout(stdio()).stderr(stdio()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(modes().contains(usual), "{:?}", modes());
}
