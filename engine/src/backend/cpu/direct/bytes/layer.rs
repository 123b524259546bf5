//! A layer's weights as the kernels read them.

use super::kernels::QUAD;
use crate::backend::cpu::direct::head::TOGETHER;
use crate::backend::cpu::direct::products::TileWeights;
use crate::backend::cpu::direct::{TAPS, padded};
use crate::network::IntegerConv;

/// Outputs of the last layer that are computed together.
pub const TAIL: usize = 4;

/// Sums are added to the bits of this number, whose lowest one counts 1: so they become floats by themselves, this much too
/// large. They stay below 2^22.
pub const FAR: f32 = 1.5 * (1 << 23) as f32;

/// A 3x3 convolution of bytes.
pub struct Layer {
    /// `[outputs / group][inputs][TAPS][group]`, each four bytes for four channels in.
    pub weights: Vec<i32>,
    /// Where the sum of each output begins, from [`FAR`] on.
    pub bias: Vec<i32>,
    /// What makes steps of the sum of each output.
    pub factor: Vec<f32>,
    /// What makes [`FAR`] again of that product's: a whole number in layers with ReLU, see `network::quantized`.
    pub rest: Vec<f32>,
    /// Groups of four channels in.
    pub inputs: usize,
    /// Channels out, those that fill up groups included.
    pub outputs: usize,
    /// The weights once more, where tiles are multiplied.
    tiles: Option<TileWeights>,
}

impl Layer {
    /// A layer in the middle.
    pub fn body(conv: &IntegerConv, tiles: bool) -> Self {
        Self::new(conv, (TOGETHER, padded(conv.cout)), tiles)
    }

    /// The last layer.
    pub fn tail(conv: &IntegerConv, tiles: bool) -> Self {
        Self::new(conv, (TAIL, conv.cout.next_multiple_of(TAIL)), tiles)
    }

    fn new(conv: &IntegerConv, (group, outputs): (usize, usize), tiles: bool) -> Self {
        let inputs = padded(conv.cin) / QUAD;
        let mut bytes = vec![[0_u8; QUAD]; outputs * inputs * TAPS];
        for (i, kernel) in conv.weight.as_chunks::<TAPS>().0.iter().enumerate() {
            let (o, c) = (i / conv.cin, i % conv.cin);
            for (tap, weight) in kernel.iter().enumerate() {
                let place = (o / group * inputs + c / QUAD) * TAPS + tap;
                bytes[place * group + o % group][c % QUAD] = weight.cast_unsigned();
            }
        }
        let (mut bias, mut factor) = (conv.bias.clone(), conv.factor.clone());
        bias.resize(outputs, 0);
        factor.resize(outputs, 0.0);
        Self {
            weights: bytes.into_iter().map(i32::from_le_bytes).collect(),
            bias: bias.into_iter().map(|bias| bias + FAR.to_bits().cast_signed()).collect(),
            rest: factor.iter().map(|factor| FAR - factor * FAR).collect(),
            factor,
            inputs,
            outputs,
            tiles: tiles.then(|| TileWeights::new(&conv.weight, (conv.cout, conv.cin), padded(conv.cin))),
        }
    }

    /// The weights in tiles.
    ///
    /// # Panics
    /// If the layer was made without.
    pub fn tiles(&self) -> &TileWeights {
        self.tiles.as_ref().expect("a layer that tiles compute was made for them")
    }
}
