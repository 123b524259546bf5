//! Run-time choice of the instruction set for the pixel loops of this folder.

/// The instruction set that the loops are compiled for. Made by [`Isa::detect`] alone, so that having one proves that
/// the processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Isa {
    /// What every processor has.
    pub(super) const PORTABLE: Self = Self(Level::Portable);

    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Self(Level::Avx2);
        }
        Self::PORTABLE
    }

    /// True if functions compiled for AVX2 and FMA may be called.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_avx2(self) -> bool {
        self.0 == Level::Avx2
    }
}

/// `a * b + c`, in one rounding where the instruction exists: without it `mul_add` is a slow library call.
#[inline(always)]
pub(super) fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Defines a function whose first argument is an [`Isa`] and whose body is compiled once for each. The body sees the
/// constant `FMA`, to be handed to [`fused`].
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<const $c:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name $(<const $c: usize>)? (isa: $crate::frame::simd::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool, $(const $c: usize)?>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<const $c: usize>)? ($($arg: $ty),*) $(-> $ret)? {
                    body::<true, $($c)?>($($arg),*)
                }
                if isa.has_avx2() {
                    // SAFETY: `has_avx2` is true only where AVX2 and FMA were detected.
                    return unsafe { avx2 $(::<$c>)? ($($arg),*) };
                }
            }
            let _ = isa;
            body::<false, $($c)?>($($arg),*)
        }
    };
}
pub(super) use multiversion;
