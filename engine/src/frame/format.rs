//! Pixel formats: how a picture lies in memory.

use std::fmt;

/// The pixel formats that frames come and go in, named as GStreamer names them.
///
/// Ten-bit formats are little-endian, two bytes a sample; `P010Le` keeps its value in the high bits, the
/// others in the low ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Planar YUV 4:2:0, 8 bits.
    I420,
    /// Semi-planar YUV 4:2:0 (U first), 8 bits.
    Nv12,
    /// Planar YUV 4:2:2, 8 bits.
    Y42b,
    /// Planar YUV 4:4:4, 8 bits.
    Y444,
    /// Luma alone, 8 bits.
    Gray8,
    /// Planar YUV 4:2:0, 10 bits in the low bits.
    I420_10Le,
    /// Semi-planar YUV 4:2:0 (U first), 10 bits in the high bits.
    P010Le,
    /// Planar YUV 4:2:2, 10 bits in the low bits.
    I422_10Le,
    /// Planar YUV 4:4:4, 10 bits in the low bits.
    Y444_10Le,
    /// Packed R, G, B.
    Rgb,
    /// Packed B, G, R.
    Bgr,
    /// Packed R, G, B, alpha.
    Rgba,
    /// Packed B, G, R, alpha.
    Bgra,
    /// Packed R, G, B, unused.
    Rgbx,
    /// Packed B, G, R, unused.
    Bgrx,
}

/// What the samples of a format mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Y, U and V, the latter two perhaps at a lower resolution.
    Yuv,
    /// Y alone.
    Gray,
    /// Red, green and blue, packed.
    Rgb,
}

impl PixelFormat {
    /// Every format, in the order in which an element should prefer them.
    pub const ALL: [Self; 15] = [
        Self::I420,
        Self::Nv12,
        Self::Y42b,
        Self::Y444,
        Self::Gray8,
        Self::I420_10Le,
        Self::P010Le,
        Self::I422_10Le,
        Self::Y444_10Le,
        Self::Rgb,
        Self::Bgr,
        Self::Rgba,
        Self::Bgra,
        Self::Rgbx,
        Self::Bgrx,
    ];

    /// The name in GStreamer caps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I420 => "I420",
            Self::Nv12 => "NV12",
            Self::Y42b => "Y42B",
            Self::Y444 => "Y444",
            Self::Gray8 => "GRAY8",
            Self::I420_10Le => "I420_10LE",
            Self::P010Le => "P010_10LE",
            Self::I422_10Le => "I422_10LE",
            Self::Y444_10Le => "Y444_10LE",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Rgba => "RGBA",
            Self::Bgra => "BGRA",
            Self::Rgbx => "RGBx",
            Self::Bgrx => "BGRx",
        }
    }

    /// The format of that GStreamer name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// What the samples mean.
    pub const fn family(self) -> Family {
        match self {
            Self::Gray8 => Family::Gray,
            Self::Rgb | Self::Bgr | Self::Rgba | Self::Bgra | Self::Rgbx | Self::Bgrx => Family::Rgb,
            _ => Family::Yuv,
        }
    }

    /// Significant bits of a sample: 8 or 10.
    pub const fn bits(self) -> u32 {
        match self {
            Self::I420_10Le | Self::P010Le | Self::I422_10Le | Self::Y444_10Le => 10,
            _ => 8,
        }
    }

    /// The largest code: 255 or 1023.
    pub const fn max_code(self) -> u32 {
        (1 << self.bits()) - 1
    }

    /// Bytes of a sample: 1 or 2.
    pub const fn sample_bytes(self) -> usize {
        if self.bits() > 8 { 2 } else { 1 }
    }

    /// How far a code is shifted up within its two bytes (P010: 6, else 0).
    pub const fn shift(self) -> u32 {
        if matches!(self, Self::P010Le) { 6 } else { 0 }
    }

    /// Binary logarithms of the chroma subsampling, horizontal and vertical.
    pub const fn subsampling(self) -> (u32, u32) {
        match self {
            Self::I420 | Self::Nv12 | Self::I420_10Le | Self::P010Le => (1, 1),
            Self::Y42b | Self::I422_10Le => (1, 0),
            _ => (0, 0),
        }
    }

    /// True where U and V share one plane, interleaved.
    pub const fn is_semi_planar(self) -> bool {
        matches!(self, Self::Nv12 | Self::P010Le)
    }

    /// True where a packed pixel carries alpha.
    pub const fn has_alpha(self) -> bool {
        matches!(self, Self::Rgba | Self::Bgra)
    }

    /// Byte offsets of red, green, blue and the fourth byte within a packed pixel, and the pixel's size.
    /// None for YUV and grey.
    pub const fn packed_rgb(self) -> Option<PackedRgb> {
        let (order, size) = match self {
            Self::Rgb => ([0, 1, 2], 3),
            Self::Bgr => ([2, 1, 0], 3),
            Self::Rgba | Self::Rgbx => ([0, 1, 2], 4),
            Self::Bgra | Self::Bgrx => ([2, 1, 0], 4),
            _ => return None,
        };
        Some(PackedRgb { order, size })
    }

    /// Number of planes in memory: 1, 2 or 3.
    pub const fn planes(self) -> usize {
        match self.family() {
            Family::Yuv if self.is_semi_planar() => 2,
            Family::Yuv => 3,
            Family::Gray | Family::Rgb => 1,
        }
    }

    /// Bytes of a row of plane `plane` that carry pixels of a picture `width` wide. Chroma rounds up.
    pub const fn row_bytes(self, plane: usize, width: usize) -> usize {
        if let Some(rgb) = self.packed_rgb() {
            return width * rgb.size;
        }
        let samples = match plane {
            0 => width,
            _ if self.is_semi_planar() => 2 * self.chroma_width(width),
            _ => self.chroma_width(width),
        };
        samples * self.sample_bytes()
    }

    /// Rows of plane `plane` of a picture `height` high. Chroma rounds up.
    pub const fn rows(self, plane: usize, height: usize) -> usize {
        if plane == 0 { height } else { self.chroma_height(height) }
    }

    /// Chroma samples a row.
    pub const fn chroma_width(self, width: usize) -> usize {
        width.div_ceil(1 << self.subsampling().0)
    }

    /// Chroma rows.
    pub const fn chroma_height(self, height: usize) -> usize {
        height.div_ceil(1 << self.subsampling().1)
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the colours of a packed pixel lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedRgb {
    /// Byte offsets of red, green and blue.
    pub order: [usize; 3],
    /// Bytes a pixel: 3 or 4; the fourth byte is alpha or unused.
    pub size: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_unique() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_name(format.name()), Some(format));
        }
        assert_eq!(PixelFormat::from_name("YUY2"), None);
    }

    #[test]
    fn chroma_of_odd_sizes_rounds_up() {
        assert_eq!(PixelFormat::I420.row_bytes(1, 33), 17);
        assert_eq!(PixelFormat::Nv12.row_bytes(1, 33), 34);
        assert_eq!(PixelFormat::P010Le.row_bytes(1, 33), 68);
        assert_eq!(PixelFormat::Y42b.rows(2, 17), 17);
        assert_eq!(PixelFormat::I420_10Le.rows(2, 17), 9);
        assert_eq!(PixelFormat::Bgrx.row_bytes(0, 5), 20);
    }
}
