//! Networks on any processor: f32 or integers, several threads, instruction sets chosen at run time.
//!
//! A chain of convolutions, as the luma networks are, has engines of its own (`chain`, `direct`). Any other network is taken apart
//! into operations on rows (`lower`); those that follow each other run together over a band of rows, so that what one makes
//! is still in the cache when the next reads it (`plan`, `segment`). Every operation is written once and compiled for each
//! instruction set (`kernels`, `dispatch`). No pixel's value depends on the division into bands or on the number of threads.

mod chain;
#[cfg(target_arch = "x86_64")]
mod direct;
mod dispatch;
mod engine;
mod fuse;
mod gather;
mod kernels;
mod line;
mod lower;
mod math;
mod memory;
mod plan;
mod pool;
mod profile;
mod segment;

mod simd;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod worker;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use self::chain::Chain;
#[cfg(target_arch = "x86_64")]
use self::direct::Direct;
use self::dispatch::Isa;
use self::engine::{Engine, Prepared, Room};
use self::lower::Products;
pub use self::profile::{Cost, Profile};
use super::host::{HostLane, Runner};
use super::{Backend, BackendKind, Lane, Plan, Precision};
use crate::Error;
use crate::frame::VideoInfo;
use crate::frame::convert::{PlaneRows, Rows};
use crate::model::Model;
use crate::network::{Block, Network};
use crate::tensor::Tensor;

/// The CPU backend.
pub struct Cpu {
    isa: Isa,
    pool: Arc<ThreadPool>,
    shared: Arc<Mutex<Vec<Shared>>>,
}

/// A network that lanes use.
struct Shared {
    network: Arc<Network>,
    size: (usize, usize),
    numbers: Numbers,
    ready: Lent,
}

/// In which numbers a network is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    Floats,
    /// Floats, and bf16 where that is faster.
    Bfloats,
    /// Luma networks in integers; of others 1x1 convolutions.
    Integers,
}

/// A network ready for frames of one size.
#[derive(Clone)]
enum Ready {
    Rows(Arc<dyn RowNetwork>),
    Program(Arc<Prepared>),
}

/// The same for as long as a lane has it.
enum Lent {
    Rows(Weak<dyn RowNetwork>),
    Program(Weak<Prepared>),
}

impl Ready {
    fn lend(&self) -> Lent {
        match self {
            Self::Rows(network) => Lent::Rows(Arc::downgrade(network)),
            Self::Program(prepared) => Lent::Program(Arc::downgrade(prepared)),
        }
    }
}

impl Lent {
    fn get(&self) -> Option<Ready> {
        match self {
            Self::Rows(network) => network.upgrade().map(Ready::Rows),
            Self::Program(prepared) => prepared.upgrade().map(Ready::Program),
        }
    }
}

/// A network of one plane that gives its result by rows, in an engine of its own.
trait RowNetwork: Send + Sync {
    /// Bytes of what each thread keeps while it computes frames.
    fn room(&self) -> usize;

    /// With what it keeps while it computes frames on the threads of a pool.
    fn start(self: Arc<Self>, pool: Arc<ThreadPool>) -> RowRunner;
}

/// Frames that memory is asked for.
struct Frames<'a> {
    /// Whose, for the error.
    model: &'a str,
    height: usize,
    width: usize,
    /// Bytes of what lies beside the networks' rooms.
    beside: usize,
}

impl<'a> Frames<'a> {
    /// One alone, beside which its result lies.
    fn of(network: &'a Network, input: &Tensor) -> Self {
        let Tensor { height, width, .. } = *input;
        let beside = size_of::<f32>() * network.channels * network.scale.pow(2) * height * width;
        Self { model: &network.name, height, width, beside }
    }
}

/// Computes a frame.
type RowRunner = Box<dyn FnMut(&Tensor, &dyn Rows) + Send>;

impl Cpu {
    /// With that many threads; 0 takes as many as the process may use. The environment variable `SRUP_CPU` names an
    /// instruction set (`portable`, `avx2`, `avxvnni`, `avx512`, `avx512vnni`, `avx512bf16`, `amx`); without it the strongest is taken.
    ///
    /// # Errors
    /// [`Error::Backend`] if `SRUP_CPU` names what is not there, or threads cannot be started.
    pub fn new(threads: usize) -> Result<Self, Error> {
        Self::with_isa(Isa::choose()?, threads)
    }

    fn with_isa(isa: Isa, threads: usize) -> Result<Self, Error> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Self { isa, pool: pool(threads)?, shared: Arc::default() })
    }

    /// A network ready for frames of that size: another lane's, if one has it.
    fn ready(&self, network: &Arc<Network>, size: (usize, usize), numbers: Numbers) -> Ready {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|shared| shared.ready.get().is_some());
        let same = |shared: &&Shared| {
            Arc::ptr_eq(&shared.network, network) && (shared.size, shared.numbers) == (size, numbers)
        };
        if let Some(ready) = shared.iter().find(same).and_then(|shared| shared.ready.get()) {
            return ready;
        }
        let ready = self.prepare(network, size, numbers);
        shared.push(Shared { network: network.clone(), size, numbers, ready: ready.lend() });
        ready
    }

    fn prepare(&self, network: &Network, size: (usize, usize), numbers: Numbers) -> Ready {
        let luma = match numbers {
            Numbers::Integers => integers(self.isa, network),
            Numbers::Bfloats => bfloats(self.isa, network),
            Numbers::Floats => as_rows(Chain::floats(self.isa, network)),
        };
        if let Some(luma) = luma {
            return Ready::Rows(luma);
        }
        let products = match numbers {
            Numbers::Floats => Products::Floats,
            Numbers::Bfloats => Products::Bfloats(self.isa),
            Numbers::Integers => Products::Bytes,
        };
        let threads = self.pool.current_num_threads();
        Ready::Program(Arc::new(Prepared::new((self.isa, products), threads, network, size)))
    }

    /// The numbers for a network. Integers and bf16 must be asked for unless they were measured to be as good, on pictures of
    /// 8 bits.
    fn numbers(&self, network: &Network, precision: Precision, eight_bits: bool) -> Result<Numbers, Error> {
        let refuse = |reason: String| Err(Error::Backend { backend: "cpu", reason });
        let (bfloats, integers) = (bfloats_help(self.isa, network), integers_help(self.isa, network));
        match precision {
            Precision::Auto if eight_bits => Ok(fastest(self.isa, network, (bfloats, integers))),
            Precision::Bf16 if bfloats => Ok(Numbers::Bfloats),
            Precision::Int8 if integers => Ok(Numbers::Integers),
            Precision::Int8 if network.luma().is_some() => refuse(format!(
                "the weights of {} do not say how large its layers' results become, which int8 needs; measure them with \
                 training/calibrate.py or ask for precision auto",
                network.name
            )),
            Precision::Auto | Precision::F32 | Precision::Bf16 | Precision::Int8 => Ok(Numbers::Floats),
            Precision::F16 => refuse("it does not compute in f16; ask for precision auto or f32".into()),
        }
    }

    /// Refuses networks that need more memory than there is.
    fn check(&self, frames: &Frames<'_>, ready: &[Option<Ready>]) -> Result<(), Error> {
        let threads = self.pool.current_num_threads();
        let rows = ready.iter().flatten().map(|ready| match ready {
            Ready::Rows(network) => threads * network.room(),
            Ready::Program(_) => 0,
        });
        let needed = rows.sum::<usize>() + Room::bytes(threads, &programs(ready)) + frames.beside;
        memory::check(frames.model, (frames.width, frames.height), needed)
    }

    /// What computes the networks of a ladder; None stands for resampling.
    fn engines(&self, frames: &Frames<'_>, ready: Vec<Option<Ready>>) -> Result<Engines, Error> {
        self.check(frames, &ready)?;
        let room = Room::new(self.pool.clone(), &programs(&ready));
        let rungs = ready.into_iter().map(|ready| {
            ready.map(|ready| match ready {
                Ready::Program(prepared) => Rung::Program(Engine::new(prepared)),
                Ready::Rows(network) => Rung::Rows(network.start(self.pool.clone())),
            })
        });
        Ok(Engines { rungs: rungs.collect(), room })
    }
}

/// The networks of a ladder that are taken apart.
fn programs(ready: &[Option<Ready>]) -> Vec<&Prepared> {
    let programs = ready.iter().flatten().filter_map(|ready| match ready {
        Ready::Program(prepared) => Some(&**prepared),
        Ready::Rows(_) => None,
    });
    programs.collect()
}

/// A luma network in integers; None where it has no such form.
fn integers(isa: Isa, network: &Network) -> Option<Arc<dyn RowNetwork>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(bytes) = Direct::bytes(isa, network).filter(Direct::pays) {
        return as_rows(Some(bytes));
    }
    as_rows(Chain::integers(isa, network))
}

/// A luma network in bf16; None where that has no form of its own.
fn bfloats(isa: Isa, network: &Network) -> Option<Arc<dyn RowNetwork>> {
    #[cfg(target_arch = "x86_64")]
    return as_rows(Direct::bfloats(isa, network));
    #[cfg(not(target_arch = "x86_64"))]
    None
}

fn as_rows(network: Option<impl RowNetwork + 'static>) -> Option<Arc<dyn RowNetwork>> {
    network.map(|network| Arc::new(network) as _)
}

fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("srup-cpu-{i}")).build();
    pool.map(Arc::new).map_err(|e| {
        let reason = format!("{threads} threads cannot be started ({e}); ask for fewer");
        Error::Backend { backend: "cpu", reason }
    })
}

impl Backend for Cpu {
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error> {
        let size = (plan.input.height, plan.input.width);
        let ready = plan.ladder.iter().map(|model| match model {
            Model::Network(network) => {
                let numbers = self.numbers(network, plan.precision, has_eight_bits(&plan.input))?;
                Ok(Some(self.ready(network, size, numbers)))
            }
            Model::Resample(_) => Ok(None),
        });
        let ready = ready.collect::<Result<Vec<_>, Error>>()?;
        let frames = Frames {
            model: plan.ladder.first().map_or("", Model::name),
            height: plan.input.height,
            width: plan.input.width,
            beside: HostLane::bytes(plan, |rung| matches!(ready[rung], Some(Ready::Rows(_)))),
        };
        let engines = self.engines(&frames, ready)?;
        Ok(Box::new(HostLane::new(plan, Box::new(engines), Some(self.pool.clone()))))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        let ready = self.prepare(network, (input.height, input.width), self.numbers(network, precision, false)?);
        let (frames, scale) = (Frames::of(network, input), network.scale);
        let mut engines = self.engines(&frames, vec![Some(ready)])?;
        let mut output = Tensor::zeros(network.channels, scale * input.height, scale * input.width);
        engines.run(0, input, &mut output)?;
        Ok(output)
    }

    fn precision(&self, network: &Network, asked: Precision, input: &VideoInfo) -> Result<Precision, Error> {
        Ok(match self.numbers(network, asked, has_eight_bits(input))? {
            Numbers::Floats => Precision::F32,
            Numbers::Bfloats => Precision::Bf16,
            Numbers::Integers => Precision::Int8,
        })
    }

    fn sibling(self: Arc<Self>) -> Result<Arc<dyn Backend>, Error> {
        let pool = pool(self.pool.current_num_threads())?;
        Ok(Arc::new(Self { isa: self.isa, pool, shared: self.shared.clone() }))
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Cpu
    }

    fn describe(&self) -> String {
        format!("cpu ({}, threads: {})", self.isa.name(), self.pool.current_num_threads())
    }
}

/// The networks of a ladder, one frame at a time.
struct Engines {
    /// None where the rung is resampling.
    rungs: Vec<Option<Rung>>,
    /// For all programs.
    room: Room,
}

/// A network with what it keeps while it computes a frame.
enum Rung {
    Rows(RowRunner),
    Program(Engine),
}

impl Runner for Engines {
    fn run(&mut self, rung: usize, input: &Tensor, output: &mut Tensor) -> Result<(), Error> {
        match &mut self.rungs[rung] {
            Some(Rung::Program(engine)) => engine.run(&mut self.room, input, output),
            Some(Rung::Rows(_)) => self.run_rows(rung, input, &PlaneRows::new(output)),
            None => {}
        }
        Ok(())
    }

    fn gives_rows(&self, rung: usize) -> bool {
        matches!(self.rungs[rung], Some(Rung::Rows(_)))
    }

    fn run_rows(&mut self, rung: usize, input: &Tensor, output: &dyn Rows) {
        match &mut self.rungs[rung] {
            Some(Rung::Rows(run)) => run(input, output),
            Some(Rung::Program(_)) | None => {}
        }
    }
}

fn has_eight_bits(input: &VideoInfo) -> bool {
    input.format.bits() == 8
}

/// The fastest numbers of those that help and were measured to be as good: integers, but where tiles of bf16 are multiplied;
/// there only luma networks have integers in tiles, too.
fn fastest(isa: Isa, network: &Network, (bfloats, integers): (bool, bool)) -> Numbers {
    let bfloats = (bfloats && network.bfloats_are_as_good()).then_some(Numbers::Bfloats);
    let integers = (integers && network.integers_are_as_good()).then_some(Numbers::Integers);
    let first = if isa.tiles() && network.luma().is_none() { bfloats.or(integers) } else { integers.or(bfloats) };
    first.unwrap_or(Numbers::Floats)
}

/// Whether bf16 makes a network faster, and does it no harm: Winograd's convolutions are as fast in f32 as any but those by
/// tiles.
fn bfloats_help(isa: Isa, network: &Network) -> bool {
    if network.luma().is_some() { isa.tiles() } else { isa.bf16() && !hashes(network) }
}

/// The same of integers: a luma network has them if its layers are known, others compute products in bytes.
fn integers_help(isa: Isa, network: &Network) -> bool {
    if network.luma().is_some() { !network.activations.is_empty() } else { isa.bytes() && !hashes(network) }
}

/// Whether a network looks for what is alike: hash codes tell apart what is very near, so it stays in f32.
fn hashes(network: &Network) -> bool {
    network.steps.iter().any(|step| matches!(step.block, Block::GlobalLearnableAttention(_)))
}
