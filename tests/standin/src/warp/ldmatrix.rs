//! `ldmatrix`: 8 by 8 matrices of 16-bit elements from shared memory, spread over the lanes as `mma` wants them.

use super::value::Slot;
use super::{Step, Warp, all_lanes, in_lane};
use crate::block::Block;
use crate::fault::{Fault, Kind, Space};
use crate::ptx::frame::{Frame, elements, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind as OperandKind, Operand};
use crate::shared::waves;

/// Bytes of a matrix row.
const ROW: usize = 16;

/// Operand number of the address.
const ADDRESS: usize = 4;

/// `ldmatrix.sync.aligned.m8n8.{x1,x2,x4}{.trans}.shared.b16 {d...}, [a]`.
pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let known = opcode.take("sync") && opcode.take("aligned") && opcode.take("m8n8");
    let count: usize = match opcode.take_any(&["x1", "x2", "x4"]) {
        Some("x1") => 1,
        Some("x2") => 2,
        Some(_) => 4,
        None => return opcode.unknown(),
    };
    let transposed = opcode.take("trans");
    let shared = opcode.take_any(&["shared", "shared::cta"]).is_some();
    if !known || !shared || opcode.rest() != "b16" {
        return opcode.unknown();
    }
    let [d, address] = exactly(operands)?;
    let results = elements(d);
    if results.len() != count {
        return Err(format!("{} registers for {count} matrices", results.len()));
    }
    let mut slots = [0; 5];
    for (slot, result) in slots.iter_mut().zip(results) {
        *slot = frame.destination(result, OperandKind::bits(32))?;
    }
    let (base, long, offset) = frame.address(address)?;
    let offset = i32::try_from(offset).map_err(|_| format!("offset {offset} has more than 32 bits"))?;
    slots[ADDRESS] = base;
    let immediate = u64::from(offset as u32) | u64::from(long) << 32 | (count as u64) << 33;
    let run = if transposed { run::<true> } else { run::<false> };
    Ok(Instruction::new(run, Class::Matrices(count as u8)).with(&slots).immediate(immediate))
}

#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run<const TRANSPOSED: bool>(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    all_lanes(lanes)?;
    let count = (i.immediate >> 33) as usize;
    let addresses = super::space::addresses(warp, i, ADDRESS);
    let asked = u32::MAX >> (32 - 8 * count);
    let (waves, conflicts) = waves(&addresses, asked, ROW);
    block.banks.requests += 1;
    block.banks.waves += waves;
    block.banks.conflicts += conflicts;
    for matrix in 0..count {
        // Row after row, four words each: without transposition, lane after lane.
        let mut words = [0u32; 32];
        for (row, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let lane = matrix * 8 + row;
            *words = read_row(warp, block, addresses[lane]).map_err(in_lane(lane))?;
        }
        let words = if TRANSPOSED { transpose(&words) } else { words };
        u32::write(warp, i.operands[matrix], lanes, &words);
    }
    Ok(())
}

#[inline(always)]
fn read_row(warp: &Warp, block: &mut Block<'_>, at: u64) -> Result<[u32; 4], Fault> {
    if !at.is_multiple_of(ROW as u64) {
        return Err(Fault::Misaligned { kind: Kind::Read, space: Space::Shared, address: at, bytes: ROW });
    }
    block.shared.row(at, warp.index)
}

/// The matrix with rows and columns exchanged; two elements a word, four words a row.
#[inline(always)]
fn transpose(words: &[u32; 32]) -> [u32; 32] {
    let element = |row: usize, column: usize| words[row * 4 + column / 2] >> (column % 2 * 16) & 0xffff;
    let mut transposed = [0; 32];
    for (n, word) in transposed.iter_mut().enumerate() {
        let (row, column) = (n / 4, n % 4 * 2);
        *word = element(column, row) | element(column + 1, row) << 16;
    }
    transposed
}
