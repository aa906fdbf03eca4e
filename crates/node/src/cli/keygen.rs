//! `boato keygen`: a new cluster secret.

use boato_transport::Secret;

use super::failure::Failure;
use super::output;

pub(super) fn run() -> Result<(), Failure> {
    Ok(output::line(&Secret::generate())?)
}
