//! Traces: what a client samples is seen at the door and at the holder, by a collector that the test plays.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::harness::{Cluster, ensure, wait};

/// Spans that were received, with the name of who sent each.
type Spans = Arc<Mutex<Vec<(String, Value)>>>;

/// A collector that takes everything; gives its address.
fn collector() -> (String, Spans) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (endpoint, spans) = (format!("http://{}", listener.local_addr().unwrap()), Spans::default());
    let received = Arc::clone(&spans);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let received = Arc::clone(&received);
            thread::spawn(move || receive(BufReader::new(stream.unwrap()), &received));
        }
    });
    (endpoint, spans)
}

fn receive(mut stream: BufReader<TcpStream>, spans: &Spans) {
    loop {
        let (mut length, mut line, mut first) = (0, String::new(), String::new());
        while stream.read_line(&mut line).unwrap_or(0) > 0 && line != "\r\n" {
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if first.is_empty() {
            return;
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let resource = &body["resourceSpans"][0];
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        let host = attributes.iter().find(|it| it["key"] == "host.name").unwrap();
        let host = host["value"]["stringValue"].as_str().unwrap();
        let new = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        spans.lock().unwrap().extend(new.iter().map(|span| (host.to_owned(), span.clone())));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    }
}

#[test]
fn a_sampled_request_is_a_span_at_the_door_and_one_at_the_holder() {
    let (endpoint, spans) = collector();
    let cluster = Cluster::new("traced");
    let mut nodes = ["one", "two"].map(|name| cluster.node(name).arg("--otlp", &endpoint).start());
    Cluster::settle(&nodes.each_ref());
    let mut client = nodes[0].client();
    let path = (0..100)
        .map(|n| format!("/key-{n}"))
        .find(|path| client.put(path, "1").header("x-source") == Some("cluster"))
        .unwrap();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let header = |flags: &str| format!("traceparent: 00-{trace}-b7ad6b7169203331-{flags}\r\n");
    assert_eq!(client.request("GET", &path, &header("00"), "").status, 200);
    assert_eq!(client.request("GET", &path, &header("01"), "").status, 200);
    let (door, holder) = wait("both spans arrive", || {
        let spans = spans.lock().unwrap();
        let of = |name: &str| spans.iter().find(|(host, _)| host == name).map(|(_, span)| span.clone());
        of("one").zip(of("two")).ok_or_else(|| format!("{spans:?}"))
    });
    assert_eq!((&door["traceId"], &holder["traceId"]), (&trace.into(), &trace.into()));
    assert_eq!(door["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(holder["parentSpanId"], door["spanId"]);
    assert_eq!((&door["name"], &holder["name"]), (&"GET".into(), &"operation".into()));
    assert_eq!(spans.lock().unwrap().len(), 2, "nothing that is not sampled");
    wait("they are counted once they are taken", || {
        let exported = nodes[0].view().metric("boato_spans_exported_total");
        ensure(exported == 1, || format!("{exported}"))
    });
    // A node that ends sends what it has gathered.
    assert_eq!(nodes[0].client().request("GET", "/_/status", &header("01"), "").status, 200);
    nodes[0].terminate();
    assert_eq!(nodes[0].ended(), 0);
    assert_eq!(spans.lock().unwrap().len(), 3);
}
