//! What keyrings agree on, and what they forget.

use super::*;
use proptest::prelude::*;

fn secret(n: usize) -> Secret {
    Secret::parse(&STANDARD.encode([u8::try_from(n).unwrap(); 16])).unwrap()
}

fn ids(ring: &Keyring) -> Vec<KeyId> {
    ring.keys().map(|(id, _)| id).collect()
}

#[test]
fn a_rotation_reaches_one_that_was_away() {
    let mut away = Keyring::new(secret(1));
    let mut ring = away.clone();
    let new = ring.install(secret(2)).unwrap();
    ring.use_key(new).unwrap();
    assert!(ring.remove(new) == Err(KeyringError::InUse(new)));
    assert!(!ring.clone().merge(&away), "what is older changes nothing");
    let mut between = away.clone();
    assert!(between.merge(&ring) && between.used() == new && ids(&between).len() == 2);
    ring.remove(secret(1).id()).unwrap();
    assert!(away.merge(&ring));
    assert_eq!((ids(&away), away.used()), (vec![new], new));
    assert!(away.has_removed(secret(1).id()) && away == ring);
    assert_eq!(away.use_key(secret(1).id()), Err(KeyringError::Unknown(secret(1).id())));
}

#[test]
fn a_removed_secret_can_be_installed_again_and_room_is_bounded() {
    let mut ring = Keyring::new(secret(1));
    for n in 2..=KEYS_MAX {
        ring.install(secret(n)).unwrap();
    }
    assert_eq!(ring.install(secret(100)), Err(KeyringError::Full));
    assert_eq!(ring.install(secret(2)), Ok(secret(2).id()), "it is there");
    ring.remove(secret(2).id()).unwrap();
    ring.install(secret(2)).unwrap();
    assert!(!ring.has_removed(secret(2).id()));
    for n in 10..100 {
        ring.remove(secret(3).id()).ok();
        let id = ring.install(secret(n)).unwrap();
        ring.remove(id).unwrap();
    }
    assert_eq!(Keyring::parse(&ring.to_text()), Ok(ring.clone()));
    assert!(ring.entries.len() <= KEYS_MAX + REMOVED_MAX);
}

#[test]
fn a_text_is_read_back_and_others_are_refused() {
    let mut ring = Keyring::new(secret(1));
    ring.install(secret(2)).unwrap();
    ring.remove(secret(2).id()).unwrap();
    let text = ring.to_text();
    assert_eq!(Keyring::parse(&text), Ok(ring));
    let other = secret(9).id().to_string();
    let wrong = [
        String::new(),
        text.replace("keyring 1", "keyring 2"),
        text.replace("used 1", "used x"),
        text.replace(&secret(1).id().to_string(), &other),
        format!("{}key 0 {other} -\n", text.lines().take(3).collect::<Vec<_>>().join("\n") + "\n"),
        text.replace("since 0", "since 9"),
        format!("{}key {} {other} -\n", text.as_str(), u64::MAX),
    ];
    for wrong in wrong {
        assert_eq!(Keyring::parse(&wrong), Err(KeyringError::Malformed), "{wrong}");
    }
    assert!(!format!("{:?}", Keyring::new(secret(1))).contains("AQEB"));
}

#[test]
fn however_many_were_installed_at_once_a_merged_keyring_can_be_read() {
    let mut rings: Vec<Keyring> = (0..6).map(|_| Keyring::new(secret(1))).collect();
    for (n, ring) in rings.iter_mut().enumerate() {
        for m in 1..KEYS_MAX {
            ring.install(secret(10 * (n + 1) + m)).unwrap();
        }
    }
    for _ in 0..2 {
        for (at, from) in (0..6).flat_map(|at| (0..6).map(move |from| (at, from))) {
            let from = rings[from].clone();
            rings[at].merge(&from);
            assert_eq!(Keyring::parse(&rings[at].to_text()), Ok(rings[at].clone()));
        }
    }
    assert!(rings.iter().all(|ring| *ring == rings[0]) && rings[0].keys().count() <= MERGED_MAX);
    let mut worn = rings[0].clone();
    worn.used.0 = TIME_MAX;
    rings[1].merge(&worn);
    let unused = ids(&rings[1]).into_iter().find(|id| *id != rings[1].used()).unwrap();
    assert_eq!(rings[1].use_key(unused), Err(KeyringError::Worn));
    assert!(rings[1].is_sound());
}

#[test]
fn what_was_removed_long_ago_does_not_come_back_from_one_that_was_away() {
    let mut ring = Keyring::new(secret(1));
    let leaked = ring.install(secret(2)).unwrap();
    let mut away = ring.clone();
    ring.remove(leaked).unwrap();
    for n in 10..10 + 2 * REMOVED_MAX {
        let id = ring.install(secret(n)).unwrap();
        ring.remove(id).unwrap();
    }
    assert!(!ring.has_removed(leaked), "its removal is forgotten");
    let mut both = ring.clone();
    assert!(!both.merge(&away) && away.merge(&ring));
    assert_eq!((&both, &away), (&ring, &ring));
}

#[test]
fn a_node_that_starts_with_a_new_secret_has_nobody_use_it() {
    for (old, new) in [(1, 2), (2, 1)] {
        let mut ring = Keyring::new(secret(old));
        ring.install(secret(new)).unwrap();
        let mut fresh = Keyring::new(secret(new));
        assert!(!ring.merge(&fresh) && fresh.merge(&ring));
        assert!(fresh == ring && ring.used() == secret(old).id());
    }
}

#[derive(Clone, Debug)]
enum Change {
    Install(usize, usize),
    Use(usize, usize),
    Remove(usize, usize),
    Merge(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let pair = || (0..3_usize, 1..6_usize);
    prop_oneof![
        pair().prop_map(|(at, n)| Change::Install(at, n)),
        pair().prop_map(|(at, n)| Change::Use(at, n)),
        pair().prop_map(|(at, n)| Change::Remove(at, n)),
        (0..3_usize, 0..3_usize).prop_map(|(at, n)| Change::Merge(at, n)),
    ]
}

proptest! {
    #[test]
    fn all_end_with_the_same_whatever_is_changed_where(changes in proptest::collection::vec(change(), 0..40)) {
        let mut rings = [(); 3].map(|()| Keyring::new(secret(1)));
        for change in changes {
            match change {
                Change::Install(at, n) => _ = rings[at].install(secret(n)),
                Change::Use(at, n) => _ = rings[at].use_key(secret(n).id()),
                Change::Remove(at, n) => _ = rings[at].remove(secret(n).id()),
                Change::Merge(at, from) => {
                    let from = rings[from].clone();
                    rings[at].merge(&from);
                }
            }
            for ring in &rings {
                prop_assert!(ring.is_sound() && Keyring::parse(&ring.to_text()).as_ref() == Ok(ring));
            }
        }
        // Everybody hears everything, a few times over.
        for _ in 0..4 {
            for (at, from) in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)] {
                let from = rings[from].clone();
                rings[at].merge(&from);
            }
        }
        prop_assert_eq!(&rings[0], &rings[1]);
        prop_assert_eq!(&rings[1], &rings[2]);
    }
}
