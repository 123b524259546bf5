//! A typed, safe layer over cudarc: devices, and the kernels of srupscale.

mod device;

pub use device::{Device, Error, devices};
