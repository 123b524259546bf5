//! 1x1 convolutions that round what they read: some pixels of all channels, which stay in the first-level cache over all output
//! channels. Tile: 8 output channels by 3 vectors of pixels.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::conv::store;
use super::conv::{After, check_after};
use crate::backend::cpu::line::Taps;
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::simd::Avx512;
use crate::backend::cpu::simd::GROUP;

/// Output channels that are computed together.
pub const OUTPUTS: usize = 2 * GROUP;
/// Vectors of pixels that are computed together.
pub const WIDE: usize = 3;
/// Pixels of a vector.
pub const LANES: usize = 16;

/// # Panics
/// If lines in or out, or those of `after`, do not fit, or there is less scratch than needed.
pub fn check(
    (taps, range): (Taps<'_>, &Range<usize>),
    (cin, cout): (usize, usize),
    after: After<'_>,
    (scratch, needed): (&[f32], usize),
    out: &[f32],
) {
    assert!(range.end <= taps.line().width, "the range lies in the row");
    assert!(taps.len() == cin && scratch.len() >= needed, "the input has its channels, and there is room");
    assert!(out.len() >= cout * taps.line().stride, "the output has room for all channels");
    check_after(after, taps, cout);
}

/// Values of [`OUTPUTS`] outputs.
#[cfg(target_arch = "x86_64")]
pub type Values<const V: usize> = [[[__m512; V]; GROUP]; 2];

/// Weights of narrow numbers.
#[cfg(target_arch = "x86_64")]
pub trait Narrow {
    /// What rounded pixels are counted in.
    type Steps<const V: usize>;

    /// Channels out.
    fn outputs(&self) -> usize;

    /// Rounds `V` vectors of pixels of all lines, from `at` on.
    ///
    /// # Safety
    /// The instructions are there; the lines are those in, whole vectors can be read of them, and the room is what the weights
    /// need.
    unsafe fn round<const V: usize>(s: Avx512, taps: Taps<'_>, at: usize, room: *mut __m512i) -> Self::Steps<V>;

    /// Values of [`OUTPUTS`] outputs from `group` on.
    ///
    /// # Safety
    /// The instructions are there; rounded pixels lie at `room`, the group is one of the weights'.
    unsafe fn values<const V: usize>(&self, group: usize, room: *const __m512i, steps: &Self::Steps<V>) -> Values<V>;
}

/// Pixels `range` of one row.
///
/// # Safety
/// What [`check`] checks; the instructions are there; the scratch begins on a cache line.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub unsafe fn row<N: Narrow>(
    s: Avx512,
    (taps, range): (Taps<'_>, Range<usize>),
    p: &N,
    after: After<'_>,
    room: *mut __m512i,
    out: &mut [f32],
) {
    let mut x = range.start;
    while x < range.end {
        // SAFETY: the caller's promise; a line has room for a vector at every pixel (`Line::new`).
        unsafe {
            match (range.end - x).div_ceil(LANES) {
                1 => block::<N, 1>(s, taps, p, after, x, room, out),
                2 => block::<N, 2>(s, taps, p, after, x, room, out),
                _ => block::<N, WIDE>(s, taps, p, after, x, room, out),
            }
        }
        x += WIDE * LANES;
    }
}

/// `V` vectors of pixels from pixel `x` on.
///
/// # Safety
/// As for [`row`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block<N: Narrow, const V: usize>(
    s: Avx512,
    taps: Taps<'_>,
    p: &N,
    after: After<'_>,
    x: usize,
    room: *mut __m512i,
    out: &mut [f32],
) {
    let line = taps.line();
    let at = line.left + x;
    // SAFETY: the caller's promise.
    unsafe {
        let steps = N::round::<V>(s, taps, at, room);
        for group in (0..p.outputs()).step_by(OUTPUTS) {
            let [first, second] = p.values::<V>(group, room, &steps);
            let channels = |half: usize| group + half * GROUP..p.outputs().min(group + (half + 1) * GROUP);
            store(s, first, after, channels(0), (line, at), out);
            if !channels(1).is_empty() {
                store(s, second, after, channels(1), (line, at), out);
            }
        }
    }
}
