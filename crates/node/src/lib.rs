//! Composes boato from its crates: configuration, wiring, signals. The binary boato, and a library to embed a node.
