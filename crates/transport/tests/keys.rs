//! Nodes whose secrets are being replaced: who still speaks to whom.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use boato_transport::{Config, Keyring, Refusal, RequestError, Secret, SendError};
use support::{config, start, until};

fn secret() -> Secret {
    Secret::parse(&Secret::generate()).unwrap()
}

/// A rotation from `old` to `new`: before, accepted, in use, and the old one removed.
fn rotation(old: &Secret, new: &Secret) -> [Keyring; 4] {
    let before = Keyring::new(old.clone());
    let mut installed = before.clone();
    let id = installed.install(new.clone()).unwrap();
    let mut used = installed.clone();
    used.use_key(id).unwrap();
    let mut removed = used.clone();
    removed.remove(old.id()).unwrap();
    [before, installed, used, removed]
}

#[tokio::test]
async fn nodes_speak_to_each_other_while_they_have_a_secret_in_common() {
    let (old, new) = (secret(), secret());
    let rings = rotation(&old, &new);
    for (i, one) in rings.iter().enumerate() {
        for (j, other) in rings.iter().enumerate() {
            let with = || start(Config { secret: Some(old.clone()), ..config() });
            let (a, b) = (with(), with());
            a.transport.set_keys(one).unwrap();
            b.transport.set_keys(other).unwrap();
            let answer = a.ask(b.addr(), "hello").await;
            // Who knows the old one alone has none in common with who has removed it.
            if i.min(j) == 0 && i.max(j) == 3 {
                assert_eq!(
                    answer,
                    Err(RequestError::NotSent(SendError::Refused(Refusal::Secret))),
                    "{i} {j}"
                );
            } else {
                assert_eq!(answer.unwrap(), "hello", "{i} {j}");
            }
        }
    }
}

#[tokio::test]
async fn keys_change_under_open_connections() {
    let (old, new) = (secret(), secret());
    let with = || start(Config { secret: Some(old.clone()), ..config() });
    let (a, b) = (with(), with());
    a.ask(b.addr(), "before").await.unwrap();
    for ring in rotation(&old, &new) {
        for node in [&a, &b] {
            node.transport.set_keys(&ring).unwrap();
            assert_eq!(a.ask(b.addr(), "meanwhile").await.unwrap(), "meanwhile");
        }
    }
    let stranger = with();
    assert!(stranger.ask(a.addr(), "old").await.is_err());
}

#[tokio::test]
async fn who_showed_a_secret_that_is_removed_is_parted_with() {
    let (old, new) = (secret(), secret());
    let rings = rotation(&old, &new);
    let with = || start(Config { secret: Some(old.clone()), ..config() });
    let (a, b, intruder) = (with(), with(), with());
    for node in [&b, &intruder] {
        node.ask(a.addr(), "before").await.unwrap();
    }
    for ring in &rings[1..] {
        for node in [&a, &b] {
            node.transport.set_keys(ring).unwrap();
        }
    }
    until("the intruder is turned away", || {
        intruder.transport.paths().is_empty() && a.transport.stats().connections <= 1
    })
    .await;
    assert!(intruder.ask(a.addr(), "still there?").await.is_err());
    b.ask_until_answered(a.addr()).await;
}
