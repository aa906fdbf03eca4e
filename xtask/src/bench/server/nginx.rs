//! nginx with the same body for every key: from its configuration (`return 200`), or a file where that is too long.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Name, Peer, Running, Server, Yard, log, loopback};
use crate::bench::load::Target;
use crate::bench::protocol::{BODY, Protocol};
use crate::bench::workload::Stage;
use crate::process::{Process, free_port};

/// Longest body that its configuration takes.
const RETURN_BYTES_MAX: usize = 2048;

pub(super) fn start(stage: Stage, yard: &Yard) -> Result<Option<Server>> {
    let port = free_port()?;
    let dir = yard.dir.join(format!("nginx-{port}"));
    std::fs::create_dir(&dir).context("making a folder for nginx")?;
    let body: String = std::iter::repeat_n(char::from(BODY), stage.bytes).collect();
    let answer = if stage.bytes <= RETURN_BYTES_MAX {
        format!("return 200 {body};")
    } else {
        std::fs::write(dir.join("body"), &body).context("writing the body")?;
        "try_files /body =404; open_file_cache max=10; sendfile on; tcp_nopush on;".to_owned()
    };
    let config = config(port, &dir.display().to_string(), &answer);
    std::fs::write(dir.join("nginx.conf"), config).context("writing nginx.conf")?;
    let log = log(&yard.dir, "nginx");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&dir).args(["-c", "nginx.conf", "-e", "stderr"]);
    let Some(mut process) = Process::start(&mut command, &log)? else { return Ok(None) };
    process.listening(loopback(port), &log)?;
    let target = Target { protocol: Protocol::HttpBody, addrs: vec![loopback(port)], owners: Vec::new() };
    Ok(Some(Server::new(Name::Peer(Peer::Nginx), target, vec![Running::Peer(process)])))
}

/// One process, which is what costs least per request.
fn config(port: u16, dir: &str, answer: &str) -> String {
    format!(
        "daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    server_tokens off;
    client_body_temp_path {dir}/body_temp;
    proxy_temp_path {dir}/proxy_temp;
    fastcgi_temp_path {dir}/fastcgi_temp;
    uwsgi_temp_path {dir}/uwsgi_temp;
    scgi_temp_path {dir}/scgi_temp;
    server {{
        listen 127.0.0.1:{port};
        root {dir};
        location / {{ {answer} }}
    }}
}}
"
    )
}
