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

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use self::dispatch::Isa;
use self::engine::Engine;
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
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("srup-cpu-{i}")).build();
        let pool = pool.map_err(|e| {
            let reason = format!("{threads} threads cannot be started ({e}); ask for fewer");
            Error::Backend { backend: "cpu", reason }
        })?;
        Ok(Self { isa, pool: Arc::new(pool) })
    }
}

impl Backend for Cpu {
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error> {
        check(plan.precision)?;
        let runner = |model: &Model| match model {
            Model::Resample(_) => Ok(None),
            Model::Network(network) => {
                let (height, width) = (plan.input.height, plan.input.width);
                let engine = Engine::new(self.isa, self.pool.clone(), network, height, width)?;
                Ok(Some(Box::new(engine) as Box<dyn Runner>))
            }
        };
        let runners = plan.ladder.iter().map(runner).collect::<Result<Vec<_>, Error>>()?;
        Ok(Box::new(HostLane::new(plan, runners, Some(self.pool.clone()))))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        check(precision)?;
        let mut output = Tensor::default();
        Engine::new(self.isa, self.pool.clone(), network, input.height, input.width)?.run(input, &mut output);
        Ok(output)
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Cpu
    }

    fn describe(&self) -> String {
        format!("cpu ({}, f32, threads: {})", self.isa.name(), self.pool.current_num_threads())
    }
}

impl Runner for Engine {
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<(), Error> {
        Engine::run(self, input, output);
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
