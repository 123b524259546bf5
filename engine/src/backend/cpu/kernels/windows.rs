//! SparseGSA: one matrix between the channels of a head for each window; then, as the mean over windows of matrix times
//! values is the mean matrix times values, one 1x1 convolution (mean matrices and `project_out` multiplied together) for each
//! rectangle of pixels that lie in the same windows.

use super::conv::PackedConv;
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Line;
use crate::backend::cpu::simd::{GROUP, Simd};
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

/// A picture of queries, keys and values, `[rows][3C][line]`.
#[derive(Clone, Copy)]
pub struct Qkv<'a> {
    /// All values.
    pub data: &'a [f32],
    /// Geometry of a line.
    pub line: Line,
    /// C.
    pub channels: usize,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Consecutive channels that attend to each other.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// First channel.
    pub first: usize,
    /// Channels.
    pub width: usize,
    /// Factor of the scalar products.
    pub temperature: f32,
}

kernel! {
    /// The matrix of one head in one window, `[width][width]`, to `out`:
    /// `max(0, temperature * q·k / (max(|q|, 1e-12) max(|k|, 1e-12)))`. `norms` has room for `width` values.
    pub fn window_matrix<S>(s, z: Qkv<'_>, window: Window, head: Head, norms: &mut [f32], out: &mut [f32]) {
        assert!(window.left + window.width <= z.line.width, "a window lies in the picture");
        let width = head.width;
        for (b, norm) in norms[..width].iter_mut().enumerate() {
            let key = z.channels + head.first + b;
            *norm = dot(s, z, window, key, [key])[0].sqrt().max(1e-12);
        }
        for (a, row) in out[..width * width].chunks_exact_mut(width).enumerate() {
            let query = head.first + a;
            let query_norm = dot(s, z, window, query, [query])[0].sqrt().max(1e-12);
            for (i, part) in row.chunks_mut(4).enumerate() {
                let key = z.channels + head.first + 4 * i;
                if let [_, _, _, _] = part {
                    part.copy_from_slice(&dot(s, z, window, query, [key, key + 1, key + 2, key + 3]));
                } else {
                    for (j, v) in part.iter_mut().enumerate() {
                        *v = dot(s, z, window, query, [key + j])[0];
                    }
                }
            }
            for (v, key_norm) in row.iter_mut().zip(&norms[..]) {
                *v = (head.temperature * (*v / query_norm / key_norm)).max(0.0);
            }
        }
    }
}

/// Scalar products of channel `a` with others over a window: rows in order, then the lanes of a vector.
#[inline(always)]
fn dot<S: Simd, const N: usize>(s: S, z: Qkv<'_>, window: Window, a: usize, others: [usize; N]) -> [f32; N] {
    let mut sums = [s.splat(0.0); N];
    for y in window.top..window.top + window.height {
        let line = |c: usize| &z.line.pixels(z.data, y * 3 * z.channels + c)[window.left..][..window.width];
        let a = line(a);
        let others = others.map(line);
        for x in (0..window.width).step_by(S::LANES) {
            let count = (window.width - x).min(S::LANES);
            for n in 0..N {
                // SAFETY: `count` values are left in every line.
                unsafe {
                    let (v, w) = if count == S::LANES {
                        (s.load(a.as_ptr().add(x)), s.load(others[n].as_ptr().add(x)))
                    } else {
                        (s.load_first(a.as_ptr().add(x), count), s.load_first(others[n].as_ptr().add(x), count))
                    };
                    sums[n] = s.fma(v, w, sums[n]);
                }
            }
        }
    }
    let mut out = [0.0; N];
    for n in 0..N {
        out[n] = s.sum(sums[n]);
    }
    out
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

/// The 1x1 convolution of one rectangle: `project_out` times the mean of the matrices of the windows that hold it.
pub fn fold(m: &Matrices<'_>, p: &SparseGlobalAttention, (row, column): (usize, usize), packed: &mut PackedConv) {
    let (channels, heads) = (p.project_out.cin, p.temperature.len());
    let width = channels / heads;
    let size = heads * width * width;
    let covering = || {
        let columns = m.columns.covering(column);
        m.rows.covering(row).flat_map(move |r| columns.clone().map(move |c| (r * m.columns.starts.len() + c) * size))
    };
    let share = 1.0 / covering().count() as f32;
    packed.weight.fill(0.0);
    for channel in 0..channels {
        let (head, b) = (channel / width, channel % width);
        for a in 0..width {
            let at = (head * width + a) * width + b;
            let mean = covering().map(|window| m.data[window + at]).sum::<f32>() * share;
            for o in 0..p.project_out.cout {
                let w = p.project_out.weight[o * channels + head * width + a];
                packed.weight[(o / GROUP * channels + channel) * GROUP + o % GROUP] += w * mean;
            }
        }
    }
    packed.bias[..p.project_out.cout].copy_from_slice(&p.project_out.bias);
}

/// An empty convolution of the shape that [`fold`] fills.
pub fn folded_shape(p: &Conv) -> PackedConv {
    PackedConv::with_shape(p.cin, p.cout, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference;

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
