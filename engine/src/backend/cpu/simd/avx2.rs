//! AVX2 with FMA: 8 lanes.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{GROUP, HALF_BLOCK, Simd, convolve_plain, products_plain};

/// Vectors of a tile that is computed in assembly.
const TILE: usize = 3;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2 {
    /// And AVX-VNNI.
    vnni: bool,
}

impl Avx2 {
    /// None where the processor lacks it.
    pub fn detect() -> Option<Self> {
        let here = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        here.then_some(Self { vnni: false })
    }

    /// With AVX-VNNI; None where the processor lacks it.
    pub fn detect_vnni() -> Option<Self> {
        Self::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(|_| Self { vnni: true })
    }

    /// Whether there is AVX-VNNI.
    pub const fn vnni(self) -> bool {
        self.vnni
    }
}

// SAFETY of every block below: `self` proves that AVX2 and FMA are there; what memory is touched is the caller's promise.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: see above; lanes whose mask is 0 are not read.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lane);
            _mm256_maskload_ps(from, mask)
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_quarter(self, from: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_castsi256_ps(_mm256_set1_epi64x(from.cast::<i64>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn turn(self, from: *const f32, count: usize, to: *mut f32) {
        for i in (0..count).step_by(8) {
            // SAFETY: see above.
            unsafe {
                let (a, b) = (_mm256_loadu_ps(from.add(i)), _mm256_loadu_ps(from.add(count + i)));
                let (low, high) = self.interleave(a, b);
                _mm256_storeu_ps(to.add(2 * i), low);
                _mm256_storeu_ps(to.add(2 * i + 8), high);
            }
        }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, from: *const f32) {
        for line in 0..(N * Self::LANES).div_ceil(16) {
            // SAFETY: see above; what does not exist may be asked for, too.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(16 * line).cast()) };
        }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn exact_fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.fma(a, b, c)
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sqrt_ps(v) }
    }

    #[inline(always)]
    fn round(self, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
    }

    #[inline(always)]
    fn pow2(self, v: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }
    }

    #[inline(always)]
    unsafe fn convolve<const K: usize, const N: usize>(
        self,
        lines: &[*const f32],
        at: usize,
        weight: *const f32,
        sums: &mut [[__m256; N]; GROUP],
    ) {
        // SAFETY: see above; the cast is one to the type itself.
        unsafe {
            match (K, N) {
                (1, TILE) => convolve_1(lines, at, weight, &mut *std::ptr::from_mut(sums).cast()),
                (3, TILE) => convolve_3(lines, at - 1, weight, &mut *std::ptr::from_mut(sums).cast()),
                _ => convolve_plain::<Self, K, N>(self, lines, at, weight, sums),
            }
        }
    }

    #[inline(always)]
    unsafe fn half_products<const N: usize>(
        self,
        pixels: *const f32,
        weights: *const f32,
        channels: usize,
        start: *const f32,
        sums: *mut f32,
    ) {
        // SAFETY: see above.
        unsafe {
            match N {
                2 => products_2(pixels, weights, channels, start, sums),
                _ => products_plain::<Self, N>(self, pixels, weights, channels, start, sums),
            }
        }
    }
}

/// Channel `$c` of a tile at `$p`, times two vectors of weights; `$fma` multiplies and adds.
macro_rules! tile {
    ($fma:literal, $p:literal, $c:literal, $a:literal, $b:literal) => {
        concat!(
            "vbroadcastss ymm14, [",
            $p,
            " + 4*",
            $c,
            "]\n",
            $fma,
            " ymm",
            $a,
            ", ymm14, ymm12\n",
            $fma,
            " ymm",
            $b,
            ", ymm14, ymm13\n",
        )
    };
}

/// One channel, its weights at byte `$u`, for two vectors of outputs.
macro_rules! channel {
    ($fma:literal, $c:literal, $u:literal) => {
        concat!(
            "vmovups ymm12, [{u} + ",
            $u,
            "]\n",
            "vmovups ymm13, [{u} + ",
            $u,
            " + 32]\n",
            tile!($fma, "{p}", $c, "0", "1"),
            tile!($fma, "{p} + {s}", $c, "2", "3"),
            tile!($fma, "{p} + 2*{s}", $c, "4", "5"),
            tile!($fma, "{q}", $c, "6", "7"),
            tile!($fma, "{q} + {s}", $c, "8", "9"),
            tile!($fma, "{q} + 2*{s}", $c, "10", "11"),
        )
    };
}

macro_rules! products_2 {
    ($name:ident, $features:literal, $fma:literal) => {
        /// [`Simd::half_products`] for two vectors, in assembly for the reason that `convolve` below gives, and because the compiler
        /// takes `vpdpwssd` apart.
        ///
        /// # Safety
        /// As there; a pair of 16-bit integers is taken for a float.
        #[target_feature(enable = $features)]
        #[inline]
        pub unsafe fn $name(pixels: *const f32, weights: *const f32, channels: usize, start: *const f32, sums: *mut f32) {
            const { assert!(HALF_BLOCK == 6, "the registers are for six tiles") };
            // SAFETY: the caller promises that what is read and written is there.
            unsafe {
                asm!(
                    "vmovups ymm0, [{start}]", "vmovups ymm1, [{start} + 32]",
                    "vmovaps ymm2, ymm0", "vmovaps ymm3, ymm1", "vmovaps ymm4, ymm0", "vmovaps ymm5, ymm1",
                    "vmovaps ymm6, ymm0", "vmovaps ymm7, ymm1", "vmovaps ymm8, ymm0", "vmovaps ymm9, ymm1",
                    "vmovaps ymm10, ymm0", "vmovaps ymm11, ymm1",
                    "2:",
                    "prefetcht0 [{u} + 512]",
                    "prefetcht0 [{u} + 576]",
                    channel!($fma, "0", "0"),
                    channel!($fma, "1", "64"),
                    "add {p}, 8",
                    "add {q}, 8",
                    "add {u}, 128",
                    "sub {c}, 2",
                    "jnz 2b",
                    "vmovups [{m}], ymm0", "vmovups [{m} + 32], ymm1", "vmovups [{m} + 64], ymm2",
                    "vmovups [{m} + 96], ymm3", "vmovups [{m} + 128], ymm4", "vmovups [{m} + 160], ymm5",
                    "vmovups [{m} + 192], ymm6", "vmovups [{m} + 224], ymm7", "vmovups [{m} + 256], ymm8",
                    "vmovups [{m} + 288], ymm9", "vmovups [{m} + 320], ymm10", "vmovups [{m} + 352], ymm11",
                    p = inout(reg) pixels => _,
                    q = inout(reg) pixels.add(3 * channels) => _,
                    u = inout(reg) weights => _,
                    c = inout(reg) channels => _,
                    s = in(reg) 4 * channels,
                    m = in(reg) sums,
                    start = in(reg) start,
                    out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                    out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                    out("ymm12") _, out("ymm13") _, out("ymm14") _,
                    options(nostack),
                );
            }
        }
    };
}
products_2!(products_2, "avx2,fma", "vfmadd231ps");
products_2!(vnni_2, "avx2,avxvnni", "{{vex}} vpdpwssd");

/// One tap of a tile: pixels at byte `$p` of the line, weights at byte `$q`.
macro_rules! tap {
    ($p:literal, $q:literal) => {
        concat!(
            "vmovups {v0}, [{p} + ",
            $p,
            "]\n",
            "vmovups {v1}, [{p} + ",
            $p,
            " + 32]\n",
            "vmovups {v2}, [{p} + ",
            $p,
            " + 64]\n",
            "vbroadcastss {w}, [{q} + ",
            $q,
            "]\n",
            "vfmadd231ps {a0}, {v0}, {w}\n",
            "vfmadd231ps {a1}, {v1}, {w}\n",
            "vfmadd231ps {a2}, {v2}, {w}\n",
            "vbroadcastss {w}, [{q} + ",
            $q,
            " + 4]\n",
            "vfmadd231ps {b0}, {v0}, {w}\n",
            "vfmadd231ps {b1}, {v1}, {w}\n",
            "vfmadd231ps {b2}, {v2}, {w}\n",
            "vbroadcastss {w}, [{q} + ",
            $q,
            " + 8]\n",
            "vfmadd231ps {c0}, {v0}, {w}\n",
            "vfmadd231ps {c1}, {v1}, {w}\n",
            "vfmadd231ps {c2}, {v2}, {w}\n",
            "vbroadcastss {w}, [{q} + ",
            $q,
            " + 12]\n",
            "vfmadd231ps {d0}, {v0}, {w}\n",
            "vfmadd231ps {d1}, {v1}, {w}\n",
            "vfmadd231ps {d2}, {v2}, {w}\n",
        )
    };
}

/// The inner loop in assembly: it needs all 16 registers, and the compiler, which moves loads forward, spills some of them
/// (seen with rustc 1.95: 19 in place of 45 GMAC/s on a Zen 3). It asks for the pixels of the next tile ahead of time: these
/// are more lines than the processor's own prefetch follows (18 in place of 35 GMAC/s where lines come from the third-level
/// cache). A prefetch beyond the end of memory does nothing.
macro_rules! convolve {
    ($name:ident, $taps:literal, $($code:expr),*) => {
        /// All lines of a tile, its pixels beginning at `at`.
        ///
        /// # Safety
        /// As for `Simd::convolve`, the first tap being at `at`.
        #[target_feature(enable = "avx2,fma")]
        #[inline]
        unsafe fn $name(lines: &[*const f32], at: usize, weight: *const f32, sums: &mut [[__m256; TILE]; GROUP]) {
            let [[mut a0, mut a1, mut a2], [mut b0, mut b1, mut b2], [mut c0, mut c1, mut c2], [mut d0, mut d1, mut d2]] =
                *sums;
            for (i, &line) in lines.iter().enumerate() {
                // SAFETY: the caller promises that what is read is there; nothing is written.
                unsafe {
                    asm!(
                        "prefetcht0 [{p} + 128]",
                        "prefetcht0 [{p} + 192]",
                        $($code,)*
                        p = in(reg) line.add(at),
                        q = in(reg) weight.add(i * $taps * GROUP),
                        a0 = inout(ymm_reg) a0, a1 = inout(ymm_reg) a1, a2 = inout(ymm_reg) a2,
                        b0 = inout(ymm_reg) b0, b1 = inout(ymm_reg) b1, b2 = inout(ymm_reg) b2,
                        c0 = inout(ymm_reg) c0, c1 = inout(ymm_reg) c1, c2 = inout(ymm_reg) c2,
                        d0 = inout(ymm_reg) d0, d1 = inout(ymm_reg) d1, d2 = inout(ymm_reg) d2,
                        v0 = out(ymm_reg) _, v1 = out(ymm_reg) _, v2 = out(ymm_reg) _, w = out(ymm_reg) _,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
            }
            *sums = [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2], [d0, d1, d2]];
        }
    };
}
convolve!(convolve_1, 1, tap!("0", "0"));
convolve!(convolve_3, 3, tap!("0", "0"), tap!("4", "16"), tap!("8", "32"));
