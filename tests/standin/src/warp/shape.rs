//! Instructions that map each lane's sources to its result: one generic handler for each number of sources.
//!
//! An operation is a closure without captures. Its type alone names it, so each handler is compiled for its
//! operation, and the closure's parameter types say how the registers are read and how wide they must be.

use super::value::{Slot, Value};
use super::{Handler, Step, Warp};
use crate::block::Block;
use crate::ptx::frame::Frame;
use crate::ptx::instruction::{Class, Instruction};
use crate::ptx::operand::{Kind, Operand};

/// An instruction before its operands are known.
pub(crate) struct Shape {
    run: Handler,
    class: Class,
    result: Kind,
    sources: Vec<Kind>,
}

impl Shape {
    pub(crate) fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Resolves the operands: the result, then the sources.
    pub(crate) fn build(self, frame: &mut Frame, operands: &[Operand]) -> Result<Instruction, String> {
        let Some((result, sources)) = operands.split_first().filter(|(_, s)| s.len() == self.sources.len()) else {
            return Err(format!("{} operands where {} are needed", operands.len(), self.sources.len() + 1));
        };
        let mut slots = vec![frame.destination(result, self.result)?];
        for (operand, kind) in sources.iter().zip(&self.sources) {
            slots.push(frame.source(operand, *kind)?);
        }
        Ok(Instruction::new(self.run, self.class).with(&slots))
    }
}

/// An operation of this type: closures without captures have no state, so any instance is as good as another.
#[inline(always)]
pub(super) fn instance<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "an operation must not capture anything") };
    // SAFETY: any aligned pointer is good for a read of no bytes, and the caller of `unary` and its likes had an
    // instance, so the type has a value.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}

fn class(kind: Kind) -> Class {
    match kind {
        Kind { float: true, bits: 16 } => Class::Half,
        Kind { float: true, .. } => Class::Float,
        _ => Class::Integer,
    }
}

macro_rules! shapes {
    ($(#[$doc:meta] $name:ident, $run:ident, $($source:ident $operand:ident $index:literal),+;)*) => {$(
        #[$doc]
        pub(crate) fn $name<$($source: Value,)+ R: Value, F: Fn($($source),+) -> R + Copy>(_: F) -> Shape {
            Shape {
                run: $run::<$($source,)+ R, F>,
                class: class(R::KIND),
                result: R::KIND,
                sources: vec![$($source::KIND),+],
            }
        }

        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,bmi2"))]
        fn $run<$($source: Value,)+ R: Value, F: Fn($($source),+) -> R + Copy>(
            warp: &mut Warp,
            _: &mut Block<'_>,
            instruction: &Instruction,
            active: u32,
        ) -> Step {
            let operation = instance::<F>();
            let mut results = [R::Slot::default(); 32];
            $(let $operand = $source::Slot::read(warp, instruction.operands[$index]);)+
            for lane in 0..32 {
                results[lane] = operation($($source::get($operand[lane])),+).put();
            }
            R::Slot::write(warp, instruction.operands[0], active, &results);
            Ok(())
        }
    )*};
}

shapes! {
    /// One source.
    unary, run_unary, A a 1;
    /// Two sources.
    binary, run_binary, A a 1, B b 2;
    /// Three sources.
    ternary, run_ternary, A a 1, B b 2, C c 3;
    /// Four sources.
    quaternary, run_quaternary, A a 1, B b 2, C c 3, D d 4;
}
