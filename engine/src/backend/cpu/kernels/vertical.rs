//! 3x3 convolution, four rows at a time, by Winograd's F(4, 3) along columns: 6 products in place of 12 (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2016). Lanes are pixels of a row, so nothing is shuffled: six rows become six
//! others, each is convolved with its own 1x3 kernels, and the six results become four rows.
//!
//! Tile: as `conv`. Bound: multiply-adds.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::ops::Range;

use super::conv::{After, PackedConv, conclude, pair, tile};
use super::tiles;
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{GROUP, MAX_LANES, Simd};
use crate::network::Conv;

/// Rows that are made at a time.
pub const ROWS: usize = 4;
/// Rows that they are made of.
pub const PLACES: usize = ROWS + 2;
/// Vectors of a row that are transformed at a time: two tiles.
const CHUNK: usize = 6;
/// Output channels that are transformed back at a time.
const BLOCK: usize = 64;
/// What the rows of a kernel become.
const G: [[f64; 3]; PLACES] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// A 3x3 convolution, its kernels transformed.
#[derive(Clone, Debug)]
pub struct Vertical {
    /// The kernels of every place, a line for each channel.
    places: Vec<PackedConv>,
    /// `[cout]`.
    bias: Vec<f32>,
    /// Channels in.
    cin: usize,
    /// Channels out.
    pub cout: usize,
}

impl Vertical {
    /// Transforms the kernels of a block.
    pub fn new(p: &Conv) -> Self {
        let place = |g: &[f64; 3]| {
            let mut packed = PackedConv::with_shape(p.cin, p.cout, 3);
            for (i, kernel) in p.weight.as_chunks::<9>().0.iter().enumerate() {
                let (o, c) = (i / p.cin, i % p.cin);
                for tap in 0..3 {
                    let sum: f64 = (0..3).map(|row| g[row] * f64::from(kernel[3 * row + tap])).sum();
                    packed.weight[((o / GROUP * p.cin + c) * 3 + tap) * GROUP + o % GROUP] = sum as f32;
                }
            }
            packed
        };
        Self { places: G.iter().map(place).collect(), bias: p.bias.clone(), cin: p.cin, cout: p.cout }
    }

    /// Channels in.
    pub fn cin(&self) -> usize {
        self.cin
    }

    /// Values of scratch that the kernel needs.
    pub fn scratch(&self) -> usize {
        PLACES * (self.cin * (CHUNK + 1) + BLOCK * CHUNK) * MAX_LANES
    }
}

kernel! {
    /// Four rows: lines `[cin][PLACES]`, from the row above to the row below, in, `[cout]` out to each of the parts of `out`
    /// that begin at `rows`. Up to a vector beyond the pixels is overwritten.
    pub fn vertical<S>(
        s, taps: Taps<'_>, p: &Vertical, after: After<'_>, scratch: &mut [f32], out: &mut [f32], rows: [usize; ROWS],
    ) {
        let line = taps.line();
        assert!(taps.len() == p.cin * PLACES && line.left > 0, "the input has its channels");
        assert!(scratch.len() >= p.scratch(), "there is room to work in");
        for row in rows {
            assert!(out.len() >= row + p.cout * line.stride, "the output has room for all channels");
        }
        if let Some(other) = after.then.other() {
            assert!(other.len() == p.cout * ROWS && other.line() == line, "what is added has as many lines as comes out");
        }
        let (v, m) = scratch.split_at_mut(PLACES * p.cin * (CHUNK + 1) * S::LANES);
        // All pointers are of these two: one of a slice that is borrowed again would no longer be good.
        let (v, m) = (v.as_mut_ptr(), m.as_mut_ptr());
        let mut lines = Vec::with_capacity(p.cin);
        for c in 0..p.cin {
            lines.push(v.wrapping_add(c * (CHUNK + 1) * S::LANES).cast_const());
        }
        let mut x = 0;
        while x < line.width {
            let count = CHUNK.min((line.width - x).div_ceil(S::LANES));
            // SAFETY: all sizes have been compared.
            unsafe {
                spread(s, taps, line.left + x, count, v);
                for first in (0..p.cout).step_by(BLOCK) {
                    let channels = first..(first + BLOCK).min(p.cout);
                    products(s, p, &lines, channels.clone(), count, m);
                    finish(s, p, (channels, count), m, after, line.left + x, line.stride, (out.as_mut_ptr(), rows));
                }
            }
            x += count * S::LANES;
        }
    }
}

/// Six rows to `[PLACES][cin][CHUNK + 1 vectors]`, beginning a pixel to the left of `at`.
///
/// # Safety
/// A line has room for `count` vectors at `at` and one beyond (`Line::new`), `out` for the result.
#[inline(always)]
unsafe fn spread<S: Simd>(s: S, taps: Taps<'_>, at: usize, count: usize, out: *mut f32) {
    let cin = taps.len() / PLACES;
    let place = cin * (CHUNK + 1) * S::LANES;
    let (four, five) = (s.splat(4.0), s.splat(5.0));
    for c in 0..cin {
        let rows = &taps.pointers()[c * PLACES..][..PLACES];
        for k in 0..=count {
            // SAFETY: the caller's promise.
            unsafe {
                let mut d = [s.splat(0.0); PLACES];
                for i in 0..PLACES {
                    d[i] = s.load(rows[i].add(at - 1 + k * S::LANES));
                }
                let [zero, two] = [s.splat(0.0), s.splat(2.0)];
                let neg = |v| s.sub(zero, v);
                let a = s.fma(neg(four), d[2], d[4]);
                let b = s.fma(neg(four), d[1], d[3]);
                let (c4, e) = (s.sub(d[4], d[2]), s.mul(two, s.sub(d[3], d[1])));
                let v = [
                    s.fma(four, d[0], s.fma(neg(five), d[2], d[4])),
                    s.add(a, b),
                    s.sub(a, b),
                    s.add(c4, e),
                    s.sub(c4, e),
                    s.fma(four, d[1], s.fma(neg(five), d[3], d[5])),
                ];
                let to = out.add((c * (CHUNK + 1) + k) * S::LANES);
                for i in 0..PLACES {
                    s.store(to.add(i * place), v[i]);
                }
            }
        }
    }
}

/// Some channels' products at every place, `[PLACES][BLOCK][CHUNK vectors]`.
///
/// # Safety
/// `lines` are those of the first place as [`spread`] leaves them, `out` has room for the result.
#[inline(always)]
unsafe fn products<S: Simd>(
    s: S,
    p: &Vertical,
    lines: &[*const f32],
    channels: Range<usize>,
    count: usize,
    out: *mut f32,
) {
    for (i, place) in p.places.iter().enumerate() {
        let from = i * p.cin * (CHUNK + 1) * S::LANES + 1;
        let groups = channels.start / GROUP..channels.end.div_ceil(GROUP);
        tiles!(S::TILES[1], [4, 3, 2, 1], S::LANES, 0..count * S::LANES, |x, N| {
            let mut group = groups.start;
            while group < groups.end {
                let to = (i * BLOCK + (group - groups.start) * GROUP) * CHUNK * S::LANES + x;
                // SAFETY: the caller's promise.
                unsafe {
                    if S::PAIRS && group + 1 < groups.end {
                        let [first, second] = pair::<S, 3, N>(s, lines, from + x, place, group);
                        keep(s, first, out.add(to));
                        keep(s, second, out.add(to + GROUP * CHUNK * S::LANES));
                        group += 2;
                    } else {
                        keep(s, tile::<S, 3, N>(s, lines, from + x, place, group), out.add(to));
                        group += 1;
                    }
                }
            }
        });
    }
}

/// # Safety
/// `to` has room for `GROUP` channels of `CHUNK` vectors.
#[inline(always)]
unsafe fn keep<S: Simd, const N: usize>(s: S, sums: [[S::V; N]; GROUP], to: *mut f32) {
    for o in 0..GROUP {
        for n in 0..N {
            // SAFETY: the caller's promise.
            unsafe { s.store(to.add((o * CHUNK + n) * S::LANES), sums[o][n]) };
        }
    }
}

/// Four rows of some channels from their products, to `at` of their lines.
///
/// # Safety
/// `m` is as [`products`] leaves it; the rows of `out` have room, and what follows has its lines.
#[expect(clippy::too_many_arguments, reason = "one place calls it")]
#[inline(always)]
unsafe fn finish<S: Simd>(
    s: S,
    p: &Vertical,
    (channels, count): (Range<usize>, usize),
    m: *const f32,
    after: After<'_>,
    at: usize,
    stride: usize,
    (out, rows): (*mut f32, [usize; ROWS]),
) {
    let place = BLOCK * CHUNK * S::LANES;
    let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
    for c in channels.clone() {
        let bias = s.splat(p.bias[c]);
        for k in 0..count {
            let at = at + k * S::LANES;
            // SAFETY: the caller's promise.
            unsafe {
                let from = m.add(((c - channels.start) * CHUNK + k) * S::LANES);
                let mut v = [s.splat(0.0); PLACES];
                for i in 0..PLACES {
                    v[i] = s.load(from.add(i * place));
                }
                let (s1, q1) = (s.add(v[1], v[2]), s.sub(v[1], v[2]));
                let (s2, q2) = (s.add(v[3], v[4]), s.sub(v[3], v[4]));
                let mut y = [
                    [s.add(s.add(bias, v[0]), s.add(s1, s2))],
                    [s.add(bias, s.fma(two, q2, q1))],
                    [s.add(bias, s.fma(four, s2, s1))],
                    [s.add(s.add(bias, v[5]), s.fma(eight, q2, q1))],
                ];
                conclude(s, &mut y, after, c * ROWS..(c + 1) * ROWS, at);
                for i in 0..ROWS {
                    s.store(out.add(rows[i] + c * stride + at), y[i][0]);
                }
            }
        }
    }
}

const _: () = assert!(ROWS == GROUP, "rows are activated and added to as a group of channels is");
const _: () = assert!(BLOCK.is_multiple_of(2 * GROUP));
