//! Opcodes in the text, and instructions ready to run.

use crate::warp::Handler;

/// What an instruction counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Integer,
    Float,
    Half,
    Memory,
    Control,
    Collective,
    /// `mma` with this depth; whether its accumulators have 32 bits.
    Mma {
        depth: u8,
        single: bool,
    },
    /// `ldmatrix` of so many matrices.
    Matrices(u8),
}

/// Most registers that one instruction names: `mma.m16n8k16` has 4 + 4 + 2 + 4.
pub(crate) const OPERANDS: usize = 16;

/// An instruction, its operands resolved to register slots.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) run: Handler,
    /// Whatever the handler needs besides registers: an offset, a target, modes.
    pub(crate) immediate: u64,
    pub(crate) operands: [u16; OPERANDS],
    pub(crate) line: u32,
    /// Predicate slot of the guard, and what to exclusive-or it with.
    pub(crate) guard: u16,
    pub(crate) invert: u32,
    pub(crate) class: Class,
    /// Whether the warp may have stopped after it.
    pub(crate) stops: bool,
}

impl Instruction {
    pub(crate) fn new(run: Handler, class: Class) -> Self {
        Instruction {
            run,
            immediate: 0,
            operands: [0; OPERANDS],
            line: 0,
            guard: super::frame::TRUE,
            invert: 0,
            class,
            stops: false,
        }
    }

    pub(crate) fn with(mut self, operands: &[u16]) -> Self {
        self.operands[..operands.len()].copy_from_slice(operands);
        self
    }

    pub(crate) fn immediate(mut self, immediate: u64) -> Self {
        self.immediate = immediate;
        self
    }

    pub(crate) fn stopping(mut self) -> Self {
        self.stops = true;
        self
    }
}

/// An opcode and its modifiers, read from left to right.
#[derive(Clone, Debug)]
pub(crate) struct Opcode<'t> {
    pub(crate) text: &'t str,
    pub(crate) name: &'t str,
    rest: &'t str,
}

impl<'t> Opcode<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let (name, rest) = text.split_once('.').unwrap_or((text, ""));
        Opcode { text, name, rest }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'t str {
        self.rest
    }

    /// Reads the next modifier.
    pub(crate) fn next(&mut self) -> &'t str {
        let (first, rest) = self.rest.split_once('.').unwrap_or((self.rest, ""));
        self.rest = rest;
        first
    }

    /// Reads the next modifier if it is this one.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        let mut ahead = self.clone();
        let found = ahead.next() == modifier;
        if found {
            *self = ahead;
        }
        found
    }

    /// Reads the next modifier if it is one of these.
    pub(crate) fn take_any(&mut self, modifiers: &[&str]) -> Option<&'t str> {
        let mut ahead = self.clone();
        let word = ahead.next();
        modifiers.contains(&word).then(|| {
            *self = ahead;
            word
        })
    }

    /// The error for an opcode that is not known.
    pub(crate) fn unknown<T>(&self) -> Result<T, String> {
        Err(format!("instruction {} is not supported", self.text))
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { self.unknown() }
    }
}
