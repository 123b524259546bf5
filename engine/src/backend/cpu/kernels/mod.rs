//! Kernels: each computes one row (all its channels) from the rows that it needs. A pixel's result does not depend on where
//! its vector or its band begins, so that neither the number of threads nor the cut of a frame changes any bit.

pub mod attend;
pub mod bfloat;
pub mod bytes;
pub mod conv;
pub mod correlate;
pub mod depthwise;
pub mod dynamic;
pub mod elementwise;
pub mod global;
mod narrow;
pub mod norm;
pub mod rearrange;
pub mod vertical;
pub mod windows;

use super::simd::Simd;

/// Loads `N` vectors that follow each other.
///
/// # Safety
/// `N * S::LANES` values must be readable at `from`.
#[expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]
#[inline(always)]
unsafe fn load_tile<S: Simd, const N: usize>(s: S, from: *const f32) -> [S::V; N] {
    let mut v = [s.splat(0.0); N];
    for n in 0..N {
        // SAFETY: the caller's promise.
        v[n] = unsafe { s.load(from.add(n * S::LANES)) };
    }
    v
}

/// Stores `N` vectors one after the other.
///
/// # Safety
/// `N * S::LANES` values must be writable at `to`.
#[expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]
#[inline(always)]
unsafe fn store_tile<S: Simd, const N: usize>(s: S, v: [S::V; N], to: *mut f32) {
    for n in 0..N {
        // SAFETY: the caller's promise.
        unsafe { s.store(to.add(n * S::LANES), v[n]) };
    }
}

/// Calls `$body` with the constant `$n`, a number of vectors: the first of those listed that is at most `$most` and of which
/// so many are left of `$range`; again until nothing is left. `$x` is the first pixel. (A macro, not a function of a closure:
/// the body has to keep its instruction set.)
macro_rules! tiles {
    ($most:expr, [$($wide:literal),+], $lanes:expr, $range:expr, |$x:ident, $n:ident| $body:block) => {{
        let range: std::ops::Range<usize> = $range;
        let mut $x = range.start;
        while $x < range.end {
            let left = (range.end - $x).div_ceil($lanes);
            $(
                if $wide <= $most && $wide <= left {
                    const $n: usize = $wide;
                    $body
                    $x += $n * $lanes;
                    continue;
                }
            )+
        }
    }};
}
use tiles;
