//! Products of bytes: vectors of 32 bits, each of them four bytes or a sum.

use std::arch::x86_64::*;

use super::{Avx2, Avx512, Simd};

/// An instruction set whose dot products take four bytes. All functions are inlined, as those of [`Simd`], into what is compiled
/// with VNNI: calling them is as unsafe as calling that.
pub trait Bytes: Simd {
    /// Lanes of 32 bits, as many as there are of a float.
    type B: Copy;

    /// The same in every lane.
    ///
    /// # Safety
    /// The processor has VNNI, as for all that follows.
    unsafe fn splat_b(self, value: i32) -> Self::B;
    /// Loads a vector; no alignment is needed.
    ///
    /// # Safety
    /// It must be readable at `from`.
    unsafe fn load_b(self, from: *const Self::B) -> Self::B;
    /// Stores a vector; no alignment is needed.
    ///
    /// # Safety
    /// It must be writable at `to`.
    unsafe fn store_b(self, to: *mut Self::B, v: Self::B);
    /// The larger of `most`, which has no sign, and of `v` without its sign. What is not a number is larger than any.
    unsafe fn larger_size(self, most: Self::V, v: Self::V) -> Self::V;
    /// Four floats a lane, rounded, ties to even, and held between 0 and 255: the first one lowest.
    unsafe fn quads(self, floats: [Self::V; 4]) -> Self::B;
    /// `sum`, and the four products of bytes without sign and of bytes with one.
    unsafe fn dot(self, sum: Self::B, unsigned: Self::B, signed: Self::B) -> Self::B;
    /// Floats of sums.
    unsafe fn floats(self, sums: Self::B) -> Self::V;
}

impl Bytes for Avx512 {
    type B = __m512i;

    #[inline(always)]
    unsafe fn splat_b(self, value: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512, here and below.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn load_b(self, from: *const __m512i) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from) }
    }

    #[inline(always)]
    unsafe fn store_b(self, to: *mut __m512i, v: __m512i) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(to, v) }
    }

    #[inline(always)]
    unsafe fn larger_size(self, most: __m512, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            // Without their sign, floats are in the order of the integers that their bits are.
            let size = _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(i32::MAX));
            _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(most), size))
        }
    }

    #[inline(always)]
    unsafe fn quads(self, floats: [__m512; 4]) -> __m512i {
        // SAFETY: see above.
        unsafe { quads(floats.map(|v| _mm512_cvtps_epi32(v))) }
    }

    #[inline(always)]
    unsafe fn dot(self, sum: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_dpbusd_epi32(sum, unsigned, signed) }
    }

    #[inline(always)]
    unsafe fn floats(self, sums: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// Bytes, four channels for each pixel, of the integers of each channel held between 0 and 255.
///
/// # Safety
/// There is AVX-512 (F and BW).
#[inline(always)]
pub unsafe fn quads(quad: [__m512i; 4]) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let words = [_mm512_packs_epi32(quad[0], quad[1]), _mm512_packs_epi32(quad[2], quad[3])];
        _mm512_shuffle_epi8(_mm512_packus_epi16(words[0], words[1]), _mm512_broadcast_i32x4(turn()))
    }
}

impl Bytes for Avx2 {
    type B = __m256i;

    #[inline(always)]
    unsafe fn splat_b(self, value: i32) -> __m256i {
        // SAFETY: `self` proves AVX2, here and below.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn load_b(self, from: *const __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_si256(from) }
    }

    #[inline(always)]
    unsafe fn store_b(self, to: *mut __m256i, v: __m256i) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_si256(to, v) }
    }

    #[inline(always)]
    unsafe fn larger_size(self, most: __m256, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let size = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(i32::MAX));
            _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(most), size))
        }
    }

    #[inline(always)]
    unsafe fn quads(self, floats: [__m256; 4]) -> __m256i {
        // SAFETY: see above.
        unsafe {
            let [a, b, c, d] = floats.map(|v| _mm256_cvtps_epi32(v));
            let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
            _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(turn()))
        }
    }

    #[inline(always)]
    unsafe fn dot(self, sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_avx_epi32(sum, unsigned, signed) }
    }

    #[inline(always)]
    unsafe fn floats(self, sums: __m256i) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}

/// Where the bytes of sixteen come from that are packed: four pixels of one channel after the other.
#[inline(always)]
unsafe fn turn() -> __m128i {
    // SAFETY: every processor has SSE2.
    unsafe { _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15) }
}
