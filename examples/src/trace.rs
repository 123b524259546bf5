//! What every lane did, and when, as a file for Chrome's or Perfetto's viewer.

use std::fs::File;
use std::path::Path;

use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::prelude::*;

use crate::Failure;

/// Writes the engine's spans to a file until the guard is dropped.
///
/// # Errors
/// The file cannot be written, or something listens already.
pub fn record(path: &Path) -> Result<FlushGuard, Failure> {
    let file = File::create(path).map_err(|e| Failure::new(format!("{} cannot be written: {e}", path.display())))?;
    let (layer, guard) = ChromeLayerBuilder::new().writer(file).include_args(true).build();
    let listening = tracing_subscriber::registry().with(layer).try_init();
    listening.map_err(|e| Failure::new(format!("no trace can be recorded: {e}")))?;
    Ok(guard)
}
