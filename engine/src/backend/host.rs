//! Lanes whose frames and tensors lie in ordinary memory: unpack, run, pack.

use std::sync::Arc;

use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::convert::{Aside, NotFinite, Packer, Unpacker};
use crate::frame::{FrameMut, FrameRef};
use crate::tensor::Tensor;

/// A network prepared for one size.
pub(super) trait Runner: Send {
    /// Fills `output`, `[channels, scale * height, scale * width]`, from `input`, `[channels, height, width]`.
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<(), Error>;
}

/// One frame at a time, each through the model of one rung.
pub(super) struct HostLane {
    rungs: Vec<Rung>,
    /// That the last frame was started with.
    started: usize,
    pool: Option<Arc<rayon::ThreadPool>>,
}

/// A frame's way through a [`Runner`], or through resampling alone. Holds every buffer that a frame needs.
struct Rung {
    model: String,
    unpacker: Unpacker,
    packer: Packer,
    input: Tensor,
    output: Tensor,
    aside: Aside,
    runner: Option<Box<dyn Runner>>,
}

impl HostLane {
    /// A lane for a plan. A network needs its runner; resampling has none. With a pool, everything runs on its threads,
    /// else on the caller's rayon pool.
    pub(super) fn new(
        plan: &Plan,
        runners: impl IntoIterator<Item = Option<Box<dyn Runner>>>,
        pool: Option<Arc<rayon::ThreadPool>>,
    ) -> Self {
        let rungs = runners.into_iter().enumerate().map(|(rung, runner)| Rung::new(plan, rung, runner)).collect();
        Self { rungs, started: 0, pool }
    }

    fn on_pool<T: Send>(&mut self, work: impl FnOnce(&mut Rung) -> T + Send) -> T {
        let rung = &mut self.rungs[self.started];
        match &self.pool {
            Some(pool) => pool.install(|| work(rung)),
            None => work(rung),
        }
    }
}

impl Rung {
    fn new(plan: &Plan, rung: usize, runner: Option<Box<dyn Runner>>) -> Self {
        let domain = plan.domain(rung);
        let (from, to) = (&plan.input, &plan.output);
        Self {
            model: plan.ladder[rung].name().to_owned(),
            unpacker: Unpacker::new(from, domain),
            packer: Packer::new(from, to, domain),
            input: Tensor::zeros(domain.channels(), from.height, from.width),
            output: Tensor::zeros(domain.channels(), to.height, to.width),
            aside: Aside::new(from, domain),
            runner,
        }
    }
}

impl Lane for HostLane {
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error> {
        self.started = rung;
        self.on_pool(|rung| rung.unpacker.run(input, &mut rung.input, &mut rung.aside));
        Ok(())
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.on_pool(|rung| {
            if let Some(runner) = &mut rung.runner {
                runner.run(&rung.input, &mut rung.output)?;
            }
            rung.packer
                .run(&rung.output, &rung.aside, output)
                .map_err(|NotFinite| Error::NotANumber { model: rung.model.clone() })
        })
    }
}
