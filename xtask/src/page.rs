//! `cargo xtask page`: the page of real nodes in a real browser, by Playwright.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{clients, nodes};

/// Names under which distributions have the browser.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where screenshots go [default: page in the target directory]
    #[arg(long, value_name = "DIR")]
    shots: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let program = nodes::build(false)?;
    let installed = clients::installed()?;
    let needed = "playwright-core is missing: .ci/run installs it (xtask/clients/package.json)";
    ensure!(installed.join("node_modules").join("playwright-core").exists(), needed);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let browser = std::env::split_paths(&path)
        .flat_map(|dir| BROWSERS.map(|name| dir.join(name)))
        .find(|candidate| candidate.exists())
        .with_context(|| format!("no browser: install one of {}", BROWSERS.join(", ")))?;
    // Modules are looked for beside the script.
    let script = installed.join("page.mjs");
    let source = crate::root().join("xtask").join("page").join("page.mjs");
    std::fs::copy(&source, &script).with_context(|| format!("copying {}", source.display()))?;
    let target = installed.parent().context("the clients are installed in the target directory")?;
    let shots = args.shots.clone().unwrap_or_else(|| target.join("page"));
    let status = Command::new("node").arg(&script).args([&program, &browser, &shots]).status();
    ensure!(status.context("starting node")?.success(), "the page does not do what it should");
    println!("screenshots are in {}", shots.display());
    Ok(())
}
