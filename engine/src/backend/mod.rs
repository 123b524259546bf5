//! Where networks run. A [`Backend`] makes lanes; a [`Lane`] takes one frame at a time.

use std::str::FromStr;
use std::sync::Arc;

use crate::Error;
use crate::frame::{FrameMut, FrameRef, VideoInfo};
use crate::model::Model;
use crate::network::Network;
use crate::tensor::Tensor;

pub(crate) mod bands;
pub mod cpu;
pub mod cuda;
mod host;
pub mod reference;
pub(crate) mod tiles;

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
    /// At least as exact as 16-bit floats with 8 bits of mantissa: the CPU rounds to them what its dot products of pairs take,
    /// in 1x1 convolutions, and computes all else in f32.
    Bf16,
    /// Integers: of luma networks the results of layers and weights in bytes, exact sums; of others the CPU makes such bytes of
    /// what 1x1 convolutions read, with a step for each pixel, and computes all else in f32.
    Int8,
}

impl Precision {
    /// The name in properties and arguments.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        [Self::Auto, Self::F32, Self::F16, Self::Bf16, Self::Int8]
            .into_iter()
            .find(|precision| precision.name() == s)
            .ok_or_else(|| format!("unknown precision '{s}': use auto, f32, f16, bf16 or int8"))
    }
}

/// What a lane is made for: once per stream description.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What may be asked of the lane, frame by frame: one model or more of the same scale, best first.
    pub ladder: Vec<Model>,
    /// What goes in.
    pub input: VideoInfo,
    /// What comes out.
    pub output: VideoInfo,
    /// In which numbers.
    pub precision: Precision,
}

impl Plan {
    /// For one model, as precisely as the backend likes.
    ///
    /// # Errors
    /// [`Error::Size`] if the output would be too large.
    pub fn new(model: Model, scale: usize, input: &VideoInfo) -> Result<Self, Error> {
        Ok(Self { ladder: vec![model], input: *input, output: input.scaled(scale)?, precision: Precision::Auto })
    }

    /// Whether its parts fit each other.
    ///
    /// # Errors
    /// [`Error::Plan`] if they do not.
    fn check(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::Plan { reason });
        let (from, to) = (&self.input, &self.output);
        if self.ladder.is_empty() {
            return refuse("there is no model: give one at least".into());
        }
        if (from.format, from.colour) != (to.format, to.colour) {
            return refuse("the output has another format or colour than the input: they must be the same".into());
        }
        for model in &self.ladder {
            let Model::Network(network) = model else { continue };
            let scale = network.scale;
            if (to.width, to.height) != (from.width * scale, from.height * scale) {
                let (name, sizes) = (&network.name, [from, to].map(|info| format!("{}x{}", info.width, info.height)));
                return refuse(format!(
                    "{name} enlarges {scale} times, which is not from {} to {}: ask for the scale of the model",
                    sizes[0], sizes[1]
                ));
            }
        }
        Ok(())
    }

    /// Its models with the numbers that each is computed in, the scale and the backend, in words.
    ///
    /// # Errors
    /// As [`Backend::precision`].
    pub fn describe(&self, backend: &dyn Backend) -> Result<String, Error> {
        let model = |model: &Model| match model {
            Model::Network(network) => {
                let precision = backend.precision(network, self.precision, &self.input)?;
                Ok(format!("{} ({})", network.name, precision.name()))
            }
            Model::Resample(_) => Ok(model.name().to_owned()),
        };
        let models = self.ladder.iter().map(model).collect::<Result<Vec<_>, Error>>()?;
        Ok(format!("{} x{} on {}", models.join(", "), self.output.width / self.input.width, backend.describe()))
    }
}

/// A place where networks run.
pub trait Backend: Send + Sync {
    /// A lane with everything that the plan needs, ready for frames. Lanes of one backend and of its siblings share weights.
    ///
    /// # Errors
    /// Too little memory, a precision or block that this backend lacks.
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error>;

    /// The bare network on one tensor, for checks against known results.
    ///
    /// # Errors
    /// As [`Backend::lane`].
    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error>;

    /// In which numbers a lane for such frames computes a network of which that precision is asked; never
    /// [`Precision::Auto`].
    ///
    /// # Errors
    /// A precision that this backend or the network lacks.
    fn precision(&self, network: &Network, asked: Precision, input: &VideoInfo) -> Result<Precision, Error>;

    /// Another one that shares the weights, with threads of its own where it has threads: lanes of different siblings
    /// do not wait for each other's.
    ///
    /// # Errors
    /// Threads cannot be started.
    fn sibling(self: Arc<Self>) -> Result<Arc<dyn Backend>, Error>;

    /// Which one it is, never [`BackendKind::Auto`].
    fn kind(&self) -> BackendKind;

    /// Name, device or instruction set, threads.
    fn describe(&self) -> String;
}

/// One frame at a time: started, then finished. Several lanes may run side by side; what a device does for a frame
/// goes on between the two calls, so that one thread can keep several lanes busy.
pub trait Lane: Send {
    /// Takes a frame of the plan's description, for that rung of the plan's ladder. It is not needed any more when this
    /// returns.
    ///
    /// # Errors
    /// What the device says. A frame that was started before and not finished is lost.
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error>;

    /// Waits for the frame that was started last and writes it.
    ///
    /// # Errors
    /// What the device or the network says; the output is then not to be used.
    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error>;

    /// Upscales one frame from start to end.
    ///
    /// # Errors
    /// As [`Lane::start`] and [`Lane::finish`].
    fn process(&mut self, rung: usize, input: &FrameRef<'_>, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.start(rung, input)?;
        self.finish(output)
    }
}

/// Opens a backend on the first device that can be used, or that of the environment; `threads` is 0 for all that the process
/// may use.
///
/// # Errors
/// [`Error::Backend`] if it cannot be had here. `Auto` takes the CPU where CUDA cannot be had, and logs why.
pub fn open(kind: BackendKind, threads: usize) -> Result<Arc<dyn Backend>, Error> {
    open_on(kind, threads, None)
}

/// [`open`] on the device of that number, where a device is used.
///
/// # Errors
/// As [`open`].
pub fn open_on(kind: BackendKind, threads: usize, device: Option<usize>) -> Result<Arc<dyn Backend>, Error> {
    match kind {
        BackendKind::Reference => Ok(Arc::new(reference::Reference)),
        BackendKind::Cpu => Ok(Arc::new(cpu::Cpu::new(threads)?)),
        BackendKind::Cuda => Ok(Arc::new(cuda::Cuda::new(device)?)),
        BackendKind::Auto => match cuda::Cuda::new(device) {
            Ok(cuda) => Ok(Arc::new(cuda)),
            Err(e) => {
                tracing::info!("{e}; taking the CPU");
                Ok(Arc::new(cpu::Cpu::new(threads)?))
            }
        },
    }
}

/// A backend and a lane of it.
pub type Opened = (Arc<dyn Backend>, Box<dyn Lane>);

/// A backend as of [`open_on`], and a lane of it for a plan.
///
/// # Errors
/// As [`open`] and [`Backend::lane`]; [`Error::Plan`] where the plan contradicts itself. Where memory is short for whole frames, they are computed in bands, with the same
/// result; `Auto` takes the CPU where CUDA cannot run the plan. Both are logged.
pub fn lane(kind: BackendKind, threads: usize, device: Option<usize>, plan: &Plan) -> Result<Opened, Error> {
    plan.check()?;
    let backend = open_on(kind, threads, device)?;
    match bands::lane(&*backend, plan) {
        Ok(lane) => Ok((backend, lane)),
        Err(e @ (Error::Backend { .. } | Error::Memory { .. } | Error::DeviceMemory { .. }))
            if kind == BackendKind::Auto =>
        {
            tracing::info!("{e}; taking the CPU");
            let backend = Arc::new(cpu::Cpu::new(threads)?);
            let lane = bands::lane(&*backend, plan)?;
            Ok((backend, lane))
        }
        Err(e) => Err(e),
    }
}
