//! Separable polyphase resampling of f32 planes.
//!
//! Taps are tabulated once per size; a run allocates nothing. Each output row is made apart: first down the column, so
//! that one row of the input's width stays in the first-level cache, then along it. Rows do not depend on each other,
//! nor on the number of threads.
//!
//! **Borders.** The window is cut off at the border and what is left is normalised to a sum of one. Pillow and MATLAB's
//! evaluation results rest on that rule, so figures compare; replicated samples would differ there by several codes.
//! Constants stay constant under either rule, and on enlargement they differ in the two or three outermost pixels only.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::bands::Bands;
use super::simd::{Isa, fused, multiversion};

/// The interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Keys' cubic with a = -0.5, as Pillow and MATLAB have it; 4 taps on enlargement.
    Bicubic,
    /// Sinc windowed by sinc, three lobes; 6 taps on enlargement.
    Lanczos,
}

impl Kernel {
    /// The name in properties and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// Where the kernel ends, in samples from its middle.
    const fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        if x >= self.support() {
            return 0.0;
        }
        match self {
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Lanczos if x == 0.0 => 1.0,
            // Exactly zero at whole distances, where sin(pi x) is not quite.
            Self::Lanczos if x.fract() == 0.0 => 0.0,
            Self::Lanczos => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x).powi(2),
        }
    }
}

/// Where the samples of an output axis lie on its input axis: sample j at `j * step + offset`, in input samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapping {
    /// Samples of the input, 1 or more.
    pub input: usize,
    /// Samples of the output, 1 or more.
    pub output: usize,
    /// Input samples from one output sample to the next, above 0; over 1 the kernel is widened by it.
    pub step: f64,
    /// Position of output sample 0.
    pub offset: f64,
}

impl Mapping {
    /// Each sample onto itself.
    pub const fn identity(size: usize) -> Self {
        Self { input: size, output: size, step: 1.0, offset: 0.0 }
    }

    /// The whole of the input onto the whole of the output: the outer edges of the outer samples coincide.
    pub fn fit(input: usize, output: usize) -> Self {
        let step = input as f64 / output as f64;
        Self { input, output, step, offset: step / 2.0 - 0.5 }
    }

    /// Rounded to 1e-9, so that positions that are whole by construction are so in spite of floating point.
    fn position(&self, j: usize) -> f64 {
        ((j as f64 * self.step + self.offset) * 1e9).round() / 1e9
    }
}

/// The taps of one axis.
#[derive(Clone, Debug)]
struct Axis {
    input: usize,
    output: usize,
    /// Taps of every output sample; those cut off at a border are zeros at the end or start.
    taps: usize,
    /// First input sample of every output sample; `start + taps <= input`.
    starts: Vec<usize>,
    /// `[output, taps]`.
    weights: Vec<f32>,
    identity: bool,
    periodic: Option<Periodic>,
}

/// The repeating middle part of an enlargement by a whole factor, or of halving: output `period * i + phase` starts at
/// input `stride * i + starts[phase]`, for i in `first..last`.
#[derive(Clone, Debug)]
struct Periodic {
    /// Outputs of a period.
    period: usize,
    /// Inputs of a period: 1, or 2 with a period of 1.
    stride: usize,
    starts: [isize; MAX_PERIOD],
    /// `[period, taps]`.
    weights: Vec<f32>,
    first: usize,
    last: usize,
}

/// The largest factor whose loops are unrolled; larger ones take the general way.
const MAX_PERIOD: usize = 4;

impl Axis {
    fn new(kernel: Kernel, mapping: &Mapping) -> Self {
        let Mapping { input, output, step, offset } = *mapping;
        assert!(input > 0 && output > 0 && step > 0.0 && offset.is_finite(), "{mapping:?} maps nothing");
        if *mapping == Mapping::identity(input) {
            let (starts, weights) = ((0..output).collect(), vec![1.0; output]);
            return Self { input, output, taps: 1, starts, weights, identity: true, periodic: None };
        }
        let widen = step.max(1.0);
        let full = (2.0 * kernel.support() * widen).ceil() as usize;
        let taps = full.min(input);
        let mut starts = Vec::with_capacity(output);
        let mut weights = Vec::with_capacity(output * taps);
        for j in 0..output {
            let position = mapping.position(j);
            let first = first_tap(kernel, widen, position).clamp(0, (input - taps) as isize) as usize;
            starts.push(first);
            weights.extend(normalised(kernel, widen, position, first as isize, taps));
        }
        let periodic = if taps == full { Periodic::new(kernel, mapping, taps) } else { None };
        Self { input, output, taps, starts, weights, identity: false, periodic }
    }

    fn weights(&self, j: usize) -> &[f32] {
        &self.weights[j * self.taps..][..self.taps]
    }
}

impl Periodic {
    fn new(kernel: Kernel, mapping: &Mapping, taps: usize) -> Option<Self> {
        let (period, stride) = if mapping.step == 2.0 { (1, 2) } else { ((1.0 / mapping.step).round() as usize, 1) };
        if period == 0 || period > MAX_PERIOD || (period as f64 * mapping.step - stride as f64).abs() > 1e-12 {
            return None;
        }
        let mut starts = [0; MAX_PERIOD];
        let mut weights = Vec::with_capacity(period * taps);
        for (phase, start) in starts.iter_mut().enumerate().take(period) {
            let position = mapping.position(phase);
            *start = first_tap(kernel, stride as f64, position);
            weights.extend(normalised(kernel, stride as f64, position, *start, taps));
        }
        let lowest = starts[..period].iter().copied().min().unwrap_or(0);
        let highest = starts[..period].iter().copied().max().unwrap_or(0);
        let first = ((-lowest).max(0) as usize).div_ceil(stride);
        let room = mapping.input as isize - taps as isize - highest;
        let inside = if room < 0 { 0 } else { room as usize / stride + 1 };
        let last = (mapping.output / period).min(inside);
        (first < last).then_some(Self { period, stride, starts, weights, first, last })
    }
}

/// The first input sample within the kernel around a position.
fn first_tap(kernel: Kernel, widen: f64, position: f64) -> isize {
    (position - kernel.support() * widen).floor() as isize + 1
}

/// Weights of the `taps` input samples from `first` on, with a sum of one.
fn normalised(kernel: Kernel, widen: f64, position: f64, first: isize, taps: usize) -> impl Iterator<Item = f32> {
    let weight = move |t: usize| kernel.weight(((first + t as isize) as f64 - position) / widen);
    let sum: f64 = (0..taps).map(weight).sum();
    // A position so far outside that only the kernel's outer lobes reach in takes the nearest sample; no size and
    // siting of video comes near it.
    let nearest = (position.round() as isize - first).clamp(0, taps as isize - 1) as usize;
    let usable = sum > 0.1;
    (0..taps).map(move |t| if usable { (weight(t) / sum) as f32 } else { f32::from(u8::from(t == nearest)) })
}

/// The taps of one axis: output j is the sum over t of `weights[j * taps + t] * input[starts[j] + t]`, with as many taps as
/// there are weights for each start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps<'a> {
    /// Samples of the input.
    pub inputs: usize,
    /// First input sample of every output sample; all taps lie within the input.
    pub starts: &'a [usize],
    /// `[output, taps]`.
    pub weights: &'a [f32],
}

/// Resamples planes of one size to another.
#[derive(Clone, Debug)]
pub struct Resampler {
    isa: Isa,
    horizontal: Axis,
    vertical: Axis,
}

impl Resampler {
    /// Tabulates the taps.
    ///
    /// # Panics
    /// If a mapping has a size or step of zero.
    pub fn new(kernel: Kernel, horizontal: &Mapping, vertical: &Mapping) -> Self {
        Self { isa: Isa::detect(), horizontal: Axis::new(kernel, horizontal), vertical: Axis::new(kernel, vertical) }
    }

    /// Width and height of the planes that go in.
    pub fn input_size(&self) -> (usize, usize) {
        (self.horizontal.input, self.vertical.input)
    }

    /// Width and height of the planes that come out.
    pub fn output_size(&self) -> (usize, usize) {
        (self.horizontal.output, self.vertical.output)
    }

    /// The taps along the rows and those down the columns, for devices that resample by themselves.
    pub(crate) fn taps(&self) -> [Taps<'_>; 2] {
        [&self.horizontal, &self.vertical].map(|axis| Taps {
            inputs: axis.input,
            starts: &axis.starts,
            weights: &axis.weights,
        })
    }

    /// Resamples one plane, rows side by side on the threads of the current rayon pool. Allocates its row buffers.
    ///
    /// # Panics
    /// If a plane is not of the sizes that this was made for.
    pub fn run(&self, source: &[f32], target: &mut [f32]) {
        let (width, height) = self.output_size();
        assert_eq!(target.len(), width * height, "the output plane must be {width}x{height}");
        let mut bands = Bands::new(height, self.horizontal.input);
        let rows = bands.rows();
        target.par_chunks_mut(rows * width).zip(bands.scratch()).enumerate().for_each(|(band, (chunk, column))| {
            for (i, row) in chunk.chunks_exact_mut(width).enumerate() {
                self.row(source, band * rows + i, column, row);
            }
        });
    }

    /// Output row `y` of a plane; `column` has the width of the input, `out` that of the output.
    pub(super) fn row(&self, source: &[f32], y: usize, column: &mut [f32], out: &mut [f32]) {
        let (width, height) = self.input_size();
        assert_eq!(source.len(), width * height, "the input plane must be {width}x{height}");
        let out = &mut out[..self.horizontal.output];
        let rows = &source[self.vertical.starts[y] * width..][..self.vertical.taps * width];
        let line = if self.vertical.identity {
            rows
        } else {
            let column = &mut column[..width];
            blend_rows(self.isa, rows, self.vertical.weights(y), column);
            column
        };
        if self.horizontal.identity {
            out.copy_from_slice(line);
        } else {
            self.along(line, out);
        }
    }

    fn along(&self, line: &[f32], out: &mut [f32]) {
        let axis = &self.horizontal;
        let (mut from, mut to) = (0, 0);
        if let Some(periodic) = &axis.periodic {
            (from, to) = (periodic.first * periodic.period, periodic.last * periodic.period);
            let middle = &mut out[from..to];
            match (periodic.period, periodic.stride) {
                (1, 2) => halve(self.isa, line, periodic, axis.taps, middle),
                (1, _) => enlarge::<1>(self.isa, line, periodic, axis.taps, middle),
                (2, _) => enlarge::<2>(self.isa, line, periodic, axis.taps, middle),
                (3, _) => enlarge::<3>(self.isa, line, periodic, axis.taps, middle),
                _ => enlarge::<4>(self.isa, line, periodic, axis.taps, middle),
            }
        }
        let (head, rest) = out.split_at_mut(from);
        single(self.isa, line, axis, 0, head);
        single(self.isa, line, axis, to, &mut rest[to - from..]);
    }
}

multiversion! {
    /// `out[x] = sum of weights[t] * rows[t][x]` over rows of the width of `out`.
    fn blend_rows(rows: &[f32], weights: &[f32], out: &mut [f32]) {
        let width = out.len();
        let wide = width / 32 * 32;
        let narrow = width / 8 * 8;
        for x in (0..wide).step_by(32) {
            blend_block::<FMA, 32>(rows, weights, x, out);
        }
        for x in (wide..narrow).step_by(8) {
            blend_block::<FMA, 8>(rows, weights, x, out);
        }
        for x in narrow..width {
            blend_block::<FMA, 1>(rows, weights, x, out);
        }
    }
}

/// `N` columns from `x` on, kept in registers over all taps.
#[inline(always)]
fn blend_block<const FMA: bool, const N: usize>(rows: &[f32], weights: &[f32], x: usize, out: &mut [f32]) {
    let mut sums = [0.0; N];
    for (row, &weight) in rows.chunks_exact(out.len()).zip(weights) {
        let values = &row[x..x + N];
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum = fused::<FMA>(value, weight, *sum);
        }
    }
    out[x..x + N].copy_from_slice(&sums);
}

multiversion! {
    /// Outputs of the periodic part, all phases of 16 neighbouring input positions at a time.
    fn enlarge<const P: usize>(line: &[f32], periodic: &Periodic, taps: usize, out: &mut [f32]) {
        let count = periodic.last - periodic.first;
        let wide = count / 16 * 16;
        for i in (0..wide).step_by(16) {
            enlarge_block::<FMA, P, 16>(line, periodic, taps, i, out);
        }
        for i in wide..count {
            enlarge_block::<FMA, P, 1>(line, periodic, taps, i, out);
        }
    }
}

#[inline(always)]
fn enlarge_block<const FMA: bool, const P: usize, const N: usize>(
    line: &[f32],
    periodic: &Periodic,
    taps: usize,
    i: usize,
    out: &mut [f32],
) {
    let mut sums = [[0.0; N]; P];
    for ((sums, start), weights) in sums.iter_mut().zip(periodic.starts).zip(periodic.weights.chunks_exact(taps)) {
        let start = ((periodic.first + i) as isize + start) as usize;
        let window = &line[start..start + taps + N - 1];
        for (t, &weight) in weights.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(&window[t..t + N]) {
                *sum = fused::<FMA>(value, weight, *sum);
            }
        }
    }
    let block = &mut out[P * i..P * (i + N)];
    for (n, group) in block.chunks_exact_mut(P).enumerate() {
        for (value, sums) in group.iter_mut().zip(&sums) {
            *value = sums[n];
        }
    }
}

multiversion! {
    /// Outputs of the periodic part of a reduction to a half, 16 at a time.
    fn halve(line: &[f32], periodic: &Periodic, taps: usize, out: &mut [f32]) {
        /// Values of one parity that 16 outputs of at most 16 taps reach.
        const REACH: usize = 24;
        let wide = out.len() / 16 * 16;
        let begin = |i: usize| ((2 * (periodic.first + i)) as isize + periodic.starts[0]) as usize;
        for i in (0..wide).step_by(16) {
            // Both kernels have an even number of taps, so that pairs are whole.
            let window = &line[begin(i)..][..30 + taps];
            let (mut even, mut odd) = ([0.0; REACH], [0.0; REACH]);
            for ((pair, even), odd) in window.as_chunks::<2>().0.iter().zip(&mut even).zip(&mut odd) {
                (*even, *odd) = (pair[0], pair[1]);
            }
            let mut sums = [0.0; 16];
            for (t, pair) in periodic.weights.as_chunks::<2>().0.iter().enumerate() {
                for ((sum, &even), &odd) in sums.iter_mut().zip(&even[t..t + 16]).zip(&odd[t..t + 16]) {
                    *sum = fused::<FMA>(odd, pair[1], fused::<FMA>(even, pair[0], *sum));
                }
            }
            out[i..i + 16].copy_from_slice(&sums);
        }
        for (i, value) in out.iter_mut().enumerate().skip(wide) {
            let window = &line[begin(i)..][..taps];
            *value = window.iter().zip(&periodic.weights).fold(0.0, |sum, (&v, &w)| fused::<FMA>(v, w, sum));
        }
    }
}

multiversion! {
    /// Outputs from number `from` on, each with its own taps.
    fn single(line: &[f32], axis: &Axis, from: usize, out: &mut [f32]) {
        for (j, value) in out.iter_mut().enumerate() {
            let window = &line[axis.starts[from + j]..][..axis.taps];
            let mut sum = 0.0;
            for (&value, &weight) in window.iter().zip(axis.weights(from + j)) {
                sum = fused::<FMA>(value, weight, sum);
            }
            *value = sum;
        }
    }
}

/// Reduces an RGB picture of 8 bits by a whole factor with the antialiased bicubic, as Pillow's
/// `resize((width // factor, height // factor), BICUBIC)` does, to within one code. Like Pillow it goes along the rows
/// first and rounds to codes between the two passes: next to black and white edges that shows.
///
/// # Panics
/// If `pixels` is not `3 * width * height` long, or a side is less than `factor`.
pub fn reduce_rgb8(pixels: &[u8], width: usize, height: usize, factor: usize) -> Vec<u8> {
    assert_eq!(pixels.len(), 3 * width * height, "an RGB picture of {width}x{height} has three bytes a pixel");
    let (columns, rows) = (width / factor, height / factor);
    let along = Resampler::new(Kernel::Bicubic, &Mapping::fit(width, columns), &Mapping::identity(height));
    let down = Resampler::new(Kernel::Bicubic, &Mapping::identity(columns), &Mapping::fit(height, rows));
    let mut reduced = vec![0; 3 * columns * rows];
    let mut between = vec![0.0; columns * height];
    let mut target = vec![0.0; columns * rows];
    for channel in 0..3 {
        let source: Vec<f32> = pixels.iter().skip(channel).step_by(3).map(|&v| f32::from(v)).collect();
        along.run(&source, &mut between);
        between.iter_mut().for_each(|v| *v = v.round().clamp(0.0, 255.0));
        down.run(&between, &mut target);
        for (byte, value) in reduced.iter_mut().skip(channel).step_by(3).zip(&target) {
            *byte = value.round() as u8;
        }
    }
    reduced
}

#[cfg(test)]
pub(super) mod tests;
