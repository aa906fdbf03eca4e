//! Actions by chance on a few keys of one slot.

use boato_cluster::{Action, ExpireWhen, Expiry, Guard};
use proptest::prelude::*;

/// The clock of the node at its start.
pub(crate) const START_MS: u64 = 1_700_000_000_000;
/// They are in slot 0.
pub(crate) const KEYS: [&str; 3] = ["{3560}a", "{3560}b", "{3560}c"];

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        (1_u64..50).prop_map(Expiry::After),
        (0_u64..200).prop_map(|ms| Expiry::At(START_MS + 1000 + ms)),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-3_i64..3).prop_map(|number| number.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 250..300),
    ]
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![
        3 => Just(Guard::Always),
        1 => Just(Guard::Absent),
        1 => Just(Guard::Present),
        1 => (-3_i64..3).prop_map(|number| Guard::ValueIs(number.to_string().into())),
    ]
}

fn when() -> impl Strategy<Value = ExpireWhen> {
    prop_oneof![
        Just(ExpireWhen::Always),
        Just(ExpireWhen::NoExpiry),
        Just(ExpireWhen::HasExpiry),
        Just(ExpireWhen::Later),
        Just(ExpireWhen::Sooner),
        Just(ExpireWhen::OnlySooner),
    ]
}

/// Any action on a key but those on fractions.
pub(crate) fn action() -> impl Strategy<Value = Action> {
    let put = (value(), expiry(), guard(), any::<bool>()).prop_map(|(value, expiry, guard, previous)| {
        Action::Put { value: value.into(), content_type: "a/b".into(), expiry, guard, previous }
    });
    let sum = (prop_oneof![-3_i64..3, any::<i64>()], proptest::option::of(1_u64..50));
    let expire = (expiry(), when(), any::<bool>());
    let rename = (0..KEYS.len(), any::<bool>(), any::<bool>());
    prop_oneof![
        1 => Just(Action::Get),
        1 => (-8_i64..8, -8_i64..8).prop_map(|(first, last)| Action::GetRange { first, last }),
        1 => (any::<i64>(), any::<i64>()).prop_map(|(first, last)| Action::GetRange { first, last }),
        1 => Just(Action::Head),
        4 => put,
        2 => (guard(), any::<bool>()).prop_map(|(guard, previous)| Action::Delete { guard, previous }),
        3 => expire.prop_map(|(expiry, when, value)| Action::Expire { expiry, when, value }),
        3 => sum.prop_map(|(by, ttl_ms)| Action::Add { by, ttl_ms }),
        1 => value().prop_map(|bytes| Action::Append { bytes: bytes.into() }),
        1 => (0_u64..300, value())
            .prop_map(|(offset, bytes)| Action::SetRange { offset, bytes: bytes.into() }),
        1 => (0_u64..100, any::<bool>()).prop_map(|(offset, bit)| Action::SetBit { offset, bit }),
        2 => rename.prop_map(|(to, replace, keep)| Action::Rename { to: KEYS[to].into(), replace, keep }),
    ]
}
