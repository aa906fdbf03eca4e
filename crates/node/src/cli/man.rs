//! `boato man`: the manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::output;

/// Where to.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Write a page per command into this directory, rather than the first to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<(), Failure> {
    command.build();
    match &args.dir {
        None => Ok(output::bytes(&page(&command)?)?),
        Some(dir) => {
            fs::create_dir_all(dir)?;
            write(&command, "boato", dir)
        }
    }
}

/// The page of a command and those of the commands below it.
fn write(command: &clap::Command, name: &str, dir: &Path) -> Result<(), Failure> {
    fs::write(dir.join(format!("{name}.1")), page(command)?)?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}
