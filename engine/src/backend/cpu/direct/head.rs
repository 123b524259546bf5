//! The first layer: one plane of f32 to what the next layer looks at.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::{LANE, LANES, Number, padded};
use crate::network::Conv;

/// Taps of a kernel.
const TAPS: usize = 9;
/// Outputs that are computed together.
pub const TOGETHER: usize = 8;
/// The most vectors of pixels that are computed together: 24 sums, with what they are made of, fill the registers.
pub const WIDE: usize = 3;

/// A 3x3 convolution of one plane with ReLU.
pub struct Head {
    /// `[outputs / TOGETHER][TAPS][TOGETHER]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Of a convolution with one channel in.
    pub fn new(conv: &Conv) -> Self {
        assert!(conv.cin == 1 && conv.kernel == 3, "it begins with a plane");
        let outputs = padded(conv.cout);
        let mut weights = vec![0.0; outputs * TAPS];
        for (o, kernel) in conv.weight.as_chunks::<TAPS>().0.iter().enumerate() {
            for (tap, &weight) in kernel.iter().enumerate() {
                weights[(o / TOGETHER * TAPS + tap) * TOGETHER + o % TOGETHER] = weight;
            }
        }
        let mut bias = conv.bias.clone();
        bias.resize(outputs, 0.0);
        Self { weights, bias }
    }

    /// Channels out, those that fill up groups included.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Where to read and to write `count` pixels.
    ///
    /// # Panics
    /// If the rows do not hold them, with a pixel on either side, or the result does not fit.
    fn checked<N: Number>(
        &self,
        rows: [&[f32]; 3],
        count: usize,
        plane: usize,
        out: &mut [u8],
    ) -> ([*const f32; 3], *mut u8) {
        let needed = count.next_multiple_of(LANES);
        assert!(rows.iter().all(|row| row.len() >= needed + 2), "the rows hold the pixels");
        assert!(out.len() >= (self.outputs() / N::SIDE - 1) * plane + needed * LANE, "the result fits its row");
        (rows.map(<[f32]>::as_ptr), out.as_mut_ptr())
    }

    /// A row: `count` pixels from the three rows around it, which begin one pixel to the left.
    ///
    /// # Safety
    /// There is AVX-512 (F), and what `N` holds sums with.
    #[inline(always)]
    pub unsafe fn row<N: Number>(&self, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]) {
        let (rows, out) = self.checked::<N>(rows, count, plane, out);
        for (group, weights) in self.weights.as_chunks::<{ TAPS * TOGETHER }>().0.iter().enumerate() {
            let bias = &self.bias[group * TOGETHER..];
            // SAFETY: the caller's promise, and room as checked above.
            unsafe {
                let out = out.add(group * TOGETHER / N::SIDE * plane);
                blocks!(count, WIDE, x, [1 2 3], |V| {
                    let sums = sums::<V>(weights, bias, rows, x);
                    N::hold::<V>(&sums, plane, out.add(x * LANE));
                });
            }
        }
    }
}

/// # Safety
/// There is AVX-512; up to whole vectors, and two pixels more, can be read; there is a bias for every output.
#[inline(always)]
unsafe fn sums<const V: usize>(
    weights: &[f32; TAPS * TOGETHER],
    bias: &[f32],
    rows: [*const f32; 3],
    x: usize,
) -> [[__m512; V]; TOGETHER] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); V]; TOGETHER];
        for o in 0..TOGETHER {
            for v in 0..V {
                sums[o][v] = _mm512_set1_ps(bias[o]);
            }
        }
        for tap in 0..TAPS {
            let from = rows[tap / 3].add(x + tap % 3);
            let mut pixels = [_mm512_setzero_ps(); V];
            for v in 0..V {
                pixels[v] = _mm512_loadu_ps(from.add(v * LANES));
            }
            for o in 0..TOGETHER {
                let weight = _mm512_set1_ps(weights[tap * TOGETHER + o]);
                for v in 0..V {
                    sums[o][v] = _mm512_fmadd_ps(pixels[v], weight, sums[o][v]);
                }
            }
        }
        sums
    }
}
