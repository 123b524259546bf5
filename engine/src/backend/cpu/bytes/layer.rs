//! A layer's weights as the kernels read them.

use super::QUAD;
use super::blocks::TileWeights;
use crate::network::{Conv, IntegerConv};

/// Taps of a kernel.
pub const TAPS: usize = 9;
/// Outputs of a body layer, and of the first, that are computed together.
pub const BODY: usize = 8;
/// Outputs of the last layer that are computed together.
pub const TAIL: usize = 4;

/// Sums are added to the bits of this number, whose lowest one counts 1: so they become floats by themselves, this much too
/// large. They stay below 2^22.
pub const FAR: f32 = 1.5 * (1 << 23) as f32;

/// Channels of a layer's result with those that fill up groups, of tiles, too.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(2 * BODY)
}

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
        Self::new(conv, (BODY, padded(conv.cout)), tiles)
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
            tiles: tiles.then(|| TileWeights::new(conv, padded(conv.cin))),
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

/// A 3x3 convolution of one plane of f32.
pub struct Head {
    /// `[outputs / BODY][TAPS][BODY]`.
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Head {
    /// Of a convolution with one channel in.
    pub fn new(conv: &Conv) -> Self {
        assert!(conv.cin == 1 && conv.kernel == 3, "it begins with a plane");
        let outputs = padded(conv.cout);
        let mut weights = vec![0.0; outputs * TAPS];
        for (o, kernel) in conv.weight.as_chunks::<TAPS>().0.iter().enumerate() {
            for (tap, &weight) in kernel.iter().enumerate() {
                weights[(o / BODY * TAPS + tap) * BODY + o % BODY] = weight;
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
}
