//! Comparisons and selections.

use super::half::{packed_set, packed_test};
use super::shape::{Shape, instance, ternary};
use super::value::{Flushed, Slot, Value};
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::ptx::frame::{Frame, SINK, TRUE, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

/// The handler of an ordered comparison of integers.
macro_rules! integer_tests {
    ($operator:expr, $type:ty, $build:path) => {
        match $operator {
            "eq" => Some($build(|a: $type, b: $type| a == b)),
            "ne" => Some($build(|a: $type, b: $type| a != b)),
            "lt" | "lo" => Some($build(|a: $type, b: $type| a < b)),
            "le" | "ls" => Some($build(|a: $type, b: $type| a <= b)),
            "gt" | "hi" => Some($build(|a: $type, b: $type| a > b)),
            "ge" | "hs" => Some($build(|a: $type, b: $type| a >= b)),
            _ => None,
        }
    };
}

/// The handler of a comparison of floats: those that end in u are true if an operand is not a number.
macro_rules! float_tests {
    ($operator:expr, $type:ty, $build:path) => {
        match $operator {
            "eq" => Some($build(|a: $type, b: $type| a == b)),
            "ne" => Some($build(|a: $type, b: $type| a != b && a.partial_cmp(&b).is_some())),
            "lt" => Some($build(|a: $type, b: $type| a < b)),
            "le" => Some($build(|a: $type, b: $type| a <= b)),
            "gt" => Some($build(|a: $type, b: $type| a > b)),
            "ge" => Some($build(|a: $type, b: $type| a >= b)),
            "equ" => Some($build(|a: $type, b: $type| a == b || a.partial_cmp(&b).is_none())),
            "neu" => Some($build(|a: $type, b: $type| a != b)),
            "ltu" => Some($build(|a: $type, b: $type| a < b || a.partial_cmp(&b).is_none())),
            "leu" => Some($build(|a: $type, b: $type| a <= b || a.partial_cmp(&b).is_none())),
            "gtu" => Some($build(|a: $type, b: $type| a > b || a.partial_cmp(&b).is_none())),
            "geu" => Some($build(|a: $type, b: $type| a >= b || a.partial_cmp(&b).is_none())),
            "num" => Some($build(|a: $type, b: $type| a.partial_cmp(&b).is_some())),
            "nan" => Some($build(|a: $type, b: $type| a.partial_cmp(&b).is_none())),
            _ => None,
        }
    };
}

/// The handler of `setp`, and the kind of its sources.
fn comparison(operator: &str, kind: &str, ftz: bool) -> Option<(Handler, Kind)> {
    let equality = matches!(operator, "eq" | "ne");
    // The operators with letters of their own for unsigned numbers are not for signed ones.
    let signed = !matches!(operator, "lo" | "ls" | "hi" | "hs");
    match (kind, ftz) {
        ("b16", false) if equality => integer_tests!(operator, u16, test).map(|t| (t, u16::KIND)),
        ("b32", false) if equality => integer_tests!(operator, u32, test).map(|t| (t, u32::KIND)),
        ("b64", false) if equality => integer_tests!(operator, u64, test).map(|t| (t, u64::KIND)),
        ("u16", false) => integer_tests!(operator, u16, test).map(|t| (t, u16::KIND)),
        ("u32", false) => integer_tests!(operator, u32, test).map(|t| (t, u32::KIND)),
        ("u64", false) => integer_tests!(operator, u64, test).map(|t| (t, u64::KIND)),
        ("s16", false) if signed => integer_tests!(operator, i16, test).map(|t| (t, i16::KIND)),
        ("s32", false) if signed => integer_tests!(operator, i32, test).map(|t| (t, i32::KIND)),
        ("s64", false) if signed => integer_tests!(operator, i64, test).map(|t| (t, i64::KIND)),
        ("f16", false) => float_tests!(operator, half::f16, test).map(|t| (t, half::f16::KIND)),
        ("f32", false) => float_tests!(operator, f32, test).map(|t| (t, f32::KIND)),
        ("f32", true) => float_tests!(operator, Flushed, test).map(|t| (t, f32::KIND)),
        ("f64", false) => float_tests!(operator, f64, test).map(|t| (t, f64::KIND)),
        _ => None,
    }
}

fn class(kind: Kind) -> Class {
    match kind {
        Kind { float: true, bits: 16 } => Class::Half,
        Kind { float: true, .. } => Class::Float,
        _ => Class::Integer,
    }
}

/// How `setp` combines its result with a third source.
fn combination(opcode: &mut Opcode<'_>) -> u64 {
    match opcode.take_any(&["and", "or", "xor"]) {
        Some("and") => 1,
        Some("or") => 2,
        Some(_) => 3,
        None => 0,
    }
}

/// `setp.operator{.combination}{.ftz}.type p{|q}, a, b{, {!}c}`.
pub(super) fn setp(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let operator = opcode.next();
    let combination = combination(opcode);
    let ftz = opcode.take("ftz");
    let kind = opcode.next();
    opcode.end()?;
    if kind == "f16x2" {
        let test = float_tests!(operator, f32, packed_test).filter(|_| combination == 0 && !ftz);
        let (Some(run), [Operand::Pair(p, q), a, b]) = (test, operands) else {
            return opcode.unknown();
        };
        let (bit, word) = (Kind::bits(1), Kind::bits(32));
        let slots =
            [frame.destination(p, bit)?, frame.destination(q, bit)?, frame.source(a, word)?, frame.source(b, word)?];
        return Ok(Instruction::new(run, Class::Half).with(&slots));
    }
    let Some((run, kind)) = comparison(operator, kind, ftz) else {
        return opcode.unknown();
    };
    let (results, sources) = operands.split_first().ok_or("operands are missing")?;
    let bit = Kind::bits(1);
    let (p, q) = match results {
        Operand::Pair(p, q) => (frame.destination(p, bit)?, frame.destination(q, bit)?),
        p => (frame.destination(p, bit)?, SINK),
    };
    let ([a, b] | [a, b, _]) = sources else {
        return Err("setp has two or three sources".to_owned());
    };
    let (third, negated) = match (combination, sources.get(2)) {
        (0, None) => (TRUE, false),
        (1.., Some(c)) => frame.predicate(c)?,
        _ => return Err("a third source goes with .and, .or, .xor".to_owned()),
    };
    let slots = [p, q, frame.source(a, kind)?, frame.source(b, kind)?, third];
    Ok(Instruction::new(run, class(kind)).with(&slots).immediate(combination | u64::from(negated) << 2))
}

/// Lanes for which a test holds.
#[inline(always)]
fn holds<T: Value, F: Fn(T, T) -> bool>(warp: &Warp, a: u16, b: u16, test: F) -> u32 {
    let (a, b) = (T::Slot::read(warp, a), T::Slot::read(warp, b));
    let mut flags = [0u32; 32];
    for lane in 0..32 {
        flags[lane] = u32::from(test(T::get(a[lane]), T::get(b[lane]))) << lane;
    }
    flags.iter().fold(0, |all, flag| all | flag)
}

fn test<T: Value, F: Fn(T, T) -> bool + Copy>(_: F) -> Handler {
    run_test::<T, F>
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_test<T: Value, F: Fn(T, T) -> bool + Copy>(
    warp: &mut Warp,
    _: &mut Block<'_>,
    i: &Instruction,
    active: u32,
) -> Step {
    let [p, q, a, b, c] = [0, 1, 2, 3, 4].map(|n| i.operands[n]);
    let found = holds(warp, a, b, instance::<F>());
    let third = warp.predicate(c) ^ if i.immediate & 4 != 0 { !0 } else { 0 };
    let combine = |found: u32| match i.immediate & 3 {
        0 => found,
        1 => found & third,
        2 => found | third,
        _ => found ^ third,
    };
    // PTX ISA, `setp`: the second result combines the complement of the comparison.
    warp.set_predicate(p, active, combine(found));
    warp.set_predicate(q, active, combine(!found));
    Ok(())
}

/// `set.operator{.ftz}.result.type d, a, b`.
pub(super) fn set(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let operator = opcode.next();
    let ftz = opcode.take("ftz");
    let (result, kind) = (opcode.next(), opcode.next());
    opcode.end()?;
    let [d, a, b] = exactly(operands)?;
    let truth = match result {
        "u32" | "s32" => u64::from(u32::MAX),
        "f32" => u64::from(1f32.to_bits()),
        "f16x2" => 0x3c00_3c00,
        "f16" => 0x3c00,
        "u16" | "s16" => 0xffff,
        _ => return opcode.unknown(),
    };
    let width = if matches!(result, "f16" | "u16" | "s16") { 16 } else { 32 };
    let found = match kind {
        "f16x2" if !ftz && matches!(result, "f16x2" | "u32" | "s32") => {
            float_tests!(operator, f32, packed_set).map(|run| (run, Kind::bits(32)))
        }
        _ if result == "f16x2" => None,
        "f16" if !ftz => float_tests!(operator, half::f16, set_handler).map(|run| (run, half::f16::KIND)),
        "f32" if ftz => float_tests!(operator, Flushed, set_handler).map(|run| (run, f32::KIND)),
        "f32" => float_tests!(operator, f32, set_handler).map(|run| (run, f32::KIND)),
        "u32" if !ftz => integer_tests!(operator, u32, set_handler).map(|run| (run, u32::KIND)),
        "s32" if !ftz => integer_tests!(operator, i32, set_handler).map(|run| (run, i32::KIND)),
        _ => None,
    };
    let Some((run, kind)) = found else { return opcode.unknown() };
    let slots = [frame.destination(d, Kind::bits(width))?, frame.source(a, kind)?, frame.source(b, kind)?];
    Ok(Instruction::new(run, class(kind)).with(&slots).immediate(truth))
}

fn set_handler<T: Value, F: Fn(T, T) -> bool + Copy>(_: F) -> Handler {
    run_set::<T, F>
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_set<T: Value, F: Fn(T, T) -> bool + Copy>(
    warp: &mut Warp,
    _: &mut Block<'_>,
    i: &Instruction,
    active: u32,
) -> Step {
    let found = holds(warp, i.operands[1], i.operands[2], instance::<F>());
    let mut result = [0; 32];
    for (lane, value) in result.iter_mut().enumerate() {
        *value = if found >> lane & 1 != 0 { i.immediate as u32 } else { 0 };
    }
    u32::write(warp, i.operands[0], active, &result);
    Ok(())
}

/// `selp.type d, a, b, p`.
pub(super) fn selp(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let kind = opcode.next();
    opcode.end()?;
    let [d, a, b, p] = exactly(operands)?;
    let float = kind.starts_with('f');
    let (run, bits): (Handler, u8) = match kind {
        "b16" | "u16" | "s16" => (run_select::<u32>, 16),
        "b32" | "u32" | "s32" | "f32" => (run_select::<u32>, 32),
        "b64" | "u64" | "s64" | "f64" => (run_select::<u64>, 64),
        _ => return opcode.unknown(),
    };
    let kind = Kind { bits, float };
    let (predicate, negated) = frame.predicate(p)?;
    if negated {
        return Err("the predicate of selp cannot be negated".to_owned());
    }
    let slots = [frame.destination(d, kind)?, frame.source(a, kind)?, frame.source(b, kind)?, predicate];
    Ok(Instruction::new(run, class(kind)).with(&slots))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_select<S: Slot>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let (a, b) = (S::read(warp, i.operands[1]), S::read(warp, i.operands[2]));
    let result = S::choose(warp.predicate(i.operands[3]), a, b);
    S::write(warp, i.operands[0], active, &result);
    Ok(())
}

/// `slct.type.{s32,f32} d, a, b, c`: a if c is not negative.
pub(super) fn slct(opcode: &mut Opcode<'_>) -> Option<Shape> {
    Some(match opcode.rest() {
        "b16.s32" | "u16.s32" | "s16.s32" => ternary(|a: u16, b: u16, c: i32| if c >= 0 { a } else { b }),
        "b32.s32" | "u32.s32" | "s32.s32" => ternary(|a: u32, b: u32, c: i32| if c >= 0 { a } else { b }),
        "b64.s32" | "u64.s32" | "s64.s32" => ternary(|a: u64, b: u64, c: i32| if c >= 0 { a } else { b }),
        "f32.s32" => ternary(|a: f32, b: f32, c: i32| if c >= 0 { a } else { b }),
        "f64.s32" => ternary(|a: f64, b: f64, c: i32| if c >= 0 { a } else { b }),
        "b32.f32" | "u32.f32" | "s32.f32" => ternary(|a: u32, b: u32, c: f32| if c >= 0.0 { a } else { b }),
        "f32.f32" => ternary(|a: f32, b: f32, c: f32| if c >= 0.0 { a } else { b }),
        "ftz.f32.f32" => ternary(|a: f32, b: f32, c: Flushed| if c.0 >= 0.0 { a } else { b }),
        _ => return None,
    })
}
