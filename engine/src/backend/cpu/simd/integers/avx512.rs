//! AVX-512: 32 lanes of 16 bits, 16 of 32.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::Integers;
use crate::backend::cpu::simd::avx512::{vnni_6_1, vnni_6_2, vnni_12_1};
use crate::backend::cpu::simd::{Avx512, HALF_BLOCK};

// SAFETY of every block below: `self` proves that AVX-512 is there; what memory is touched is the caller's promise.
impl Integers for Avx512 {
    type H = __m512i;
    type W = __m512i;

    #[inline(always)]
    fn splat_h(self, value: i16) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_set1_epi16(value) }
    }

    #[inline(always)]
    unsafe fn load_h(self, from: *const i16) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_h(self, to: *mut i16, v: __m512i) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    fn add_h(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi16(a, b) }
    }

    #[inline(always)]
    fn sub_h(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn four_times_h(self, v: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_slli_epi16::<2>(v) }
    }

    #[inline(always)]
    fn min_h(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_min_epu16(a, b) }
    }

    #[inline(always)]
    unsafe fn load_w(self, from: *const i32) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_w(self, to: *mut i32, v: __m512i) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    fn add_w(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_w(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn four_times_w(self, v: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_slli_epi32::<2>(v) }
    }

    #[inline(always)]
    fn dot(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_madd_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn load_quarter_h(self, from: *const i16) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn widen(self, from: *const i16) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(from.cast()))) }
    }

    #[inline(always)]
    fn to_float(self, v: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(v) }
    }

    #[inline(always)]
    fn pack(self, a: __m512, b: __m512) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let packed = _mm512_packus_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
            // The instruction packs each quarter for itself.
            _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), packed)
        }
    }

    #[inline(always)]
    unsafe fn products_h<const N: usize>(
        self,
        pixels: *const i16,
        weights: *const i16,
        channels: usize,
        tiles: usize,
        start: *const i32,
        sums: *mut i32,
    ) {
        // SAFETY: see above.
        unsafe {
            if self.vnni() && N < 3 {
                return vnni::<N>(pixels, weights, channels, tiles, start, sums);
            }
            for first in (0..tiles).step_by(HALF_BLOCK) {
                half::<N>(pixels.add(first * channels), weights, channels, start, sums.add(first * N * 16));
            }
        }
    }
}

/// By VNNI, one or two vectors.
///
/// # Safety
/// As for [`Integers::products_h`], and the instructions are there.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn vnni<const N: usize>(
    pixels: *const i16,
    weights: *const i16,
    channels: usize,
    tiles: usize,
    start: *const i32,
    sums: *mut i32,
) {
    let (weights, start) = (weights.cast(), start.cast());
    // SAFETY: the caller's promise; pairs of channels stand where those functions have one.
    unsafe {
        if N == 1 && tiles > HALF_BLOCK {
            return vnni_12_1(pixels.cast(), weights, channels / 2, start, sums.cast());
        }
        for first in (0..tiles).step_by(HALF_BLOCK) {
            let (pixels, sums) = (pixels.add(first * channels).cast(), sums.add(first * N * 16).cast());
            if N == 1 {
                vnni_6_1(pixels, weights, channels / 2, start, sums);
            } else {
                vnni_6_2(pixels, weights, channels / 2, start, sums);
            }
        }
    }
}

/// Half a block without VNNI.
///
/// # Safety
/// As for [`Integers::products_h`], and AVX-512 is there.
#[inline(always)]
unsafe fn half<const N: usize>(
    pixels: *const i16,
    weights: *const i16,
    channels: usize,
    start: *const i32,
    sums: *mut i32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut block = [[_mm512_setzero_si512(); N]; HALF_BLOCK];
        for t in 0..HALF_BLOCK {
            for n in 0..N {
                block[t][n] = _mm512_loadu_si512(start.add(n * 16).cast());
            }
        }
        for pair in 0..channels / 2 {
            let mut weight = [_mm512_setzero_si512(); N];
            for n in 0..N {
                weight[n] = _mm512_loadu_si512(weights.add((pair * N + n) * 32).cast());
            }
            for t in 0..HALF_BLOCK {
                let pixel = pixels.add(t * channels + 2 * pair).cast::<i32>().read_unaligned();
                let pixel = _mm512_set1_epi32(pixel);
                for n in 0..N {
                    block[t][n] = _mm512_add_epi32(block[t][n], _mm512_madd_epi16(pixel, weight[n]));
                }
            }
        }
        for t in 0..HALF_BLOCK {
            for n in 0..N {
                _mm512_storeu_si512(sums.add((t * N + n) * 16).cast(), block[t][n]);
            }
        }
    }
}
