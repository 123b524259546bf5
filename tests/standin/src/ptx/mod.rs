//! PTX text to kernels.

mod body;
pub(crate) mod frame;
pub(crate) mod instruction;
mod lex;
pub(crate) mod operand;
mod parse;
mod variable;

use std::sync::Arc;

use thiserror::Error;

use frame::Frame;
use instruction::Instruction;

/// Where shared memory starts, in its own state space: an address of zero is always a mistake.
pub(crate) const SHARED_BASE: usize = 1024;

/// A module: what one PTX text defines.
#[derive(Debug)]
pub struct Module {
    /// PTX version, major and minor.
    pub version: (u32, u32),
    /// Compute capability that it asks for at least, such as 80.
    pub target: u32,
    /// Kernels.
    pub kernels: Vec<Arc<Kernel>>,
    /// Variables of the module in global and constant memory.
    pub globals: Vec<Global>,
}

/// A variable of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Name.
    pub name: String,
    /// Size.
    pub bytes: usize,
    /// Alignment.
    pub align: usize,
    /// Initial value; the rest, up to `bytes`, is zero.
    pub initial: Vec<u8>,
    /// Whether it is in constant memory.
    pub constant: bool,
}

/// A parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Place in the parameter buffer.
    pub offset: usize,
    /// Size.
    pub bytes: usize,
}

/// A kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Name.
    pub name: String,
    /// Parameters in order.
    pub parameters: Vec<Parameter>,
    /// Shared memory that the kernel declares, in bytes.
    pub static_shared: usize,
    /// Local memory of a thread, in bytes.
    pub local: usize,
    /// `.maxntid`: the most threads of a block.
    pub max_threads: Option<u32>,
    /// `.reqntid`: the shape that blocks must have.
    pub reqntid: Option<[u32; 3]>,
    /// Address of dynamic shared memory.
    pub(crate) dynamic_base: usize,
    pub(crate) code: Vec<Instruction>,
    /// The line of each instruction.
    pub(crate) texts: Vec<String>,
    pub(crate) frame: Frame,
}

impl Kernel {
    fn empty(name: String, parameters: Vec<Parameter>) -> Self {
        Kernel {
            name,
            parameters,
            static_shared: 0,
            local: 0,
            max_threads: None,
            reqntid: None,
            dynamic_base: SHARED_BASE,
            code: Vec::new(),
            texts: Vec::new(),
            frame: Frame::new(),
        }
    }

    /// Size of the parameter buffer.
    #[must_use]
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.last().map_or(0, |p| p.offset + p.bytes)
    }
}

/// Text that is not PTX, or PTX that this driver does not run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("PTX line {line}: {reason}: `{text}`")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Parses a module. Nothing is guessed: an instruction, a directive or an operand that is not known is an error.
///
/// # Errors
/// The first such place.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    parse::module(text)
}

fn line_of(text: &str, line: u32) -> String {
    text.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default().trim().to_owned()
}
