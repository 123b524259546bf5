//! Exchanges between the lanes of a warp: shuffles, votes, reductions.

use super::shape::instance;
use super::value::Slot;
use super::{Finding, Handler, Step, Warp, in_lane};
use crate::block::Block;
use crate::fault::Fault;
use crate::ptx::frame::{Frame, SINK, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

const WORD: Kind = Kind::bits(32);
const BIT: Kind = Kind::bits(1);

pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    match opcode.name {
        "shfl" => shuffle(opcode, frame, operands),
        "vote" => vote(opcode, frame, operands),
        "activemask" if opcode.rest() == "b32" => {
            let [d] = exactly(operands)?;
            Ok(collective(run_active).with(&[frame.destination(d, WORD)?]))
        }
        "match" if opcode.rest() == "any.sync.b32" => {
            let [d, a, mask] = exactly(operands)?;
            let slots = [frame.destination(d, WORD)?, frame.source(a, WORD)?, frame.source(mask, WORD)?];
            Ok(collective(run_match).with(&slots))
        }
        "redux" => reduction(opcode, frame, operands),
        "elect" if opcode.rest() == "sync" => {
            let [Operand::Pair(d, p), mask] = exactly(operands)? else {
                return Err("elect gives a lane and a predicate".to_owned());
            };
            let slots = [frame.destination(d, WORD)?, frame.destination(p, BIT)?, frame.source(mask, WORD)?];
            Ok(collective(run_elect).with(&slots))
        }
        _ => opcode.unknown(),
    }
}

fn collective(run: Handler) -> Instruction {
    Instruction::new(run, Class::Collective)
}

/// The member masks of the lanes: each must name its own lane, and no lane that is not here.
fn members(warp: &Warp, slot: u16, lanes: u32) -> Result<[u32; 32], Box<Finding>> {
    let masks = *u32::read(warp, slot);
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        if masks[lane] >> lane & 1 == 0 || masks[lane] & !lanes != 0 {
            return Err(in_lane(lane)(Fault::Divergent { expected: masks[lane], active: lanes }));
        }
    }
    Ok(masks)
}

/// `shfl.sync.mode.b32 d{|p}, a, b, c, membermask`.
fn shuffle(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let run: Handler = match opcode.rest() {
        "sync.up.b32" => run_shuffle::<UP>,
        "sync.down.b32" => run_shuffle::<DOWN>,
        "sync.bfly.b32" => run_shuffle::<BUTTERFLY>,
        "sync.idx.b32" => run_shuffle::<INDEX>,
        _ => return opcode.unknown(),
    };
    let [d, a, b, c, mask] = exactly(operands)?;
    let (d, p) = match d {
        Operand::Pair(d, p) => (frame.destination(d, WORD)?, frame.destination(p, BIT)?),
        d => (frame.destination(d, WORD)?, SINK),
    };
    let sources = [frame.source(a, WORD)?, frame.source(b, WORD)?, frame.source(c, WORD)?, frame.source(mask, WORD)?];
    Ok(collective(run).with(&[d, p, sources[0], sources[1], sources[2], sources[3]]))
}

const UP: u8 = 0;
const DOWN: u8 = 1;
const BUTTERFLY: u8 = 2;
const INDEX: u8 = 3;

/// The source lane, and whether it is in range (PTX ISA, `shfl.sync`, pseudocode).
fn source<const MODE: u8>(lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let most = (lane & segment) | (clamp & !segment);
    let least = lane & segment;
    match MODE {
        UP => (lane.wrapping_sub(b), lane as i32 - b as i32 >= most as i32),
        DOWN => (lane + b, lane + b <= most),
        BUTTERFLY => (lane ^ b, lane ^ b <= most),
        _ => {
            let from = least | (b & !segment);
            (from, from <= most)
        }
    }
}

fn run_shuffle<const MODE: u8>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    members(warp, i.operands[5], lanes)?;
    let [a, b, c] = [2, 3, 4].map(|n| u32::read(warp, i.operands[n]));
    let (mut result, mut found) = ([0; 32], 0);
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        let (from, in_range) = source::<MODE>(lane as u32, b[lane], c[lane]);
        let from = if in_range { from as usize } else { lane };
        if lanes >> from & 1 == 0 {
            // Reading a register of a lane that does not take part is undefined.
            return Err(in_lane(lane)(Fault::Divergent { expected: lanes | 1 << from, active: lanes }));
        }
        result[lane] = a[from];
        found |= u32::from(in_range) << lane;
    }
    u32::write(warp, i.operands[0], lanes, &result);
    warp.set_predicate(i.operands[1], lanes, found);
    Ok(())
}

/// `vote.sync.{all,any,uni}.pred p, {!}a, membermask` and `vote.sync.ballot.b32 d, {!}a, membermask`.
fn vote(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let [d, a, mask] = exactly(operands)?;
    let (source, negated) = frame.predicate(a)?;
    let (run, result): (Handler, Kind) = match opcode.rest() {
        "sync.ballot.b32" => (run_ballot, WORD),
        "sync.all.pred" => (run_vote::<ALL>, BIT),
        "sync.any.pred" => (run_vote::<ANY>, BIT),
        "sync.uni.pred" => (run_vote::<UNIFORM>, BIT),
        _ => return opcode.unknown(),
    };
    let slots = [frame.destination(d, result)?, source, frame.source(mask, WORD)?];
    Ok(collective(run).with(&slots).immediate(u64::from(negated)))
}

const ALL: u8 = 0;
const ANY: u8 = 1;
const UNIFORM: u8 = 2;

fn votes(warp: &Warp, i: &Instruction) -> u32 {
    warp.predicate(i.operands[1]) ^ if i.immediate != 0 { !0 } else { 0 }
}

fn run_ballot(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let masks = members(warp, i.operands[2], lanes)?;
    let votes = votes(warp, i);
    u32::write(warp, i.operands[0], lanes, &masks.map(|mask| votes & mask));
    Ok(())
}

fn run_vote<const MODE: u8>(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let masks = members(warp, i.operands[2], lanes)?;
    let votes = votes(warp, i);
    let result = masks.iter().enumerate().fold(0, |result, (lane, mask)| {
        let holds = match MODE {
            ALL => votes & mask == *mask,
            ANY => votes & mask != 0,
            _ => votes & mask == *mask || votes & mask == 0,
        };
        result | u32::from(holds) << lane
    });
    warp.set_predicate(i.operands[0], lanes, result);
    Ok(())
}

fn run_active(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    u32::write(warp, i.operands[0], lanes, &[lanes; 32]);
    Ok(())
}

fn run_match(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let masks = members(warp, i.operands[2], lanes)?;
    let a = *u32::read(warp, i.operands[1]);
    let result = std::array::from_fn(|lane| {
        let equal = (0..32).fold(0, |equal, other| equal | u32::from(a[other] == a[lane]) << other);
        equal & masks[lane]
    });
    u32::write(warp, i.operands[0], lanes, &result);
    Ok(())
}

/// The lowest lane of the mask is elected.
fn run_elect(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let masks = members(warp, i.operands[2], lanes)?;
    let leaders = masks.map(u32::trailing_zeros);
    let elected = (0..32).fold(0, |elected, lane| elected | u32::from(leaders[lane] == lane as u32) << lane);
    u32::write(warp, i.operands[0], lanes, &leaders);
    warp.set_predicate(i.operands[1], lanes, elected);
    Ok(())
}

/// `redux.sync.operation.type d, a, membermask`.
fn reduction(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let run = match opcode.rest() {
        "sync.add.u32" | "sync.add.s32" => reduce(u32::wrapping_add),
        "sync.min.u32" => reduce(|a, b| a.min(b)),
        "sync.max.u32" => reduce(|a, b| a.max(b)),
        "sync.min.s32" => reduce(|a, b| (a as i32).min(b as i32) as u32),
        "sync.max.s32" => reduce(|a, b| (a as i32).max(b as i32) as u32),
        "sync.and.b32" => reduce(|a, b| a & b),
        "sync.or.b32" => reduce(|a, b| a | b),
        "sync.xor.b32" => reduce(|a, b| a ^ b),
        _ => return opcode.unknown(),
    };
    let [d, a, mask] = exactly(operands)?;
    let slots = [frame.destination(d, WORD)?, frame.source(a, WORD)?, frame.source(mask, WORD)?];
    Ok(collective(run).with(&slots))
}

fn reduce<F: Fn(u32, u32) -> u32 + Copy>(_: F) -> Handler {
    run_reduction::<F>
}

fn run_reduction<F: Fn(u32, u32) -> u32 + Copy>(
    warp: &mut Warp,
    _: &mut Block<'_>,
    i: &Instruction,
    lanes: u32,
) -> Step {
    let masks = members(warp, i.operands[2], lanes)?;
    let a = *u32::read(warp, i.operands[1]);
    let result = masks.map(|mask| {
        let values = (0..32).filter(|lane| mask >> lane & 1 != 0).map(|lane| a[lane]);
        values.reduce(instance::<F>()).unwrap_or(0)
    });
    u32::write(warp, i.operands[0], lanes, &result);
    Ok(())
}
