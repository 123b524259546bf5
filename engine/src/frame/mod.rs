//! Frames and colour: what comes in and goes out.

mod bands;
mod colour;
pub mod convert;
mod format;
mod planes;
pub(crate) mod region;
pub mod resample;
pub(crate) mod room;
mod simd;

pub use colour::{Affine, Colour, Matrix, Range, Site, Siting};
pub use format::{Family, PackedRgb, PixelFormat};
pub use planes::{Frame, FrameMut, FrameRef, MAX_SIZE, Plane, PlaneMut, VideoInfo};
pub use resample::Kernel;
