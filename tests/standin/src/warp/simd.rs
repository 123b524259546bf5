//! Conversions between 16 and 32-bit floats, many at a time, and products of 8 by 8 matrices.

#[cfg(target_arch = "x86_64")]
mod native {
    use std::arch::x86_64::*;

    use super::Tile;

    /// Eight halves, two a word, to floats.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn widen8(halves: &[u32; 4]) -> [f32; 8] {
        let mut floats = [0.0; 8];
        // SAFETY: the arrays are as long as what is loaded and stored, and neither needs alignment.
        unsafe {
            let halves = _mm_loadu_si128(halves.as_ptr().cast());
            _mm256_storeu_ps(floats.as_mut_ptr(), _mm256_cvtph_ps(halves));
        }
        floats
    }

    /// Eight floats to halves, two a word, rounded to nearest even.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn narrow8(floats: &[f32; 8]) -> [u32; 4] {
        let mut halves = [0; 4];
        // SAFETY: the arrays are as long as what is loaded and stored, and neither needs alignment.
        unsafe {
            let floats = _mm256_loadu_ps(floats.as_ptr());
            let narrowed = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(floats);
            _mm_storeu_si128(halves.as_mut_ptr().cast(), narrowed);
        }
        halves
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    fn load(row: &[f32; 8]) -> __m256 {
        // SAFETY: eight floats are there, and alignment is not needed.
        unsafe { _mm256_loadu_ps(row.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    fn store(row: &mut [f32; 8], floats: __m256) {
        // SAFETY: there is room for eight floats, and alignment is not needed.
        unsafe { _mm256_storeu_ps(row.as_mut_ptr(), floats) }
    }

    /// Rows and columns exchanged: pairs, then fours, then halves.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn transpose(tile: &Tile) -> Tile {
        let mut pairs = [_mm256_setzero_ps(); 8];
        for n in 0..4 {
            let (a, b) = (load(&tile[n * 2]), load(&tile[n * 2 + 1]));
            (pairs[n * 2], pairs[n * 2 + 1]) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        }
        let mut fours = [_mm256_setzero_ps(); 8];
        for (n, (a, b)) in [(0, 2), (1, 3), (4, 6), (5, 7)].into_iter().enumerate() {
            fours[n * 2] = _mm256_shuffle_ps::<0x44>(pairs[a], pairs[b]);
            fours[n * 2 + 1] = _mm256_shuffle_ps::<0xee>(pairs[a], pairs[b]);
        }
        let mut transposed = [[0.0; 8]; 8];
        for n in 0..4 {
            store(&mut transposed[n], _mm256_permute2f128_ps::<0x20>(fours[n], fours[n + 4]));
            store(&mut transposed[n + 4], _mm256_permute2f128_ps::<0x31>(fours[n], fours[n + 4]));
        }
        transposed
    }

    /// sums += a * b, fused, k ascending; four rows at a time, so that their sums do not wait for each other.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn multiply(sums: &mut Tile, a: &Tile, b: &Tile) {
        for rows in [0, 4] {
            let [a0, a1, a2, a3] = [&sums[rows], &sums[rows + 1], &sums[rows + 2], &sums[rows + 3]];
            let mut four = [load(a0), load(a1), load(a2), load(a3)];
            for (k, b) in b.iter().enumerate() {
                let b = load(b);
                for (n, sum) in four.iter_mut().enumerate() {
                    *sum = _mm256_fmadd_ps(_mm256_set1_ps(a[rows + n][k]), b, *sum);
                }
            }
            for (n, sum) in four.into_iter().enumerate() {
                store(&mut sums[rows + n], sum);
            }
        }
    }

    /// Accumulators of 32 bits: one register has the even columns, the next the odd ones.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn interleave(even: &[u32; 32], odd: &[u32; 32]) -> Tile {
        let mut tile = [[0.0; 8]; 8];
        for ((row, even), odd) in tile.iter_mut().zip(even.as_chunks::<4>().0).zip(odd.as_chunks::<4>().0) {
            let [even, odd] = [even, odd].map(|words| {
                // SAFETY: four words are there, and alignment is not needed.
                unsafe { _mm_loadu_ps(words.as_ptr().cast()) }
            });
            store(row, _mm256_set_m128(_mm_unpackhi_ps(even, odd), _mm_unpacklo_ps(even, odd)));
        }
        tile
    }

    /// The reverse of [`interleave`].
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,bmi2")]
    pub(in crate::warp) fn separate(tile: &Tile) -> [[u32; 32]; 2] {
        let [mut even, mut odd] = [[0; 32]; 2];
        for ((row, even), odd) in tile.iter().zip(even.as_chunks_mut::<4>().0).zip(odd.as_chunks_mut::<4>().0) {
            let row = load(row);
            let (low, high) = (_mm256_castps256_ps128(row), _mm256_extractf128_ps::<1>(row));
            // SAFETY: there is room for four words each, and alignment is not needed.
            unsafe {
                _mm_storeu_ps(even.as_mut_ptr().cast(), _mm_shuffle_ps::<0x88>(low, high));
                _mm_storeu_ps(odd.as_mut_ptr().cast(), _mm_shuffle_ps::<0xdd>(low, high));
            }
        }
        [even, odd]
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod native {
    use half::f16;

    use super::Tile;

    /// Eight halves, two a word, to floats.
    pub(in crate::warp) fn widen8(halves: &[u32; 4]) -> [f32; 8] {
        std::array::from_fn(|n| f16::from_bits((halves[n / 2] >> (n % 2 * 16)) as u16).to_f32())
    }

    /// Eight floats to halves, two a word, rounded to nearest even.
    pub(in crate::warp) fn narrow8(floats: &[f32; 8]) -> [u32; 4] {
        let bits = |n: usize| u32::from(f16::from_f32(floats[n]).to_bits());
        std::array::from_fn(|n| bits(n * 2) | bits(n * 2 + 1) << 16)
    }

    /// Rows and columns exchanged.
    pub(in crate::warp) fn transpose(tile: &Tile) -> Tile {
        std::array::from_fn(|row| std::array::from_fn(|column| tile[column][row]))
    }

    /// sums += a * b, fused, k ascending.
    pub(in crate::warp) fn multiply(sums: &mut Tile, a: &Tile, b: &Tile) {
        for (sums, a) in sums.iter_mut().zip(a) {
            for (a, b) in a.iter().zip(b) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = a.mul_add(*b, *sum);
                }
            }
        }
    }

    /// Accumulators of 32 bits: one register has the even columns, the next the odd ones.
    pub(in crate::warp) fn interleave(even: &[u32; 32], odd: &[u32; 32]) -> Tile {
        std::array::from_fn(|row| {
            std::array::from_fn(|column| f32::from_bits(if column % 2 == 0 { even } else { odd }[row * 4 + column / 2]))
        })
    }

    /// The reverse of [`interleave`].
    pub(in crate::warp) fn separate(tile: &Tile) -> [[u32; 32]; 2] {
        [0, 1].map(|odd| std::array::from_fn(|lane| tile[lane / 4][lane % 4 * 2 + odd].to_bits()))
    }
}

pub(super) use native::{interleave, multiply, separate, transpose};
use native::{narrow8, widen8};

/// Eight by eight floats.
pub(super) type Tile = [[f32; 8]; 8];

/// The halves of a register, the lower before the upper of each lane.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn widen(halves: &[u32; 32]) -> [f32; 64] {
    let mut floats = [0.0; 64];
    for (floats, halves) in floats.as_chunks_mut::<8>().0.iter_mut().zip(halves.as_chunks::<4>().0) {
        *floats = widen8(halves);
    }
    floats
}

/// The reverse of [`widen`], rounded to nearest even.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn narrow(floats: &[f32; 64]) -> [u32; 32] {
    let mut halves = [0; 32];
    for (halves, floats) in halves.as_chunks_mut::<4>().0.iter_mut().zip(floats.as_chunks::<8>().0) {
        *halves = narrow8(floats);
    }
    halves
}

/// A register of halves as eight rows of eight.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn tile(halves: &[u32; 32]) -> Tile {
    let mut tile = [[0.0; 8]; 8];
    for (row, halves) in tile.iter_mut().zip(halves.as_chunks::<4>().0) {
        *row = widen8(halves);
    }
    tile
}

/// The reverse of [`tile`], rounded to nearest even.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn words(tile: &Tile) -> [u32; 32] {
    let mut halves = [0; 32];
    for (halves, row) in halves.as_chunks_mut::<4>().0.iter_mut().zip(tile) {
        *halves = narrow8(row);
    }
    halves
}
