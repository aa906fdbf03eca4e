//! The program `boato`.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main(node::run)
}
