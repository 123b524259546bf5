//! The operations in f64, a loop each.

use srup_cuda::kernels::slice::Weights;

/// `[channels][height][width]`.
#[derive(Clone)]
pub struct Planar {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub values: Vec<f64>,
}

/// Weights of a convolution or a layer norm.
pub struct Operation {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Operation {
    pub fn weights(&self) -> Weights<'_> {
        Weights { weight: &self.weight, bias: &self.bias }
    }
}

impl Planar {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The same size with other channels.
    fn with(&self, channels: usize, values: Vec<f64>) -> Self {
        Self { channels, height: self.height, width: self.width, values }
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        self.with(self.channels, self.values.iter().map(|&v| f(v)).collect())
    }

    pub fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        self.with(self.channels, self.values.iter().zip(&other.values).map(|(&a, &b)| f(a, b)).collect())
    }

    pub fn add(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    pub fn range(&self, first: usize, count: usize) -> Self {
        let pixels = self.pixels();
        self.with(count, self.values[first * pixels..][..count * pixels].to_vec())
    }

    pub fn join(parts: &[Self]) -> Self {
        let values = parts.iter().flat_map(|p| p.values.iter().copied()).collect();
        parts[0].with(parts.iter().map(|p| p.channels).sum(), values)
    }

    /// From row `top` and column `left` to the end.
    pub fn part(&self, (top, left): (usize, usize)) -> Self {
        let (height, width) = (self.height - top, self.width - left);
        let rows = (0..self.channels).flat_map(|c| (top..self.height).map(move |y| c * self.height + y));
        let values = rows.flat_map(|row| self.values[row * self.width + left..(row + 1) * self.width].iter().copied());
        Self { channels: self.channels, height, width, values: values.collect() }
    }

    pub fn pointwise(&self, op: &Operation) -> Self {
        let (pixels, outputs) = (self.pixels(), op.bias.len());
        let mut values = Vec::with_capacity(outputs * pixels);
        for (weights, &bias) in op.weight.chunks(self.channels).zip(&op.bias) {
            let mut sums = vec![f64::from(bias); pixels];
            for (&w, plane) in weights.iter().zip(self.values.chunks(pixels)) {
                sums.iter_mut().zip(plane).for_each(|(sum, &v)| *sum += f64::from(w) * v);
            }
            values.extend(sums);
        }
        self.with(outputs, values)
    }

    /// With zeros around the picture.
    pub fn depthwise(&self, op: &Operation, (rows, columns): (usize, usize), dilation: usize) -> Self {
        let (height, width) = (self.height as isize, self.width as isize);
        let mut values = Vec::with_capacity(self.values.len());
        for c in 0..self.channels {
            let (plane, kernel) =
                (&self.values[c * self.pixels()..], &op.weight[c * rows * columns..][..rows * columns]);
            for i in 0..height * width {
                let mut sum = f64::from(op.bias[c]);
                for (tap, &weight) in kernel.iter().enumerate() {
                    let y = i / width + (tap / columns) as isize * dilation as isize - (rows / 2 * dilation) as isize;
                    let x =
                        i % width + (tap % columns) as isize * dilation as isize - (columns / 2 * dilation) as isize;
                    if (0..height).contains(&y) && (0..width).contains(&x) {
                        sum += f64::from(weight) * plane[(y * width + x) as usize];
                    }
                }
                values.push(sum);
            }
        }
        self.with(self.channels, values)
    }

    pub fn layer_norm(&self, op: &Operation) -> Self {
        let (pixels, count) = (self.pixels(), self.channels as f64);
        let mut values = self.values.clone();
        for i in 0..pixels {
            let pixel = || self.values[i..].iter().step_by(pixels);
            let mean = pixel().sum::<f64>() / count;
            let variance = pixel().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
            for c in 0..self.channels {
                let v = &mut values[c * pixels + i];
                *v = (*v - mean) / (variance + 1e-5).sqrt() * f64::from(op.weight[c]) + f64::from(op.bias[c]);
            }
        }
        self.with(self.channels, values)
    }
}

/// The exact GELU; the error function by its series, and 1 where that is within 2e-8.
pub fn gelu(x: f64) -> f64 {
    let z = x * std::f64::consts::FRAC_1_SQRT_2;
    let (mut term, mut erf) = (z, z);
    if z.abs() > 4.0 {
        return x.max(0.0);
    }
    for n in 1..80 {
        term *= -z * z / f64::from(n);
        erf += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + erf * std::f64::consts::FRAC_2_SQRT_PI)
}
