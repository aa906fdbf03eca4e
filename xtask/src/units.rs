//! `cargo xtask units`: the systemd units as systemd sees them, and as it runs them where a second one can be booted.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::nodes;

pub(crate) fn run() -> Result<()> {
    let program = nodes::build(false)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).exists());
    if !installed("systemd-analyze") {
        println!("systemd is not installed: the units are not looked at");
        return Ok(());
    }
    script("verify.sh", &program)?;
    let root = Command::new("id").arg("-u").output().context("starting id")?.stdout == b"0\n";
    if !root || !Path::new("/lib/systemd/systemd").exists() {
        println!("only root can boot a systemd beside the one that runs: the units are not started");
        return Ok(());
    }
    script("boot.sh", &program)
}

/// Runs one of the scripts.
fn script(name: &str, program: &Path) -> Result<()> {
    let script = crate::root().join("xtask").join("units").join(name);
    let status = Command::new("bash").arg(script).arg(program).current_dir(crate::root()).status();
    ensure!(status.with_context(|| format!("starting {name}"))?.success(), "{name} failed");
    Ok(())
}
