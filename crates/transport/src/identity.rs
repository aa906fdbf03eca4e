//! Who may join and who is who: keys and certificates derived from the cluster's name and secret.
//!
//! Every node derives the same certificate authority and mints a certificate for its own key, good for both ends of a
//! connection. A certificate names its node and the cluster; whoever holds one that this authority signed knows the
//! secret. So any of them can mint one that names another node, but none with that node's key, of which its id is made.
//! Nothing here expires: membership is a matter of the secret, not of clocks.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SerialNumber, date_time_ymd,
};
use ring::hmac;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use zeroize::Zeroizing;

use crate::secret::derive;
use crate::{BindError, Config, Keyring, NodeKey, Secret, node_key};

/// Version of the frames and of the derivations of this crate; part of the ALPN.
const WIRE_VERSION: u32 = 3;
/// What precedes a 32 byte Ed25519 seed in PKCS#8 version 1 (RFC 8410, section 7).
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Follows the 32 hexadecimal digits of a node id in its certificate.
const NODE_SUFFIX: &str = ".node.boato";

/// A node's side of every handshake.
pub(crate) struct Identity {
    /// For dialling.
    pub(crate) client: quinn::ClientConfig,
    /// For accepting.
    pub(crate) server: quinn::ServerConfig,
    /// Name that a dialler asks for: it tells the cluster, so that a node of another one refuses exactly that, and
    /// before it the authority of the secret in use.
    pub(crate) server_name: String,
    /// Names of the authorities that it accepts.
    pub(crate) authorities: Arc<[Vec<u8>]>,
}

impl Identity {
    /// The identity of a node that accepts these secrets and shows `used`; without any, that of clusters without a secret.
    pub(crate) fn new(config: &Config, keys: Option<&Keyring>) -> Result<Self, BindError> {
        let server_name = server_name(&config.cluster);
        let issue = |secret| Issued::new(config, secret, &server_name);
        let mut issued = match keys {
            None => vec![issue(config.secret.as_ref())?],
            Some(keys) => {
                let used = keys.keys().filter(|(id, _)| *id == keys.used());
                let others = keys.keys().filter(|(id, _)| *id != keys.used());
                used.chain(others).map(|(_, secret)| issue(Some(secret))).collect::<Result<_, _>>()?
            }
        };
        let alpn: Vec<Vec<u8>> = config.protocols().map(|protocol| alpn(protocol).into_bytes()).collect();
        let mut roots = RootCertStore::empty();
        for issued in &issued {
            roots.add(issued.authority.clone())?;
        }
        for (issued, subject) in issued.iter_mut().zip(roots.subjects()) {
            issued.subject = subject;
        }
        let authorities = roots.roots.iter().map(|root| root.subject.to_vec()).collect();
        let roots = Arc::new(roots);
        let first = issued.first().ok_or_else(|| BindError::Identity("a keyring without a secret".into()))?;
        let asked = format!("{}.{server_name}", first.label);
        let presents = Arc::new(Presents { issued, server_name });

        let mut server = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), crypto())
                    .build()
                    .map_err(|error| BindError::Identity(error.to_string()))?,
            )
            .with_cert_resolver(Arc::clone(&presents) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols.clone_from(&alpn);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_cert_resolver(presents);
        client.alpn_protocols = alpn;
        client.resumption = Resumption::disabled();

        let bad_suite = |_| BindError::Identity("no cipher suite for QUIC".into());
        Ok(Self {
            client: quinn::ClientConfig::new(Arc::new(
                QuicClientConfig::try_from(client).map_err(bad_suite)?,
            )),
            server: quinn::ServerConfig::with_crypto(Arc::new(
                QuicServerConfig::try_from(server).map_err(bad_suite)?,
            )),
            server_name: asked,
            authorities,
        })
    }
}

/// What one secret gives a node.
#[derive(Debug)]
struct Issued {
    /// Names the authority in the name that a dialler asks for.
    label: String,
    authority: CertificateDer<'static>,
    /// Names the authority where certificates are asked for.
    subject: DistinguishedName,
    certified: Arc<CertifiedKey>,
}

impl Issued {
    fn new(config: &Config, secret: Option<&Secret>, server_name: &str) -> Result<Issued, BindError> {
        let authority = authority(secret, &config.cluster)?;
        let (leaf, key) = leaf(&authority, &config.key, server_name)?;
        let key = provider::sign::any_supported_type(&key)?;
        Ok(Issued {
            label: authority_name(secret, &config.cluster),
            authority: authority.der().clone(),
            subject: DistinguishedName::in_sequence(&[]),
            certified: Arc::new(CertifiedKey::new(vec![leaf], key)),
        })
    }
}

/// Chooses the certificate that the other end accepts: the one in use if it can be, the first of them.
///
/// While one secret takes the place of another, a node that was away knows the old one alone. It names it when it
/// dials, and when it is dialled; whoever still accepts it answers by a certificate of it.
#[derive(Debug)]
struct Presents {
    issued: Vec<Issued>,
    /// A certificate is shown only to whoever asks for this cluster.
    server_name: String,
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (label, cluster) = hello.server_name()?.split_once('.')?;
        let known = self.issued.iter().find(|issued| issued.label == label).or(self.issued.first());
        known.filter(|_| cluster == self.server_name).map(|issued| Arc::clone(&issued.certified))
    }
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, accepted: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let known = self.issued.iter().find(|issued| accepted.contains(&issued.subject.as_ref()));
        known.or(self.issued.first()).map(|issued| Arc::clone(&issued.certified))
    }

    fn has_certs(&self) -> bool {
        !self.issued.is_empty()
    }
}

/// Keys by which a node that restarts at the same address can tell its former peers that their connections are gone
/// (stateless reset, RFC 9000, section 10.3): the reset key and the key of the connection ids.
pub(crate) fn reset_keys(secret: Option<&Secret>, cluster: &str, local: SocketAddr) -> (hmac::Key, u64) {
    let local = local.to_string();
    let reset = derive(secret, &["stateless reset", cluster, &local]);
    let ids = derive(secret, &["connection ids", cluster, &local]);
    let first = ids.first_chunk().expect("invariant: 32 bytes hold 8");
    (hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref()), u64::from_be_bytes(*first))
}

/// Which node a certificate is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) node: u128,
    /// Whether that is the id of the certificate's key.
    pub(crate) by_key: bool,
}

/// Whom the certificate names that the peer of an established connection proved.
pub(crate) fn peer_node(connection: &quinn::Connection) -> Option<Named> {
    named(peer_chain(connection)?.first()?)
}

/// The name of the authority that signed the certificate that the peer of an established connection proved.
pub(crate) fn peer_issuer(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let chain = peer_chain(connection)?;
    Some(webpki::EndEntityCert::try_from(chain.first()?).ok()?.issuer().to_vec())
}

/// What both ends of an established connection agreed to speak: the newest that both do.
pub(crate) fn protocol(connection: &quinn::Connection, config: &Config) -> Option<u32> {
    let agreed: Box<HandshakeData> = connection.handshake_data()?.downcast().ok()?;
    let agreed = agreed.protocol?;
    config.protocols().find(|protocol| alpn(*protocol).as_bytes() == agreed)
}

/// The name of a protocol version in handshakes.
fn alpn(protocol: u32) -> String {
    format!("boato/{WIRE_VERSION}.{protocol}")
}

fn peer_chain(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    Some(*connection.peer_identity()?.downcast().ok()?)
}

fn named(leaf: &CertificateDer<'_>) -> Option<Named> {
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let digits = leaf.valid_dns_names().find_map(|name| name.strip_suffix(NODE_SUFFIX))?;
    let node = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(Named { node, by_key: node_key::is_of(node, &leaf.subject_public_key_info()) })
}

/// The name a dialler puts in its first packet, in the clear: a hash, so that the cluster's name is not shown around.
fn server_name(cluster: &str) -> String {
    let label = derive(None, &["server name", cluster]);
    format!("{}.cluster.boato", hex(&label[..16]))
}

/// The certificate authority of the cluster: the same bytes on every node.
fn authority(secret: Option<&Secret>, cluster: &str) -> Result<CertifiedIssuer<'static, KeyPair>, BindError> {
    let key = key_pair(&derive(secret, &["certificate authority", cluster]))?;
    // A name of its own per secret: the issuer of another secret is unknown here rather than badly signed.
    let mut params = params(&authority_name(secret, cluster));
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, key)?)
}

fn authority_name(secret: Option<&Secret>, cluster: &str) -> String {
    hex(&derive(secret, &["certificate authority name", cluster])[..16])
}

fn key_pair(seed: &[u8; 32]) -> Result<KeyPair, BindError> {
    let pkcs8 = Zeroizing::new([PKCS8_ED25519.as_slice(), seed].concat());
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519)?)
}

/// The certificate of one node's key, and the key.
fn leaf(
    authority: &CertifiedIssuer<'_, KeyPair>,
    key: &NodeKey,
    server_name: &str,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), BindError> {
    let (node, key) = (key.node(), key_pair(key.seed())?);
    let mut params = params("node");
    for name in [format!("{node:032x}{NODE_SUFFIX}"), format!("*.{server_name}")] {
        params.subject_alt_names.push(rcgen::SanType::DnsName(name.try_into()?));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// AES-128 first: half the rounds of rustls' default for a bulk path between authenticated nodes.
fn crypto() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![provider::kx_group::X25519],
        ..provider::default_provider()
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl From<rcgen::Error> for BindError {
    fn from(error: rcgen::Error) -> Self {
        Self::Identity(error.to_string())
    }
}

impl From<rustls::Error> for BindError {
    fn from(error: rustls::Error) -> Self {
        Self::Identity(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: char) -> Secret {
        Secret::parse(&byte.to_string().repeat(32)).unwrap()
    }

    fn authority_der(secret: Option<&Secret>, cluster: &str) -> CertificateDer<'static> {
        authority(secret, cluster).unwrap().der().clone()
    }

    #[test]
    fn the_authority_is_the_same_on_every_node_and_bound_to_secret_and_cluster() {
        let (a, b) = (secret('a'), secret('b'));
        assert_eq!(authority_der(Some(&a), "x"), authority_der(Some(&a), "x"));
        assert_ne!(authority_der(Some(&a), "x"), authority_der(Some(&b), "x"));
        assert_ne!(authority_der(Some(&a), "x"), authority_der(Some(&a), "y"));
        assert_ne!(authority_der(Some(&a), "x"), authority_der(None, "x"));
    }

    #[test]
    fn a_certificate_carries_its_node_id_and_tells_whose_key_it_is_for() {
        let authority = authority(Some(&secret('a')), "x").unwrap();
        let own = NodeKey::from_seed(&[1; 32]);
        let shown = |key: &NodeKey| named(&leaf(&authority, key, &server_name("x")).unwrap().0);
        assert_eq!(shown(&own), Some(Named { node: own.node(), by_key: true }));
        for node in [0, 1, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, NodeKey::generate().node(), u128::MAX] {
            assert_eq!(shown(&own.pretending(node)), Some(Named { node, by_key: false }));
        }
    }

    #[test]
    fn certificates_of_all_secrets_are_for_the_same_key() {
        let key = NodeKey::generate();
        let [a, b] = ['a', 'b'].map(|byte| {
            let authority = authority(Some(&secret(byte)), "x").unwrap();
            leaf(&authority, &key, "x.cluster.boato").unwrap()
        });
        assert!(a.1 == b.1 && a.0 != b.0);
    }

    #[test]
    fn the_server_name_hides_the_name_of_the_cluster() {
        assert_ne!(server_name("edge"), server_name("core"));
        assert!(!server_name("edge").contains("edge"));
    }

    #[test]
    fn reset_keys_survive_a_restart_but_not_another_address() {
        let at = |port| reset_keys(Some(&secret('a')), "x", SocketAddr::from(([127, 0, 0, 1], port))).1;
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }
}
