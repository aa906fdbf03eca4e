//! The program `boato`.

use std::process::ExitCode;

/// A tenth of a pipelined command's time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::cli::main(node::run)
}
