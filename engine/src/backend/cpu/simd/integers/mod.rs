//! Vectors of integers beside those of [`Simd`]: twice as many lanes of 16 bits, and as many lanes of 32 bits. All sums
//! wrap around.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(doc)]
use super::BLOCK;
use super::Simd;

/// Integers of an instruction set. All functions are inlined, as those of [`Simd`].
pub trait Integers: Simd {
    /// `2 * LANES` values of 16 bits.
    type H: Copy;
    /// `LANES` values of 32 bits.
    type W: Copy;

    /// The same value in every lane.
    fn splat_h(self, value: i16) -> Self::H;
    /// Loads a vector; no alignment is needed.
    ///
    /// # Safety
    /// `2 * LANES` values must be readable at `from`.
    unsafe fn load_h(self, from: *const i16) -> Self::H;
    /// Stores a vector; no alignment is needed.
    ///
    /// # Safety
    /// `2 * LANES` values must be writable at `to`.
    unsafe fn store_h(self, to: *mut i16, v: Self::H);
    /// `a + b`.
    fn add_h(self, a: Self::H, b: Self::H) -> Self::H;
    /// `a - b`.
    fn sub_h(self, a: Self::H, b: Self::H) -> Self::H;
    /// `4 * v`.
    fn four_times_h(self, v: Self::H) -> Self::H;
    /// The smaller of numbers without sign.
    fn min_h(self, a: Self::H, b: Self::H) -> Self::H;

    /// Loads a vector; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` values must be readable at `from`.
    unsafe fn load_w(self, from: *const i32) -> Self::W;
    /// Stores a vector; no alignment is needed.
    ///
    /// # Safety
    /// `LANES` values must be writable at `to`.
    unsafe fn store_w(self, to: *mut i32, v: Self::W);
    /// `a + b`.
    fn add_w(self, a: Self::W, b: Self::W) -> Self::W;
    /// `a - b`.
    fn sub_w(self, a: Self::W, b: Self::W) -> Self::W;
    /// `4 * v`.
    fn four_times_w(self, v: Self::W) -> Self::W;

    /// `a[2i] * b[2i] + a[2i + 1] * b[2i + 1]`.
    fn dot(self, a: Self::H, b: Self::H) -> Self::W;
    /// A quarter of a vector, four times.
    ///
    /// # Safety
    /// `LANES / 2` values must be readable at `from`.
    unsafe fn load_quarter_h(self, from: *const i16) -> Self::H;

    /// Loads `LANES` values as floats.
    ///
    /// # Safety
    /// They must be readable at `from`.
    unsafe fn widen(self, from: *const i16) -> Self::V;
    /// The nearest f32.
    fn to_float(self, v: Self::W) -> Self::V;
    /// The nearest integers, ties to even, of values below 2^31, held between 0 and 65535; `a` first.
    fn pack(self, a: Self::V, b: Self::V) -> Self::H;

    /// The products of a Winograd convolution at one place of `tiles` tiles, at the most [`BLOCK`]:
    /// `sums[t][o] = start[o] + pixels[t][0] * weights[0][o][0] + pixels[t][1] * weights[0][o][1] + pixels[t][2] *
    /// weights[1][o][0] + ...`, over `channels` channels and for `N` vectors of outputs.
    ///
    /// # Safety
    /// `channels` is even and not 0; `BLOCK * channels` pixels, `channels * N * LANES` weights and `N * LANES` values of
    /// `start` must be readable, `BLOCK * N * LANES` sums writable.
    unsafe fn products_h<const N: usize>(
        self,
        pixels: *const i16,
        weights: *const i16,
        channels: usize,
        tiles: usize,
        start: *const i32,
        sums: *mut i32,
    );
}
