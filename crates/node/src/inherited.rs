//! Listeners that a service manager has bound and handed over (`LISTEN_FDS`, `sd_listen_fds(3)`): clients that connect while
//! a node restarts wait in their queues, and none is refused.

use std::io;
use std::net::TcpListener;

/// The names under which doors are handed over.
const NAMES: &str = "http, resp or resp-cluster";

/// Doors that somebody else has bound.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The HTTP door.
    pub http: Option<TcpListener>,
    /// The RESP door for clients that know one address.
    pub resp: Option<TcpListener>,
    /// The RESP door for cluster clients.
    pub resp_cluster: Option<TcpListener>,
}

/// Sockets were handed over that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// What the environment says of them cannot be read.
    #[error("cannot take the sockets handed over in LISTEN_FDS")]
    Unreadable {
        /// Why.
        #[from]
        source: sd_listen_fds::Error,
    },
    /// Which door it is for is not said.
    #[error(
        "a socket was handed over under the name {name:?}: say which door it is for with FileDescriptorName={NAMES}"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// Two for one door.
    #[error("two sockets were handed over under the name {name:?}: a door has one address")]
    Twice {
        /// The name.
        name: String,
    },
    /// It is something else than a TCP listener.
    #[error("the socket handed over under the name {name:?} does not listen for TCP: use ListenStream=")]
    NoListener {
        /// The name.
        name: String,
    },
    /// It cannot be used by this process.
    #[error("a socket that was handed over cannot be used")]
    Unusable {
        /// Why.
        source: io::Error,
    },
}

impl Inherited {
    /// Takes what was handed over to this process; to be called once, by a program whose main purpose is the node.
    ///
    /// # Errors
    /// [`InheritError`]; also when it is called again.
    pub fn take() -> Result<Self, InheritError> {
        let mut doors = Self::default();
        for (name, socket) in sd_listen_fds::get()? {
            doors.add(name.unwrap_or_default(), socket.into_std().into())?;
        }
        Ok(doors)
    }

    fn add(&mut self, name: String, socket: socket2::Socket) -> Result<(), InheritError> {
        let door = match &*name {
            "http" => &mut self.http,
            "resp" => &mut self.resp,
            "resp-cluster" => &mut self.resp_cluster,
            _ => return Err(InheritError::Unknown { name }),
        };
        let is_inet = socket.local_addr().is_ok_and(|addr| addr.as_socket().is_some());
        if !is_inet || !is_listener(&socket) {
            return Err(InheritError::NoListener { name });
        }
        match door.replace(socket.into()) {
            None => Ok(()),
            Some(_) => Err(InheritError::Twice { name }),
        }
    }
}

/// Whether a socket is a stream that accepts connections.
fn is_listener(socket: &socket2::Socket) -> bool {
    let is_stream = socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
    #[cfg(target_os = "linux")]
    let listens = socket.is_listener().unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    let listens = socket.peer_addr().is_err();
    is_stream && listens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> socket2::Socket {
        TcpListener::bind("127.0.0.1:0").unwrap().into()
    }

    #[test]
    fn doors_are_told_apart_by_name() {
        let mut doors = Inherited::default();
        for name in ["resp", "http"] {
            doors.add(name.to_owned(), listener()).unwrap();
        }
        assert!(doors.http.is_some() && doors.resp.is_some() && doors.resp_cluster.is_none());
        assert!(matches!(doors.add("http".to_owned(), listener()), Err(InheritError::Twice { .. })));
        let error = doors.add("boato.socket".to_owned(), listener()).unwrap_err();
        assert!(error.to_string().contains("FileDescriptorName=http, resp or resp-cluster"), "{error}");
    }

    #[test]
    fn only_tcp_listeners_are_taken() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = Inherited::default().add("http".to_owned(), udp.into()).unwrap_err();
        assert!(matches!(error, InheritError::NoListener { .. }));
        let waiting = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(waiting.local_addr().unwrap()).unwrap();
        let error = Inherited::default().add("http".to_owned(), client.into()).unwrap_err();
        assert!(matches!(error, InheritError::NoListener { .. }));
    }
}
