//! `atom` and `red`: lanes one after the other, in ascending order.

use half::f16;

use super::float::{maximum, minimum};
use super::shape::instance;
use super::space::{Request, Space, addresses};
use super::value::{Slot, Value};
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::memory::Purpose;
use crate::ptx::frame::{Frame, SINK};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

/// A handler, the kind of its data, and its number of sources.
type Operation = (Handler, Kind, usize);

/// `atom{.order}{.scope}{.space}.operation{.noftz}.type d, [a], b{, c}`, and `red` without the result. Warps run one
/// at a time, so every order and scope is as strong as any.
pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    opcode.take_any(&["relaxed", "acquire", "release", "acq_rel"]);
    opcode.take_any(&["cta", "cluster", "gpu", "sys"]);
    let space = match opcode.take_any(&["global", "shared", "shared::cta"]) {
        Some("global") => Space::Global,
        Some(_) => Space::Shared,
        None => Space::Generic,
    };
    let Some((run, kind, sources)) = operation(opcode.rest()) else { return opcode.unknown() };
    let returns = opcode.name == "atom";
    if !returns && matches!(opcode.rest(), "exch.b32" | "exch.b64" | "cas.b16" | "cas.b32" | "cas.b64") {
        return opcode.unknown();
    }
    let (result, rest) = match (returns, operands) {
        (true, [result, rest @ ..]) => (frame.destination(result, kind)?, rest),
        _ => (SINK, operands),
    };
    let Some((address, values)) = rest.split_first().filter(|(_, values)| values.len() == sources) else {
        return Err(format!("{} has other operands", opcode.text));
    };
    let (base, long, offset) = frame.address(address)?;
    let offset = i32::try_from(offset).map_err(|_| format!("offset {offset} has more than 32 bits"))?;
    let mut slots = [result, base, 0, 0];
    for (slot, value) in slots[2..].iter_mut().zip(values) {
        *slot = frame.source(value, kind)?;
    }
    if sources == 1 {
        slots[3] = slots[2];
    }
    let immediate = u64::from(offset as u32) | u64::from(long) << 32 | (space as u64) << 40;
    Ok(Instruction::new(run, Class::Memory).with(&slots).immediate(immediate))
}

fn modify<T: Value, F: Fn(T, T) -> T + Copy>(f: F) -> Operation {
    let with_unused = move |old: T, b: T, _: T| f(old, b);
    (handler(with_unused), T::KIND, 1)
}

fn exchange<T: Value, F: Fn(T, T, T) -> T + Copy>(f: F) -> Operation {
    (handler(f), T::KIND, 2)
}

fn handler<T: Value, F: Fn(T, T, T) -> T + Copy>(_: F) -> Handler {
    run::<T, F>
}

fn pairs(old: u32, b: u32) -> u32 {
    let half = |word: u32, n: u32| f16::from_bits((word >> (n * 16)) as u16);
    let sum = |n| u32::from(f16::from_f32(half(old, n).to_f32() + half(b, n).to_f32()).to_bits());
    sum(0) | sum(1) << 16
}

fn operation(rest: &str) -> Option<Operation> {
    integer_operation(rest).or_else(|| {
        Some(match rest {
            "add.f32" => modify(|old: f32, b: f32| old + b),
            "add.f64" => modify(|old: f64, b: f64| old + b),
            "add.noftz.f16" => modify(|old: f16, b: f16| f16::from_f32(old.to_f32() + b.to_f32())),
            "add.noftz.f16x2" => modify(pairs),
            "min.f32" => modify(minimum),
            "max.f32" => modify(maximum),
            "exch.b32" => modify(|_: u32, b: u32| b),
            "exch.b64" => modify(|_: u64, b: u64| b),
            "cas.b16" => exchange(|old: u16, b: u16, c: u16| if old == b { c } else { old }),
            "cas.b32" => exchange(|old: u32, b: u32, c: u32| if old == b { c } else { old }),
            "cas.b64" => exchange(|old: u64, b: u64, c: u64| if old == b { c } else { old }),
            _ => return None,
        })
    })
}

fn integer_operation(rest: &str) -> Option<Operation> {
    Some(match rest {
        "add.u32" | "add.s32" => modify(|old: u32, b: u32| old.wrapping_add(b)),
        "add.u64" => modify(|old: u64, b: u64| old.wrapping_add(b)),
        "min.u32" => modify(|old: u32, b: u32| old.min(b)),
        "min.s32" => modify(|old: i32, b: i32| old.min(b)),
        "min.u64" => modify(|old: u64, b: u64| old.min(b)),
        "min.s64" => modify(|old: i64, b: i64| old.min(b)),
        "max.u32" => modify(|old: u32, b: u32| old.max(b)),
        "max.s32" => modify(|old: i32, b: i32| old.max(b)),
        "max.u64" => modify(|old: u64, b: u64| old.max(b)),
        "max.s64" => modify(|old: i64, b: i64| old.max(b)),
        "and.b32" => modify(|old: u32, b: u32| old & b),
        "and.b64" => modify(|old: u64, b: u64| old & b),
        "or.b32" => modify(|old: u32, b: u32| old | b),
        "or.b64" => modify(|old: u64, b: u64| old | b),
        "xor.b32" => modify(|old: u32, b: u32| old ^ b),
        "xor.b64" => modify(|old: u64, b: u64| old ^ b),
        // Wrap-around counters (PTX ISA, `atom`).
        "inc.u32" => modify(|old: u32, b: u32| if old >= b { 0 } else { old + 1 }),
        "dec.u32" => modify(|old: u32, b: u32| if old == 0 || old > b { b } else { old - 1 }),
        _ => return None,
    })
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run<T: Value, F: Fn(T, T, T) -> T + Copy>(
    warp: &mut Warp,
    block: &mut Block<'_>,
    i: &Instruction,
    lanes: u32,
) -> Step {
    let operation = instance::<F>();
    let addresses = addresses(warp, i, 1);
    let bytes = usize::from(T::KIND.bits) / 8;
    let space = Space::ALL[(i.immediate >> 40 & 7) as usize];
    let request = Request { space, addresses: &addresses, lanes, bytes, purpose: Purpose::Atomic };
    request.count(block);
    let mut old = [T::Slot::default(); 32];
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        let b = T::get(T::Slot::read(warp, i.operands[2])[lane]);
        let c = T::get(T::Slot::read(warp, i.operands[3])[lane]);
        let place = request.lane(warp, block, lane)?;
        let mut raw = [0; 8];
        raw[..bytes].copy_from_slice(place);
        old[lane] = T::Slot::from_raw(u64::from_le_bytes(raw));
        let new = operation(T::get(old[lane]), b, c).put().raw();
        place.copy_from_slice(&new.to_le_bytes()[..bytes]);
    }
    T::Slot::write(warp, i.operands[0], lanes, &old);
    Ok(())
}
