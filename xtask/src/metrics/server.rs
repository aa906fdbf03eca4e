//! A Prometheus of our own: its process, and what it says.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::nodes::Http;

/// A Prometheus at work; it is killed when dropped.
pub(super) struct Server {
    process: Child,
    addr: SocketAddr,
    /// Whether it asks for native histograms.
    native: bool,
}

impl Server {
    pub(super) fn start(
        prometheus: &Path,
        promtool: &Path,
        dir: &Path,
        alerts: &Path,
        targets: &[SocketAddr],
        native: bool,
    ) -> Result<Server> {
        let name = if native { "native" } else { "classic" };
        let config = dir.join(format!("prometheus-{name}.yaml"));
        // Newer ones want to be told in the configuration, older ones by a flag alone.
        for told in [native, false] {
            std::fs::write(&config, configuration(alerts, targets, told))
                .context("writing the configuration")?;
            let checked = Command::new(promtool).args(["check", "config"]).arg(&config).output();
            if checked.context("starting promtool")?.status.success() {
                break;
            }
        }
        let log = File::create(dir.join(format!("prometheus-{name}.log"))).context("creating a log")?;
        // It cannot tell which port it was given: one that was free a moment ago.
        let addr =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).context("finding a port")?;
        let mut command = Command::new(prometheus);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join(name).display()))
            .arg(format!("--web.listen-address={addr}"))
            .args(native.then_some("--enable-feature=native-histograms"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .process_group(0);
        let process = command.spawn().with_context(|| format!("starting {}", prometheus.display()))?;
        Ok(Server { process, addr, native })
    }

    /// What tells it from the other.
    pub(super) fn what(&self) -> &'static str {
        if self.native { "native histograms" } else { "classic histograms" }
    }

    /// What an expression gives now.
    pub(super) fn query(&self, http: &Http, expression: &str) -> Result<Vec<Value>> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in expression.bytes() {
            let _always = write!(path, "%{byte:02X}");
        }
        list(http.json::<Value>(self.addr, &path)?, "result")
            .with_context(|| format!("asking for {expression}"))
    }

    /// Whether it has loaded every rule of the file and could evaluate it.
    pub(super) fn rules_are_well(&self, http: &Http, alerts: &Path) -> Result<()> {
        let groups = list(http.json(self.addr, "/api/v1/rules")?, "groups")?;
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        let text = std::fs::read_to_string(alerts)?;
        let written = text.lines().filter(|line| line.trim().starts_with("- alert:")).count();
        ensure!(rules.len() == written, "{} of {written} rules are loaded", rules.len());
        match rules.iter().find(|rule| rule["health"] != "ok") {
            Some(rule) => Err(anyhow::anyhow!("{rule}")),
            None => Ok(()),
        }
    }

    /// Whether latencies came as it asked for them.
    pub(super) fn has_histograms(&self, http: &Http) -> Result<()> {
        for name in ["boato_http_request_duration_seconds", "boato_resp_command_duration_seconds"] {
            if self.native {
                let found = self.query(http, name)?;
                ensure!(!found.is_empty(), "no {name}");
                ensure!(
                    found.iter().all(|series| series["histogram"].is_array()),
                    "no native {name}: {found:?}"
                );
            } else {
                ensure!(!self.query(http, &format!("{name}_bucket"))?.is_empty(), "no buckets of {name}");
            }
        }
        Ok(())
    }

    /// The state of an alert, if it is one now: `pending` or `firing`.
    pub(super) fn alert(&self, http: &Http, name: &str) -> Result<Option<String>> {
        let alerts = list(http.json(self.addr, "/api/v1/alerts")?, "alerts")?;
        let alert = alerts.iter().find(|alert| alert["labels"]["alertname"] == name);
        Ok(alert.and_then(|alert| Some(alert["state"].as_str()?.to_owned())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn list(mut answer: Value, of: &str) -> Result<Vec<Value>> {
    ensure!(answer["status"] == "success", "{answer}");
    serde_json::from_value(answer["data"][of].take()).with_context(|| format!("no {of} in the answer"))
}

fn configuration(alerts: &Path, targets: &[SocketAddr], native: bool) -> String {
    let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    let native = if native { "    scrape_native_histograms: true\n" } else { "" };
    format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [\"{}\"]\n\
         scrape_configs:\n\
         \x20 - job_name: boato\n\
         \x20   metrics_path: /_/metrics\n\
         {native}\
         \x20   static_configs: [{{ targets: [{}] }}]\n",
        alerts.display(),
        targets.join(", ")
    )
}
