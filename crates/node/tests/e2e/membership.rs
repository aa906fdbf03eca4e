//! What the members of a cluster tell each other, by the command line.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::commands::run;
use crate::harness::{Cluster, boato, ensure, wait};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_event_is_shown_by_monitor_and_handled_at_every_member() {
    let cluster = Cluster::new("events");
    let told = cluster.dir().join("told");
    let handler = format!(
        "test $BOATO_EVENT != user || {{ echo $BOATO_NODE $BOATO_EVENT_NAME $BOATO_EVENT_FROM $(cat); }} >> {}",
        told.display()
    );
    let launch = |name| cluster.node(name).arg("--on-event", &handler).spawn();
    let nodes = ["one", "two"].map(launch).map(crate::harness::Starting::listening);
    Cluster::settle(&nodes.each_ref());
    let [one, two] = nodes.each_ref().map(|node| node.http.to_string());

    let args = ["monitor", "--only", "user", "--count", "1", "--json", "--http", &two];
    let mut monitor = Command::new(env!("CARGO_BIN_EXE_boato"))
        .env_clear()
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It hears of what happens from now on, and begins to listen at some time.
    wait("monitor shows an event", || {
        assert!(run(&one, &["event", "deploy", "v 1"], 0).starts_with("sent"));
        ensure(monitor.try_wait().unwrap().is_some(), || "it shows nothing".into())
    });
    let shown = parsed(&String::from_utf8(monitor.wait_with_output().unwrap().stdout).unwrap());
    assert_eq!(shown["event"], "user");
    let data = &shown["data"];
    assert_eq!([&data["name"], &data["payload"], &data["from"]], ["deploy", "v 1", "one"]);

    for line in ["one deploy one v 1", "two deploy one v 1"] {
        wait("each handler runs", || {
            let text = fs::read_to_string(&told).map_err(|error| error.to_string())?;
            ensure(text.lines().any(|told| told == line), || text)
        });
    }
    // Who joins when all has been told hears of it only if it asks.
    wait("all is told", || {
        let queued = nodes.each_ref().map(|node| node.view().metric("boato_gossip_queue_bytes"));
        ensure(queued == [0, 0], || format!("{queued:?} bytes"))
    });
    let three =
        cluster.node("three").arg("--on-event", &handler).env("BOATO_REPLAY", "true").spawn().listening();
    let replayed = || fs::read_to_string(&told).map_err(|error| error.to_string());
    wait("the event is replayed", || {
        replayed().and_then(|text| ensure(text.contains("three deploy one v 1"), || text))
    });
    let four = launch("four").listening();
    Cluster::settle(&[&nodes[0], &nodes[1], &three, &four]);
    assert!(!replayed().unwrap().contains("four deploy"));
    let large = "x".repeat(900);
    assert_eq!(run(&one, &["event", "large", &large], 1), "");
}

#[test]
fn a_query_is_answered_by_those_that_are_meant() {
    let cluster = Cluster::new("queries");
    let command = r#"test $BOATO_EVENT_NAME = load && echo "$BOATO_NODE for $BOATO_EVENT_FROM: $(cat)""#;
    let launch =
        |name| cluster.node(name).arg("--on-query", command).arg("--tag", format!("role={name}")).spawn();
    let [one, two] = ["one", "two"].map(launch).map(crate::harness::Starting::listening);
    let three = cluster.node("three").start();
    Cluster::settle(&[&one, &two, &three]);
    let http = three.http.to_string();
    let ask = |args: &[&str]| {
        let args: Vec<&str> = ["query"].iter().chain(args).copied().collect();
        let mut lines: Vec<String> = run(&http, &args, 0).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let all = ["2 answered", "one: one for three: cpu", "two: two for three: cpu"];
    assert_eq!(ask(&["load", "cpu"]), all);
    assert_eq!(ask(&["load", "--tag", "role=o*"]), ["1 answered", "one: one for three:"]);
    assert_eq!(ask(&["load", "--node", "two", "--relays", "2"])[0], "1 answered");
    assert_eq!(ask(&["other"]), ["0 answered"]);
    let events: Vec<Value> = run(&http, &["query", "load", "--json"], 0).lines().map(parsed).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!([count("ack"), count("response"), count("declined"), count("done")], [3, 2, 1, 1]);
    let count = run(&http, &["query", "load", "--no-acks", "--timeout", "1s", "--json"], 0)
        .matches("\"ack\"")
        .count();
    assert_eq!(count, 0);
    let found = parsed(&run(&http, &["reachability", "--json"], 0));
    assert_eq!(found, json!({ "reached": ["one", "three", "two"], "missing": [] }));
    two.freeze();
    let cut = run(&http, &["query", "load", "--timeout", "1s"], 1);
    two.thaw();
    assert!(cut.ends_with("; no word from two\n"), "{cut}");
    let slow = cluster.node("slow").arg("--on-query", "sleep 5").start();
    Cluster::settle(&[&one, &two, &three, &slow]);
    let late = ask(&["load", "--timeout", "1s", "--node", "slow", "--node", "three"]);
    assert_eq!(late, ["0 answered; heard, no answer yet from slow"]);
}

#[test]
fn tags_are_changed_while_a_node_runs_and_members_are_chosen_by_them() {
    let cluster = Cluster::new("tags");
    let one = cluster.node("one").arg("--tag", "role=db").arg("--tag", "rack=a1").start();
    let two = cluster.node("two").start();
    Cluster::settle(&[&one, &two]);
    let [one, two] = [one.http.to_string(), two.http.to_string()];
    let names = |args: &[&str]| {
        let args: Vec<&str> = ["members", "--json"].iter().chain(args).copied().collect();
        let members = parsed(&run(&two, &args, 0));
        members.as_array().unwrap().iter().map(|member| member["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--tag", "role=d*", "--tag", "rack=a1"]), ["one"]);
    assert_eq!(names(&["--tag", "role=web"]), Vec::<Value>::new());
    assert_eq!(names(&["--name", "o*", "--name", "x"]), ["one"]);
    assert_eq!(names(&["--status", "dead"]), Vec::<Value>::new());
    assert_eq!(names(&["--status", "alive", "--status", "dead"]).len(), 2);

    run(&one, &["tags", "set", "role=web", "zone=eu"], 0);
    let left = parsed(&run(&one, &["tags", "remove", "rack", "--json"], 0));
    assert_eq!([&left["role"], &left["zone"], &left["rack"]], [&json!("web"), &json!("eu"), &Value::Null]);
    wait("the other hears of it", || {
        let found = names(&["--tag", "role=web", "--tag", "zone=*"]);
        ensure(found == ["one"], || format!("{found:?}"))
    });
    assert!(run(&one, &["tags"], 0).lines().any(|line| line.starts_with("zone ")));
    assert_eq!(run(&one, &["tags", "set", "weight=7"], 2), "");
    let table = run(&one, &["members"], 0);
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
}

#[test]
fn a_secret_takes_the_place_of_another_and_one_that_was_down_comes_back_with_the_old() {
    let cluster = Cluster::new("rotation");
    let secret = |name: &str| {
        let path = cluster.dir().join(name);
        fs::write(&path, boato(["keygen"]).stdout).unwrap();
        path.display().to_string()
    };
    let (old, new) = (secret("old"), secret("new"));
    let launch = |name: &str, secret: &str, join: Option<&str>| {
        let dir = cluster.dir().join(format!("data-{name}"));
        let launch =
            cluster.node(name).arg("--secret-file", secret).arg("--discover", "off").arg("--data-dir", dir);
        join.into_iter().fold(launch, |launch, join| launch.arg("--join", join)).arg("--quic", "127.0.0.1:0")
    };
    let one = launch("one", &old, None).start();
    let seed = one.quic.to_string();
    let two = launch("two", &old, Some(&seed)).start();
    let mut three = launch("three", &old, Some(&seed)).start();
    Cluster::settle(&[&one, &two, &three]);
    let http = one.http.to_string();
    let keys = |args: &[&str], secret: &str, code| {
        let args: Vec<&str> = ["keys"]
            .iter()
            .chain(args)
            .copied()
            .chain(["--secret-file", secret, "--cluster", "rotation"])
            .collect();
        run(&http, &args, code)
    };
    let reports = |secret: &str| parsed(&keys(&["list", "--json"], secret, 0));
    let used = |reports: &Value| -> Vec<Value> {
        reports.as_array().unwrap().iter().map(|report| report["used"].clone()).collect()
    };
    let first = reports(&old)[0]["used"].as_str().unwrap().to_owned();
    three.kill();
    wait("three is found dead", || {
        let state = one.view().members()["three"].clone();
        ensure(state == "dead", || state)
    });

    let installed = parsed(&keys(&["install", &new, "--json"], &old, 0));
    let ids = installed[0]["keys"].as_array().unwrap();
    let second = ids.iter().find(|id| **id != first.as_str()).unwrap().as_str().unwrap().to_owned();
    keys(&["use", &second], &old, 0);
    assert_eq!(used(&reports(&old))[..1], [json!(second)]);
    // Three may know no other secret: it would be kept out.
    assert_eq!(keys(&["remove", &first], &old, 1), "");
    let three = launch("three", &old, Some(&seed)).start();
    Cluster::settle(&[&one, &two, &three]);
    wait("all use the new one", || {
        let reports = reports(&new);
        ensure(used(&reports) == [json!(second), json!(second), json!(second)], || reports.to_string())
    });
    // Nor may one that has left meanwhile, should it start again.
    let four = launch("four", &old, Some(&seed)).start();
    Cluster::settle(&[&one, &two, &three, &four]);
    four.terminate();
    wait("four has left", || {
        let state = one.view().members()["four"].clone();
        ensure(state == "left", || state)
    });
    assert_eq!(keys(&["remove", &first], &new, 1), "");
    run(&http, &["force-leave", "four", "--prune", "--secret-file", &new, "--cluster", "rotation"], 0);
    let table = keys(&["remove", &first], &new, 0);
    assert!(!table.contains(&first) && table.lines().all(|line| line.len() <= 80), "{table}");
    assert_eq!(keys(&["list"], &old, 1), "", "its token admits no operator any more");

    // Restarts with the old secret, but with what it has kept; a stranger with the old one stays out.
    drop(two);
    let two = launch("two", &old, Some(&seed)).start();
    Cluster::settle(&[&one, &two, &three]);
    let stranger = cluster.node("stranger").arg("--secret-file", &old).arg("--discover", "off");
    let stranger = stranger.arg("--join", &seed).arg("--quic", "127.0.0.1:0").start();
    wait("the stranger is refused", || {
        let log = stranger.log();
        ensure(log.contains("other cluster secret"), || log)
    });
    assert_eq!(one.view().members().get("stranger"), None);
}

#[test]
fn a_running_node_joins_another_when_it_is_told() {
    let cluster = Cluster::new("told-to-join");
    let launch = |name| cluster.node(name).arg("--discover", "off").arg("--quic", "127.0.0.1:0").start();
    let [one, two] = ["one", "two"].map(launch);
    let http = one.http.to_string();
    assert_eq!(run(&http, &["join", &one.quic.to_string()], 1), "", "itself");
    assert!(run(&http, &["join", &two.quic.to_string()], 0).starts_with("joined "));
    Cluster::settle(&[&one, &two]);
}

#[test]
fn a_dead_member_is_removed_and_a_node_with_a_directory_finds_the_others_again() {
    let cluster = Cluster::new("removal");
    let launch = |name: &str| {
        let dir = cluster.dir().join(format!("data-{name}"));
        cluster.node(name).arg("--data-dir", dir).arg("--discover", "off").arg("--quic", "127.0.0.1:0")
    };
    let one = launch("one").start();
    let seed = one.quic.to_string();
    let two = launch("two").arg("--join", &seed).start();
    let mut three = launch("three").arg("--join", &seed).start();
    Cluster::settle(&[&one, &two, &three]);
    let http = one.http.to_string();
    assert_eq!(run(&http, &["force-leave", "three"], 1), "", "it lives");
    // Its file is written within seconds.
    let file = cluster.dir().join("data-three/members");
    wait("three remembers the others", || {
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        ensure(text.lines().count() == 2, || text)
    });
    three.kill();
    wait("three is found dead", || {
        let state = one.view().members()["three"].clone();
        ensure(state == "dead", || state)
    });
    run(&http, &["force-leave", "three"], 0);
    wait("it has left for all", || {
        let state = two.view().members()["three"].clone();
        ensure(state == "left", || state)
    });
    // Without --join.
    let mut three = launch("three").start();
    Cluster::settle(&[&one, &two, &three]);
    three.kill();
    wait("three is found dead again", || {
        let state = one.view().members()["three"].clone();
        ensure(state == "dead", || state)
    });
    run(&http, &["force-leave", "three", "--prune"], 0);
    wait("nobody lists it", || {
        let members = two.view().members();
        ensure(!members.contains_key("three"), || format!("{members:?}"))
    });
}

/// A process stands still half of its time, for less than the shortest suspicion at a time: 3 s without a secret.
#[test]
fn a_member_with_half_its_time_stolen_is_not_declared_dead_nor_declares_others() {
    let stops = [400, 800, 1200, 100, 100, 1200, 400, 800].map(Duration::from_millis);
    let cluster = Cluster::new("stolen");
    let nodes = cluster.start(["a", "b", "c", "d", "e"]);
    let begin = Instant::now();
    for stop in stops {
        nodes[2].freeze();
        thread::sleep(stop);
        nodes[2].thaw();
        thread::sleep(stop);
    }
    assert!(begin.elapsed() >= 2 * stops.iter().sum::<Duration>());
    Cluster::settle(&nodes.each_ref());
    let accused: Vec<&str> = nodes
        .iter()
        .filter(|node| node.log().contains("a member failed"))
        .map(|node| node.name.as_str())
        .collect();
    assert!(accused.is_empty(), "{accused:?} declared somebody dead");
}

#[test]
fn the_younger_of_two_with_one_name_adds_its_id_until_the_older_is_gone() {
    let (here, elsewhere) = (Cluster::new("names"), Cluster::new("names"));
    let mut one = here.node("one").start();
    Cluster::settle(&[&one]);
    let told = elsewhere.dir().join("told");
    let handler = format!("echo $BOATO_EVENT $BOATO_NODE >> {}", told.display());
    let twin = elsewhere.node("one").arg("--join", one.quic.to_string()).arg("--on-event", handler).start();
    let id = format!("{:032x}", twin.id);
    wait("the younger has another name", || {
        let members = one.view().members();
        let names: Vec<&String> = members.keys().collect();
        ensure(names == ["one", &format!("one-{}", &id[..8])], || format!("{names:?}"))
    });
    let status = parsed(&run(&twin.http.to_string(), &["status", "--json"], 0));
    assert_eq!(status["name"], format!("one-{}", &id[..8]));
    assert!(twin.log().contains("give it a --name of its own"));
    let heard = |line: &str| {
        let text = fs::read_to_string(&told).map_err(|error| error.to_string())?;
        ensure(text.lines().any(|told| told == line), || text)
    };
    wait("its handler is told the other name", || heard(&format!("name_conflict one-{}", &id[..8])));
    one.kill();
    wait("it has its name again", || {
        let status = parsed(&run(&twin.http.to_string(), &["status", "--json"], 0));
        ensure(status["name"] == "one", || status["name"].to_string())
    });
    wait("and so has its handler", || heard("name_regained one"));
}

#[test]
fn the_distance_of_two_members_is_estimated() {
    let nodes = Cluster::new("distance").start(["one", "two"]);
    let http = nodes[0].http.to_string();
    wait("probes have been answered", || {
        let trip = parsed(&run(&http, &["rtt", "two", "--json"], 0));
        assert_eq!((&trip["from"], &trip["to"]), (&json!("two"), &json!("one")));
        ensure(trip["rtt_s"].as_f64().is_some_and(|time| time < 1.0), || trip.to_string())
    });
    let id = format!("{:032x}", nodes[1].id);
    assert!(run(&http, &["rtt", "one", &id[..8]], 0).starts_with("one to two and back: "));
    assert_eq!(run(&http, &["rtt", "three"], 1), "");
}
