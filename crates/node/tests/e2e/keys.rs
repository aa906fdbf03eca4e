//! Keys and values, through nodes that hold them and nodes that do not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Answer, Bulk, Cluster, Http, Node, ensure, place, wait};

#[test]
fn every_node_serves_every_key_and_each_key_is_on_one_node() {
    let nodes = Cluster::new("keys").start(["a", "b", "c"]);
    let bulk = Bulk { count: 10_000, bytes: 100, crowded: false };
    bulk.write(&nodes[0]);
    let [by_a, by_b, by_c] = nodes.each_ref().map(|node| bulk.read(node));
    for (i, ((on_a, on_b), on_c)) in by_a.iter().zip(&by_b).zip(&by_c).enumerate() {
        assert!(on_a.0 == on_b.0 && on_b.0 == on_c.0, "{i}: on {on_a:?}, {on_b:?}, {on_c:?}");
    }
    for (node, places) in nodes.iter().zip([&by_a, &by_b, &by_c]) {
        for (i, (holder, source)) in places.iter().enumerate() {
            assert_eq!(source == "local", *holder == node.name, "{i} through {}", node.name);
            assert!(["local", "cluster"].contains(&source.as_str()));
        }
    }
    let holders: BTreeSet<_> = by_a.iter().map(|(holder, _)| holder.as_str()).collect();
    assert_eq!(holders, BTreeSet::from(["a", "b", "c"]));
    let entries: u64 = nodes.iter().map(|node| node.view().metric("boato_entries")).sum();
    assert_eq!(entries, 10_000);
}

/// Two nodes, and which of them holds which key.
struct Pair([Node; 2]);

impl Pair {
    fn start(name: &str) -> Self {
        Self(Cluster::new(name).start(["a", "b"]))
    }

    /// Clients of the node that holds `path` and of the one that does not.
    fn clients(&self, path: &str) -> (Http, Http) {
        let (holder, source) = place(&self.0[0].client().get(path));
        let [a, b] = self.0.each_ref().map(Node::client);
        assert_eq!(source == "local", holder == "a");
        if holder == "a" { (a, b) } else { (b, a) }
    }
}

/// Status, after a check that the answer came from where it should.
fn status(answer: &Answer, source: &str) -> u16 {
    assert_eq!(place(answer).1, source, "{answer:?}");
    answer.status
}

#[test]
fn values_are_the_same_through_any_node() {
    let pair = Pair::start("values");
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let large: Vec<u8> = (0..8_u32 << 20).map(|i| (i % 251) as u8).collect();
    let cases: [(&str, &[u8]); 9] = [
        ("/plain", b"hello"),
        ("/empty", b""),
        ("/binary", &binary),
        ("/largest", &large),
        ("/a//b/", b"slashes"),
        ("/%2F%2Fx/../y/./z", b"never normalised"),
        ("/caf%C3%A9%20100%25", b"escapes"),
        ("/%00%FF%80", b"bytes"),
        ("/%5F/members", b"reserved, were it not escaped"),
    ];
    for (path, value) in cases {
        let (mut holder, mut other) = pair.clients(path);
        let put = other.request("PUT", path, "content-type: application/x-thing\r\n", value);
        assert_eq!(status(&put, "cluster"), 201, "{path}");
        for (http, source) in [(&mut holder, "local"), (&mut other, "cluster")] {
            let answer = http.get(path);
            assert_eq!(status(&answer, source), 200, "{path}");
            assert!(answer.body == value, "{path} is damaged");
            assert_eq!(answer.header("content-type"), Some("application/x-thing"));
            let head = http.request("HEAD", path, "", b"");
            assert_eq!(
                (status(&head, source), head.header("content-length")),
                (200, Some(&*value.len().to_string()))
            );
        }
        assert_eq!(status(&other.request("DELETE", path, "", b""), "cluster"), 204, "{path}");
        assert_eq!(status(&other.request("DELETE", path, "", b""), "cluster"), 404, "{path}");
        let missing = holder.get(path);
        assert_eq!((status(&missing, "local"), missing.text().as_str()), (404, "key not found"), "{path}");
    }
    let longest = format!("/{}", "k".repeat(1024));
    assert_eq!(pair.clients(&longest).1.put(&longest, "v").status, 201);
    assert_eq!(pair.0[0].client().put(&format!("{longest}k"), "v").status, 414);
}

#[test]
fn a_value_above_the_limit_is_refused_and_nothing_is_stored() {
    let pair = Pair::start("limit");
    let mut http = pair.clients("/large").1;
    let answer = http.request("PUT", "/large", "expect: 100-continue\r\n", vec![0; 0]);
    assert!(matches!(answer.status, 100 | 201), "{answer:?}");
    let mut http = pair.clients("/larger").1;
    let announced = http.call("PUT", "/larger", "", &vec![0; (8 << 20) + 1]);
    // The node may answer and close before it has read everything, which a client may see as a broken connection.
    if let Ok(answer) = announced {
        assert_eq!(answer.status, 413);
    }
    assert_eq!(pair.0[0].client().get("/larger").status, 404);
}

#[test]
fn conditions_hold_through_any_node() {
    let pair = Pair::start("conditions");
    let (mut holder, mut other) = pair.clients("/k");
    let put = |http: &mut Http, condition: &str, value: &str| http.request("PUT", "/k", condition, value);
    let created = put(&mut other, "if-none-match: *\r\n", "1");
    assert_eq!(status(&created, "cluster"), 201);
    let first = created.header("etag").unwrap().to_owned();
    assert_eq!(status(&put(&mut holder, "if-none-match: *\r\n", "2"), "local"), 412);
    let matching = format!("if-match: {first}\r\n");
    let replaced = put(&mut other, &matching, "3");
    assert_eq!(status(&replaced, "cluster"), 200);
    let second = replaced.header("etag").unwrap().to_owned();
    assert_ne!(first, second);
    for (http, source) in [(&mut holder, "local"), (&mut other, "cluster")] {
        let refused = http.request("PUT", "/k", &matching, "4");
        assert_eq!((status(&refused, source), refused.header("etag")), (412, Some(&*second)));
        assert_eq!(status(&http.request("DELETE", "/k", &matching, ""), source), 412);
        let unchanged = http.request("GET", "/k", &format!("if-none-match: {second}\r\n"), "");
        assert_eq!((status(&unchanged, source), unchanged.body.len()), (304, 0));
        assert_eq!(http.get("/k").text(), "3");
    }
    let deleted = other.request("DELETE", "/k", &format!("if-match: {second}\r\n"), "");
    assert_eq!(status(&deleted, "cluster"), 204);
    assert_eq!(status(&put(&mut other, "if-match: *\r\n", "5"), "cluster"), 412);
}

#[test]
fn values_expire_through_any_node() {
    let pair = Pair::start("expiry");
    let (mut holder, mut other) = pair.clients("/k");
    let start = Instant::now();
    assert_eq!(other.put("/k?ttl=2", "v").status, 201);
    let age = |answer: &Answer| {
        let left = answer.header("cache-control").and_then(|text| text.strip_prefix("max-age="));
        left.unwrap_or_else(|| panic!("{answer:?}")).parse::<u64>().unwrap()
    };
    for http in [&mut holder, &mut other] {
        let answer = http.get("/k");
        if answer.status == 200 {
            assert!(age(&answer) <= 2, "{answer:?}");
        }
    }
    for http in [&mut holder, &mut other] {
        wait("the value expires", || match http.get("/k").status {
            404 => Ok(()),
            200 => ensure(false, || "it is still there".to_owned()),
            status => panic!("{status}"),
        });
    }
    assert!(start.elapsed() > Duration::from_millis(1_500), "it expired early");
    let long = other.request("PUT", "/k", "cache-control: max-age=1000\r\n", "v");
    assert_eq!(long.status, 201, "an expired value is none");
    assert!((990..=1000).contains(&age(&other.get("/k"))));
    assert_eq!(other.put("/k", "v").status, 200);
    assert_eq!(other.get("/k").header("cache-control"), None, "a write without a time to live keeps none");
}

#[test]
fn pages_of_keys_list_the_keys_of_all_nodes_once() {
    let pair = Pair::start("pages");
    let bulk = Bulk { count: 700, bytes: 10, crowded: false };
    bulk.write(&pair.0[0]);
    pair.0[1].client().put("/other", "v");
    let mut http = pair.0[1].client();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = http.get(&format!("/_/keys?prefix=bulk/&limit=100{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.len() <= 100);
        found.extend(keys.iter().map(|key| key["path"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: BTreeSet<_> = (0..bulk.count).map(|i| bulk.path(i)).collect();
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    // Wherever a lone key lies, the first page has it.
    for i in 0..4 {
        http.put(&format!("/lone{i}"), "v");
        let page = http.get(&format!("/_/keys?prefix=lone{i}"));
        assert!(page.text().contains(&format!("/lone{i}")), "{}", page.text());
    }
}
