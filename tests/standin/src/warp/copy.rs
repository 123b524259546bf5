//! `cp.async`: copies from global to shared memory that arrive when they are waited for, and no earlier.

use super::space::addresses;
use super::value::Slot;
use super::{Handler, Step, Warp, in_lane};
use crate::block::Block;
use crate::fault::{Fault, Kind as AccessKind, Space};
use crate::memory::Purpose;
use crate::ptx::frame::{Frame, TRUE, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Literal, Operand, Register};
use crate::shared::waves;

/// Copies of a warp's lanes that have not arrived.
#[derive(Default)]
pub(super) struct Copies {
    pending: Vec<Pending>,
    /// Groups that each lane has committed.
    committed: [u32; 32],
}

struct Pending {
    at: u64,
    data: [u8; 16],
    bytes: usize,
    lane: usize,
    /// Which of the lane's groups it is in.
    group: u32,
}

pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let memory = |run: Handler| Instruction::new(run, Class::Memory);
    match opcode.rest() {
        "async.commit_group" => exactly::<0>(operands).map(|_| memory(commit)),
        "async.wait_all" => exactly::<0>(operands).map(|_| memory(wait_all)),
        "async.wait_group" => match operands {
            [Operand::Literal(Literal::Integer(groups))] => Ok(memory(wait_group).immediate(*groups)),
            _ => Err("wait_group takes a number".to_owned()),
        },
        _ => copy(opcode, frame, operands),
    }
}

/// `cp.async.{ca,cg}.shared.global{.L2::...} [dst], [src], size{, src-size}{, ignore-src}`.
///
/// Operands: destination, source, source size, predicate, and the destination's offset in two halves. The immediate
/// has the source's offset and width of base as [`addresses`] reads them, then the width of the destination's base,
/// whether the predicate is negated, and the size.
fn copy(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let asynchronous = opcode.take("async");
    let cached = opcode.take_any(&["ca", "cg"]);
    let spaces = opcode.take_any(&["shared", "shared::cta"]).is_some() && opcode.take("global");
    opcode.take_any(&["L2::64B", "L2::128B", "L2::256B"]);
    if !asynchronous || !spaces || !opcode.rest().is_empty() {
        return opcode.unknown();
    }
    let [to, from, Operand::Literal(Literal::Integer(bytes)), options @ ..] = operands else {
        return Err("cp.async takes two addresses and a size".to_owned());
    };
    match (cached, bytes) {
        (Some("ca"), 4 | 8 | 16) | (Some("cg"), 16) => {}
        _ => return Err(format!("cp.async of {bytes} bytes")),
    }
    let word = Kind::bits(32);
    // Without a predicate: never ignore the source.
    let (size, (ignore, negated)) = match options {
        [] => (frame.value(word, *bytes)?, (TRUE, true)),
        [p @ (Operand::Register(Register { bits: 1, .. }) | Operand::Negated(_))] => {
            (frame.value(word, *bytes)?, frame.predicate(p)?)
        }
        [size] => (frame.source(size, word)?, (TRUE, true)),
        _ => return Err("cp.async has other operands".to_owned()),
    };
    let (to, to_long, to_offset) = frame.address(to)?;
    let (from, from_long, from_offset) = frame.address(from)?;
    let short = |offset: i64| i32::try_from(offset).map_err(|_| format!("offset {offset} has more than 32 bits"));
    let (to_offset, from_offset) = (short(to_offset)? as u32, short(from_offset)? as u32);
    let flags = u64::from(from_long) | u64::from(to_long) << 1 | u64::from(negated) << 2 | bytes << 3;
    let slots = [to, from, size, ignore, to_offset as u16, (to_offset >> 16) as u16];
    Ok(Instruction::new(issue, Class::Memory).with(&slots).immediate(u64::from(from_offset) | flags << 32))
}

/// Shared addresses of the destinations.
fn destinations(warp: &Warp, i: &Instruction) -> [u64; 32] {
    let offset = (u32::from(i.operands[5]) << 16 | u32::from(i.operands[4])) as i32;
    match i.immediate >> 33 & 1 {
        0 => u32::read(warp, i.operands[0]).map(|at| u64::from(at.wrapping_add_signed(offset))),
        _ => u64::read(warp, i.operands[0]).map(|at| at.wrapping_add_signed(offset.into())),
    }
}

fn issue(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let bytes = (i.immediate >> 35) as usize;
    let ignored = warp.predicate(i.operands[3]) ^ if i.immediate >> 34 & 1 != 0 { !0 } else { 0 };
    let (to, from) = (destinations(warp, i), addresses(warp, i, 1));
    let sizes = *u32::read(warp, i.operands[2]);
    block.global.loads.request();
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        let size = if ignored >> lane & 1 != 0 { 0 } else { sizes[lane] as usize };
        let data = source(block, from[lane], size, bytes).map_err(in_lane(lane))?;
        aligned(AccessKind::Write, Space::Shared, to[lane], bytes).map_err(in_lane(lane))?;
        block.shared.expect(to[lane], bytes, warp.index).map_err(in_lane(lane))?;
        let group = warp.copies.committed[lane];
        warp.copies.pending.push(Pending { at: to[lane], data, bytes, lane, group });
    }
    let (waves, conflicts) = waves(&to, lanes, bytes);
    block.banks.requests += 1;
    block.banks.waves += waves;
    block.banks.conflicts += conflicts;
    Ok(())
}

fn aligned(kind: AccessKind, space: Space, address: u64, bytes: usize) -> Result<(), Fault> {
    if address.is_multiple_of(bytes as u64) { Ok(()) } else { Err(Fault::Misaligned { kind, space, address, bytes }) }
}

/// The bytes to copy; those beyond the source size are zero.
fn source(block: &mut Block<'_>, at: u64, size: usize, bytes: usize) -> Result<[u8; 16], Fault> {
    let mut data = [0; 16];
    if size > bytes {
        return Err(Fault::CopySize { size, bytes });
    }
    if size > 0 {
        aligned(AccessKind::Read, Space::Global, at, bytes)?;
        let place = block.global.memory.access(at, size, Purpose::Read, &block.global.actor)?;
        // SAFETY: `access` found `size` bytes, at most 16, at `place`.
        unsafe { place.copy_to_nonoverlapping(data.as_mut_ptr(), size) };
        block.global.loads.bytes(at, size);
    }
    Ok(data)
}

fn commit(warp: &mut Warp, _: &mut Block<'_>, _: &Instruction, lanes: u32) -> Step {
    for (lane, committed) in warp.copies.committed.iter_mut().enumerate() {
        *committed += lanes >> lane & 1;
    }
    Ok(())
}

/// All groups of a lane but the latest few have arrived.
fn wait_group(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let committed = warp.copies.committed;
    arrive(warp, block, lanes, |copy| u64::from(copy.group) + i.immediate < u64::from(committed[copy.lane]))
}

fn wait_all(warp: &mut Warp, block: &mut Block<'_>, _: &Instruction, lanes: u32) -> Step {
    arrive(warp, block, lanes, |_| true)
}

fn arrive(warp: &mut Warp, block: &mut Block<'_>, lanes: u32, due: impl Fn(&Pending) -> bool) -> Step {
    let index = warp.index;
    let mut step = Ok(());
    warp.copies.pending.retain(|copy| {
        let arrives = step.is_ok() && lanes >> copy.lane & 1 != 0 && due(copy);
        if arrives {
            let landed = block.shared.arrive(copy.at, &copy.data[..copy.bytes], index);
            step = landed.map_err(in_lane(copy.lane));
        }
        !arrives
    });
    step
}
