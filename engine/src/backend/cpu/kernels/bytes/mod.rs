//! 1x1 convolution in bytes, sums exact: by the dot product of four (VNNI), with four times the multiply-adds of f32.
//!
//! Every pixel has a step of its own, a 127th of its largest value of all channels, and so has every output's weights: nothing
//! has to be measured on pictures, nothing is ever cut off, and no pixel depends on others. Some pixels of all channels are
//! rounded, four channels of a pixel side by side, and stay in the first-level cache over all output channels
//! (`narrow`). Bound: with few outputs what goes before and after the multiply-adds.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "no other processor has such products here"))]

#[cfg(target_arch = "x86_64")]
mod vnni;

use std::ops::Range;

use super::conv::After;
use super::narrow::{OUTPUTS, WIDE, check};
use crate::backend::cpu::dispatch::{Isa, Level};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::MAX_LANES;
use crate::network::Conv;

/// Channels that lie side by side, those of one product.
const QUAD: usize = 4;
/// The largest value and the largest weight, in steps.
const MOST: f32 = 127.0;
/// What is added to values, so that they have no sign.
const MIDDLE: u8 = 128;
/// The least value that the largest of a pixel is taken for: its inverse, 127 times as large, is an f32.
const LEAST: f32 = 1e-30;
/// The most channels in: so many products are an f32 to the last digit, see `sums_are_exact`.
const MOST_CHANNELS: usize = 1024;

/// Weights in the order in which tiles read them.
#[derive(Clone, Debug)]
pub struct ByteConv {
    /// Channels in.
    pub cin: usize,
    /// Channels out.
    pub cout: usize,
    /// Four bytes with a sign each, filled up with zeros: `[cout / 8][cin / 4][8]`.
    weight: Vec<i32>,
    /// `[cout]`, filled up likewise, as is all that follows. What a sum begins with: it takes [`MIDDLE`] out of all values.
    start: Vec<i32>,
    /// The weights' steps.
    step: Vec<f32>,
    bias: Vec<f32>,
}

impl ByteConv {
    /// Rounds the weights of a block; None where a dot product would be of one channel only or of too many, the kernel is
    /// another, or a weight is not a number.
    pub fn new(p: &Conv) -> Option<Self> {
        let fits = p.kernel == 1 && (2..=MOST_CHANNELS).contains(&p.cin) && p.weight.iter().all(|w| w.is_finite());
        fits.then(|| Self::rounded(p))
    }

    fn rounded(p: &Conv) -> Self {
        let (quads, filled) = (p.cin.div_ceil(QUAD), p.cout.next_multiple_of(OUTPUTS));
        let mut bytes = vec![[0_u8; QUAD]; filled * quads];
        let (mut start, mut step, mut bias) = (vec![0; filled], vec![0.0; filled], p.bias.clone());
        bias.resize(filled, 0.0);
        for (o, kernel) in p.weight.chunks_exact(p.cin).enumerate() {
            step[o] = step_of(kernel);
            for (c, w) in kernel.iter().enumerate() {
                let weight = (w / step[o]).round_ties_even() as i8;
                start[o] -= i32::from(weight) * i32::from(MIDDLE);
                bytes[(o / OUTPUTS * quads + c / QUAD) * OUTPUTS + o % OUTPUTS][c % QUAD] = weight.cast_unsigned();
            }
        }
        let weight = bytes.into_iter().map(i32::from_le_bytes).collect();
        Self { cin: p.cin, cout: p.cout, weight, start, step, bias }
    }

    fn quads(&self) -> usize {
        self.cin.div_ceil(QUAD)
    }

    /// Values of scratch that the kernel needs.
    pub fn scratch(&self) -> usize {
        self.quads() * WIDE * MAX_LANES
    }
}

/// A 127th of the largest of some values.
fn step_of(values: &[f32]) -> f32 {
    values.iter().fold(LEAST, |most, v| most.max(v.abs())) / MOST
}

/// Pixels `range` of one row: lines `[cin]` in, `[cout]` out. Up to a vector beyond the range is overwritten. Of a pixel that
/// has a value which is not a number, no result is one.
///
/// # Panics
/// If lines, scratch or output do not fit, or the instruction set is none of [`Isa::bytes`].
pub fn conv(
    isa: Isa,
    (taps, range): (Taps<'_>, Range<usize>),
    p: &ByteConv,
    after: After<'_>,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    check((taps, &range), (p.cin, p.cout), after, (scratch, p.scratch()), out);
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: all sizes have been compared, and there is a proof of the instructions.
        Level::Avx512(proof) if proof.vnni() => unsafe {
            vnni::avx512(proof, (taps, range), p, after, scratch.as_mut_ptr(), out);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2(proof) if proof.vnni() => unsafe {
            vnni::avx2(proof, (taps, range), p, after, scratch.as_mut_ptr(), out);
        },
        _ => panic!("{} has no products of bytes", isa.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::line::{Buffer, Line, TapRoom};
    use crate::backend::cpu::tests::noise;
    use crate::network::Activation;

    fn dense(cin: usize, cout: usize) -> Conv {
        let weight = noise(cin * cout, 3);
        Conv { cin, cout, kernel: 1, weight, bias: noise(cout, 4), activation: Activation::None }
    }

    /// The convolution of one row on all that has such products: `[isa][cout][width]`.
    fn rows(conv: &Conv, x: &[f32], line: Line) -> Vec<Vec<f32>> {
        let zeros = vec![0.0; line.stride];
        let packed = ByteConv::new(conv).expect("it has a form in bytes");
        let on = |isa| {
            let mut taps = TapRoom::default();
            let mut table = taps.start(conv.cin, line, &zeros);
            table.row(0, 1, x);
            let mut out = vec![0.0; conv.cout * line.stride];
            let mut scratch = Buffer::zeros(packed.scratch());
            let after = After::from(Activation::None);
            super::conv(isa, (table.finish(), 0..line.width), &packed, after, scratch.as_mut_slice(), &mut out);
            (0..conv.cout).flat_map(|o| line.pixels(&out, o).to_vec()).collect()
        };
        Isa::all().into_iter().filter(|isa| isa.bytes()).map(on).collect()
    }

    /// A pixel's results, by the formulas alone.
    fn naive(conv: &Conv, pixel: &[f32]) -> Vec<f32> {
        let largest = pixel.iter().fold(LEAST, |most, v| most.max(v.abs()));
        let inverse = MOST / largest;
        let value = |v: &f32| v.mul_add(inverse, f32::from(MIDDLE)).round_ties_even() as i32 - i32::from(MIDDLE);
        let kernels = conv.weight.chunks_exact(conv.cin).zip(&conv.bias);
        let output = |(kernel, bias): (&[f32], &f32)| {
            let step = step_of(kernel);
            let weight = |w: &f32| (w / step).round_ties_even() as i32;
            let sum: i32 = kernel.iter().zip(pixel).map(|(w, v)| weight(w) * value(v)).sum();
            (sum as f32).mul_add(largest * (1.0 / MOST) * step, *bias)
        };
        kernels.map(output).collect()
    }

    #[test]
    fn every_bit_is_that_of_the_formulas() {
        let sizes = [(2, 1, 1), (3, 5, 17), (48, 112, 33), (33, 24, 95), (7, 9, 160), (432, 16, 32), (1024, 3, 48)];
        for (cin, cout, width) in sizes {
            let (conv, line) = (dense(cin, cout), Line::new(width, 1));
            let mut x = noise(cin * line.stride, 5);
            // Pixels of all sizes, and one without any value.
            for (c, i) in (0..cin).flat_map(|c| (0..width).map(move |i| (c, i))) {
                line.pixels_mut(&mut x, c)[i] *= [1.0, 1e-20, 1e20, 0.0, 1e-38, -3.0][i % 6];
            }
            for row in rows(&conv, &x, line) {
                for i in 0..width {
                    let pixel: Vec<f32> = (0..cin).map(|c| line.pixels(&x, c)[i]).collect();
                    let made: Vec<f32> = (0..cout).map(|o| row[o * width + i]).collect();
                    assert_eq!(made, naive(&conv, &pixel), "{cin} {cout} {width}: pixel {i}");
                }
            }
        }
    }

    #[test]
    fn sums_are_exact() {
        let most = MOST as usize * MOST as usize * MOST_CHANNELS;
        assert!(most < 1 << f32::MANTISSA_DIGITS);
        let conv = Conv { weight: vec![1.0; MOST_CHANNELS], bias: vec![0.0], ..dense(MOST_CHANNELS, 1) };
        let line = Line::new(20, 1);
        for row in rows(&conv, &vec![-1.0; MOST_CHANNELS * line.stride], line) {
            assert!(row.iter().all(|v| (v + MOST_CHANNELS as f32).abs() < 1e-3), "{row:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_none() {
        let (conv, line) = (dense(10, 9), Line::new(40, 1));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = noise(10 * line.stride, 5);
            line.pixels_mut(&mut x, 7)[21] = bad;
            for row in rows(&conv, &x, line) {
                for (i, v) in row.iter().enumerate() {
                    assert_eq!(v.is_finite(), i % 40 != 21, "{bad}: {v} at pixel {}", i % 40);
                }
            }
        }
    }

    #[test]
    fn only_dot_products_of_pixels_are_taken() {
        let kernel = |kernel: usize| Conv { kernel, weight: noise(4 * kernel * kernel, 1), ..dense(4, 1) };
        assert!(ByteConv::new(&kernel(3)).is_none() && ByteConv::new(&kernel(1)).is_some());
        assert!(ByteConv::new(&dense(1, 1)).is_none() && ByteConv::new(&dense(MOST_CHANNELS + 1, 1)).is_none());
        assert!(ByteConv::new(&Conv { weight: vec![f32::NAN; 4], ..dense(4, 1) }).is_none());
    }
}
