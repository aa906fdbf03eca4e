//! GET and SET over a map.

use std::sync::Arc;

use anyhow::{Result, bail};
use hashbrown::HashTable;
use parking_lot::RwLock;
use rapidhash::v3::rapidhash_v3;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SHARDS: usize = 64;
const READ_BYTES: usize = 16 << 10;
const WORDS_MAX: usize = 3;

struct Map([Shard; SHARDS]);

type Shard = RwLock<HashTable<(Box<[u8]>, Box<[u8]>)>>;

impl Map {
    fn get(&self, key: &[u8], out: &mut Vec<u8>) {
        let hash = rapidhash_v3(key);
        let shard = self.0[(hash >> 32) as usize % SHARDS].read();
        match shard.find(hash, |(stored, _)| **stored == *key) {
            None => out.extend_from_slice(b"$-1\r\n"),
            Some((_, value)) => {
                out.push(b'$');
                out.extend_from_slice(value.len().to_string().as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        let hash = rapidhash_v3(key);
        let mut shard = self.0[(hash >> 32) as usize % SHARDS].write();
        shard
            .entry(hash, |(stored, _)| **stored == *key, |(stored, _)| rapidhash_v3(stored))
            .and_modify(|(_, stored)| *stored = value.into())
            .or_insert_with(|| (key.into(), value.into()));
    }
}

pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    let map = Arc::new(Map(std::array::from_fn(|_| RwLock::default())));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer_all(stream, Arc::clone(&map)));
    }
}

/// Runs the commands that have come, and writes their replies at once.
async fn answer_all(mut stream: TcpStream, map: Arc<Map>) -> Result<()> {
    let (mut input, mut out) = (Vec::with_capacity(READ_BYTES), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        let mut at = 0;
        while let Some((words, length)) = command(&input[at..]) {
            match words {
                [name, key, []] if name.eq_ignore_ascii_case(b"GET") => map.get(key, &mut out),
                [name, key, value] if name.eq_ignore_ascii_case(b"SET") => {
                    map.set(key, value);
                    out.extend_from_slice(b"+OK\r\n");
                }
                _ => bail!("only GET and SET are known"),
            }
            at += length;
        }
        input.drain(..at);
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}

/// The command at the front and its length; `None` if it is not whole.
fn command(input: &[u8]) -> Option<([&[u8]; WORDS_MAX], usize)> {
    let (count, mut at) = number(input, 0)?;
    let mut words = [&[][..]; WORDS_MAX];
    for word in words.iter_mut().take(count) {
        let (length, start) = number(input, at)?;
        *word = input.get(start..start + length)?;
        at = start + length + 2;
    }
    (at <= input.len()).then_some((words, at))
}

/// The number behind the sign at `at`, and where the next line begins.
fn number(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let digits = input.get(at + 1..)?;
    let end = digits.iter().position(|byte| *byte == b'\r')?;
    let number = digits[..end].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    Some((number, at + 1 + end + 2))
}
