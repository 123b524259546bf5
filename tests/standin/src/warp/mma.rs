//! `mma` of 16-bit floats: D = A * B + C for 16 by 8 results.
//!
//! Products are exact and sums have 32 bits, in ascending order of k. Accumulators of 16 bits are rounded once for
//! each instruction; hardware may keep fewer bits inside, and sums in an order of its own.

use super::simd::{self, Tile};
use super::value::Slot;
use super::{Step, Warp, all_lanes};
use crate::block::Block;
use crate::ptx::frame::{Frame, elements, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

/// Operand numbers: D, A, B, C. A fragment of 32-bit accumulators has four registers, and so has A.
const D: usize = 0;
const A: usize = 4;
const B: usize = 8;
const C: usize = 10;

/// `mma.sync.aligned.{m16n8k16,m16n8k8}.row.col.type.f16.f16.type d, a, b, c`.
pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let (run, depth, single): (super::Handler, usize, bool) = match opcode.rest() {
        "sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" => (run::<2, true>, 16, true),
        "sync.aligned.m16n8k16.row.col.f16.f16.f16.f16" => (run::<2, false>, 16, false),
        "sync.aligned.m16n8k8.row.col.f32.f16.f16.f32" => (run::<1, true>, 8, true),
        "sync.aligned.m16n8k8.row.col.f16.f16.f16.f16" => (run::<1, false>, 8, false),
        _ => return opcode.unknown(),
    };
    let [d, a, b, c] = exactly(operands)?;
    let accumulators = if single { 4 } else { 2 };
    let kind = Kind { bits: 32, float: single };
    let mut slots = [0; C + 4];
    for (n, operand) in fragment(d, accumulators)?.iter().enumerate() {
        slots[D + n] = frame.destination(operand, kind)?;
    }
    for (n, operand) in fragment(c, accumulators)?.iter().enumerate() {
        slots[C + n] = frame.source(operand, kind)?;
    }
    for (n, operand) in fragment(a, depth / 4)?.iter().enumerate() {
        slots[A + n] = frame.source(operand, Kind::bits(32))?;
    }
    for (n, operand) in fragment(b, depth / 8)?.iter().enumerate() {
        slots[B + n] = frame.source(operand, Kind::bits(32))?;
    }
    Ok(Instruction::new(run, Class::Mma { depth: depth as u8, single }).with(&slots))
}

fn fragment(operand: &Operand, count: usize) -> Result<&[Operand], String> {
    let parts = elements(operand);
    if parts.len() == count { Ok(parts) } else { Err(format!("a fragment of {} registers, not {count}", parts.len())) }
}

/// PTX ISA, matrix fragments for `mma.m16n8k16`: with groupID = lane / 4 and threadID = lane % 4, a register of A
/// holds row groupID, columns 2 threadID and the next, so a register is 8 by 8 elements row by row: the first has
/// the upper left of A, the second the lower left, then the upper and lower right. A register of B holds 8 rows the
/// same way, transposed. K8 is how many such blocks there are along k.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
fn run<const K8: usize, const SINGLE: bool>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    all_lanes(lanes)?;
    let b: [Tile; K8] = std::array::from_fn(|k| simd::transpose(&simd::tile(u32::read(warp, i.operands[B + k]))));
    for half in 0..2 {
        let mut sums: Tile = match SINGLE {
            true => simd::interleave(
                u32::read(warp, i.operands[C + half * 2]),
                u32::read(warp, i.operands[C + half * 2 + 1]),
            ),
            false => simd::tile(u32::read(warp, i.operands[C + half])),
        };
        for (k, b) in b.iter().enumerate() {
            let a = simd::tile(u32::read(warp, i.operands[A + k * 2 + half]));
            simd::multiply(&mut sums, &a, b);
        }
        match SINGLE {
            true => {
                let [even, odd] = simd::separate(&sums);
                *u32::register(warp, i.operands[D + half * 2]) = even;
                *u32::register(warp, i.operands[D + half * 2 + 1]) = odd;
            }
            false => *u32::register(warp, i.operands[D + half]) = simd::words(&sums),
        }
    }
    Ok(())
}
