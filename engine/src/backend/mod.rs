//! Where networks run. A [`Backend`] makes lanes; a [`Lane`] takes one frame at a time.

use std::str::FromStr;

use crate::Error;
use crate::frame::convert::Domain;
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
    /// What a frame may be computed with, by rung.
    pub ladder: Vec<Model>,
    /// What goes in.
    pub input: VideoInfo,
    /// What comes out.
    pub output: VideoInfo,
    /// In which numbers.
    pub precision: Precision,
    /// CPU threads, 0 for all.
    pub threads: usize,
}

impl Plan {
    /// What the model of a rung sees of a frame.
    ///
    /// # Panics
    /// If there is no such rung.
    fn domain(&self, rung: usize) -> Domain {
        match &self.ladder[rung] {
            Model::Network(network) if network.channels == 1 => Domain::Luma,
            Model::Network(_) => Domain::Rgb,
            Model::Resample(kernel) => Domain::Each(*kernel),
        }
    }
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

    /// Which one it is, never [`BackendKind::Auto`].
    fn kind(&self) -> BackendKind;

    /// Name, device or instruction set, threads.
    fn describe(&self) -> String;
}

/// One frame at a time: started, then finished. Several lanes may run side by side; what a device does for a frame
/// goes on between the two calls, so that one thread can keep several lanes busy.
pub trait Lane: Send {
    /// Takes a frame of the plan's description, for the model of a rung of its ladder. The frame is not needed any more
    /// when this returns.
    ///
    /// # Errors
    /// What the device says. A frame that was started before and not finished is lost.
    ///
    /// # Panics
    /// If the ladder has no such rung.
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error>;

    /// Waits for the frame that was started last and writes it.
    ///
    /// # Errors
    /// What the device or the network says; the output is then not to be used.
    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error>;

    /// Upscales one frame from start to end, by the lowest rung.
    ///
    /// # Errors
    /// As [`Lane::start`] and [`Lane::finish`].
    fn process(&mut self, input: &FrameRef<'_>, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.start(0, input)?;
        self.finish(output)
    }
}

/// Opens a backend; `threads` is 0 for all that the process may use.
///
/// # Errors
/// [`Error::Backend`] if it cannot be had here. `Auto` takes the CPU where CUDA cannot be had, and logs why.
pub fn open(kind: BackendKind, threads: usize) -> Result<Box<dyn Backend>, Error> {
    match kind {
        BackendKind::Reference => Ok(Box::new(reference::Reference)),
        BackendKind::Cpu => Ok(Box::new(cpu::Cpu::new(threads)?)),
        BackendKind::Cuda => Ok(Box::new(cuda::Cuda::new()?)),
        BackendKind::Auto => match cuda::Cuda::new() {
            Ok(cuda) => Ok(Box::new(cuda)),
            Err(e) => {
                tracing::info!("{e}; taking the CPU");
                Ok(Box::new(cpu::Cpu::new(threads)?))
            }
        },
    }
}

/// A lane for a plan, and what [`Backend::describe`] says of where it runs.
///
/// # Errors
/// As [`open`] and [`Backend::lane`]. `Auto` takes the CPU where CUDA cannot run the plan, and logs why.
pub fn lane(kind: BackendKind, plan: &Plan) -> Result<(Box<dyn Lane>, String), Error> {
    let backend = open(kind, plan.threads)?;
    match backend.lane(plan) {
        Ok(lane) => Ok((lane, backend.describe())),
        Err(e @ (Error::Backend { .. } | Error::Memory { .. })) if kind == BackendKind::Auto => {
            tracing::info!("{e}; taking the CPU");
            let backend = cpu::Cpu::new(plan.threads)?;
            Ok((backend.lane(plan)?, backend.describe()))
        }
        Err(e) => Err(e),
    }
}
