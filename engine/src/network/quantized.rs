//! Luma networks in integers.
//!
//! A layer's results are bytes, from 0 to [`LIMIT`], whose steps, one for each channel, were found on pictures; its weights
//! are bytes with a sign, up to [`WEIGHT`], with a step for each output channel, too. Sums are exact, and so is their
//! product with one f32 factor before it is rounded once, so all processors come to the same bits, whichever way they sum
//! up: in bytes, or by a Winograd convolution in 16 bits, whose results are [`TIMES`] as large.

use super::{Conv, LOSS, Layers, Network, Weights};
use crate::Error;

/// The largest value that a layer's results have.
pub(crate) const LIMIT: u8 = u8::MAX;
/// The largest weight.
pub(crate) const WEIGHT: i8 = i8::MAX;
/// How many times too large the results of a Winograd convolution in integers are.
pub(crate) const TIMES: i32 = 64 * 9;
/// The largest sum that f32 holds exactly, also [`TIMES`] as large.
const LARGEST_SUM: f64 = ((1 << f32::MANTISSA_DIGITS) / 9 - 1) as f64;
/// Steps of weights that are all zero; far from where f32 has fewer bits.
const LEAST_STEP: f64 = 1e-30;
/// Factors of layers with ReLU are multiples of it, up to 1: then 3 * 2^22 times as much is a whole number, which lets a
/// processor take its sums for floats beyond 2^23, and [`TIMES`] less is an f32.
const FACTOR_STEP: f64 = 9.0 / (1 << 22) as f64;

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
    pub weight: Vec<i8>,
    pub bias: Vec<i32>,
    /// What the sum of each output channel is to be multiplied by; [`TIMES`] less is an f32, too. The product is rounded once:
    /// in layers with ReLU to an integer, ties to even, but to f32 where something is added or it is the last layer.
    pub factor: Vec<f32>,
}

/// What is wrong with a file whose `activations` cannot be used.
const ACTIVATIONS: &str = "its metadata 'activations' are not a positive number for each channel of each layer but the last, \
                           or far too small for its weights; measure them again with training/calibrate.py";

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
            if self.quantized().is_none() {
                return Err(wrong());
            }
        }
        self.integer_loss = weights.number("int8_loss")?;
        Ok(())
    }

    /// Whether integers were measured to lose no more than 0.05 dB of Y-PSNR on Set5 and Set14.
    pub(crate) fn integers_are_as_good(&self) -> bool {
        self.integer_loss.is_some_and(|loss| loss <= LOSS)
    }

    /// The network in integers; None where it is no luma network, or the largest values of its layers are not known, or are
    /// much smaller than they can be.
    pub(crate) fn quantized(&self) -> Option<Quantized> {
        let Layers { head, body, tail, skip } = self.luma()?;
        let steps = |largest: &Vec<f32>| largest.iter().map(|v| f64::from(*v) / f64::from(LIMIT)).collect();
        let steps: Vec<Vec<f64>> = self.activations.iter().map(steps).collect();
        let [first, .., last] = steps.as_slice() else { return None };
        let body = body.into_iter().zip(steps.windows(2));
        let head = in_steps(head, first);
        if !head.weight.iter().chain(&head.bias).all(|v| v.is_finite()) {
            return None;
        }
        Some(Quantized {
            head,
            body: body.map(|(conv, steps)| IntegerConv::body(conv, &steps[0], &steps[1])).collect::<Option<_>>()?,
            tail: IntegerConv::tail(tail, last),
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
    /// A layer with ReLU, with the steps of what goes in and of what comes out; None if a factor were above 1.
    fn body(conv: &Conv, before: &[f64], after: &[f64]) -> Option<Self> {
        let factors = |o: usize, step: f64| (step / after[o] / FACTOR_STEP).ceil().max(1.0) * FACTOR_STEP;
        let layer = Self::new(conv, before, |o, step| (factors(o, step) * after[o], factors(o, step) as f32));
        layer.factor.iter().all(|factor| *factor <= 1.0).then_some(layer)
    }

    /// The last layer.
    fn tail(conv: &Conv, before: &[f64]) -> Self {
        Self::new(conv, before, |_, step| (step, short(step)))
    }

    /// `steps` gives each output channel's step and factor for the smallest step that it can have.
    fn new(conv: &Conv, before: &[f64], steps: impl Fn(usize, f64) -> (f64, f32)) -> Self {
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
            let (step, factor) = steps(o, smallest_step(&kernel, bias));
            integers.weight.extend(kernel.iter().map(|w| (w / step).round_ties_even() as i8));
            integers.bias.push((bias / step).round_ties_even() as i32);
            integers.factor.push(factor);
        }
        integers
    }
}

/// An f32 near a number, such that [`TIMES`] less is an f32, too: of 20 bits, for 9 adds four.
fn short(number: f64) -> f32 {
    const DROPPED: u32 = f64::MANTISSA_DIGITS - 20;
    let bits = (number / f64::from(TIMES)).to_bits();
    let short = f64::from_bits((bits + (1 << (DROPPED - 1))) >> DROPPED << DROPPED);
    (short * f64::from(TIMES)) as f32
}

/// The smallest step of an output channel's weights with which they, and its largest sum, fit.
fn smallest_step(kernel: &[f64], bias: f64) -> f64 {
    let sum = |sign: f64| kernel.iter().map(|w| (w * sign).max(0.0)).sum::<f64>();
    let largest = kernel.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
    // Rounding may add half a step for each weight.
    let rounding = f64::from(LIMIT) * kernel.len() as f64 / 2.0 + 1.0;
    let most = f64::from(LIMIT) * sum(1.0).max(sum(-1.0)) + bias.abs();
    (largest / f64::from(WEIGHT)).max(most / (LARGEST_SUM - rounding)).max(LEAST_STEP)
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
            let body = IntegerConv::body(&conv, &vec![1e-3; cin], &[1e6]).expect("the results have room");
            for integers in [body, IntegerConv::tail(&conv, &vec![1e-3; cin])] {
                assert!(integers.weight.iter().all(|w| *w >= -WEIGHT));
                let side = |sign: i64| integers.weight.iter().map(|w| (i64::from(*w) * sign).max(0)).sum::<i64>();
                let most = i64::from(LIMIT) * side(1).max(side(-1)) + i64::from(integers.bias[0].abs());
                let large = most * i64::from(TIMES);
                assert!(large <= i64::from(i32::MAX) && large as f32 as i64 == large, "{cin} {value}: {most}");
                let [factor] = integers.factor[..] else { panic!("an output has a factor") };
                let less = factor / TIMES as f32;
                assert_eq!(f64::from(less) * f64::from(TIMES), f64::from(factor));
            }
        }
    }

    #[test]
    fn factors_are_at_most_1() {
        let conv =
            |w| Conv { cin: 1, cout: 1, kernel: 3, weight: vec![w; 9], bias: vec![0.0], activation: Activation::Relu };
        let body = |w| IntegerConv::body(&conv(w), &[1.0], &[1.0]);
        assert!(body(120.0).is_some_and(|layer| layer.factor[0] > 0.9));
        assert!(body(150.0).is_none());
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
        assert_eq!(quantized.head.weight[0], first * 255.0);
    }
}
