//! `cargo xtask dist`: archives of optimised binaries, with manual, completions and what `packaging/` has; and a Debian package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Built when it is installed: a binary that needs nothing of the system it runs on.
const STATIC: &str = "x86_64-unknown-linux-musl";

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the archives go [default: dist in the target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only for the machine that builds
    #[arg(long)]
    native: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from);
    let target = std::path::absolute(target)?;
    let out = args.out.clone().unwrap_or_else(|| target.join("dist"));
    let native = host()?;
    let mut triples = vec![None];
    if is_installed(STATIC)? && !args.native && native != STATIC {
        triples.push(Some(STATIC));
    } else if !args.native {
        println!("{STATIC} is not installed (rustup target add {STATIC}): no static binary is made");
    }
    // Manual and completions are the same for all: the binary for this machine writes them.
    let (own, written) = (target.join("release").join("boato"), target.join("release").join("dist"));
    for triple in triples {
        let binary = build(&target, triple)?;
        if triple.is_none() {
            write_pages(&own, &written)?;
        }
        let archive = archive(&binary, &written, triple.unwrap_or(&native), &out)?;
        println!("{}", archive.display());
    }
    if !Command::new("cargo-deb").arg("--version").output().is_ok_and(|said| said.status.success()) {
        println!("cargo-deb is not installed (cargo install cargo-deb): no Debian package is made");
        return Ok(());
    }
    let deb = output(
        crate::cargo().args(["deb", "--package", "node", "--no-build", "--strip", "--output"]).arg(&out),
    )?;
    print!("{deb}");
    Ok(())
}

/// Has `boato` write its manual and completions.
fn write_pages(boato: &Path, dir: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir.join("completions"))?;
    let man = dir.join("man");
    output(Command::new(boato).args(["man", "--dir"]).arg(&man))?;
    // As packages have them, and every `man` reads them.
    let pages = fs::read_dir(&man)?.map(|page| Ok(page?.path())).collect::<Result<Vec<_>>>()?;
    output(Command::new("gzip").arg("-9n").args(pages))?;
    for shell in SHELLS {
        let script = output(Command::new(boato).args(["completions", shell]))?;
        fs::write(dir.join("completions").join(format!("boato.{shell}")), script)?;
    }
    Ok(())
}

fn host() -> Result<String> {
    let said = output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say for which machine it is")?.to_owned())
}

fn is_installed(triple: &str) -> Result<bool> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]))?;
    Ok(Path::new(libraries.trim()).exists())
}

fn build(target: &Path, triple: Option<&str>) -> Result<PathBuf> {
    let mut cargo = crate::cargo();
    cargo.args(["build", "--release", "--locked", "--package", "node", "--bin", "boato"]);
    cargo.args(triple.map(|triple| ["--target", triple]).into_iter().flatten());
    ensure!(cargo.status().context("starting cargo build")?.success(), "building the node failed");
    let dir = triple.map_or_else(|| target.to_owned(), |triple| target.join(triple));
    Ok(dir.join("release").join("boato"))
}

/// Puts everything into a folder beside the archive, what has been `written` included, packs it and removes it.
fn archive(binary: &Path, written: &Path, triple: &str, out: &Path) -> Result<PathBuf> {
    let name = format!("boato-{}-{triple}", env!("CARGO_PKG_VERSION"));
    let dir = out.join(&name);
    let _ = fs::remove_dir_all(&dir);
    copy_all(written, &dir)?;
    fs::copy(binary, dir.join("boato")).with_context(|| format!("copying {}", binary.display()))?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(crate::root().join(file), dir.join(file)).with_context(|| format!("copying {file}"))?;
    }
    for folder in ["packaging", "docs"] {
        copy_all(&crate::root().join(folder), &dir.join(folder))?;
    }
    let archive = out.join(format!("{name}.tar.gz"));
    output(Command::new("tar").arg("-C").arg(out).arg("-czf").arg(&archive).arg(&name))?;
    fs::remove_dir_all(&dir)?;
    Ok(archive)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| format!("reading what {command:?} says"))
}
