//! A CUDA driver that runs PTX on the CPU, with checks that no GPU makes.
//!
//! The dynamic library goes on the library path under the driver's names (see [`install`]); what it found and did is
//! in a [`report`]. The variables are described in the README.

mod block;
pub mod counters;
mod driver;
pub mod fault;
mod global;
pub mod harness;
mod install;
pub mod launch;
pub mod memory;
pub mod ptx;
mod shared;
mod warp;

pub use driver::{abi, code, exports, report};
pub use install::install;
