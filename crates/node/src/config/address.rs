//! Addresses in settings: where to listen, whom to join, what to announce.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The port of the QUIC endpoint unless another is asked for.
pub const QUIC_PORT: u16 = 7400;
/// The port of the HTTP door unless another is asked for.
pub const HTTP_PORT: u16 = 7480;
/// The port of the RESP door for clients that know one address, unless another is asked for.
pub const RESP_PORT: u16 = 7379;
/// The port of the RESP door for cluster clients unless another is asked for.
pub const RESP_CLUSTER_PORT: u16 = 17379;

/// Longest host name in a setting, as in DNS.
const HOST_MAX: usize = 253;

/// Where to listen or connect: `7480`, `:7480`, `host:7480`, `[::1]:7480`. Port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address without brackets; `None` means the default host of the setting.
    pub host: Option<String>,
    /// The port; 0 for any free one.
    pub port: u16,
}

/// Nodes to join: `host:port` or `dns://name:port`, which mean the same: every address of the name is a node.
/// Without a port: 7400.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Join {
    /// A name or an address without brackets.
    pub host: String,
    /// The QUIC port of the node.
    pub port: u16,
    /// Written with `dns://`; it means the same.
    pub dns: bool,
}

/// What other nodes should dial: `host` or `host:port`. Without a port: the one the QUIC endpoint is bound
/// to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// A name or an address without brackets.
    pub host: String,
    /// The port, when it differs from the one bound.
    pub port: Option<u16>,
}

/// Text that is not an address of the wanted form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an [`Address`].
    #[error("expected an address like 7480, :7480, host:7480 or [::1]:7480 ({0})")]
    Listen(HostError),
    /// Not a [`Join`].
    #[error("expected a node to join like host:7400, [::1]:7400 or dns://name:7400 ({0})")]
    Join(HostError),
    /// Not an [`Advertise`].
    #[error("expected a host that others can dial like 192.0.2.7, web1.example or web1.example:7400 ({0})")]
    Advertise(HostError),
}

/// What is wrong with the host or the port of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing where a host has to be.
    #[error("the host is missing")]
    NoHost,
    /// Nothing where a port has to be.
    #[error("the port is missing")]
    NoPort,
    /// A port that is not a number of 16 bits.
    #[error("the port {0:?} is not a number from 0 to 65535")]
    Port(String),
    /// Port 0 where others have to know it.
    #[error("port 0 cannot be dialled")]
    PortZero,
    /// `::1` without brackets, or brackets around something else.
    #[error("an IPv6 address is written in brackets, like [::1]:7400")]
    Brackets,
    /// Characters that no host name has, or more than 253 of them.
    #[error("{0:?} is not a host name or an address")]
    Host(String),
    /// `0.0.0.0` or `[::]` where others have to dial.
    #[error("an unspecified address cannot be dialled")]
    Unspecified,
}

impl Address {
    /// The address on `default` when no host is given. A name may take a look-up; IPv4 is preferred.
    ///
    /// # Errors
    /// The name does not resolve.
    pub fn resolve(&self, default: IpAddr) -> io::Result<SocketAddr> {
        match &self.host {
            None => Ok(SocketAddr::new(default, self.port)),
            Some(host) => resolve(host, self.port),
        }
    }
}

/// The first address of `host`, IPv4 before IPv6.
///
/// # Errors
/// The name does not resolve, or to nothing.
pub(crate) fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port)
        .to_socket_addrs()?
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Splits `host`, `host:port` or `[v6]:port`.
fn split(text: &str) -> Result<(&str, Option<u16>), HostError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(HostError::Brackets)?;
        host.parse::<Ipv6Addr>().map_err(|_| HostError::Brackets)?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((host, Some(port(text)?))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(HostError::Brackets),
        };
    }
    let (host, number) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(HostError::Brackets),
        Some((host, rest)) => (host, Some(port(rest)?)),
        None => (text, None),
    };
    let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    match host {
        "" => Err(HostError::NoHost),
        host if host.len() > HOST_MAX || !host.chars().all(known) => Err(HostError::Host(host.to_owned())),
        host => Ok((host, number)),
    }
}

fn port(text: &str) -> Result<u16, HostError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| HostError::Port(text.to_owned()))
}

/// Refuses what nobody can dial.
fn dialled(host: &str, port: Option<u16>) -> Result<(), HostError> {
    if port == Some(0) {
        return Err(HostError::PortZero);
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(HostError::Unspecified),
        _ => Ok(()),
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix(':').unwrap_or(text);
        if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self { host: None, port: port(bare).map_err(AddressError::Listen)? });
        }
        let (host, port) = split(text).map_err(AddressError::Listen)?;
        let port = port.ok_or(AddressError::Listen(HostError::NoPort))?;
        Ok(Self { host: Some(host.to_owned()), port })
    }
}

impl FromStr for Join {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let name = text.strip_prefix("dns://");
        let parse = |rest| split(rest).and_then(|(host, port)| dialled(host, port).map(|()| (host, port)));
        let (host, port) = parse(name.unwrap_or(text)).map_err(AddressError::Join)?;
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(QUIC_PORT), dns: name.is_some() })
    }
}

impl FromStr for Advertise {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parse = |rest| split(rest).and_then(|(host, port)| dialled(host, port).map(|()| (host, port)));
        let (host, port) = parse(text).map_err(AddressError::Advertise)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Writes `host`, in brackets when it is an IPv6 address.
fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, self.host.as_deref().unwrap_or(""))?;
        write!(f, ":{}", self.port)
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.dns { "dns://" } else { "" })?;
        write_host(f, &self.host)?;
        write!(f, ":{}", self.port)
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for Join {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Join> for String {
    fn from(join: Join) -> Self {
        join.to_string()
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: Some(addr.ip().to_string()), port: addr.port() }
    }
}

/// The address to connect to in order to reach a listener on `bound` from this machine: a wildcard becomes
/// loopback.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_a_listen_address_reads() {
        assert_eq!(address("7480"), Address { host: None, port: 7480 });
        assert_eq!(address(":0"), Address { host: None, port: 0 });
        assert_eq!(address("web1.example:80"), Address { host: Some("web1.example".into()), port: 80 });
        assert_eq!(address("[::1]:7480"), Address { host: Some("::1".into()), port: 7480 });
    }

    #[test]
    fn a_bad_listen_address_says_what_is_wrong() {
        for (text, why) in [
            ("", "the host is missing"),
            (":", "the port \"\" is not"),
            ("70000", "the port \"70000\" is not"),
            ("host:+1", "the port \"+1\" is not"),
            ("127.0.0.1", "the port is missing"),
            ("::1", "in brackets"),
            ("[::1", "in brackets"),
            ("[web1]:80", "in brackets"),
            ("[::1]x", "in brackets"),
            ("a b:80", "\"a b\" is not a host name"),
            ("http://x:80", "in brackets"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(":7480"), "{text}: {error}");
        }
    }

    #[test]
    fn joins_read_with_and_without_a_port() {
        let join = |text: &str| text.parse::<Join>().unwrap();
        assert_eq!(join("web1:7"), Join { host: "web1".into(), port: 7, dns: false });
        assert_eq!(join("web1").port, QUIC_PORT);
        assert_eq!(join("dns://peers.svc:7400"), Join { host: "peers.svc".into(), port: 7400, dns: true });
        assert_eq!(join("[fe80::1]:9").host, "fe80::1");
        for (text, why) in [
            ("dns://", "the host is missing"),
            ("web1:0", "port 0 cannot"),
            ("0.0.0.0:7400", "unspecified"),
            ("dns://x:y", "the port \"y\""),
            ("srv://x:1", "in brackets"),
        ] {
            let error = text.parse::<Join>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("dns://name:7400"), "{text}: {error}");
        }
    }

    #[test]
    fn an_advertised_host_may_have_a_port() {
        let advertise = |text: &str| text.parse::<Advertise>().unwrap();
        assert_eq!(advertise("192.0.2.7"), Advertise { host: "192.0.2.7".into(), port: None });
        assert_eq!(advertise("[2001:db8::7]:7"), Advertise { host: "2001:db8::7".into(), port: Some(7) });
        for text in ["", "0.0.0.0", "[::]:7400", "web1:0", "2001:db8::7"] {
            let error = text.parse::<Advertise>().unwrap_err().to_string();
            assert!(error.contains("that others can dial"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [":7480", "web1:7480", "[::1]:0"] {
            assert_eq!(address(text).to_string(), text);
        }
        for text in ["dns://x:1", "x:1", "[::1]:1"] {
            assert_eq!(text.parse::<Join>().unwrap().to_string(), text);
        }
        for text in ["x", "x:1", "[::1]", "[::1]:1"] {
            assert_eq!(text.parse::<Advertise>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_listen_address_resolves_to_ipv4_first_and_to_the_default_without_a_host() {
        let default = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(address(":5").resolve(default).unwrap().to_string(), "127.0.0.1:5");
        assert_eq!(address("localhost:5").resolve(default).unwrap().to_string(), "127.0.0.1:5");
        assert_eq!(address("[::1]:5").resolve(default).unwrap().to_string(), "[::1]:5");
    }

    #[test]
    fn a_wildcard_listener_is_reached_over_loopback() {
        for (bound, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.7:1", "192.0.2.7:1")]
        {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), reached);
        }
    }
}
