//! Depth-wise convolution of any kernel and dilation, and what DLGSANet and SDAN do with its result at once.
//!
//! Tile: one channel by 4 vectors, enough sums to hide the latency of a multiply-add. Bound: multiply-adds and what brings
//! their pixels into place: a load each, or, in kernels of 3 to 7 taps side by side, a turn of two vectors that are there.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::{load_tile, tiles};
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::math::gelu;
use crate::backend::cpu::simd::{MAX_TILE, Simd};
use crate::network::DepthwiseConv;

/// What becomes of a depth-wise convolution's value v.
#[derive(Clone, Copy)]
pub enum Then<'a> {
    /// v.
    Nothing,
    /// `v + line`.
    Add(Taps<'a>),
    /// `r + ReLU6(a) * v`: the star of SDAN.
    Star {
        /// Lines of a.
        gate: Taps<'a>,
        /// Lines of r.
        residual: Taps<'a>,
    },
}

kernel! {
    /// One row: lines `[channels][kernel_h]` in, `[channels]` out.
    pub fn depthwise<S>(s, taps: Taps<'_>, p: &DepthwiseConv, then: Then<'_>, out: &mut [f32]) {
        check(&taps, p);
        let line = taps.line();
        for c in 0..p.channels {
            let target = &mut out[c * line.stride..][..line.stride];
            tiles!(4, [4, 1], S::LANES, 0..line.width, |x, N| {
                // SAFETY: `check` has compared all sizes.
                let sums: [S::V; N] = unsafe { tile(s, taps, p, c, line.left + x) };
                finish(s, sums, then, c, line.left + x, target);
            });
        }
    }
}

kernel! {
    /// One row of `GELU(v[..h]) * v[h..]`: lines `[2h][kernel_h]` in, `[h]` out.
    pub fn depthwise_gate<S>(s, taps: Taps<'_>, p: &DepthwiseConv, out: &mut [f32]) {
        check(&taps, p);
        let line = taps.line();
        let half = p.channels / 2;
        for c in 0..half {
            let target = &mut out[c * line.stride..][..line.stride];
            tiles!(4, [4, 1], S::LANES, 0..line.width, |x, N| {
                let at = line.left + x;
                // GELU keeps busy what turns vectors, so all taps are loaded.
                // SAFETY: `check` has compared all sizes.
                let (a, b): ([S::V; N], [S::V; N]) = unsafe { (far(s, taps, p, c, at), far(s, taps, p, c + half, at)) };
                gate(s, a, b, at, target);
            });
        }
    }
}

/// # Panics
/// If a tile would read outside its lines.
fn check(taps: &Taps<'_>, p: &DepthwiseConv) {
    let reach = p.dilation * (p.kernel_w / 2);
    assert!(taps.len() == p.channels * p.kernel_h, "a convolution's input has its channels");
    assert!(taps.line().left >= reach, "the margin is as wide as the kernel reaches");
    assert!(p.weight.len() == taps.len() * p.kernel_w && p.bias.len() == p.channels, "weights are whole");
}

/// # Safety
/// What `check` checks; `at` is that of a pixel of the line at a multiple of a vector, and `N - 1` vectors more begin at pixels
/// too.
#[inline(always)]
unsafe fn tile<S: Simd, const N: usize>(s: S, taps: Taps<'_>, p: &DepthwiseConv, c: usize, at: usize) -> [S::V; N] {
    // SAFETY: the caller's promise.
    unsafe {
        match (p.kernel_w, p.dilation) {
            (3, 1) => near::<S, N, 3>(s, taps, p, c, at),
            (5, 1) => near::<S, N, 5>(s, taps, p, c, at),
            (7, 1) => near::<S, N, 7>(s, taps, p, c, at),
            _ => far(s, taps, p, c, at),
        }
    }
}

/// Rows of `K` taps side by side.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn near<S: Simd, const N: usize, const K: usize>(
    s: S,
    taps: Taps<'_>,
    p: &DepthwiseConv,
    c: usize,
    at: usize,
) -> [S::V; N] {
    let mut sums = [s.splat(p.bias[c]); N];
    let lines = &taps.pointers()[c * p.kernel_h..][..p.kernel_h];
    let weights = &p.weight[c * p.kernel_h * K..][..p.kernel_h * K];
    for (&line, weights) in lines.iter().zip(weights.as_chunks::<K>().0) {
        let mut vectors = [s.splat(0.0); MAX_TILE + 2];
        for n in 0..N + 2 {
            // SAFETY: a kernel of more than one tap has a margin, which is a vector wide, and beyond the last vector that a pixel
            // begins there is another (`Line::new`).
            vectors[n] = unsafe { s.load(line.add(at + n * S::LANES - S::LANES)) };
        }
        macro_rules! taps {
            ($($distance:literal)*) => {$(
                if isize::abs($distance) <= K as isize / 2 {
                    let weight = s.splat(weights[($distance + K as isize / 2) as usize]);
                    for n in 0..N {
                        let around = [vectors[n], vectors[n + 1], vectors[n + 2]];
                        // SAFETY: as in `far`.
                        let v = unsafe { s.beside::<$distance>(line.add(at + n * S::LANES), around) };
                        sums[n] = s.fma(v, weight, sums[n]);
                    }
                }
            )*};
        }
        taps!(-3 -2 -1 0 1 2 3);
    }
    sums
}

/// Any kernel.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn far<S: Simd, const N: usize>(s: S, taps: Taps<'_>, p: &DepthwiseConv, c: usize, at: usize) -> [S::V; N] {
    let reach = p.dilation * (p.kernel_w / 2);
    let mut sums = [s.splat(p.bias[c]); N];
    let lines = &taps.pointers()[c * p.kernel_h..][..p.kernel_h];
    let weights = &p.weight[c * p.kernel_h * p.kernel_w..][..p.kernel_h * p.kernel_w];
    for (&line, weights) in lines.iter().zip(weights.chunks_exact(p.kernel_w)) {
        for (tap, &weight) in weights.iter().enumerate() {
            // SAFETY: a line has room for a vector at every pixel and `reach` pixels to either side (`Line::new`).
            let v: [S::V; N] = unsafe { load_tile(s, line.add(at + tap * p.dilation - reach)) };
            let weight = s.splat(weight);
            for n in 0..N {
                sums[n] = s.fma(v[n], weight, sums[n]);
            }
        }
    }
    sums
}

#[inline(always)]
fn finish<S: Simd, const N: usize>(s: S, sums: [S::V; N], then: Then<'_>, c: usize, at: usize, out: &mut [f32]) {
    for (n, &sum) in sums.iter().enumerate() {
        let at = at + n * S::LANES;
        let v = match then {
            Then::Nothing => sum,
            Then::Add(other) => s.add(sum, load(s, other, c, at)),
            Then::Star { gate, residual } => {
                let gate = s.max(s.splat(0.0), s.min(s.splat(6.0), load(s, gate, c, at)));
                s.fma(gate, sum, load(s, residual, c, at))
            }
        };
        let to = &mut out[at..][..S::LANES];
        // SAFETY: the slice is a vector long.
        unsafe { s.store(to.as_mut_ptr(), v) };
    }
}

#[inline(always)]
fn load<S: Simd>(s: S, taps: Taps<'_>, c: usize, at: usize) -> S::V {
    let from = &taps.get(c)[at..][..S::LANES];
    // SAFETY: the slice is a vector long.
    unsafe { s.load(from.as_ptr()) }
}

#[inline(always)]
fn gate<S: Simd, const N: usize>(s: S, a: [S::V; N], b: [S::V; N], at: usize, out: &mut [f32]) {
    for n in 0..N {
        let to = &mut out[at + n * S::LANES..][..S::LANES];
        // SAFETY: the slice is a vector long.
        unsafe { s.store(to.as_mut_ptr(), s.mul(gelu(s, a[n]), b[n])) };
    }
}
