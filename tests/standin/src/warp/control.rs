//! Branches, ends, barriers, fences.

use super::value::Slot;
use super::{State, Step, Warp};
use crate::block::Block;
use crate::fault::Fault;
use crate::ptx::frame::{Frame, exactly};
use crate::ptx::instruction::{Class, Instruction, Opcode};
use crate::ptx::operand::{Kind, Operand};

/// Backward branches after which a warp is taken to be in an endless loop: some seconds here, far more than a test
/// has use for.
const ENDLESS: u64 = 1 << 24;

/// Slot number of a barrier operand that is not there.
const ABSENT: u16 = u16::MAX;

pub(super) fn decode(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let control = |run| Instruction::new(run, Class::Control);
    match opcode.text {
        "bra" | "bra.uni" => match operands {
            [Operand::Label(_)] => Ok(control(branch)),
            _ => Err("a branch needs a label".to_owned()),
        },
        "ret" | "ret.uni" | "exit" => none(operands).map(|()| control(exit).stopping()),
        "trap" => none(operands).map(|()| control(trap)),
        "bar.sync"
        | "bar.cta.sync"
        | "barrier.sync"
        | "barrier.sync.aligned"
        | "barrier.cta.sync"
        | "barrier.cta.sync.aligned" => synchronise(frame, operands),
        "bar.warp.sync" => {
            let [mask] = exactly(operands)?;
            Ok(control(warp_barrier).with(&[frame.source(mask, Kind::bits(32))?]))
        }
        // Warps run one at a time and see each other's writes at once; grids run one after the other.
        "membar.cta" | "membar.gl" | "membar.sys" | "griddepcontrol.wait" | "griddepcontrol.launch_dependents" => {
            none(operands).map(|()| control(nothing))
        }
        _ if opcode.name == "fence" => {
            opcode.take_any(&["sc", "acq_rel"]);
            let scope = opcode.take_any(&["cta", "cluster", "gpu", "sys"]);
            if scope.is_none() || !opcode.rest().is_empty() {
                return opcode.unknown();
            }
            none(operands).map(|()| control(nothing))
        }
        _ => opcode.unknown(),
    }
}

fn none(operands: &[Operand]) -> Result<(), String> {
    exactly::<0>(operands).map(|_| ())
}

fn synchronise(frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    let kind = Kind::bits(32);
    let slots = match operands {
        [number] => [frame.source(number, kind)?, ABSENT],
        [number, threads] => [frame.source(number, kind)?, frame.source(threads, kind)?],
        _ => return Err("a barrier has a number and perhaps a count".to_owned()),
    };
    Ok(Instruction::new(barrier, Class::Control).with(&slots).stopping())
}

fn nothing(_: &mut Warp, _: &mut Block<'_>, _: &Instruction, _: u32) -> Step {
    Ok(())
}

fn trap(_: &mut Warp, _: &mut Block<'_>, _: &Instruction, _: u32) -> Step {
    Err(Fault::Trap.into())
}

fn branch(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let (target, next) = (i.immediate as u32, warp.counter);
    if target < next {
        warp.backward += 1;
        if warp.backward > ENDLESS {
            return Err(Fault::Endless { branches: warp.backward }.into());
        }
    }
    if lanes == warp.active {
        warp.counter = target;
        return Ok(());
    }
    let others = warp.active & !lanes;
    if target < next {
        warp.wait(next, others);
        (warp.counter, warp.active) = (target, lanes);
    } else {
        warp.wait(target, lanes);
        warp.active = others;
    }
    Ok(())
}

fn exit(warp: &mut Warp, _: &mut Block<'_>, _: &Instruction, lanes: u32) -> Step {
    warp.active &= !lanes;
    if warp.active == 0 {
        match warp.next_waiting {
            u32::MAX => warp.state = State::Done,
            at => warp.counter = at,
        }
    }
    Ok(())
}

fn barrier(warp: &mut Warp, block: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    if lanes != warp.present {
        return Err(Fault::Divergent { expected: warp.present, active: lanes }.into());
    }
    let lane = lanes.trailing_zeros() as usize;
    let number = u32::read(warp, i.operands[0])[lane];
    let threads = (i.operands[1] != ABSENT).then(|| u32::read(warp, i.operands[1])[lane]);
    let most = block.threads.next_multiple_of(32);
    if number > 15 || threads.is_some_and(|t| t == 0 || !t.is_multiple_of(32) || t > most) {
        return Err(Fault::Barrier { barrier: number, threads: threads.unwrap_or(block.threads) }.into());
    }
    warp.state = State::Barrier { number, threads };
    Ok(())
}

/// Lanes that were never launched or have ended are not waited for; all others of the mask must be here.
fn warp_barrier(warp: &mut Warp, _: &mut Block<'_>, i: &Instruction, lanes: u32) -> Step {
    let alive = warp.waiting.iter().fold(warp.active, |all, (_, group)| all | group);
    let masks = u32::read(warp, i.operands[0]);
    for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
        let expected = masks[lane] & alive;
        if masks[lane] >> lane & 1 == 0 || expected & !lanes != 0 {
            return Err(super::in_lane(lane)(Fault::Divergent { expected: masks[lane], active: lanes }));
        }
    }
    Ok(())
}
