//! Between the bytes of a frame and the planes of f32 that models take and give.
//!
//! An [`Unpacker`] and a [`Packer`] are made once for a stream and hold all buffers that a frame needs. What the model
//! does not see waits in an [`Aside`]. Ten-bit codes are never cut to eight.

pub(crate) mod matrices;
mod pack;
mod rows;
mod samples;
pub(crate) mod siting;
mod unpack;

pub use pack::{NotFinite, Packer};
pub use rows::{LumaRows, PlaneRows, Rows};
pub use unpack::Unpacker;

use super::resample::Kernel;
use super::{Family, PixelFormat, VideoInfo, room};

/// What a model works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One plane, the codes of Y over the largest code: 0 to 1, with no range expansion. RGB goes to Y, Cb, Cr as BT.601
    /// in limited range, which is what luma networks are trained on; chroma and alpha are resampled by Lanczos.
    Luma,
    /// Three planes, red, green and blue from 0 (black) to 1 (white); alpha is resampled by Lanczos. What lies outside
    /// 0..=1 on the way in (codes below black, chroma without such a colour) is clamped: networks have never seen it,
    /// and answer it with tints around it. On the way out it is clamped too.
    Rgb,
    /// No network: every component of the frame is resampled with this kernel, in its own codes.
    Each(Kernel),
}

impl Domain {
    /// Planes of the model's input and output.
    pub const fn channels(self) -> usize {
        match self {
            Self::Luma => 1,
            Self::Rgb => 3,
            Self::Each(_) => 0,
        }
    }

    /// The kernel for what the model does not see.
    pub(crate) const fn kernel(self) -> Kernel {
        match self {
            Self::Each(kernel) => kernel,
            _ => Kernel::Lanczos,
        }
    }

    /// How many components of a frame go round the model.
    const fn aside(self, format: PixelFormat) -> usize {
        let alpha = format.has_alpha() as usize;
        match (self, format.family()) {
            (Self::Luma, Family::Yuv) => 2,
            (Self::Luma, Family::Rgb) => 2 + alpha,
            (Self::Rgb, Family::Rgb) => alpha,
            (Self::Luma | Self::Rgb, _) => 0,
            (Self::Each(_), Family::Gray) => 1,
            (Self::Each(_), _) => 3 + alpha,
        }
    }
}

/// The components of a frame that go round the model, in codes and at the size of the input: Y where there is no
/// network; then U and V or Cb and Cr; then alpha.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    planes: Vec<Vec<f32>>,
}

impl Aside {
    /// Room for a frame.
    pub fn new(input: &VideoInfo, domain: Domain) -> Self {
        Self { planes: Self::sizes(input, domain).map(room::zeros).collect() }
    }

    /// Bytes of that.
    pub(crate) fn bytes(input: &VideoInfo, domain: Domain) -> usize {
        Self::sizes(input, domain).map(room::bytes).sum()
    }

    /// Values of each plane.
    fn sizes(input: &VideoInfo, domain: Domain) -> impl Iterator<Item = usize> {
        let luma = input.width * input.height;
        let chroma = input.format.chroma_width(input.width) * input.format.chroma_height(input.height);
        let count = domain.aside(input.format);
        let is_chroma = move |i: usize| match domain {
            Domain::Each(_) => i > 0,
            _ => true,
        };
        let yuv = input.format.family() == Family::Yuv;
        (0..count).map(move |i| if yuv && is_chroma(i) { chroma } else { luma })
    }
}

#[cfg(test)]
mod tests;
