//! Conversions between 16 and 32-bit floats, many at a time.

#[cfg(target_arch = "x86_64")]
mod native {
    use std::arch::x86_64::*;

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
}

#[cfg(not(target_arch = "x86_64"))]
mod native {
    use half::f16;

    /// Eight halves, two a word, to floats.
    pub(in crate::warp) fn widen8(halves: &[u32; 4]) -> [f32; 8] {
        std::array::from_fn(|n| f16::from_bits((halves[n / 2] >> (n % 2 * 16)) as u16).to_f32())
    }

    /// Eight floats to halves, two a word, rounded to nearest even.
    pub(in crate::warp) fn narrow8(floats: &[f32; 8]) -> [u32; 4] {
        let bits = |n: usize| u32::from(f16::from_f32(floats[n]).to_bits());
        std::array::from_fn(|n| bits(n * 2) | bits(n * 2 + 1) << 16)
    }
}

pub(super) use native::{narrow8, widen8};

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

/// Eight by eight floats.
pub(super) type Tile = [[f32; 8]; 8];

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

/// Rows and columns exchanged.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn transpose(tile: Tile) -> Tile {
    std::array::from_fn(|row| std::array::from_fn(|column| tile[column][row]))
}

/// sums += a * b, fused, k ascending.
#[inline]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
pub(super) fn multiply(sums: &mut Tile, a: &Tile, b: &Tile) {
    for (sums, a) in sums.iter_mut().zip(a) {
        for (a, b) in a.iter().zip(b) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = a.mul_add(*b, *sum);
            }
        }
    }
}
