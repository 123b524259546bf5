//! Arithmetic of 32 and 64-bit floats. The `.approx` functions are exact here, so results differ from a GPU's in
//! their last bits.

use super::shape::{Shape, binary, ternary, unary};
use super::value::{Flushed, flush};
use crate::ptx::instruction::Opcode;

/// What the manual calls the canonical NaN.
pub(super) const NAN: f32 = f32::from_bits(0x7fff_ffff);

/// Clamps to [0, 1]; NaN gives 0 (PTX ISA, `.sat`).
#[inline(always)]
pub(super) fn saturate(value: f32) -> f32 {
    let value = if value > 0.0 { value } else { 0.0 };
    if value < 1.0 { value } else { 1.0 }
}

/// The larger; a NaN loses against a number, and -0 against +0.
#[inline(always)]
pub(super) fn maximum(a: f32, b: f32) -> f32 {
    let larger = if a > b { a } else { b };
    let larger = if a == b { f32::from_bits(a.to_bits() & b.to_bits()) } else { larger };
    missing(a, b, larger)
}

/// The smaller; a NaN loses against a number, and +0 against -0.
#[inline(always)]
pub(super) fn minimum(a: f32, b: f32) -> f32 {
    let smaller = if a < b { a } else { b };
    let smaller = if a == b { f32::from_bits(a.to_bits() | b.to_bits()) } else { smaller };
    missing(a, b, smaller)
}

#[inline(always)]
fn missing(a: f32, b: f32, otherwise: f32) -> f32 {
    let result = if b.is_nan() { a } else { otherwise };
    let result = if a.is_nan() { b } else { result };
    if a.is_nan() && b.is_nan() { NAN } else { result }
}

/// NaN if one is, as `.NaN` asks.
#[inline(always)]
pub(super) fn strict(a: f32, b: f32, result: f32) -> f32 {
    if a.is_nan() || b.is_nan() { NAN } else { result }
}

/// Modifiers that change operands and results, not the operation.
struct Modes {
    ftz: bool,
    saturate: bool,
}

fn one<F: Fn(f32) -> f32 + Copy>(modes: &Modes, f: F) -> Shape {
    match (modes.ftz, modes.saturate) {
        (false, false) => unary(f),
        (true, false) => unary(move |a: Flushed| Flushed(f(a.0))),
        (false, true) => unary(move |a: f32| saturate(f(a))),
        (true, true) => unary(move |a: Flushed| Flushed(saturate(flush(f(a.0))))),
    }
}

fn two<F: Fn(f32, f32) -> f32 + Copy>(modes: &Modes, f: F) -> Shape {
    match (modes.ftz, modes.saturate) {
        (false, false) => binary(f),
        (true, false) => binary(move |a: Flushed, b: Flushed| Flushed(f(a.0, b.0))),
        (false, true) => binary(move |a: f32, b: f32| saturate(f(a, b))),
        (true, true) => binary(move |a: Flushed, b: Flushed| Flushed(saturate(flush(f(a.0, b.0))))),
    }
}

fn three<F: Fn(f32, f32, f32) -> f32 + Copy>(modes: &Modes, f: F) -> Shape {
    match (modes.ftz, modes.saturate) {
        (false, false) => ternary(f),
        (true, false) => ternary(move |a: Flushed, b: Flushed, c: Flushed| Flushed(f(a.0, b.0, c.0))),
        (false, true) => ternary(move |a: f32, b: f32, c: f32| saturate(f(a, b, c))),
        (true, true) => ternary(move |a: Flushed, b: Flushed, c: Flushed| Flushed(saturate(flush(f(a.0, b.0, c.0))))),
    }
}

/// The instruction of this opcode, if it is one of 32 or 64-bit floats.
pub(super) fn shape(opcode: &Opcode<'_>) -> Option<Shape> {
    if opcode.text.ends_with(".f64") {
        return double(opcode.text);
    }
    let mut opcode = opcode.clone();
    match opcode.name {
        "add" | "sub" | "mul" | "fma" | "mad" => sums(&mut opcode),
        "min" | "max" | "abs" | "neg" | "copysign" => simple(&mut opcode),
        _ => functions(&mut opcode),
    }
}

/// Rounding to nearest even, said or not, is the one there is.
fn sums(opcode: &mut Opcode<'_>) -> Option<Shape> {
    let rounds = opcode.take("rn");
    let modes = Modes { ftz: opcode.take("ftz"), saturate: opcode.take("sat") };
    if opcode.rest() != "f32" {
        return None;
    }
    Some(match opcode.name {
        "add" => two(&modes, |a, b| a + b),
        "sub" => two(&modes, |a, b| a - b),
        "mul" => two(&modes, |a, b| a * b),
        // From sm_20 on mad is fused, and both need their rounding named.
        "fma" | "mad" if rounds => three(&modes, |a, b, c| a.mul_add(b, c)),
        _ => return None,
    })
}

fn simple(opcode: &mut Opcode<'_>) -> Option<Shape> {
    let modes = Modes { ftz: opcode.take("ftz"), saturate: false };
    let propagates = opcode.take("NaN");
    match (opcode.name, propagates, opcode.rest()) {
        ("min", false, "f32") => Some(two(&modes, minimum)),
        ("max", false, "f32") => Some(two(&modes, maximum)),
        ("min", true, "f32") => Some(two(&modes, |a, b| strict(a, b, minimum(a, b)))),
        ("max", true, "f32") => Some(two(&modes, |a, b| strict(a, b, maximum(a, b)))),
        ("abs", false, "f32") => Some(one(&modes, f32::abs)),
        ("neg", false, "f32") => Some(one(&modes, |a| -a)),
        ("copysign", false, "f32") if !modes.ftz => Some(binary(|a: f32, b: f32| b.copysign(a))),
        _ => None,
    }
}

fn functions(opcode: &mut Opcode<'_>) -> Option<Shape> {
    let how = opcode.take_any(&["approx", "rn", "full"])?;
    let modes = Modes { ftz: opcode.take("ftz"), saturate: false };
    if opcode.rest() != "f32" {
        return None;
    }
    Some(match (opcode.name, how) {
        ("div", _) => two(&modes, |a, b| a / b),
        ("rcp", "approx" | "rn") => one(&modes, |a| 1.0 / a),
        ("sqrt", "approx" | "rn") => one(&modes, f32::sqrt),
        ("rsqrt", "approx") => one(&modes, |a| (1.0 / f64::from(a).sqrt()) as f32),
        ("ex2", "approx") => one(&modes, f32::exp2),
        ("lg2", "approx") => one(&modes, f32::log2),
        ("sin", "approx") => one(&modes, f32::sin),
        ("cos", "approx") => one(&modes, f32::cos),
        ("tanh", "approx") if !modes.ftz => one(&modes, f32::tanh),
        _ => return None,
    })
}

fn double(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "add.f64" | "add.rn.f64" => binary(|a: f64, b: f64| a + b),
        "sub.f64" | "sub.rn.f64" => binary(|a: f64, b: f64| a - b),
        "mul.f64" | "mul.rn.f64" => binary(|a: f64, b: f64| a * b),
        "fma.rn.f64" | "mad.rn.f64" => ternary(|a: f64, b: f64, c: f64| a.mul_add(b, c)),
        "div.rn.f64" => binary(|a: f64, b: f64| a / b),
        "rcp.rn.f64" => unary(|a: f64| 1.0 / a),
        "sqrt.rn.f64" => unary(f64::sqrt),
        "neg.f64" => unary(|a: f64| -a),
        "abs.f64" => unary(f64::abs),
        "min.f64" => binary(f64::min),
        "max.f64" => binary(f64::max),
        _ => return None,
    })
}
