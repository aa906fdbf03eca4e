//! The commands that talk to a node, against a listener that answers what it is told to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use assert_cmd::Command;
use serde_json::{Value, json};

/// A request as it came in.
struct Request {
    /// Method and target.
    line: String,
    /// Header lines in lower case.
    headers: Vec<String>,
    body: Vec<u8>,
}

/// Answers one connection with `status` and `body`, and gives the request.
struct Door {
    addr: String,
    request: JoinHandle<Request>,
}

impl Door {
    fn answers(status: u16, body: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let request = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read(&stream);
            write!(
                stream,
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            )
            .unwrap();
            stream.write_all(body).unwrap();
            request
        });
        Self { addr, request }
    }

    fn boato(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boato"));
        command.env_clear().args(args).args(["--http", &self.addr]);
        command
    }

    fn request(self) -> Request {
        self.request.join().unwrap()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let line = lines.remove(0).replace(" HTTP/1.1", "");
    let headers: Vec<_> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    Request { line, headers, body }
}

#[test]
fn get_writes_the_raw_bytes() {
    let door = Door::answers(200, b"\x00\xffraw\n");
    door.boato(&["get", "a/b c"]).assert().success().stdout(&b"\x00\xffraw\n"[..]);
    assert_eq!(door.request().line, "GET /a/b%20c");
}

#[test]
fn get_of_a_missing_key_is_1() {
    let door = Door::answers(404, b"key not found");
    door.boato(&["get", "k"]).assert().code(1).stdout("").stderr("boato: key not found\n");
}

#[test]
fn set_sends_the_value_and_the_time_to_live() {
    let door = Door::answers(201, b"");
    door.boato(&["set", "_k", "-5", "--ttl", "2m"]).assert().success().stdout("created\n");
    let request = door.request();
    assert_eq!((request.line.as_str(), request.body.as_slice()), ("PUT /%5Fk?ttl=120", b"-5".as_slice()));
}

#[test]
fn set_reads_standard_input_when_there_is_no_value() {
    for args in [&["set", "k"][..], &["set", "k", "-"]] {
        let door = Door::answers(200, b"");
        door.boato(args).write_stdin(&b"\x01two\n"[..]).assert().success().stdout("replaced\n");
        assert_eq!(door.request().body, b"\x01two\n");
    }
}

#[test]
fn del_succeeds_whether_the_key_was_there_or_not() {
    for (status, text) in [(204, "deleted\n"), (404, "not found\n")] {
        let door = Door::answers(status, b"");
        door.boato(&["del", "k"]).assert().success().stdout(text);
        assert_eq!(door.request().line, "DELETE /k");
    }
}

#[test]
fn a_refusal_is_1_with_the_reason_of_the_node() {
    let door = Door::answers(507, br#"{"title":"memory full","detail":"delete keys","status":507}"#);
    let assert = door.boato(&["set", "k", "v"]).assert().code(1);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("answered 507: delete keys"), "{stderr}");
}

#[test]
fn a_listener_that_is_no_node_is_1() {
    let door = Door::answers(200, b"<html>");
    let assert = door.boato(&["members"]).assert().code(1);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("does not look like a node"), "{stderr}");
}

#[test]
fn a_connection_that_breaks_during_a_write_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let door = std::thread::spawn(move || drop(read(&listener.accept().unwrap().0)));
    let mut command = Command::new(env!("CARGO_BIN_EXE_boato"));
    let assert = command.env_clear().args(["set", "k", "v", "--http", &addr]).assert().code(69);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("the write may have been applied"), "{stderr}");
    door.join().unwrap();
}

const MEMBERS: &[u8] = br#"[
    {"id":"02","name":"web2-22222222","state":"suspect","quic":"127.0.0.1:7401","http":null,"weight":1,
     "version":"0.1.0","load":null},
    {"id":"01","name":"web1-11111111","state":"alive","quic":"127.0.0.1:7400","http":"127.0.0.1:7480","weight":1,
     "version":"0.1.0","load":{"slots":16384,"bytes":1536}}
]"#;

#[test]
fn members_are_a_sorted_table_within_80_columns() {
    let door = Door::answers(200, MEMBERS);
    let assert = door.boato(&["members"]).assert().success();
    let table = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("NAME "), "{table}");
    assert!(lines[1].starts_with("web1-11111111 ") && lines[1].ends_with("16384  1.5 KiB"), "{table}");
    assert!(lines[2].starts_with("web2-22222222 ") && lines[2].contains("suspect"), "{table}");
    assert!(lines.len() == 3 && lines.iter().all(|line| line.len() <= 80), "{table}");
    assert_eq!(door.request().line, "GET /_/members");
}

#[test]
fn json_is_what_the_node_says() {
    let door = Door::answers(200, MEMBERS);
    let assert = door.boato(&["members", "--json"]).assert().success();
    let printed: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(printed, serde_json::from_slice::<serde_json::Value>(MEMBERS).unwrap());
}

#[test]
fn where_names_slot_and_owner() {
    let door = Door::answers(200, br#"{"key":"k","slot":7629,"owner":"web1"}"#);
    door.boato(&["where", "_k"]).assert().success().stdout("slot 7629 on web1\n");
    assert_eq!(door.request().line, "GET /_/owner/_k");
}

#[test]
fn status_shows_the_figures() {
    let door = Door::answers(
        200,
        br#"{"id":"01","name":"web1","cluster":"boato","version":"0.1.0","ready":false,"reason":"joining","uptime_s":65,
            "quic":"q","http":"h","resp":"r","resp_cluster":"c","members":3,"slots":5,"entries":9,"bytes":1024,"max_memory":1048576,
            "moving":{"slots_to_give":812,"bytes_to_give":14889779,"slots_to_take":0,"bytes_per_s":5000000,"seconds_left":3}}"#,
    );
    let assert = door.boato(&["status"]).assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for line in [
        "state    not ready: joining",
        "cluster  boato (3 members)",
        "resp     r, c (cluster)",
        "memory   1.0 KiB of 1.0 MiB",
        "moving   812 slots, 14.1 MiB to give, 3s left",
        "uptime   1m 5s",
    ] {
        assert!(text.lines().any(|have| have == line), "no {line:?} in:\n{text}");
    }
}

#[test]
fn the_client_secret_is_sent_as_bearer() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "s3cret\n").unwrap();
    let door = Door::answers(200, b"v");
    door.boato(&["get", "k"]).arg("--client-secret-file").arg(&file).assert().success();
    let request = door.request();
    assert!(request.headers.contains(&"authorization: bearer s3cret".to_owned()), "{:?}", request.headers);
}

#[test]
fn leave_shows_the_token_of_cluster_and_secret() {
    let secret = boato_transport::Secret::generate();
    let token = boato_transport::Secret::parse(&secret).unwrap().admin_token("edge");
    let door = Door::answers(202, b"");
    door.boato(&["leave", "--cluster", "edge"]).env("BOATO_SECRET", &secret).assert().success();
    let request = door.request();
    assert_eq!(request.line, "POST /_/leave");
    let expected = format!("authorization: bearer {}", token.to_ascii_lowercase());
    assert!(request.headers.contains(&expected), "{:?}", request.headers);
}

/// Answers so many requests on one connection each, by their paths, then is gone; gives the paths.
fn node(
    requests: usize,
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let serve = |_| {
            let mut stream = listener.accept().unwrap().0;
            let path = read(&stream).line.replace("GET ", "");
            let body = answer(&path);
            let head = format!("content-length: {}\r\nconnection: close", body.len());
            write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").unwrap();
            path
        };
        (0..requests).map(serve).collect()
    });
    (addr, asked)
}

#[test]
fn the_live_view_goes_on_at_a_member_and_at_no_other_node_behind_its_door() {
    let other = node(1, |_| r#"{ "id": "of another cluster" }"#.to_owned());
    let members = |doors: [(&str, SocketAddr); 2]| {
        let member =
            |(id, http)| json!({ "id": id, "name": id, "state": "alive", "http": http, "load": null });
        json!(doors.map(member)).to_string()
    };
    let figures = |rate: f64| {
        let told = boato_api::Figures { operations_per_s: Some(rate), ..boato_api::Figures::default() };
        json!({ "b": null, "c": told }).to_string()
    };
    let nobody = "127.0.0.1:1".parse().unwrap();
    let last = node(3, move |path| match path {
        "/_/status" => r#"{ "id": "c" }"#.to_owned(),
        "/_/members" => members([("b", nobody), ("c", nobody)]),
        _ => figures(2.0),
    });
    let doors = [("b", other.0), ("c", last.0)];
    let first = node(2, move |path| if path == "/_/members" { members(doors) } else { figures(1.0) });
    let top = |door: SocketAddr, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boato"));
        let args = args.iter().chain(&["--interval", "10ms", "--http"]);
        let done = command.env_clear().arg("top").args(args).arg(door.to_string()).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let looks = top(first.0, &["--json", "--count", "2"]);
    let looks: Vec<Value> = looks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rate = |look: usize| &looks[look][1]["figures"]["operations_per_s"];
    assert!(*rate(0) == 1.0 && *rate(1) == 2.0 && looks[1][0]["figures"].is_null(), "{looks:?}");
    assert_eq!(other.1.join().unwrap(), ["/_/status"]);

    let alone = node(2, move |path| if path == "/_/members" { members(doors) } else { figures(3.0) });
    let table = top(alone.0, &["--count", "1"]);
    assert!(table.contains("No figures of b:"), "{table}");
}
