//! Run-time choice of the instruction set.
//!
//! A new instruction set is a type that implements `Simd`, an entry of [`Level`] and of [`Isa::all`], and an arm of
//! [`kernel`].

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Portable, Simd as _};
use crate::Error;

/// The environment variable that forces an instruction set by name, for tests and comparisons.
pub const VARIABLE: &str = "SRUP_CPU";

/// The instruction set that kernels run on. Having one proves that the processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(super) Level);

/// One entry for each instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Isa {
    /// All that this processor has, from the weakest to the strongest.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self(Level::Portable(Portable))];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = [Avx2::detect(), Avx2::detect_vnni()].into_iter().flatten();
            let avx512 = [Avx512::detect(), Avx512::detect_vnni(), Avx512::detect_bf16(), Avx512::detect_amx()];
            all.extend(
                avx2.map(|proof| Self(Level::Avx2(proof)))
                    .chain(avx512.into_iter().flatten().map(|proof| Self(Level::Avx512(proof)))),
            );
        }
        all
    }

    /// All, and AMX besides where a handler can stand for what this processor lacks of it: slow, but the same instructions.
    #[cfg(test)]
    pub(super) fn all_and_amx() -> Vec<Self> {
        let mut all = Self::all();
        #[cfg(target_arch = "x86_64")]
        all.extend(Avx512::trap_amx().map(|proof| Self(Level::Avx512(proof))));
        all
    }

    /// The strongest, or the one that the environment variable `SRUP_CPU` names.
    ///
    /// # Errors
    /// [`Error::Backend`] if that is unknown or not here.
    pub fn choose() -> Result<Self, Error> {
        match std::env::var_os(VARIABLE) {
            None => Ok(*Self::all().last().expect("every processor runs portable code")),
            Some(name) => Self::named(&name.to_string_lossy()),
        }
    }

    /// By name.
    ///
    /// # Errors
    /// [`Error::Backend`] if it is unknown or not here.
    pub fn named(name: &str) -> Result<Self, Error> {
        let all = Self::all();
        all.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let here: Vec<_> = all.iter().map(|isa| isa.name()).collect();
            let reason = format!("{VARIABLE}={name} cannot be had on this processor: set it to {}", here.join(" or "));
            Error::Backend { backend: "cpu", reason }
        })
    }

    /// The name in descriptions and in `SRUP_CPU`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => ["avx2", "avxvnni"][proof.vnni() as usize],
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => {
                let more = proof.vnni() as usize + proof.bf16() as usize + proof.amx() as usize;
                ["avx512", "avx512vnni", "avx512bf16", "amx"][more]
            }
        }
    }

    /// Whether it multiplies bf16 faster than f32.
    pub const fn bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => proof.bf16(),
            _ => false,
        }
    }

    /// Whether it multiplies bytes faster than f32, a vector of pixels at a time: whether it has VNNI.
    pub const fn bytes(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => proof.vnni(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(proof) => proof.vnni(),
            Level::Portable(_) => false,
        }
    }

    /// Whether it multiplies tiles, of bytes or bf16.
    pub const fn tiles(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(proof) => proof.amx(),
            _ => false,
        }
    }

    /// Floats of a vector.
    pub const fn lanes(self) -> usize {
        match self.0 {
            Level::Portable(_) => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Avx512::LANES,
        }
    }
}

/// Defines a function whose first argument is an [`Isa`], and whose body, generic over `Simd`, is compiled once for each.
/// Everything that the body calls must be `inline(always)`, or it loses the instruction set.
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$S:ident>($s:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::backend::cpu::dispatch::Isa $(, $arg: $ty)*) $(-> $ret)? {
            #[inline(always)]
            fn body<$S: $crate::backend::cpu::simd::Integers>($s: $S $(, $arg: $ty)*) $(-> $ret)? $body

            match isa.0 {
                $crate::backend::cpu::dispatch::Level::Portable(proof) => body(proof $(, $arg)*),
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::dispatch::Level::Avx2(proof) => {
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2(proof: $crate::backend::cpu::simd::Avx2 $(, $arg: $ty)*) $(-> $ret)? {
                        body(proof $(, $arg)*)
                    }
                    // SAFETY: `proof` exists only where AVX2 and FMA were detected.
                    unsafe { avx2(proof $(, $arg)*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::backend::cpu::dispatch::Level::Avx512(proof) => {
                    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                    fn avx512(proof: $crate::backend::cpu::simd::Avx512 $(, $arg: $ty)*) $(-> $ret)? {
                        body(proof $(, $arg)*)
                    }
                    // SAFETY: `proof` exists only where all of these were detected.
                    unsafe { avx512(proof $(, $arg)*) }
                }
            }
        }
    };
}
pub(super) use kernel;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_is_found_by_its_name() {
        for isa in Isa::all() {
            assert_eq!(Isa::named(isa.name()).unwrap(), isa);
        }
        let text = Isa::named("abacus").unwrap_err().to_string();
        assert!(text.contains("SRUP_CPU=abacus") && text.contains("portable"), "{text}");
    }
}
