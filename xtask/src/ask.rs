//! A few questions in RESP, one at a time: who holds which slot of a Redis Cluster.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const SLOTS: usize = 16384;
/// Longest wait for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest wait for every slot to have a holder that everyone knows.
const SETTLE_TIME: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// Longest text and array of an answer.
const LENGTH_MAX: usize = 1 << 24;

/// A connection.
pub(crate) struct Ask(BufReader<TcpStream>);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    Number(i64),
    Text(String),
    List(Vec<Said>),
}

impl Ask {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_read_timeout(Some(ANSWER_TIME)).context("bounding the wait")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Calls a command.
    ///
    /// # Errors
    /// The answer is an error, or does not come.
    pub(crate) fn call(&mut self, words: &[&str]) -> Result<Said> {
        let mut request = Vec::new();
        write!(request, "*{}\r\n", words.len())?;
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
        self.0.get_mut().write_all(&request).context("sending a command")?;
        self.read().with_context(|| format!("calling {}", words.join(" ")))
    }

    /// Where the node's peers reach it.
    pub(crate) fn bus_port(&mut self) -> Result<u16> {
        let Said::Text(nodes) = self.call(&["CLUSTER", "NODES"])? else { bail!("nodes are not a text") };
        let bus = nodes.split_once('@').and_then(|(_, rest)| rest.split([' ', ',']).next()?.parse().ok());
        bus.with_context(|| format!("no port in {nodes:?}"))
    }

    fn read(&mut self) -> Result<Said> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("reading an answer")?;
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("the connection is closed")?;
        let length = || match rest.parse::<i64>() {
            Ok(-1) => Ok(None),
            Ok(length) => usize::try_from(length)
                .ok()
                .filter(|length| *length <= LENGTH_MAX)
                .map(Some)
                .context(rest.to_owned()),
            Err(error) => Err(error).context(rest.to_owned()),
        };
        Ok(match kind {
            "+" => Said::Text(rest.to_owned()),
            ":" => Said::Number(rest.parse().context("reading a number")?),
            "$" => {
                let Some(length) = length()? else { return Ok(Said::Nothing) };
                let mut text = vec![0; length + 2];
                self.0.read_exact(&mut text).context("reading a text")?;
                Said::Text(String::from_utf8_lossy(&text[..length]).into_owned())
            }
            "*" => {
                let Some(length) = length()? else { return Ok(Said::Nothing) };
                Said::List((0..length).map(|_| self.read()).collect::<Result<_>>()?)
            }
            _ => bail!("{line}"),
        })
    }
}

/// Who holds which slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) nodes: Vec<SocketAddr>,
    /// For each slot, the place of its holder among the nodes.
    pub(crate) holders: Vec<u8>,
}

impl Topology {
    /// Waits until all of `addrs` say the same, name each other, and leave no slot out.
    pub(crate) fn complete(addrs: &[SocketAddr]) -> Result<Self> {
        let deadline = Instant::now() + SETTLE_TIME;
        loop {
            let told = addrs.iter().map(|addr| Self::of(*addr)).collect::<Result<Vec<_>>>();
            let why = match told {
                Ok(mut told) if told.iter().all(|one| *one == told[0] && one.nodes.len() == addrs.len()) => {
                    return Ok(told.swap_remove(0));
                }
                Ok(told) => format!("{:?}", told.iter().map(|one| &one.nodes).collect::<Vec<_>>()),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "the nodes do not agree on who holds which slot: {why}");
            thread::sleep(LOOK);
        }
    }

    fn of(addr: SocketAddr) -> Result<Self> {
        let mut node = Ask::connect(addr)?;
        if let Said::Text(info) = node.call(&["CLUSTER", "INFO"])? {
            ensure!(info.contains("cluster_state:ok"), "{addr} says that the cluster is not ok");
        }
        Self::parse(&node.call(&["CLUSTER", "SLOTS"])?)
    }

    fn parse(said: &Said) -> Result<Self> {
        let Said::List(ranges) = said else { bail!("slots are not a list") };
        let mut holders = vec![None; SLOTS];
        for range in ranges {
            let Said::List(range) = range else { bail!("a range is not a list") };
            let [Said::Number(first), Said::Number(last), Said::List(master), ..] = &range[..] else {
                bail!("a range without its ends and master: {range:?}");
            };
            let [Said::Text(ip), Said::Number(port), ..] = &master[..] else {
                bail!("a master without its address: {master:?}");
            };
            let addr: SocketAddr = format!("{ip}:{port}").parse().context("reading an address")?;
            let held = holders.get_mut(usize::try_from(*first)?..=usize::try_from(*last)?);
            held.context("slots beyond the last")?.fill(Some(addr));
        }
        let mut nodes: Vec<SocketAddr> = holders.iter().flatten().copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let place = |holder: Option<SocketAddr>| -> Result<u8> {
            let holder = holder.context("a slot without a holder")?;
            Ok(u8::try_from(nodes.binary_search(&holder).unwrap_or_else(|place| place))?)
        };
        let holders = holders.into_iter().map(place).collect::<Result<_>>()?;
        Ok(Self { nodes, holders })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, port: i64) -> Said {
        let master =
            vec![Said::Text("127.0.0.1".to_owned()), Said::Number(port), Said::Text("id".to_owned())];
        Said::List(vec![Said::Number(first), Said::Number(last), Said::List(master)])
    }

    #[test]
    fn each_slot_has_the_place_of_its_holder() {
        let ranges = vec![range(8000, 16383, 7001), range(0, 10, 7002), range(11, 7999, 7001)];
        let topology = Topology::parse(&Said::List(ranges)).unwrap();
        assert_eq!(topology.nodes.iter().map(SocketAddr::port).collect::<Vec<_>>(), [7001, 7002]);
        assert_eq!([0, 10, 11, 16383].map(|slot: usize| topology.holders[slot]), [1, 1, 0, 0]);
    }

    #[test]
    fn a_slot_that_nobody_holds_is_an_error() {
        assert!(Topology::parse(&Said::List(vec![range(0, 16382, 7001)])).is_err());
        assert!(Topology::parse(&Said::List(vec![range(0, 16384, 7001)])).is_err());
    }
}
