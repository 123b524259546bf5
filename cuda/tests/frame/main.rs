//! Kernels of frames against plain loops in f64. Needs a driver: a device's, or the stand-in on the library path.

mod pack;
mod picture;
mod resample;
mod taps;
mod unpack;
