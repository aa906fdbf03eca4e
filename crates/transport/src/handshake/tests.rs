//! Nodes that name themselves by the id of another.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Channel, Config, Handler, NodeKey, Peer, Refusal, RequestError, Responder, Secret, SendError, Transport,
};

/// Answers who asks.
struct Who;

impl Handler for Who {
    fn datagram(&self, _: Peer, _: Bytes) {}

    fn message(&self, _: Peer, _: Channel, _: Bytes) {}

    fn request(&self, from: Peer, _: Channel, _: Bytes, reply: Responder) {
        reply.send(from.node.to_be_bytes().to_vec().into());
    }
}

/// Speaks versions 1 and 2, of which the second binds ids to keys.
fn config(key: NodeKey) -> Config {
    let config = Config::new("test", key, "127.0.0.1:0".parse().unwrap(), 2);
    Config { previous: Some(1), secret: Secret::parse(&"s".repeat(32)).ok(), ..config }
}

fn before(config: Config) -> Config {
    Config { protocol: 1, previous: None, ..config }
}

fn start(config: Config) -> Transport {
    let transport = Transport::bind(config).unwrap();
    transport.serve(Arc::new(Who));
    transport
}

async fn ask(from: &Transport, to: &Transport) -> Result<u128, RequestError> {
    let answer = from.request(to.local_addr(), Channel(1), Bytes::new()).await?;
    Ok(u128::from_be_bytes(answer.as_ref().try_into().unwrap()))
}

/// Whoever of them dials, neither says anything to the other, and both count it.
async fn refused(pretender: Config, other: Config) {
    for dials in [true, false] {
        let (pretender, other) = (start(pretender.clone()), start(other.clone()));
        let (from, to) = if dials { (&pretender, &other) } else { (&other, &pretender) };
        let error = Err(RequestError::NotSent(SendError::Refused(Refusal::Identity)));
        assert_eq!(ask(from, to).await, error, "dials: {dials}");
        // The other way round; whoever was dialled may still have been at it.
        assert!(ask(to, from).await.is_err());
        for node in [pretender, other] {
            assert!(node.stats().refused > 0 && node.stats().frames_received == 0);
        }
    }
}

#[tokio::test]
async fn who_knows_the_secret_cannot_pass_for_another_node() {
    let (victim, own) = (NodeKey::from_seed(&[1; 32]), NodeKey::from_seed(&[2; 32]));
    let witness = || config(NodeKey::from_seed(&[3; 32]));
    let pretender = config(own.pretending(victim.node()));
    refused(pretender.clone(), witness()).await;
    // Nor by speaking a version whose nodes need not have the ids of their keys.
    refused(before(pretender.clone()), witness()).await;
    // Nor to the victim.
    refused(pretender, config(victim)).await;
}

#[tokio::test]
async fn an_id_that_no_key_gives_is_only_for_versions_before() {
    let keyless = NodeKey::from_seed(&[2; 32]).pretending(7);
    let witness = || config(NodeKey::from_seed(&[3; 32]));
    refused(config(keyless.clone()), witness()).await;
    let (old, new) = (start(before(config(keyless))), start(witness()));
    assert_eq!(ask(&old, &new).await, Ok(7));
    assert_eq!(ask(&new, &old).await, Ok(NodeKey::from_seed(&[3; 32]).node()));
}
