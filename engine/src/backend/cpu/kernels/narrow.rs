//! 1x1 convolutions that round what they read: some pixels of all channels, which stay in the first-level cache over all output
//! channels. Tile: 8 output channels by 3 vectors of pixels.

#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "no other processor has such products here"))]

use std::ops::Range;

use super::conv::{After, check_after, store};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{GROUP, Simd};

/// Output channels that are computed together.
pub const OUTPUTS: usize = 2 * GROUP;
/// Vectors of pixels that are computed together.
pub const WIDE: usize = 3;

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

/// Values of [`OUTPUTS`] outputs, of some vectors of pixels.
pub type Values<T, const V: usize> = [[[T; V]; GROUP]; 2];

/// Weights of narrow numbers.
pub trait Narrow<S: Simd> {
    /// A vector of rounded pixels.
    type Pixels;
    /// What rounded pixels are counted in.
    type Steps<const V: usize>;

    /// Channels out.
    fn outputs(&self) -> usize;

    /// Rounds `V` vectors of pixels of all lines, from `at` on.
    ///
    /// # Safety
    /// The instructions are there; the lines are those in, whole vectors can be read of them, and the room is what the weights
    /// need.
    unsafe fn round<const V: usize>(s: S, taps: Taps<'_>, at: usize, room: *mut Self::Pixels) -> Self::Steps<V>;

    /// Values of [`OUTPUTS`] outputs from `group` on.
    ///
    /// # Safety
    /// The instructions are there; rounded pixels lie at `room`, the group is one of the weights'.
    unsafe fn values<const V: usize>(
        &self,
        s: S,
        group: usize,
        room: *const Self::Pixels,
        steps: &Self::Steps<V>,
    ) -> Values<S::V, V>;
}

/// Pixels `range` of one row.
///
/// # Safety
/// What [`check`] checks; the instructions are there.
#[inline(always)]
pub unsafe fn row<S: Simd, N: Narrow<S>>(
    s: S,
    (taps, range): (Taps<'_>, Range<usize>),
    p: &N,
    after: After<'_>,
    room: *mut N::Pixels,
    out: &mut [f32],
) {
    let mut x = range.start;
    while x < range.end {
        // SAFETY: the caller's promise; a line has room for a vector at every pixel (`Line::new`).
        unsafe {
            match (range.end - x).div_ceil(S::LANES) {
                1 => block::<S, N, 1>(s, taps, p, after, x, room, out),
                2 => block::<S, N, 2>(s, taps, p, after, x, room, out),
                _ => block::<S, N, WIDE>(s, taps, p, after, x, room, out),
            }
        }
        x += WIDE * S::LANES;
    }
}

/// `V` vectors of pixels from pixel `x` on.
///
/// # Safety
/// As for [`row`].
#[inline(always)]
unsafe fn block<S: Simd, N: Narrow<S>, const V: usize>(
    s: S,
    taps: Taps<'_>,
    p: &N,
    after: After<'_>,
    x: usize,
    room: *mut N::Pixels,
    out: &mut [f32],
) {
    let line = taps.line();
    let at = line.left + x;
    // SAFETY: the caller's promise.
    unsafe {
        let steps = N::round::<V>(s, taps, at, room);
        for group in (0..p.outputs()).step_by(OUTPUTS) {
            let [first, second] = p.values::<V>(s, group, room, &steps);
            let channels = |half: usize| group + half * GROUP..p.outputs().min(group + (half + 1) * GROUP);
            store(s, first, after, channels(0), (line, at), out);
            if !channels(1).is_empty() {
                store(s, second, after, channels(1), (line, at), out);
            }
        }
    }
}
