//! Vectors of f32 behind one trait, so that every kernel is written once. A value of an implementing type proves that the
//! processor has its instruction set; only [`super::dispatch`] makes one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bytes;
mod integers;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "x86_64")]
pub use bytes::{Bytes, quads};
pub use integers::Integers;
pub use portable::Portable;

/// Lanes of the widest vector of any instruction set: lines are padded for it.
pub const MAX_LANES: usize = 16;
/// Output channels of a convolution's tile.
pub const GROUP: usize = 4;
/// The most vectors of a convolution's tile.
pub const MAX_TILE: usize = 4;
/// Tiles of a Winograd convolution's block.
pub const BLOCK: usize = 12;
/// Half of them: with two vectors of outputs each 12 sums, too.
const HALF_BLOCK: usize = BLOCK / 2;

/// An instruction set. All functions are inlined into the kernel that calls them, which is compiled with the right
/// target features.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] values.
    type V: Copy;
    /// Values of a vector, [`MAX_LANES`] at the most.
    const LANES: usize;
    /// Vectors of a convolution's tile, for a kernel of 1 and one of 3: with 4 channels 12 sums, the most that 16 registers
    /// hold.
    const TILES: [usize; 2] = [3; 2];
    /// Whether registers are enough for two groups of channels in a tile of a 3x3 convolution.
    const PAIRS: bool = false;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::V;
    /// Loads a vector; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` values must be readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Loads `count` values, at the most a vector; the other lanes are 0.
    ///
    /// # Safety
    /// `count` values must be readable at `from`.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::V;
    /// The vector `D` values, 3 at the most, beside `from`, where the vectors to the left, at `from` and to the right are there
    /// already: it is loaded, or made of those, where loads across cache lines would hold up multiply-adds.
    ///
    /// # Safety
    /// `LANES` values must be readable there.
    #[inline(always)]
    unsafe fn beside<const D: isize>(self, from: *const f32, _around: [Self::V; 3]) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { self.load(from.offset(D)) }
    }
    /// Stores a vector; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` values must be writable at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Asks for the cache lines of `N` vectors ahead of the time that they are read or written, where that can be asked.
    #[inline(always)]
    fn prefetch<const N: usize>(self, _from: *const f32) {}
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, in one rounding or two, whichever is fast.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b + c` in one rounding.
    fn exact_fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` if one of them is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` if one of them is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, v: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, v: Self::V) -> Self::V;
    /// `2^v` for integers from -126 to 127.
    fn pow2(self, v: Self::V) -> Self::V;
    /// `(a0 b0 a1 b1 ...)`, in two vectors.
    fn interleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);

    /// The inner loop of a dense convolution: for every line, tap k of `K` and output channel o,
    /// `sums[o][n] += weight[line][k][o] * pixels[at + k - K / 2 + n * LANES ..]`.
    ///
    /// # Safety
    /// `K * GROUP` weights for each line, and `N` vectors at each of those places of every line, must be readable.
    #[inline(always)]
    unsafe fn convolve<const K: usize, const N: usize>(
        self,
        lines: &[*const f32],
        at: usize,
        weight: *const f32,
        sums: &mut [[Self::V; N]; GROUP],
    ) {
        // SAFETY: the caller's promise.
        unsafe { convolve_plain::<Self, K, N>(self, lines, at, weight, sums) }
    }

    /// The same for two groups of channels with their own weights, where there are [`Simd::PAIRS`].
    ///
    /// # Safety
    /// As for [`Simd::convolve`].
    #[inline(always)]
    unsafe fn convolve_pair<const K: usize, const N: usize>(
        self,
        lines: &[*const f32],
        at: usize,
        weights: [*const f32; 2],
        sums: &mut [[[Self::V; N]; GROUP]; 2],
    ) {
        for (sums, weight) in sums.iter_mut().zip(weights) {
            // SAFETY: the caller's promise.
            unsafe { self.convolve::<K, N>(lines, at, weight, sums) }
        }
    }

    /// A quarter of a vector, four times.
    ///
    /// # Safety
    /// `LANES / 4` values must be readable at `from`.
    unsafe fn load_quarter(self, from: *const f32) -> Self::V;

    /// Turns `LANES / 4` rows of `count` values, which are a multiple of 8, into `count` rows of `LANES / 4`. The values may
    /// be of any kind of 32 bits.
    ///
    /// # Safety
    /// That many values must be readable at `from` and writable at `to`.
    unsafe fn turn(self, from: *const f32, count: usize, to: *mut f32);

    /// The products of a Winograd convolution at one place of `tiles` tiles, at the most [`BLOCK`]:
    /// `sums[t][o] = start[o] + pixels[t][0] * weights[0][o] + pixels[t][1] * weights[1][o] + ...`, over `channels`
    /// channels and for `N` vectors of outputs.
    ///
    /// # Safety
    /// `channels` is even and not 0; `BLOCK * channels` pixels, `channels * N * LANES` weights and `N * LANES` values of
    /// `start` must be readable, `BLOCK * N * LANES` sums writable.
    #[inline(always)]
    unsafe fn products<const N: usize>(
        self,
        pixels: *const f32,
        weights: *const f32,
        channels: usize,
        tiles: usize,
        start: *const f32,
        sums: *mut f32,
    ) {
        for first in (0..tiles).step_by(HALF_BLOCK) {
            // SAFETY: the caller's promise; there is room for a whole block.
            unsafe {
                let (pixels, sums) = (pixels.add(first * channels), sums.add(first * N * Self::LANES));
                self.half_products::<N>(pixels, weights, channels, start, sums);
            }
        }
    }

    /// [`Simd::products`] of half a block.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn half_products<const N: usize>(
        self,
        pixels: *const f32,
        weights: *const f32,
        channels: usize,
        start: *const f32,
        sums: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe { products_plain::<Self, N>(self, pixels, weights, channels, start, sums) }
    }

    /// The sum of all lanes, in a fixed order.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the array has room for the widest vector.
        unsafe { self.store(lanes.as_mut_ptr(), v) };
        let mut n = Self::LANES;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                lanes[i] += lanes[i + n];
            }
        }
        lanes[0]
    }
}

/// [`Simd::convolve`] as the compiler arranges it.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn convolve_plain<S: Simd, const K: usize, const N: usize>(
    s: S,
    lines: &[*const f32],
    at: usize,
    mut weight: *const f32,
    sums: &mut [[S::V; N]; GROUP],
) {
    for &line in lines {
        for tap in 0..K {
            let mut v = [s.splat(0.0); N];
            // SAFETY: the caller's promise.
            unsafe {
                for (n, v) in v.iter_mut().enumerate() {
                    *v = s.load(line.add(at + tap - K / 2 + n * S::LANES));
                }
                for (o, sums) in sums.iter_mut().enumerate() {
                    let w = s.splat(*weight.add(o));
                    for n in 0..N {
                        sums[n] = s.fma(v[n], w, sums[n]);
                    }
                }
                weight = weight.add(GROUP);
            }
        }
    }
}

/// [`Simd::half_products`] as the compiler arranges it.
///
/// # Safety
/// As there.
#[expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]
#[inline(always)]
unsafe fn products_plain<S: Simd, const N: usize>(
    s: S,
    pixels: *const f32,
    weights: *const f32,
    channels: usize,
    start: *const f32,
    sums: *mut f32,
) {
    // Channels in turn go to one of two sums each: one alone would wait for itself where N is 1, as those of three need not.
    let mut block = [[[s.splat(0.0); N]; HALF_BLOCK]; 2];
    for t in 0..HALF_BLOCK {
        for n in 0..N {
            // SAFETY: the caller's promise.
            block[0][t][n] = unsafe { s.load(start.add(n * S::LANES)) };
        }
    }
    for pair in (0..channels).step_by(2) {
        for k in 0..2 {
            let c = pair + k;
            // SAFETY: the caller's promise.
            unsafe {
                let mut weight = [s.splat(0.0); N];
                for n in 0..N {
                    weight[n] = s.load(weights.add((c * N + n) * S::LANES));
                }
                for t in 0..HALF_BLOCK {
                    let pixel = s.splat(*pixels.add(t * channels + c));
                    for n in 0..N {
                        let chain = if N > 2 { 0 } else { k };
                        block[chain][t][n] = s.fma(pixel, weight[n], block[chain][t][n]);
                    }
                }
            }
        }
    }
    for t in 0..HALF_BLOCK {
        for n in 0..N {
            // SAFETY: the caller's promise.
            unsafe { s.store(sums.add((t * N + n) * S::LANES), s.add(block[0][t][n], block[1][t][n])) };
        }
    }
}
