//! MHDLSA's filter: a 7x7 (or other) depth-wise convolution whose kernel differs at every pixel. The kernels are made here
//! too, tile by tile (a 1x1 convolution), so that they never leave the first-level cache: 49 values a pixel and group.
//!
//! Tile: 3 vectors by all channels of a group, 3 channels at a time. Bound: multiply-adds to make the kernels, loads to apply.

use super::conv::{PackedConv, conv1x1_tile};
use super::{load_tile, tiles};
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{MAX_LANES, MAX_TILE, Simd};
use crate::network::{Conv, DynamicLocalAttention};

/// Channels filtered side by side: with 3 vectors 9 sums, which leaves registers for the kernel and the picture.
const SIDE_BY_SIDE: usize = 3;

/// The filter and the convolution that makes its kernels.
#[derive(Clone, Debug)]
pub struct DynamicFilter {
    /// One 1x1 convolution for each group, to `window * window` channels.
    pub expand: Vec<PackedConv>,
    /// Side of a kernel.
    pub window: usize,
    /// Channels of a group.
    pub group_channels: usize,
}

impl DynamicFilter {
    /// Packs the weights of a block.
    pub fn new(p: &DynamicLocalAttention) -> Self {
        let taps = p.window * p.window;
        let group = |g: usize| {
            let channels = g * taps..(g + 1) * taps;
            PackedConv::new(&Conv {
                cout: taps,
                weight: p.expand.weight[channels.start * p.expand.cin..channels.end * p.expand.cin].to_vec(),
                bias: p.expand.bias[channels].to_vec(),
                ..p.expand.clone()
            })
        };
        let expand = (0..p.expand.cout / taps).map(group).collect();
        Self { expand, window: p.window, group_channels: p.group_channels }
    }

    /// Values of scratch that the kernel needs.
    pub fn scratch(&self) -> usize {
        self.window * self.window * MAX_TILE * MAX_LANES
    }
}

kernel! {
    /// One row: lines of `reduced` and lines `[channels][window]` of `u` in, `[channels]` out.
    pub fn dynamic_filter<S>(
        s, reduced: Taps<'_>, u: Taps<'_>, p: &DynamicFilter, scratch: &mut [f32], out: &mut [f32],
    ) {
        let line = u.line();
        assert!(u.len() == p.expand.len() * p.group_channels * p.window, "the filter's input has its channels");
        assert!(line.left >= p.window / 2 && reduced.line() == line, "the margin is as wide as the kernel reaches");
        for (g, expand) in p.expand.iter().enumerate() {
            let first = g * p.group_channels;
            tiles!(S::TILES[0], [4, 3, 1], S::LANES, 0..line.width, |x, N| {
                conv1x1_tile::<S, N>(s, reduced, expand, x, scratch);
                let mut c = 0;
                while c < p.group_channels {
                    if p.group_channels - c >= SIDE_BY_SIDE {
                        filter::<S, N, SIDE_BY_SIDE>(s, u, p.window, first + c, x, scratch, out);
                        c += SIDE_BY_SIDE;
                    } else {
                        filter::<S, N, 1>(s, u, p.window, first + c, x, scratch, out);
                        c += 1;
                    }
                }
            });
        }
    }
}

/// Filters channels `first..first + C` with the kernels `[window²][N vectors]`.
#[inline(always)]
fn filter<S: Simd, const N: usize, const C: usize>(
    s: S,
    u: Taps<'_>,
    window: usize,
    first: usize,
    x: usize,
    kernels: &[f32],
    out: &mut [f32],
) {
    let line = u.line();
    let at = line.left + x;
    let mut sums = [[s.splat(0.0); N]; C];
    let kernels = &kernels[..window * window * N * S::LANES];
    let rows = &u.pointers()[first * window..(first + C) * window];
    for dy in 0..window {
        for dx in 0..window {
            // SAFETY: the slice of kernels has just been cut to size; a line has room for a vector at every pixel and half a
            // window to either side (`Line::new`), and `N - 1` vectors more begin at pixels too.
            unsafe {
                let k: [S::V; N] = load_tile(s, kernels.as_ptr().add((dy * window + dx) * N * S::LANES));
                for (c, sums) in sums.iter_mut().enumerate() {
                    let v: [S::V; N] = load_tile(s, rows.get_unchecked(c * window + dy).add(at + dx - window / 2));
                    for n in 0..N {
                        sums[n] = s.fma(k[n], v[n], sums[n]);
                    }
                }
            }
        }
    }
    for (c, sums) in sums.iter().enumerate() {
        let to = &mut out[(first + c) * line.stride + at..][..N * S::LANES];
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: the slice is `N` vectors long.
            unsafe { s.store(to.as_mut_ptr().add(n * S::LANES), sum) };
        }
    }
}
