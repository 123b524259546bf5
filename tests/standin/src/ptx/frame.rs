//! Register slots of a kernel: the declared registers, and constants that are filled in before it runs.

use std::collections::HashMap;

use super::operand::{Constant, File, Kind, Literal, Operand, Register};

/// Predicate slot that is always true.
pub(crate) const TRUE: u16 = 0;

/// Slot of any file that results go to which nobody wants. Slot 0 of the predicates is [`TRUE`].
pub(crate) const SINK: u16 = 1;

/// Slots in use, and the constants among them.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) words: usize,
    pub(crate) longs: usize,
    pub(crate) predicates: usize,
    pub(crate) constants: HashMap<(File, Constant), u16>,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Frame { words: 2, longs: 2, predicates: 2, constants: HashMap::new() }
    }

    fn slot(&mut self, file: File) -> Result<u16, String> {
        let next = match file {
            File::Word => &mut self.words,
            File::Long => &mut self.longs,
            File::Predicate => &mut self.predicates,
        };
        *next += 1;
        u16::try_from(*next - 1).map_err(|_| "more than 65536 registers".to_owned())
    }

    /// A new register.
    pub(crate) fn declare(&mut self, bits: u8) -> Result<Register, String> {
        let file = Kind::bits(bits).file();
        Ok(Register { file, slot: self.slot(file)?, bits })
    }

    /// The slot of a constant.
    pub(crate) fn constant(&mut self, file: File, constant: Constant) -> Result<u16, String> {
        let key = (file, constant);
        if let Some(slot) = self.constants.get(&key) {
            return Ok(*slot);
        }
        let slot = self.slot(file)?;
        self.constants.insert(key, slot);
        Ok(slot)
    }

    /// The slot of a number.
    pub(crate) fn value(&mut self, kind: Kind, value: u64) -> Result<u16, String> {
        let value = match kind.bits {
            1 => u64::from(value != 0),
            bits => value & (u64::MAX >> (64 - bits)),
        };
        self.constant(kind.file(), Constant::Value(value))
    }

    fn literal(&mut self, literal: Literal, kind: Kind) -> Result<u16, String> {
        let value = match (literal, kind.float, kind.bits) {
            (Literal::Integer(value), false, _) => value,
            (Literal::Single(bits), _, 32) => u64::from(bits),
            (Literal::Double(value), true, 32) => u64::from((value as f32).to_bits()),
            (Literal::Double(value), _, 64) => value.to_bits(),
            _ => return Err(format!("{literal:?} is no {}-bit operand of this instruction", kind.bits)),
        };
        self.value(kind, value)
    }

    /// The slot that an operand is read from. Registers must have the width that the instruction works on.
    pub(crate) fn source(&mut self, operand: &Operand, kind: Kind) -> Result<u16, String> {
        match operand {
            Operand::Register(r) if r.bits == kind.bits => Ok(r.slot),
            Operand::Literal(literal) => self.literal(*literal, kind),
            Operand::Constant(Constant::Special(_)) if kind.bits != 32 => {
                Err("a special register has 32 bits".to_owned())
            }
            Operand::Constant(constant) if kind.bits >= 32 => self.constant(kind.file(), constant.clone()),
            other => Err(mismatch(other, kind)),
        }
    }

    /// The slot that a result goes to.
    pub(crate) fn destination(&mut self, operand: &Operand, kind: Kind) -> Result<u16, String> {
        match operand {
            Operand::Register(r) if r.bits == kind.bits => Ok(r.slot),
            Operand::Sink => Ok(SINK),
            other => Err(mismatch(other, kind)),
        }
    }

    /// A predicate source that may be negated: its slot, and whether it is.
    pub(crate) fn predicate(&mut self, operand: &Operand) -> Result<(u16, bool), String> {
        match operand {
            Operand::Negated(r) if r.bits == 1 => Ok((r.slot, true)),
            other => Ok((self.source(other, Kind::bits(1))?, false)),
        }
    }

    /// The address of a memory operand: base slot, whether it has 64 bits, and offset.
    pub(crate) fn address(&mut self, operand: &Operand) -> Result<(u16, bool, i64), String> {
        let Operand::Address(base, offset) = operand else {
            return Err("an address in brackets is needed".to_owned());
        };
        match &**base {
            Operand::Register(r) if r.bits == 32 => Ok((r.slot, false, *offset)),
            Operand::Register(r) if r.bits == 64 => Ok((r.slot, true, *offset)),
            Operand::Literal(Literal::Integer(at)) => Ok((self.value(Kind::bits(64), *at)?, true, *offset)),
            Operand::Constant(constant) if !matches!(constant, Constant::Special(_)) => {
                Ok((self.constant(File::Long, constant.clone())?, true, *offset))
            }
            other => Err(format!("{other:?} is no address")),
        }
    }
}

fn mismatch(operand: &Operand, kind: Kind) -> String {
    match operand {
        Operand::Register(r) => format!("a register of {} bits where {} are needed", r.bits, kind.bits),
        Operand::Label(name) => format!("{name} is not declared"),
        other => format!("{other:?} where a register of {} bits is needed", kind.bits),
    }
}

/// The operands of an instruction, by number; a wrong count is an error.
pub(crate) fn exactly<const N: usize>(operands: &[Operand]) -> Result<&[Operand; N], String> {
    operands.try_into().map_err(|_| format!("{} operands where {N} are needed", operands.len()))
}

/// The elements of a vector operand, or the operand itself.
pub(crate) fn elements(operand: &Operand) -> &[Operand] {
    match operand {
        Operand::Vector(elements) => elements,
        other => std::slice::from_ref(other),
    }
}
