//! Nodes that tell RESP addresses which lead elsewhere from where the commands run, as loopback does from another machine.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::harness::{Cluster, Node, boato};

/// A door that passes on to the one of `node`, and puts `resp` for its RESP address in what it answers.
fn misleading(node: &Node, resp: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (http, right, wrong) = (node.http, node.resp.to_string(), resp.to_string());
    assert_eq!(right.len(), wrong.len(), "the length of an answer stays what its head says");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut behind = TcpStream::connect(http).unwrap();
            behind.write_all(&request(&stream)).unwrap();
            let mut answer = String::new();
            behind.read_to_string(&mut answer).unwrap();
            stream.write_all(answer.replace(&right, &wrong).as_bytes()).unwrap();
        }
    });
    addr
}

/// The next request, with the wish that the connection ends after it.
fn request(stream: &TcpStream) -> Vec<u8> {
    let (mut reader, mut head, mut length) = (BufReader::new(stream), String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    head += "connection: close\r\n\r\n";
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    [head.into_bytes(), body].concat()
}

#[test]
fn no_command_takes_the_door_of_another_cluster_for_that_of_the_node_it_asks() {
    let (here, elsewhere) = (Cluster::new("here"), Cluster::new("elsewhere"));
    let ([one], [wrong]) = (here.start(["one"]), elsewhere.start(["wrong"]));
    let file = here.dir().join("keys");
    fs::write(&file, "{\"key\":\"k\",\"value\":\"v\"}\n").unwrap();
    let (file, copy) = (file.to_str().unwrap(), here.dir().join("copy"));
    let commands = [
        vec!["import", file],
        vec!["export", copy.to_str().unwrap()],
        vec!["bench", "--time", "10ms", "--connections", "1"],
    ];
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (resp, found) in [(wrong.resp, "another server"), (nobody, "nobody answers")] {
        let http = misleading(&one, resp).to_string();
        for command in &commands {
            let astray = boato(command.iter().chain(&["--http", &*http]));
            let said = String::from_utf8(astray.stderr).unwrap();
            assert_eq!(astray.status.code(), Some(69), "{command:?}: {said}");
            for text in [&*resp.to_string(), found, "--resp ADDR"] {
                assert!(said.contains(text), "{command:?}: {said}");
            }
            let right = one.resp.to_string();
            let done = boato(command.iter().chain(&["--http", &*http, "--resp", &*right]));
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
    assert_eq!(one.client().get("/k").body, b"v");
    assert_eq!(wrong.client().get("/k").status, 404);
    assert_eq!(wrong.view().json("/_/status")["entries"], 0);
}
