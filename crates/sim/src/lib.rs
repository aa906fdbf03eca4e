//! The simulator: virtual time and network around the production cores, with faults, checkers and scenarios.
