//! Who may speak: browser guards on loopback doors, Bearer tokens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::problem::Problem;
use crate::Tokens;

/// Who may speak to a door. The default lets everyone on loopback read and write, and no web page of another
/// site.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The door is bound to loopback: a request must carry a `Host` that is an IP address, `localhost` or one
    /// of `allow_hosts`, and no foreign `Origin`, so that no web page (not even by DNS rebinding) can reach
    /// it.
    pub loopback: bool,
    /// Names, without port, that a loopback door also answers to and whose pages may call it, and whose pages may read what any door tells
    /// under `/_/`.
    pub allow_hosts: Vec<String>,
    /// With any, every request but `/_/livez` and `/_/readyz` must bring one as `Authorization: Bearer`.
    pub client: Tokens,
    /// With tokens, administrative writes must bring one of them (it also serves as the client's). Without any
    /// they are taken on a loopback door and refused on any other.
    pub admin: Option<Tokens>,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard { loopback: true, allow_hosts: Vec::new(), client: Tokens::default(), admin: None }
    }
}

impl Guard {
    /// Judges a request by its head, before its target is looked at; one from the page of a `peer` is not foreign.
    pub(super) fn admit(&self, head: &Parts, peer: bool) -> Result<(), Problem> {
        let host = host(head)?;
        if self.loopback {
            self.check_host(host)?;
            if !peer {
                self.check_origin(head, host)?;
            }
        }
        Ok(())
    }

    /// Whether a request with this host, and none of the headers that this judges, is admitted as a client's.
    pub(super) fn admits_plain(&self, host: &str) -> bool {
        self.client.is_empty() && (!self.loopback || self.check_host(Some(host)).is_ok())
    }

    /// Judges whether a client may use what only clients with the token may use.
    pub(super) fn admit_client(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.client.is_empty() {
            return Ok(());
        }
        let given = bearer(headers)
            .ok_or_else(|| Problem::unauthorized("send the client secret as Authorization: Bearer"))?;
        if self.client.admit(given) | self.admin.as_ref().is_some_and(|admin| admin.admit(given)) {
            return Ok(());
        }
        Err(Problem::unauthorized("this is not the client secret of this node"))
    }

    /// Judges an administrative write.
    pub(super) fn admit_admin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(admin) = &self.admin else {
            let detail = "administrative writes need a cluster secret or a door on loopback";
            return if self.loopback { Ok(()) } else { Err(Problem::forbidden(detail)) };
        };
        match bearer(headers) {
            Some(given) if admin.admit(given) => Ok(()),
            _ => Err(Problem::unauthorized(
                "send the token derived from the cluster secret as Authorization: Bearer",
            )),
        }
    }

    fn check_host(&self, host: Option<&str>) -> Result<(), Problem> {
        // Only HTTP/1.0, which no browser speaks, gets here without a host.
        let Some(authority) = host else { return Ok(()) };
        let name =
            host_name(authority).ok_or_else(|| Problem::bad_request("the Host header is not a host"))?;
        if name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || self.allows(name) {
            return Ok(());
        }
        Err(Problem::forbidden(
            "this door answers to an IP address, localhost or a name given by --allow-host",
        ))
    }

    fn check_origin(&self, head: &Parts, host: Option<&str>) -> Result<(), Problem> {
        if let Some(origin) = head.headers.get(ORIGIN) {
            let authority =
                origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
            let same = authority.is_some_and(|from| host.is_some_and(|host| host.eq_ignore_ascii_case(from)));
            let allowed = authority.and_then(host_name).is_some_and(|name| self.allows(name));
            return if same || allowed { Ok(()) } else { Err(foreign()) };
        }
        // A browser leaves Origin out of what another site's page merely embeds, and says so here.
        let site = head.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let embeds = matches!(site, Some(b"cross-site" | b"same-site"));
        let opens = head.method == Method::GET
            && head.headers.get("sec-fetch-dest").is_some_and(|destination| destination == "document");
        if embeds && !opens { Err(foreign()) } else { Ok(()) }
    }

    /// The page that a request comes from, if it may read the answer though it is another site's: the request reads what lies under `/_/`,
    /// and `is_peer` knows the page's address as a member's door, or its host is allowed. The page of a member shows on when its own
    /// node is gone.
    pub(super) fn reads_from(
        &self,
        head: &Parts,
        is_peer: impl FnOnce(SocketAddr) -> bool,
    ) -> Option<HeaderValue> {
        let origin = head.headers.get(ORIGIN)?;
        let reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !reads || !head.uri.path().starts_with("/_/") {
            return None;
        }
        let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
        let is_member = || scheme == "http" && address(authority).is_some_and(is_peer);
        (host_name(authority).is_some_and(|name| self.allows(name)) || is_member()).then(|| origin.clone())
    }

    fn allows(&self, name: &str) -> bool {
        self.allow_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

fn foreign() -> Problem {
    Problem::forbidden("a page of another site may not use this door; allow its host with --allow-host")
}

/// The address in an origin; a page opened at `localhost` is at the address of that.
fn address(authority: &str) -> Option<SocketAddr> {
    match authority.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.parse().ok()?)),
        None => authority.parse().ok(),
    }
}

/// The authority a request names; only HTTP/1.0 may go without.
fn host(head: &Parts) -> Result<Option<&str>, Problem> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(Problem::bad_request("more than one Host header"));
    }
    let header =
        header.map(|host| host.to_str().map_err(|_| Problem::bad_request("the Host header is not a host")));
    let authority = match head.version {
        Version::HTTP_2 => head.uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    };
    match (authority, header.transpose()?) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Problem::bad_request("Host and :authority differ"))
        }
        (None, None) if head.version >= Version::HTTP_11 => {
            Err(Problem::bad_request("the Host header is missing"))
        }
        (authority, host) => Ok(authority.or(host)),
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_name(authority: &str) -> Option<&str> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || (port.starts_with(':') && digits.bytes().all(|b| b.is_ascii_digit()));
    (is_port && !name.is_empty()).then_some(name)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;
    use http::Request;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/key");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn status(result: Result<(), Problem>) -> u16 {
        result.map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    fn admit(guard: &Guard, headers: &[(&str, &str)]) -> u16 {
        status(guard.admit(&head(headers), false))
    }

    #[test]
    fn a_loopback_door_answers_to_addresses_localhost_and_allowed_names_on_any_port() {
        let guard = Guard { allow_hosts: vec!["boato.internal".into()], ..Guard::default() };
        for host in
            ["127.0.0.1", "127.0.0.1:7480", "[::1]", "[::1]:1", "LocalHost:1", "Boato.internal:8", "10.1.2.3"]
        {
            assert_eq!(admit(&guard, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "xlocalhost",
            "boato.internal.x",
        ] {
            assert_eq!(admit(&guard, &[("host", host)]), 403, "{host}");
        }
        for host in ["", ":80", "[::1", "localhost:x", "a:b:c", "[::1]x"] {
            assert_eq!(admit(&guard, &[("host", host)]), 400, "{host:?}");
        }
    }

    #[test]
    fn an_open_door_answers_to_any_host() {
        let guard = Guard { loopback: false, ..Guard::default() };
        assert_eq!(admit(&guard, &[("host", "example.com"), ("origin", "https://elsewhere.example")]), 200);
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        let guard = Guard::default();
        assert_eq!(admit(&guard, &[]), 400);
        assert_eq!(admit(&guard, &[("host", "localhost"), ("host", "localhost")]), 400);
        let mut old = head(&[]);
        old.version = Version::HTTP_10;
        assert_eq!(status(guard.admit(&old, false)), 200);
    }

    #[test]
    fn foreign_pages_are_refused() {
        let guard = Guard { allow_hosts: vec!["app.example".into()], ..Guard::default() };
        for (origin, expected) in [
            ("http://localhost:7480", 200),
            ("https://app.example", 200),
            ("https://APP.example:444", 200),
            ("http://localhost:3000", 403),
            ("https://evil.example", 403),
            ("https://evil.example/app.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            assert_eq!(
                admit(&guard, &[("host", "localhost:7480"), ("origin", origin)]),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn only_reads_of_what_nodes_tell_are_open_to_pages_of_members_and_allowed_hosts() {
        let guard = Guard { loopback: false, allow_hosts: vec!["boato.internal".into()], ..Guard::default() };
        let is_peer = |addr: SocketAddr| addr == "127.0.0.1:7481".parse().unwrap();
        let from = |method: Method, path: &str, origin: &str| {
            let request = Request::builder().method(method).uri(path).header("origin", origin);
            guard.reads_from(&request.body(()).unwrap().into_parts().0, is_peer).is_some()
        };
        let allowed = ["https://boato.internal", "http://Boato.internal:8080"];
        for origin in ["http://127.0.0.1:7481", "http://localhost:7481"].into_iter().chain(allowed) {
            assert!(from(Method::GET, "/_/members", origin) && from(Method::OPTIONS, "/_/status", origin));
            assert!(
                !from(Method::POST, "/_/leave", origin) && !from(Method::GET, "/key", origin),
                "{origin}"
            );
        }
        for origin in [
            "http://127.0.0.1:7482",
            "https://127.0.0.1:7481",
            "http://evil.example:7481",
            "https://boato.internal.evil.example",
            "null",
        ] {
            assert!(!from(Method::GET, "/_/members", origin), "{origin}");
        }
    }

    #[test]
    fn embedding_from_another_site_is_refused_and_following_a_link_is_not() {
        let guard = Guard::default();
        let from = |site, dest| {
            admit(&guard, &[("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-dest", dest)])
        };
        assert_eq!(from("cross-site", "image"), 403);
        assert_eq!(from("same-site", "script"), 403);
        assert_eq!(from("cross-site", "iframe"), 403);
        assert_eq!(from("cross-site", "document"), 200);
        assert_eq!(from("same-origin", "empty"), 200);
        assert_eq!(from("none", "document"), 200);
    }

    #[test]
    fn the_client_token_is_asked_for_and_the_admin_token_serves_too() {
        let guard = Guard {
            client: Tokens::new([Token::new("client")]),
            admin: Some(Tokens::new([Token::new("admin")])),
            ..Guard::default()
        };
        let client = |value| status(guard.admit_client(&head(&[("authorization", value)]).headers));
        for value in ["Bearer client", "bearer client", "Bearer admin", "Bearer  client"] {
            assert_eq!(client(value), 200, "{value}");
        }
        for value in ["Bearer clien", "Bearer clientx", "Bearer ", "Basic client", "client", "Bearer"] {
            assert_eq!(client(value), 401, "{value}");
        }
        assert_eq!(status(guard.admit_client(&HeaderMap::new())), 401);
        assert_eq!(status(Guard::default().admit_client(&HeaderMap::new())), 200);
    }

    #[test]
    fn administrative_writes_need_the_admin_token_or_loopback() {
        let guard = Guard {
            client: Tokens::new([Token::new("client")]),
            admin: Some(Tokens::new([Token::new("admin")])),
            ..Guard::default()
        };
        let admin =
            |guard: &Guard, value| status(guard.admit_admin(&head(&[("authorization", value)]).headers));
        assert_eq!(admin(&guard, "Bearer admin"), 200);
        assert_eq!(admin(&guard, "Bearer client"), 401);
        assert_eq!(admin(&Guard::default(), "-"), 200);
        assert_eq!(admin(&Guard { loopback: false, ..Guard::default() }, "-"), 403);
    }
}
