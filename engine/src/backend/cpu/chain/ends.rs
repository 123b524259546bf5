//! The two ends of a chain: one plane to the channels of its first layer, and channels to the pixels of the picture.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::winograd::TILE;
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::simd::Simd;
use crate::network::Conv;

/// Pixels that are computed together: with two vectors of outputs each, eight sums.
const RUN: usize = 4;
/// Taps of a kernel.
const TAPS: usize = 9;

/// A 3x3 convolution of one plane with ReLU.
pub struct Head {
    /// `[TAPS][outputs]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Of a convolution with one channel in and whole vectors out.
    pub fn new(conv: &Conv) -> Self {
        assert!(conv.cin == 1 && conv.kernel == 3, "a chain begins with a plane");
        let weights = (0..TAPS).flat_map(|tap| (0..conv.cout).map(move |o| conv.weight[o * TAPS + tap]));
        Self { weights: weights.collect(), bias: conv.bias.clone() }
    }

    /// Channels out.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

kernel! {
    /// `width` pixels of a row, from the three rows around it, which begin one pixel to the left and end as far to the
    /// right as whole runs need.
    pub fn head<S>(s, head: &Head, pixels: [&[f32]; 3], width: usize, out: &mut [f32]) {
        let outputs = head.outputs();
        assert!(pixels.iter().all(|row| row.len() >= width.next_multiple_of(RUN) + 2), "the rows hold whole runs");
        assert!(out.len() >= width * outputs && outputs.is_multiple_of(S::LANES), "the result fits its row");
        for first in (0..outputs).step_by(2 * S::LANES) {
            let rows = [pixels[0].as_ptr(), pixels[1].as_ptr(), pixels[2].as_ptr()];
            // SAFETY: rows and result are long enough, as checked above.
            unsafe {
                match (outputs - first) / S::LANES {
                    1 => head_group::<S, 1>(s, head, rows, width, first, out.as_mut_ptr()),
                    _ => head_group::<S, 2>(s, head, rows, width, first, out.as_mut_ptr()),
                }
            }
        }
    }
}

/// `N` vectors of outputs from `first` on.
///
/// # Safety
/// The rows hold whole runs, the result a row of pixels.
#[inline(always)]
unsafe fn head_group<S: Simd, const N: usize>(
    s: S,
    head: &Head,
    rows: [*const f32; 3],
    width: usize,
    first: usize,
    out: *mut f32,
) {
    let outputs = head.outputs();
    for x in (0..width).step_by(RUN) {
        let mut sums = [[s.splat(0.0); N]; RUN];
        for n in 0..N {
            // SAFETY: the bias has a value for every output.
            let bias = unsafe { s.load(head.bias.as_ptr().add(first + n * S::LANES)) };
            for i in 0..RUN {
                sums[i][n] = bias;
            }
        }
        for tap in 0..TAPS {
            let mut weights = [s.splat(0.0); N];
            for n in 0..N {
                // SAFETY: there is a weight for every tap and output.
                weights[n] = unsafe { s.load(head.weights.as_ptr().add(tap * outputs + first + n * S::LANES)) };
            }
            for i in 0..RUN {
                // SAFETY: the caller's promise.
                let pixel = s.splat(unsafe { *rows[tap / 3].add(x + i + tap % 3) });
                for n in 0..N {
                    sums[i][n] = s.fma(pixel, weights[n], sums[i][n]);
                }
            }
        }
        for i in 0..RUN.min(width - x) {
            for n in 0..N {
                let at = (x + i) * outputs + first + n * S::LANES;
                // SAFETY: the caller's promise.
                unsafe { s.store(out.add(at), s.max(s.splat(0.0), sums[i][n])) };
            }
        }
    }
}

/// Puts a row of `[pixels][outputs]`, the filled-up ones included, into the rows of the picture that it stands for, and adds the pixel of the input that
/// each lies in.
pub fn shuffle(scale: usize, outputs: usize, values: &[f32], input: &[f32], rows: [&mut [f32]; TILE]) {
    let [a, b, c, d] = rows;
    match (scale, outputs) {
        (2, 8) => shuffle_by::<2, 8>(values, input, [a, b]),
        (2, 16) => shuffle_by::<2, 16>(values, input, [a, b]),
        (3, 16) => shuffle_by::<3, 16>(values, input, [a, b, c]),
        (4, 16) => shuffle_by::<4, 16>(values, input, [a, b, c, d]),
        _ => unreachable!("a tail of {outputs} values for a scale of {scale}"),
    }
}

#[inline(always)]
fn shuffle_by<const S: usize, const OUTPUTS: usize>(values: &[f32], input: &[f32], rows: [&mut [f32]; S]) {
    let values = values.as_chunks::<OUTPUTS>().0;
    for (i, row) in rows.into_iter().enumerate() {
        for ((pixels, values), input) in row.as_chunks_mut::<S>().0.iter_mut().zip(values).zip(input) {
            for j in 0..S {
                pixels[j] = values[i * S + j] + input;
            }
        }
    }
}
