//! The last step: pixels of the picture from the outputs that they are.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::LANES;
use crate::backend::cpu::simd::{Avx512, Simd as _};

/// A row of the picture from the rows of outputs that it is made of, one after the other: their pixels take turns, and to
/// each the one of the input is added in which it lies. There is room in `row` for whole vectors.
pub fn shuffle(proof: Avx512, planes: &[f32], scale: usize, input: &[f32], row: &mut [f32]) {
    let stride = planes.len() / scale;
    let whole = input.len().next_multiple_of(LANES);
    assert!(stride >= whole && row.len() >= scale * whole, "the pixels fit the row");
    // SAFETY: there is a proof of the instructions, and room, as checked above.
    unsafe {
        match scale {
            2 => shuffle_row::<2>(proof, planes.as_ptr(), stride, input, row.as_mut_ptr()),
            3 => shuffle_row::<3>(proof, planes.as_ptr(), stride, input, row.as_mut_ptr()),
            _ => shuffle_row::<4>(proof, planes.as_ptr(), stride, input, row.as_mut_ptr()),
        }
    }
}

/// # Safety
/// The instructions are there; whole vectors can be read from `S` planes, and `S` be written for each of the input.
#[target_feature(enable = "avx512f")]
unsafe fn shuffle_row<const S: usize>(proof: Avx512, planes: *const f32, stride: usize, input: &[f32], row: *mut f32) {
    for x in (0..input.len()).step_by(LANES) {
        // SAFETY: the caller's promise; of the input nothing is read beyond its end.
        unsafe {
            let here = (1_u32 << (input.len() - x).min(LANES)) - 1;
            let nearest = _mm512_maskz_loadu_ps(here as u16, input.as_ptr().add(x));
            let mut sums = [_mm512_setzero_ps(); S];
            for j in 0..S {
                sums[j] = _mm512_add_ps(_mm512_loadu_ps(planes.add(j * stride + x)), nearest);
            }
            let to = row.add(S * x);
            match sums[..] {
                [a, b] => store_in_turns(proof, a, b, to),
                [a, b, c, d] => {
                    let ((ac, ac_high), (bd, bd_high)) = (proof.interleave(a, c), proof.interleave(b, d));
                    store_in_turns(proof, ac, bd, to);
                    store_in_turns(proof, ac_high, bd_high, to.add(2 * LANES));
                }
                _ => {
                    for j in 0..S {
                        let mut lanes = [0.0; LANES];
                        _mm512_storeu_ps(lanes.as_mut_ptr(), sums[j]);
                        for i in 0..LANES {
                            *to.add(S * i + j) = lanes[i];
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// Two vectors are writable at `to`.
#[inline(always)]
unsafe fn store_in_turns(proof: Avx512, a: __m512, b: __m512, to: *mut f32) {
    let (low, high) = proof.interleave(a, b);
    // SAFETY: the caller's promise.
    unsafe {
        _mm512_storeu_ps(to, low);
        _mm512_storeu_ps(to.add(LANES), high);
    }
}
