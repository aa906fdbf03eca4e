//! RESP, version 2.

use std::io::Write as _;

use anyhow::{Result, bail};

use super::{Answer, Operation, line, number, shown};
use crate::bench::space::{KEY_BYTES, Space};

pub(super) fn request(operation: Operation, space: &Space, out: &mut Vec<u8>) {
    let (count, name) = if operation.write.is_some() { (3, "SET") } else { (2, "GET") };
    write!(out, "*{count}\r\n$3\r\n{name}\r\n${KEY_BYTES}\r\n").expect("invariant: a Vec takes any bytes");
    out.extend_from_slice(&Space::key(operation.key));
    if let Some(write) = operation.write {
        write!(out, "\r\n${}\r\n", space.bytes).expect("invariant: a Vec takes any bytes");
        space.write_value(operation.key, write, out);
    }
    out.extend_from_slice(b"\r\n");
}

pub(super) fn answer(operation: Operation, input: &[u8]) -> Result<Option<Answer<'_>>> {
    let Some((head, rest)) = line(input) else { return Ok(None) };
    match (operation.write, head) {
        (Some(_), b"+OK") => Ok(Some(Answer { length: input.len() - rest.len(), value: None })),
        (None, [b'$', digits @ ..]) => {
            let Some(bytes) = number(digits) else { bail!("key {} is not there", operation.key) };
            let Some(value) = rest.get(..bytes + 2) else { return Ok(None) };
            let length = input.len() - rest.len() + value.len();
            Ok(Some(Answer { length, value: value.strip_suffix(b"\r\n").or(Some(value)) }))
        }
        _ => bail!("an answer that nobody wants: {:?}", shown(head)),
    }
}
