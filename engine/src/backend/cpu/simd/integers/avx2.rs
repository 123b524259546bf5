//! AVX2: 16 lanes of 16 bits, 8 of 32.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::Integers;
use crate::backend::cpu::simd::avx2::vnni_2;
use crate::backend::cpu::simd::{Avx2, HALF_BLOCK};

// SAFETY of every block below: `self` proves that AVX2 is there; what memory is touched is the caller's promise.
impl Integers for Avx2 {
    type H = __m256i;
    type W = __m256i;

    #[inline(always)]
    fn splat_h(self, value: i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi16(value) }
    }

    #[inline(always)]
    unsafe fn load_h(self, from: *const i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_h(self, to: *mut i16, v: __m256i) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), v) }
    }

    #[inline(always)]
    fn add_h(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn sub_h(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi16(a, b) }
    }

    #[inline(always)]
    fn four_times_h(self, v: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_slli_epi16::<2>(v) }
    }

    #[inline(always)]
    fn min_h(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_min_epu16(a, b) }
    }

    #[inline(always)]
    unsafe fn load_w(self, from: *const i32) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_w(self, to: *mut i32, v: __m256i) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(to.cast(), v) }
    }

    #[inline(always)]
    fn add_w(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_w(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn four_times_w(self, v: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_slli_epi32::<2>(v) }
    }

    #[inline(always)]
    fn dot(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_madd_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn load_quarter_h(self, from: *const i16) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_set1_epi64x(from.cast::<i64>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn widen(self, from: *const i16) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    fn to_float(self, v: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(v) }
    }

    #[inline(always)]
    fn pack(self, a: __m256, b: __m256) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let packed = _mm256_packus_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
            // The instruction packs each half for itself.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
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
        for first in (0..tiles).step_by(HALF_BLOCK) {
            // SAFETY: see above; there is room for a whole block.
            unsafe {
                let (pixels, sums) = (pixels.add(first * channels), sums.add(first * N * 8));
                if self.vnni() && N == 2 {
                    // Pairs of channels stand where that function has one.
                    vnni_2(pixels.cast(), weights.cast(), channels / 2, start.cast(), sums.cast());
                } else {
                    half::<N>(pixels, weights, channels, start, sums);
                }
            }
        }
    }
}

/// Half a block without VNNI.
///
/// # Safety
/// As for [`Integers::products_h`], and AVX2 is there.
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
        let mut block = [[_mm256_setzero_si256(); N]; HALF_BLOCK];
        for t in 0..HALF_BLOCK {
            for n in 0..N {
                block[t][n] = _mm256_loadu_si256(start.add(n * 8).cast());
            }
        }
        for pair in 0..channels / 2 {
            let mut weight = [_mm256_setzero_si256(); N];
            for n in 0..N {
                weight[n] = _mm256_loadu_si256(weights.add((pair * N + n) * 16).cast());
            }
            for t in 0..HALF_BLOCK {
                let pixel = pixels.add(t * channels + 2 * pair).cast::<i32>().read_unaligned();
                let pixel = _mm256_set1_epi32(pixel);
                for n in 0..N {
                    block[t][n] = _mm256_add_epi32(block[t][n], _mm256_madd_epi16(pixel, weight[n]));
                }
            }
        }
        for t in 0..HALF_BLOCK {
            for n in 0..N {
                _mm256_storeu_si256(sums.add((t * N + n) * 8).cast(), block[t][n]);
            }
        }
    }
}
