//! By AVX-512 with VNNI.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{ByteConv, LEAST, MIDDLE, MOST, QUAD};
use crate::backend::cpu::kernels::conv::After;
use crate::backend::cpu::kernels::narrow::{self, LANES, Narrow, OUTPUTS, Values};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{Avx512, GROUP, Simd as _, quads};

/// # Safety
/// What [`super::conv`] checks; the scratch begins on a cache line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub unsafe fn row(
    s: Avx512,
    pixels: (Taps<'_>, Range<usize>),
    p: &ByteConv,
    after: After<'_>,
    room: *mut __m512i,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe { narrow::row(s, pixels, p, after, room, out) }
}

impl Narrow for ByteConv {
    type Steps<const V: usize> = [__m512; V];

    #[inline(always)]
    fn outputs(&self) -> usize {
        self.cout
    }

    #[inline(always)]
    unsafe fn round<const V: usize>(s: Avx512, taps: Taps<'_>, at: usize, room: *mut __m512i) -> [__m512; V] {
        // SAFETY: the caller's promise.
        unsafe { round(s, taps, at, room) }
    }

    #[inline(always)]
    unsafe fn values<const V: usize>(&self, group: usize, room: *const __m512i, steps: &[__m512; V]) -> Values<V> {
        // SAFETY: the caller's promise.
        unsafe {
            let [first, second] = sums::<V>(self, group, room);
            [floats(self, group, &first, steps), floats(self, group + GROUP, &second, steps)]
        }
    }
}

/// Rounds `V` vectors of pixels from `at` on: `[quad][vector]`. Returns the pixels' steps.
///
/// # Safety
/// As for [`Narrow::round`].
#[inline(always)]
unsafe fn round<const V: usize>(s: Avx512, taps: Taps<'_>, at: usize, room: *mut __m512i) -> [__m512; V] {
    let lines = taps.pointers();
    // SAFETY: the caller's promise.
    unsafe {
        let largest = largest::<V>(s, lines, at);
        let mut inverse = [s.splat(0.0); V];
        for v in 0..V {
            inverse[v] = s.div(s.splat(MOST), largest[v]);
        }
        for quad in 0..lines.len().div_ceil(QUAD) {
            for v in 0..V {
                let mut channels = [_mm512_setzero_si512(); QUAD];
                for i in 0..QUAD {
                    // The last one is taken again where channels are missing: the weights are 0 there.
                    let line = lines[(QUAD * quad + i).min(lines.len() - 1)];
                    let value = s.fma(s.load(line.add(at + v * LANES)), inverse[v], s.splat(MIDDLE.into()));
                    channels[i] = _mm512_cvtps_epi32(value);
                }
                _mm512_store_si512(room.add(quad * V + v), quads(channels));
            }
        }
        let mut steps = largest;
        for v in 0..V {
            steps[v] = s.mul(largest[v], s.splat(1.0 / MOST));
        }
        steps
    }
}

/// The largest values, without their sign, of each pixel. What is not a number is larger than any.
///
/// # Safety
/// As for [`Narrow::round`].
#[inline(always)]
unsafe fn largest<const V: usize>(s: Avx512, lines: &[*const f32], at: usize) -> [__m512; V] {
    // SAFETY: the caller's promise.
    unsafe {
        // Without their sign, floats are in the order of the integers that their bits are.
        let bits = _mm512_set1_epi32(i32::MAX);
        let mut most = [_mm512_set1_epi32(LEAST.to_bits().cast_signed()); V];
        for &line in lines {
            // The next tile's.
            s.prefetch::<V>(line.wrapping_add(at + V * LANES));
            for v in 0..V {
                let value = _mm512_loadu_si512(line.add(at + v * LANES).cast());
                most[v] = _mm512_max_epu32(most[v], _mm512_and_si512(value, bits));
            }
        }
        let mut largest = [s.splat(0.0); V];
        for v in 0..V {
            largest[v] = _mm512_castsi512_ps(most[v]);
        }
        largest
    }
}

/// Sums of [`OUTPUTS`] outputs from `group` on.
///
/// # Safety
/// The instructions are there; the pixels of all quads lie at `room`, the group is one of the weights'.
#[inline(always)]
unsafe fn sums<const V: usize>(p: &ByteConv, group: usize, room: *const __m512i) -> [[[__m512i; V]; GROUP]; 2] {
    let start = &p.start[group..group + OUTPUTS];
    let size = p.quads() * OUTPUTS;
    let weights = p.weight[group / OUTPUTS * size..][..size].as_ptr();
    // SAFETY: the caller's promise; all sums are set.
    unsafe {
        // Zeros, to be overwritten, would become a call that fills memory.
        let mut first = MaybeUninit::<[[[__m512i; V]; GROUP]; 2]>::uninit();
        for o in 0..OUTPUTS {
            for v in 0..V {
                first.as_mut_ptr().cast::<__m512i>().add(o * V + v).write(_mm512_set1_epi32(start[o]));
            }
        }
        let mut sums = first.assume_init();
        for quad in 0..p.quads() {
            let mut pixels = [_mm512_setzero_si512(); V];
            for v in 0..V {
                pixels[v] = _mm512_load_si512(room.add(quad * V + v));
            }
            for half in 0..2 {
                for o in 0..GROUP {
                    let weight = _mm512_set1_epi32(*weights.add(quad * OUTPUTS + half * GROUP + o));
                    for v in 0..V {
                        sums[half][o][v] = _mm512_dpbusd_epi32(sums[half][o][v], pixels[v], weight);
                    }
                }
            }
        }
        sums
    }
}

/// Floats of the sums of outputs from `first` on: times the steps of their output and of their pixel.
///
/// # Safety
/// The instructions are there; the outputs are those of the weights.
#[inline(always)]
unsafe fn floats<const V: usize>(
    p: &ByteConv,
    first: usize,
    sums: &[[__m512i; V]; GROUP],
    steps: &[__m512; V],
) -> [[__m512; V]; GROUP] {
    let (step, bias) = (&p.step[first..first + GROUP], &p.bias[first..first + GROUP]);
    // SAFETY: the caller's promise; all values are set.
    unsafe {
        let mut values = MaybeUninit::<[[__m512; V]; GROUP]>::uninit();
        for o in 0..GROUP {
            for v in 0..V {
                let factor = _mm512_mul_ps(steps[v], _mm512_set1_ps(step[o]));
                let value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[o][v]), factor, _mm512_set1_ps(bias[o]));
                values.as_mut_ptr().cast::<__m512>().add(o * V + v).write(value);
            }
        }
        values.assume_init()
    }
}
