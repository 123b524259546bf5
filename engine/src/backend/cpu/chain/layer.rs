//! A layer's weights as the Winograd convolution reads them.

use std::ops::Range;

use bytemuck::Zeroable;

use super::numbers::Number;
use super::winograd::{PLACES, SIDE};
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::simd::MAX_LANES;
use crate::network::{Conv, IntegerConv, LIMIT, TIMES, WEIGHT};

/// G, 24 times, and its last row a quarter of the usual: so the numbers are integers, and none is much larger than others.
const G: [[i32; 3]; SIDE] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];
/// 24 times 24.
const _: () = assert!(TIMES == 24 * 24);
/// Transformed weights are up to (4 + 4 + 4)^2 times as large, and pixels up to 68 times: both fit 16 bits.
const _: () = assert!(144 * WEIGHT as i32 <= i16::MAX as i32 && 68 * LIMIT as i32 <= i16::MAX as i32);
/// The place of M that every pixel of a tile has once.
pub const BIAS_PLACE: usize = SIDE + 1;

/// A layer, its weights transformed.
pub struct Layer<N: Number> {
    /// `[SIDE][outputs / group][SIDE][cin / PAIR][group][PAIR]`.
    pub weights: Buffer<N>,
    /// `[outputs]`, and as many zeros.
    start: Vec<N::Sum>,
    /// What makes floats of the sums of each output; f32 needs none.
    pub factor: Vec<f32>,
    /// Channels in, those that fill up vectors included.
    pub cin: usize,
    /// Channels out, those that fill up groups included.
    pub outputs: usize,
    /// Channels out that are computed together.
    pub group: usize,
    /// Tiles that a vector holds: of four outputs, see `quads`, several, and each output stands for all of them; else one.
    pub quad: usize,
}

/// Output channels that are computed together on vectors of `lanes`, where a layer has `cout`: as many as the registers
/// hold the sums of.
fn group(cout: usize, lanes: usize) -> usize {
    let (vectors, most) = (cout.next_multiple_of(MAX_LANES) / lanes, if lanes > 8 { 3 } else { 2 });
    lanes * if vectors <= most { vectors } else { 2 }
}

/// Channels with those that fill up groups.
pub fn padded(channels: usize, lanes: usize) -> usize {
    channels.next_multiple_of(group(channels, lanes))
}

impl<N: Number> Layer<N> {
    fn new(cin: usize, cout: usize, lanes: usize, quad: usize) -> Self {
        let (cin, group) = (padded(cin, lanes), if quad > 1 { lanes } else { group(cout, lanes) });
        let outputs = (cout * quad).next_multiple_of(group);
        Self {
            weights: Buffer::zeros(outputs * PLACES * cin),
            start: vec![N::Sum::zeroed(); 2 * outputs],
            factor: vec![0.0; outputs],
            cin,
            outputs,
            group,
            quad,
        }
    }

    /// Where the sums of a place begin.
    pub fn start(&self, place: usize) -> &[N::Sum] {
        if place == BIAS_PLACE { &self.start } else { &self.start[self.outputs..] }
    }

    /// The numbers of an output.
    fn outputs_of(&self, o: usize) -> Range<usize> {
        o * self.quad..(o + 1) * self.quad
    }

    /// Puts the weights of all places for input channel `c` and output `o`.
    fn put(&mut self, o: usize, c: usize, values: [N; PLACES]) {
        let (cin, group, pair) = (self.cin, self.group, N::PAIR);
        for (place, value) in values.into_iter().enumerate() {
            let (row, column) = (place / SIDE, place % SIDE);
            let matrix = (row * self.outputs / group + o * self.quad / group) * SIDE + column;
            for o in self.outputs_of(o) {
                let at = ((matrix * cin / pair + c / pair) * group + o % group) * pair + c % pair;
                self.weights.as_mut_slice()[at] = value;
            }
        }
    }
}

impl Layer<f32> {
    /// Of a 3x3 convolution, for vectors of that many floats that hold `quad` tiles.
    pub fn floats(conv: &Conv, lanes: usize, quad: usize) -> Self {
        let mut layer = Self::new(conv.cin, conv.cout, lanes, quad);
        for (i, kernel) in conv.weight.as_chunks::<9>().0.iter().enumerate() {
            let values = transform(kernel.map(f64::from)).map(|v| (v / f64::from(TIMES)) as f32);
            layer.put(i / conv.cin, i % conv.cin, values);
        }
        for (o, &bias) in conv.bias.iter().enumerate() {
            let outputs = layer.outputs_of(o);
            layer.start[outputs].fill(bias);
        }
        layer
    }
}

impl Layer<i16> {
    /// Of a convolution of integers; its sums are [`TIMES`] as large.
    pub fn integers(conv: &IntegerConv, lanes: usize, quad: usize) -> Self {
        let mut layer = Self::new(conv.cin, conv.cout, lanes, quad);
        for (i, kernel) in conv.weight.as_chunks::<9>().0.iter().enumerate() {
            layer.put(i / conv.cin, i % conv.cin, transform(kernel.map(f64::from)).map(|v| v as i16));
        }
        for o in 0..conv.cout {
            let outputs = layer.outputs_of(o);
            layer.start[outputs.clone()].fill(conv.bias[o] * TIMES);
            layer.factor[outputs].fill(conv.factor[o] / TIMES as f32);
        }
        layer
    }
}

/// U of one kernel, [`TIMES`] as large; exact for integers.
fn transform(kernel: [f64; 9]) -> [f64; PLACES] {
    std::array::from_fn(|i| {
        let (a, b) = (G[i / SIDE], G[i % SIDE]);
        (0..9).map(|k| f64::from(a[k / 3] * b[k % 3]) * kernel[k]).sum()
    })
}
