//! The kernels, one file a family. Each function checks shapes and gives a [`Launch`](crate::Launch).

pub mod channels;
mod constants;
pub mod conv;
pub mod depthwise;
pub mod elementwise;
mod fragment;
pub mod large_kernel;
pub mod luma;
pub mod norm;
pub mod pack;
pub mod resample;
pub mod shuffle;
pub mod slice;
pub mod star;
pub mod unpack;
pub mod video;
