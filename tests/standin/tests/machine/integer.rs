//! Integer arithmetic and bit fields, against Rust's own and the manual's edge cases.

use crate::common::{map, one};
use proptest::prelude::*;

/// Values that make edge cases likely.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        prop::sample::select(vec![0, 1, 2, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff, 0xffff]),
        0u32..64,
    ]
}

fn triples() -> impl Strategy<Value = Vec<[u32; 3]>> {
    prop::collection::vec([word(), word(), word()], 1..70)
}

/// 32-bit instructions of up to three sources.
fn check(inputs: &[[u32; 3]], instruction: &str, expected: impl Fn(u32, u32, u32) -> u32) {
    let found = map::<3, 1>(inputs, &format!("{instruction};"));
    for ([a, b, c], [found]) in inputs.iter().zip(found) {
        assert_eq!(found, expected(*a, *b, *c), "{instruction} of {a:#x}, {b:#x}, {c:#x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_and_products(inputs in triples()) {
        check(&inputs, "add.s32 %r10, %r0, %r1", |a, b, _| a.wrapping_add(b));
        check(&inputs, "sub.u32 %r10, %r0, %r1", |a, b, _| a.wrapping_sub(b));
        check(&inputs, "mul.lo.s32 %r10, %r0, %r1", |a, b, _| a.wrapping_mul(b));
        let high = |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32;
        let high_signed = |a: u32, b: u32| ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32;
        check(&inputs, "mul.hi.u32 %r10, %r0, %r1", |a, b, _| high(a, b));
        check(&inputs, "mul.hi.s32 %r10, %r0, %r1", |a, b, _| high_signed(a, b));
        check(&inputs, "mad.lo.s32 %r10, %r0, %r1, %r2", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
        check(&inputs, "mad.hi.u32 %r10, %r0, %r1, %r2", |a, b, c| high(a, b).wrapping_add(c));
        check(&inputs, "mad.hi.s32 %r10, %r0, %r1, %r2", |a, b, c| high_signed(a, b).wrapping_add(c));
        check(&inputs, "sad.u32 %r10, %r0, %r1, %r2", |a, b, c| a.abs_diff(b).wrapping_add(c));
        check(&inputs, "sad.s32 %r10, %r0, %r1, %r2", |a, b, c| (a as i32).abs_diff(b as i32).wrapping_add(c));
        check(&inputs, "neg.s32 %r10, %r0", |a, _, _| a.wrapping_neg());
        check(&inputs, "abs.s32 %r10, %r0", |a, _, _| (a as i32).wrapping_abs() as u32);
        check(&inputs, "add.sat.s32 %r10, %r0, %r1", |a, b, _| (a as i32).saturating_add(b as i32) as u32);
    }

    #[test]
    fn extremes_and_quotients(inputs in triples()) {
        check(&inputs, "min.s32 %r10, %r0, %r1", |a, b, _| (a as i32).min(b as i32) as u32);
        check(&inputs, "max.s32 %r10, %r0, %r1", |a, b, _| (a as i32).max(b as i32) as u32);
        check(&inputs, "min.u32 %r10, %r0, %r1", |a, b, _| a.min(b));
        check(&inputs, "max.u32 %r10, %r0, %r1", |a, b, _| a.max(b));
        let inputs: Vec<_> = inputs.into_iter().map(|[a, b, c]| [a, b.max(1), c]).collect();
        check(&inputs, "div.u32 %r10, %r0, %r1", |a, b, _| a / b);
        check(&inputs, "rem.u32 %r10, %r0, %r1", |a, b, _| a % b);
        check(&inputs, "div.s32 %r10, %r0, %r1", |a, b, _| (a as i32).wrapping_div(b as i32) as u32);
        check(&inputs, "rem.s32 %r10, %r0, %r1", |a, b, _| (a as i32).wrapping_rem(b as i32) as u32);
    }

    #[test]
    fn logic(inputs in triples(), table in any::<u8>()) {
        check(&inputs, "and.b32 %r10, %r0, %r1", |a, b, _| a & b);
        check(&inputs, "or.b32 %r10, %r0, %r1", |a, b, _| a | b);
        check(&inputs, "xor.b32 %r10, %r0, %r1", |a, b, _| a ^ b);
        check(&inputs, "not.b32 %r10, %r0", |a, _, _| !a);
        check(&inputs, "cnot.b32 %r10, %r0", |a, _, _| u32::from(a == 0));
        check(&inputs, "popc.b32 %r10, %r0", |a, _, _| a.count_ones());
        check(&inputs, "clz.b32 %r10, %r0", |a, _, _| a.leading_zeros());
        check(&inputs, "brev.b32 %r10, %r0", |a, _, _| a.reverse_bits());
        // Bit n of the table is the result for (a, b, c) = the bits of n.
        check(&inputs, &format!("lop3.b32 %r10, %r0, %r1, %r2, {table}"), |a, b, c| {
            (0..32).fold(0, |result, bit| {
                let n = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1);
                result | u32::from(table >> n & 1) << bit
            })
        });
    }

    #[test]
    fn shifts_clamp_at_the_width(inputs in triples()) {
        check(&inputs, "shl.b32 %r10, %r0, %r1", |a, n, _| a.checked_shl(n).unwrap_or(0));
        check(&inputs, "shr.u32 %r10, %r0, %r1", |a, n, _| a.checked_shr(n).unwrap_or(0));
        check(&inputs, "shr.s32 %r10, %r0, %r1", |a, n, _| ((a as i32) >> n.min(31)) as u32);
        let pair = |a: u32, b: u32| u64::from(b) << 32 | u64::from(a);
        check(&inputs, "shf.l.clamp.b32 %r10, %r0, %r1, %r2", |a, b, n| match n.min(32) {
            32 => a,
            n => ((pair(a, b) << n) >> 32) as u32,
        });
        check(&inputs, "shf.l.wrap.b32 %r10, %r0, %r1, %r2", |a, b, n| ((pair(a, b) << (n % 32)) >> 32) as u32);
        check(&inputs, "shf.r.clamp.b32 %r10, %r0, %r1, %r2", |a, b, n| (pair(a, b) >> n.min(32)) as u32);
        check(&inputs, "shf.r.wrap.b32 %r10, %r0, %r1, %r2", |a, b, n| (pair(a, b) >> (n % 32)) as u32);
    }

    /// The manual's pseudocode of `bfe` and `bfi`, bit by bit.
    #[test]
    fn bit_fields(inputs in triples(), at in 0u32..300, width in 0u32..300) {
        let (pos, len) = (at & 255, width & 255);
        let extract = |a: u32, signed: bool| {
            let sign = signed && len != 0 && a >> (pos + len - 1).min(31) & 1 != 0;
            (0..32).fold(0, |d, i| {
                let inside = i < len && pos + i < 32;
                let bit = if inside { a >> (pos + i) & 1 != 0 } else { sign };
                d | u32::from(bit) << i
            })
        };
        check(&inputs, &format!("bfe.u32 %r10, %r0, {at}, {width}"), |a, _, _| extract(a, false));
        check(&inputs, &format!("bfe.s32 %r10, %r0, {at}, {width}"), |a, _, _| extract(a, true));
        check(&inputs, &format!("bfi.b32 %r10, %r0, %r1, {at}, {width}"), |a, b, _| {
            (0..len).filter(|i| pos + i < 32).fold(b, |f, i| f & !(1 << (pos + i)) | (a >> i & 1) << (pos + i))
        });
    }

    #[test]
    fn bytes_are_picked_by_prmt(inputs in triples()) {
        check(&inputs, "prmt.b32 %r10, %r0, %r1, %r2", |a, b, c| {
            let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
            u32::from_le_bytes(std::array::from_fn(|n| {
                let selector = c >> (4 * n) & 15;
                let byte = bytes[selector as usize & 7];
                if selector & 8 == 0 { byte } else if byte & 0x80 != 0 { 0xff } else { 0 }
            }))
        });
    }

    #[test]
    fn sixteen_bits(inputs in triples()) {
        let narrow = "cvt.u16.u32 %h0, %r0; cvt.u16.u32 %h1, %r1; cvt.u16.u32 %h2, %r2;";
        let check16 = |instruction: &str, expected: fn(u16, u16, u16) -> u16| {
            let body = format!("{narrow} {instruction} %h3, %h0, %h1; cvt.u32.u16 %r10, %h3");
            check(&inputs, &body, |a, b, c| expected(a as u16, b as u16, c as u16).into());
        };
        check16("add.s16", |a, b, _| a.wrapping_add(b));
        check16("sub.s16", |a, b, _| a.wrapping_sub(b));
        check16("mul.lo.s16", |a, b, _| a.wrapping_mul(b));
        check16("mul.hi.s16", |a, b, _| ((i32::from(a as i16) * i32::from(b as i16)) >> 16) as u16);
        check16("mul.hi.u16", |a, b, _| ((u32::from(a) * u32::from(b)) >> 16) as u16);
        check16("max.s16", |a, b, _| (a as i16).max(b as i16) as u16);
        check16("min.u16", |a, b, _| a.min(b));
        check16("xor.b16", |a, b, _| a ^ b);
        let body = format!("{narrow} mad.lo.u16 %h3, %h0, %h1, %h2; cvt.u32.u16 %r10, %h3");
        check(&inputs, &body, |a, b, c| u32::from((a as u16).wrapping_mul(b as u16).wrapping_add(c as u16)));
        let body = format!("{narrow} mul.wide.s16 %r10, %h0, %h1");
        check(&inputs, &body, |a, b, _| (i32::from(a as i16) * i32::from(b as i16)) as u32);
    }

    #[test]
    fn sixty_four_bits(inputs in prop::collection::vec([word(), word(), word(), word()], 1..40)) {
        let join = "mov.b64 %d0, {%r0, %r1}; mov.b64 %d1, {%r2, %r3};";
        let check64 = |instruction: &str, expected: fn(u64, u64) -> u64| {
            let found = map::<4, 2>(&inputs, &format!("{join} {instruction}; mov.b64 {{%r10, %r11}}, %d2;"));
            for (i, [low, high]) in inputs.iter().zip(found) {
                let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
                assert_eq!(pair(low, high), expected(pair(i[0], i[1]), pair(i[2], i[3])), "{instruction}");
            }
        };
        check64("add.s64 %d2, %d0, %d1", u64::wrapping_add);
        check64("sub.s64 %d2, %d0, %d1", u64::wrapping_sub);
        check64("mul.lo.s64 %d2, %d0, %d1", u64::wrapping_mul);
        check64("mul.hi.u64 %d2, %d0, %d1", |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64);
        check64("mul.hi.s64 %d2, %d0, %d1", |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64);
        check64("min.s64 %d2, %d0, %d1", |a, b| (a as i64).min(b as i64) as u64);
        check64("or.b64 %d2, %d0, %d1", |a, b| a | b);
        check64("shl.b64 %d2, %d0, %r2", |a, b| a.checked_shl(b as u32).unwrap_or(0));
        check64("shr.s64 %d2, %d0, %r2", |a, b| (a as i64 >> (b as u32).min(63)) as u64);
        check64("mul.wide.s32 %d2, %r0, %r2", |a, b| (i64::from(a as i32) * i64::from(b as i32)) as u64);
        check64("mul.wide.u32 %d2, %r0, %r2", |a, b| u64::from(a as u32) * u64::from(b as u32));
        check64("mad.wide.s32 %d2, %r0, %r2, %d1", |a, b| {
            ((i64::from(a as i32) * i64::from(b as i32)) as u64).wrapping_add(b)
        });
        check64("bfe.u64 %d2, %d0, 4, 40", |a, _| a >> 4 & 0xff_ffff_ffff);
    }
}

#[test]
fn quotients_without_a_value_are_those_of_the_hardware() {
    assert_eq!(one([7, 0], "div.u32 %r10, %r0, %r1;"), u32::MAX);
    assert_eq!(one([7, 0], "rem.u32 %r10, %r0, %r1;"), 7);
    assert_eq!(one([0x8000_0000, u32::MAX], "div.s32 %r10, %r0, %r1;"), 0x8000_0000);
    assert_eq!(one([0x8000_0000, u32::MAX], "rem.s32 %r10, %r0, %r1;"), 0);
}

#[test]
fn comparisons_combine() {
    let body =
        |test: &str| format!("setp.gt.u32 %p2, %r2, 0; {test} selp.b32 %r10, 1, 0, %p0; selp.b32 %r11, 1, 0, %p1;");
    let inputs: Vec<[u32; 3]> =
        [1, 2, 3].into_iter().flat_map(|a| [[a, 2, 0], [a, 2, 1]]).chain([[0x8000_0000, 1, 1]]).collect();
    type Expected = fn(u32, u32, bool) -> (bool, bool);
    let cases: [(&str, Expected); 6] = [
        ("setp.lt.s32 %p0|%p1, %r0, %r1;", |a, b, _| ((a as i32) < b as i32, (a as i32) >= b as i32)),
        ("setp.lo.u32 %p0|%p1, %r0, %r1;", |a, b, _| (a < b, a >= b)),
        ("setp.ge.and.u32 %p0|%p1, %r0, %r1, %p2;", |a, b, c| (a >= b && c, a < b && c)),
        ("setp.eq.or.b32 %p0|%p1, %r0, %r1, %p2;", |a, b, c| (a == b || c, a != b || c)),
        ("setp.ne.xor.s32 %p0|%p1, %r0, %r1, %p2;", |a, b, c| ((a != b) ^ c, (a == b) ^ c)),
        ("setp.le.and.u32 %p0|%p1, %r0, %r1, !%p2;", |a, b, c| (a <= b && !c, a > b && !c)),
    ];
    for (test, expected) in cases {
        for ([a, b, c], found) in inputs.iter().zip(map::<3, 2>(&inputs, &body(test))) {
            let (p, q) = expected(*a, *b, *c > 0);
            assert_eq!(found, [u32::from(p), u32::from(q)], "{test} {a} {b} {c}");
        }
    }
}

#[test]
fn selections() {
    assert_eq!(one([5, 6, 0], "slct.u32.s32 %r10, %r0, %r1, %r2;"), 5);
    assert_eq!(one([5, 6, u32::MAX], "slct.u32.s32 %r10, %r0, %r1, %r2;"), 6);
    assert_eq!(one([3, 4], "set.lt.u32.s32 %r10, %r0, %r1;"), u32::MAX);
    assert_eq!(one([3, 4], "set.gt.f32.s32 %r10, %r0, %r1;"), 0);
    assert_eq!(one([4, 3], "set.gt.f32.s32 %r10, %r0, %r1;"), 1f32.to_bits());
}

#[test]
fn vectors_are_packed_from_the_low_end() {
    let found = map::<1, 3>(
        &[[0x1234_5678]],
        "mov.b32 {%h0, %h1}, %r0; cvt.u32.u16 %r10, %h0; cvt.u32.u16 %r11, %h1; mov.b32 %r12, {%h1, %h0};",
    );
    assert_eq!(found, [[0x5678, 0x1234, 0x5678_1234]]);
}
