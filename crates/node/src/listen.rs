//! From a configured address to the one that others are told: free ports, and what to advertise.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::{Advertise, Listen, resolve};

/// Ports tried, from the default one on, when nobody asked for one.
const PORTS_TRIED: u16 = 100;

/// Binds with `bind`. A default port that is taken gives way to the next free one; a port that was asked for
/// does not.
///
/// `in_use` tells whether an error of `bind` means that the port is taken.
///
/// # Errors
/// The last error of `bind`.
pub fn bind<T, E>(
    listen: Listen,
    what: &str,
    mut bind: impl FnMut(SocketAddr) -> Result<T, E>,
    in_use: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let first = listen.addr.port();
    let last = if listen.asked { first } else { first.saturating_add(PORTS_TRIED - 1) };
    let mut port = first;
    loop {
        match bind(SocketAddr::new(listen.addr.ip(), port)) {
            Err(error) if port < last && in_use(&error) => port += 1,
            Ok(bound) => {
                if port != first {
                    let flag = what.to_lowercase().replace(' ', "-");
                    tracing::info!("the usual {what} port {first} is taken: using {port} (--{flag} sets it)");
                }
                return Ok(bound);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Why there is no address to tell others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvertiseError {
    /// The advertised host name has no address.
    #[error("cannot resolve the advertised address {advertise}")]
    Unresolved {
        /// The value of `--advertise`.
        advertise: Advertise,
        /// Why.
        source: io::Error,
    },
    /// Bound to every address, and no route tells which one others use.
    #[error(
        "cannot tell which address of this machine other nodes should dial: say so with --advertise HOST, or, where it has \
         only IPv6, listen there with --quic '[::]:7400'"
    )]
    NoRoute {
        /// Why.
        source: io::Error,
    },
}

/// The address that other nodes dial to reach the QUIC endpoint bound to `bound`: `advertise` if given, else
/// the bound address, else (bound to every address) the one of the default route.
///
/// May look up a name.
///
/// # Errors
/// The name does not resolve, or there is no default route.
pub fn advertised(bound: SocketAddr, advertise: Option<&Advertise>) -> Result<SocketAddr, AdvertiseError> {
    if let Some(advertise) = advertise {
        let port = advertise.port.unwrap_or(bound.port());
        return resolve(&advertise.host, port)
            .map_err(|source| AdvertiseError::Unresolved { advertise: advertise.clone(), source });
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let ip = default_route(bound.is_ipv6()).map_err(|source| AdvertiseError::NoRoute { source })?;
    Ok(SocketAddr::new(ip, bound.port()))
}

/// The address of a door to announce: bound to every address, it is where the QUIC endpoint is.
pub fn advertised_door(bound: SocketAddr, quic: SocketAddr) -> SocketAddr {
    let ip = if bound.ip().is_unspecified() { quic.ip() } else { bound.ip() };
    SocketAddr::new(ip, bound.port())
}

/// The source address this machine would use towards the rest of the world. Connecting a UDP socket looks up
/// the route and sends nothing; the target is from the documentation ranges (RFC 5737, RFC 3849).
fn default_route(ipv6: bool) -> io::Result<IpAddr> {
    let (local, target): (IpAddr, IpAddr) = if ipv6 {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect((target, 9))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn tcp(addr: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(addr)
    }

    fn taken(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::AddrInUse
    }

    #[test]
    fn a_default_port_that_is_taken_moves_on_and_an_asked_one_does_not() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = first.local_addr().unwrap();
        let moved = bind(Listen { addr, asked: false }, "HTTP", tcp, taken).unwrap();
        let port = moved.local_addr().unwrap().port();
        assert!(port > addr.port() && port - addr.port() < PORTS_TRIED, "{port}");
        let error = bind(Listen { addr, asked: true }, "HTTP", tcp, taken).unwrap_err();
        assert!(taken(&error));
    }

    #[test]
    fn the_search_for_a_port_is_bounded_and_stops_at_other_errors() {
        let mut tried = Vec::new();
        let addr = "127.0.0.1:65500".parse().unwrap();
        let all_taken = bind(
            Listen { addr, asked: false },
            "HTTP",
            |addr| -> Result<(), bool> {
                tried.push(addr.port());
                Err(true)
            },
            |taken| *taken,
        );
        assert_eq!(all_taken, Err(true));
        assert_eq!(tried, (65500..=65535).collect::<Vec<_>>());
        let mut count = 0;
        let denied = bind(
            Listen { addr, asked: false },
            "HTTP",
            |_| -> Result<(), bool> {
                count += 1;
                Err(false)
            },
            |taken| *taken,
        );
        assert_eq!((denied, count), (Err(false), 1));
    }

    #[test]
    fn what_is_advertised_follows_the_bound_address_unless_told() {
        let bound = "127.0.0.1:7400".parse().unwrap();
        assert_eq!(advertised(bound, None).unwrap(), bound);
        let told = |text: &str| advertised(bound, Some(&text.parse().unwrap())).unwrap().to_string();
        assert_eq!(told("192.0.2.7"), "192.0.2.7:7400");
        assert_eq!(told("[2001:db8::7]:9"), "[2001:db8::7]:9");
    }

    #[test]
    fn a_wildcard_is_never_advertised() {
        for bound in ["0.0.0.0:7400", "[::]:7400"] {
            match advertised(bound.parse().unwrap(), None) {
                Ok(addr) => assert!(!addr.ip().is_unspecified() && addr.port() == 7400, "{addr}"),
                Err(error) => assert!(error.to_string().contains("--advertise HOST"), "{error}"),
            }
        }
        let quic = "192.0.2.7:7400".parse().unwrap();
        assert_eq!(advertised_door("0.0.0.0:80".parse().unwrap(), quic).to_string(), "192.0.2.7:80");
        assert_eq!(advertised_door("127.0.0.1:80".parse().unwrap(), quic).to_string(), "127.0.0.1:80");
    }
}
