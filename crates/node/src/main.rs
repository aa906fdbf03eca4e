//! The program `boato`.

use std::process::ExitCode;

/// `docs/performance.md` has what it was measured against.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    node::cli::main(node::run)
}
