//! Luma networks in integers, as `network::quantized` defines them: one loop per formula.

use crate::network::{Conv, IntegerConv, LIMIT, Network, Quantized};
use crate::tensor::Tensor;

/// Results of a layer, `[channels][height][width]`.
struct Integers {
    height: usize,
    width: usize,
    channels: Vec<Vec<i32>>,
}

/// A network in its integer form; None where it has none.
pub fn run(network: &Network, input: &Tensor) -> Option<Tensor> {
    let Quantized { head, body, tail, skip } = network.quantized()?;
    let first = first_layer(&head, input);
    let mut x = Integers { channels: first.clone(), height: input.height, width: input.width };
    for (l, conv) in body.iter().enumerate() {
        let skip = skip.as_ref().filter(|_| l + 1 == body.len());
        let hold = |o: usize, i: usize, product: f64| {
            let value = match skip {
                Some(ratio) => f64::from((product as f32).max(0.0) + first[o][i] as f32 * ratio[o]),
                None => product,
            };
            value.clamp(0.0, LIMIT.into()).round_ties_even() as i32
        };
        let channel =
            |(o, values): (usize, Vec<f64>)| values.into_iter().enumerate().map(|(i, v)| hold(o, i, v)).collect();
        x.channels = products(conv, &x).enumerate().map(channel).collect();
    }
    let scale = network.scale;
    let last: Vec<Vec<f64>> = products(&tail, &x).collect();
    let mut out = Tensor::zeros(1, scale * input.height, scale * input.width);
    for (i, value) in out.data.iter_mut().enumerate() {
        let (y, x) = (i / (scale * input.width), i % (scale * input.width));
        let pixel = y / scale * input.width + x / scale;
        *value = last[y % scale * scale + x % scale][pixel] as f32 + input.data[pixel];
    }
    Some(out)
}

/// The first layer: f32 sums, the bias first and then tap by tap, each in one rounding.
fn first_layer(conv: &Conv, input: &Tensor) -> Vec<Vec<i32>> {
    let (height, width) = (input.height, input.width);
    let value = |o: usize, i: usize| {
        let at = |tap| pixel(&input.data, (height, width), i, tap).unwrap_or(0.0);
        let sum = (0..9).fold(conv.bias[o], |sum, tap| at(tap).mul_add(conv.weight[o * 9 + tap], sum));
        sum.clamp(0.0, f32::from(LIMIT)).round_ties_even() as i32
    };
    (0..conv.cout).map(|o| (0..height * width).map(|i| value(o, i)).collect()).collect()
}

/// A layer's sums times their factors, channel by channel: exact, for f64 holds all that two f32 give.
fn products<'a>(conv: &'a IntegerConv, x: &'a Integers) -> impl Iterator<Item = Vec<f64>> + 'a {
    let value = move |o: usize, i: usize| {
        let product = |c: usize, tap: usize| {
            let weight = i32::from(conv.weight[(o * conv.cin + c) * 9 + tap]);
            weight * pixel(&x.channels[c], (x.height, x.width), i, tap).unwrap_or(0)
        };
        let sum: i32 =
            (0..conv.cin).flat_map(|c| (0..9).map(move |tap| (c, tap))).map(|(c, tap)| product(c, tap)).sum();
        f64::from(sum + conv.bias[o]) * f64::from(conv.factor[o])
    };
    (0..conv.cout).map(move |o| (0..x.height * x.width).map(|i| value(o, i)).collect())
}

/// The pixel that a tap of a 3x3 kernel sees around pixel `i`; None outside the picture.
fn pixel<T: Copy>(plane: &[T], (height, width): (usize, usize), i: usize, tap: usize) -> Option<T> {
    let y = (i / width + tap / 3).checked_sub(1).filter(|y| *y < height)?;
    let x = (i % width + tap % 3).checked_sub(1).filter(|x| *x < width)?;
    Some(plane[y * width + x])
}
