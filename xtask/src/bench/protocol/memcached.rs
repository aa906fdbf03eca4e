//! memcached's text protocol. Reads that follow one another are one `get` of many keys.

use std::io::Write as _;

use anyhow::{Result, bail, ensure};

use super::{Answer, Operation, line, number, shown};
use crate::bench::space::Space;

pub(super) fn request(batch: &[Operation], space: &Space, out: &mut Vec<u8>) {
    for (index, operation) in batch.iter().enumerate() {
        if let Some(write) = operation.write {
            out.extend_from_slice(b"set ");
            out.extend_from_slice(&Space::key(operation.key));
            write!(out, " 0 0 {}\r\n", space.bytes).expect("invariant: a Vec takes any bytes");
            space.write_value(operation.key, write, out);
            out.extend_from_slice(b"\r\n");
            continue;
        }
        let first = index == 0 || batch[index - 1].write.is_some();
        out.extend_from_slice(if first { b"get " } else { b" " });
        out.extend_from_slice(&Space::key(operation.key));
        if is_last(batch, index) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether no other key follows in the same `get`.
fn is_last(batch: &[Operation], index: usize) -> bool {
    batch.get(index + 1).is_none_or(|next| next.write.is_some())
}

pub(super) fn answer<'a>(batch: &[Operation], index: usize, input: &'a [u8]) -> Result<Option<Answer<'a>>> {
    const END: &[u8] = b"END\r\n";
    let Some((head, rest)) = line(input) else { return Ok(None) };
    if batch[index].write.is_some() {
        ensure!(head == b"STORED", "an answer that nobody wants: {:?}", shown(head));
        return Ok(Some(Answer { length: input.len() - rest.len(), value: None }));
    }
    let mut words = head.split(|byte| *byte == b' ');
    let Some((b"VALUE", key, bytes)) = words
        .next()
        .zip(words.next())
        .zip(words.nth(1).and_then(number))
        .map(|((word, key), bytes)| (word, key, bytes))
    else {
        bail!("key {} is not there: {:?}", batch[index].key, shown(head));
    };
    ensure!(key == Space::key(batch[index].key), "a key that nobody asked for: {:?}", shown(head));
    let last = is_last(batch, index);
    let tail = 2 + if last { END.len() } else { 0 };
    let Some(body) = rest.get(..bytes + tail) else { return Ok(None) };
    let (value, end) = body.split_at(bytes);
    ensure!(!last || &end[2..] == END, "more than was asked for: {:?}", shown(end));
    Ok(Some(Answer { length: input.len() - rest.len() + body.len(), value: Some(value) }))
}
