//! Luma networks in integers.
//!
//! A layer's results are integers from 0 to [`LIMIT`], whose step is the same for all channels and was found on pictures;
//! its weights are integers up to [`WEIGHT`], whose step is each output channel's own. Sums are exact. These bounds are
//! what a Winograd convolution of tiles of 4x4 pixels can take in 16 bits without losing a bit: its transformed pixels are
//! up to 68 times, its transformed weights up to 144 times as large, and its results 576 times.

use super::{Conv, Layers, Network};

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
    /// The first layer's result is added to the body's last, and the sum held at [`LIMIT`].
    pub skip: bool,
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

/// The most dB of Y-PSNR that integers may lose where they are taken unasked.
const LOSS: f32 = 0.05;

impl Network {
    /// Whether its integer form was measured to lose no more than 0.05 dB of Y-PSNR on Set5 and Set14.
    pub(crate) fn integers_are_as_good(&self) -> bool {
        !self.activations.is_empty() && self.integer_loss.is_some_and(|loss| loss <= LOSS)
    }

    /// The network in integers; None where it is no luma network, or the largest values of its layers are not known.
    pub(crate) fn quantized(&self) -> Option<Quantized> {
        let Layers { head, body, tail, skip } = self.luma()?;
        let [first, rest @ ..] = self.activations.as_slice() else { return None };
        // What is added to each other has one step.
        let last = *rest.last()?;
        let step = |largest: f32| f64::from(largest) / f64::from(LIMIT);
        let first_step = step(if skip { last } else { *first });
        let mut before = first_step;
        let mut integers = |conv, after| IntegerConv::new(conv, std::mem::replace(&mut before, after), after);
        let body: Vec<_> = body.into_iter().zip(rest).map(|(conv, &largest)| integers(conv, step(largest))).collect();
        let tail = IntegerConv::new(tail, before, 1.0);
        let in_steps = |values: &[f32]| values.iter().map(|v| (f64::from(*v) / first_step) as f32).collect();
        let head = Conv { weight: in_steps(&head.weight), bias: in_steps(&head.bias), ..head.clone() };
        Some(Quantized { head, body, tail, skip })
    }
}

impl IntegerConv {
    /// Of a convolution, with the steps of what goes in and of what comes out.
    fn new(conv: &Conv, before: f64, after: f64) -> Self {
        let taps = conv.cin * conv.kernel * conv.kernel;
        let mut integers = Self {
            cin: conv.cin,
            cout: conv.cout,
            weight: Vec::with_capacity(conv.weight.len()),
            bias: Vec::with_capacity(conv.cout),
            factor: Vec::with_capacity(conv.cout),
        };
        for (kernel, &bias) in conv.weight.chunks_exact(taps).zip(&conv.bias) {
            let bias = f64::from(bias) / before;
            let step = weight_step(kernel, bias);
            integers.weight.extend(kernel.iter().map(|w| (f64::from(*w) / step).round_ties_even() as i16));
            integers.bias.push((bias / step).round_ties_even() as i32);
            integers.factor.push((step * before / after / f64::from(TIMES)) as f32);
        }
        integers
    }
}

/// The smallest step of an output channel's weights with which they, and its largest sum, fit.
fn weight_step(kernel: &[f32], bias: f64) -> f64 {
    let sum = |sign: f64| kernel.iter().map(|w| (f64::from(*w) * sign).max(0.0)).sum::<f64>();
    let largest = kernel.iter().fold(0.0_f64, |m, w| m.max(f64::from(w.abs())));
    // Rounding may add half a step for each weight.
    let rounding = f64::from(LIMIT) * kernel.len() as f64 / 2.0 + 1.0;
    let most = f64::from(LIMIT) * sum(1.0).max(sum(-1.0)) + bias.abs();
    (largest / f64::from(WEIGHT)).max(most / (LARGEST_SUM - rounding)).max(f64::MIN_POSITIVE.sqrt())
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
            let integers = IntegerConv::new(&conv, 1e-3, 2e-3);
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
        network.activations = vec![1.0, 2.0, 4.0];
        let quantized = network.quantized().unwrap();
        assert_eq!(quantized.body.len(), 2);
        let [first, ..] = network.luma().unwrap().head.weight[..] else { panic!("a kernel has nine weights") };
        assert_eq!(quantized.head.weight[0], first / (4.0 / 480.0), "what is added has the step of the sum");
    }
}
