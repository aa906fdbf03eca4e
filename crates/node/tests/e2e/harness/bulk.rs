//! Many keys that stay as they are.

use std::thread;

use super::{Answer, Http, Node};

const CLIENTS: usize = 4;

/// Keys with a value each.
pub(crate) struct Bulk {
    pub(crate) count: usize,
    /// Length of a value in bytes.
    pub(crate) bytes: usize,
    /// They share the slots of the [`tag`]s; otherwise each is in a slot of its own.
    pub(crate) crowded: bool,
}

/// Slots that crowded keys share.
const TAGS: usize = 64;

/// A hash tag as part of a path: keys with the same are in the same slot.
pub(crate) fn tag(i: usize) -> String {
    format!("%7B{}%7D", i % TAGS)
}

impl Bulk {
    /// The path of a key.
    pub(crate) fn path(&self, i: usize) -> String {
        if self.crowded { format!("/bulk/{}/{i}", tag(i)) } else { format!("/bulk/{i}") }
    }

    fn value(&self, i: usize) -> String {
        format!("{i} ").chars().cycle().take(self.bytes).collect()
    }

    /// Writes all through `node`; every one has to be new.
    pub(crate) fn write(&self, node: &Node) {
        self.each(node, |http, i| {
            let answer = http.put(&self.path(i), self.value(i));
            assert_eq!(answer.status, 201, "{i}: {}", answer.text());
        });
    }

    /// Reads all through `node`; gives the holder and the source of each.
    pub(crate) fn read(&self, node: &Node) -> Vec<(String, String)> {
        self.each(node, |http, i| {
            let answer = http.get(&self.path(i));
            assert_eq!(answer.status, 200, "{i}: {}", answer.text());
            assert!(answer.body == self.value(i).as_bytes(), "{i} is damaged");
            place(&answer)
        })
    }

    /// What `ask` says of each key, with a few clients at once.
    pub(crate) fn each<T: Send>(&self, node: &Node, ask: impl Fn(&mut Http, usize) -> T + Sync) -> Vec<T> {
        let (ask, share) = (&ask, self.count.div_ceil(CLIENTS));
        thread::scope(|scope| {
            let clients = (0..CLIENTS).map(|client| {
                scope.spawn(move || {
                    let mut http = node.client();
                    let own = client * share..self.count.min((client + 1) * share);
                    own.map(|i| ask(&mut http, i)).collect::<Vec<_>>()
                })
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }
}

/// `X-Hostname` and `X-Source` of an answer about a key.
pub(crate) fn place(answer: &Answer) -> (String, String) {
    let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name} in {answer:?}")).to_owned();
    (header("x-hostname"), header("x-source"))
}
