//! A node in the foreground, from start to the end of its leave.

use std::process;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Config, Node};

/// Runs a node until SIGTERM, SIGINT or a client's request to leave; a second signal ends the process at once, with
/// code 1.
///
/// # Errors
/// The node does not start, or left slots behind that other nodes could have taken.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")?;
    let done = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let node = Node::start(config).await?;
        let signalled = tokio::select! {
            name = signals.next() => Some(name),
            () = node.leave_requested() => None,
        };
        tracing::info!("{}: leaving; once more to end at once", signalled.unwrap_or("asked to leave"));
        tokio::spawn(async move {
            // Whoever stops a node that is leaving already may not know: it takes two signals in any case.
            if signalled.is_none() {
                let name = signals.next().await;
                tracing::info!("{name}: leaving already; once more to end at once");
            }
            let name = signals.next().await;
            tracing::warn!("{name} again: ending without a hand-off");
            process::exit(1);
        });
        let slots_left = node.leave().await;
        anyhow::ensure!(
            slots_left == 0,
            "{slots_left} slots were not handed off in time: their keys are lost"
        );
        tracing::info!("bye");
        Ok(())
    });
    // A name being looked up cannot be interrupted.
    runtime.shutdown_timeout(Duration::from_millis(100));
    done
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
