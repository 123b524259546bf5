//! Convolutions, norm and activation.

use crate::network::{Activation, Conv, DepthwiseConv, LayerNorm};
use crate::tensor::Tensor;

/// `0.5 x (1 + erf(x / sqrt 2))`.
pub fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))) as f32
}

/// The error function, to 1e-15: its Taylor series where that converges fast, else Lentz's continued fraction of erfc
/// (Abramowitz and Stegun 7.1.5 and 7.1.14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let fraction = (1..=60).rev().fold(a, |tail, k| a + 0.5 * f64::from(k) / tail);
    let erfc = (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt());
    x.signum() * (1.0 - erfc)
}

/// What is not a number stays none, of which `max` would make 0.
pub fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(f64::from(x)) as f32,
        Activation::Gelu => gelu(x),
    }
}

/// A dense convolution with its bias and activation.
pub fn conv(p: &Conv, x: &Tensor) -> Tensor {
    assert_eq!(x.channels, p.cin, "a convolution's input has its channels");
    let k = p.kernel;
    let mut out = Tensor::zeros(p.cout, x.height, x.width);
    for o in 0..p.cout {
        let mut sums = vec![f64::from(p.bias[o]); x.plane_len()];
        for i in 0..p.cin {
            for tap in 0..k * k {
                let weight = p.weight[(o * p.cin + i) * k * k + tap];
                let (dy, dx) = ((tap / k) as isize - (k / 2) as isize, (tap % k) as isize - (k / 2) as isize);
                add_shifted(&mut sums, x, i, weight, dy, dx);
            }
        }
        store(out.plane_mut(o), &sums, p.activation);
    }
    out
}

/// A depth-wise convolution with its bias.
pub fn depthwise(p: &DepthwiseConv, x: &Tensor) -> Tensor {
    assert_eq!(x.channels, p.channels, "a convolution's input has its channels");
    let (kh, kw, d) = (p.kernel_h, p.kernel_w, p.dilation as isize);
    let mut out = Tensor::zeros(p.channels, x.height, x.width);
    for c in 0..p.channels {
        let mut sums = vec![f64::from(p.bias[c]); x.plane_len()];
        for tap in 0..kh * kw {
            let weight = p.weight[c * kh * kw + tap];
            let (dy, dx) = ((tap / kw) as isize - (kh / 2) as isize, (tap % kw) as isize - (kw / 2) as isize);
            add_shifted(&mut sums, x, c, weight, dy * d, dx * d);
        }
        store(out.plane_mut(c), &sums, Activation::None);
    }
    out
}

/// `sums[y, x] += weight * x[channel, y + dy, x + dx]`, zero outside the picture.
fn add_shifted(sums: &mut [f64], x: &Tensor, channel: usize, weight: f32, dy: isize, dx: isize) {
    for y in 0..x.height {
        for i in 0..x.width {
            let value = x.at_or_zero(channel, y as isize + dy, i as isize + dx);
            sums[y * x.width + i] += f64::from(weight) * f64::from(value);
        }
    }
}

fn store(plane: &mut [f32], sums: &[f64], activation: Activation) {
    for (value, &sum) in plane.iter_mut().zip(sums) {
        *value = activate(activation, sum as f32);
    }
}

/// `(x - mean) / sqrt(var + 1e-5) * weight + bias` over the channels of each pixel, with the biased variance.
pub fn layer_norm(p: &LayerNorm, x: &Tensor) -> Tensor {
    let (n, c) = (x.plane_len(), x.channels as f64);
    let mut out = x.clone();
    for pixel in 0..n {
        let value = |channel: usize| f64::from(x.data[channel * n + pixel]);
        let mean = (0..x.channels).map(value).sum::<f64>() / c;
        let variance = (0..x.channels).map(|i| (value(i) - mean).powi(2)).sum::<f64>() / c;
        for i in 0..x.channels {
            let normed = (value(i) - mean) / (variance + 1e-5).sqrt();
            out.data[i * n + pixel] = (normed * f64::from(p.weight[i]) + f64::from(p.bias[i])) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_published_values() {
        // Abramowitz and Stegun, table 7.1, and erfc(3), erfc(5) of the same book.
        let table = [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_284_89),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 1.0 - 2.209_049_699_858_544e-5),
            (5.0, 1.0 - 1.537_459_794_428_035e-12),
        ];
        for (x, expected) in table {
            assert!((erf(x) - expected).abs() < 1e-15, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + expected).abs() < 1e-15);
        }
        assert!((erf(2.499_999) - erf(2.500_001)).abs() < 1e-8);
    }

    #[test]
    fn a_shifting_kernel_shifts_and_pads_with_zeros() {
        let mut weight = vec![0.0; 9];
        weight[5] = 1.0; // The tap to the right of the middle.
        let p = Conv { cin: 1, cout: 1, kernel: 3, weight, bias: vec![0.5], activation: Activation::None };
        let x = Tensor::from_vec(1, 2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(conv(&p, &x).data, [2.5, 3.5, 0.5, 5.5, 6.5, 0.5]);
    }

    #[test]
    fn what_is_not_a_number_goes_through_relu() {
        let p = Conv { cin: 1, cout: 1, kernel: 1, weight: vec![1.0], bias: vec![0.0], activation: Activation::Relu };
        let made = conv(&p, &Tensor::from_vec(1, 1, 3, vec![f32::NAN, -1.0, 2.0])).data;
        assert!(made[0].is_nan() && made[1..] == [0.0, 2.0], "{made:?}");
    }

    #[test]
    fn a_dilated_strip_reaches_as_far_as_it_says() {
        let p = DepthwiseConv {
            channels: 1,
            kernel_h: 3,
            kernel_w: 1,
            dilation: 2,
            weight: vec![1.0, 10.0, 100.0],
            bias: vec![0.0],
        };
        let x = Tensor::from_vec(1, 5, 1, vec![1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(depthwise(&p, &x).data, [310.0, 420.0, 531.0, 42.0, 53.0]);
    }
}
