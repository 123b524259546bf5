//! SparseGSA: one matrix between the channels of a head for each window; then, as the mean over windows of matrix times
//! values is the mean matrix times values, one 1x1 convolution (mean matrices and `project_out` multiplied together) for each
//! rectangle of pixels that lie in the same windows.

use std::ops::Range;

use super::bfloat::{self, BfloatConv};
use super::conv::{After, PackedConv, conv};
use super::correlate::Correlation;
use crate::backend::cpu::dispatch::Isa;
use crate::backend::cpu::line::Taps;
use crate::network::{Conv, SparseGlobalAttention};

/// Windows along an axis, and the intervals between their borders.
#[derive(Clone, Debug)]
pub struct Axis {
    /// First pixels of the windows.
    pub starts: Vec<usize>,
    /// Pixels of a window.
    pub len: usize,
    /// First pixels of the intervals, and the end of the axis.
    pub cuts: Vec<usize>,
}

impl Axis {
    /// Windows of side `window` along `n` pixels, as the authors' test-time code lays them.
    pub fn new(n: usize, window: usize) -> Self {
        let len = n.min(window);
        let count = (n - 1) / len + 1;
        let step = if count == 1 { len } else { (n - len).div_ceil(count - 1) };
        let mut starts: Vec<usize> = (0..).map(|i| i * step).take_while(|start| start + len < n).collect();
        starts.push(n - len);
        let mut cuts: Vec<usize> = starts.iter().flat_map(|&s| [s, s + len]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self { starts, len, cuts }
    }

    /// Number of intervals.
    pub fn intervals(&self) -> usize {
        self.cuts.len() - 1
    }

    /// The windows that hold interval `i`.
    fn covering(&self, i: usize) -> impl Iterator<Item = usize> + Clone + '_ {
        let first = self.cuts[i];
        (0..self.starts.len()).filter(move |&w| self.starts[w] <= first && first < self.starts[w] + self.len)
    }
}

/// Adds up rows of a window's sums, and makes the matrix of each head of them, `[heads][width][width]`:
/// `max(0, temperature * q·k / (max(|q|, 1e-12) max(|k|, 1e-12)))`. `total` has room for the sums.
pub fn window_matrices<'a>(
    p: &Correlation,
    rows: impl Iterator<Item = &'a [f32]>,
    temperature: &[f32],
    total: &mut [f32],
    out: &mut [f32],
) {
    let total = &mut total[..p.sums()];
    total.fill(0.0);
    for row in rows {
        for (total, v) in total.iter_mut().zip(row) {
            *total += v;
        }
    }
    let (squares, width) = (2 * p.channels, p.width);
    for square in &mut total[..squares] {
        *square = square.sqrt().max(1e-12);
    }
    for (head, (matrix, temperature)) in out.chunks_exact_mut(width * width).zip(temperature).enumerate() {
        for (i, v) in matrix.iter_mut().enumerate() {
            let (a, b) = (i / width, i % width);
            let (query, key) = (total[head * width + a], total[p.channels + head * width + b]);
            let value = temperature * (total[p.product(head, a, b)] / query / key);
            // `max` would make 0 of what is not a number.
            *v = if value < 0.0 { 0.0 } else { value };
        }
    }
}

/// The matrices of all windows and heads: `[row windows][column windows][heads][width][width]`.
pub struct Matrices<'a> {
    /// All values.
    pub data: &'a [f32],
    /// Windows along the rows.
    pub rows: &'a Axis,
    /// Windows along the columns.
    pub columns: &'a Axis,
}

/// The 1x1 convolution of one rectangle, in f32 or bf16.
#[derive(Clone, Debug)]
pub enum Folded {
    /// In f32.
    Floats(PackedConv),
    /// In bf16.
    Bfloats(BfloatConv),
}

impl Folded {
    /// One of that shape and with those biases, in bf16 where an instruction set is named for that.
    pub fn new(p: &Conv, bfloat: Option<Isa>) -> Self {
        match bfloat.and_then(|isa| BfloatConv::new(p, isa)) {
            Some(packed) => Self::Bfloats(packed),
            None => Self::Floats(PackedConv::new(p)),
        }
    }

    /// Values of scratch that it needs.
    pub fn scratch(&self) -> usize {
        match self {
            Self::Floats(_) => 0,
            Self::Bfloats(packed) => packed.scratch(),
        }
    }

    fn pack(&mut self, weight: &[f32]) {
        match self {
            Self::Floats(packed) => packed.pack(weight),
            Self::Bfloats(packed) => packed.pack(weight),
        }
    }

    /// Some pixels of one row.
    pub fn conv(
        &self,
        isa: Isa,
        (taps, range): (Taps<'_>, Range<usize>),
        after: After<'_>,
        scratch: &mut [f32],
        out: &mut [f32],
    ) {
        match self {
            Self::Floats(packed) => conv(isa, taps, packed, range, after, out),
            Self::Bfloats(packed) => bfloat::conv(isa, (taps, range), packed, after, scratch, out),
        }
    }
}

/// Values of scratch that [`fold`] needs.
pub fn fold_scratch(p: &SparseGlobalAttention) -> usize {
    let channels = p.project_out.cin;
    (p.project_out.cout + channels / p.temperature.len()) * channels
}

/// Fills the convolution of one rectangle: `project_out` times the mean of the matrices of the windows that hold it.
pub fn fold(
    m: &Matrices<'_>,
    p: &SparseGlobalAttention,
    (row, column): (usize, usize),
    scratch: &mut [f32],
    folded: &mut Folded,
) {
    let (channels, heads) = (p.project_out.cin, p.temperature.len());
    let width = channels / heads;
    let (mean, rest) = scratch.split_at_mut(heads * width * width);
    let weight = &mut rest[..p.project_out.cout * channels];
    mean.fill(0.0);
    let mut count = 0.0;
    for r in m.rows.covering(row) {
        for c in m.columns.covering(column) {
            let matrices = &m.data[(r * m.columns.starts.len() + c) * mean.len()..];
            mean.iter_mut().zip(matrices).for_each(|(sum, v)| *sum += v);
            count += 1.0;
        }
    }
    mean.iter_mut().for_each(|v| *v /= count);
    weight.fill(0.0);
    let parts = weight.chunks_exact_mut(width).zip(p.project_out.weight.chunks_exact(width));
    for (i, (to, from)) in parts.enumerate() {
        let matrix = &mean[i % heads * width * width..];
        for (factor, row) in from.iter().zip(matrix.chunks_exact(width)) {
            to.iter_mut().zip(row).for_each(|(sum, v)| *sum += factor * v);
        }
    }
    folded.pack(weight);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference;

    #[test]
    fn of_what_is_not_a_number_no_matrix_is_made() {
        let p = Correlation { channels: 2, width: 2, columns: Axis::new(1, 1) };
        let mut row = vec![1.0; p.sums()];
        row[p.product(0, 0, 0)] = f32::NAN;
        row[p.product(0, 0, 1)] = -1.0;
        let (mut total, mut out) = (vec![0.0; p.sums()], vec![0.0; 4]);
        window_matrices(&p, [row.as_slice()].into_iter(), &[2.0], &mut total, &mut out);
        assert!(out[0].is_nan() && out[1..] == [0.0, 2.0, 2.0], "{out:?}");
    }

    #[test]
    fn windows_are_those_of_the_reference_and_intervals_cover_the_axis() {
        for n in 1..300 {
            for window in [1, 2, 7, 16, 48, 96] {
                let axis = Axis::new(n, window);
                assert_eq!((axis.starts.clone(), axis.len), reference::window_starts(n, window));
                assert_eq!((axis.cuts[0], axis.cuts[axis.intervals()]), (0, n));
                assert!((0..axis.intervals()).all(|i| axis.covering(i).count() > 0));
            }
        }
    }
}
