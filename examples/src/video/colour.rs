//! Colour tags: what a stream says of its codes, kept as it says it, and what the engine computes with.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::{chroma, color};
use ffmpeg_next::{codec, encoder};
use srup_engine::frame::{Colour, Matrix, Range, Site, Siting};

use super::{ffi, formats};

/// What a stream says of its colours. What it leaves open stays open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tags {
    /// Matrix between YUV and RGB.
    pub space: color::Space,
    /// Codes of black and white.
    pub range: color::Range,
    /// What red, green, blue and white are.
    pub primaries: color::Primaries,
    /// From code to light.
    pub transfer: color::TransferCharacteristic,
    /// Place of the chroma samples.
    pub siting: chroma::Location,
}

/// What says that matrix.
fn space(matrix: Matrix) -> color::Space {
    match matrix {
        Matrix::Bt601 => color::Space::SMPTE170M,
        Matrix::Bt709 => color::Space::BT709,
        Matrix::Bt2020 => color::Space::BT2020NCL,
    }
}

impl Tags {
    /// The tags of a frame. The "J" formats are full range whatever the frame says.
    pub fn of(frame: &Video) -> Self {
        let full = formats::is_full_range(frame.format());
        Self {
            space: frame.color_space(),
            range: if full { color::Range::JPEG } else { frame.color_range() },
            primaries: frame.color_primaries(),
            transfer: frame.color_transfer_characteristic(),
            siting: frame.chroma_location(),
        }
    }

    /// The tags after a conversion from one pixel format to another.
    ///
    /// Between YUV formats nothing changes. RGB that became YUV now has the matrix that it was made with, and limited range.
    pub fn converted(mut self, from: Pixel, to: Pixel, matrix: Matrix) -> Self {
        match (formats::is_yuv(from), formats::is_yuv(to)) {
            (false, true) => {
                self.space = space(matrix);
                self.range = color::Range::MPEG;
            }
            (true, false) => {
                self.space = color::Space::RGB;
                self.range = color::Range::JPEG;
            }
            _ => {}
        }
        if formats::is_full_range(to) {
            self.range = color::Range::JPEG;
        }
        self
    }

    /// The tags of a picture that changes its size, each width and height: a matrix that went without saying is said where
    /// players would take another for the new size.
    pub fn resized(mut self, pixel: Pixel, from: (u32, u32), to: (u32, u32)) -> Self {
        let (before, after) = (self.matrix(from.0, from.1), self.matrix(to.0, to.1));
        if formats::is_yuv(pixel) && before != after {
            self.space = space(before);
        }
        self
    }

    /// The matrix to compute with: the stated one; where none is, BT.2020 for its primaries, else BT.601 for standard
    /// definition (at most 1024x576) and BT.709 above.
    pub fn matrix(&self, width: u32, height: u32) -> Matrix {
        match self.space {
            color::Space::BT709 | color::Space::SMPTE240M => Matrix::Bt709,
            color::Space::BT470BG | color::Space::SMPTE170M | color::Space::FCC => Matrix::Bt601,
            color::Space::BT2020NCL | color::Space::BT2020CL => Matrix::Bt2020,
            _ if self.primaries == color::Primaries::BT2020 => Matrix::Bt2020,
            _ if width <= 1024 && height <= 576 => Matrix::Bt601,
            _ => Matrix::Bt709,
        }
    }

    /// True if black is code 0.
    pub fn is_full(&self) -> bool {
        self.range == color::Range::JPEG
    }

    /// What the engine computes with, for a picture of that size. Chroma on the bottom row, which the engine lacks, counts as
    /// between the rows.
    pub fn engine(&self, width: u32, height: u32) -> Colour {
        let siting = match self.siting {
            chroma::Location::Center => Siting::CENTER,
            chroma::Location::TopLeft => Siting::TOP_LEFT,
            chroma::Location::Top => Siting::TOP,
            chroma::Location::Bottom => Siting { horizontal: Site::Centered, vertical: Site::Centered },
            chroma::Location::Unspecified | chroma::Location::Left | chroma::Location::BottomLeft => Siting::LEFT,
        };
        let range = if self.is_full() { Range::Full } else { Range::Limited };
        Colour { matrix: self.matrix(width, height), range, siting }
    }

    /// Has an encoder write these tags.
    pub fn apply(&self, encoder: &mut encoder::video::Video) {
        encoder.set_colorspace(self.space);
        encoder.set_color_range(self.range);
        encoder.set_color_primaries(self.primaries);
        encoder.set_color_transfer_characteristic(self.transfer);
        let context: &mut codec::Context = encoder;
        ffi::set_chroma_location(context, self.siting);
    }
}
