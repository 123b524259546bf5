//! A warp: 32 lanes that execute one instruction at a time.
//!
//! Lanes that diverge wait in groups; the group with the lowest program counter runs, and groups merge when their
//! counters meet. Compilers lay code out so that this reconverges where one expects. It cannot run lanes of one
//! warp that wait for each other in a loop.

mod atomic;
mod bits;
mod collective;
mod compare;
mod control;
mod convert;
mod copy;
mod float;
mod half;
mod integer;
mod ldmatrix;
mod memory;
mod mma;
mod moves;
mod rounding;
mod shape;
mod simd;
mod space;
mod value;

use crate::block::Block;
use crate::fault::Fault;
use crate::ptx::frame::{Frame, TRUE};
use crate::ptx::instruction::{Instruction, Opcode};
use crate::ptx::operand::{Constant, File, Operand};

pub(crate) use space::LOCAL_BASE;
use space::Local;
use value::Lanes;

/// Executes an instruction for some lanes.
///
/// # Safety
/// On x86-64 the processor must have AVX2, FMA, F16C and BMI2.
pub(crate) type Handler = unsafe fn(&mut Warp, &mut Block<'_>, &Instruction, u32) -> Step;

/// What a handler returns; small, as there is one for each instruction.
pub(crate) type Step = Result<(), Box<Finding>>;

/// A fault and the lane to blame.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) lane: Option<u32>,
    pub(crate) fault: Fault,
}

impl From<Fault> for Box<Finding> {
    #[cold]
    fn from(fault: Fault) -> Self {
        Box::new(Finding { lane: None, fault })
    }
}

/// Puts a lane to a fault.
fn in_lane(lane: usize) -> impl Fn(Fault) -> Box<Finding> {
    move |fault| Box::new(Finding { lane: Some(lane as u32), fault })
}

/// Why a warp does or does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// Waits at a barrier for so many threads; for all, where none are named.
    Barrier {
        number: u32,
        threads: Option<u32>,
    },
    Done,
}

/// A warp.
pub(crate) struct Warp {
    words: Vec<Lanes<u32>>,
    longs: Vec<Lanes<u64>>,
    predicates: Vec<u32>,
    /// Number of the next instruction, for the active lanes.
    pub(crate) counter: u32,
    active: u32,
    /// Groups of lanes that wait at other counters, and the lowest of those.
    waiting: Vec<(u32, u32)>,
    next_waiting: u32,
    /// Lanes that were launched: the last warp of a block may have fewer than 32.
    present: u32,
    backward: u64,
    pub(crate) state: State,
    pub(crate) index: u32,
    local: Local,
    copies: copy::Copies,
}

impl Warp {
    pub(crate) fn new(frame: &Frame, index: u32, present: u32, local: usize) -> Self {
        let mut predicates = vec![0; frame.predicates];
        predicates[usize::from(TRUE)] = !0;
        Warp {
            words: vec![Lanes([0; 32]); frame.words],
            longs: vec![Lanes([0; 32]); frame.longs],
            predicates,
            counter: 0,
            active: present,
            waiting: Vec::new(),
            next_waiting: u32::MAX,
            present,
            backward: 0,
            state: State::Running,
            index,
            local: Local::new(local),
            copies: copy::Copies::default(),
        }
    }

    /// Makes it the warp of a fresh block.
    pub(crate) fn reset(&mut self) {
        self.counter = 0;
        self.active = self.present;
        self.waiting.clear();
        self.next_waiting = u32::MAX;
        self.backward = 0;
        self.state = State::Running;
        self.local.reset();
        self.copies = copy::Copies::default();
    }

    /// Fills in constants: register, and what `value` gives for each lane.
    pub(crate) fn fill(&mut self, constants: &[(File, u16, Constant)], value: impl Fn(&Constant, u32) -> u64) {
        for (file, slot, constant) in constants {
            let slot = usize::from(*slot);
            for lane in 0..32 {
                let value = value(constant, lane);
                match file {
                    File::Word => self.words[slot].0[lane as usize] = value as u32,
                    File::Long => self.longs[slot].0[lane as usize] = value,
                    File::Predicate => self.predicates[slot] = if value != 0 { !0 } else { 0 },
                }
            }
        }
    }

    #[inline(always)]
    fn predicate(&self, slot: u16) -> u32 {
        debug_assert!(usize::from(slot) < self.predicates.len());
        // SAFETY: `Frame` handed out the slot, and a warp has as many registers as its kernel's frame.
        unsafe { *self.predicates.get_unchecked(usize::from(slot)) }
    }

    #[inline(always)]
    fn set_predicate(&mut self, slot: u16, lanes: u32, values: u32) {
        debug_assert!(usize::from(slot) < self.predicates.len());
        // SAFETY: as for `predicate`.
        let predicate = unsafe { self.predicates.get_unchecked_mut(usize::from(slot)) };
        *predicate = *predicate & !lanes | values & lanes;
    }

    /// Runs up to a barrier or the end.
    pub(crate) fn run(&mut self, code: &[Instruction], block: &mut Block<'_>) -> Step {
        loop {
            if self.counter >= self.next_waiting {
                self.converge();
            }
            let instruction = &code[self.counter as usize];
            block.issued[self.counter as usize] += 1;
            self.counter += 1;
            let lanes = self.active & (self.predicate(instruction.guard) ^ instruction.invert);
            if lanes == 0 {
                continue;
            }
            // SAFETY: `Launch::run` made sure of the processor's features.
            unsafe { (instruction.run)(self, block, instruction, lanes) }?;
            if instruction.stops && self.state != State::Running {
                return Ok(());
            }
        }
    }

    /// The active lanes have come as far as a waiting group: merge with it, or let it run first.
    #[cold]
    fn converge(&mut self) {
        if self.counter > self.next_waiting {
            self.wait(self.counter, self.active);
            self.active = 0;
            self.counter = self.next_waiting;
        }
        let counter = self.counter;
        let mut joined = self.active;
        self.waiting.retain(|(at, lanes)| {
            joined |= if *at == counter { *lanes } else { 0 };
            *at != counter
        });
        self.active = joined;
        self.next_waiting = self.waiting.iter().map(|(at, _)| *at).min().unwrap_or(u32::MAX);
    }

    /// Puts lanes among the waiting.
    fn wait(&mut self, at: u32, lanes: u32) {
        match self.waiting.iter_mut().find(|(other, _)| *other == at) {
            Some((_, group)) => *group |= lanes,
            None => self.waiting.push((at, lanes)),
        }
        self.next_waiting = self.next_waiting.min(at);
    }
}

/// Makes sure that all 32 lanes execute a collective instruction.
fn all_lanes(lanes: u32) -> Result<(), Fault> {
    if lanes == !0 { Ok(()) } else { Err(Fault::Divergent { expected: !0, active: lanes }) }
}

/// Makes an instruction of an opcode and its operands.
pub(crate) fn decode(frame: &mut Frame, opcode: &mut Opcode<'_>, operands: &[Operand]) -> Result<Instruction, String> {
    match opcode.name {
        "ld" | "ldu" => memory::load(opcode, frame, operands),
        "st" => memory::store(opcode, frame, operands),
        "mov" | "cvta" => moves::decode(opcode, frame, operands),
        "cvt" => convert::decode(opcode, frame, operands),
        "setp" => compare::setp(opcode, frame, operands),
        "set" => compare::set(opcode, frame, operands),
        "selp" => compare::selp(opcode, frame, operands),
        "atom" | "red" => atomic::decode(opcode, frame, operands),
        "cp" => copy::decode(opcode, frame, operands),
        "mma" => mma::decode(opcode, frame, operands),
        "ldmatrix" => ldmatrix::decode(opcode, frame, operands),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => collective::decode(opcode, frame, operands),
        "bra" | "ret" | "exit" | "trap" | "bar" | "barrier" | "membar" | "fence" | "griddepcontrol" => {
            control::decode(opcode, frame, operands)
        }
        "and" | "or" | "xor" | "not" if opcode.rest() == "pred" => bits::predicates(opcode.name, frame, operands),
        "lop3" if opcode.rest() == "b32" => bits::lop3(frame, operands),
        _ => arithmetic(opcode, frame, operands),
    }
}

fn arithmetic(opcode: &mut Opcode<'_>, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
    if opcode.name == "slct"
        && let Some(shape) = compare::slct(opcode)
    {
        return shape.build(frame, operands);
    }
    if let Some(instruction) = half::decode(opcode, frame, operands)? {
        return Ok(instruction);
    }
    let shape = integer::shape(opcode.text).or_else(|| bits::shape(opcode.text)).or_else(|| float::shape(opcode));
    match shape {
        Some(shape) => shape.build(frame, operands),
        None => opcode.unknown(),
    }
}
