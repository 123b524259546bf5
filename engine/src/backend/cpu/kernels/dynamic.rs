//! MHDLSA's filter: a 7x7 (or other) depth-wise convolution whose kernel differs at every pixel. The kernels are made here
//! too, tile by tile (a 1x1 convolution), so that they never leave the first-level cache: 49 values a pixel and group.
//!
//! Tile: 4 vectors by all channels of a group, 2 channels at a time. Bound: multiply-adds to make the kernels, loads to apply.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::bfloat::{self, BfloatConv};
use super::conv::{PackedConv, conv1x1_tile};
use super::narrow;
use super::{load_tile, tiles};
use crate::backend::cpu::dispatch::{Isa, kernel};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{MAX_LANES, MAX_TILE, Simd};
use crate::network::{Conv, DynamicLocalAttention};

/// The filter and the convolutions that make its kernels.
#[derive(Clone, Debug)]
pub struct DynamicFilter {
    /// What makes the kernels of each group.
    expand: Expand,
    /// Channels that they are made of.
    reduced: usize,
    /// Groups of channels, each with a kernel of its own.
    pub groups: usize,
    /// Side of a kernel.
    pub window: usize,
    /// Channels of a group.
    pub group_channels: usize,
}

/// One 1x1 convolution for each group, to `window * window` channels.
#[derive(Clone, Debug)]
enum Expand {
    Floats(Vec<PackedConv>),
    Bfloats(Vec<BfloatConv>),
}

impl DynamicFilter {
    /// Packs the weights of a block; its kernels are made in bf16 where that is asked for.
    pub fn new(p: &DynamicLocalAttention, bfloat: bool) -> Self {
        let (taps, reduced) = (p.window * p.window, p.expand.cin);
        let groups = p.expand.cout / taps;
        let parts = (0..groups).map(|g| {
            let channels = g * taps..(g + 1) * taps;
            Conv {
                cout: taps,
                weight: p.expand.weight[channels.start * reduced..channels.end * reduced].to_vec(),
                bias: p.expand.bias[channels].to_vec(),
                ..p.expand.clone()
            }
        });
        let expand = if bfloat {
            Expand::Bfloats(parts.map(|part| BfloatConv::of_vectors(&part)).collect())
        } else {
            Expand::Floats(parts.map(|part| PackedConv::new(&part)).collect())
        };
        Self { expand, reduced, groups, window: p.window, group_channels: p.group_channels }
    }

    /// Values of scratch that it needs: kernels, and in bf16 what they are made of.
    pub fn scratch(&self) -> usize {
        let taps = self.window * self.window;
        (taps.next_multiple_of(narrow::OUTPUTS) + self.reduced) * MAX_TILE * MAX_LANES
    }

    /// Multiply-adds of a pixel.
    pub fn multiply_adds(&self) -> usize {
        self.window * self.window * self.groups * (self.reduced + self.group_channels)
    }
}

/// One row: lines of `reduced` and lines `[channels][window]` of `u` in, `[channels]` out.
///
/// # Panics
/// If lines, scratch or output do not fit, or kernels are made in bf16 on an instruction set that is none of [`Isa::bf16`].
pub fn dynamic_filter(
    isa: Isa,
    (reduced, u): (Taps<'_>, Taps<'_>),
    p: &DynamicFilter,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let line = u.line();
    let channels = p.groups * p.group_channels;
    assert!(u.len() == channels * p.window && reduced.len() == p.reduced, "the filter's input has its channels");
    assert!(line.left >= p.window / 2 && reduced.line() == line, "the margin is as wide as the kernel reaches");
    assert!(scratch.len() >= p.scratch() && out.len() >= channels * line.stride, "there is room");
    match &p.expand {
        Expand::Floats(expand) => floats(isa, (reduced, u), (p, expand), scratch, out),
        Expand::Bfloats(expand) => bfloat::dynamic_filter(isa, (reduced, u), (p, expand), scratch, out),
    }
}

kernel! {
    fn floats<S>(
        s, taps: (Taps<'_>, Taps<'_>), p: (&DynamicFilter, &[PackedConv]), scratch: &mut [f32], out: &mut [f32],
    ) {
        let ((reduced, u), (p, expand)) = (taps, p);
        for (g, expand) in expand.iter().enumerate() {
            tiles!(S::TILES[0], [4, 3, 1], S::LANES, 0..u.line().width, |x, N| {
                conv1x1_tile::<S, N>(s, reduced, expand, x, scratch);
                group::<S, N>(s, u, (p, g), x, scratch, out);
            });
        }
    }
}

/// Filters the channels of group `g` with the kernels `[window²][N vectors]`.
#[inline(always)]
pub fn group<S: Simd, const N: usize>(
    s: S,
    u: Taps<'_>,
    (p, g): (&DynamicFilter, usize),
    x: usize,
    kernels: &[f32],
    out: &mut [f32],
) {
    let (mut c, end) = (g * p.group_channels, (g + 1) * p.group_channels);
    while c < end {
        if end - c >= 2 {
            filter::<S, N, 2>(s, u, p.window, c, x, kernels, out);
            c += 2;
        } else {
            filter::<S, N, 1>(s, u, p.window, c, x, kernels, out);
            c += 1;
        }
    }
}

/// Filters channels `first..first + C`.
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
    let kernels = &kernels[..window * window * N * S::LANES];
    let rows = &u.pointers()[first * window..(first + C) * window];
    // SAFETY: the slices have just been cut to size, and the caller has compared the rest.
    let sums: [[S::V; N]; C] = unsafe {
        match window {
            7 => near::<S, N, C, 7>(s, rows, at, kernels),
            5 => near::<S, N, C, 5>(s, rows, at, kernels),
            _ => far(s, rows, window, at, kernels),
        }
    };
    for (c, sums) in sums.iter().enumerate() {
        let to = &mut out[(first + c) * line.stride + at..][..N * S::LANES];
        for (n, &sum) in sums.iter().enumerate() {
            // SAFETY: the slice is `N` vectors long.
            unsafe { s.store(to.as_mut_ptr().add(n * S::LANES), sum) };
        }
    }
}

/// The sums of a window of `K` by `K`.
///
/// # Safety
/// `K` lines for each channel, `K * K` times `N` vectors of kernels, and at `at` of every line what [`Line`] promises around a
/// pixel at a multiple of a vector.
#[inline(always)]
unsafe fn near<S: Simd, const N: usize, const C: usize, const K: usize>(
    s: S,
    rows: &[*const f32],
    at: usize,
    kernels: &[f32],
) -> [[S::V; N]; C] {
    let mut sums = [[s.splat(0.0); N]; C];
    for dy in 0..K {
        let mut vectors = [[s.splat(0.0); MAX_TILE + 2]; C];
        for c in 0..C {
            for n in 0..N + 2 {
                // SAFETY: the margins are a vector wide, and beyond the last vector that a pixel begins there is another.
                vectors[c][n] = unsafe { s.load(rows.get_unchecked(c * K + dy).add(at + n * S::LANES - S::LANES)) };
            }
        }
        macro_rules! taps {
            ($($distance:literal)*) => {$(
                if isize::abs($distance) <= K as isize / 2 {
                    let tap = dy * K + ($distance + K as isize / 2) as usize;
                    // SAFETY: the caller's promise.
                    unsafe {
                        let k: [S::V; N] = load_tile(s, kernels.as_ptr().add(tap * N * S::LANES));
                        for c in 0..C {
                            let from = rows.get_unchecked(c * K + dy).add(at);
                            for n in 0..N {
                                let around = [vectors[c][n], vectors[c][n + 1], vectors[c][n + 2]];
                                let v = s.beside::<$distance>(from.add(n * S::LANES), around);
                                sums[c][n] = s.fma(k[n], v, sums[c][n]);
                            }
                        }
                    }
                }
            )*};
        }
        taps!(-3 -2 -1 0 1 2 3);
    }
    sums
}

/// The sums of any window.
///
/// # Safety
/// As for [`near`].
#[inline(always)]
unsafe fn far<S: Simd, const N: usize, const C: usize>(
    s: S,
    rows: &[*const f32],
    window: usize,
    at: usize,
    kernels: &[f32],
) -> [[S::V; N]; C] {
    let mut sums = [[s.splat(0.0); N]; C];
    for dy in 0..window {
        for dx in 0..window {
            // SAFETY: the caller's promise.
            unsafe {
                let k: [S::V; N] = load_tile(s, kernels.as_ptr().add((dy * window + dx) * N * S::LANES));
                for c in 0..C {
                    let v: [S::V; N] = load_tile(s, rows.get_unchecked(c * window + dy).add(at + dx - window / 2));
                    for n in 0..N {
                        sums[c][n] = s.fma(k[n], v[n], sums[c][n]);
                    }
                }
            }
        }
    }
    sums
}
