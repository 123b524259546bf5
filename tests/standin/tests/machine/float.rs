//! Arithmetic of floats: rounding, NaNs, zeros, saturation.

use half::f16;
use proptest::prelude::*;

use crate::common::{map, one};

fn single(a: f32, b: f32, c: f32, instruction: &str) -> f32 {
    f32::from_bits(one([a.to_bits(), b.to_bits(), c.to_bits()], &format!("{instruction};")))
}

fn floats() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        prop::sample::select(vec![0, 0x8000_0000, 0x3f80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 1, 0x0080_0000]),
    ]
}

/// Equal bits, or both not a number.
fn same(found: u32, expected: f32) -> bool {
    let found = f32::from_bits(found);
    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
}

fn check(inputs: &[[u32; 3]], instruction: &str, expected: impl Fn(f32, f32, f32) -> f32) {
    for (i, [found]) in inputs.iter().zip(map::<3, 1>(inputs, &format!("{instruction};"))) {
        let [a, b, c] = i.map(f32::from_bits);
        assert!(same(found, expected(a, b, c)), "{instruction} of {a:e}, {b:e}, {c:e}: {:e}", f32::from_bits(found));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn single_precision(inputs in prop::collection::vec([floats(), floats(), floats()], 1..70)) {
        check(&inputs, "add.f32 %r10, %r0, %r1", |a, b, _| a + b);
        check(&inputs, "sub.rn.f32 %r10, %r0, %r1", |a, b, _| a - b);
        check(&inputs, "mul.f32 %r10, %r0, %r1", |a, b, _| a * b);
        check(&inputs, "fma.rn.f32 %r10, %r0, %r1, %r2", f32::mul_add);
        check(&inputs, "div.rn.f32 %r10, %r0, %r1", |a, b, _| a / b);
        check(&inputs, "sqrt.rn.f32 %r10, %r0", |a, _, _| a.sqrt());
        check(&inputs, "rcp.rn.f32 %r10, %r0", |a, _, _| 1.0 / a);
        check(&inputs, "neg.f32 %r10, %r0", |a, _, _| -a);
        check(&inputs, "abs.f32 %r10, %r0", |a, _, _| a.abs());
    }

    /// Pairs of halves against the exact result in 64 bits, rounded once: for products and sums of halves, 64 bits are
    /// exact wherever it matters.
    #[test]
    fn half_precision(inputs in prop::collection::vec(any::<[u32; 3]>(), 1..70)) {
        let exact = |word: u32, n: u32| f16::from_bits((word >> (n * 16)) as u16).to_f64();
        let check = |instruction: &str, expected: fn(f64, f64, f64) -> f64| {
            for (i, [found]) in inputs.iter().zip(map::<3, 1>(&inputs, &format!("{instruction};"))) {
                for n in [0, 1] {
                    let [a, b, c] = i.map(|word| exact(word, n));
                    let found = f16::from_bits((found >> (n * 16)) as u16);
                    let expected = nearest_half(expected(a, b, c));
                    let equal = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
                    prop_assert!(equal, "{instruction} of {a:e}, {b:e}, {c:e}: {found:e}, not {expected:e}");
                }
            }
            Ok(())
        };
        check("add.f16x2 %r10, %r0, %r1", |a, b, _| a + b)?;
        check("sub.rn.f16x2 %r10, %r0, %r1", |a, b, _| a - b)?;
        check("mul.f16x2 %r10, %r0, %r1", |a, b, _| a * b)?;
        check("fma.rn.f16x2 %r10, %r0, %r1, %r2", |a, b, c| a * b + c)?;
        check("fma.rn.relu.f16x2 %r10, %r0, %r1, %r2", |a, b, c| {
            let d = a * b + c;
            if d.is_nan() { d } else { d.max(0.0) + 0.0 }
        })?;
    }
}

/// Rounds to nearest even by comparing with the neighbours.
fn nearest_half(value: f64) -> f16 {
    if value.is_nan() || value.is_infinite() {
        return f16::from_f64(value);
    }
    let magnitude = value.abs();
    // The greatest half that is not above; halves are ordered as their bits.
    let mut below = 0u16;
    for bit in (0..15).rev() {
        let candidate = below | 1 << bit;
        if candidate < 0x7c00 && f16::from_bits(candidate).to_f64() <= magnitude {
            below = candidate;
        }
    }
    let low = f16::from_bits(below).to_f64();
    // Beyond the largest half the next would be 65536, which stands for infinity.
    let high = if below == 0x7bff { 65536.0 } else { f16::from_bits(below + 1).to_f64() };
    let up = magnitude - low > high - magnitude || (magnitude - low == high - magnitude && below & 1 == 1);
    f16::from_bits((below + u16::from(up)) | if value.is_sign_negative() { 0x8000 } else { 0 })
}

#[test]
fn a_fused_half_product_is_rounded_once() {
    // 1.0009765625^2 = 1 + 2^-9 + 2^-20; with c = -1 the low bits survive only in a fused operation.
    let a = f16::from_bits(0x3c01);
    let word = u32::from(a.to_bits());
    let body = "cvt.u16.u32 %h0, %r0; cvt.u16.u32 %h1, %r1; fma.rn.f16 %h2, %h0, %h0, %h1; cvt.u32.u16 %r10, %h2;";
    let found = f16::from_bits(one([word, u32::from(f16::NEG_ONE.to_bits())], body) as u16);
    assert_eq!(found.to_f64(), f16::from_f64(2f64.powi(-9) + 2f64.powi(-20)).to_f64());
    // (1 + 2^-10) * 1.5 lies halfway between 0x3e01 and 0x3e02; an addend far below the last of 24 bits decides.
    for (addend, expected) in [(0x0000, 0x3e02), (0x0001, 0x3e02), (0x8001, 0x3e01)] {
        let body = "cvt.u16.u32 %h0, %r0; cvt.u16.u32 %h1, %r1; cvt.u16.u32 %h2, %r2;\n\
                    fma.rn.f16 %h3, %h0, %h1, %h2; cvt.u32.u16 %r10, %h3;";
        assert_eq!(one([0x3c01, 0x3e00, addend], body), expected, "{addend:#x}");
    }
}

#[test]
fn extremes_prefer_numbers_and_order_zeros() {
    let (nan, max, min) = (f32::NAN, "max.f32 %r10, %r0, %r1", "min.f32 %r10, %r0, %r1");
    assert_eq!(single(nan, 2.0, 0.0, max), 2.0);
    assert_eq!(single(2.0, nan, 0.0, min), 2.0);
    assert_eq!(single(nan, nan, 0.0, max).to_bits(), 0x7fff_ffff);
    assert_eq!(single(-0.0, 0.0, 0.0, max).to_bits(), 0);
    assert_eq!(single(0.0, -0.0, 0.0, max).to_bits(), 0);
    assert_eq!(single(0.0, -0.0, 0.0, min).to_bits(), 0x8000_0000);
    assert_eq!(single(1.0, nan, 0.0, "max.NaN.f32 %r10, %r0, %r1").to_bits(), 0x7fff_ffff);
    let halves = one([0x7e00_3c00, 0x4000_7e00], "max.f16x2 %r10, %r0, %r1;");
    assert_eq!(halves, 0x4000_3c00);
}

#[test]
fn saturation_and_flushing() {
    assert_eq!(single(1.5, 1.0, 0.0, "add.sat.f32 %r10, %r0, %r1"), 1.0);
    assert_eq!(single(-1.5, 1.0, 0.0, "add.sat.f32 %r10, %r0, %r1").to_bits(), 0);
    assert_eq!(single(f32::NAN, 1.0, 0.0, "mul.sat.f32 %r10, %r0, %r1").to_bits(), 0);
    let subnormal = f32::from_bits(0x8000_0001);
    assert_eq!(single(subnormal, 0.0, 0.0, "add.ftz.f32 %r10, %r0, %r1").to_bits(), 0);
    assert_eq!(single(subnormal, 1.0, 0.0, "mul.ftz.f32 %r10, %r0, %r1").to_bits(), 0x8000_0000);
    assert_eq!(single(subnormal, 1.0, 0.0, "mul.f32 %r10, %r0, %r1").to_bits(), 0x8000_0001);
    assert_eq!(single(f32::MIN_POSITIVE, 0.5, 0.0, "mul.ftz.f32 %r10, %r0, %r1").to_bits(), 0);
}

#[test]
fn functions() {
    let near = |found: f32, expected: f32| (found - expected).abs() <= expected.abs() * 1e-6;
    assert_eq!(single(10.0, 0.0, 0.0, "ex2.approx.ftz.f32 %r10, %r0"), 1024.0);
    assert_eq!(single(1024.0, 0.0, 0.0, "lg2.approx.f32 %r10, %r0"), 10.0);
    assert_eq!(single(16.0, 0.0, 0.0, "rsqrt.approx.f32 %r10, %r0"), 0.25);
    assert_eq!(single(8.0, 0.0, 0.0, "rcp.approx.ftz.f32 %r10, %r0"), 0.125);
    assert_eq!(single(1.0, 8.0, 0.0, "div.full.f32 %r10, %r0, %r1"), 0.125);
    assert_eq!(single(1.0, 4.0, 0.0, "div.approx.f32 %r10, %r0, %r1"), 0.25);
    assert!(near(single(0.5, 0.0, 0.0, "tanh.approx.f32 %r10, %r0"), 0.5f32.tanh()));
    assert!(near(single(0.5, 0.0, 0.0, "sin.approx.f32 %r10, %r0"), 0.5f32.sin()));
    assert!(near(single(0.5, 0.0, 0.0, "cos.approx.f32 %r10, %r0"), 0.5f32.cos()));
    assert_eq!(one([0x4900_4200], "ex2.approx.f16x2 %r10, %r0;"), 0x6400_4800);
}

#[test]
fn comparisons_with_nan() {
    let body = |operator: &str| format!("setp.{operator}.f32 %p0, %r0, %r1; selp.u32 %r10, 1, 0, %p0;");
    let (one_bits, nan) = (1f32.to_bits(), f32::NAN.to_bits());
    for (operator, of_numbers, with_nan) in [
        ("eq", 1, 0),
        ("ne", 0, 0),
        ("le", 1, 0),
        ("lt", 0, 0),
        ("equ", 1, 1),
        ("neu", 0, 1),
        ("ltu", 0, 1),
        ("geu", 1, 1),
        ("num", 1, 0),
        ("nan", 0, 1),
    ] {
        assert_eq!(one([one_bits, one_bits], &body(operator)), of_numbers, "{operator}");
        assert_eq!(one([one_bits, nan], &body(operator)), with_nan, "{operator}");
    }
}

#[test]
fn pairs_compare_by_halves() {
    // 1 < 2 in the lower half, 3 > 2 in the upper.
    let (a, b) = (0x4200_3c00, 0x4000_4000);
    let body = "setp.lt.f16x2 %p0|%p1, %r0, %r1; selp.u32 %r10, 1, 0, %p0; selp.u32 %r11, 1, 0, %p1;";
    assert_eq!(map::<2, 2>(&[[a, b]], body), [[1, 0]]);
    assert_eq!(one([a, b], "set.lt.f16x2.f16x2 %r10, %r0, %r1;"), 0x3c00);
    assert_eq!(one([a, b], "set.gt.u32.f16x2 %r10, %r0, %r1;"), 0xffff_0000);
}
