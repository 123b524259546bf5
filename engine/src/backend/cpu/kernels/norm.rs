//! Layer norm over the channels of each pixel, in two passes: one pass would lose a small variance around a large mean.
//!
//! Tile: 4 vectors over all channels, which hide the latency of the sums. Bound: loads from the first-level cache, three a value.

use super::{load_tile, tiles};
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::Simd;
use crate::network::LayerNorm;

/// Added to the variance.
const EPSILON: f32 = 1e-5;

kernel! {
    /// One row: lines `[channels]` in and out.
    pub fn layer_norm<S>(s, taps: Taps<'_>, p: &LayerNorm, out: &mut [f32]) {
        let line = taps.line();
        assert!(p.weight.len() == taps.len() && p.bias.len() == taps.len(), "a norm's input has its channels");
        tiles!(4, [4, 1], S::LANES, 0..line.width, |x, N| {
            tile::<S, N>(s, taps, p, line.left + x, out);
        });
    }
}

#[inline(always)]
fn tile<S: Simd, const N: usize>(s: S, taps: Taps<'_>, p: &LayerNorm, at: usize, out: &mut [f32]) {
    let share = s.splat(1.0 / taps.len() as f32);
    let mut mean = [s.splat(0.0); N];
    for c in 0..taps.len() {
        let v: [S::V; N] = load(s, taps, c, at);
        // What the next tile reads and writes: more lines than the processor's own prefetch follows.
        let next = at + N * S::LANES;
        s.prefetch::<N>(taps.pointers()[c].wrapping_add(next));
        s.prefetch::<N>(out.as_ptr().wrapping_add(c * taps.line().stride + next));
        for n in 0..N {
            mean[n] = s.add(mean[n], v[n]);
        }
    }
    for mean in &mut mean {
        *mean = s.mul(*mean, share);
    }
    let mut scale = [s.splat(0.0); N];
    for c in 0..taps.len() {
        let v: [S::V; N] = load(s, taps, c, at);
        for n in 0..N {
            let d = s.sub(v[n], mean[n]);
            scale[n] = s.fma(d, d, scale[n]);
        }
    }
    for scale in &mut scale {
        *scale = s.div(s.splat(1.0), s.sqrt(s.fma(*scale, share, s.splat(EPSILON))));
    }
    for c in 0..taps.len() {
        let v: [S::V; N] = load(s, taps, c, at);
        let (weight, bias) = (s.splat(p.weight[c]), s.splat(p.bias[c]));
        let to = &mut out[c * taps.line().stride + at..][..N * S::LANES];
        for n in 0..N {
            let normed = s.mul(s.sub(v[n], mean[n]), scale[n]);
            // SAFETY: the slice is `N` vectors long.
            unsafe { s.store(to.as_mut_ptr().add(n * S::LANES), s.fma(normed, weight, bias)) };
        }
    }
}

#[inline(always)]
fn load<S: Simd, const N: usize>(s: S, taps: Taps<'_>, c: usize, at: usize) -> [S::V; N] {
    let from = &taps.get(c)[at..][..N * S::LANES];
    // SAFETY: the slice is `N` vectors long.
    unsafe { load_tile(s, from.as_ptr()) }
}
