//! A node under a service manager: what it is handed, what it tells, what it does on SIGHUP. The test plays systemd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Instant;

use crate::harness::{Cluster, Node, PATIENCE, Starting, boato, ensure, wait};

/// The socket on which a service manager listens.
struct Manager(UnixDatagram);

impl Manager {
    fn new(cluster: &Cluster) -> (Self, std::path::PathBuf) {
        let path = cluster.dir().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self(socket), path)
    }

    /// What is said until a message has `line`, that message included.
    fn hears(&self, line: &str) -> Vec<String> {
        let mut said = Vec::new();
        let (mut buffer, start) = ([0; 4096], Instant::now());
        loop {
            assert!(start.elapsed() < PATIENCE, "no {line} among {said:?}");
            let len =
                self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("no {line} after {said:?}: {error}"));
            said.extend(String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned));
            if said.iter().any(|have| have.starts_with(line)) {
                return said;
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_readiness_health_reloads_and_the_end() {
    let cluster = Cluster::new("supervised");
    let (manager, path) = Manager::new(&cluster);
    let config = cluster.dir().join("boato.toml");
    fs::write(&config, "weight = 2\nlog = \"info\"\n").unwrap();
    let launch = cluster.node("one").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    let mut node = launch.arg("--config", &config).start();
    let said = manager.hears("STATUS=ready: 16384 slots, 0 entries, 0 MiB, 1 members");
    let place = |start: &str| said.iter().position(|line| line.starts_with(start));
    let waiting = place("STATUS=not ready: looking for other nodes");
    assert!(waiting.is_some() && waiting < place("READY=1"), "{said:?}");
    manager.hears("WATCHDOG=1");

    fs::write(&config, "weight = 3\nmax-memory = \"1MiB\"\nlog = \"debug\"\n").unwrap();
    node.hang_up();
    let said = manager.hears("STATUS=reload");
    assert!(said.contains(&"RELOADING=1".to_owned()) && said.contains(&"READY=1".to_owned()), "{said:?}");
    let told = "STATUS=reloaded: max-memory: none -> 1048576, log: info -> debug, weight: 2 -> 3";
    assert!(said.contains(&told.to_owned()), "{said:?}");
    let status = serde_json::from_slice::<serde_json::Value>(&node.client().get("/_/status").body).unwrap();
    assert_eq!(status["max_memory"], 1 << 20);

    node.terminate();
    let said = manager.hears("EXTEND_TIMEOUT_USEC=");
    assert!(said.contains(&"STOPPING=1".to_owned()), "{said:?}");
    assert_eq!(node.ended(), 0);
}

#[test]
fn a_reload_takes_over_all_or_nothing_and_says_what_it_cannot() {
    let cluster = Cluster::new("reloaded");
    let config = cluster.dir().join("boato.toml");
    let secret = cluster.dir().join("secret");
    fs::write(&secret, "old\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let write = |text: &str| {
        fs::write(&config, format!("client-secret-file = {secret:?}\nweight = 1\n{text}")).unwrap();
    };
    write("");
    let node = cluster.node("one").arg("--config", &config).start();
    let http = node.http.to_string();
    let reload = |code| {
        let output = boato(["reload", "--http", &http]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let status = |token: &str| {
        let mut stream = TcpStream::connect(node.http).unwrap();
        let head = format!(
            "GET /_/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].parse::<u16>().unwrap()
    };
    assert_eq!((status("old"), status("new")), (200, 401));
    // Without the cluster's secret administration needs loopback only, but clients need theirs.
    assert!(reload(1).contains("client secret"));
    let reload = |code| {
        let output = boato(["reload", "--http", &http, "--client-secret-file", secret.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    assert_eq!(reload(0), "nothing has changed\n");

    write("max-memory = \"1MiB\"\nallow-host = [\"x\"]\n");
    let refused = reload(1);
    assert!(refused.contains("need a restart: allow-host;"), "{refused}");
    write("max-memory = \"much\"\n");
    let refused = reload(1);
    assert!(refused.contains("nothing was changed") && refused.contains("max-memory"), "{refused}");
    write("on-query = \"echo two\"\nmax-memory = \"2MiB\"\n");
    let refused = reload(1);
    assert!(refused.contains("need a restart: on-query;"), "{refused}");
    write("tag = [\"weight=7\"]\nmax-memory = \"2MiB\"\n");
    let refused = reload(1);
    assert!(refused.contains("nothing was changed") && refused.contains("weight"), "{refused}");
    write("tag = [\"rack=2\"]\n");
    assert_eq!(reload(0), "tag: rack=2\n");
    write("access-log = 1\n");
    assert_eq!(reload(0), "tag: no rack\naccess-log: none -> 1\n");
    assert_eq!(status("old"), 200);
    wait("the request is in the log", || {
        ensure(node.log().contains("\"path\":\"/_/status\""), || "it is not".to_owned())
    });
    write("");
    assert_eq!(reload(0), "access-log: 1 -> none\n");
    write("");
    assert_eq!(reload(0), "nothing has changed\n", "neither of the two was taken over in part");

    // Two secrets while clients move from one to the other.
    fs::write(&secret, "old\nnew\n").unwrap();
    assert_eq!(reload(0), "client-secret-file: other secrets\n");
    assert_eq!((status("old"), status("new"), status("none")), (200, 200, 401));
    fs::write(&secret, "new\nold").unwrap();
    reload(0);
    fs::write(&secret, "new\n").unwrap();
    assert_eq!(reload(0), "client-secret-file: other secrets\n");
    assert_eq!((status("old"), status("new")), (401, 200));
}

#[test]
fn a_restart_with_handed_sockets_refuses_nobody() {
    let cluster = Cluster::new("handed");
    let [http, resp] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let start = || cluster.node("one").hand_over([("http", &http), ("resp", &resp)]).start();
    let mut node = start();
    assert_eq!((node.http, node.resp), (http.local_addr().unwrap(), resp.local_addr().unwrap()));
    node.terminate();
    assert_eq!(node.ended(), 0);
    let mut early = TcpStream::connect(node.resp).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.write_all(b"PING\r\n").unwrap();
    let _again = start();
    let mut pong = [0; 7];
    early.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
}

#[test]
fn sockets_that_cannot_be_used_are_an_error() {
    let cluster = Cluster::new("strange");
    let [one, two] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let wide = TcpListener::bind("0.0.0.0:0").unwrap();
    for (sockets, reason) in [
        ([("http", &one), ("boato.socket", &two)], "FileDescriptorName"),
        ([("http", &one), ("http", &two)], "two sockets"),
        ([("http", &one), ("resp", &wide)], "--client-secret-file"),
    ] {
        let said = cluster.node("bad").hand_over(sockets).spawn().failed();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn an_idle_node_leaves_and_the_last_with_keys_stays() {
    let cluster = Cluster::new("idle");
    let [one] = cluster.start(["one"]);
    let mut two = cluster.node("two").arg("--exit-on-idle", "1s").start();
    let held = TcpStream::connect(two.resp).unwrap();
    let mut client = two.client();
    wait("it is ready", || ensure(client.get("/_/readyz").status == 200, || "not ready".to_owned()));
    assert!([200, 201].contains(&client.put("/k", "v").status));
    assert!(two.runs());
    drop(held);
    // Neither a connection that is kept nor one who collects metrics is a client.
    let http = two.http;
    let scraper = thread::spawn(move || {
        let mut scraped = 0;
        while let Ok(mut door) = TcpStream::connect(http)
            && write!(door, "GET /_/metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is_ok()
            && door.read_to_end(&mut Vec::new()).is_ok()
        {
            scraped += 1;
        }
        scraped
    });
    assert_eq!(two.ended(), 0);
    drop(client);
    assert!(scraper.join().unwrap() > 10);
    assert_eq!(one.client().get("/k").body, b"v");

    let alone = Cluster::new("alone");
    let mut last = alone.node("last").arg("--exit-on-idle", "500ms").start();
    let held = TcpStream::connect(last.resp).unwrap();
    let mut client = last.client();
    wait("it is ready", || ensure(client.get("/_/readyz").status == 200, || "not ready".to_owned()));
    client.put("/k?ttl=3", "v");
    drop(held);
    wait("it says that it stays", || {
        ensure(last.log().contains("staying, as one node"), || "not said".to_owned())
    });
    assert!(last.runs());
    assert_eq!(last.ended(), 0, "the key has expired, nobody loses it");
}

#[test]
fn of_three_idle_nodes_one_stays_with_all_keys() {
    let cluster = Cluster::new("idle-all");
    let start = |name| cluster.node(name).arg("--exit-on-idle", "5s").spawn();
    let mut nodes = ["one", "two", "three"].map(start).map(Starting::listening);
    // Nobody goes while each has a client.
    let clients = nodes.each_ref().map(|node| TcpStream::connect(node.resp).unwrap());
    Cluster::settle(&nodes.each_ref());
    let mut client = nodes[0].client();
    for i in 0..300 {
        assert_eq!(client.put(&format!("/k{i}"), "v").status, 201);
    }
    drop(clients);
    wait("two of them go", || {
        let running = nodes.iter_mut().filter_map(|node| node.runs().then_some(())).count();
        ensure(running == 1, || format!("{running} run"))
    });
    let last = nodes.iter_mut().position(Node::runs).expect("one stays");
    let last = &nodes[last];
    wait("it says that it stays", || {
        ensure(last.log().contains("staying, as one node keeps the keys"), || "not said".to_owned())
    });
    let mut client = last.client();
    for i in 0..300 {
        assert_eq!(client.get(&format!("/k{i}")).status, 200, "k{i}");
    }
}
