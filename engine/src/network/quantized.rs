//! Luma networks in integers.
//!
//! A layer's results are integers from 0 to [`LIMIT`], whose steps, one for each channel, were found on pictures; its
//! weights are integers up to [`WEIGHT`], with a step for each output channel, too. Sums are exact. These bounds are
//! what a Winograd convolution of tiles of 4x4 pixels can take in 16 bits without losing a bit: its transformed pixels are
//! up to 68 times, its transformed weights up to 144 times as large, and its results 576 times.

use super::{Conv, Layers, Network, Weights};
use crate::Error;

/// The largest value that a layer's results have: 68 times as much still fits 16 bits.
pub(crate) const LIMIT: u16 = 480;
/// The largest weight: 144 times as much still fits 16 bits.
pub(crate) const WEIGHT: i16 = 227;
/// How many times too large the results of a Winograd convolution in integers are.
pub(crate) const TIMES: i32 = 576;
/// The largest sum that fits 32 bits that many times.
const LARGEST_SUM: f64 = (i32::MAX / TIMES - 1) as f64;

/// A luma network in integers.
#[derive(Clone, Debug)]
pub(crate) struct Quantized {
    /// The first layer, in f32: its results are to be held between 0 and [`LIMIT`] and rounded, ties to even.
    pub head: Conv,
    /// The layers between, with ReLU.
    pub body: Vec<IntegerConv>,
    /// The last layer.
    pub tail: IntegerConv,
    /// What the first layer's results, by channel, are to be multiplied by and then added to the body's last, in f32 before
    /// that is rounded.
    pub skip: Option<Vec<f32>>,
}

/// A 3x3 convolution of integers.
#[derive(Clone, Debug)]
pub(crate) struct IntegerConv {
    pub cin: usize,
    pub cout: usize,
    /// `[cout][cin][3][3]`.
    pub weight: Vec<i16>,
    pub bias: Vec<i32>,
    /// What [`TIMES`] the sum of each output channel is to be multiplied by, in f32.
    pub factor: Vec<f32>,
}

/// What is wrong with a file whose `activations` cannot be used.
const ACTIVATIONS: &str = "its metadata 'activations' are not a positive number for each channel of each layer but the last; \
                           measure them again with training/calibrate.py";
/// The most dB of Y-PSNR that integers may lose where they are taken unasked.
const LOSS: f32 = 0.05;

impl Network {
    /// What a weights file says of the integer form: `activations`, by channels parted by commas and layers parted by
    /// semicolons, and `int8_loss`.
    pub(super) fn read_integers(&mut self, weights: &Weights) -> Result<(), Error> {
        if let Some(text) = weights.field("activations") {
            let wrong = || weights.error(ACTIVATIONS.into());
            let layer = |layer: &str| layer.split(',').map(|v| v.parse().ok()).collect::<Option<Vec<f32>>>();
            let layers = text.split(';').map(layer).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
            let Some(Layers { head, body, .. }) = self.luma() else { return Err(wrong()) };
            let fits = layers.len() == body.len() + 1
                && layers
                    .iter()
                    .all(|layer| layer.len() == head.cout && layer.iter().all(|v| v.is_normal() && *v > 0.0));
            if !fits {
                return Err(wrong());
            }
            self.activations = layers;
        }
        if let Some(text) = weights.field("int8_loss") {
            let loss =
                text.parse().map_err(|_| weights.error(format!("its int8_loss is '{text}', it must be a number")))?;
            self.integer_loss = Some(loss);
        }
        Ok(())
    }

    /// Whether its integer form was measured to lose no more than 0.05 dB of Y-PSNR on Set5 and Set14.
    pub(crate) fn integers_are_as_good(&self) -> bool {
        !self.activations.is_empty() && self.integer_loss.is_some_and(|loss| loss <= LOSS)
    }

    /// The network in integers; None where it is no luma network, or the largest values of its layers are not known.
    pub(crate) fn quantized(&self) -> Option<Quantized> {
        let Layers { head, body, tail, skip } = self.luma()?;
        let steps = |largest: &Vec<f32>| largest.iter().map(|v| f64::from(*v) / f64::from(LIMIT)).collect();
        let steps: Vec<Vec<f64>> = self.activations.iter().map(steps).collect();
        let [first, .., last] = steps.as_slice() else { return None };
        let body = body.into_iter().zip(steps.windows(2));
        Some(Quantized {
            head: in_steps(head, first),
            body: body.map(|(conv, steps)| IntegerConv::new(conv, &steps[0], &steps[1])).collect(),
            tail: IntegerConv::new(tail, last, &vec![1.0; tail.cout]),
            skip: skip.then(|| first.iter().zip(last).map(|(first, last)| (first / last) as f32).collect()),
        })
    }
}

/// A convolution whose results are counted in steps.
fn in_steps(conv: &Conv, steps: &[f64]) -> Conv {
    let taps = conv.weight.len() / conv.cout;
    let count = |(i, v): (usize, &f32)| (f64::from(*v) / steps[i]) as f32;
    let weight = conv.weight.iter().enumerate().map(|(i, v)| count((i / taps, v))).collect();
    Conv { weight, bias: conv.bias.iter().enumerate().map(count).collect(), ..conv.clone() }
}

impl IntegerConv {
    /// Of a convolution, with the steps of what goes in and of what comes out.
    fn new(conv: &Conv, before: &[f64], after: &[f64]) -> Self {
        let taps = conv.kernel * conv.kernel;
        let mut integers = Self {
            cin: conv.cin,
            cout: conv.cout,
            weight: Vec::with_capacity(conv.weight.len()),
            bias: Vec::with_capacity(conv.cout),
            factor: Vec::with_capacity(conv.cout),
        };
        for (o, kernel) in conv.weight.chunks_exact(conv.cin * taps).enumerate() {
            let kernel: Vec<_> = kernel.iter().enumerate().map(|(i, w)| f64::from(*w) * before[i / taps]).collect();
            let bias = f64::from(conv.bias[o]);
            let step = weight_step(&kernel, bias);
            integers.weight.extend(kernel.iter().map(|w| (w / step).round_ties_even() as i16));
            integers.bias.push((bias / step).round_ties_even() as i32);
            integers.factor.push((step / after[o] / f64::from(TIMES)) as f32);
        }
        integers
    }
}

/// The smallest step of an output channel's weights with which they, and its largest sum, fit.
fn weight_step(kernel: &[f64], bias: f64) -> f64 {
    let sum = |sign: f64| kernel.iter().map(|w| (w * sign).max(0.0)).sum::<f64>();
    let largest = kernel.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
    // Rounding may add half a step for each weight.
    let rounding = f64::from(LIMIT) * kernel.len() as f64 / 2.0 + 1.0;
    let most = f64::from(LIMIT) * sum(1.0).max(sum(-1.0)) + bias.abs();
    (largest / f64::from(WEIGHT)).max(most / (LARGEST_SUM - rounding)).max(f64::from(f32::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    #[test]
    fn weights_and_sums_fit() {
        for (cin, value, bias) in [(1, 1e-3, 0.0), (48, 3.0, 5.0), (16, -2.0, -1e4), (4, 0.0, 0.0), (4, 0.0, -7.0)] {
            let weight = (0..cin * 9).map(|i| if i % 7 == 3 { -value } else { value }).collect();
            let conv = Conv { cin, cout: 1, kernel: 3, weight, bias: vec![bias], activation: Activation::Relu };
            let integers = IntegerConv::new(&conv, &vec![1e-3; cin], &[2e-3]);
            assert!(integers.weight.iter().all(|w| w.abs() <= WEIGHT));
            let side = |sign: i64| integers.weight.iter().map(|w| (i64::from(*w) * sign).max(0)).sum::<i64>();
            let most = i64::from(LIMIT) * side(1).max(side(-1)) + i64::from(integers.bias[0].abs());
            assert!(most * i64::from(TIMES) <= i64::from(i32::MAX), "{cin} {value}: {most}");
        }
    }

    #[test]
    fn a_network_needs_the_largest_values_of_its_layers() {
        let luma = crate::network::Luma { width: 8, depth: 2, head_skip: true };
        let mut network = Network::random(crate::network::Preset::Luma(luma), 2, 1);
        assert!(network.quantized().is_none());
        network.activations = vec![vec![1.0; 8], vec![2.0; 8], vec![4.0; 8]];
        let quantized = network.quantized().unwrap();
        assert_eq!((quantized.body.len(), quantized.skip), (2, Some(vec![0.25; 8])));
        let [first, ..] = network.luma().unwrap().head.weight[..] else { panic!("a kernel has nine weights") };
        assert_eq!(quantized.head.weight[0], first * 480.0);
    }
}
