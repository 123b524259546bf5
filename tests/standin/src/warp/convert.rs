//! `cvt`: between all integer and float types.
//!
//! The conversions that compilers emit by the thousand have handlers of their own; all others go through the
//! exact value (an integer of 128 bits, or a 64-bit float) one lane at a time.

use half::f16;

use super::rounding::{Rounding, float_from_float, float_from_integer, integer_from_float};
use super::shape::{binary, unary};
use super::simd::{narrow, widen};
use super::value::{Slot, Value};
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::ptx::frame::{Frame, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{File, Kind, Operand};

/// A fundamental type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) float: bool,
    pub(super) signed: bool,
    pub(super) bits: u8,
}

impl Type {
    pub(super) fn named(name: &str) -> Option<Type> {
        let (float, signed, width) = match name.as_bytes().first()? {
            b'u' => (false, false, &name[1..]),
            b's' => (false, true, &name[1..]),
            b'f' => (true, true, &name[1..]),
            _ => return None,
        };
        let bits = match width {
            "8" if !float => 8,
            "16" => 16,
            "32" => 32,
            "64" => 64,
            _ => return None,
        };
        Some(Type { float, signed, bits })
    }
}

/// What one conversion does; packed into an instruction's immediate.
#[derive(Clone, Copy)]
struct Conversion {
    from: Type,
    to: Type,
    rounding: Rounding,
    /// Round to an integral value, staying a float.
    integral: bool,
    saturate: bool,
    rectify: bool,
    flush: bool,
    /// Width of the destination register, which small integers are extended to.
    width: u8,
}

/// `cvt{.rounding}{.ftz}{.sat}{.relu}.to.from d, a`.
pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    if opcode.rest().ends_with("f16x2.f32") {
        return pair(opcode, frame, operands);
    }
    if let "rn.f16.f32" | "f32.f16" = opcode.rest() {
        let [d, a] = exactly(operands)?;
        let narrow = opcode.rest() == "rn.f16.f32";
        let (to, from) = if narrow { (f16::KIND, f32::KIND) } else { (f32::KIND, f16::KIND) };
        let slots = [frame.destination(d, to)?, frame.source(a, from)?];
        let run: Handler = if narrow { run_half::<true> } else { run_half::<false> };
        return Ok(Instruction::new(run, Class::Float).with(&slots));
    }
    if let Some(shape) = frequent(opcode.rest()) {
        // Registers wider than their types need the general way.
        if let Ok(instruction) = shape.build(frame, operands) {
            return Ok(instruction);
        }
    }
    let [d, a] = exactly(operands)?;
    let mut conversion = modes(opcode)?;
    let (Operand::Register(from), Operand::Register(to)) = (a, d) else {
        return Err("cvt needs two registers".to_owned());
    };
    let fits = |register: u8, kind: Type| register == kind.bits || (!kind.float && register > kind.bits);
    if !fits(from.bits, conversion.from) || !fits(to.bits, conversion.to) {
        return Err(format!("a register does not fit {}", opcode.text));
    }
    conversion.width = to.bits;
    let files = u64::from(from.file == File::Long) | u64::from(to.file == File::Long) << 1;
    let class = if conversion.from.float || conversion.to.float { Class::Float } else { Class::Integer };
    Ok(Instruction::new(run, class).with(&[to.slot, from.slot]).immediate(conversion.pack() | files << 40))
}

/// A special register or a symbol is no source here, so that its width is never in doubt.
fn frequent(modifiers: &str) -> Option<super::shape::Shape> {
    Some(match modifiers {
        "u32.u16" => unary(|a: u16| u32::from(a)),
        "s32.s16" => unary(|a: i16| i32::from(a)),
        "u16.u32" | "s16.s32" | "u16.s32" | "s16.u32" => unary(|a: u32| a as u16),
        "u64.u32" | "s64.u32" => unary(|a: u32| u64::from(a)),
        "s64.s32" | "u64.s32" => unary(|a: i32| i64::from(a)),
        "u32.u64" | "s32.s64" | "u32.s64" | "s32.u64" => unary(|a: u64| a as u32),
        "u64.u16" => unary(|a: u16| u64::from(a)),
        "rn.f32.s32" => unary(|a: i32| a as f32),
        "rn.f32.u32" => unary(|a: u32| a as f32),
        "rn.f32.u16" => unary(|a: u16| f32::from(a)),
        "rn.f32.s16" => unary(|a: i16| f32::from(a)),
        "rzi.s32.f32" => unary(|a: f32| a as i32),
        "rzi.u32.f32" => unary(|a: f32| a as u32),
        "rni.s32.f32" => unary(|a: f32| a.round_ties_even() as i32),
        "rmi.s32.f32" => unary(|a: f32| a.floor() as i32),
        "sat.f32.f32" => unary(super::float::saturate),
        _ => return None,
    })
}

/// `cvt.{rn,rz}{.relu}.f16x2.f32 d, a, b`: b becomes the lower half.
fn pair(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let run: Handler = match opcode.rest() {
        "rn.f16x2.f32" => run_pair::<false>,
        "rn.relu.f16x2.f32" => run_pair::<true>,
        "rz.f16x2.f32" => {
            let truncated = |a: f32| float_from_float(a.into(), 16, Rounding::Zero) as u32;
            let shape = binary(move |a: f32, b: f32| truncated(a) << 16 | truncated(b));
            return shape.class(Class::Float).build(frame, operands);
        }
        _ => return opcode.unknown(),
    };
    let [d, a, b] = exactly(operands)?;
    let slots = [frame.destination(d, Kind::bits(32))?, frame.source(a, f32::KIND)?, frame.source(b, f32::KIND)?];
    Ok(Instruction::new(run, Class::Float).with(&slots))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_pair<const RECTIFY: bool>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let (high, low) = (u32::read(warp, i.operands[1]), u32::read(warp, i.operands[2]));
    let mut floats = [0.0; 64];
    for lane in 0..32 {
        floats[lane * 2] = f32::from_bits(low[lane]);
        floats[lane * 2 + 1] = f32::from_bits(high[lane]);
    }
    if RECTIFY {
        floats.iter_mut().for_each(|x| *x = super::half::rectify(*x));
    }
    u32::write(warp, i.operands[0], active, &narrow(&floats));
    Ok(())
}

/// `cvt.rn.f16.f32` and `cvt.f32.f16`.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_half<const NARROW: bool>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let source = u32::read(warp, i.operands[1]);
    let mut result = [0; 32];
    if NARROW {
        let mut floats = [0.0; 64];
        for (lane, bits) in source.iter().enumerate() {
            floats[lane * 2] = f32::from_bits(*bits);
        }
        result = narrow(&floats);
    } else {
        for (value, pair) in result.iter_mut().zip(widen(source).as_chunks::<2>().0) {
            *value = pair[0].to_bits();
        }
    }
    u32::write(warp, i.operands[0], active, &result);
    Ok(())
}

fn modes(opcode: &mut Opcode<'_>) -> Result<Conversion, String> {
    let rounding = opcode.take_any(&["rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"]);
    let flush = opcode.take("ftz");
    let saturate = opcode.take("sat");
    let rectify = opcode.take("relu");
    let (to, from) = (Type::named(opcode.next()), Type::named(opcode.next()));
    opcode.end()?;
    let (Some(to), Some(from)) = (to, from) else { return opcode.unknown() };
    let to_integral = rounding.is_some_and(|r| r.ends_with('i'));
    // PTX ISA, `cvt`: which conversions name which rounding.
    let needed = match (from.float, to.float) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) if to.bits < from.bits => Some(false),
        (true, true) if to.bits == from.bits && to_integral => Some(true),
        _ => None,
    };
    let legal = needed == rounding.map(|_| to_integral)
        && !(rectify && !(to.float && to.bits == 16 && from.float))
        && !(flush && !(from.float && from.bits == 32 || to.float && to.bits == 32));
    if !legal {
        return opcode.unknown();
    }
    let rounding = match rounding.map(|r| r.as_bytes()[1]) {
        Some(b'z') => Rounding::Zero,
        Some(b'm') => Rounding::Down,
        Some(b'p') => Rounding::Up,
        _ => Rounding::Nearest,
    };
    let integral = to_integral && to.float;
    Ok(Conversion { from, to, rounding, integral, saturate, rectify, flush, width: 0 })
}

impl Conversion {
    fn pack(self) -> u64 {
        let kind = |t: Type| u64::from(t.bits) | u64::from(t.float) << 7 | u64::from(t.signed) << 8;
        let flags = u64::from(self.integral)
            | u64::from(self.saturate) << 1
            | u64::from(self.rectify) << 2
            | u64::from(self.flush) << 3
            | (self.rounding as u64) << 4;
        kind(self.from) | kind(self.to) << 9 | flags << 18 | u64::from(self.width) << 32
    }

    fn unpack(packed: u64) -> Conversion {
        let kind = |p: u64| Type { bits: (p & 127) as u8, float: p >> 7 & 1 != 0, signed: p >> 8 & 1 != 0 };
        let flags = packed >> 18;
        Conversion {
            from: kind(packed),
            to: kind(packed >> 9),
            rounding: [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up][(flags >> 4 & 3) as usize],
            integral: flags & 1 != 0,
            saturate: flags & 2 != 0,
            rectify: flags & 4 != 0,
            flush: flags & 8 != 0,
            width: (packed >> 32 & 127) as u8,
        }
    }

    fn apply(self, source: u64) -> u64 {
        if !self.from.float {
            let value = integer(source, self.from);
            if !self.to.float {
                let value = if self.saturate { clamp(value, self.to) } else { value };
                return self.extend(value as u64);
            }
            return self.finish(float_from_integer(value, self.to.bits, self.rounding));
        }
        let value = self.flushed(match self.from.bits {
            16 => f16::from_bits(source as u16).to_f64(),
            32 => f32::from_bits(source as u32).into(),
            _ => f64::from_bits(source),
        });
        if !self.to.float {
            return self.extend(clamp(integer_from_float(value, self.rounding), self.to) as u64);
        }
        let value = if self.integral { self.rounding.integral(value) } else { value };
        let value = if self.rectify && value <= 0.0 { 0.0 } else { value };
        self.finish(float_from_float(value, self.to.bits, self.rounding))
    }

    /// Subnormal 32-bit sources read as zero.
    fn flushed(self, value: f64) -> f64 {
        let small = value.abs() < f64::from(f32::MIN_POSITIVE);
        if self.flush && self.from.bits == 32 && small { 0f64.copysign(value) } else { value }
    }

    /// Extends an integer from its type to the register it goes to.
    fn extend(self, value: u64) -> u64 {
        let value = integer(value, self.to) as u64;
        value & (u64::MAX >> (64 - self.width))
    }

    /// Saturation of a float to [0, 1], and subnormal results.
    fn finish(self, bits: u64) -> u64 {
        match self.to.bits {
            16 if self.saturate => {
                let value = super::float::saturate(f16::from_bits(bits as u16).to_f32());
                u64::from(f16::from_f32(value).to_bits())
            }
            32 => {
                let value = f32::from_bits(bits as u32);
                let value = if self.saturate { super::float::saturate(value) } else { value };
                u64::from(if self.flush { super::value::flush(value) } else { value }.to_bits())
            }
            64 if self.saturate => {
                let value = f64::from_bits(bits);
                if value > 0.0 { value.min(1.0) } else { 0.0 }.to_bits()
            }
            _ => bits,
        }
    }
}

fn integer(source: u64, kind: Type) -> i128 {
    let spare = 64 - u32::from(kind.bits);
    if kind.signed { i128::from((source << spare) as i64 >> spare) } else { i128::from(source << spare >> spare) }
}

fn clamp(value: i128, kind: Type) -> i128 {
    let bits = u32::from(kind.bits);
    if kind.signed { value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { value.clamp(0, (1 << bits) - 1) }
}

fn run(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, active: u32) -> Step {
    let conversion = Conversion::unpack(i.immediate);
    let source: [u64; 32] = match i.immediate >> 40 & 1 {
        0 => u32::read(warp, i.operands[1]).map(u64::from),
        _ => *u64::read(warp, i.operands[1]),
    };
    let result = source.map(|value| conversion.apply(value));
    match i.immediate >> 41 & 1 {
        0 => u32::write(warp, i.operands[0], active, &result.map(|value| value as u32)),
        _ => u64::write(warp, i.operands[0], active, &result),
    }
    Ok(())
}
