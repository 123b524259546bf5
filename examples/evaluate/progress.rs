//! How far it is.

use indicatif::{ProgressBar, ProgressStyle};
use srup_examples::Failure;

/// A bar with room for a message.
///
/// # Errors
/// None that can happen.
pub fn bar(length: u64) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg} {elapsed} (left: {eta})");
    Ok(ProgressBar::new(length).with_style(style.map_err(Failure::new)?))
}
