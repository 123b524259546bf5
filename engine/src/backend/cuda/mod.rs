//! Networks on an NVIDIA GPU, in f16 through kernels of our own.
//!
//! A network is taken apart into operations that the device has kernels for (`lower`), their values get places in one
//! block of memory (`arena`), and with the frame's own steps around them (`conversion`) they become the launches of a
//! lane's rung.

mod arena;
mod blocks;
mod conversion;
mod frame;
mod lane;
mod lower;
mod modules;
mod network;
mod tensors;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use srup_cuda::kernels::luma::Sums;
use srup_cuda::{Buffer, Device, Issue, run, time};

use self::lane::CudaLane;
use self::network::DeviceNetwork;
use super::{Backend, BackendKind, Lane, Plan, Precision};
use crate::Error;
use crate::frame::VideoInfo;
use crate::model::Model;
use crate::network::Network;
use crate::tensor::Tensor;

/// The CUDA backend on one device.
pub struct Cuda {
    device: Device,
    issue: Issue,
    /// In what luma networks sum where `auto` is asked for, if it is not the device that decides.
    sums: Option<Sums>,
    /// Networks that lanes use, so that they share the weights.
    networks: Mutex<Vec<Shared>>,
}

struct Shared {
    network: Arc<Network>,
    sums: Sums,
    prepared: Weak<DeviceNetwork>,
}

impl Cuda {
    /// On that device; without a number on the one that the environment variable `SRUP_CUDA_DEVICE` gives, else on the
    /// first that can be used. With `SRUP_CUDA_GRAPHS=0`
    /// kernels are started one by one, which profilers show better, in place of one graph a frame. `SRUP_CUDA_SUMS=f16|f32`
    /// has luma networks of precision `auto` sum in these, whatever the device is faster with: so each kernel can be checked
    /// on any device.
    ///
    /// # Errors
    /// [`Error::Backend`]: no driver, no such device, or one that is too old.
    pub fn new(device: Option<usize>) -> Result<Self, Error> {
        let named = |text: String| {
            text.parse().map_err(|_| {
                refuse(format!("SRUP_CUDA_DEVICE is '{text}': give the number of a device, 0 for the first"))
            })
        };
        let device = match device {
            Some(index) => Some(index),
            None => std::env::var("SRUP_CUDA_DEVICE").ok().map(named).transpose()?,
        };
        let sums = match std::env::var("SRUP_CUDA_SUMS").as_deref() {
            Ok("f16") => Some(Sums::F16),
            Ok("f32") => Some(Sums::F32),
            Ok(text) => return Err(refuse(format!("SRUP_CUDA_SUMS is '{text}': give f16 or f32, or unset it"))),
            Err(_) => None,
        };
        let plain = std::env::var("SRUP_CUDA_GRAPHS").is_ok_and(|v| v == "0");
        let issue = if plain { Issue::Calls } else { Issue::Graph };
        let device = device.map_or_else(first, Device::open)?;
        Ok(Self { device, issue, sums, networks: Mutex::default() })
    }
}

fn refuse(reason: String) -> Error {
    Error::Backend { backend: "cuda", reason }
}

/// The first device that can be used. Of those that cannot, the first says why.
fn first() -> Result<Device, srup_cuda::Error> {
    use srup_cuda::Error::{Driver, NoDevice, NoDriver, OldDriver};
    let mut refused = None;
    for index in 0.. {
        let error = match Device::open(index) {
            Ok(device) => return Ok(device),
            Err(error) => error,
        };
        if !matches!(error, NoDriver | NoDevice { .. } | Driver(_) | OldDriver { .. }) {
            tracing::info!("CUDA device {index}: {error}");
            refused.get_or_insert(error);
            continue;
        }
        let error = refused.unwrap_or(error);
        if !matches!(error, NoDriver | NoDevice { .. }) {
            tracing::warn!("no CUDA device can be used: {error}");
        }
        return Err(error);
    }
    unreachable!("devices have an end")
}

impl Cuda {
    /// In what luma networks sum: GeForce cards, known by their architecture, do so in f16 at twice the rate of f32.
    fn sums(&self, precision: Precision) -> Result<Sums, Error> {
        /// GeForce: Turing, Ampere, Ada, Blackwell.
        const FAST_HALF: [(i32, i32); 4] = [(7, 5), (8, 6), (8, 9), (12, 0)];
        match precision {
            Precision::F16 => Ok(Sums::F32),
            Precision::Auto => Ok(self.sums.unwrap_or_else(|| {
                let fast = FAST_HALF.contains(&self.device.description().compute_capability);
                if fast { Sums::F16 } else { Sums::F32 }
            })),
            Precision::F32 | Precision::Bf16 | Precision::Int8 => {
                Err(refuse("it computes in f16 only; ask for precision auto or f16, or use backend=cpu".into()))
            }
        }
    }
}

impl Cuda {
    /// A network on the device: that of another lane, if one has it.
    fn prepared(&self, network: &Arc<Network>, sums: Sums) -> Result<Arc<DeviceNetwork>, Error> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.retain(|shared| shared.prepared.strong_count() > 0);
        let same = |shared: &&Shared| Arc::ptr_eq(&shared.network, network) && shared.sums == sums;
        if let Some(prepared) = networks.iter().find(same).and_then(|shared| shared.prepared.upgrade()) {
            return Ok(prepared);
        }
        let prepared = Arc::new(DeviceNetwork::new(&self.device, network, sums)?);
        networks.push(Shared { network: network.clone(), sums, prepared: Arc::downgrade(&prepared) });
        Ok(prepared)
    }

    /// Milliseconds of the device's time that a network's kernels take on an input of that width and height: one figure
    /// a repetition.
    ///
    /// # Errors
    /// As [`Backend::run`].
    pub fn time(
        &self,
        network: &Network,
        (width, height): (usize, usize),
        repetitions: usize,
    ) -> Result<Vec<f32>, Error> {
        let prepared = DeviceNetwork::new(&self.device, network, self.sums(Precision::Auto)?)?;
        let (from, to) = tensors::ports(&self.device, network, &Tensor::zeros(network.channels, height, width))?;
        let scratch = Buffer::new(&self.device, prepared.scratch(height, width))?;
        let flag = Buffer::zeroed(&self.device, 4)?;
        Ok(time(&self.device, &prepared.launches(&from, &to, &scratch, &flag)?, repetitions)?)
    }
}

impl Backend for Cuda {
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error> {
        let sums = self.sums(plan.precision)?;
        let network = |model: &Model| match model {
            Model::Network(network) => Ok(Some(self.prepared(network, sums)?)),
            Model::Resample(_) => Ok(None),
        };
        let networks = plan.ladder.iter().map(network).collect::<Result<Vec<_>, Error>>()?;
        Ok(Box::new(CudaLane::new(&self.device, plan, networks, self.issue)?))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        let prepared = DeviceNetwork::new(&self.device, network, self.sums(precision)?)?;
        let (from, to) = tensors::ports(&self.device, network, input)?;
        let scratch = Buffer::new(&self.device, prepared.scratch(input.height, input.width))?;
        let flag = Buffer::zeroed(&self.device, 4)?;
        run(&self.device, &prepared.launches(&from, &to, &scratch, &flag)?)?;
        tensors::read(&to, network.shapes(input.height, input.width)[network.output])
    }

    fn precision(&self, _: &Network, asked: Precision, _: &VideoInfo) -> Result<Precision, Error> {
        self.sums(asked).map(|_| Precision::F16)
    }

    fn sibling(self: Arc<Self>) -> Result<Arc<dyn Backend>, Error> {
        Ok(self)
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Cuda
    }

    fn describe(&self) -> String {
        let d = self.device.description();
        format!("cuda ({}, compute capability {}.{})", d.name, d.compute_capability.0, d.compute_capability.1)
    }
}

impl From<srup_cuda::Error> for Error {
    fn from(error: srup_cuda::Error) -> Self {
        match error {
            srup_cuda::Error::Memory { kind, needed, available } => Self::DeviceMemory {
                backend: "cuda",
                kind,
                needed_kib: needed.div_ceil(1024),
                available_kib: available / 1024,
            },
            error => Self::Backend { backend: "cuda", reason: error.to_string() },
        }
    }
}
