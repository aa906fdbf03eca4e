//! HTTP/1.1 with connections that are kept.

use std::io::Write as _;

use anyhow::{Context, Result, bail};

use super::{Answer, Operation, line, number, shown};
use crate::bench::space::Space;

pub(super) fn request(operation: Operation, space: &Space, out: &mut Vec<u8>) {
    out.extend_from_slice(if operation.write.is_some() { b"PUT /" } else { b"GET /" });
    out.extend_from_slice(&Space::key(operation.key));
    out.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\n");
    if let Some(write) = operation.write {
        write!(out, "content-length: {}\r\n\r\n", space.bytes).expect("invariant: a Vec takes any bytes");
        space.write_value(operation.key, write, out);
    } else {
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn answer(operation: Operation, input: &[u8]) -> Result<Option<Answer<'_>>> {
    let Some((status, mut rest)) = line(input) else { return Ok(None) };
    let right = match status.get(..12) {
        Some(b"HTTP/1.1 200") => true,
        Some(b"HTTP/1.1 201") => operation.write.is_some(),
        _ => false,
    };
    if !right {
        bail!("an answer that nobody wants: {:?}", shown(status));
    }
    let mut bytes = None;
    loop {
        let Some((header, next)) = line(rest) else { return Ok(None) };
        rest = next;
        if header.is_empty() {
            break;
        }
        bytes = bytes.or_else(|| content_length(header));
    }
    let bytes = bytes.context("an answer without its length")?;
    let Some(body) = rest.get(..bytes) else { return Ok(None) };
    let value = operation.write.is_none().then_some(body);
    Ok(Some(Answer { length: input.len() - rest.len() + bytes, value }))
}

fn content_length(header: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = header.split_at_checked(NAME.len())?;
    if name.eq_ignore_ascii_case(NAME) { number(value.trim_ascii()) } else { None }
}
