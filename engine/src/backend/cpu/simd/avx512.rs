//! AVX-512 (F, BW, DQ and VL, as every processor since Skylake-SP has them together): 16 lanes, 32 registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{GROUP, HALF_BLOCK, Simd, convolve_plain, products_plain};

/// Proof that the processor has AVX-512, and AVX2 and FMA besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512 {
    /// And VNNI.
    vnni: bool,
    /// And BF16.
    bf16: bool,
    /// And tiles of bytes and of BF16.
    amx: bool,
}

impl Avx512 {
    /// None where the processor lacks it.
    pub fn detect() -> Option<Self> {
        let here = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        here.then_some(Self { vnni: false, bf16: false, amx: false })
    }

    /// With VNNI; None where the processor lacks it.
    pub fn detect_vnni() -> Option<Self> {
        Self::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(|proof| Self { vnni: true, ..proof })
    }

    /// With VNNI and BF16; None where the processor lacks one of them.
    pub fn detect_bf16() -> Option<Self> {
        Self::detect_vnni().filter(|_| is_x86_feature_detected!("avx512bf16")).map(|proof| Self { bf16: true, ..proof })
    }

    /// With VNNI, BF16 and AMX, whose tiles the system lets this process use; None where one of them is missing.
    pub fn detect_amx() -> Option<Self> {
        Self::detect_bf16().filter(|_| has_tiles() && may_use_tiles()).map(|proof| Self { amx: true, ..proof })
    }

    /// With tiles whose instructions a handler carries out; None where the processor has them, or lacks VNNI or BF16.
    #[cfg(test)]
    pub fn trap_amx() -> Option<Self> {
        let proof = Self::detect_bf16().filter(|_| Self::detect_amx().is_none())?;
        crate::backend::cpu::tiles::trap::install();
        Some(Self { amx: true, ..proof })
    }

    /// Whether there is VNNI.
    pub const fn vnni(self) -> bool {
        self.vnni
    }

    /// Whether there is BF16.
    pub const fn bf16(self) -> bool {
        self.bf16
    }

    /// Whether there are tiles of bytes and of BF16 (AMX).
    pub const fn amx(self) -> bool {
        self.amx
    }
}

/// AMX-BF16, AMX-TILE and AMX-INT8 in leaf 7, and their state among those that the system saves.
fn has_tiles() -> bool {
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const STATES: u64 = 1 << 17 | 1 << 18;
    // SAFETY: the bit that `xgetbv` needs is asked for first.
    __cpuid_count(7, 0).edx & TILES == TILES
        && __cpuid(1).ecx & 1 << 27 != 0
        && unsafe { _xgetbv(0) } & STATES == STATES
}

/// Asks Linux, once a process, whether it may use tiles: their state is large, so it is not saved unasked.
#[cfg(target_os = "linux")]
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XTILEDATA: i64 = 18;
    static GIVEN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *GIVEN.get_or_init(|| {
        let answer: i64;
        // SAFETY: the system call reads its two arguments, and changes only what is named.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL => answer, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA,
                 lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        answer == 0
    })
}

/// Other systems have other ways, untried.
#[cfg(not(target_os = "linux"))]
const fn may_use_tiles() -> bool {
    false
}

// SAFETY of every block below: `self` proves that AVX-512 is there; what memory is touched is the caller's promise.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    // A 3x3 convolution reads most vectors across two cache lines: more channels for each are worth more than whole tiles
    // (82 in place of 64 GMAC/s with 64 channels on a Sapphire Rapids; a 1x1 convolution gains nothing).
    const TILES: [usize; 2] = [4, 3];
    const PAIRS: bool = true;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        let mask = (1_u32 << count.min(16)) - 1;
        // SAFETY: see above; lanes whose mask is 0 are not read.
        unsafe { _mm512_maskz_loadu_ps(mask as u16, from) }
    }

    // A Zen 4 turns vectors where it multiplies, so of five taps and seven some are loaded.
    #[inline(always)]
    unsafe fn beside<const D: isize>(self, from: *const f32, around: [__m512; 3]) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let [left, here, right] = around.map(|v| _mm512_castps_si512(v));
            _mm512_castsi512_ps(match D {
                -1 => _mm512_alignr_epi32::<15>(here, left),
                0 => here,
                1 => _mm512_alignr_epi32::<1>(right, here),
                2 => _mm512_alignr_epi32::<2>(right, here),
                3 => _mm512_alignr_epi32::<3>(right, here),
                _ => return self.load(from.offset(D)),
            })
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_quarter(self, from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn turn(self, from: *const f32, count: usize, to: *mut f32) {
        for i in (0..count).step_by(8) {
            // SAFETY: see above.
            unsafe {
                // Two rows a vector; the first steps bring together what each row has of a column.
                let row = |r: usize| _mm512_castps256_ps512(_mm256_loadu_ps(from.add(r * count + i)));
                let two = |r: usize| _mm512_insertf32x8::<1>(row(r), _mm256_loadu_ps(from.add((r + 1) * count + i)));
                let (a, b) = (two(0), two(2));
                let low = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
                let high = _mm512_add_epi32(low, _mm512_set1_epi32(4));
                _mm512_storeu_ps(to.add(4 * i), _mm512_permutex2var_ps(a, low, b));
                _mm512_storeu_ps(to.add(4 * i + 16), _mm512_permutex2var_ps(a, high, b));
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
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn exact_fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.fma(a, b, c)
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sqrt_ps(v) }
    }

    #[inline(always)]
    fn round(self, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
    }

    #[inline(always)]
    fn pow2(self, v: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn interleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: see above.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        }
    }

    #[inline(always)]
    unsafe fn convolve<const K: usize, const N: usize>(
        self,
        lines: &[*const f32],
        at: usize,
        weight: *const f32,
        sums: &mut [[__m512; N]; GROUP],
    ) {
        for (i, &line) in lines.iter().enumerate() {
            prefetch::<N>(line.wrapping_add(at));
            // SAFETY: the caller's promise.
            unsafe { convolve_plain::<Self, K, N>(self, &[line], at, weight.add(i * K * GROUP), sums) };
        }
    }

    #[inline(always)]
    unsafe fn convolve_pair<const K: usize, const N: usize>(
        self,
        lines: &[*const f32],
        at: usize,
        [mut first, mut second]: [*const f32; 2],
        sums: &mut [[[__m512; N]; GROUP]; 2],
    ) {
        let [a, b] = sums;
        for &line in lines {
            prefetch::<N>(line.wrapping_add(at));
            // SAFETY: the caller's promise.
            unsafe {
                for tap in 0..K {
                    let mut v = [self.splat(0.0); N];
                    for (n, v) in v.iter_mut().enumerate() {
                        *v = self.load(line.add(at + tap - K / 2 + n * Self::LANES));
                    }
                    for o in 0..GROUP {
                        let (w, x) = (self.splat(*first.add(o)), self.splat(*second.add(o)));
                        for n in 0..N {
                            a[o][n] = self.fma(v[n], w, a[o][n]);
                            b[o][n] = self.fma(v[n], x, b[o][n]);
                        }
                    }
                    (first, second) = (first.add(GROUP), second.add(GROUP));
                }
            }
        }
    }

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
        // SAFETY: see above.
        unsafe {
            if N == 1 && tiles > HALF_BLOCK {
                return products_12_1(pixels, weights, channels, start, sums);
            }
            for first in (0..tiles).step_by(HALF_BLOCK) {
                let (pixels, sums) = (pixels.add(first * channels), sums.add(first * N * Self::LANES));
                match N {
                    1 => products_6_1(pixels, weights, channels, start, sums),
                    2 => products_6_2(pixels, weights, channels, start, sums),
                    _ => products_plain::<Self, N>(self, pixels, weights, channels, start, sums),
                }
            }
        }
    }
}

/// Asks for the `N` vectors after those at `from`, the next tile's: they are more lines than the processor's own prefetch
/// follows.
#[inline(always)]
fn prefetch<const N: usize>(from: *const f32) {
    for n in N..2 * N {
        // SAFETY: what does not exist may be asked for, too.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(n * Avx512::LANES).cast()) };
    }
}

/// Channel `$c` of three tiles at `$p`, times one vector of weights; `$fma` multiplies and adds.
macro_rules! three_1 {
    ($fma:literal, $p:literal, $c:literal, $x:literal, $y:literal, $z:literal) => {
        concat!(
            three_1!(@ $fma, $x, $p, $c),
            three_1!(@ $fma, $y, $p, " + {s}", $c),
            three_1!(@ $fma, $z, $p, " + 2*{s}", $c),
        )
    };
    (@ $fma:literal, $x:literal, $($at:literal),+) => {
        concat!($fma, " zmm", $x, ", zmm30, dword ptr [", $($at,)+ "]{{1to16}}\n")
    };
}

/// Channel `$c` of three tiles at `$p`, times two vectors of weights.
macro_rules! three_2 {
    ($fma:literal, $p:literal, $c:literal, $x:literal, $x2:literal, $y:literal, $y2:literal, $z:literal, $z2:literal) => {
        concat!(
            three_2!(@ $fma, $x, $x2, $p, $c),
            three_2!(@ $fma, $y, $y2, $p, " + {s}", $c),
            three_2!(@ $fma, $z, $z2, $p, " + 2*{s}", $c),
        )
    };
    (@ $fma:literal, $x:literal, $x2:literal, $($at:literal),+) => {
        concat!(
            "vbroadcastss zmm29, dword ptr [", $($at,)+ "]\n",
            $fma, " zmm", $x, ", zmm29, zmm30\n",
            $fma, " zmm", $x2, ", zmm29, zmm31\n",
        )
    };
}

/// Products of a block in assembly, for the reason that `avx2.rs` gives, and because the compiler takes `vpdpwssd` apart. The
/// vectors of `start` are loaded to zmm0 and, as far away as `$second` says, to zmm1. `$code` is two channels, whose weights
/// are `$bytes` long, `$store` leaves the sums; each of the pointers p, q, r, t is that of three tiles.
macro_rules! products {
    ($(#[$doc:meta])* $name:ident, $features:literal, $second:literal, $bytes:literal, [$($code:expr),*], [$($store:literal),*]) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As for [`Simd::products`], for as many tiles; a pair of 16-bit integers is taken for a float.
        #[target_feature(enable = $features)]
        #[inline]
        pub unsafe fn $name(
            pixels: *const f32,
            weights: *const f32,
            channels: usize,
            start: *const f32,
            sums: *mut f32,
        ) {
            const { assert!(HALF_BLOCK == 6, "the registers are for six tiles, and twice as many") };
            // SAFETY: the caller promises that what is read and written is there; pointers to more tiles are not used.
            unsafe {
                asm!(
                    "vmovups zmm0, [{start}]", concat!("vmovups zmm1, [{start} + ", $second, "]"),
                    "vmovaps zmm2, zmm0", "vmovaps zmm3, zmm1", "vmovaps zmm4, zmm0", "vmovaps zmm5, zmm1",
                    "vmovaps zmm6, zmm0", "vmovaps zmm7, zmm1", "vmovaps zmm8, zmm0", "vmovaps zmm9, zmm1",
                    "vmovaps zmm10, zmm0", "vmovaps zmm11, zmm1",
                    "2:",
                    $($code,)*
                    "add {p}, 8",
                    "add {q}, 8",
                    "add {r}, 8",
                    "add {t}, 8",
                    concat!("add {u}, ", $bytes),
                    "sub {c}, 2",
                    "jnz 2b",
                    "vmovups [{m}], zmm0", "vmovups [{m} + 64], zmm1", "vmovups [{m} + 128], zmm2",
                    "vmovups [{m} + 192], zmm3", "vmovups [{m} + 256], zmm4", "vmovups [{m} + 320], zmm5",
                    $($store,)*
                    p = inout(reg) pixels => _,
                    q = inout(reg) pixels.wrapping_add(3 * channels) => _,
                    r = inout(reg) pixels.wrapping_add(6 * channels) => _,
                    t = inout(reg) pixels.wrapping_add(9 * channels) => _,
                    u = inout(reg) weights => _,
                    c = inout(reg) channels => _,
                    s = in(reg) 4 * channels,
                    m = in(reg) sums,
                    start = in(reg) start,
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                    out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm29") _, out("zmm30") _, out("zmm31") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The products of one kind of numbers.
macro_rules! kind {
    ($features:literal, $fma:literal, $six_1:ident, $twelve_1:ident, $six_2:ident) => {
        products!(
            /// Six tiles of one vector.
            $six_1, $features, 0, 128,
            [
                "prefetcht0 [{u} + 512]",
                "prefetcht0 [{u} + 576]",
                "vmovups zmm30, [{u}]",
                three_1!($fma, "{p}", "", "0", "1", "2"),
                three_1!($fma, "{q}", "", "3", "4", "5"),
                "vmovups zmm30, [{u} + 64]",
                three_1!($fma, "{p}", " + 4", "0", "1", "2"),
                three_1!($fma, "{q}", " + 4", "3", "4", "5")
            ],
            []
        );
        products!(
            /// Twelve tiles of one vector: 13 loads for 12 multiply-adds, where six tiles take 7 for 6 and are a fifth slower.
            $twelve_1, $features, 0, 128,
            [
                "prefetcht0 [{u} + 512]",
                "prefetcht0 [{u} + 576]",
                "vmovups zmm30, [{u}]",
                three_1!($fma, "{p}", "", "0", "1", "2"),
                three_1!($fma, "{q}", "", "3", "4", "5"),
                three_1!($fma, "{r}", "", "6", "7", "8"),
                three_1!($fma, "{t}", "", "9", "10", "11"),
                "vmovups zmm30, [{u} + 64]",
                three_1!($fma, "{p}", " + 4", "0", "1", "2"),
                three_1!($fma, "{q}", " + 4", "3", "4", "5"),
                three_1!($fma, "{r}", " + 4", "6", "7", "8"),
                three_1!($fma, "{t}", " + 4", "9", "10", "11")
            ],
            [
                "vmovups [{m} + 384], zmm6", "vmovups [{m} + 448], zmm7", "vmovups [{m} + 512], zmm8",
                "vmovups [{m} + 576], zmm9", "vmovups [{m} + 640], zmm10", "vmovups [{m} + 704], zmm11"
            ]
        );
        products!(
            /// Six tiles of two vectors.
            $six_2, $features, 64, 256,
            [
                "prefetcht0 [{u} + 512]",
                "prefetcht0 [{u} + 576]",
                "prefetcht0 [{u} + 640]",
                "prefetcht0 [{u} + 704]",
                "vmovups zmm30, [{u}]",
                "vmovups zmm31, [{u} + 64]",
                three_2!($fma, "{p}", "", "0", "1", "2", "3", "4", "5"),
                three_2!($fma, "{q}", "", "6", "7", "8", "9", "10", "11"),
                "vmovups zmm30, [{u} + 128]",
                "vmovups zmm31, [{u} + 192]",
                three_2!($fma, "{p}", " + 4", "0", "1", "2", "3", "4", "5"),
                three_2!($fma, "{q}", " + 4", "6", "7", "8", "9", "10", "11")
            ],
            [
                "vmovups [{m} + 384], zmm6", "vmovups [{m} + 448], zmm7", "vmovups [{m} + 512], zmm8",
                "vmovups [{m} + 576], zmm9", "vmovups [{m} + 640], zmm10", "vmovups [{m} + 704], zmm11"
            ]
        );
    };
}
kind!("avx512f", "vfmadd231ps", products_6_1, products_12_1, products_6_2);
kind!("avx512f,avx512vnni", "vpdpwssd", vnni_6_1, vnni_12_1, vnni_6_2);
