//! By products of tiles: 16 output channels of 16 pixels each, two by two, so that four products go with four loads.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::side_by_side;
use super::{BfloatConv, LANES, SQUARE, steps};
use crate::backend::cpu::kernels::conv::{After, store};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{Avx512, GROUP};
use crate::backend::cpu::tiles::{self, ROW, ROWS, Shape, TILE};

/// # Safety
/// What [`super::conv`] checks; the scratch begins on a cache line; there are tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub unsafe fn row(
    s: Avx512,
    (taps, range): (Taps<'_>, Range<usize>),
    p: &BfloatConv,
    after: After<'_>,
    room: *mut u8,
    out: &mut [f32],
) {
    let (pairs, _) = steps(p.pairs());
    let (sums, weights, pixels) = (Shape(ROWS, ROW), Shape(ROWS, 4 * pairs), Shape(pairs, ROW));
    // SAFETY: the caller's promise; a line has room for a vector at every pixel (`Line::new`).
    unsafe {
        tiles::shape([sums, sums, sums, sums, weights, weights, pixels, pixels]);
        let mut x = range.start;
        while x < range.end {
            if x + LANES < range.end {
                block::<SQUARE>(s, taps, p, after, x, room, out);
            } else {
                block::<1>(s, taps, p, after, x, room, out);
            }
            x += SQUARE * LANES;
        }
        tiles::release();
    }
}

/// `V` vectors of pixels from pixel `x` on. In `room` lie sums, then for each vector the pairs of its pixels.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn block<const V: usize>(
    s: Avx512,
    taps: Taps<'_>,
    p: &BfloatConv,
    after: After<'_>,
    x: usize,
    room: *mut u8,
    out: &mut [f32],
) {
    let at = taps.line().left + x;
    let groups = p.cout.div_ceil(ROWS);
    // SAFETY: the caller's promise.
    unsafe {
        let pixels = room.add(SQUARE * SQUARE * TILE);
        round::<V>(taps, p, at, pixels);
        let mut group = 0;
        while group < groups {
            if group + 1 < groups {
                products::<V, SQUARE>(p, group, pixels, room);
            } else {
                products::<V, 1>(p, group, pixels, room);
            }
            let (mut first, end) = (group * ROWS, p.cout.min((group + SQUARE) * ROWS));
            while first < end {
                let from = room.cast::<f32>().add((first - group * ROWS) * V * LANES);
                let bias = &p.bias[first..first + GROUP];
                let mut sums = [[_mm512_setzero_ps(); V]; GROUP];
                for o in 0..GROUP {
                    for v in 0..V {
                        let sum = _mm512_load_ps(from.add((o * V + v) * LANES));
                        sums[o][v] = _mm512_add_ps(sum, _mm512_set1_ps(bias[o]));
                    }
                }
                store(s, sums, after, first..end.min(first + GROUP), (taps.line(), at), out);
                first += GROUP;
            }
            group += SQUARE;
        }
    }
}

/// Rounds `V` vectors of pixels from `at` on: `[vector][pair][pixel]`.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn round<const V: usize>(taps: Taps<'_>, p: &BfloatConv, at: usize, pixels: *mut u8) {
    let (pairs, count) = steps(p.pairs());
    for pair in 0..pairs * count {
        for v in 0..V {
            // SAFETY: the caller's promise.
            unsafe {
                let mut rounded = _mm512_setzero_si512();
                if pair < p.pairs() {
                    let first = taps.pointers()[2 * pair].add(at + v * LANES);
                    // The last one alone is paired with itself: the weights are 0 there.
                    let second = taps.pointers()[(2 * pair + 1).min(p.cin - 1)].add(at + v * LANES);
                    rounded = side_by_side(_mm512_loadu_ps(first), _mm512_loadu_ps(second));
                }
                _mm512_store_si512(pixels.add((v * pairs * count + pair) * ROW).cast(), rounded);
            }
        }
    }
}

/// The sums of `G` groups of outputs from `group` on, without biases: `[output][vector][pixel]`.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn products<const V: usize, const G: usize>(p: &BfloatConv, group: usize, pixels: *const u8, sums: *mut u8) {
    let (pairs, count) = steps(p.pairs());
    let weights = |group: usize, step: usize| {
        let size = TILE / size_of::<u32>();
        p.weight.as_slice()[(group * count + step) * size..][..size].as_ptr().cast::<u8>()
    };
    let pixels = |v: usize, step: usize| pixels.wrapping_add((v * count + step) * pairs * ROW);
    let stride = V * ROW;
    // SAFETY: the caller's promise.
    unsafe {
        tiles::zero::<0>();
        tiles::zero::<1>();
        tiles::zero::<2>();
        tiles::zero::<3>();
        for step in 0..count {
            tiles::load::<4>(weights(group, step), ROW);
            tiles::load::<6>(pixels(0, step), ROW);
            tiles::multiply_bfloats::<0, 4, 6>();
            if V == 2 {
                tiles::load::<7>(pixels(1, step), ROW);
                tiles::multiply_bfloats::<1, 4, 7>();
            }
            if G == 2 {
                tiles::load::<5>(weights(group + 1, step), ROW);
                tiles::multiply_bfloats::<2, 5, 6>();
                if V == 2 {
                    tiles::multiply_bfloats::<3, 5, 7>();
                }
            }
        }
        tiles::store::<0>(sums, stride);
        if V == 2 {
            tiles::store::<1>(sums.add(ROW), stride);
        }
        if G == 2 {
            tiles::store::<2>(sums.add(ROWS * stride), stride);
            if V == 2 {
                tiles::store::<3>(sums.add(ROWS * stride + ROW), stride);
            }
        }
    }
}
