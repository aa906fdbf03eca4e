//! Joins whom discovery finds.

use std::time::Instant;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::discovery::{Discovery, Plan, Silence};
use crate::membership::Membership;
use crate::parts::Bound;
use crate::start_error::StartError;

/// Looks for other nodes, until `stop`; `known` are remembered from an earlier start.
pub(crate) fn start(
    config: &Config,
    bound: &Bound,
    known: usize,
    membership: &Membership,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>, StartError> {
    let plan = Plan::new(config, bound.identity.id(), bound.quic);
    tracing::info!("finding others: {}", plan.ways(known));
    let discovery = Discovery::start(plan, stop)?;
    let silence = Silence::new(bound.quic);
    Ok(tokio::spawn(join_found(discovery, silence, membership.clone(), stop.clone())))
}

/// Joins whatever discovery finds.
async fn join_found(
    mut discovery: Discovery,
    mut silence: Silence,
    membership: Membership,
    stop: CancellationToken,
) {
    let mut changes = membership.subscribe();
    loop {
        let found = tokio::select! {
            found = discovery.found() => match found {
                Some(found) => Some(found),
                None => break,
            },
            // Whatever changed, and however much of it was missed, the members are read anew.
            change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { break } else { None },
            () = stop.cancelled() => break,
        };
        let joined = membership.members().iter().filter(|member| member.is_live()).count() > 1;
        discovery.set_joined(joined);
        if joined {
            silence.end();
        }
        if let Some(found) = found {
            membership.join(found.addr);
            if !joined {
                silence.tried(found, Instant::now());
            }
        }
    }
    discovery.stop().await;
}
