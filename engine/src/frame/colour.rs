//! What the codes of a picture mean: matrix, range, and where its chroma samples sit.

/// The coefficients that tie Y, U, V to R, G, B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601 (also SMPTE 170M, BT.470BG).
    #[default]
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

impl Matrix {
    /// The weights of red and blue in Y; green has the rest.
    pub const fn kr_kb(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Which codes are black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Range {
    /// At 8 bits: Y 16..235, U and V 16..240; at 10 bits four times that.
    #[default]
    Limited,
    /// From 0 to the largest code.
    Full,
}

/// Where a subsampled chroma sample sits along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// On the first of the luma samples that it covers.
    Cosited,
    /// In the middle between them.
    Centered,
}

/// Where chroma samples sit; says nothing where an axis is not subsampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Siting {
    /// Along the row.
    pub horizontal: Site,
    /// Along the column.
    pub vertical: Site,
}

impl Siting {
    /// MPEG-2, H.264 and HEVC by default: on the left luma sample, between the rows.
    pub const LEFT: Self = Self { horizontal: Site::Cosited, vertical: Site::Centered };
    /// JPEG and MPEG-1: in the middle of the luma samples.
    pub const CENTER: Self = Self { horizontal: Site::Centered, vertical: Site::Centered };
    /// BT.2020 and UHD: on the top left luma sample.
    pub const TOP_LEFT: Self = Self { horizontal: Site::Cosited, vertical: Site::Cosited };
    /// On the top row, between the columns.
    pub const TOP: Self = Self { horizontal: Site::Centered, vertical: Site::Cosited };
}

impl Default for Siting {
    /// [`Siting::LEFT`], what video means where it says nothing.
    fn default() -> Self {
        Self::LEFT
    }
}

/// What the codes of a YUV or grey picture mean. RGB is always full range and ignores all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Matrix between YUV and RGB.
    pub matrix: Matrix,
    /// Codes of black and white.
    pub range: Range,
    /// Place of the chroma samples.
    pub siting: Siting,
}

/// Three sums `m[0] * x + m[1] * y + m[2] * z + m[3]`: a matrix and offsets in one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [[f64; 4]; 3]);

impl Affine {
    /// The three sums.
    pub fn apply(&self, v: [f64; 3]) -> [f64; 3] {
        self.0.map(|m| m[0] * v[0] + m[1] * v[1] + m[2] * v[2] + m[3])
    }
}

impl Colour {
    /// Code of black, codes from black to white, the middle code of U and V, and the codes that span them.
    fn codes(&self, bits: u32) -> [f64; 4] {
        let unit = f64::from(1u32 << (bits - 8));
        let middle = 128.0 * unit;
        let largest = 256.0 * unit - 1.0;
        match self.range {
            Range::Limited => [16.0 * unit, 219.0 * unit, middle, 224.0 * unit],
            Range::Full => [0.0, largest, middle, largest],
        }
    }

    /// From codes of Y, U, V at that number of bits (8 or more) to R, G, B in which 0 is black and 1 is white.
    pub fn yuv_to_rgb(&self, bits: u32) -> Affine {
        let (kr, kb) = self.matrix.kr_kb();
        let kg = 1.0 - kr - kb;
        let [black, white, middle, span] = self.codes(bits);
        let row = |u: f64, v: f64| {
            let (y, u, v) = (1.0 / white, u / span, v / span);
            [y, u, v, -(y * black + (u + v) * middle)]
        };
        let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
        Affine([row(0.0, red), row(-blue * kb / kg, -red * kr / kg), row(blue, 0.0)])
    }

    /// The inverse of [`Colour::yuv_to_rgb`].
    pub fn rgb_to_yuv(&self, bits: u32) -> Affine {
        let (kr, kb) = self.matrix.kr_kb();
        let kg = 1.0 - kr - kb;
        let [black, white, middle, span] = self.codes(bits);
        let (red, blue) = (span / (2.0 * (1.0 - kr)), span / (2.0 * (1.0 - kb)));
        Affine([
            [kr * white, kg * white, kb * white, black],
            [-kr * blue, -kg * blue, (1.0 - kb) * blue, middle],
            [(1.0 - kr) * red, -kg * red, -kb * red, middle],
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_have_the_codes_of_the_standards() {
        let codes = |matrix, range, bits, rgb| {
            let colour = Colour { matrix, range, siting: Siting::LEFT };
            colour.rgb_to_yuv(bits).apply(rgb).map(|v| v.round() as i32)
        };
        // BT.471 and BT.1729: the 100 % bars.
        assert_eq!(codes(Matrix::Bt601, Range::Limited, 8, [1.0, 0.0, 0.0]), [81, 90, 240]);
        assert_eq!(codes(Matrix::Bt709, Range::Limited, 8, [1.0, 0.0, 0.0]), [63, 102, 240]);
        assert_eq!(codes(Matrix::Bt709, Range::Limited, 10, [0.0, 0.0, 1.0]), [127, 960, 471]);
        assert_eq!(codes(Matrix::Bt601, Range::Full, 8, [1.0, 1.0, 1.0]), [255, 128, 128]);
        assert_eq!(codes(Matrix::Bt2020, Range::Limited, 10, [1.0, 1.0, 1.0]), [940, 512, 512]);
    }

    #[test]
    fn the_two_directions_are_inverse() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
            for range in [Range::Limited, Range::Full] {
                let colour = Colour { matrix, range, siting: Siting::LEFT };
                for rgb in [[0.0, 0.0, 0.0], [1.0, 0.25, 0.5], [0.1, 0.9, 0.3]] {
                    let back = colour.yuv_to_rgb(10).apply(colour.rgb_to_yuv(10).apply(rgb));
                    assert!(rgb.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-12), "{rgb:?} {back:?}");
                }
            }
        }
    }
}
