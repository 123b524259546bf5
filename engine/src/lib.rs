//! Frames in, better frames out, in the same order: colour, networks and backends of srupscale.
//!
//! [`Upscaler`] is all that most callers need.

pub mod backend;
mod error;
pub mod frame;
pub mod golden;
pub mod model;
pub mod network;
pub mod scheduler;
pub mod tensor;
mod upscaler;

pub use backend::{BackendKind, Precision};
pub use error::Error;
pub use upscaler::{Builder, Report, Upscaler};
