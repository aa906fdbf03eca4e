//! A connection that never blocks: a batch out, its answers in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::plan::Work;
use crate::bench::protocol::{Operation, Protocol};
use crate::bench::space::Space;

/// Least room for a read.
const READ_BYTES: usize = 64 << 10;

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// Whose keys it asks for.
    share: usize,
    /// When the batch was to begin, or the next one if it is idle.
    pub(super) due: Instant,
    batch: Vec<Operation>,
    /// How many operations of the batch have their answer.
    answered: usize,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Bytes of the input that answers were taken from, and that were received.
    taken: usize,
    received: usize,
}

impl Connection {
    pub(super) fn open(addr: SocketAddr, share: usize) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true).context("sending at once")?;
        stream.set_nonblocking(true).context("switching to non-blocking")?;
        Ok(Self {
            stream,
            share,
            due: Instant::now(),
            batch: Vec::new(),
            answered: 0,
            out: Vec::new(),
            sent: 0,
            input: vec![0; READ_BYTES],
            taken: 0,
            received: 0,
        })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether no answer is awaited.
    pub(super) fn is_idle(&self) -> bool {
        self.answered == self.batch.len()
    }

    /// Sends a batch of at most `depth` operations; whether there was anything left to do.
    pub(super) fn begin(
        &mut self,
        work: &mut Work<'_>,
        depth: usize,
        protocol: Protocol,
        space: &Space,
    ) -> Result<bool> {
        self.batch.clear();
        self.batch.extend((0..depth).map_while(|_| work.next(self.share)));
        self.answered = 0;
        self.out.clear();
        self.sent = 0;
        protocol.request(&self.batch, space, &mut self.out);
        self.flush()?;
        Ok(!self.batch.is_empty())
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) -> Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("sending requests"),
            }
        }
        Ok(())
    }

    /// Takes the answers that have arrived: how many.
    pub(super) fn receive(&mut self, protocol: Protocol, space: &Space) -> Result<usize> {
        let before = self.answered;
        loop {
            self.make_room();
            let room = &mut self.input[self.received..];
            let bytes = match self.stream.read(room) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("receiving answers"),
            };
            let filled = bytes == room.len();
            self.received += bytes;
            self.take(protocol, space)?;
            // A shorter read has emptied the socket: the next bytes are an event of their own.
            if !filled {
                break;
            }
        }
        Ok(self.answered - before)
    }

    fn take(&mut self, protocol: Protocol, space: &Space) -> Result<()> {
        while !self.is_idle() {
            let input = &self.input[self.taken..self.received];
            let Some(length) = protocol.answer(&self.batch, self.answered, space, input)? else { break };
            self.taken += length;
            self.answered += 1;
        }
        ensure!(!self.is_idle() || self.taken == self.received, "more answers than requests");
        Ok(())
    }

    fn make_room(&mut self) {
        if self.taken == self.received {
            (self.taken, self.received) = (0, 0);
        } else if self.input.len() - self.received < READ_BYTES / 2 {
            self.input.copy_within(self.taken..self.received, 0);
            self.received -= self.taken;
            self.taken = 0;
            if self.input.len() - self.received < READ_BYTES / 2 {
                self.input.resize(2 * self.input.len(), 0);
            }
        }
    }
}
