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

/// One frame at a time through a [`Runner`], or through resampling alone. Holds every buffer that a frame needs.
pub(super) struct HostLane {
    model: String,
    unpacker: Unpacker,
    packer: Packer,
    input: Tensor,
    output: Tensor,
    aside: Aside,
    runner: Option<Box<dyn Runner>>,
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl HostLane {
    /// A lane for a plan. A network needs its runner; resampling has none. With a pool, everything runs on its threads,
    /// else on the caller's rayon pool.
    pub(super) fn new(plan: &Plan, runner: Option<Box<dyn Runner>>, pool: Option<Arc<rayon::ThreadPool>>) -> Self {
        let domain = plan.domain();
        let (from, to) = (&plan.input, &plan.output);
        Self {
            model: plan.model.name().to_owned(),
            unpacker: Unpacker::new(from, domain),
            packer: Packer::new(from, to, domain),
            input: Tensor::zeros(domain.channels(), from.height, from.width),
            output: Tensor::zeros(domain.channels(), to.height, to.width),
            aside: Aside::new(from, domain),
            runner,
            pool,
        }
    }

    fn on_pool<T: Send>(&mut self, work: impl FnOnce(&mut Self) -> T + Send) -> T {
        match self.pool.clone() {
            Some(pool) => pool.install(|| work(self)),
            None => work(self),
        }
    }
}

impl Lane for HostLane {
    fn start(&mut self, input: &FrameRef<'_>) -> Result<(), Error> {
        self.on_pool(|lane| lane.unpacker.run(input, &mut lane.input, &mut lane.aside));
        Ok(())
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.on_pool(|lane| {
            if let Some(runner) = &mut lane.runner {
                runner.run(&lane.input, &mut lane.output)?;
            }
            lane.packer
                .run(&lane.output, &lane.aside, output)
                .map_err(|NotFinite| Error::NotANumber { model: lane.model.clone() })
        })
    }
}
