//! Networks on any processor: f32, several threads, instruction sets chosen at run time.
//!
//! A network is taken apart into operations on rows (`lower`); those that follow each other run together over a band of
//! rows, so that what one makes is still in the cache when the next reads it (`plan`, `segment`); every operation is
//! written once and compiled for each instruction set (`kernels`, `dispatch`). No pixel's value depends on the division
//! into bands or on the number of threads.

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

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use self::dispatch::Isa;
use self::engine::{Engine, Prepared, Room};
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
    prepared: Weak<Prepared>,
}

impl Cpu {
    /// With that many threads; 0 takes as many as the process may use. The environment variable `SRUP_CPU` names an
    /// instruction set (`portable`, `avx2`); without it the strongest is taken.
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

    /// A network taken apart for frames of that size: another lane's, if one has it.
    fn prepared(&self, network: &Arc<Network>, (height, width): (usize, usize)) -> Arc<Prepared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|shared| shared.prepared.strong_count() > 0);
        let same = |shared: &&Shared| Arc::ptr_eq(&shared.network, network) && shared.size == (height, width);
        if let Some(prepared) = shared.iter().find(same).and_then(|shared| shared.prepared.upgrade()) {
            return prepared;
        }
        let prepared = Arc::new(Prepared::new(self.isa, self.pool.current_num_threads(), network, height, width));
        let size = (height, width);
        shared.push(Shared { network: network.clone(), size, prepared: Arc::downgrade(&prepared) });
        prepared
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
        let prepared: Vec<_> = plan
            .ladder
            .iter()
            .map(|model| match model {
                Model::Network(network) => Some(self.prepared(network, size)),
                Model::Resample(_) => None,
            })
            .collect();
        let networks: Vec<&Prepared> = prepared.iter().flatten().map(|prepared| &**prepared).collect();
        let room = Room::new(self.pool.clone(), &networks)?;
        let engines = prepared.into_iter().map(|prepared| prepared.map(Engine::new)).collect();
        Ok(Box::new(HostLane::new(plan, Box::new(Engines { engines, room }), Some(self.pool.clone()))))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        check(precision)?;
        let threads = self.pool.current_num_threads();
        let prepared = Arc::new(Prepared::new(self.isa, threads, network, input.height, input.width));
        let mut room = Room::new(self.pool.clone(), &[&prepared])?;
        let mut output = Tensor::default();
        Engine::new(prepared).run(&mut room, input, &mut output);
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
    engines: Vec<Option<Engine>>,
    room: Room,
}

impl Runner for Engines {
    fn run(&mut self, rung: usize, input: &Tensor, output: &mut Tensor) -> Result<(), Error> {
        if let Some(engine) = &mut self.engines[rung] {
            engine.run(&mut self.room, input, output);
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
