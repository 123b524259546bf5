//! Networks on any processor: f32, several threads, instruction sets chosen at run time.
//!
//! A chain of convolutions, as the luma networks are, has an engine of its own (`chain`). Any other network is taken apart
//! into operations on rows (`lower`); those that follow each other run together over a band of rows, so that what one makes
//! is still in the cache when the next reads it (`plan`, `segment`). Every operation is written once and compiled for each
//! instruction set (`kernels`, `dispatch`). No pixel's value depends on the division into bands or on the number of threads.

mod chain;
mod dispatch;
mod engine;
mod kernels;
mod line;
mod lower;
mod math;
mod memory;
mod plan;
mod pool;
mod segment;
mod shared;
mod simd;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use self::chain::Chain;
use self::dispatch::Isa;
use self::engine::{Engine, Prepared, Room};
use self::pool::Workers;
use super::host::{HostLane, Runner};
use super::{Backend, BackendKind, Lane, Plan, Precision};
use crate::Error;
use crate::model::Model;
use crate::network::Network;
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
    ready: Lent,
}

/// A network ready for frames of one size.
#[derive(Clone)]
enum Ready {
    Chain(Arc<Chain>),
    Program(Arc<Prepared>),
}

/// The same for as long as a lane has it.
enum Lent {
    Chain(Weak<Chain>),
    Program(Weak<Prepared>),
}

impl Ready {
    fn lend(&self) -> Lent {
        match self {
            Self::Chain(chain) => Lent::Chain(Arc::downgrade(chain)),
            Self::Program(prepared) => Lent::Program(Arc::downgrade(prepared)),
        }
    }
}

impl Lent {
    fn get(&self) -> Option<Ready> {
        match self {
            Self::Chain(chain) => chain.upgrade().map(Ready::Chain),
            Self::Program(prepared) => prepared.upgrade().map(Ready::Program),
        }
    }
}

impl Cpu {
    /// With that many threads; 0 takes as many as the process may use. The environment variable `SRUP_CPU` names an
    /// instruction set (`portable`, `avx2`, `avx512`); without it the strongest is taken.
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
    fn ready(&self, network: &Arc<Network>, size: (usize, usize)) -> Ready {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|shared| shared.ready.get().is_some());
        let same = |shared: &&Shared| Arc::ptr_eq(&shared.network, network) && shared.size == size;
        if let Some(ready) = shared.iter().find(same).and_then(|shared| shared.ready.get()) {
            return ready;
        }
        let ready = self.prepare(network, size);
        shared.push(Shared { network: network.clone(), size, ready: ready.lend() });
        ready
    }

    fn prepare(&self, network: &Network, (height, width): (usize, usize)) -> Ready {
        let threads = self.pool.current_num_threads();
        let program = || Ready::Program(Arc::new(Prepared::new(self.isa, threads, network, height, width)));
        Chain::new(self.isa, network).map_or_else(program, |chain| Ready::Chain(Arc::new(chain)))
    }

    /// What computes the networks of a ladder; None stands for resampling.
    fn engines(&self, ready: Vec<Option<Ready>>) -> Result<Engines, Error> {
        let programs = ready.iter().flatten().filter_map(|ready| match ready {
            Ready::Program(prepared) => Some(&**prepared),
            Ready::Chain(_) => None,
        });
        let room = Room::new(self.pool.clone(), &programs.collect::<Vec<_>>())?;
        let rungs = ready.into_iter().map(|ready| {
            ready.map(|ready| match ready {
                Ready::Program(prepared) => Rung::Program(Engine::new(prepared)),
                Ready::Chain(chain) => Rung::Chain(Workers::new(self.pool.clone(), || chain.room()), chain),
            })
        });
        Ok(Engines { rungs: rungs.collect(), room })
    }
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
        check(plan.precision)?;
        let size = (plan.input.height, plan.input.width);
        let ready = plan.ladder.iter().map(|model| match model {
            Model::Network(network) => Some(self.ready(network, size)),
            Model::Resample(_) => None,
        });
        let engines = self.engines(ready.collect())?;
        Ok(Box::new(HostLane::new(plan, Box::new(engines), Some(self.pool.clone()))))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        check(precision)?;
        let ready = self.prepare(network, (input.height, input.width));
        let scale = network.scale;
        let mut output = Tensor::zeros(network.channels, scale * input.height, scale * input.width);
        self.engines(vec![Some(ready)])?.run(0, input, &mut output)?;
        Ok(output)
    }

    fn sibling(self: Arc<Self>) -> Result<Arc<dyn Backend>, Error> {
        let pool = pool(self.pool.current_num_threads())?;
        Ok(Arc::new(Self { isa: self.isa, pool, shared: self.shared.clone() }))
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Cpu
    }

    fn describe(&self) -> String {
        format!("cpu ({}, f32, threads: {})", self.isa.name(), self.pool.current_num_threads())
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
    Chain(Workers<chain::Worker>, Arc<Chain>),
    Program(Engine),
}

impl Runner for Engines {
    fn run(&mut self, rung: usize, input: &Tensor, output: &mut Tensor) -> Result<(), Error> {
        match &mut self.rungs[rung] {
            Some(Rung::Program(engine)) => engine.run(&mut self.room, input, output),
            Some(Rung::Chain(workers, chain)) => chain.run(workers, input, output),
            None => {}
        }
        Ok(())
    }
}

fn check(precision: Precision) -> Result<(), Error> {
    match precision {
        Precision::Auto | Precision::F32 => Ok(()),
        Precision::F16 => {
            let reason = "this version computes in f32 only; ask for precision auto or f32".into();
            Err(Error::Backend { backend: "cpu", reason })
        }
    }
}
