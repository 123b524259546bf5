//! Integer arithmetic.

use super::shape::{Shape, binary, ternary, unary};

/// `mul.hi` of 64 bits.
fn high(a: i128, b: i128) -> i64 {
    ((a * b) >> 64) as i64
}

fn high_unsigned(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// Division by zero gives an unspecified value (PTX ISA, `div`): all ones, as the hardware's routine does.
macro_rules! division {
    ($type:ty) => {
        binary(|a: $type, b: $type| a.checked_div(b).unwrap_or(if b == 0 { !0 } else { <$type>::MIN }))
    };
}

/// As for division: the dividend, which is what the all-ones quotient leaves.
macro_rules! remainder {
    ($type:ty) => {
        binary(|a: $type, b: $type| a.checked_rem(b).unwrap_or(if b == 0 { a } else { 0 }))
    };
}

/// The instruction of this name and modifiers.
pub(super) fn shape(opcode: &str) -> Option<Shape> {
    sums(opcode).or_else(|| products(opcode)).or_else(|| products_and_sums(opcode)).or_else(|| extremes(opcode))
}

fn sums(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "add.u16" | "add.s16" => binary(|a: u16, b: u16| a.wrapping_add(b)),
        "add.u32" | "add.s32" => binary(|a: u32, b: u32| a.wrapping_add(b)),
        "add.u64" | "add.s64" => binary(|a: u64, b: u64| a.wrapping_add(b)),
        "add.sat.s32" => binary(|a: i32, b: i32| a.saturating_add(b)),
        "sub.u16" | "sub.s16" => binary(|a: u16, b: u16| a.wrapping_sub(b)),
        "sub.u32" | "sub.s32" => binary(|a: u32, b: u32| a.wrapping_sub(b)),
        "sub.u64" | "sub.s64" => binary(|a: u64, b: u64| a.wrapping_sub(b)),
        "sub.sat.s32" => binary(|a: i32, b: i32| a.saturating_sub(b)),
        "neg.s16" => unary(|a: i16| a.wrapping_neg()),
        "neg.s32" => unary(|a: i32| a.wrapping_neg()),
        "neg.s64" => unary(|a: i64| a.wrapping_neg()),
        "abs.s16" => unary(|a: i16| a.wrapping_abs()),
        "abs.s32" => unary(|a: i32| a.wrapping_abs()),
        "abs.s64" => unary(|a: i64| a.wrapping_abs()),
        "sad.u16" => ternary(|a: u16, b: u16, c: u16| a.abs_diff(b).wrapping_add(c)),
        "sad.s16" => ternary(|a: i16, b: i16, c: u16| a.abs_diff(b).wrapping_add(c)),
        "sad.u32" => ternary(|a: u32, b: u32, c: u32| a.abs_diff(b).wrapping_add(c)),
        "sad.s32" => ternary(|a: i32, b: i32, c: u32| a.abs_diff(b).wrapping_add(c)),
        "sad.u64" => ternary(|a: u64, b: u64, c: u64| a.abs_diff(b).wrapping_add(c)),
        "sad.s64" => ternary(|a: i64, b: i64, c: u64| a.abs_diff(b).wrapping_add(c)),
        _ => return None,
    })
}

fn products(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "mul.lo.u16" | "mul.lo.s16" => binary(|a: u16, b: u16| a.wrapping_mul(b)),
        "mul.lo.u32" | "mul.lo.s32" => binary(|a: u32, b: u32| a.wrapping_mul(b)),
        "mul.lo.u64" | "mul.lo.s64" => binary(|a: u64, b: u64| a.wrapping_mul(b)),
        "mul.hi.u16" => binary(|a: u16, b: u16| ((u32::from(a) * u32::from(b)) >> 16) as u16),
        "mul.hi.s16" => binary(|a: i16, b: i16| ((i32::from(a) * i32::from(b)) >> 16) as i16),
        "mul.hi.u32" => binary(|a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32),
        "mul.hi.s32" => binary(|a: i32, b: i32| ((i64::from(a) * i64::from(b)) >> 32) as i32),
        "mul.hi.u64" => binary(high_unsigned),
        "mul.hi.s64" => binary(|a: i64, b: i64| high(a.into(), b.into())),
        "mul.wide.u16" => binary(|a: u16, b: u16| u32::from(a) * u32::from(b)),
        "mul.wide.s16" => binary(|a: i16, b: i16| i32::from(a) * i32::from(b)),
        "mul.wide.u32" => binary(|a: u32, b: u32| u64::from(a) * u64::from(b)),
        "mul.wide.s32" => binary(|a: i32, b: i32| i64::from(a) * i64::from(b)),
        "mul24.lo.u32" => binary(|a: u32, b: u32| (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff)),
        "mul24.lo.s32" => binary(|a: i32, b: i32| (a << 8 >> 8).wrapping_mul(b << 8 >> 8)),
        "div.u16" => division!(u16),
        "div.s16" => division!(i16),
        "div.u32" => division!(u32),
        "div.s32" => division!(i32),
        "div.u64" => division!(u64),
        "div.s64" => division!(i64),
        "rem.u16" => remainder!(u16),
        "rem.s16" => remainder!(i16),
        "rem.u32" => remainder!(u32),
        "rem.s32" => remainder!(i32),
        "rem.u64" => remainder!(u64),
        "rem.s64" => remainder!(i64),
        _ => return None,
    })
}

fn products_and_sums(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "mad.lo.u16" | "mad.lo.s16" => ternary(|a: u16, b: u16, c: u16| a.wrapping_mul(b).wrapping_add(c)),
        "mad.lo.u32" | "mad.lo.s32" => ternary(|a: u32, b: u32, c: u32| a.wrapping_mul(b).wrapping_add(c)),
        "mad.lo.u64" | "mad.lo.s64" => ternary(|a: u64, b: u64, c: u64| a.wrapping_mul(b).wrapping_add(c)),
        "mad.hi.u16" => {
            ternary(|a: u16, b: u16, c: u16| (((u32::from(a) * u32::from(b)) >> 16) as u16).wrapping_add(c))
        }
        "mad.hi.s16" => {
            ternary(|a: i16, b: i16, c: i16| (((i32::from(a) * i32::from(b)) >> 16) as i16).wrapping_add(c))
        }
        "mad.hi.u32" => {
            ternary(|a: u32, b: u32, c: u32| (((u64::from(a) * u64::from(b)) >> 32) as u32).wrapping_add(c))
        }
        "mad.hi.s32" => {
            ternary(|a: i32, b: i32, c: i32| (((i64::from(a) * i64::from(b)) >> 32) as i32).wrapping_add(c))
        }
        "mad.hi.sat.s32" => {
            ternary(|a: i32, b: i32, c: i32| (((i64::from(a) * i64::from(b)) >> 32) as i32).saturating_add(c))
        }
        "mad.hi.u64" => ternary(|a: u64, b: u64, c: u64| high_unsigned(a, b).wrapping_add(c)),
        "mad.hi.s64" => ternary(|a: i64, b: i64, c: i64| high(a.into(), b.into()).wrapping_add(c)),
        "mad.wide.u16" => ternary(|a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c)),
        "mad.wide.s16" => ternary(|a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c)),
        "mad.wide.u32" => ternary(|a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c)),
        "mad.wide.s32" => ternary(|a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c)),
        _ => return None,
    })
}

fn extremes(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "min.u16" => binary(|a: u16, b: u16| a.min(b)),
        "min.s16" => binary(|a: i16, b: i16| a.min(b)),
        "min.u32" => binary(|a: u32, b: u32| a.min(b)),
        "min.s32" => binary(|a: i32, b: i32| a.min(b)),
        "min.relu.s32" => binary(|a: i32, b: i32| a.min(b).max(0)),
        "min.u64" => binary(|a: u64, b: u64| a.min(b)),
        "min.s64" => binary(|a: i64, b: i64| a.min(b)),
        "max.u16" => binary(|a: u16, b: u16| a.max(b)),
        "max.s16" => binary(|a: i16, b: i16| a.max(b)),
        "max.u32" => binary(|a: u32, b: u32| a.max(b)),
        "max.s32" => binary(|a: i32, b: i32| a.max(b)),
        "max.relu.s32" => binary(|a: i32, b: i32| a.max(b).max(0)),
        "max.u64" => binary(|a: u64, b: u64| a.max(b)),
        "max.s64" => binary(|a: i64, b: i64| a.max(b)),
        _ => return None,
    })
}
