//! Where networks run. A [`Backend`] makes lanes; a [`Lane`] takes one frame at a time, on its caller's thread.

use std::str::FromStr;

use crate::Error;
use crate::frame::{FrameMut, FrameRef, VideoInfo};
use crate::model::Model;
use crate::network::Network;
use crate::tensor::Tensor;

pub mod cpu;
pub mod cuda;
mod host;
pub mod reference;

/// Where a network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// CUDA where a usable device is found, else the CPU.
    #[default]
    Auto,
    /// The naive truth: f32, one thread, for tests.
    Reference,
    /// Fast on any processor; instruction sets are chosen at run time.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl BackendKind {
    /// The name in properties and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Reference => "reference",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

impl FromStr for BackendKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        [Self::Auto, Self::Reference, Self::Cpu, Self::Cuda]
            .into_iter()
            .find(|kind| kind.name() == s)
            .ok_or_else(|| format!("unknown backend '{s}': use auto, cpu, cuda or reference"))
    }
}

/// In which numbers a network is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// The fastest that costs no visible quality on that backend.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// 16-bit floats with sums in 32 bits.
    F16,
}

impl Precision {
    /// The name in properties and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        [Self::Auto, Self::F32, Self::F16]
            .into_iter()
            .find(|precision| precision.name() == s)
            .ok_or_else(|| format!("unknown precision '{s}': use auto, f32 or f16"))
    }
}

/// What a lane is made for: once per stream description.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is computed.
    pub model: Model,
    /// What goes in.
    pub input: VideoInfo,
    /// What comes out.
    pub output: VideoInfo,
    /// In which numbers.
    pub precision: Precision,
    /// CPU threads, 0 for all.
    pub threads: usize,
}

/// A place where networks run.
pub trait Backend: Send + Sync {
    /// A lane with everything that the plan needs, ready for frames.
    ///
    /// # Errors
    /// Too little memory, a precision or block that this backend lacks.
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error>;

    /// The bare network on one tensor, for checks against known results.
    ///
    /// # Errors
    /// As [`Backend::lane`].
    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error>;

    /// Name, device or instruction set, threads.
    fn describe(&self) -> String;
}

/// One frame at a time, start to end, on the caller's thread; several lanes may run side by side.
pub trait Lane: Send {
    /// Upscales one frame of the plan's description.
    ///
    /// # Errors
    /// What the device or the network says; the output is then not to be used.
    fn process(&mut self, input: &FrameRef<'_>, output: &mut FrameMut<'_>) -> Result<(), Error>;
}

/// Opens a backend; `threads` is 0 for all that the process may use.
///
/// # Errors
/// [`Error::Backend`] if it cannot be had here. `Auto` falls back to the CPU and logs why.
pub fn open(kind: BackendKind, threads: usize) -> Result<Box<dyn Backend>, Error> {
    match kind {
        BackendKind::Reference => Ok(Box::new(reference::Reference)),
        BackendKind::Cpu => Ok(Box::new(cpu::Cpu::new(threads)?)),
        BackendKind::Cuda => Err(cuda::unavailable()),
        BackendKind::Auto => {
            tracing::info!("{}; taking the CPU", cuda::unavailable());
            Ok(Box::new(cpu::Cpu::new(threads)?))
        }
    }
}
