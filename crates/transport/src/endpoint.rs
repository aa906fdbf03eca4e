//! The UDP socket and how QUIC is tuned on it.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};

use crate::identity::{self, Identity};
use crate::{BindError, CHANNELS, Config};

/// Asked of the kernel for each direction of the socket: a burst of a window must fit, or bulk transfers lose packets.
const SOCKET_BUFFER: usize = 4 << 20;
/// Keeps an idle connection, and the state of firewalls in between, alive.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A peer silent for this long is gone; three lost keep-alives are.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// Assumed before the first measurement; a first packet that met no socket yet is repeated after thrice this.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Unread bytes of one stream that a peer may have under way: what 10 Gbit/s need at 3 ms, or 1 Gbit/s at 30 ms.
const STREAM_WINDOW: u32 = 4 << 20;
/// Unread bytes of a connection: every stream's window, so that a channel that is not read never holds up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 2 * CHANNELS as u32;
/// Bytes written but not yet acknowledged, per connection.
const SEND_WINDOW: u64 = 8 << 20;
/// Bytes of datagrams waiting in each direction of a connection; beyond it the oldest are dropped.
const DATAGRAM_BUFFER: usize = 256 << 10;
/// Handshakes that wait for this node to look at them, and what they may make it hold before that.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL: u64 = 2 << 20;

/// An open endpoint and what the kernel granted it.
pub(crate) struct Opened {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) local: SocketAddr,
    pub(crate) receive_buffer: usize,
    pub(crate) send_buffer: usize,
}

pub(crate) fn open(config: &Config, identity: &Identity) -> Result<Opened, BindError> {
    let failed = |source| BindError::Socket { addr: config.bind, source };
    let socket = bind(config.bind).map_err(failed)?;
    let (receive_buffer, send_buffer) = grow_buffers(&socket).map_err(failed)?;
    let socket = std::net::UdpSocket::from(socket);
    let local = socket.local_addr().map_err(failed)?;

    let (reset_key, id_key) = identity::reset_keys(config.secret.as_ref(), &config.cluster, local);
    let mut endpoint_config = EndpointConfig::new(Arc::new(reset_key));
    endpoint_config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    let endpoint =
        quinn::Endpoint::new(endpoint_config, Some(server(identity)), socket, Arc::new(TokioRuntime))
            .map_err(failed)?;
    Ok(Opened { endpoint, local, receive_buffer, send_buffer })
}

/// How connections are accepted.
pub(crate) fn server(identity: &Identity) -> quinn::ServerConfig {
    let mut server = identity.server.clone();
    server
        .transport_config(Arc::new(transport_config()))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    server
}

/// How connections are made.
pub(crate) fn client(identity: &Identity) -> quinn::ClientConfig {
    let mut client = identity.client.clone();
    client.transport_config(Arc::new(transport_config()));
    client
}

/// One spelling per peer: IPv4 is never written as IPv6, and flow labels do not count.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match (addr.ip().to_canonical(), addr) {
        (IpAddr::V6(ip), SocketAddr::V6(v6)) => SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into(),
        (ip, addr) => SocketAddr::new(ip, addr.port()),
    }
}

fn transport_config() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(CHANNELS.into()))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    transport
}

fn bind(addr: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Asks for large buffers and warns when the kernel gave less. Returns what it gave (receive, send).
fn grow_buffers(socket: &Socket) -> std::io::Result<(usize, usize)> {
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    let granted = (usable(socket.recv_buffer_size()?), usable(socket.send_buffer_size()?));
    warn_if_small("receive", granted.0, "net.core.rmem_max");
    warn_if_small("send", granted.1, "net.core.wmem_max");
    Ok(granted)
}

/// Linux reports twice what it gives to payload.
fn usable(reported: usize) -> usize {
    if cfg!(target_os = "linux") { reported / 2 } else { reported }
}

fn warn_if_small(direction: &str, granted: usize, sysctl: &str) {
    if granted >= SOCKET_BUFFER {
        return;
    }
    let remedy = if cfg!(target_os = "linux") { sysctl } else { "kern.ipc.maxsockbuf" };
    tracing::warn!(
        "the kernel gave the QUIC socket a {direction} buffer of {} KiB instead of {} KiB, bulk transfers may lose \
         packets; to raise it: sysctl -w {remedy}={SOCKET_BUFFER}",
        granted >> 10,
        SOCKET_BUFFER >> 10,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(canonical(addr("[::ffff:10.0.0.1]:7400")), addr("10.0.0.1:7400"));
        assert_eq!(canonical(addr("10.0.0.1:7400")), addr("10.0.0.1:7400"));
        assert_eq!(canonical(addr("[fe80::1%3]:7400")), addr("[fe80::1%3]:7400"));
        let labelled = SocketAddrV6::new("::1".parse().unwrap(), 1, 99, 0);
        assert_eq!(canonical(labelled.into()), addr("[::1]:1"));
    }
}
