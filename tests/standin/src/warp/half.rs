//! Arithmetic of 16-bit floats, alone (`.f16`) and in pairs (`.f16x2`): computed in 32 bits, rounded once.
//!
//! For sums, products and quotients that gives what rounding the exact result gives, as 24 bits are at least
//! 2 * 11 + 2. A fused product needs one more step: see [`fused`].

use super::float::{maximum, minimum, saturate, strict};
use super::shape::{Shape, instance, unary};
use super::simd::{narrow, widen};
use super::value::Slot;
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::ptx::frame::Frame;
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

/// a * b + c in 32 bits, rounded to odd, so that rounding to 16 bits afterwards is as if from the exact value.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // Exact: 22 bits, and no exponent of a product of halves is out of range.
    let product = a * b;
    let sum = product + c;
    // Knuth's exact error of a sum.
    let of_product = sum - c;
    let error = (product - of_product) + (c - (sum - of_product));
    let (bits, error) = (sum.to_bits(), error.to_bits());
    // An error of zero leaves the sum, and so does one that is not finite because the sum is not.
    let inexact = u32::from((error & 0x7fff_ffff).wrapping_sub(1) < 0x7f7f_ffff);
    let step = inexact & !bits & 1;
    // Away from zero if the error has the sum's sign, or else towards it.
    let inwards = (error ^ bits) >> 31;
    f32::from_bits(bits.wrapping_add(step).wrapping_sub(2 * (step & inwards)))
}

#[inline(always)]
pub(super) fn rectify(value: f32) -> f32 {
    if value.is_nan() { value } else { maximum(value, 0.0) }
}

/// A handler and its number of sources.
type Operation = (Handler, usize);

fn one<F: Fn(f32) -> f32 + Copy>(_: F) -> Operation {
    (run_one::<F>, 1)
}

fn two<F: Fn(f32, f32) -> f32 + Copy>(_: F) -> Operation {
    (run_two::<F>, 2)
}

fn three<F: Fn(f32, f32, f32) -> f32 + Copy>(_: F) -> Operation {
    (run_three::<F>, 3)
}

fn bitwise(opcode: &str) -> Option<Shape> {
    Some(match opcode {
        "neg.f16" => unary(|a: u16| a ^ 0x8000),
        "abs.f16" => unary(|a: u16| a & 0x7fff),
        "neg.f16x2" => unary(|a: u32| a ^ 0x8000_8000),
        "abs.f16x2" => unary(|a: u32| a & 0x7fff_7fff),
        _ => return None,
    })
}

fn operation(opcode: &mut Opcode<'_>) -> Option<Operation> {
    let name = opcode.name;
    if matches!(name, "min" | "max") {
        return Some(match (name, opcode.take("NaN")) {
            ("min", false) => two(minimum),
            ("max", false) => two(maximum),
            ("min", true) => two(|a, b| strict(a, b, minimum(a, b))),
            _ => two(|a, b| strict(a, b, maximum(a, b))),
        });
    }
    if matches!(name, "ex2" | "tanh") {
        let exact = opcode.take("approx");
        return match name {
            _ if !exact => None,
            "ex2" => Some(one(f32::exp2)),
            _ => Some(one(f32::tanh)),
        };
    }
    let rounds = opcode.take("rn");
    let clamp = opcode.take_any(&["sat", "relu"]);
    Some(match (name, clamp) {
        ("add", None) => two(|a, b| a + b),
        ("sub", None) => two(|a, b| a - b),
        ("mul", None) => two(|a, b| a * b),
        ("add", Some("sat")) => two(|a, b| saturate(a + b)),
        ("sub", Some("sat")) => two(|a, b| saturate(a - b)),
        ("mul", Some("sat")) => two(|a, b| saturate(a * b)),
        ("fma", None) if rounds => three(fused),
        ("fma", Some("sat")) if rounds => three(|a, b, c| saturate(fused(a, b, c))),
        ("fma", Some("relu")) if rounds => three(|a, b, c| rectify(fused(a, b, c))),
        _ => return None,
    })
}

/// The instruction of this opcode, if it is one of 16-bit floats.
pub(super) fn decode(
    opcode: &Opcode<'_>,
    frame: &mut Frame,
    operands: &[Operand],
) -> Result<Option<Instruction>, String> {
    if let Some(shape) = bitwise(opcode.text) {
        return shape.class(Class::Half).build(frame, operands).map(Some);
    }
    let mut opcode = opcode.clone();
    let Some((run, sources)) = operation(&mut opcode) else { return Ok(None) };
    let (bits, mask) = match opcode.rest() {
        "f16" => (16, 0xffff),
        "f16x2" => (32, 0xffff_ffff),
        _ => return Ok(None),
    };
    let Some((result, rest)) = operands.split_first().filter(|(_, rest)| rest.len() == sources) else {
        return Err(format!("{} operands where {} are needed", operands.len(), sources + 1));
    };
    let kind = Kind::bits(bits);
    let mut slots = vec![frame.destination(result, kind)?];
    for operand in rest {
        slots.push(frame.source(operand, kind)?);
    }
    Ok(Some(Instruction::new(run, Class::Half).with(&slots).immediate(mask)))
}

macro_rules! handlers {
    ($($name:ident, $($float:ident)+, $($operand:ident $index:literal),+;)*) => {$(
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
        fn $name<F: Fn($($float),+) -> f32 + Copy>(
            warp: &mut Warp,
            _: &mut Block<'_>,
            i: &Instruction,
            active: u32,
        ) -> Step {
            let operation = instance::<F>();
            let mut results = [0.0; 64];
            $(let $operand = widen(u32::read(warp, i.operands[$index]));)+
            for n in 0..64 {
                results[n] = operation($($operand[n]),+);
            }
            // The upper halves of 16-bit registers stay zero.
            let mut results = narrow(&results);
            results.iter_mut().for_each(|word| *word &= i.immediate as u32);
            u32::write(warp, i.operands[0], active, &results);
            Ok(())
        }
    )*};
}

handlers! {
    run_one, f32, a 1;
    run_two, f32 f32, a 1, b 2;
    run_three, f32 f32 f32, a 1, b 2, c 3;
}

/// Lanes for which a test holds, for the lower and for the upper halves.
#[inline(always)]
fn holds<F: Fn(f32, f32) -> bool>(a: &[f32; 64], b: &[f32; 64], test: F) -> [u32; 2] {
    let mut found = [0; 2];
    for n in 0..64 {
        found[n % 2] |= u32::from(test(a[n], b[n])) << (n / 2);
    }
    found
}

/// `setp.f16x2`: one predicate for each half.
pub(super) fn packed_test<F: Fn(f32, f32) -> bool + Copy>(_: F) -> Handler {
    run_packed_test::<F>
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_packed_test<F: Fn(f32, f32) -> bool + Copy>(
    warp: &mut Warp,
    _: &mut Block<'_>,
    i: &Instruction,
    active: u32,
) -> Step {
    let (a, b) = (widen(u32::read(warp, i.operands[2])), widen(u32::read(warp, i.operands[3])));
    let [low, high] = holds(&a, &b, instance::<F>());
    warp.set_predicate(i.operands[0], active, low);
    warp.set_predicate(i.operands[1], active, high);
    Ok(())
}

/// `set` of pairs: each half becomes that half of the immediate, or zero.
pub(super) fn packed_set<F: Fn(f32, f32) -> bool + Copy>(_: F) -> Handler {
    run_packed_set::<F>
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_packed_set<F: Fn(f32, f32) -> bool + Copy>(
    warp: &mut Warp,
    _: &mut Block<'_>,
    i: &Instruction,
    active: u32,
) -> Step {
    let (a, b) = (widen(u32::read(warp, i.operands[1])), widen(u32::read(warp, i.operands[2])));
    let [low, high] = holds(&a, &b, instance::<F>());
    let truth = i.immediate as u32;
    let result = std::array::from_fn(|lane| {
        let low = if low >> lane & 1 != 0 { truth & 0xffff } else { 0 };
        let high = if high >> lane & 1 != 0 { truth & 0xffff_0000 } else { 0 };
        low | high
    });
    u32::write(warp, i.operands[0], active, &result);
    Ok(())
}
