//! Settings that are one word of text: serde through `FromStr` and `Display`, so that a file takes what a
//! flag takes.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// A file may write `weight = 2` or `weight = "2"`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text or a whole number")]
enum Scalar {
    Integer(i64),
    Text(String),
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
pub(super) fn serialize<S: Serializer, T: Display>(value: &Option<T>, out: S) -> Result<S::Ok, S::Error> {
    let Some(value) = value else { return out.serialize_none() };
    let text = value.to_string();
    match text.parse() {
        Ok(number) => out.serialize_i64(number),
        Err(_) => out.serialize_str(&text),
    }
}

pub(super) fn deserialize<'de, D, T>(input: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = match Scalar::deserialize(input)? {
        Scalar::Integer(number) => number.to_string(),
        Scalar::Text(text) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}
