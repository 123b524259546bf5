//! From one pixel format or size to another, by swscale, with the right matrix and range.

use ffmpeg_next::ffi::{SWS_CS_BT2020, SWS_CS_ITU601, SWS_CS_ITU709};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::software::scaling;
use srup_engine::frame::Matrix;

use super::{ffi, formats};
use crate::Failure;

/// A picture's format, size and range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Layout in memory.
    pub pixel: Pixel,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// True if black is code 0 (RGB always is).
    pub full: bool,
}

impl Shape {
    /// The shape of a frame whose range is `full`.
    pub fn of(frame: &Video, full: bool) -> Self {
        Self { pixel: frame.format(), width: frame.width(), height: frame.height(), full }
    }
}

/// Converts frames of one shape into another, and makes itself anew when the input's shape changes.
pub struct Converter {
    to: Shape,
    matrix: Matrix,
    scaler: Option<(Shape, scaling::Context)>,
}

// Where chroma is resampled at all, at full resolution and rounded exactly: speed is no concern beside a network.
const FLAGS: scaling::Flags = scaling::Flags::BICUBIC
    .union(scaling::Flags::ACCURATE_RND)
    .union(scaling::Flags::FULL_CHR_H_INT)
    .union(scaling::Flags::FULL_CHR_H_INP);

impl Converter {
    /// Makes frames of shape `to`; `matrix` lies between YUV and RGB on either side.
    pub fn new(to: Shape, matrix: Matrix) -> Self {
        Self { to, matrix, scaler: None }
    }

    /// A new frame with the picture and the properties of `frame`, whose shape is `from`.
    pub fn run(&mut self, frame: &Video, from: Shape) -> Result<Video, Failure> {
        let fail = |error: ffmpeg_next::Error| {
            let name = formats::name;
            Failure::new(format!("cannot convert {} to {}: {error}", name(from.pixel), name(self.to.pixel)))
        };
        let mut output = ffi::new_frame(self.to.pixel, self.to.width, self.to.height).map_err(fail)?;
        let scaler = match &mut self.scaler {
            Some((shape, scaler)) if *shape == from => scaler,
            stale => &mut stale.insert((from, open(from, self.to, self.matrix).map_err(fail)?)).1,
        };
        scaler.run(frame, &mut output).map_err(fail)?;
        ffi::copy_properties(&mut output, frame).map_err(fail)?;
        Ok(output)
    }
}

fn open(from: Shape, to: Shape, matrix: Matrix) -> Result<scaling::Context, ffmpeg_next::Error> {
    let mut scaler = scaling::Context::get(from.pixel, from.width, from.height, to.pixel, to.width, to.height, FLAGS)?;
    let matrix = match matrix {
        Matrix::Bt601 => SWS_CS_ITU601,
        Matrix::Bt709 => SWS_CS_ITU709,
        Matrix::Bt2020 => SWS_CS_BT2020,
    };
    ffi::set_scaler_colour(&mut scaler, matrix, (from.full, to.full));
    Ok(scaler)
}
