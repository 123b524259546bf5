//! The numbers in which a chain is computed: f32, or integers of 16 bits with sums in 32.

use super::ends::{self, Head};
use super::quads;
use super::winograd::{self, Layer, Out, PAIRS, Pixels, Room, SIDE, TILE};
use crate::backend::cpu::dispatch::{Isa, kernel};
use crate::backend::cpu::simd::Integers;
use crate::network::LIMIT;

/// Numbers that a ring can hold.
pub trait Number: bytemuck::Pod + Default + Send + Sync {
    /// What products add up to.
    type Sum: bytemuck::Pod + Default + Send + Sync;
    /// Channels in that a product takes at once.
    const PAIR: usize;
    /// Whether a pixel's value is the same whatever lies in its tile where the kernel does not reach.
    const EXACT: bool;

    /// [`winograd::rows`].
    fn rows(
        isa: Isa,
        layer: &Layer<Self>,
        pixels: Pixels<'_, Self>,
        tiles: usize,
        room: &mut Room<Self>,
        out: Out<'_, Self>,
    );
    /// [`winograd::last`].
    fn last(
        isa: Isa,
        layer: &Layer<Self>,
        pixels: Pixels<'_, Self>,
        tiles: usize,
        room: &mut Room<Self>,
        out: [&mut [f32]; TILE],
    );
    /// [`quads::last`].
    fn last_of_four(
        isa: Isa,
        layer: &Layer<Self>,
        pixels: Pixels<'_, Self>,
        tiles: usize,
        room: &mut Room<Self>,
        out: [[&mut [f32]; 2]; TILE],
    );
    /// [`ends::head`].
    fn head(isa: Isa, head: &Head, pixels: [&[f32]; 3], tiles: usize, out: &mut [Self], phase: usize);
}

/// Numbers on an instruction set. Loads and stores need no alignment.
pub trait Arithmetic<S: Integers>: Number {
    /// Numbers of a ring.
    type V: Copy;
    /// Sums, `S::LANES` of them.
    type W: Copy;
    /// Numbers of a [`Arithmetic::V`].
    const LANES: usize;
    /// Vectors of sums that become one of numbers.
    const SUMS: usize = Self::LANES / S::LANES;

    /// # Safety
    /// A vector is readable there.
    unsafe fn load(s: S, from: *const Self) -> Self::V;
    /// # Safety
    /// A vector is writable there.
    unsafe fn store(s: S, to: *mut Self, v: Self::V);
    /// # Safety
    /// A vector is readable there.
    unsafe fn load_sum(s: S, from: *const Self::Sum) -> Self::W;
    /// # Safety
    /// A vector is writable there.
    unsafe fn store_sum(s: S, to: *mut Self::Sum, w: Self::W);
    /// Bᵀ d for one column or row.
    #[inline(always)]
    fn forward(s: S, d: [Self::V; SIDE]) -> [Self::V; SIDE] {
        let [first, last] = Self::forward_pair::<0>(s, d);
        let [one, two] = Self::forward_pair::<1>(s, d);
        let [three, four] = Self::forward_pair::<2>(s, d);
        [first, one, two, three, four, last]
    }
    /// The rows of it that [`PAIRS`] names at `P`.
    fn forward_pair<const P: usize>(s: S, d: [Self::V; SIDE]) -> [Self::V; 2];
    /// Aᵀ m for one column or row.
    fn back(s: S, m: [Self::W; SIDE]) -> [Self::W; TILE];
    /// The products at one place of `tiles` tiles, as of [`Integers::products_h`].
    ///
    /// # Safety
    /// As there.
    unsafe fn products<const N: usize>(
        s: S,
        pixels: *const Self,
        weights: *const Self,
        channels: usize,
        tiles: usize,
        start: *const Self::Sum,
        sums: *mut Self::Sum,
    );
    /// A quarter of a vector, four times.
    ///
    /// # Safety
    /// That quarter is readable there.
    unsafe fn load_quarter(s: S, from: *const Self) -> Self::V;
    /// `w`, and the products of what belongs together.
    fn multiply_add(s: S, a: Self::V, b: Self::V, w: Self::W) -> Self::W;
    /// What a ring holds of the first [`Arithmetic::SUMS`] vectors of sums times their factors: the numbers that are not
    /// negative.
    ///
    /// # Safety
    /// A vector is readable at each factor that belongs to a sum.
    unsafe fn hold(s: S, w: [Self::W; 2], factor: [*const f32; 2]) -> Self::V;
    /// The same, and then those that are held at `added` added, times the ratio of their channels.
    ///
    /// # Safety
    /// As for [`Arithmetic::hold`], and a vector is readable at `added`, and one of floats at each ratio.
    unsafe fn hold_sum(
        s: S,
        w: [Self::W; 2],
        factor: [*const f32; 2],
        added: *const Self,
        ratio: [*const f32; 2],
    ) -> Self::V;
    /// Floats of sums; `factor` is that of each output.
    ///
    /// # Safety
    /// A vector is readable there.
    unsafe fn float(s: S, w: Self::W, factor: *const f32) -> S::V;
    /// `a * b + c` in the first layer.
    fn head_fma(s: S, a: S::V, b: S::V, c: S::V) -> S::V;
    /// What a ring holds of sums of the first layer.
    fn head_hold(s: S, v: [S::V; 2]) -> Self::V;
}

/// The functions of a [`Number`], each compiled for every instruction set.
macro_rules! number {
    ($number:ty, $sum:ty, $pair:literal, $exact:literal, $rows:ident, $last:ident, $four:ident, $head:ident) => {
        impl Number for $number {
            type Sum = $sum;
            const PAIR: usize = $pair;
            const EXACT: bool = $exact;

            fn rows(
                isa: Isa,
                layer: &Layer<Self>,
                pixels: Pixels<'_, Self>,
                tiles: usize,
                room: &mut Room<Self>,
                out: Out<'_, Self>,
            ) {
                $rows(isa, layer, pixels, tiles, room, out);
            }

            fn last(
                isa: Isa,
                layer: &Layer<Self>,
                pixels: Pixels<'_, Self>,
                tiles: usize,
                room: &mut Room<Self>,
                out: [&mut [f32]; TILE],
            ) {
                $last(isa, layer, pixels, tiles, room, out);
            }

            fn last_of_four(
                isa: Isa,
                layer: &Layer<Self>,
                pixels: Pixels<'_, Self>,
                tiles: usize,
                room: &mut Room<Self>,
                out: [[&mut [f32]; 2]; TILE],
            ) {
                $four(isa, layer, pixels, tiles, room, out);
            }

            fn head(isa: Isa, head: &Head, pixels: [&[f32]; 3], tiles: usize, out: &mut [Self], phase: usize) {
                $head(isa, head, pixels, tiles, out, phase);
            }
        }

        kernel! {
            fn $rows<S>(
                s,
                layer: &Layer<$number>,
                pixels: Pixels<'_, $number>,
                tiles: usize,
                room: &mut Room<$number>,
                out: Out<'_, $number>,
            ) {
                winograd::rows(s, layer, pixels, tiles, room, out);
            }
        }

        kernel! {
            fn $last<S>(
                s,
                layer: &Layer<$number>,
                pixels: Pixels<'_, $number>,
                tiles: usize,
                room: &mut Room<$number>,
                out: [&mut [f32]; TILE],
            ) {
                winograd::last(s, layer, pixels, tiles, room, out);
            }
        }

        kernel! {
            fn $four<S>(
                s,
                layer: &Layer<$number>,
                pixels: Pixels<'_, $number>,
                tiles: usize,
                room: &mut Room<$number>,
                out: [[&mut [f32]; 2]; TILE],
            ) {
                quads::last(s, layer, pixels, tiles, room, out);
            }
        }

        kernel! {
            fn $head<S>(s, head: &Head, pixels: [&[f32]; 3], tiles: usize, out: &mut [$number], phase: usize) {
                ends::head(s, head, pixels, tiles, out, phase);
            }
        }
    };
}
number!(f32, f32, 1, false, rows_f32, last_f32, four_f32, head_f32);
number!(i16, i32, 2, true, rows_i16, last_i16, four_i16, head_i16);

impl<S: Integers> Arithmetic<S> for f32 {
    type V = S::V;
    type W = S::V;
    const LANES: usize = S::LANES;

    #[inline(always)]
    unsafe fn load(s: S, from: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(from) }
    }

    #[inline(always)]
    unsafe fn store(s: S, to: *mut f32, v: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to, v) }
    }

    #[inline(always)]
    unsafe fn load_sum(s: S, from: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(from) }
    }

    #[inline(always)]
    unsafe fn store_sum(s: S, to: *mut f32, w: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to, w) }
    }

    #[inline(always)]
    fn forward_pair<const P: usize>(s: S, d: [S::V; SIDE]) -> [S::V; 2] {
        const { assert!(P < PAIRS.len()) };
        let (even, odd) = (s.sub(d[4], d[2]), s.sub(d[3], d[1]));
        let minus_four = s.splat(-4.0);
        match P {
            0 => [s.fma(s.sub(d[0], d[2]), s.splat(4.0), even), s.fma(odd, minus_four, s.sub(d[5], d[3]))],
            1 => {
                let (a, b) = (s.fma(d[2], minus_four, d[4]), s.fma(d[1], minus_four, d[3]));
                [s.add(a, b), s.sub(a, b)]
            }
            _ => [s.fma(odd, s.splat(2.0), even), s.fma(odd, s.splat(-2.0), even)],
        }
    }

    #[inline(always)]
    fn back(s: S, m: [S::V; SIDE]) -> [S::V; TILE] {
        let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (far, across) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum, far)),
            s.fma(across, s.splat(2.0), difference),
            s.fma(far, s.splat(4.0), sum),
            s.fma(m[5], s.splat(4.0), s.fma(across, s.splat(8.0), difference)),
        ]
    }

    #[inline(always)]
    unsafe fn products<const N: usize>(
        s: S,
        pixels: *const f32,
        weights: *const f32,
        channels: usize,
        tiles: usize,
        start: *const f32,
        sums: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe { s.products::<N>(pixels, weights, channels, tiles, start, sums) }
    }

    #[inline(always)]
    unsafe fn load_quarter(s: S, from: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_quarter(from) }
    }

    #[inline(always)]
    fn multiply_add(s: S, a: S::V, b: S::V, w: S::V) -> S::V {
        s.fma(a, b, w)
    }

    #[inline(always)]
    unsafe fn hold(s: S, w: [S::V; 2], _: [*const f32; 2]) -> S::V {
        Self::head_hold(s, w)
    }

    #[inline(always)]
    unsafe fn hold_sum(s: S, w: [S::V; 2], _: [*const f32; 2], added: *const f32, _: [*const f32; 2]) -> S::V {
        // SAFETY: the caller's promise.
        s.add(Self::head_hold(s, w), unsafe { s.load(added) })
    }

    #[inline(always)]
    unsafe fn float(_: S, w: S::V, _: *const f32) -> S::V {
        w
    }

    #[inline(always)]
    fn head_fma(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.fma(a, b, c)
    }

    /// `max(0, x)`, where what is not a number stays none: it must not end as a picture.
    #[inline(always)]
    fn head_hold(s: S, v: [S::V; 2]) -> S::V {
        s.max(s.splat(0.0), v[0])
    }
}

impl<S: Integers> Arithmetic<S> for i16 {
    type V = S::H;
    type W = S::W;
    const LANES: usize = 2 * S::LANES;

    #[inline(always)]
    unsafe fn load(s: S, from: *const i16) -> S::H {
        // SAFETY: the caller's promise.
        unsafe { s.load_h(from) }
    }

    #[inline(always)]
    unsafe fn store(s: S, to: *mut i16, v: S::H) {
        // SAFETY: the caller's promise.
        unsafe { s.store_h(to, v) }
    }

    #[inline(always)]
    unsafe fn load_sum(s: S, from: *const i32) -> S::W {
        // SAFETY: the caller's promise.
        unsafe { s.load_w(from) }
    }

    #[inline(always)]
    unsafe fn store_sum(s: S, to: *mut i32, w: S::W) {
        // SAFETY: the caller's promise.
        unsafe { s.store_w(to, w) }
    }

    #[inline(always)]
    fn forward_pair<const P: usize>(s: S, d: [S::H; SIDE]) -> [S::H; 2] {
        const { assert!(P < PAIRS.len()) };
        let (even, odd) = (s.sub_h(d[4], d[2]), s.sub_h(d[3], d[1]));
        match P {
            0 => {
                [s.add_h(s.four_times_h(s.sub_h(d[0], d[2])), even), s.sub_h(s.sub_h(d[5], d[3]), s.four_times_h(odd))]
            }
            1 => {
                let (a, b) = (s.sub_h(d[4], s.four_times_h(d[2])), s.sub_h(d[3], s.four_times_h(d[1])));
                [s.add_h(a, b), s.sub_h(a, b)]
            }
            _ => [s.add_h(even, s.add_h(odd, odd)), s.sub_h(even, s.add_h(odd, odd))],
        }
    }

    #[inline(always)]
    fn back(s: S, m: [S::W; SIDE]) -> [S::W; TILE] {
        let (sum, difference) = (s.add_w(m[1], m[2]), s.sub_w(m[1], m[2]));
        let (far, across) = (s.add_w(m[3], m[4]), s.sub_w(m[3], m[4]));
        let twice = s.add_w(across, across);
        [
            s.add_w(m[0], s.add_w(sum, far)),
            s.add_w(twice, difference),
            s.add_w(s.four_times_w(far), sum),
            s.add_w(s.four_times_w(s.add_w(m[5], twice)), difference),
        ]
    }

    #[inline(always)]
    unsafe fn products<const N: usize>(
        s: S,
        pixels: *const i16,
        weights: *const i16,
        channels: usize,
        tiles: usize,
        start: *const i32,
        sums: *mut i32,
    ) {
        // SAFETY: the caller's promise.
        unsafe { s.products_h::<N>(pixels, weights, channels, tiles, start, sums) }
    }

    #[inline(always)]
    unsafe fn load_quarter(s: S, from: *const i16) -> S::H {
        // SAFETY: the caller's promise.
        unsafe { s.load_quarter_h(from) }
    }

    #[inline(always)]
    fn multiply_add(s: S, a: S::H, b: S::H, w: S::W) -> S::W {
        s.add_w(w, s.dot(a, b))
    }

    #[inline(always)]
    unsafe fn hold(s: S, w: [S::W; 2], factor: [*const f32; 2]) -> S::H {
        // Beyond 2^23 a sum of floats is rounded to an integer, and only once.
        let far = s.splat(1.5 * (1 << 23) as f32);
        let mut v = [far; 2];
        for i in 0..2 {
            // SAFETY: the caller's promise.
            let factor = unsafe { s.load(factor[i]) };
            v[i] = s.sub(s.exact_fma(s.to_float(w[i]), factor, far), far);
        }
        held(s, v)
    }

    #[inline(always)]
    unsafe fn hold_sum(s: S, w: [S::W; 2], factor: [*const f32; 2], added: *const i16, ratio: [*const f32; 2]) -> S::H {
        let mut v = [s.splat(0.0); 2];
        for i in 0..2 {
            // SAFETY: the caller's promise.
            unsafe {
                let added = s.mul(s.widen(added.add(i * S::LANES)), s.load(ratio[i]));
                v[i] = s.add(s.max(Self::float(s, w[i], factor[i]), s.splat(0.0)), added);
            }
        }
        held(s, v)
    }

    #[inline(always)]
    unsafe fn float(s: S, w: S::W, factor: *const f32) -> S::V {
        // SAFETY: the caller's promise.
        s.mul(s.to_float(w), unsafe { s.load(factor) })
    }

    /// In one rounding on every processor, so that all come to the same integers.
    #[inline(always)]
    fn head_fma(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
        s.exact_fma(a, b, c)
    }

    /// There is no bound to what comes in.
    #[inline(always)]
    fn head_hold(s: S, v: [S::V; 2]) -> S::H {
        let limit = s.splat(LIMIT.into());
        held(s, [s.min(v[0], limit), s.min(v[1], limit)])
    }
}

/// The nearest integers of 0..=[`LIMIT`] to values below 2^31.
#[inline(always)]
fn held<S: Integers>(s: S, v: [S::V; 2]) -> S::H {
    s.min_h(s.pack(v[0], v[1]), s.splat_h(LIMIT.into()))
}
