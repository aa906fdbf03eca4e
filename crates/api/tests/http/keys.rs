use crate::client::TestDoor;

#[tokio::test]
async fn a_value_comes_back_as_it_was_stored() {
    let door = TestDoor::open().await;
    let put = door.put("/greeting", "Content-Type: text/plain; charset=utf-8\r\n", "hello").await;
    assert_eq!((put.status, put.body.len(), put.header("etag")), (201, 0, Some("\"1-b0a\"")));
    let get = door.get("/greeting").await;
    assert_eq!((get.status, get.text()), (200, "hello"));
    for (name, value) in [
        ("x-source", "local"),
        ("x-hostname", "this one"),
        ("etag", "\"1-b0a\""),
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "5"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox"),
    ] {
        assert_eq!(get.header(name), Some(value), "{name}");
    }
    assert_eq!(get.header("cache-control"), None);
}

#[tokio::test]
async fn writing_again_replaces_by_put_and_by_post() {
    let door = TestDoor::open().await;
    assert_eq!(door.request("POST", "/a", "", "1").await.status, 201);
    assert_eq!(door.request("PUT", "/a", "", "2").await.status, 200);
    let post = door.request("POST", "/a", "", "3").await;
    assert_eq!(
        (post.status, post.header("etag"), post.header("x-source")),
        (200, Some("\"3-b0a\""), Some("local"))
    );
    assert_eq!(door.get("/a").await.text(), "3");
}

#[tokio::test]
async fn a_forms_type_or_none_is_octet_stream() {
    let door = TestDoor::open().await;
    door.put("/form", "Content-Type: application/x-www-form-urlencoded\r\n", "a=b").await;
    door.put("/none", "", "a=b").await;
    for path in ["/form", "/none"] {
        let get = door.get(path).await;
        assert_eq!(get.header("content-type"), Some("application/octet-stream"));
        assert_eq!(get.header("content-security-policy"), None);
    }
}

#[tokio::test]
async fn a_missing_key_is_a_plain_404_that_says_who_answered() {
    let door = TestDoor::open().await;
    for (method, path, source) in
        [("GET", "/a", "local"), ("DELETE", "/a", "local"), ("GET", "/cluster/a", "cluster")]
    {
        let answer = door.request(method, path, "", "").await;
        assert_eq!((answer.status, answer.text()), (404, "key not found"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.header("x-source"), Some(source));
        assert!(answer.header("x-hostname").is_some());
    }
}

#[tokio::test]
async fn a_key_of_another_node_says_so() {
    let door = TestDoor::open().await;
    for (method, status) in [("PUT", 201), ("GET", 200), ("DELETE", 204)] {
        let answer = door.request(method, "/cluster/a", "", "x").await;
        assert_eq!(answer.status, status);
        assert_eq!(
            (answer.header("x-source"), answer.header("x-hostname")),
            (Some("cluster"), Some("another"))
        );
    }
}

#[tokio::test]
async fn delete_removes_once() {
    let door = TestDoor::open().await;
    door.put("/a", "", "x").await;
    let delete = door.request("DELETE", "/a", "", "").await;
    assert_eq!((delete.status, delete.header("content-length"), delete.body.len()), (204, None, 0));
    assert_eq!(door.request("DELETE", "/a", "", "").await.status, 404);
}

#[tokio::test]
async fn head_tells_all_but_the_body() {
    let door = TestDoor::open().await;
    door.put("/a", "", "hello").await;
    door.put("/empty", "", "").await;
    for (path, status, length) in [("/a", 200, "5"), ("/empty", 200, "0"), ("/missing", 404, "13")] {
        let head = door.request("HEAD", path, "", "").await;
        assert_eq!((head.status, head.header("content-length")), (status, Some(length)), "{path}");
        assert_eq!(head.header("x-source"), Some("local"));
    }
    let mut client = door.connect().await;
    client
        .write("HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(client.read_answer(true).await.status, 200);
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn empty_and_binary_values_are_values() {
    let door = TestDoor::open().await;
    assert_eq!(door.put("/empty", "", "").await.status, 201);
    let empty = door.get("/empty").await;
    assert_eq!((empty.status, empty.header("content-length"), empty.body.len()), (200, Some("0"), 0));
    let no_length = door.send("PUT /none HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(no_length.status, 201);
    let binary: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let mut request = b"PUT /binary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".to_vec();
    request.extend(&binary);
    assert_eq!(door.send(&request).await.status, 201);
    assert_eq!(door.get("/binary").await.body, binary);
}

#[tokio::test]
async fn keys_are_the_raw_path_decoded_once() {
    let door = TestDoor::open().await;
    for (path, name) in [
        ("/a//b", "a//b"),
        ("//b", "/b"),
        ("/a/../b", "a/../b"),
        ("/%5F/x", "_/x"),
        ("/%2541", "%41"),
        ("/d%C3%BCrer/%20", "dürer/ "),
        ("/raw/dürer", "raw/dürer"),
        ("/~a+b;c=d,e", "~a+b;c=d,e"),
    ] {
        assert_eq!(door.put(path, "", path).await.status, 201, "{path}");
        let listed = door.get("/_/keys?limit=1000").await.json();
        let names: Vec<&str> =
            listed["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
        assert!(names.contains(&name), "{name} is not in {names:?}");
        assert_eq!(door.get(path).await.text(), path);
    }
    assert_eq!(door.get("/b").await.status, 404);
    assert_eq!(door.get("/dürer/%20").await.text(), "/d%C3%BCrer/%20");
    assert_eq!(door.get("/%61//b").await.text(), "/a//b");
}

#[tokio::test]
async fn targets_that_name_no_key_are_refused() {
    let door = TestDoor::open().await;
    for target in ["/%", "/%zz", "/a%4", "*", "http://localhost/a", "localhost:80", "key", "/a?x", "/a?ttl=1"]
    {
        door.get(target).await.problem(400);
    }
    door.get(&format!("/{}", "a".repeat(1025))).await.problem(414);
    door.put("/a?ttl=1&x=1", "", "x").await.problem(400);
    door.request("DELETE", "/a?ttl=1", "", "").await.problem(400);
    assert_eq!(door.get(&format!("/{}", "%61".repeat(1024))).await.status, 404);
    assert_eq!(door.get("/a?").await.status, 404);
}

#[tokio::test]
async fn a_time_to_live_is_given_once_and_counted_down() {
    let door = TestDoor::open().await;
    assert_eq!(door.put("/header", "Cache-Control: max-age=100\r\n", "x").await.status, 201);
    assert_eq!(door.put("/query?ttl=100", "", "x").await.status, 201);
    for path in ["/header", "/query"] {
        let left = door.get(path).await.header("cache-control").map(str::to_owned).unwrap();
        let seconds: u64 = left.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!((90..100).contains(&seconds), "{left}");
    }
    door.put("/a?ttl=100", "Cache-Control: max-age=100\r\n", "x").await.problem(400);
    door.put("/a?ttl=0", "", "x").await.problem(400);
    door.put("/a?ttl", "", "x").await.problem(400);
    door.put("/a", "Cache-Control: max-age=x\r\n", "x").await.problem(400);
    assert_eq!(door.get("/a").await.status, 404);
    assert_eq!(door.put("/header", "", "y").await.status, 200);
    assert_eq!(door.get("/header").await.header("cache-control"), None);
}

#[tokio::test]
async fn a_read_that_knows_the_version_gets_304() {
    let door = TestDoor::open().await;
    door.put("/a?ttl=100", "", "x").await;
    for (header, status) in [
        ("If-None-Match: \"1-b0a\"", 304),
        ("If-None-Match: W/\"1-b0a\"", 304),
        ("If-None-Match: \"other\", \"1-b0a\"", 304),
        ("If-None-Match: *", 304),
        ("If-None-Match: \"2-b0a\"", 200),
        ("If-Match: \"1-b0a\"", 200),
        ("If-Match: \"2-b0a\"", 412),
        ("If-Match: W/\"1-b0a\"", 412),
        ("If-None-Match: 1-b0a", 400),
        ("If-None-Match:", 400),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = door.request(method, "/a", &format!("{header}\r\n"), "").await;
            assert_eq!(answer.status, status, "{method} {header}");
            if status != 400 {
                assert_eq!(
                    (answer.header("etag"), answer.header("x-source")),
                    (Some("\"1-b0a\""), Some("local"))
                );
                assert!(answer.header("cache-control").is_some());
            }
        }
    }
    let missing = door.request("GET", "/b", "If-None-Match: *\r\n", "").await;
    assert_eq!(missing.status, 404);
    door.request("GET", "/b", "If-Match: *\r\n", "").await.problem(412);
}

#[tokio::test]
async fn a_write_whose_condition_does_not_hold_changes_nothing() {
    let door = TestDoor::open().await;
    let refused = door.put("/a", "If-Match: *\r\n", "x").await;
    refused.problem(412);
    assert_eq!((refused.header("x-source"), refused.header("etag")), (Some("local"), None));
    assert_eq!(door.put("/a", "If-None-Match: *\r\n", "1").await.status, 201);
    let refused = door.put("/a", "If-None-Match: *\r\n", "x").await;
    refused.problem(412);
    assert_eq!((refused.header("x-hostname"), refused.header("etag")), (Some("this one"), Some("\"1-b0a\"")));
    assert_eq!(door.put("/a", "If-Match: \"1-b0a\"\r\n", "2").await.status, 200);
    door.put("/a", "If-Match: \"1-b0a\"\r\n", "x").await.problem(412);
    door.put("/a", "If-None-Match: W/\"2-b0a\"\r\n", "x").await.problem(412);
    door.request("DELETE", "/a", "If-Match: \"1-b0a\"\r\n", "").await.problem(412);
    door.request("POST", "/a", "If-Match: \"foreign\"\r\n", "x").await.problem(412);
    door.put("/a", "If-Match: 2-b0a\r\n", "x").await.problem(400);
    door.put("/a", "If-Match: *\r\nIf-None-Match: *\r\n", "x").await.problem(400);
    assert_eq!(door.get("/a").await.text(), "2");
    assert_eq!(door.request("DELETE", "/a", "If-Match: \"2-b0a\"\r\n", "").await.status, 204);
    door.request("DELETE", "/a", "If-Match: *\r\n", "").await.problem(412);
}

#[tokio::test]
async fn failures_say_what_to_do_next() {
    let door = TestDoor::open().await;
    for method in ["GET", "PUT", "DELETE"] {
        let busy = door.request(method, "/busy/a", "", "").await;
        assert_eq!(busy.problem(503), "the slot is moving; try again in 2 s");
        assert_eq!(busy.header("retry-after"), Some("2"));
        door.request(method, "/unknown/a", "", "").await.problem(504);
        door.request(method, "/large/a", "", "").await.problem(413);
    }
}

#[tokio::test]
async fn a_full_memory_is_answered_with_the_holder() {
    let door = TestDoor::open().await;
    for method in ["PUT", "POST"] {
        let full = door.request(method, "/full/a", "", "x").await;
        full.problem(507);
        assert_eq!(
            (full.header("x-source"), full.header("x-hostname"), full.header("etag")),
            (Some("cluster"), Some("another"), None)
        );
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_work() {
    let door = TestDoor::open().await;
    for method in ["PATCH", "TRACE", "BREW", "get"] {
        let answer = door.request(method, "/a", "", "").await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, POST, DELETE, OPTIONS"));
    }
    let options = door.request("OPTIONS", "/a", "", "").await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, PUT, POST, DELETE, OPTIONS"))
    );
}

#[tokio::test]
async fn content_types_are_bounded() {
    let door = TestDoor::open().await;
    door.put("/a", &format!("Content-Type: {}\r\n", "x".repeat(256)), "x").await.problem(400);
    door.put("/a", "Content-Type: a/b\r\nContent-Type: c/d\r\n", "x").await.problem(400);
    assert_eq!(door.put("/a", &format!("Content-Type: {}\r\n", "x".repeat(255)), "x").await.status, 201);
}

#[tokio::test]
async fn a_counter_is_added_to_by_post() {
    let door = TestDoor::open().await;
    let first = door.request("POST", "/hits?incr=1&ttl=60", "", "").await;
    assert_eq!((first.status, first.text(), first.header("content-type")), (200, "1", Some("text/plain")));
    assert!(first.header("etag").is_some() && first.header("x-source").is_some());
    assert_eq!(door.request("POST", "/hits?incr=-3", "", "").await.text(), "-2");
    let get = door.get("/hits").await;
    assert!(
        get.text() == "-2" && get.header("cache-control").is_some(),
        "the lifetime it began with is kept"
    );
    door.put("/text", "", "many").await;
    assert_eq!(door.request("POST", "/text?incr=1", "", "").await.status, 409);
    door.put("/most", "", &i64::MAX.to_string()).await;
    assert_eq!(door.request("POST", "/most?incr=1", "", "").await.status, 409);
}

#[tokio::test]
async fn what_makes_no_sense_with_a_counter_is_refused() {
    let door = TestDoor::open().await;
    for (method, path, headers, body) in [
        ("PUT", "/hits?incr=1", "", ""),
        ("POST", "/hits?incr=1", "", "5"),
        ("POST", "/hits?incr=1", "If-None-Match: *\r\n", ""),
        ("POST", "/hits?incr=", "", ""),
        ("POST", "/hits?incr=1.5", "", ""),
        ("POST", "/hits?incr=9223372036854775808", "", ""),
        ("GET", "/hits?incr=1", "", ""),
    ] {
        assert_eq!(door.request(method, path, headers, body).await.status, 400, "{method} {path}");
    }
    assert_eq!(door.get("/hits").await.status, 404);
}

#[tokio::test]
async fn several_values_come_in_the_order_of_their_keys() {
    let door = TestDoor::open().await;
    door.put("/a", "Content-Type: text/plain\r\nCache-Control: max-age=60\r\n", "hello").await;
    let mut client = door.connect().await;
    client.write(&b"PUT /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n\xff\x00"[..]).await;
    assert_eq!(client.answer().await.status, 201);
    let answer = door.request("POST", "/_/mget", "", "[\"b\", \"none\", \"a\", \"a\", \"large/x\"]").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let json: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    let values = json["values"].as_array().unwrap();
    let keys: Vec<&str> = values.iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["b", "none", "a", "a", "large/x"]);
    assert_eq!((&values[0]["base64"], values[0].get("value")), (&"/wA=".into(), None));
    assert_eq!(values[1], serde_json::json!({ "key": "none", "found": false }));
    assert_eq!((&values[2]["value"], &values[2]["content_type"]), (&"hello".into(), &"text/plain".into()));
    assert!(values[2]["ttl"].as_u64().is_some_and(|ttl| (1..=60).contains(&ttl)));
    assert_eq!(values[2]["etag"], "\"1-b0a\"");
    assert_eq!(values[4]["error"]["status"], 413);
    for body in ["", "{}", "[1]"] {
        assert_eq!(door.request("POST", "/_/mget", "", body).await.status, 400, "{body:?}");
    }
    assert_eq!(door.get("/_/mget").await.status, 405);
}
