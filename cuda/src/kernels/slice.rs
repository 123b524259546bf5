//! Weights in the order of the kernels that chain 1x1 convolutions in registers (`kernels/common/slice.cuh`), and what
//! those kernels share.

use half::f16;

use crate::{Buffer, Map};

/// Channels of a slice.
pub(super) const SLICE: usize = 16;

/// Lanes of a warp.
const LANES: usize = 32;

/// A convolution: `weight` is `[outputs][inputs of an output][rows][columns]`, with one bias an output. Of a layer
/// norm: factors and offsets.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Weights or factors.
    pub weight: &'a [f32],
    /// Biases or offsets.
    pub bias: &'a [f32],
}

impl Weights<'_> {
    /// # Panics
    /// If it has not so many outputs with so many weights each.
    pub(super) fn expect(&self, outputs: usize, weights: usize) {
        assert_eq!(self.bias.len(), outputs, "a bias an output");
        assert_eq!(self.weight.len(), outputs * weights, "{weights} weights for each of {outputs} outputs");
    }

    /// Fragments `[outputs / 16][inputs / 16][lane][8]` of a 1x1 convolution: of lane 4g + t inputs 4t to 4t + 3 of
    /// output `4 * (g / 2) + g % 2`, and of the output two further on.
    pub(super) fn fragments(&self, inputs: usize) -> Vec<f16> {
        let mut all = Vec::with_capacity(self.weight.len());
        for n in 0..self.bias.len() / SLICE {
            for k in 0..inputs / SLICE {
                for lane in 0..LANES {
                    let (g, t) = (lane / 4, lane % 4);
                    let output = n * SLICE + 4 * (g / 2) + g % 2;
                    for output in [output, output + 2] {
                        let first = output * inputs + k * SLICE + 4 * t;
                        all.extend(self.weight[first..first + 4].iter().map(|&v| f16::from_f32(v)));
                    }
                }
            }
        }
        all
    }

    /// `[taps][16]` of a slice of a depth-wise convolution.
    pub(super) fn taps(&self, slice: usize) -> Vec<f16> {
        let taps = self.weight.len() / self.bias.len();
        let place = |i: usize| (slice * SLICE + i % SLICE) * taps + i / SLICE;
        (0..taps * SLICE).map(|i| f16::from_f32(self.weight[place(i)])).collect()
    }

    /// The biases of a slice.
    pub(super) fn slice_bias(&self, slice: usize) -> impl Iterator<Item = f16> + '_ {
        self.bias[slice * SLICE..][..SLICE].iter().map(|&v| f16::from_f32(v))
    }
}

/// Whether two maps begin at the same place.
pub(super) fn is_same(a: &Map, b: &Map) -> bool {
    a.buffer.address() == b.buffer.address()
}

/// Words of a kernel's structure of arguments: addresses, null where there is no buffer, then numbers.
pub(super) fn argument_words(buffers: &[Option<&Buffer>], numbers: &[usize]) -> Vec<u32> {
    let addresses = buffers.iter().map(|buffer| buffer.map_or(0, Buffer::address));
    let mut words: Vec<u32> = addresses.flat_map(|a| [a as u32, (a >> 32) as u32]).collect();
    words.extend(numbers.iter().map(|&v| v as u32));
    words
}
