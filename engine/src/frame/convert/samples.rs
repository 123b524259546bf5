//! Rows of bytes to rows of f32 and back.

use super::super::PixelFormat;
use super::super::simd::{Isa, fused, multiversion};

/// How the samples of one component lie in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Two bytes a sample instead of one.
    pub wide: bool,
    /// How far a code is shifted up within its bytes.
    pub shift: u32,
    /// Samples of a group: 1 planar, 2 semi-planar chroma, 3 or 4 packed RGB.
    pub group: usize,
    /// The largest code.
    pub max: f32,
}

impl Layout {
    /// The layout of plane `plane` of a format.
    pub(super) fn new(format: PixelFormat, plane: usize) -> Self {
        let group = match format.packed_rgb() {
            Some(packed) => packed.size,
            None if plane > 0 && format.is_semi_planar() => 2,
            None => 1,
        };
        Self { wide: format.sample_bytes() == 2, shift: format.shift(), group, max: format.max_code() as f32 }
    }
}

/// Reads component `part` of every group of a row as `code * gain`.
pub(super) fn read(isa: Isa, row: &[u8], layout: Layout, part: usize, gain: f32, out: &mut [f32]) {
    match (layout.wide, layout.group) {
        (false, 1) => read_bytes::<1>(isa, row, part, gain, out),
        (false, 2) => read_bytes::<2>(isa, row, part, gain, out),
        (false, 3) => read_bytes::<3>(isa, row, part, gain, out),
        (false, _) => read_bytes::<4>(isa, row, part, gain, out),
        (true, 1) => read_words::<2>(isa, row, part, layout.shift, gain, out),
        (true, _) => read_words::<4>(isa, row, part, layout.shift, gain, out),
    }
}

multiversion! {
    fn read_bytes<const G: usize>(row: &[u8], part: usize, gain: f32, out: &mut [f32]) {
        for (value, group) in out.iter_mut().zip(row.as_chunks::<G>().0) {
            *value = f32::from(group[part]) * gain;
        }
    }
}

multiversion! {
    /// `B` is the bytes of a group.
    fn read_words<const B: usize>(row: &[u8], part: usize, shift: u32, gain: f32, out: &mut [f32]) {
        for (value, group) in out.iter_mut().zip(row.as_chunks::<B>().0) {
            let word = u16::from_le_bytes([group[2 * part], group[2 * part + 1]]);
            *value = f32::from(word >> shift) * gain;
        }
    }
}

/// Writes `N` components as groups: `value * gain`, rounded to the nearest code, held within 0 and the largest code.
/// Where the group is larger than N, what is left of it is set to the largest code. Component n has gain `gains[n]` and
/// goes to place `order[n]`.
pub(super) fn write<const N: usize>(
    isa: Isa,
    values: [&[f32]; N],
    gains: [f32; N],
    layout: Layout,
    order: [usize; N],
    row: &mut [u8],
) {
    /// Codes that are quantised at a time, planar, before they are put in groups.
    const BLOCK: usize = 64;
    let bytes = if layout.wide { 2 } else { 1 };
    if N == 1 && layout.group == 1 {
        return if layout.wide {
            quantise_words(isa, values[0], gains[0], layout.max, layout.shift, row);
        } else {
            quantise_bytes(isa, values[0], gains[0], layout.max, row);
        };
    }
    let mut codes = [[0xff; 2 * BLOCK]; 4];
    for (block, groups) in row.chunks_mut(BLOCK * layout.group * bytes).enumerate() {
        let count = groups.len() / (layout.group * bytes);
        for ((values, gain), place) in values.iter().zip(gains).zip(order) {
            let values = &values[block * BLOCK..][..count];
            if layout.wide {
                quantise_words(isa, values, gain, layout.max, layout.shift, &mut codes[place]);
            } else {
                quantise_bytes(isa, values, gain, layout.max, &mut codes[place]);
            }
        }
        match (layout.wide, layout.group) {
            (false, 2) => interleave::<2>(isa, &codes, groups),
            (false, 3) => interleave::<3>(isa, &codes, groups),
            (false, _) => interleave::<4>(isa, &codes, groups),
            (true, _) => interleave_words(isa, &codes, groups),
        }
    }
}

/// The code nearest to a value; what is not a number becomes 0.
#[inline(always)]
fn code<const FMA: bool>(value: f32, gain: f32, max: f32) -> i32 {
    let value = fused::<FMA>(value, gain, 0.5);
    // Comparisons written so that each is one instruction and a value that is not a number ends at 0.
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < max + 0.5 { value } else { max };
    // SAFETY: the value is a number from 0 to 1023.5.
    unsafe { value.to_int_unchecked() }
}

multiversion! {
    fn quantise_bytes(values: &[f32], gain: f32, max: f32, row: &mut [u8]) {
        for (byte, &value) in row.iter_mut().zip(values) {
            *byte = code::<FMA>(value, gain, max) as u8;
        }
    }
}

multiversion! {
    fn quantise_words(values: &[f32], gain: f32, max: f32, shift: u32, row: &mut [u8]) {
        for (bytes, &value) in row.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            *bytes = ((code::<FMA>(value, gain, max) as u16) << shift).to_le_bytes();
        }
    }
}

multiversion! {
    fn interleave<const G: usize>(codes: &[[u8; 128]; 4], groups: &mut [u8]) {
        for (i, group) in groups.as_chunks_mut::<G>().0.iter_mut().enumerate().take(64) {
            for (byte, codes) in group.iter_mut().zip(codes) {
                *byte = codes[i];
            }
        }
    }
}

multiversion! {
    fn interleave_words(codes: &[[u8; 128]; 4], groups: &mut [u8]) {
        let (first, second) = (codes[0].as_chunks::<2>().0, codes[1].as_chunks::<2>().0);
        for ((group, a), b) in groups.as_chunks_mut::<4>().0.iter_mut().zip(first).zip(second) {
            *group = [a[0], a[1], b[0], b[1]];
        }
    }
}

multiversion! {
    /// True if every value is a finite number.
    pub(super) fn all_finite(values: &[f32]) -> bool {
        /// The bits of infinity; those of every finite number are less without the sign.
        const INFINITY: i32 = 0x7f80_0000;
        let largest = values.iter().fold(0, |largest: i32, v| largest.max((v.to_bits() & 0x7fff_ffff) as i32));
        largest < INFINITY
    }
}

multiversion! {
    /// Rows held within 0 and 1; what is not a number becomes 0.
    pub(super) fn clamped(rows: [&[f32]; 3], outs: [&mut [f32]; 3]) {
        for (row, out) in rows.into_iter().zip(outs) {
            for (out, &value) in out.iter_mut().zip(row) {
                let value = if value > 0.0 { value } else { 0.0 };
                *out = if value < 1.0 { value } else { 1.0 };
            }
        }
    }
}

multiversion! {
    /// Sums of three rows: `m[k][0] * x + m[k][1] * y + m[k][2] * z + m[k][3]`, held within the limits.
    pub(super) fn transform<const N: usize>(
        m: &[[f32; 4]; N],
        limits: (f32, f32),
        rows: [&[f32]; 3],
        outs: [&mut [f32]; N],
    ) {
        let n = outs[0].len();
        let [x, y, z] = rows.map(|row| &row[..n]);
        for (out, m) in outs.into_iter().zip(m) {
            let out = &mut out[..n];
            for i in 0..n {
                let sum = fused::<FMA>(m[0], x[i], fused::<FMA>(m[1], y[i], fused::<FMA>(m[2], z[i], m[3])));
                let sum = if sum > limits.0 { sum } else { limits.0 };
                out[i] = if sum < limits.1 { sum } else { limits.1 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISAS: [fn() -> Isa; 2] = [|| Isa::PORTABLE, Isa::detect];

    #[test]
    fn codes_round_to_nearest_and_stay_in_range() {
        let values = [-5.0, -0.4, 0.49, 0.51, 254.4, 254.6, 255.4, 300.0, 1e30, f32::NAN, f32::INFINITY];
        for isa in ISAS {
            let mut row = [7; 11];
            quantise_bytes(isa(), &values, 1.0, 255.0, &mut row);
            assert_eq!(row, [0, 0, 0, 1, 254, 255, 255, 255, 255, 0, 255]);
        }
    }

    #[test]
    fn finite_numbers_are_told_from_others_at_every_place() {
        for isa in ISAS {
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in 0..37 {
                    let mut values = [f32::MAX; 37];
                    assert!(all_finite(isa(), &values));
                    values[place] = bad;
                    assert!(!all_finite(isa(), &values), "{bad} at {place}");
                }
            }
        }
    }

    #[test]
    fn every_code_of_every_layout_survives_reading_and_writing() {
        for format in PixelFormat::ALL {
            let layout = Layout::new(format, format.planes() - 1);
            let count = format.max_code() as usize + 1;
            let bytes = count * layout.group * format.sample_bytes();
            for isa in ISAS {
                let codes: Vec<f32> = (0..count).map(|v| v as f32).collect();
                let reversed: Vec<f32> = codes.iter().rev().copied().collect();
                let mut row = vec![0; bytes];
                match layout.group {
                    1 => write(isa(), [&codes], [1.0], layout, [0], &mut row),
                    2 => write(isa(), [&codes, &reversed], [1.0; 2], layout, [0, 1], &mut row),
                    _ => write(isa(), [&codes, &reversed, &codes], [1.0; 3], layout, [0, 1, 2], &mut row),
                }
                for part in 0..layout.group {
                    let mut back = vec![0.0; count];
                    read(isa(), &row, layout, part, 1.0, &mut back);
                    let expected = match part {
                        1 => &reversed,
                        3 => &vec![255.0; count],
                        _ => &codes,
                    };
                    assert_eq!(&back, expected, "{format} part {part}");
                }
            }
        }
    }
}
