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
