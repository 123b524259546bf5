//! Dense convolution, 1x1 and 3x3, of any number of channels.
//!
//! Tile: 4 output channels by 3 vectors of pixels, 12 sums in registers (with 32 registers 4 by 4, and 8 by 3 for kernels of
//! 3); per tap 3 loads and 4 broadcasts for 12 multiply-adds. The lines that a tile reads stay in the first-level cache over all output channels. Bound: multiply-adds.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{load_tile, store_tile, tiles};
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::{Line, Taps};
use crate::backend::cpu::math::gelu;
use crate::backend::cpu::simd::{GROUP, Simd};
use crate::network::{Activation, Conv};

/// Weights in the order in which tiles read them.
#[derive(Clone, Debug, Default)]
pub struct PackedConv {
    /// Lines in: channels times rows of the kernel.
    pub lines: usize,
    /// Channels out.
    pub cout: usize,
    /// Side of the kernel: 1 or 3.
    pub kernel: usize,
    /// `[cout / 4][lines][kernel][4]`, zeros where `cout` is not a multiple.
    pub weight: Vec<f32>,
    /// `[cout]`, filled up with zeros likewise.
    pub bias: Vec<f32>,
}

impl PackedConv {
    /// Packs the weights of a block.
    pub fn new(p: &Conv) -> Self {
        let mut packed = Self::with_shape(p.cin * p.kernel, p.cout, p.kernel);
        packed.pack(&p.weight);
        packed.bias[..p.cout].copy_from_slice(&p.bias);
        packed
    }

    /// Zeros.
    pub fn with_shape(lines: usize, cout: usize, kernel: usize) -> Self {
        let groups = cout.div_ceil(GROUP);
        Self {
            lines,
            cout,
            kernel,
            weight: vec![0.0; groups * lines * kernel * GROUP],
            bias: vec![0.0; groups * GROUP],
        }
    }

    /// Takes other weights, `[cout][lines][kernel]`.
    pub fn pack(&mut self, weight: &[f32]) {
        let (k, lines) = (self.kernel, self.lines);
        for (i, &w) in weight.iter().enumerate() {
            let (o, line, tap) = (i / (lines * k), i / k % lines, i % k);
            self.weight[((o / GROUP * lines + line) * k + tap) * GROUP + o % GROUP] = w;
        }
    }
}

/// What becomes of a convolution's value v, after its activation but for the first of these.
#[derive(Clone, Copy)]
pub enum Then<'a> {
    /// v, whose sum began with the line.
    Begin(Taps<'a>),
    /// v.
    Nothing,
    /// `v + scale * line`.
    Add(Taps<'a>, f32),
    /// `line + scale * v`.
    AddTo(Taps<'a>, f32),
    /// `line * v`.
    Mul(Taps<'a>),
}

impl<'a> Then<'a> {
    /// The lines that values are combined with, one for every output channel.
    pub fn other(self) -> Option<Taps<'a>> {
        match self {
            Self::Nothing => None,
            Self::Begin(other) | Self::Add(other, _) | Self::AddTo(other, _) | Self::Mul(other) => Some(other),
        }
    }
}

/// What follows the sums of a convolution.
#[derive(Clone, Copy)]
pub struct After<'a> {
    /// What the values go through.
    pub activation: Activation,
    /// What they are combined with.
    pub then: Then<'a>,
}

impl From<Activation> for After<'_> {
    fn from(activation: Activation) -> Self {
        Self { activation, then: Then::Nothing }
    }
}

kernel! {
    /// Pixels `range` of one row: lines `[cin][kernel]` in, `[cout]` out. Up to a vector beyond the range is overwritten.
    pub fn conv<S>(s, taps: Taps<'_>, p: &PackedConv, range: Range<usize>, after: After<'_>, out: &mut [f32]) {
        check(&taps, p, &range, out.len());
        check_after(after, taps, p.cout);
        // SAFETY: all sizes have been compared.
        unsafe {
            if p.kernel == 1 {
                row::<S, 1>(s, taps, p, range, after, out);
            } else {
                row::<S, 3>(s, taps, p, range, after, out);
            }
        }
    }
}

/// [`conv`] with a kernel of `K`.
///
/// # Safety
/// What `check` checks; what follows has a line for every output channel.
#[inline(always)]
unsafe fn row<S: Simd, const K: usize>(
    s: S,
    taps: Taps<'_>,
    p: &PackedConv,
    range: Range<usize>,
    after: After<'_>,
    out: &mut [f32],
) {
    let line = taps.line();
    let groups = p.cout.div_ceil(GROUP);
    let channels = |group: usize| group * GROUP..p.cout.min((group + 1) * GROUP);
    tiles!(S::TILES[K / 2], [4, 3, 2, 1], S::LANES, range, |x, N| {
        let at = line.left + x;
        let mut group = 0;
        if K == 1 && N == S::TILES[0] && taps.len() > MANY {
            // SAFETY: the caller's promise.
            unsafe { part_by_part::<S, N>(s, taps, at, p, after, out) };
            group = groups;
        }
        while group < groups {
            if S::PAIRS && K == 3 && group + 1 < groups {
                // SAFETY: the caller's promise.
                unsafe {
                    let [first, second] = pair::<S, K, N>(s, taps.pointers(), at, p, group);
                    store(s, first, after, channels(group), (line, at), out);
                    store(s, second, after, channels(group + 1), (line, at), out);
                }
                group += 2;
            } else {
                // SAFETY: the caller's promise.
                unsafe {
                    let sums = tile::<S, K, N>(s, taps.pointers(), at, p, group);
                    store(s, sums, after, channels(group), (line, at), out);
                }
                group += 1;
            }
        }
    });
}

/// Lines whose pixels in a tile the first-level cache holds, over all output channels and beside these.
const MANY: usize = 128;
/// Values of the lines that are worked on together where there are more: 12 KiB.
const PART: usize = 3 * 1024;
/// The least values of a line in a tile of the most vectors.
const LEAST_WIDTH: usize = 8;

/// Room for a part.
#[repr(align(64))]
struct Part(MaybeUninit<[f32; PART]>);

/// A tile of a 1x1 convolution of more than [`MANY`] lines. Part by part they are put side by side, where all groups of channels
/// find them: each would else fetch every line, and its page's address, anew (432 lines on a Zen 3: 28 in place of 22 GMAC/s).
///
/// # Safety
/// As for [`tile`]; the output has room for all channels, and what follows has a line for each.
#[inline(always)]
unsafe fn part_by_part<S: Simd, const N: usize>(
    s: S,
    taps: Taps<'_>,
    at: usize,
    p: &PackedConv,
    after: After<'_>,
    out: &mut [f32],
) {
    const { assert!(N * S::LANES >= LEAST_WIDTH, "there are pointers enough for a part") };
    let (lines, line, width) = (taps.pointers(), taps.line(), N * S::LANES);
    let (groups, most) = (p.cout.div_ceil(GROUP), PART / width);
    let mut part = Part(MaybeUninit::uninit());
    let room: *mut f32 = part.0.as_mut_ptr().cast();
    let mut gathered = [room.cast_const(); PART / LEAST_WIDTH];
    for i in 0..most {
        gathered[i] = room.wrapping_add(i * width);
    }
    for first in (0..lines.len()).step_by(most) {
        let count = most.min(lines.len() - first);
        let last = first + count == lines.len();
        // What comes next is asked for meanwhile.
        let (next, beside) = if last { (0, width) } else { (first + count, 0) };
        let share = most.div_ceil(groups);
        // SAFETY: the caller's promise; `most` lines fit the room; sums of the parts before lie in the output.
        unsafe {
            for i in 0..count {
                let pixels: [S::V; N] = load_tile(s, lines[first + i].add(at));
                store_tile(s, pixels, room.add(i * width));
            }
            for group in 0..groups {
                for i in next + group * share..lines.len().min(next + most.min((group + 1) * share)) {
                    s.prefetch::<N>(lines[i].wrapping_add(at + beside));
                }
                let channels = group * GROUP..p.cout.min((group + 1) * GROUP);
                let mut sums = bias(s, p, group);
                if first > 0 {
                    for o in 0..channels.len() {
                        sums[o] = load_tile(s, out.as_ptr().add((channels.start + o) * line.stride + at));
                    }
                }
                let weight = p.weight[(group * lines.len() + first) * GROUP..][..count * GROUP].as_ptr();
                s.convolve::<1, N>(&gathered[..count], 0, weight, &mut sums);
                let after = if last { after } else { Activation::None.into() };
                store(s, sums, after, channels, (line, at), out);
            }
        }
    }
}

/// Writes a tile of some output channels at `at` of its lines.
///
/// # Safety
/// The output has room for these channels; `at` is that of a pixel of the line, and `N - 1` vectors more begin at pixels too;
/// what follows has a line for every output channel.
#[inline(always)]
pub(super) unsafe fn store<S: Simd, const N: usize>(
    s: S,
    mut sums: [[S::V; N]; GROUP],
    after: After<'_>,
    channels: Range<usize>,
    (line, at): (Line, usize),
    out: &mut [f32],
) {
    let (first, count) = (channels.start, channels.len());
    // SAFETY: the caller's promise; a line has room for a vector at every pixel (`Line::new`).
    unsafe {
        conclude(s, &mut sums, after, channels, at);
        let out = out.as_mut_ptr().add(first * line.stride + at);
        for o in 0..GROUP {
            if o == count {
                break;
            }
            // The next tile's place: more lines than the processor's own prefetch follows, here and below.
            s.prefetch::<N>(out.wrapping_add(o * line.stride + N * S::LANES));
            store_tile(s, sums[o], out.add(o * line.stride));
        }
    }
}

/// Sums of some output channels to values.
///
/// # Safety
/// As for [`store`].
#[inline(always)]
pub(super) unsafe fn conclude<S: Simd, const N: usize>(
    s: S,
    sums: &mut [[S::V; N]; GROUP],
    after: After<'_>,
    channels: Range<usize>,
    at: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Then::Begin(_) = after.then {
            combine(s, sums, after.then, channels, at);
            activate(s, sums, after.activation);
        } else {
            activate(s, sums, after.activation);
            combine(s, sums, after.then, channels, at);
        }
    }
}

/// Combines the sums of some output channels with other lines.
///
/// # Safety
/// As for [`store`].
#[inline(always)]
unsafe fn combine<S: Simd, const N: usize>(
    s: S,
    sums: &mut [[S::V; N]; GROUP],
    then: Then<'_>,
    channels: Range<usize>,
    at: usize,
) {
    let Some(other) = then.other() else { return };
    let scale = match then {
        Then::Add(_, scale) | Then::AddTo(_, scale) => s.splat(scale),
        Then::Begin(_) | Then::Mul(_) | Then::Nothing => s.splat(1.0),
    };
    let lines = &other.pointers()[channels];
    for o in 0..GROUP {
        if o == lines.len() {
            break;
        }
        // SAFETY: the caller's promise.
        let other: [S::V; N] = unsafe { load_tile(s, lines[o].add(at)) };
        s.prefetch::<N>(lines[o].wrapping_add(at + N * S::LANES));
        for n in 0..N {
            sums[o][n] = match then {
                Then::AddTo(..) => s.fma(sums[o][n], scale, other[n]),
                Then::Mul(_) => s.mul(sums[o][n], other[n]),
                Then::Begin(_) | Then::Add(..) | Then::Nothing => s.fma(other[n], scale, sums[o][n]),
            };
        }
    }
}

/// # Panics
/// If there is no line for every output channel to combine it with.
pub(super) fn check_after(after: After<'_>, taps: Taps<'_>, cout: usize) {
    if let Some(other) = after.then.other() {
        assert!(other.len() == cout && other.line() == taps.line(), "what is added has as many lines as comes out");
    }
}

/// # Panics
/// If a tile would read or write outside its buffers.
fn check(taps: &Taps<'_>, p: &PackedConv, range: &Range<usize>, out: usize) {
    let line = taps.line();
    assert!(p.kernel == 1 || (p.kernel == 3 && line.left >= 1), "a kernel of 3 needs a margin");
    assert!(taps.len() == p.lines && range.end <= line.width, "a convolution's input has its channels");
    assert!(p.weight.len() == p.cout.div_ceil(GROUP) * p.lines * p.kernel * GROUP, "weights are packed whole");
    assert!(out >= p.cout * line.stride, "the output has room for all channels");
}

/// # Safety
/// What `check` checks; `at` is that of a pixel of the line, and `N - 1` vectors more begin at pixels too.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const K: usize, const N: usize>(
    s: S,
    lines: &[*const f32],
    at: usize,
    p: &PackedConv,
    group: usize,
) -> [[S::V; N]; GROUP] {
    let mut sums = bias(s, p, group);
    let size = lines.len() * K * GROUP;
    let weight = p.weight[group * size..][..size].as_ptr();
    // SAFETY: a line has room for a vector at every pixel and for a tap to either side (`Line::new`); the weights hold
    // `K * GROUP` values for each line.
    unsafe { s.convolve::<K, N>(lines, at, weight, &mut sums) };
    sums
}

/// A tile of this group and the next.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
pub(super) unsafe fn pair<S: Simd, const K: usize, const N: usize>(
    s: S,
    lines: &[*const f32],
    at: usize,
    p: &PackedConv,
    group: usize,
) -> [[[S::V; N]; GROUP]; 2] {
    let mut sums = [bias(s, p, group), bias(s, p, group + 1)];
    let size = lines.len() * K * GROUP;
    let (first, second) = p.weight[group * size..][..2 * size].split_at(size);
    // SAFETY: as in `tile`.
    unsafe { s.convolve_pair::<K, N>(lines, at, [first.as_ptr(), second.as_ptr()], &mut sums) };
    sums
}

/// What the sums of a tile begin with.
#[inline(always)]
fn bias<S: Simd, const N: usize>(s: S, p: &PackedConv, group: usize) -> [[S::V; N]; GROUP] {
    let mut sums = [[s.splat(0.0); N]; GROUP];
    let bias = &p.bias[group * GROUP..][..GROUP];
    for o in 0..GROUP {
        sums[o] = [s.splat(bias[o]); N];
    }
    sums
}

#[inline(always)]
fn activate<S: Simd, const N: usize>(s: S, sums: &mut [[S::V; N]; GROUP], activation: Activation) {
    for o in 0..GROUP {
        for n in 0..N {
            sums[o][n] = match activation {
                Activation::None => sums[o][n],
                Activation::Relu => s.max(s.splat(0.0), sums[o][n]),
                Activation::Gelu => gelu(s, sums[o][n]),
            };
        }
    }
}

/// A 1x1 convolution of one tile of `N` vectors at pixel `x`, to `out[cout][N * S::LANES]`.
#[inline(always)]
pub fn conv1x1_tile<S: Simd, const N: usize>(s: S, taps: Taps<'_>, p: &PackedConv, x: usize, out: &mut [f32]) {
    let line: Line = taps.line();
    check(&taps, p, &(x..x + 1), usize::MAX);
    assert!(p.kernel == 1 && line.left + x + N * S::LANES <= line.stride, "the tile lies in the line");
    for group in 0..p.cout.div_ceil(GROUP) {
        // SAFETY: compared above.
        let sums = unsafe { tile::<S, 1, N>(s, taps.pointers(), line.left + x, p, group) };
        for (o, sums) in sums.iter().enumerate().take(p.cout - group * GROUP) {
            for (n, &v) in sums.iter().enumerate() {
                let to = &mut out[((group * GROUP + o) * N + n) * S::LANES..][..S::LANES];
                // SAFETY: the slice is a vector long.
                unsafe { s.store(to.as_mut_ptr(), v) };
            }
        }
    }
}
