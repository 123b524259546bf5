//! The two ends of a chain: one plane to the channels of its first layer, and channels to the pixels of the picture.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::layer::padded;
use super::numbers::Arithmetic;
use super::winograd::{SLACK, TILE};
use crate::backend::cpu::simd::Integers;
use crate::network::Conv;

/// Taps of a kernel.
const TAPS: usize = 9;
/// Vectors of outputs that are computed together, each for the four pixels of a tile: eight sums.
const PAIR: usize = 2;

/// A 3x3 convolution of one plane with ReLU.
pub struct Head {
    /// `[TAPS][outputs]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Head {
    /// Of a convolution with one channel in, for vectors of that many floats.
    pub fn new(conv: &Conv, lanes: usize) -> Self {
        assert!(conv.cin == 1 && conv.kernel == 3, "a chain begins with a plane");
        let outputs = padded(conv.cout, lanes);
        let mut weights = vec![0.0; TAPS * outputs];
        for (o, kernel) in conv.weight.as_chunks::<TAPS>().0.iter().enumerate() {
            for (tap, &weight) in kernel.iter().enumerate() {
                weights[tap * outputs + o] = weight;
            }
        }
        let mut bias = conv.bias.clone();
        bias.resize(outputs, 0.0);
        Self { weights, bias }
    }

    /// Channels out, those that fill up vectors included.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// A row: `tiles` tiles from the three rows around it, which begin one pixel to the left. `out` begins at the slot of the
/// first tile; pixels of a tile are `phase` apart, see `winograd`.
#[inline(always)]
pub fn head<S: Integers, N: Arithmetic<S>>(
    s: S,
    head: &Head,
    pixels: [&[f32]; 3],
    tiles: usize,
    out: &mut [N],
    phase: usize,
) {
    let outputs = head.outputs();
    // The last pair of vectors may be half of a tile more.
    assert!(pixels.iter().all(|row| row.len() >= (tiles + 1) * TILE + 2), "the rows hold a tile more");
    assert!(out.len() >= (TILE - 1) * phase + (tiles + 1) * outputs + SLACK, "the result fits its row");
    let vectors = outputs / S::LANES;
    for v in (0..tiles * vectors).step_by(PAIR) {
        let (mut tile, mut output) = ([0; PAIR], [0; PAIR]);
        for i in 0..PAIR {
            (tile[i], output[i]) = ((v + i) / vectors, (v + i) % vectors * S::LANES);
        }
        // SAFETY: rows and result are long enough, as checked above; there are weights and a bias for every output.
        unsafe {
            let mut sums = [[s.splat(0.0); PAIR]; TILE];
            for i in 0..PAIR {
                let bias = s.load(head.bias.as_ptr().add(output[i]));
                for x in 0..TILE {
                    sums[x][i] = bias;
                }
            }
            for tap in 0..TAPS {
                for i in 0..PAIR {
                    let weight = s.load(head.weights.as_ptr().add(tap * outputs + output[i]));
                    let row = pixels[tap / 3].as_ptr().add(tile[i] * TILE + tap % 3);
                    for x in 0..TILE {
                        sums[x][i] = N::head_fma(s, s.splat(*row.add(x)), weight, sums[x][i]);
                    }
                }
            }
            for x in 0..TILE {
                let to = (x + 1) % TILE * phase + (x + 1) / TILE * outputs + v * S::LANES;
                for i in (0..PAIR).step_by(N::SUMS) {
                    let held = N::head_hold(s, [sums[x][i], sums[x][i + N::SUMS - 1]]);
                    N::store(s, out.as_mut_ptr().add(to + i * S::LANES), held);
                }
            }
        }
    }
}

/// Row `i` of those that a row of `[pixels][outputs]` stands for, and to each pixel the one of the input added in which it
/// lies.
pub fn shuffle(scale: usize, i: usize, values: &[f32], outputs: usize, input: &[f32], row: &mut [f32]) {
    match scale {
        2 => shuffle_by::<2>(i, values, outputs, input, row),
        3 => shuffle_by::<3>(i, values, outputs, input, row),
        _ => shuffle_by::<4>(i, values, outputs, input, row),
    }
}

#[inline(always)]
fn shuffle_by<const S: usize>(i: usize, values: &[f32], outputs: usize, input: &[f32], row: &mut [f32]) {
    for ((pixels, values), input) in row.as_chunks_mut::<S>().0.iter_mut().zip(values.chunks_exact(outputs)).zip(input)
    {
        for j in 0..S {
            pixels[j] = values[i * S + j] + input;
        }
    }
}

/// The sum by 2, of a row that is in order already.
pub fn add_nearest(row: &mut [f32], input: &[f32]) {
    for (pixels, input) in row.as_chunks_mut::<2>().0.iter_mut().zip(input) {
        *pixels = [pixels[0] + input, pixels[1] + input];
    }
}
