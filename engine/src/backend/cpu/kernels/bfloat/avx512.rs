//! By AVX-512 with BF16.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{BfloatConv, LANES};
use crate::backend::cpu::kernels::conv::After;
use crate::backend::cpu::kernels::narrow::{self, Narrow, OUTPUTS, Values};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{Avx512, GROUP, Simd as _};

/// # Safety
/// What [`super::conv`] checks; the scratch begins on a cache line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub unsafe fn row(
    s: Avx512,
    pixels: (Taps<'_>, Range<usize>),
    p: &BfloatConv,
    after: After<'_>,
    room: *mut __m512i,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { narrow::row(s, pixels, p, after, room, out) }
}

impl Narrow<Avx512> for BfloatConv {
    type Pixels = __m512i;
    type Steps<const V: usize> = ();

    #[inline(always)]
    fn outputs(&self) -> usize {
        self.cout
    }

    #[inline(always)]
    unsafe fn round<const V: usize>(s: Avx512, taps: Taps<'_>, at: usize, room: *mut __m512i) {
        // SAFETY: the caller's promise.
        unsafe { round::<V>(s, taps, at, room) }
    }

    #[inline(always)]
    unsafe fn values<const V: usize>(
        &self,
        _: Avx512,
        group: usize,
        room: *const __m512i,
        (): &(),
    ) -> Values<__m512, V> {
        // SAFETY: the caller's promise.
        unsafe { sums(self, group, room) }
    }
}

/// Rounds `V` vectors of pixels from `at` on: `[pair][vector]`.
///
/// # Safety
/// As for [`Narrow::round`].
#[inline(always)]
pub unsafe fn round<const V: usize>(s: Avx512, taps: Taps<'_>, at: usize, room: *mut __m512i) {
    let lines = taps.pointers();
    for pair in 0..lines.len().div_ceil(2) {
        // SAFETY: the caller's promise.
        unsafe {
            let first = lines[2 * pair].add(at);
            // The last one alone is paired with itself: the weights are 0 there.
            let second = lines[(2 * pair + 1).min(lines.len() - 1)].add(at);
            for v in 0..V {
                let rounded = side_by_side(s.load(first.add(v * LANES)), s.load(second.add(v * LANES)));
                _mm512_store_si512(room.add(pair * V + v), rounded);
            }
        }
    }
}

/// Sums of [`OUTPUTS`] outputs from `group` on.
///
/// # Safety
/// The instructions are there; the pixels of all pairs lie at `room`, the group is one of the weights'.
#[inline(always)]
pub unsafe fn sums<const V: usize>(p: &BfloatConv, group: usize, room: *const __m512i) -> Values<__m512, V> {
    let bias = &p.bias[group..group + OUTPUTS];
    let size = p.pairs() * OUTPUTS;
    let weights = &p.weight.as_slice()[group / OUTPUTS * size..][..size];
    // SAFETY: the caller's promise; all sums are set.
    unsafe {
        // Zeros, to be overwritten, would become a call that fills memory.
        let mut start = MaybeUninit::<Values<__m512, V>>::uninit();
        for o in 0..OUTPUTS {
            for v in 0..V {
                start.as_mut_ptr().cast::<__m512>().add(o * V + v).write(_mm512_set1_ps(bias[o]));
            }
        }
        let mut sums = start.assume_init();
        let weights = weights.as_ptr();
        for pair in 0..p.pairs() {
            let mut pixels = [_mm512_setzero_si512(); V];
            for v in 0..V {
                pixels[v] = _mm512_load_si512(room.add(pair * V + v));
            }
            for half in 0..2 {
                for o in 0..GROUP {
                    let weight = *weights.add(pair * OUTPUTS + half * GROUP + o);
                    let weight = bfloats(_mm512_set1_epi32(weight.cast_signed()));
                    for v in 0..V {
                        sums[half][o][v] = _mm512_dpbf16_ps(sums[half][o][v], bfloats(pixels[v]), weight);
                    }
                }
            }
        }
        sums
    }
}

/// Two vectors of pixels rounded to bf16, one of the first beside one of the second.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
pub unsafe fn side_by_side(first: __m512, second: __m512) -> __m512i {
    // The lower half of what is rounded is the first vector.
    const TURN: [u16; 32] = {
        let mut turn = [0; 32];
        let mut i = 0;
        while i < 32 {
            turn[i] = (i % 2 * 16 + i / 2) as u16;
            i += 1;
        }
        turn
    };
    // SAFETY: the caller's promise; a vector of bf16 is one of 512 bits.
    unsafe {
        let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
        _mm512_permutexvar_epi16(_mm512_loadu_si512(TURN.as_ptr().cast()), rounded)
    }
}

#[inline(always)]
fn bfloats(v: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits, any of which are values.
    unsafe { std::mem::transmute(v) }
}
