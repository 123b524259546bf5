//! Plain Rust.

#![expect(clippy::needless_range_loop, reason = "several vectors are walked in step")]

use super::Integers;
use crate::backend::cpu::simd::BLOCK;
use crate::backend::cpu::simd::{Portable, Simd};

const N: usize = <Portable as Simd>::LANES;

#[inline(always)]
fn map2<T: Copy, const L: usize>(mut a: [T; L], b: [T; L], f: impl Fn(T, T) -> T) -> [T; L] {
    for i in 0..L {
        a[i] = f(a[i], b[i]);
    }
    a
}

impl Integers for Portable {
    type H = [i16; 2 * N];
    type W = [i32; N];

    #[inline(always)]
    fn splat_h(self, value: i16) -> Self::H {
        [value; 2 * N]
    }

    #[inline(always)]
    unsafe fn load_h(self, from: *const i16) -> Self::H {
        // SAFETY: the caller promises that these values are readable; an array is as aligned as a value.
        unsafe { from.cast::<Self::H>().read() }
    }

    #[inline(always)]
    unsafe fn store_h(self, to: *mut i16, v: Self::H) {
        // SAFETY: the caller promises that these values are writable.
        unsafe { to.cast::<Self::H>().write(v) }
    }

    #[inline(always)]
    fn add_h(self, a: Self::H, b: Self::H) -> Self::H {
        map2(a, b, i16::wrapping_add)
    }

    #[inline(always)]
    fn sub_h(self, a: Self::H, b: Self::H) -> Self::H {
        map2(a, b, i16::wrapping_sub)
    }

    #[inline(always)]
    fn four_times_h(self, v: Self::H) -> Self::H {
        map2(v, v, |v, _| v << 2)
    }

    #[inline(always)]
    fn min_h(self, a: Self::H, b: Self::H) -> Self::H {
        map2(a, b, |a, b| (a as u16).min(b as u16) as i16)
    }

    #[inline(always)]
    unsafe fn load_w(self, from: *const i32) -> Self::W {
        // SAFETY: as for `load_h`.
        unsafe { from.cast::<Self::W>().read() }
    }

    #[inline(always)]
    unsafe fn store_w(self, to: *mut i32, v: Self::W) {
        // SAFETY: as for `store_h`.
        unsafe { to.cast::<Self::W>().write(v) }
    }

    #[inline(always)]
    fn add_w(self, a: Self::W, b: Self::W) -> Self::W {
        map2(a, b, i32::wrapping_add)
    }

    #[inline(always)]
    fn sub_w(self, a: Self::W, b: Self::W) -> Self::W {
        map2(a, b, i32::wrapping_sub)
    }

    #[inline(always)]
    fn four_times_w(self, v: Self::W) -> Self::W {
        map2(v, v, |v, _| v << 2)
    }

    #[inline(always)]
    fn dot(self, a: Self::H, b: Self::H) -> Self::W {
        let product = |i: usize| i32::from(a[i]) * i32::from(b[i]);
        let mut to = [0; N];
        for i in 0..N {
            to[i] = product(2 * i).wrapping_add(product(2 * i + 1));
        }
        to
    }

    #[inline(always)]
    unsafe fn load_quarter_h(self, from: *const i16) -> Self::H {
        let mut to = [0; 2 * N];
        for i in 0..2 * N {
            // SAFETY: the caller promises that these values are readable.
            to[i] = unsafe { *from.add(i % (N / 2)) };
        }
        to
    }

    #[inline(always)]
    unsafe fn widen(self, from: *const i16) -> Self::V {
        let mut to = [0.0; N];
        for i in 0..N {
            // SAFETY: the caller promises that these values are readable.
            to[i] = f32::from(unsafe { *from.add(i) });
        }
        to
    }

    #[inline(always)]
    fn to_float(self, v: Self::W) -> Self::V {
        let mut to = [0.0; N];
        for i in 0..N {
            to[i] = v[i] as f32;
        }
        to
    }

    #[inline(always)]
    fn pack(self, a: Self::V, b: Self::V) -> Self::H {
        let mut to = [0; 2 * N];
        for i in 0..N {
            // The cast holds what lies outside at the ends.
            to[i] = a[i].round_ties_even() as u16 as i16;
            to[N + i] = b[i].round_ties_even() as u16 as i16;
        }
        to
    }

    #[inline(always)]
    unsafe fn products_h<const V: usize>(
        self,
        pixels: *const i16,
        weights: *const i16,
        channels: usize,
        tiles: usize,
        start: *const i32,
        sums: *mut i32,
    ) {
        let outputs = V * N;
        for t in 0..tiles.min(BLOCK) {
            for o in 0..outputs {
                // SAFETY: the caller's promise.
                unsafe {
                    let mut sum = *start.add(o);
                    for c in 0..channels {
                        let weight = *weights.add((c / 2 * outputs + o) * 2 + c % 2);
                        sum = sum.wrapping_add(i32::from(*pixels.add(t * channels + c)) * i32::from(weight));
                    }
                    *sums.add(t * outputs + o) = sum;
                }
            }
        }
    }
}
