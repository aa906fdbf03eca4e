//! What is said of many slots at the same time travels in few frames.

use std::time::Duration;

use boato_cluster::{Config, Digest, Frame, Greeting, Input, Liveness, Machine, Now, Output, Pid, Standing};

const ME: Pid = Pid { node: 1, boot: 1 };
const PEER: Pid = Pid { node: 2, boot: 1 };

fn now(at: Duration) -> Now {
    Now { at, unix_ms: 1_700_000_000_000 }
}

/// A node in the cluster of a peer, who says no more after that.
fn newcomer() -> Machine {
    let mut machine = Machine::new(Config::new(ME, 7), now(Duration::ZERO));
    machine.handle(Input::Member { pid: PEER, liveness: Liveness::Alive, weight: 1 }, now(Duration::ZERO));
    let standing = Standing::Claimed;
    let digest = Some(Digest { live: vec![ME, PEER], dead: Vec::new() });
    let frame = Frame { from: PEER, to: ME, standing, greeting: Greeting::None, digest, runs: Vec::new() };
    machine.handle(Input::Frame(frame), now(Duration::from_millis(1)));
    machine
}

/// A node whose peer is slow must not ask slot by slot: that would make the peer slower still.
#[test]
fn slots_that_wait_for_the_same_answer_ask_again_together() {
    let mut machine = newcomer();
    let (mut frames, mut slots) = (0, 0);
    while let Some(at) = machine.poll_timeout().filter(|at| *at < Duration::from_secs(10)) {
        machine.handle(Input::Timeout, now(at));
        while let Some(output) = machine.poll_output() {
            if let Output::Send { frame, .. } = output {
                frames += 1;
                slots += frame.runs.iter().map(|run| usize::from(run.len)).sum::<usize>();
            }
        }
    }
    assert!(slots > 10 * 5_000, "about half of the slots are asked for a dozen times: {slots}");
    assert!(frames < 100, "{frames} frames ask for {slots} slots");
}
