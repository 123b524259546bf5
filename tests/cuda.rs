//! The CUDA backend as users meet it, under the stand-in driver: golden vectors, frames, pipelines, lanes, faults.
//!
//! With `SRUP_TEST_DEVICE=real` the same tests run on the machine's own device, but for those that plant faults.

#[path = "cuda/faults.rs"]
mod faults;
#[path = "cuda/flights.rs"]
mod flights;
#[path = "cuda/frames.rs"]
mod frames;
#[path = "cuda/golden.rs"]
mod golden;
#[path = "cuda/lanes.rs"]
mod lanes;
#[path = "cuda/pipelines.rs"]
mod pipelines;
#[path = "cuda/support.rs"]
mod support;
