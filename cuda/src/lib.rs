//! A typed, safe layer over cudarc: devices, memory, frames in flight, and the kernels of srupscale.
//!
//! Nothing here knows networks or video formats. Kernels are PTX that is compiled into the crate ([`kernels`]); each has a
//! function that checks shapes and gives a [`Launch`]. A [`Slot`] takes bytes up, runs launches and brings bytes down.

mod context;
mod device;
mod error;
mod graph;
pub mod kernels;
mod launch;
mod memory;
mod module;
mod slot;
mod stream;
mod view;

pub use device::{Description, Device};
pub use error::Error;
pub use launch::{Launch, run, time};
pub use memory::{ALIGNMENT, Buffer};
pub use slot::{Issue, Slot};
pub use view::{CHANNEL_STEP, Image, Kind, Map, Plane, Sample};
