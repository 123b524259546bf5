//! `cvt`: rounding directions, halfway cases, saturation.

use half::f16;
use proptest::prelude::*;

use crate::common::{map, one};

fn to_integer(value: f32, modifiers: &str) -> u32 {
    one([value.to_bits()], &format!("cvt.{modifiers} %r10, %r0;"))
}

#[test]
fn floats_round_to_integers_in_four_directions() {
    for (value, nearest, zero, down, up) in
        [(2.5f32, 2, 2, 2, 3), (3.5, 4, 3, 3, 4), (-2.5, -2, -2, -3, -2), (-0.5, 0, 0, -1, 0), (7.0, 7, 7, 7, 7)]
    {
        let found = ["rni", "rzi", "rmi", "rpi"].map(|mode| to_integer(value, &format!("{mode}.s32.f32")) as i32);
        assert_eq!(found, [nearest, zero, down, up], "{value}");
        let integral = ["rni", "rzi", "rmi", "rpi"]
            .map(|mode| f32::from_bits(to_integer(value, &format!("{mode}.f32.f32"))) as i32);
        assert_eq!(integral, [nearest, zero, down, up], "{value}");
    }
}

#[test]
fn floats_out_of_range_saturate_and_nan_is_zero() {
    assert_eq!(to_integer(3e9, "rzi.s32.f32"), 0x7fff_ffff);
    assert_eq!(to_integer(-3e9, "rzi.s32.f32"), 0x8000_0000);
    assert_eq!(to_integer(5e9, "rzi.u32.f32"), u32::MAX);
    assert_eq!(to_integer(-1.0, "rzi.u32.f32"), 0);
    assert_eq!(to_integer(f32::NAN, "rzi.s32.f32"), 0);
    assert_eq!(to_integer(f32::INFINITY, "rni.u32.f32"), u32::MAX);
    assert_eq!(to_integer(300.0, "rni.u8.f32"), 255);
    assert_eq!(to_integer(-200.0, "rni.s8.f32"), -128i32 as u32);
    assert_eq!(to_integer(1e6, "rzi.s16.f32") as i32, 32767);
    let wide = map::<1, 2>(&[[(-1e30f32).to_bits()]], "cvt.rzi.s64.f32 %d0, %r0; mov.b64 {%r10, %r11}, %d0;");
    assert_eq!(wide, [[0, 0x8000_0000]]);
}

#[test]
fn floats_saturate_to_the_unit_interval() {
    for (value, expected) in [(-1.0, 0.0), (0.25, 0.25), (2.0, 1.0), (f32::NAN, 0.0)] {
        assert_eq!(to_integer(value, "sat.f32.f32"), f32::to_bits(expected));
    }
}

#[test]
fn integers_extend_truncate_and_saturate() {
    assert_eq!(one([0x1_80], "cvt.s32.s8 %r10, %r0;"), -128i32 as u32);
    assert_eq!(one([0x1_80], "cvt.u32.u8 %r10, %r0;"), 0x80);
    assert_eq!(one([300], "cvt.u8.u32 %r10, %r0;"), 44);
    assert_eq!(one([300], "cvt.sat.u8.u32 %r10, %r0;"), 255);
    assert_eq!(one([-5i32 as u32], "cvt.sat.u8.s32 %r10, %r0;"), 0);
    assert_eq!(one([-500i32 as u32], "cvt.sat.s8.s32 %r10, %r0;") as i32, -128);
    assert_eq!(one([0x8000_0000], "cvt.sat.s32.u32 %r10, %r0;"), 0x7fff_ffff);
    let body = "cvt.s64.s32 %d0, %r0; mov.b64 {%r10, %r11}, %d0; cvt.u64.u32 %d1, %r0; mov.b64 {%r12, %r13}, %d1;";
    assert_eq!(map::<1, 4>(&[[u32::MAX]], body), [[u32::MAX, u32::MAX, u32::MAX, 0]]);
    // A signed byte in a 16-bit register is extended to 16 bits, not to 32.
    assert_eq!(one([0xff], "cvt.s8.u32 %h0, %r0; mov.b32 %r10, {%h0, %h0};"), 0xffff_ffff);
    assert_eq!(one([0xff], "cvt.s8.u32 %h0, %r0; cvt.u32.u16 %r10, %h0;"), 0xffff);
}

#[test]
fn integers_round_to_floats_in_four_directions() {
    // 2^24 + 1 lies halfway between two floats.
    let modes = |value: u32| {
        ["rn", "rz", "rm", "rp"].map(|mode| f32::from_bits(one([value], &format!("cvt.{mode}.f32.s32 %r10, %r0;"))))
    };
    assert_eq!(modes(16_777_217), [16_777_216.0, 16_777_216.0, 16_777_216.0, 16_777_218.0]);
    assert_eq!(modes(-16_777_217i32 as u32), [-16_777_216.0, -16_777_216.0, -16_777_218.0, -16_777_216.0]);
    assert_eq!(f32::from_bits(one([u32::MAX], "cvt.rn.f32.u32 %r10, %r0;")), 4_294_967_296.0);
    assert_eq!(f32::from_bits(one([u32::MAX], "cvt.rz.f32.u32 %r10, %r0;")), 4_294_967_040.0);
}

#[test]
fn wide_sources_round_once() {
    // Halfway between two floats, and a little beside it where a float between would hide the difference.
    let tiny = 2f64.powi(-50);
    for (value, expected) in [
        (1.0 + 2f64.powi(-24), 0x3f80_0000),
        (1.0 + 2f64.powi(-24) + tiny, 0x3f80_0001),
        (1.0 + 3.0 * 2f64.powi(-24), 0x3f80_0002),
        (1e300, 0x7f80_0000),
        (2f64.powi(-150), 0),
        (1.5 * 2f64.powi(-149), 2),
    ] {
        let body = "mov.b64 %d0, {%r0, %r1}; cvt.rn.f32.f64 %r10, %d0;";
        assert_eq!(one([value.to_bits() as u32, (value.to_bits() >> 32) as u32], body), expected, "{value:e}");
    }
    for (value, expected) in [
        (1.0 + 2f64.powi(-11), 0x3c00),
        (1.0 + 2f64.powi(-11) + 2f64.powi(-40), 0x3c01),
        (1.0 + 3.0 * 2f64.powi(-11), 0x3c02),
    ] {
        let body = "mov.b64 %d0, {%r0, %r1}; cvt.rn.f16.f64 %h0, %d0; cvt.u32.u16 %r10, %h0;";
        assert_eq!(one([value.to_bits() as u32, (value.to_bits() >> 32) as u32], body), expected, "{value:e}");
    }
    // 2^40 + 2^16 is halfway, 2^40 + 3 * 2^16 too.
    for (low, expected) in [(1 << 16, 0x5380_0000), (3 << 16, 0x5380_0002), ((1 << 16) + 1, 0x5380_0001)] {
        assert_eq!(one([low, 1 << 8], "mov.b64 %d0, {%r0, %r1}; cvt.rn.f32.s64 %r10, %d0;"), expected, "{low:#x}");
    }
}

fn half(value: f32, modifiers: &str) -> u16 {
    one([value.to_bits()], &format!("cvt.{modifiers} %h0, %r0; cvt.u32.u16 %r10, %h0;")) as u16
}

#[test]
fn halves_round_in_four_directions() {
    let modes = |value: f32| ["rn", "rz", "rm", "rp"].map(|mode| half(value, &format!("{mode}.f16.f32")));
    // Halfway between 1 and its successor, and between the next two.
    assert_eq!(modes(1.0 + 2f32.powi(-11)), [0x3c00, 0x3c00, 0x3c00, 0x3c01]);
    assert_eq!(modes(1.0 + 3.0 * 2f32.powi(-11)), [0x3c02, 0x3c01, 0x3c01, 0x3c02]);
    assert_eq!(modes(-1.0 - 2f32.powi(-11)), [0xbc00, 0xbc00, 0xbc01, 0xbc00]);
    // Overflow: infinity, or the largest number.
    assert_eq!(modes(65520.0), [0x7c00, 0x7bff, 0x7bff, 0x7c00]);
    assert_eq!(modes(-65520.0), [0xfc00, 0xfbff, 0xfc00, 0xfbff]);
    assert_eq!(modes(65519.0), [0x7bff, 0x7bff, 0x7bff, 0x7c00]);
    // Subnormals, and below the smallest.
    assert_eq!(modes(2f32.powi(-25)), [0, 0, 0, 1]);
    assert_eq!(modes(3.0 * 2f32.powi(-26)), [1, 0, 0, 1]);
    assert_eq!(modes(-1e-30), [0x8000, 0x8000, 0x8001, 0x8000]);
}

#[test]
fn two_floats_make_a_pair() {
    let pair = |a: f32, b: f32, modifiers: &str| {
        one([a.to_bits(), b.to_bits()], &format!("cvt.{modifiers}.f16x2.f32 %r10, %r0, %r1;"))
    };
    assert_eq!(pair(1.0, 2.0, "rn"), 0x3c00_4000, "the second operand is the lower half");
    assert_eq!(pair(-1.0, 65519.0, "rn.relu"), 0x0000_7bff);
    assert_eq!(pair(1.0 + 3.0 * 2f32.powi(-11), 0.0, "rz"), 0x3c01_0000);
    assert_eq!(half(-3.0, "rn.relu.f16.f32"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn as_rust_converts(inputs in prop::collection::vec(any::<[u32; 1]>(), 1..70)) {
        let check = |body: &str, expected: fn(u32) -> u32| {
            for ([a], [found]) in inputs.iter().zip(map::<1, 1>(&inputs, body)) {
                prop_assert_eq!(found, expected(*a), "{} of {:#x}", body, a);
            }
            Ok(())
        };
        check("cvt.rn.f32.s32 %r10, %r0;", |a| (a as i32 as f32).to_bits())?;
        check("cvt.rn.f32.u32 %r10, %r0;", |a| (a as f32).to_bits())?;
        check("cvt.rzi.s32.f32 %r10, %r0;", |a| f32::from_bits(a) as i32 as u32)?;
        check("cvt.rzi.u32.f32 %r10, %r0;", |a| f32::from_bits(a) as u32)?;
        check("cvt.u16.u32 %h0, %r0; cvt.f32.f16 %r1, %h0; cvt.rn.f16.f32 %h1, %r1; cvt.u32.u16 %r10, %h1;", |a| {
            // There and back: the same half, but for the bits of a NaN.
            let half = f16::from_bits(a as u16);
            u32::from(if half.is_nan() { half.to_bits() | 0x200 } else { half.to_bits() })
        })?;
        check("cvt.f64.f32 %d0, %r0; cvt.rn.f32.f64 %r10, %d0;", |a| {
            if f32::from_bits(a).is_nan() { 0x7fff_ffff } else { a }
        })?;
    }
}
