//! Lanes whose frames and tensors lie in ordinary memory: unpack, run, pack.

use std::sync::Arc;

use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::convert::{Aside, Domain, NotFinite, Packer, Rows, Unpacker};
use crate::frame::{Family, FrameMut, FrameRef, VideoInfo, room};
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

/// What frames are turned into, and back.
#[derive(Clone, Copy, PartialEq)]
struct Way {
    domain: Domain,
    /// Whether a model's result is kept until it is whole, or packed by rows.
    whole: bool,
}

/// The ways of a plan, one for each domain, and which of them each rung has.
fn ways(plan: &Plan, gives_rows: impl Fn(usize) -> bool) -> (Vec<Way>, Vec<usize>) {
    let mut ways: Vec<Way> = Vec::new();
    let rungs = plan.ladder.iter().enumerate().map(|(rung, model)| {
        let domain = model.domain();
        let whole = !gives_rows(rung) || domain != Domain::Luma || plan.input.format.family() == Family::Rgb;
        let known = ways.iter().position(|way| way.domain == domain);
        let way = known.unwrap_or(ways.len());
        match known {
            Some(way) => ways[way].whole |= whole,
            None => ways.push(Way { domain, whole }),
        }
        way
    });
    let rungs = rungs.collect();
    (ways, rungs)
}

/// Between frames and tensors.
struct Border {
    unpacker: Unpacker,
    packer: Packer,
    input: Tensor,
    output: Tensor,
    aside: Aside,
}

impl Border {
    fn new(plan: &Plan, Way { domain, whole }: Way) -> Self {
        let (from, to) = (&plan.input, &plan.output);
        let planes = |VideoInfo { height, width, .. }: &VideoInfo| {
            let channels = domain.channels();
            Tensor::from_vec(channels, *height, *width, room::zeros(channels * height * width))
        };
        Self {
            unpacker: Unpacker::new(from, domain),
            packer: Packer::new(from, to, domain),
            input: planes(from),
            output: if whole { planes(to) } else { Tensor::default() },
            aside: Aside::new(from, domain),
        }
    }

    /// Bytes of one.
    fn bytes(plan: &Plan, Way { domain, whole }: Way) -> usize {
        let (from, to) = (&plan.input, &plan.output);
        let pixels = from.width * from.height + if whole { to.width * to.height } else { 0 };
        let beside = Unpacker::bytes(from, domain) + Packer::bytes(from, to, domain) + Aside::bytes(from, domain);
        room::bytes(domain.channels() * pixels) + beside
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
        let (ways, borders) = ways(plan, |rung| runner.gives_rows(rung));
        let rungs = plan.ladder.iter().zip(borders).map(|(model, border)| Rung { model: model.clone(), border });
        let (rungs, borders) = (rungs.collect(), ways.into_iter().map(|way| Border::new(plan, way)).collect());
        Self { rungs, borders, runner, pool, started: 0 }
    }

    /// Bytes of what one holds beside its runner, where the networks of some rungs give rows.
    pub(super) fn bytes(plan: &Plan, gives_rows: impl Fn(usize) -> bool) -> usize {
        ways(plan, gives_rows).0.into_iter().map(|way| Border::bytes(plan, way)).sum()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Precision;
    use crate::frame::{Colour, Kernel, PixelFormat};
    use crate::network::{Luma, Network, Preset};

    struct Nothing;

    impl Runner for Nothing {
        fn run(&mut self, _: usize, _: &Tensor, _: &mut Tensor) -> Result<(), Error> {
            Ok(())
        }

        fn gives_rows(&self, rung: usize) -> bool {
            rung == 0
        }
    }

    #[test]
    fn a_lane_takes_as_many_bytes_as_it_says() {
        let luma = Network::random(Preset::Luma(Luma { width: 1, depth: 1, head_skip: false }), 2, 1);
        let (_, sdan) = Preset::named(2).into_iter().find(|(name, _)| *name == "sdan-small").expect("it has that name");
        let [luma, sdan] = [luma, Network::random(sdan, 2, 1)].map(|network| Model::Network(network.into()));
        let ladders = [vec![luma.clone()], vec![luma.clone(), sdan, luma, Model::Resample(Kernel::Bicubic)]];
        for (format, ladder) in PixelFormat::ALL.into_iter().flat_map(|f| ladders.clone().map(|ladder| (f, ladder))) {
            let input = VideoInfo::new(format, 35, 300, Colour::default()).unwrap();
            let output = input.scaled(2).unwrap();
            let plan = Plan { ladder, input, output, precision: Precision::Auto };
            let before = room::tests::TAKEN.get();
            let lane = HostLane::new(&plan, Box::new(Nothing), None);
            let taken = room::tests::TAKEN.get() - before;
            assert_eq!(taken, HostLane::bytes(&plan, |rung| rung == 0), "{format} {}", lane.rungs.len());
            assert!(taken > room::bytes(35 * 300), "{format}");
        }
    }
}
