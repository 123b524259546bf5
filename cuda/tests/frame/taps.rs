//! Tables of taps, and what they mean.

use std::f64::consts::PI;

use srup_cuda::Device;
use srup_cuda::kernels::video::{Scaling, Taps};

use crate::picture::Grid;

/// Keys' cubic with a = -0.5.
pub fn bicubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// Sinc windowed by sinc, three lobes.
pub fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// The taps of an axis: every output's window is moved inside the input.
#[derive(Clone)]
pub struct Axis {
    inputs: usize,
    taps: usize,
    starts: Vec<u32>,
    weights: Vec<f32>,
}

impl Axis {
    /// Output j lies at `j * step + offset` of the input; `kernel` reaches `reach` samples and is widened by steps over 1.
    pub fn new(
        (kernel, reach): (fn(f64) -> f64, f64),
        (inputs, outputs): (usize, usize),
        step: f64,
        offset: f64,
    ) -> Self {
        let widen = step.max(1.0);
        let taps = ((2.0 * reach * widen).ceil() as usize).min(inputs);
        let mut axis = Self { inputs, taps, starts: vec![], weights: vec![] };
        for j in 0..outputs {
            let position = j as f64 * step + offset;
            let start = ((position - reach * widen).floor() as isize + 1).clamp(0, (inputs - taps) as isize);
            let weights: Vec<f64> =
                (0..taps).map(|t| kernel(((start + t as isize) as f64 - position) / widen)).collect();
            let sum: f64 = weights.iter().sum();
            axis.starts.push(start as u32);
            axis.weights.extend(weights.iter().map(|w| (w / sum) as f32));
        }
        axis
    }

    /// Each input as it is.
    pub fn identity(size: usize) -> Self {
        Self { inputs: size, taps: 1, starts: (0..size as u32).collect(), weights: vec![1.0; size] }
    }

    /// The whole of the input onto the whole of the output.
    pub fn fit(kernel: (fn(f64) -> f64, f64), inputs: usize, outputs: usize) -> Self {
        let step = inputs as f64 / outputs as f64;
        Self::new(kernel, (inputs, outputs), step, step / 2.0 - 0.5)
    }

    fn upload(&self, device: &Device) -> Taps {
        Taps::new(device, self.inputs, &self.starts, &self.weights).unwrap()
    }

    fn sum(&self, j: usize, input: impl Fn(usize) -> f64) -> f64 {
        let weights = &self.weights[j * self.taps..][..self.taps];
        weights.iter().enumerate().map(|(t, &w)| f64::from(w) * input(self.starts[j] as usize + t)).sum()
    }
}

/// Both axes on the device.
pub fn scaling(device: &Device, across: &Axis, down: &Axis) -> Scaling {
    Scaling { across: across.upload(device), down: down.upload(device) }
}

/// A resampled grid.
pub fn resampled(grid: &Grid, across: &Axis, down: &Axis) -> Grid {
    let half = Grid::new(down.starts.len(), grid.width, |y, x| down.sum(y, |i| grid.at(i, x)));
    Grid::new(down.starts.len(), across.starts.len(), |y, x| across.sum(x, |i| half.at(y, i)))
}

/// Chroma of a picture of `size` samples: raised to luma's places, or lowered from them, on or between luma samples.
pub fn raise(size: usize, cosited: bool) -> Axis {
    let chroma = size.div_ceil(2);
    Axis::new((bicubic, 2.0), (chroma, size), 0.5, if cosited { 0.0 } else { -0.25 })
}

/// The reverse of [`raise`].
pub fn lower(size: usize, cosited: bool) -> Axis {
    Axis::new((bicubic, 2.0), (size, size.div_ceil(2)), 2.0, if cosited { 0.0 } else { 0.5 })
}
