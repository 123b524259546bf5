//! The dynamic filter with kernels that are made in bf16, by AVX-512 with BF16.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::avx512::{round, sums};
use super::{BfloatConv, LANES};
use crate::backend::cpu::kernels::dynamic::{DynamicFilter, group};
use crate::backend::cpu::kernels::narrow::{OUTPUTS, WIDE};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{Avx512, GROUP};

/// # Safety
/// What [`super::dynamic_filter`] checks; the scratch begins on a cache line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub unsafe fn row(
    s: Avx512,
    (reduced, u): (Taps<'_>, Taps<'_>),
    (p, expand): (&DynamicFilter, &[BfloatConv]),
    room: &mut [f32],
    out: &mut [f32],
) {
    let width = u.line().width;
    let mut x = 0;
    while x < width {
        // SAFETY: the caller's promise; a line has room for a vector at every pixel (`Line::new`).
        unsafe {
            match (width - x).div_ceil(LANES) {
                1 => block::<1>(s, (reduced, u), (p, expand), x, room, out),
                2 => block::<2>(s, (reduced, u), (p, expand), x, room, out),
                _ => block::<WIDE>(s, (reduced, u), (p, expand), x, room, out),
            }
        }
        x += WIDE * LANES;
    }
}

/// `V` vectors of pixels from pixel `x` on. In `room` lie pairs of pixels, then the kernels of a group.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn block<const V: usize>(
    s: Avx512,
    (reduced, u): (Taps<'_>, Taps<'_>),
    (p, expand): (&DynamicFilter, &[BfloatConv]),
    x: usize,
    room: &mut [f32],
    out: &mut [f32],
) {
    let (pixels, kernels) = room.split_at_mut(reduced.len().div_ceil(2) * V * LANES);
    let pixels = pixels.as_mut_ptr().cast();
    // SAFETY: the caller's promise.
    unsafe {
        round::<V>(s, reduced, reduced.line().left + x, pixels);
        for (g, expand) in expand.iter().enumerate() {
            for first in (0..expand.cout).step_by(OUTPUTS) {
                let sums = sums::<V>(expand, first, pixels);
                let to = kernels[first * V * LANES..][..OUTPUTS * V * LANES].as_mut_ptr();
                for o in 0..OUTPUTS {
                    for v in 0..V {
                        _mm512_store_ps(to.add((o * V + v) * LANES), sums[o / GROUP][o % GROUP][v]);
                    }
                }
            }
            group::<Avx512, V>(s, u, (p, g), x, kernels, out);
        }
    }
}
