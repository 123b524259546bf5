//! By VNNI, of AVX-512 or AVX2.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{ByteConv, LEAST, MIDDLE, MOST, QUAD};
use crate::backend::cpu::kernels::conv::After;
use crate::backend::cpu::kernels::narrow::{self, Narrow, OUTPUTS, Values};
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{Avx2, Avx512, Bytes, GROUP};

/// [`narrow::row`] on an instruction set.
macro_rules! row {
    ($name:ident, $isa:ty, $features:literal) => {
        /// # Safety
        /// What [`super::conv`] checks; there is VNNI.
        #[target_feature(enable = $features)]
        pub unsafe fn $name(
            s: $isa,
            pixels: (Taps<'_>, Range<usize>),
            p: &ByteConv,
            after: After<'_>,
            room: *mut f32,
            out: &mut [f32],
        ) {
            // SAFETY: the caller's promise.
            unsafe { narrow::row(s, pixels, p, after, room.cast(), out) }
        }
    };
}
row!(avx512, Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma");
row!(avx2, Avx2, "avx2,fma,avxvnni");

impl<S: Bytes> Narrow<S> for ByteConv {
    type Pixels = S::B;
    type Steps<const V: usize> = [S::V; V];

    #[inline(always)]
    fn outputs(&self) -> usize {
        self.cout
    }

    #[inline(always)]
    unsafe fn round<const V: usize>(s: S, taps: Taps<'_>, at: usize, room: *mut S::B) -> [S::V; V] {
        let lines = taps.pointers();
        // SAFETY: the caller's promise.
        unsafe {
            let mut steps = largest::<S, V>(s, lines, at);
            let mut inverse = [s.splat(0.0); V];
            for v in 0..V {
                inverse[v] = s.div(s.splat(MOST), steps[v]);
                steps[v] = s.mul(steps[v], s.splat(1.0 / MOST));
            }
            for quad in 0..lines.len().div_ceil(QUAD) {
                for v in 0..V {
                    let mut values = [s.splat(0.0); QUAD];
                    for i in 0..QUAD {
                        // The last one is taken again where channels are missing: the weights are 0 there.
                        let line = lines[(QUAD * quad + i).min(lines.len() - 1)];
                        let value = s.load(line.add(at + v * S::LANES));
                        values[i] = s.exact_fma(value, inverse[v], s.splat(MIDDLE.into()));
                    }
                    s.store_b(room.add(quad * V + v), s.quads(values));
                }
            }
            steps
        }
    }

    #[inline(always)]
    unsafe fn values<const V: usize>(
        &self,
        s: S,
        group: usize,
        room: *const S::B,
        steps: &[S::V; V],
    ) -> Values<S::V, V> {
        // SAFETY: the caller's promise.
        unsafe {
            if S::PAIRS {
                let [first, second] = sums::<S, V, 2>(s, self, group, room);
                return [floats(s, self, group, &first, steps), floats(s, self, group + GROUP, &second, steps)];
            }
            let [first] = sums::<S, V, 1>(s, self, group, room);
            let first = floats(s, self, group, &first, steps);
            let [second] = sums::<S, V, 1>(s, self, group + GROUP, room);
            [first, floats(s, self, group + GROUP, &second, steps)]
        }
    }
}

/// The largest values, without their sign, of each pixel.
///
/// # Safety
/// As for [`Narrow::round`].
#[inline(always)]
unsafe fn largest<S: Bytes, const V: usize>(s: S, lines: &[*const f32], at: usize) -> [S::V; V] {
    let mut largest = [s.splat(LEAST); V];
    for &line in lines {
        // The next tile's.
        s.prefetch::<V>(line.wrapping_add(at + V * S::LANES));
        for v in 0..V {
            // SAFETY: the caller's promise.
            largest[v] = unsafe { s.larger_size(largest[v], s.load(line.add(at + v * S::LANES))) };
        }
    }
    largest
}

/// Sums of `G` groups of outputs from output `first` on.
///
/// # Safety
/// There is VNNI; the pixels of all quads lie at `room`, the outputs are those of the weights, and side by side there.
#[inline(always)]
unsafe fn sums<S: Bytes, const V: usize, const G: usize>(
    s: S,
    p: &ByteConv,
    first: usize,
    room: *const S::B,
) -> [[[S::B; V]; GROUP]; G] {
    let start = &p.start[first..first + G * GROUP];
    let size = p.quads() * OUTPUTS;
    let weights = p.weight[first / OUTPUTS * size..][..size].as_ptr().wrapping_add(first % OUTPUTS);
    // SAFETY: the caller's promise; all sums are set.
    unsafe {
        // Zeros, to be overwritten, would become a call that fills memory.
        let mut begun = MaybeUninit::<[[[S::B; V]; GROUP]; G]>::uninit();
        for o in 0..G * GROUP {
            for v in 0..V {
                begun.as_mut_ptr().cast::<S::B>().add(o * V + v).write(s.splat_b(start[o]));
            }
        }
        let mut sums = begun.assume_init();
        for quad in 0..p.quads() {
            let mut pixels = [s.splat_b(0); V];
            for v in 0..V {
                pixels[v] = s.load_b(room.add(quad * V + v));
            }
            for g in 0..G {
                for o in 0..GROUP {
                    let weight = s.splat_b(*weights.add(quad * OUTPUTS + g * GROUP + o));
                    for v in 0..V {
                        sums[g][o][v] = s.dot(sums[g][o][v], pixels[v], weight);
                    }
                }
            }
        }
        sums
    }
}

/// Floats of the sums of outputs from `first` on: times the steps of their output and of their pixel.
///
/// # Safety
/// There is VNNI; the outputs are those of the weights.
#[inline(always)]
unsafe fn floats<S: Bytes, const V: usize>(
    s: S,
    p: &ByteConv,
    first: usize,
    sums: &[[S::B; V]; GROUP],
    steps: &[S::V; V],
) -> [[S::V; V]; GROUP] {
    let (step, bias) = (&p.step[first..first + GROUP], &p.bias[first..first + GROUP]);
    let mut values = MaybeUninit::<[[S::V; V]; GROUP]>::uninit();
    // SAFETY: the caller's promise; all values are set.
    unsafe {
        for o in 0..GROUP {
            for v in 0..V {
                let factor = s.mul(steps[v], s.splat(step[o]));
                let value = s.exact_fma(s.floats(sums[o][v]), factor, s.splat(bias[o]));
                values.as_mut_ptr().cast::<S::V>().add(o * V + v).write(value);
            }
        }
        values.assume_init()
    }
}
