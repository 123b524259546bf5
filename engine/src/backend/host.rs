//! Lanes whose frames and tensors lie in ordinary memory: unpack, run, pack.

use std::sync::Arc;

use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::convert::{Aside, Domain, NotFinite, Packer, Rows, Unpacker};
use crate::frame::{FrameMut, FrameRef};
use crate::model::Model;
use crate::tensor::Tensor;

/// The networks of a ladder prepared for one size.
pub(super) trait Runner: Send {
    /// Fills `output`, `[channels, scale * height, scale * width]`, from `input`, `[channels, height, width]`, by the
    /// network of that rung.
    fn run(&mut self, rung: usize, input: &Tensor, output: &mut Tensor) -> Result<(), Error>;

    /// Whether the network of that rung gives its result, one plane, by rows.
    fn gives_rows(&self, _rung: usize) -> bool {
        false
    }

    /// [`Runner::run`] with the result by rows, where the network gives it so.
    fn run_rows(&mut self, _rung: usize, _input: &Tensor, _output: &dyn Rows) {}
}

/// One frame at a time through the rungs of a [`Runner`], or through resampling alone. Holds every buffer that a frame
/// needs.
pub(super) struct HostLane {
    rungs: Vec<Rung>,
    /// One for each domain that a rung has.
    borders: Vec<Border>,
    runner: Box<dyn Runner>,
    pool: Option<Arc<rayon::ThreadPool>>,
    /// The rung of the frame that was started.
    started: usize,
}

/// A model and the border that its frames cross.
struct Rung {
    model: Model,
    border: usize,
}

/// Between frames and tensors.
struct Border {
    domain: Domain,
    unpacker: Unpacker,
    packer: Packer,
    input: Tensor,
    output: Tensor,
    aside: Aside,
}

impl Border {
    fn new(plan: &Plan, domain: Domain) -> Self {
        let (from, to) = (&plan.input, &plan.output);
        Self {
            domain,
            unpacker: Unpacker::new(from, domain),
            packer: Packer::new(from, to, domain),
            input: Tensor::zeros(domain.channels(), from.height, from.width),
            output: Tensor::zeros(domain.channels(), to.height, to.width),
            aside: Aside::new(from, domain),
        }
    }

    /// Runs the network of a rung, if it has one, and fills the frame.
    fn finish(
        &mut self,
        number: usize,
        rung: &Rung,
        runner: &mut dyn Runner,
        frame: &mut FrameMut<'_>,
    ) -> Result<Result<(), NotFinite>, Error> {
        if let Model::Network(_) = rung.model {
            if runner.gives_rows(number)
                && let Some(rows) = self.packer.luma_rows(frame)
            {
                runner.run_rows(number, &self.input, &rows);
                let finite = rows.finish();
                self.packer.finish_rows(&self.aside, frame);
                return Ok(finite);
            }
            runner.run(number, &self.input, &mut self.output)?;
        }
        Ok(self.packer.run(&self.output, &self.aside, frame))
    }
}

impl HostLane {
    /// A lane for a plan; the runner has its networks. With a pool, everything runs on its threads, else on the caller's
    /// rayon pool.
    pub(super) fn new(plan: &Plan, runner: Box<dyn Runner>, pool: Option<Arc<rayon::ThreadPool>>) -> Self {
        let mut borders: Vec<Border> = Vec::new();
        let rungs = plan.ladder.iter().map(|model| {
            let domain = model.domain();
            let known = borders.iter().position(|border| border.domain == domain);
            let border = known.unwrap_or_else(|| {
                borders.push(Border::new(plan, domain));
                borders.len() - 1
            });
            Rung { model: model.clone(), border }
        });
        Self { rungs: rungs.collect(), borders, runner, pool, started: 0 }
    }

    fn on_pool<T: Send>(&mut self, work: impl FnOnce(&mut Self) -> T + Send) -> T {
        match self.pool.clone() {
            Some(pool) => pool.install(|| work(self)),
            None => work(self),
        }
    }
}

impl Lane for HostLane {
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error> {
        self.started = rung;
        self.on_pool(|lane| {
            let border = &mut lane.borders[lane.rungs[rung].border];
            border.unpacker.run(input, &mut border.input, &mut border.aside);
        });
        Ok(())
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.on_pool(|lane| {
            let rung = &lane.rungs[lane.started];
            let border = &mut lane.borders[rung.border];
            let finite = border.finish(lane.started, rung, &mut *lane.runner, output)?;
            finite.map_err(|NotFinite| Error::NotANumber { model: rung.model.name().to_owned() })
        })
    }
}
