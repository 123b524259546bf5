//! Register slots as values: what type an instruction sees in them.

use std::ops::{BitAnd, BitOr, Not};

use half::f16;

use super::Warp;
use crate::ptx::operand::Kind;

/// A register of a warp: one value a lane.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub(crate) [T; 32]);

/// What register files hold.
pub(crate) trait Slot:
    Copy + Default + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
    fn read(warp: &Warp, slot: u16) -> &[Self; 32];
    fn register(warp: &mut Warp, slot: u16) -> &mut [Self; 32];
    fn from_raw(raw: u64) -> Self;
    fn raw(self) -> u64;

    /// All ones if the last bit is set, or else zero.
    fn spread(bit: u32) -> Self;

    /// Takes each lane from `set` or `clear`, as its bit says. Without branches, for the compiler to use vectors.
    #[inline(always)]
    fn choose(bits: u32, set: &[Self; 32], clear: &[Self; 32]) -> [Self; 32] {
        let mut chosen = [Self::default(); 32];
        for lane in 0..32 {
            let mask = Self::spread(bits >> lane);
            chosen[lane] = set[lane] & mask | clear[lane] & !mask;
        }
        chosen
    }

    /// Writes the lanes of a mask.
    #[inline(always)]
    fn write(warp: &mut Warp, slot: u16, lanes: u32, values: &[Self; 32]) {
        let register = Self::register(warp, slot);
        if lanes == !0 {
            *register = *values;
        } else {
            *register = Self::choose(lanes, values, register);
        }
    }
}

impl Slot for u32 {
    #[inline(always)]
    fn read(warp: &Warp, slot: u16) -> &[u32; 32] {
        debug_assert!(usize::from(slot) < warp.words.len());
        // SAFETY: `Frame` handed out the slot, and a warp has as many registers as its kernel's frame.
        unsafe { &warp.words.get_unchecked(usize::from(slot)).0 }
    }

    #[inline(always)]
    fn register(warp: &mut Warp, slot: u16) -> &mut [u32; 32] {
        debug_assert!(usize::from(slot) < warp.words.len());
        // SAFETY: as for `read`.
        unsafe { &mut warp.words.get_unchecked_mut(usize::from(slot)).0 }
    }

    #[inline(always)]
    fn from_raw(raw: u64) -> u32 {
        raw as u32
    }

    #[inline(always)]
    fn raw(self) -> u64 {
        self.into()
    }

    #[inline(always)]
    fn spread(bit: u32) -> u32 {
        (bit & 1).wrapping_neg()
    }
}

impl Slot for u64 {
    #[inline(always)]
    fn read(warp: &Warp, slot: u16) -> &[u64; 32] {
        debug_assert!(usize::from(slot) < warp.longs.len());
        // SAFETY: `Frame` handed out the slot, and a warp has as many registers as its kernel's frame.
        unsafe { &warp.longs.get_unchecked(usize::from(slot)).0 }
    }

    #[inline(always)]
    fn register(warp: &mut Warp, slot: u16) -> &mut [u64; 32] {
        debug_assert!(usize::from(slot) < warp.longs.len());
        // SAFETY: as for `read`.
        unsafe { &mut warp.longs.get_unchecked_mut(usize::from(slot)).0 }
    }

    #[inline(always)]
    fn from_raw(raw: u64) -> u64 {
        raw
    }

    #[inline(always)]
    fn raw(self) -> u64 {
        self
    }

    #[inline(always)]
    fn spread(bit: u32) -> u64 {
        u64::from(bit & 1).wrapping_neg()
    }
}

/// A type that instructions work on.
pub(crate) trait Value: Copy {
    type Slot: Slot;
    const KIND: Kind;
    fn get(slot: Self::Slot) -> Self;
    fn put(self) -> Self::Slot;
}

macro_rules! integer {
    ($($name:ty, $slot:ty, $unsigned:ty);*) => {$(
        impl Value for $name {
            type Slot = $slot;
            const KIND: Kind = Kind::bits(<$name>::BITS as u8);
            #[inline(always)]
            fn get(slot: $slot) -> Self {
                slot as $name
            }
            #[inline(always)]
            fn put(self) -> $slot {
                <$slot>::from(self as $unsigned)
            }
        }
    )*};
}

integer!(u16, u32, u16; i16, u32, u16; u32, u32, u32; i32, u32, u32; u64, u64, u64; i64, u64, u64);

macro_rules! float {
    ($($name:ty, $slot:ty, $bits:ty, $width:literal);*) => {$(
        impl Value for $name {
            type Slot = $slot;
            const KIND: Kind = Kind { bits: $width, float: true };
            #[inline(always)]
            fn get(slot: $slot) -> Self {
                <$name>::from_bits(slot as $bits)
            }
            #[inline(always)]
            fn put(self) -> $slot {
                <$slot>::from(self.to_bits())
            }
        }
    )*};
}

float!(f16, u32, u16, 16; f32, u32, u32, 32; f64, u64, u64, 64);

/// A 32-bit float of an instruction with `.ftz`: subnormal numbers are read and written as zeros of their sign.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Flushed(pub(crate) f32);

#[inline(always)]
pub(crate) fn flush(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits(if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits })
}

impl Value for Flushed {
    type Slot = u32;
    const KIND: Kind = f32::KIND;
    #[inline(always)]
    fn get(slot: u32) -> Self {
        Flushed(flush(f32::from_bits(slot)))
    }
    #[inline(always)]
    fn put(self) -> u32 {
        flush(self.0).to_bits()
    }
}
