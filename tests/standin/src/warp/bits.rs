//! Shifts, logic and bit fields.

use super::shape::{Shape, binary, quaternary, ternary, unary};
use super::value::Slot;
use super::{Step, Warp};
use crate::block::Block;
use crate::ptx::frame::{Frame, exactly};
use crate::ptx::instruction::{Class, Instruction};
use crate::ptx::operand::{Kind, Literal, Operand};

/// The instruction of this name and modifiers.
pub(super) fn shape(opcode: &str) -> Option<Shape> {
    shifts(opcode).or_else(|| logic(opcode)).or_else(|| fields(opcode))
}

/// Shift amounts are clamped to the width (PTX ISA, `shl`, `shr`).
fn shifts(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "shl.b16" => binary(|a: u16, n: u32| if n > 15 { 0 } else { a << n }),
        "shl.b32" => binary(|a: u32, n: u32| if n > 31 { 0 } else { a << n }),
        "shl.b64" => binary(|a: u64, n: u32| if n > 63 { 0 } else { a << n }),
        "shr.b16" | "shr.u16" => binary(|a: u16, n: u32| if n > 15 { 0 } else { a >> n }),
        "shr.b32" | "shr.u32" => binary(|a: u32, n: u32| if n > 31 { 0 } else { a >> n }),
        "shr.b64" | "shr.u64" => binary(|a: u64, n: u32| if n > 63 { 0 } else { a >> n }),
        "shr.s16" => binary(|a: i16, n: u32| a >> n.min(15)),
        "shr.s32" => binary(|a: i32, n: u32| a >> n.min(31)),
        "shr.s64" => binary(|a: i64, n: u32| a >> n.min(63)),
        // Funnel shifts: {b, a} with b the upper half.
        "shf.l.clamp.b32" => ternary(|a: u32, b: u32, n: u32| ((join(a, b) << n.min(32)) >> 32) as u32),
        "shf.l.wrap.b32" => ternary(|a: u32, b: u32, n: u32| ((join(a, b) << (n & 31)) >> 32) as u32),
        "shf.r.clamp.b32" => ternary(|a: u32, b: u32, n: u32| (join(a, b) >> n.min(32)) as u32),
        "shf.r.wrap.b32" => ternary(|a: u32, b: u32, n: u32| (join(a, b) >> (n & 31)) as u32),
        _ => return None,
    })
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn logic(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "and.b16" => binary(|a: u16, b: u16| a & b),
        "and.b32" => binary(|a: u32, b: u32| a & b),
        "and.b64" => binary(|a: u64, b: u64| a & b),
        "or.b16" => binary(|a: u16, b: u16| a | b),
        "or.b32" => binary(|a: u32, b: u32| a | b),
        "or.b64" => binary(|a: u64, b: u64| a | b),
        "xor.b16" => binary(|a: u16, b: u16| a ^ b),
        "xor.b32" => binary(|a: u32, b: u32| a ^ b),
        "xor.b64" => binary(|a: u64, b: u64| a ^ b),
        "not.b16" => unary(|a: u16| !a),
        "not.b32" => unary(|a: u32| !a),
        "not.b64" => unary(|a: u64| !a),
        "cnot.b16" => unary(|a: u16| u16::from(a == 0)),
        "cnot.b32" => unary(|a: u32| u32::from(a == 0)),
        "cnot.b64" => unary(|a: u64| u64::from(a == 0)),
        _ => return None,
    })
}

fn fields(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "clz.b32" => unary(|a: u32| a.leading_zeros()),
        "clz.b64" => unary(|a: u64| a.leading_zeros()),
        "popc.b32" => unary(|a: u32| a.count_ones()),
        "popc.b64" => unary(|a: u64| a.count_ones()),
        "brev.b32" => unary(|a: u32| a.reverse_bits()),
        "brev.b64" => unary(|a: u64| a.reverse_bits()),
        "bfind.u32" => unary(|a: u32| 31u32.wrapping_sub(a.leading_zeros())),
        "bfind.s32" => unary(|a: i32| 31u32.wrapping_sub((a ^ (a >> 31)).leading_zeros())),
        "bfe.u32" => ternary(|a: u32, at: u32, width: u32| extract(a.into(), at, width, 32, false) as u32),
        "bfe.s32" => ternary(|a: u32, at: u32, width: u32| extract(a.into(), at, width, 32, true) as u32),
        "bfe.u64" => ternary(|a: u64, at: u32, width: u32| extract(a, at, width, 64, false)),
        "bfe.s64" => ternary(|a: u64, at: u32, width: u32| extract(a, at, width, 64, true)),
        "bfi.b32" => quaternary(|a: u32, b: u32, at: u32, width: u32| {
            let mask = if at & 255 > 31 { 0 } else { ones(width & 255) as u32 } << (at & 31);
            b & !mask | a << (at & 31) & mask
        }),
        "bfi.b64" => quaternary(|a: u64, b: u64, at: u32, width: u32| {
            let mask = if at & 255 > 63 { 0 } else { ones(width & 255) } << (at & 63);
            b & !mask | a << (at & 63) & mask
        }),
        "prmt.b32" => ternary(permute),
        _ => return None,
    })
}

/// That many ones at the low end.
fn ones(count: u32) -> u64 {
    if count > 63 { !0 } else { (1 << count) - 1 }
}

/// PTX ISA, `bfe`: position and length are 8-bit fields; beyond the field and the register the sign is filled in.
fn extract(a: u64, at: u32, width: u32, bits: u32, signed: bool) -> u64 {
    let (at, width) = (at & 255, width & 255);
    let sign = signed && width != 0 && a >> (at + width - 1).min(bits - 1) & 1 != 0;
    let field = if at > 63 { 0 } else { a >> at } & ones(width);
    // Bits of the field that lie inside the register.
    let inside = ones(width.min(bits.saturating_sub(at)));
    field & inside | if sign { !inside } else { 0 }
}

/// PTX ISA, `prmt` in its default mode: each selector picks a byte of {b, a}, or eight times its sign.
fn permute(a: u32, b: u32, selectors: u32) -> u32 {
    let bytes = join(a, b);
    (0..4).fold(0, |result, n| {
        let selector = selectors >> (n * 4) & 15;
        let byte = (bytes >> ((selector & 7) * 8)) as u8;
        let byte = if selector & 8 != 0 { ((byte as i8) >> 7) as u8 } else { byte };
        result | u32::from(byte) << (n * 8)
    })
}

/// `lop3.b32 d, a, b, c, table`.
pub(super) fn lop3(frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let [d, a, b, c, table] = exactly(operands)?;
    let &Operand::Literal(Literal::Integer(table @ 0..=255)) = table else {
        return Err("the table of lop3 is a number below 256".to_owned());
    };
    let kind = Kind::bits(32);
    let slots = [frame.destination(d, kind)?, frame.source(a, kind)?, frame.source(b, kind)?, frame.source(c, kind)?];
    Ok(Instruction::new(run_lop3, Class::Integer).with(&slots).immediate(table))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_lop3(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let (a, b, c) = (u32::read(warp, i.operands[1]), u32::read(warp, i.operands[2]), u32::read(warp, i.operands[3]));
    let mut result = [0; 32];
    for minterm in (0..8).filter(|n| i.immediate >> n & 1 != 0) {
        // Bit 2 of the minterm's number stands for a, bit 0 for c; a clear bit for the complement.
        let flip = |bit: u32| if minterm >> bit & 1 != 0 { 0 } else { !0u32 };
        let (fa, fb, fc) = (flip(2), flip(1), flip(0));
        for lane in 0..32 {
            result[lane] |= (a[lane] ^ fa) & (b[lane] ^ fb) & (c[lane] ^ fc);
        }
    }
    u32::write(warp, i.operands[0], active, &result);
    Ok(())
}

/// `and`, `or`, `xor`, `not` of predicates.
pub(super) fn predicates(name: &str, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let kind = Kind::bits(1);
    if name == "not" {
        let [d, a] = exactly(operands)?;
        let slots = [frame.destination(d, kind)?, frame.source(a, kind)?];
        return Ok(Instruction::new(run_not, Class::Integer).with(&slots));
    }
    let [d, a, b] = exactly(operands)?;
    let slots = [frame.destination(d, kind)?, frame.source(a, kind)?, frame.source(b, kind)?];
    let run = match name {
        "and" => run_and,
        "or" => run_or,
        _ => run_xor,
    };
    Ok(Instruction::new(run, Class::Integer).with(&slots))
}

fn run_not(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let result = !warp.predicate(i.operands[1]);
    warp.set_predicate(i.operands[0], active, result);
    Ok(())
}

fn run_and(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let result = warp.predicate(i.operands[1]) & warp.predicate(i.operands[2]);
    warp.set_predicate(i.operands[0], active, result);
    Ok(())
}

fn run_or(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let result = warp.predicate(i.operands[1]) | warp.predicate(i.operands[2]);
    warp.set_predicate(i.operands[0], active, result);
    Ok(())
}

fn run_xor(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let result = warp.predicate(i.operands[1]) ^ warp.predicate(i.operands[2]);
    warp.set_predicate(i.operands[0], active, result);
    Ok(())
}
