//! A member over a plain UDP socket: no QUIC, no runtime, no thread. It trusts its network, as there is no certificate.
//!
//! ```sh
//! cargo run -p boato-gossip --example udp -- 127.0.0.1:9001
//! cargo run -p boato-gossip --example udp -- 127.0.0.1:9002 127.0.0.1:9001
//! ```
//!
//! What belongs on a stream goes into a datagram, too, marked as such: enough for small clusters.

#![expect(
    clippy::disallowed_methods,
    reason = "the core takes the time as an argument, and this is who gives it"
)]

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use std::{env, error::Error, io};

use boato_gossip::{Config, Gossip, Identity, Input, NodeId, Output};

/// Before a datagram, and before what belongs on a stream.
const DATAGRAM: u8 = 0;
const STREAM: u8 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let at: SocketAddr = args.next().ok_or("usage: udp ADDR [JOIN] [SECONDS]")?.parse()?;
    let join: Option<SocketAddr> =
        args.next().filter(|addr| addr != "-").map(|addr| addr.parse()).transpose()?;
    let seconds: Option<u64> = args.next().map(|text| text.parse()).transpose()?;
    let mut member = Member::new(UdpSocket::bind(at)?)?;
    if let Some(addr) = join {
        member.gossip.handle(Input::Join(addr), member.now())?;
    }
    while seconds.is_none_or(|seconds| member.now() < Duration::from_secs(seconds)) {
        member.turn()?;
    }
    Ok(())
}

struct Member {
    gossip: Gossip,
    socket: UdpSocket,
    started: Instant,
}

impl Member {
    fn new(socket: UdpSocket) -> Result<Member, Box<dyn Error>> {
        let addr = socket.local_addr()?;
        let boot = u64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?;
        // A node that is to be the same after a restart keeps its id in a file.
        let id = NodeId(u128::from(boot) << 64 | u128::from(addr.port()));
        let identity = Identity { id, boot, addr, name: addr.to_string(), tags: vec![] };
        let gossip = Gossip::new(Config::local(), identity, boot, Duration::ZERO)?;
        Ok(Member { gossip, socket, started: Instant::now() })
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Does what the state machine asks for, then waits for a datagram or until something is due.
    fn turn(&mut self) -> io::Result<()> {
        while let Some(output) = self.gossip.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.send(to, DATAGRAM, &bytes),
                Output::Stream { to, bytes } | Output::Bulk { to, bytes } => self.send(to, STREAM, &bytes),
                Output::Event(event) => println!("{event:?}"),
            }
        }
        let due = self.gossip.poll_timeout().unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(self.now()).clamp(Duration::from_millis(1), Duration::from_secs(1));
        self.socket.set_read_timeout(Some(wait))?;
        let mut buffer = vec![0; 65_536];
        if let Ok((length, from)) = self.socket.recv_from(&mut buffer)
            && let Some((kind, bytes)) = buffer[..length].split_first()
        {
            let input = match *kind {
                STREAM => Input::Stream { from, bytes },
                _ => Input::Datagram { from, bytes },
            };
            if let Err(error) = self.gossip.handle(input, self.now()) {
                eprintln!("{from}: {error}");
            }
        }
        if self.now() >= due {
            self.gossip.handle(Input::Timeout, self.now()).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// A datagram that cannot be sent is one that is lost.
    fn send(&self, to: SocketAddr, kind: u8, bytes: &[u8]) {
        let _ = self.socket.send_to(&[&[kind], bytes].concat(), to);
    }
}
