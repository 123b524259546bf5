//! `mov`, with packing and unpacking of vectors, and `cvta`.

use super::shape::{Shape, binary, unary};
use super::space::{LOCAL_WINDOW, SHARED_WINDOW};
use super::value::Slot;
use super::{Step, Warp};
use crate::block::Block;
use crate::ptx::frame::{Frame, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Literal, Operand};

pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let [d, a] = exactly(operands)?;
    if opcode.name == "cvta" {
        return convert(opcode, frame, d, a);
    }
    if opcode.rest() == "pred" {
        let slots = [frame.destination(d, Kind::bits(1))?, frame.source(a, Kind::bits(1))?];
        return Ok(Instruction::new(move_predicate, Class::Integer).with(&slots));
    }
    let shape: Shape = match opcode.rest() {
        "b16" => match (d, a) {
            (Operand::Vector(_), _) | (_, Operand::Vector(_)) => return opcode.unknown(),
            _ => unary(|a: u16| a),
        },
        "u16" | "s16" => unary(|a: u16| a),
        "b32" => match (d, a) {
            (d, Operand::Vector(parts)) => return pack(frame, d, parts, 32),
            (Operand::Vector(parts), a) => return unpack(frame, parts, a, 32),
            _ => unary(|a: u32| a),
        },
        "b64" => match (d, a) {
            (d, Operand::Vector(parts)) => return pack(frame, d, parts, 64),
            (Operand::Vector(parts), a) => return unpack(frame, parts, a, 64),
            _ => unary(|a: u64| a),
        },
        "u32" | "s32" => unary(|a: u32| a),
        "u64" | "s64" => unary(|a: u64| a),
        "f32" => unary(|a: f32| a).class(Class::Integer),
        "f64" => unary(|a: f64| a).class(Class::Integer),
        _ => return opcode.unknown(),
    };
    shape.build(frame, operands)
}

fn move_predicate(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let values = warp.predicate(i.operands[1]);
    warp.set_predicate(i.operands[0], lanes, values);
    Ok(())
}

/// The kind of the parts of a register.
fn part(parts: &[Operand], bits: u8) -> Result<Kind, String> {
    match (bits, parts.len()) {
        (32, 2) => Ok(Kind::bits(16)),
        (64, 2) => Ok(Kind::bits(32)),
        (32, 4) => Ok(Kind::bits(8)),
        (64, 4) => Ok(Kind::bits(16)),
        (_, parts) => Err(format!("{bits} bits in {parts} parts")),
    }
}

/// The first part becomes the lowest bits.
fn pack(frame: &mut Frame, d: &Operand, parts: &[Operand], bits: u8) -> Result<Instruction, String> {
    let kind = part(parts, bits)?;
    let mut slots = vec![frame.destination(d, Kind::bits(bits))?];
    for part in parts {
        slots.push(frame.source(part, kind)?);
    }
    let run = if bits == 64 { run_pack::<true> } else { run_pack::<false> };
    let immediate = parts.len() as u64 | u64::from(kind.bits) << 8;
    Ok(Instruction::new(run, Class::Integer).with(&slots).immediate(immediate))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_pack<const LONG: bool>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let (count, bits) = ((i.immediate & 255) as usize, (i.immediate >> 8) as u32);
    let mut packed = [0u64; 32];
    for part in 0..count {
        let source = u32::read(warp, i.operands[1 + part]);
        for lane in 0..32 {
            packed[lane] |= u64::from(source[lane]) << (part as u32 * bits);
        }
    }
    match LONG {
        true => u64::write(warp, i.operands[0], lanes, &packed),
        false => u32::write(warp, i.operands[0], lanes, &packed.map(|p| p as u32)),
    }
    Ok(())
}

fn unpack(frame: &mut Frame, parts: &[Operand], a: &Operand, bits: u8) -> Result<Instruction, String> {
    let kind = part(parts, bits)?;
    let mut slots = vec![frame.source(a, Kind::bits(bits))?];
    for part in parts {
        slots.push(frame.destination(part, kind)?);
    }
    let run = if bits == 64 { run_unpack::<true> } else { run_unpack::<false> };
    let immediate = parts.len() as u64 | u64::from(kind.bits) << 8;
    Ok(Instruction::new(run, Class::Integer).with(&slots).immediate(immediate))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_unpack<const LONG: bool>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let (count, bits) = ((i.immediate & 255) as usize, (i.immediate >> 8) as u32);
    let packed: [u64; 32] = match LONG {
        true => *u64::read(warp, i.operands[0]),
        false => u32::read(warp, i.operands[0]).map(u64::from),
    };
    for part in 0..count {
        let values = packed.map(|p| (p >> (part as u32 * bits)) as u32 & (u32::MAX >> (32 - bits)));
        u32::write(warp, i.operands[1 + part], lanes, &values);
    }
    Ok(())
}

/// `cvta{.to}.space.u64`: shared and local memory have windows in the generic address space; the rest is itself.
fn convert(opcode: &mut Opcode<'_>, frame: &mut Frame, d: &Operand, a: &Operand) -> Result<Instruction, String> {
    let to = opcode.take("to");
    let window = match opcode.rest() {
        "global.u64" | "const.u64" => 0,
        "shared.u64" | "shared::cta.u64" => SHARED_WINDOW,
        "local.u64" => LOCAL_WINDOW,
        _ => return opcode.unknown(),
    };
    let shape = match to {
        true => binary(|a: u64, window: u64| a.wrapping_sub(window)),
        false => binary(|a: u64, window: u64| a.wrapping_add(window)),
    };
    shape.build(frame, &[d.clone(), a.clone(), Operand::Literal(Literal::Integer(window))])
}
