//! Loads and stores.

use super::convert::Type;
use super::space::{Request, Space, Stage, addresses};
use super::value::Slot;
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::memory::Purpose;
use crate::ptx::frame::{Frame, SINK, elements, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{File, Kind, Operand};

/// Operand number of the address; the data are before it.
const ADDRESS: usize = 4;

/// What a load or store says, and how it is packed into an immediate (above the offset and the bit for the base).
#[derive(Clone, Copy)]
struct Form {
    space: Space,
    /// Elements a lane.
    count: usize,
    /// Bytes of an element.
    width: usize,
    signed: bool,
    /// Bits of the registers.
    register: u8,
}

impl Form {
    fn pack(self) -> u64 {
        let count = (self.count as u64) << 33;
        let space = (self.space as u64) << 40;
        count | space | (self.width as u64) << 44 | u64::from(self.signed) << 48 | u64::from(self.register) << 50
    }

    #[inline(always)]
    fn unpack(packed: u64) -> Form {
        Form {
            space: Space::ALL[(packed >> 40 & 7) as usize],
            count: (packed >> 33 & 7) as usize,
            width: (packed >> 44 & 15) as usize,
            signed: packed >> 48 & 1 != 0,
            register: (packed >> 50 & 127) as u8,
        }
    }
}

/// The modifiers between `ld` or `st` and its type; those that only advise the caches have no effect here.
fn form(opcode: &mut Opcode<'_>, load: bool) -> Result<Form, String> {
    opcode.take_any(&["weak", "volatile"]);
    let space = match opcode.take_any(&["global", "shared", "shared::cta", "local", "const", "param"]) {
        Some("global") => Space::Global,
        Some("shared" | "shared::cta") => Space::Shared,
        Some("local") => Space::Local,
        Some("const") if load => Space::Constant,
        Some("param") if load => Space::Parameter,
        None => Space::Generic,
        Some(_) => return opcode.unknown(),
    };
    match load {
        true => opcode.take_any(&["ca", "cg", "cs", "lu", "cv"]),
        false => opcode.take_any(&["wb", "cg", "cs", "wt"]),
    };
    if load && space == Space::Global {
        opcode.take("nc");
    }
    let level = ["L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"];
    opcode.take_any(&level);
    opcode.take_any(&["L2::64B", "L2::128B", "L2::256B"]);
    let count = match opcode.take_any(&["v2", "v4"]) {
        Some("v2") => 2,
        Some(_) => 4,
        None => 1,
    };
    let name = opcode.next();
    opcode.end()?;
    let plain = matches!(name, "b8" | "b16" | "b32" | "b64");
    let found = if plain { Type::named(&name.replace('b', "u")) } else { Type::named(name) };
    let Some(Type { bits, signed, .. }) = found.filter(|t| count * usize::from(t.bits) <= 128) else {
        return opcode.unknown();
    };
    Ok(Form { space, count, width: usize::from(bits) / 8, signed, register: 0 })
}

/// Handlers by the bytes of a lane.
macro_rules! by_bytes {
    ($run:ident, $bytes:expr) => {
        match $bytes {
            1 => $run::<1>,
            2 => $run::<2>,
            4 => $run::<4>,
            8 => $run::<8>,
            _ => $run::<16>,
        }
    };
}

/// `ld` and `ldu`.
pub(super) fn load(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let mut form = form(opcode, true)?;
    let [data, address] = exactly(operands)?;
    let bits = (form.width * 8) as u8;
    let (mut slots, mut widths) = ([SINK; 5], Vec::new());
    for (slot, element) in slots.iter_mut().zip(data_elements(data, form.count)?) {
        match element {
            Operand::Register(r) if r.bits >= bits => {
                widths.push(r.bits);
                *slot = r.slot;
            }
            Operand::Sink => {}
            other => return Err(format!("{other:?} cannot take {bits} bits")),
        }
    }
    form.register = uniform(&widths, bits)?;
    let run: Handler = by_bytes!(run_load, form.width * form.count);
    finish(run, form, slots, frame, address)
}

/// `st`.
pub(super) fn store(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let mut form = form(opcode, false)?;
    let [address, data] = exactly(operands)?;
    let bits = (form.width * 8) as u8;
    let (mut slots, mut widths) = ([SINK; 5], Vec::new());
    let parts = data_elements(data, form.count)?;
    for part in parts {
        if let Operand::Register(r) = part {
            widths.push(r.bits);
        }
    }
    form.register = uniform(&widths, bits)?;
    for (slot, part) in slots.iter_mut().zip(parts) {
        *slot = frame
            .source(part, Kind { bits: form.register, float: true })
            .or_else(|_| frame.source(part, Kind::bits(form.register)))?;
    }
    let run: Handler = by_bytes!(run_store, form.width * form.count);
    finish(run, form, slots, frame, address)
}

fn data_elements(data: &Operand, count: usize) -> Result<&[Operand], String> {
    let parts = elements(data);
    if parts.len() == count { Ok(parts) } else { Err(format!("{} registers where {count} are needed", parts.len())) }
}

/// Width of the registers: at least that of the elements (PTX ISA, operand size exceeding instruction-type size).
fn uniform(widths: &[u8], bits: u8) -> Result<u8, String> {
    let width = widths.first().copied().unwrap_or(bits);
    if width < bits || width == 1 || widths.iter().any(|w| *w != width) {
        return Err(format!("registers of {widths:?} bits for elements of {bits}"));
    }
    Ok(width)
}

fn finish(
    run: Handler,
    form: Form,
    mut slots: [u16; 5],
    frame: &mut Frame,
    address: &Operand,
) -> Result<Instruction, String> {
    let (base, long, offset) = frame.address(address)?;
    let offset = i32::try_from(offset).map_err(|_| format!("offset {offset} has more than 32 bits"))?;
    slots[ADDRESS] = base;
    let immediate = u64::from(offset as u32) | u64::from(long) << 32 | form.pack();
    Ok(Instruction::new(run, Class::Memory).with(&slots).immediate(immediate))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_load<const BYTES: usize>(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let form = Form::unpack(i.immediate);
    let addresses = addresses(warp, i, ADDRESS);
    let mut stage = Stage([0; 512]);
    let purpose = Purpose::Read;
    Request { space: form.space, addresses: &addresses, lanes, bytes: BYTES, purpose }
        .transfer(warp, block, &mut stage)?;
    for (n, slot) in i.operands[..form.count].iter().enumerate() {
        let at = |lane: usize| lane * BYTES + n * form.width;
        if form.width == 4 && form.register == 32 {
            let mut values = [0; 32];
            for (lane, value) in values.iter_mut().enumerate() {
                *value = u32::from_le_bytes(stage.0[at(lane)..][..4].try_into().unwrap_or_default());
            }
            u32::write(warp, *slot, lanes, &values);
            continue;
        }
        let mut values = [0; 32];
        for (lane, value) in values.iter_mut().enumerate() {
            *value = extend(&stage.0[at(lane)..][..form.width], form);
        }
        match Kind::bits(form.register).file() {
            File::Long => u64::write(warp, *slot, lanes, &values),
            _ => u32::write(warp, *slot, lanes, &values.map(|value| value as u32)),
        }
    }
    Ok(())
}

/// An element as its register holds it.
#[inline(always)]
fn extend(bytes: &[u8], form: Form) -> u64 {
    let mut raw = [0; 8];
    raw[..bytes.len()].copy_from_slice(bytes);
    let spare = 64 - form.width as u32 * 8;
    let raw = u64::from_le_bytes(raw) << spare;
    let value = if form.signed { (raw as i64 >> spare) as u64 } else { raw >> spare };
    value & (u64::MAX >> (64 - form.register))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run_store<const BYTES: usize>(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let form = Form::unpack(i.immediate);
    let addresses = addresses(warp, i, ADDRESS);
    let mut stage = Stage([0; 512]);
    for (n, slot) in i.operands[..form.count].iter().enumerate() {
        let long = Kind::bits(form.register).file() == File::Long;
        if form.width == 4 && !long {
            for (lane, value) in u32::read(warp, *slot).iter().enumerate() {
                stage.0[lane * BYTES + n * 4..][..4].copy_from_slice(&value.to_le_bytes());
            }
            continue;
        }
        for lane in 0..32 {
            let value = if long { u64::read(warp, *slot)[lane] } else { u32::read(warp, *slot)[lane].into() };
            let at = lane * BYTES + n * form.width;
            stage.0[at..at + form.width].copy_from_slice(&value.to_le_bytes()[..form.width]);
        }
    }
    let purpose = Purpose::Write;
    Request { space: form.space, addresses: &addresses, lanes, bytes: BYTES, purpose }.transfer(warp, block, &mut stage)
}
