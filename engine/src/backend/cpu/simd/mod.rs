//! Vectors of f32 behind one trait, so that every kernel is written once. A value of an implementing type proves that the
//! processor has its instruction set; only [`super::dispatch`] makes one.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
pub use portable::Portable;

/// Lanes of the widest vector of any instruction set: lines are padded for it.
pub const MAX_LANES: usize = 8;
/// Output channels of a convolution's tile.
pub const GROUP: usize = 4;
/// Vectors of a convolution's tile: with 4 channels 12 sums, the most that 16 registers hold.
pub const TILE: usize = 3;

/// An instruction set. All functions are inlined into the kernel that calls them, which is compiled with the right
/// target features.
pub trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] values.
    type V: Copy;
    /// Values of a vector, [`MAX_LANES`] at the most.
    const LANES: usize;

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
    /// Stores a vector; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` values must be writable at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
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
