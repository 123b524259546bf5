//! Kernels: each computes one row (all its channels) from the rows that it needs. A pixel's result does not depend on where
//! its vector or its band begins, so that neither the number of threads nor the cut of a frame changes any bit.

pub mod conv;
pub mod depthwise;
pub mod dynamic;
pub mod elementwise;
pub mod global;
pub mod norm;
pub mod rearrange;
pub mod windows;

use super::simd::Simd;

/// Loads `N` vectors that follow each other.
///
/// # Safety
/// `N * S::LANES` values must be readable at `from`.
#[inline(always)]
unsafe fn load_tile<S: Simd, const N: usize>(s: S, from: *const f32) -> [S::V; N] {
    let mut v = [s.splat(0.0); N];
    for (n, v) in v.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *v = unsafe { s.load(from.add(n * S::LANES)) };
    }
    v
}

/// Calls `$body` with the constant `$n` = `$wide` as often as that many vectors are left of `$range`, then with 1. `$x` is
/// the first pixel. (A macro, not a function of a closure: the body has to keep its instruction set.)
macro_rules! tiles {
    ($wide:expr, $lanes:expr, $range:expr, |$x:ident, $n:ident| $body:block) => {{
        let range: std::ops::Range<usize> = $range;
        let mut $x = range.start;
        while $x < range.end {
            if range.end - $x > ($wide - 1) * $lanes {
                const $n: usize = $wide;
                $body
                $x += $n * $lanes;
            } else {
                const $n: usize = 1;
                $body
                $x += $lanes;
            }
        }
    }};
}
use tiles;
