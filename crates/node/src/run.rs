//! A node in the foreground, from start to the end of its leave.

use std::process;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Config, Inherited, Node, Reread, idle, supervisor};

/// Runs a node until SIGTERM, SIGINT or a client's request to leave, or until it is idle if it is told so; a second signal
/// ends the process at once, with code 1. SIGHUP has it read its configuration again, with `reread`.
///
/// # Errors
/// The node does not start, or left slots behind that other nodes could have taken.
pub fn run(config: Config, reread: Reread) -> anyhow::Result<()> {
    let inherited = Inherited::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")?;
    let done = runtime.block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let node = Node::start_with(config, inherited, Some(reread)).await?;
        let telling = supervisor::is_there().then(|| tokio::spawn(supervisor::tell(node.backend())));
        let signalled = until_the_end(&node, &mut signals).await;
        tracing::info!("{}: leaving; once more to end at once", signalled.unwrap_or("asked to leave"));
        tokio::spawn(async move {
            // Whoever stops a node that is leaving already may not know: it takes two signals in any case.
            if signalled.is_none() {
                let name = signals.end().await;
                tracing::info!("{name}: leaving already; once more to end at once");
            }
            let name = signals.end().await;
            tracing::warn!("{name} again: ending without a hand-off, so what is here is lost; one signal is enough next time");
            process::exit(1);
        });
        supervisor::stopping();
        let slots_left = node.leave().await;
        if let Some(telling) = telling {
            telling.abort();
        }
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

/// Serves until there is a reason to leave; gives the signal, if it was one.
async fn until_the_end(node: &Node, signals: &mut Signals) -> Option<&'static str> {
    let mut unused = std::pin::pin!(idle::unused(node));
    loop {
        tokio::select! {
            asked = signals.next() => {
                if let Asked::End(name) = asked {
                    return Some(name);
                }
                let ready = node.backend().status().ready;
                supervisor::reloading(ready);
                let came = match node.reload().await {
                    Ok(changed) if changed.is_empty() => "reloaded: nothing has changed".to_owned(),
                    Ok(changed) => format!("reloaded: {}", changed.join(", ")),
                    Err(reason) => format!("reload refused: {reason}"),
                };
                supervisor::reloaded(&came, ready);
            }
            () = node.leave_requested() => return None,
            () = &mut unused => return None,
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next that asks for the end.
    async fn end(&mut self) -> &'static str {
        loop {
            if let Asked::End(name) = self.next().await {
                return name;
            }
        }
    }
}

/// What a signal asks for.
enum Asked {
    End(&'static str),
    Reload,
}
