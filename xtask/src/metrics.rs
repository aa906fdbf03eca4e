//! `cargo xtask metrics`: alert rules and dashboard, checked by promtool and loaded by a real Prometheus that watches real nodes.

mod server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use server::Server;

use crate::nodes::{self, Condition, Http, Launch, Node};

const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest time until everything that is asked for has data, and until a crash is an alert.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(250);
const KEYS: usize = 30;

pub(crate) fn run() -> Result<()> {
    let (Some(promtool), Some(prometheus)) = (find("promtool"), find("prometheus")) else {
        println!(
            "NOT CHECKED: promtool and prometheus are not installed (Debian: apt-get install prometheus)"
        );
        return Ok(());
    };
    let packaging = crate::root().join("packaging");
    let alerts = packaging.join("prometheus").join("alerts.yaml");
    let tests = packaging.join("prometheus").join("alerts_test.yaml");
    promtool_says(&promtool, ["check", "rules"], &alerts)?;
    promtool_says(&promtool, ["test", "rules"], &tests)?;
    let dashboard = std::fs::read_to_string(packaging.join("grafana").join("boato.json"))?;
    let expressions = expressions(&serde_json::from_str(&dashboard).context("reading the dashboard")?);
    ensure!(expressions.len() > 30, "only {} expressions in the dashboard", expressions.len());

    let program = nodes::build(false)?;
    let dir =
        tempfile::Builder::new().prefix("boato-metrics-").tempdir().context("making a temporary folder")?;
    let launch = Launch {
        program,
        cluster: format!("metrics-{}", std::process::id()),
        dir: dir.path().to_owned(),
        args: vec!["--max-memory=64MiB".to_owned()],
    };
    let mut nodes =
        (1..=3).map(|index| launch.start(&format!("n{index}"), &[])).collect::<Result<Vec<_>>>()?;
    nodes::assemble(&mut nodes)?;
    let targets = nodes.iter_mut().map(|node| Ok(node.ready().context("a node without doors")?.http));
    let targets = targets.collect::<Result<Vec<_>>>()?;
    let text =
        Http::new(ANSWER_TIME).get(targets[0], "/_/metrics").ok().context("a node without metrics")?.body;
    lint(&promtool, &text)?;
    let start = |native| Server::start(&prometheus, &promtool, dir.path(), &alerts, &targets, native);
    let servers = [start(false)?, start(true)?];
    for server in &servers {
        let what = server.what();
        until(&mut nodes, &format!("every expression of the dashboard has data ({what})"), |http| {
            expressions.iter().try_for_each(|asked| {
                ensure!(!server.query(http, asked)?.is_empty(), "nothing for {asked}");
                Ok(())
            })
        })?;
        until(&mut nodes, &format!("all rules are evaluated ({what})"), |http| {
            server.rules_are_well(http, &alerts)
        })?;
        until(&mut nodes, &format!("latencies are histograms of their kind ({what})"), |http| {
            server.has_histograms(http)
        })?;
    }
    // Nobody asks for keys meanwhile: those of the dead have no answer.
    nodes.remove(2).kill()?;
    for server in &servers {
        until(&mut [], &format!("a crash is told ({})", server.what()), |http| {
            ensure!(server.alert(http, "BoatoNodeDown")?.is_some(), "no alert that a node is down");
            let lost = server.alert(http, "BoatoKeysLost")?;
            ensure!(lost.as_deref() == Some("firing"), "no alert that keys are lost");
            Ok(())
        })?;
    }
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

fn promtool_says(promtool: &Path, command: [&str; 2], file: &Path) -> Result<()> {
    let status = Command::new(promtool).args(command).arg(file).status().context("starting promtool")?;
    ensure!(status.success(), "promtool {} refuses {}", command.join(" "), file.display());
    Ok(())
}

/// Names, units and help as promtool wants them.
fn lint(promtool: &Path, text: &[u8]) -> Result<()> {
    let mut process = Command::new(promtool).args(["check", "metrics"]).stdin(Stdio::piped()).spawn()?;
    process.stdin.take().context("promtool without input")?.write_all(text)?;
    ensure!(process.wait()?.success(), "promtool complains of metrics");
    println!("ok: promtool has nothing to say of names and units");
    Ok(())
}

/// What the panels ask for, of all nodes and over the last few seconds.
fn expressions(dashboard: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let targets = list(&dashboard["panels"]).into_iter().flat_map(|panel| list(&panel["targets"]));
    let filled = |text: &str| text.replace("$__rate_interval", "10s").replace("$instance", ".*");
    targets.filter_map(|target| Some(filled(target["expr"].as_str()?))).collect()
}

/// Uses the nodes until something is so.
fn until(nodes: &mut [Node], what: &str, mut is_so: impl FnMut(&Http) -> Result<()>) -> Result<()> {
    let (http, deadline) = (Http::new(ANSWER_TIME), Instant::now() + PATIENCE);
    loop {
        nodes.iter_mut().try_for_each(|node| work(&http, node))?;
        match is_so(&http) {
            Ok(()) => break,
            Err(error) => ensure!(Instant::now() < deadline, "not in time: {what}: {error:#}"),
        }
        thread::sleep(LOOK);
    }
    println!("ok: {what}");
    Ok(())
}

/// Some operations through both doors; what becomes of each does not matter here.
fn work(http: &Http, node: &mut Node) -> Result<()> {
    let doors = node.ready().context("a node without doors")?;
    for key in 0..KEYS {
        let path = format!("/key/{key}");
        let (_put, _got) =
            (http.put(doors.http, &path, &Condition::Always, b"value"), http.get(doors.http, &path));
    }
    let mut resp = TcpStream::connect(doors.resp.context("a node without a RESP door")?)?;
    resp.set_read_timeout(Some(ANSWER_TIME))?;
    resp.write_all(b"PING\r\n")?;
    ensure!(resp.read(&mut [0; 64])? > 0, "a RESP door that says nothing");
    Ok(())
}
