//! Moves without arithmetic: pixel shuffle, nearest, tokens, and the way in and out.

use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::{Line, Taps};
use crate::backend::cpu::simd::Simd;

kernel! {
    /// One row in, `factor` rows out, `[factor][channels]` lines of geometry `to`:
    /// `out[i][c][s*x + j] = in[c*s*s + i*s + j][x]`, plus `nearest[c][x]` where given.
    pub fn pixel_shuffle<S>(s, taps: Taps<'_>, nearest: Option<Taps<'_>>, factor: usize, to: Line, out: &mut [f32]) {
        let square = factor * factor;
        let channels = taps.len() / square;
        for c in 0..channels {
            let add = nearest.as_ref().map(|taps| taps.pixels(c));
            for i in 0..factor {
                let line = to.pixels_mut(&mut out[i * channels * to.stride..], c);
                let parts = taps.part(c * square + i * factor, factor);
                let done = if factor == 2 { pairs(s, parts, nearest.map(|n| n.part(c, 1)), line) } else { 0 };
                for j in 0..factor {
                    let from = &parts.pixels(j)[done..];
                    let slots = line[done * factor..].chunks_exact_mut(factor);
                    match add {
                        None => slots.zip(from).for_each(|(slot, v)| slot[j] = *v),
                        Some(add) => slots.zip(from).zip(&add[done..]).for_each(|((slot, v), n)| slot[j] = v + n),
                    }
                }
            }
        }
    }
}

/// The whole vectors of a shuffle by 2; returns how many pixels they are.
#[inline(always)]
fn pairs<S: Simd>(s: S, parts: Taps<'_>, add: Option<Taps<'_>>, line: &mut [f32]) -> usize {
    let (even, odd) = (parts.pixels(0), parts.pixels(1));
    let whole = even.len() / S::LANES * S::LANES;
    for x in (0..whole).step_by(S::LANES) {
        let (a, b) = (&even[x..][..S::LANES], &odd[x..][..S::LANES]);
        let to = &mut line[2 * x..][..2 * S::LANES];
        // SAFETY: the slices are one, one and two vectors long.
        unsafe {
            let (mut a, mut b) = (s.load(a.as_ptr()), s.load(b.as_ptr()));
            if let Some(add) = &add {
                let n = s.load(add.pixels(0)[x..][..S::LANES].as_ptr());
                (a, b) = (s.add(a, n), s.add(b, n));
            }
            let (low, high) = s.interleave(a, b);
            s.store(to.as_mut_ptr(), low);
            s.store(to.as_mut_ptr().add(S::LANES), high);
        }
    }
    whole
}

/// One row in, `factor` equal rows out with every pixel repeated, `[factor][channels]` lines of geometry `to`.
pub fn nearest(taps: Taps<'_>, factor: usize, to: Line, out: &mut [f32]) {
    let channels = taps.len();
    for i in 0..factor {
        for c in 0..channels {
            let line = to.pixels_mut(&mut out[i * channels * to.stride..], c);
            for (slot, v) in line.chunks_exact_mut(factor).zip(taps.pixels(c)) {
                slot.fill(*v);
            }
        }
    }
}

/// One row in, `[pixels][channels]` out.
pub fn to_tokens(taps: Taps<'_>, out: &mut [f32]) {
    /// Pixels at a time, so that what is written stays in the cache until it is whole.
    const BLOCK: usize = 16;
    let channels = taps.len();
    for first in (0..taps.line().width).step_by(BLOCK) {
        for c in 0..channels {
            let pixels = &taps.pixels(c)[first..];
            for (i, v) in pixels.iter().take(BLOCK).enumerate() {
                out[(first + i) * channels + c] = *v;
            }
        }
    }
}

/// One row, of which the last pixel is repeated or the last ones are left out, as the target line is longer or shorter.
pub fn fit(taps: Taps<'_>, to: Line, out: &mut [f32]) {
    for c in 0..taps.len() {
        let from = taps.pixels(c);
        let line = to.pixels_mut(out, c);
        let common = from.len().min(line.len());
        line[..common].copy_from_slice(&from[..common]);
        line[common..].fill(from[from.len() - 1]);
    }
}
