//! Plain Rust, for any processor: the compiler makes of it what its baseline has.

use super::Simd;

/// 8 lanes without any instruction set of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

const N: usize = 8;
type V = [f32; N];

#[inline(always)]
fn map2(mut a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    for i in 0..N {
        a[i] = f(a[i], b[i]);
    }
    a
}

#[inline(always)]
fn map(mut a: V, f: impl Fn(f32) -> f32) -> V {
    for v in &mut a {
        *v = f(*v);
    }
    a
}

impl Simd for Portable {
    type V = V;
    const LANES: usize = N;

    #[inline(always)]
    fn splat(self, value: f32) -> V {
        [value; N]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> V {
        // SAFETY: the caller promises that these values are readable; an array of f32 is as aligned as one.
        unsafe { from.cast::<V>().read() }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> V {
        let mut v = [0.0; N];
        for (i, lane) in v.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises that `count` values are readable.
            *lane = unsafe { from.add(i).read() };
        }
        v
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: V) {
        // SAFETY: the caller promises that these values are writable.
        unsafe { to.cast::<V>().write(v) }
    }

    #[inline(always)]
    unsafe fn load_quarter(self, from: *const f32) -> V {
        let mut v = [0.0; N];
        for (i, lane) in v.iter_mut().enumerate() {
            // SAFETY: the caller promises that these values are readable.
            *lane = unsafe { from.add(i % (N / 4)).read() };
        }
        v
    }

    #[inline(always)]
    unsafe fn turn(self, from: *const f32, count: usize, to: *mut f32) {
        for i in 0..count * N / 4 {
            // SAFETY: the caller promises that these values are readable, and writable.
            unsafe { to.add(i).write(from.add(i % (N / 4) * count + i / (N / 4)).read()) };
        }
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        map2(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, a: V, b: V, mut c: V) -> V {
        for i in 0..N {
            // Where the baseline has no such instruction, `mul_add` is a slow library call.
            c[i] = if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            };
        }
        c
    }

    #[inline(always)]
    fn exact_fma(self, a: V, b: V, mut c: V) -> V {
        for i in 0..N {
            c[i] = a[i].mul_add(b[i], c[i]);
        }
        c
    }

    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn sqrt(self, v: V) -> V {
        map(v, f32::sqrt)
    }

    #[inline(always)]
    fn round(self, v: V) -> V {
        map(v, f32::round_ties_even)
    }

    #[inline(always)]
    fn pow2(self, v: V) -> V {
        map(v, |v| f32::from_bits(((v as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn interleave(self, a: V, b: V) -> (V, V) {
        let (mut low, mut high) = (a, b);
        for i in 0..N / 2 {
            (low[2 * i], low[2 * i + 1]) = (a[i], b[i]);
            (high[2 * i], high[2 * i + 1]) = (a[N / 2 + i], b[N / 2 + i]);
        }
        (low, high)
    }
}
