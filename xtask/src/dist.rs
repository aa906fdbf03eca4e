//! `cargo xtask dist`: archives of optimised binaries, with manual, completions and what `packaging/` has.

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
    let mut first = None;
    for triple in triples {
        let binary = build(&target, triple)?;
        let writer = first.get_or_insert_with(|| binary.clone());
        let archive = archive(&binary, writer, triple.unwrap_or(&native), &out)?;
        println!("{}", archive.display());
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

/// Puts everything into a folder beside the archive, packs it and removes it.
fn archive(binary: &Path, writer: &Path, triple: &str, out: &Path) -> Result<PathBuf> {
    let version = output(Command::new(writer).arg("--version"))?;
    let version =
        version.split_whitespace().next_back().context("boato does not say its version")?.to_owned();
    let name = format!("boato-{version}-{triple}");
    let dir = out.join(&name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("completions"))?;
    fs::copy(binary, dir.join("boato")).with_context(|| format!("copying {}", binary.display()))?;
    for file in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(crate::root().join(file), dir.join(file)).with_context(|| format!("copying {file}"))?;
    }
    for folder in ["packaging", "docs"] {
        copy_all(&crate::root().join(folder), &dir.join(folder))?;
    }
    output(Command::new(writer).args(["man", "--dir"]).arg(dir.join("man")))?;
    for shell in SHELLS {
        let script = output(Command::new(writer).args(["completions", shell]))?;
        fs::write(dir.join("completions").join(format!("boato.{shell}")), script)?;
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
