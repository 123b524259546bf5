//! Frames in, better frames out, in the same order: colour, networks and backends of srupscale.
//!
//! [`Upscaler`] takes one frame at a time; [`scheduler::Scheduler`] has several in flight and can hold a frame rate.

pub mod backend;
mod error;
pub mod frame;
pub mod golden;
pub mod model;
pub mod network;
pub mod scheduler;
mod shared;
pub mod tensor;
mod upscaler;

pub use backend::{BackendKind, Precision};
pub use error::Error;
pub use upscaler::{Builder, Report, Upscaler};
