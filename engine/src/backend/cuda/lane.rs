//! One frame in flight on the device.

use std::sync::Arc;

use srup_cuda::{ALIGNMENT, Buffer, Device, Issue, Launch, Slot};

use super::conversion::{Conversion, Ends};
use super::frame::Frame;
use super::network::{DeviceNetwork, Port};
use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::convert::NotFinite;
use crate::frame::{FrameMut, FrameRef};
use crate::model::Model;

/// Takes frames of one description up, each through the model of one rung, and down.
///
/// With one frame in flight at a time, rungs share what it needs: the blocks that go up and come down, and an arena for
/// images and values in between, as large as the dearest rung wants it.
pub struct CudaLane {
    frame: Frame,
    slot: Slot,
    rungs: Vec<Rung>,
    /// That the last frame was started with.
    started: usize,
}

struct Rung {
    model: String,
    /// Of the slot.
    program: usize,
    /// Launches keep the weights; this keeps them findable for the next lane.
    _network: Option<Arc<DeviceNetwork>>,
}

impl CudaLane {
    /// A lane for a plan; `networks` has one entry a rung, None for resampling.
    ///
    /// # Errors
    /// Too little memory, or what the device says.
    pub fn new(
        device: &Device,
        plan: &Plan,
        networks: Vec<Option<Arc<DeviceNetwork>>>,
        issue: Issue,
    ) -> Result<Self, Error> {
        let demands = demands(device, plan, &networks)?;
        let arena = Buffer::new(device, demands.iter().map(Demand::bytes).max().unwrap_or(0))?;
        let frame = Frame::new(device, &plan.input, &plan.output)?;
        let mut slot = Slot::new(device, frame.upload(), frame.download(), issue)?;
        let programs = demands.iter().map(|demand| Ok(slot.add(demand.launches(&frame, &arena)?)?));
        let programs = programs.collect::<Result<Vec<_>, Error>>()?;
        let rung = |((model, program), network): ((&Model, usize), Option<Arc<DeviceNetwork>>)| Rung {
            model: model.name().to_owned(),
            program,
            _network: network,
        };
        let rungs = plan.ladder.iter().zip(programs).zip(networks).map(rung).collect();
        Ok(Self { frame, slot, rungs, started: 0 })
    }
}

/// What a rung takes of the device beside the frame.
struct Demand<'a> {
    conversion: Conversion,
    network: Option<&'a DeviceNetwork>,
    /// Bytes of images, which lie first in the arena.
    images: usize,
    /// Bytes of the network's values.
    scratch: usize,
}

/// Those of all rungs. Rungs whose models see the same of a frame share the tables of its conversion.
fn demands<'a>(
    device: &Device,
    plan: &Plan,
    networks: &'a [Option<Arc<DeviceNetwork>>],
) -> Result<Vec<Demand<'a>>, Error> {
    let mut demands: Vec<Demand<'_>> = Vec::with_capacity(networks.len());
    for (rung, network) in networks.iter().map(Option::as_deref).enumerate() {
        let domain = plan.ladder[rung].domain();
        let conversion = match demands.iter().find(|demand| demand.conversion.domain() == domain) {
            Some(demand) => demand.conversion.clone(),
            None => Conversion::new(device, &plan.input, &plan.output, domain)?,
        };
        let images = conversion.room(wants_images(network)).next_multiple_of(ALIGNMENT);
        let scratch = network.map_or(0, |network| network.scratch(plan.input.height, plan.input.width));
        demands.push(Demand { conversion, network, images, scratch });
    }
    Ok(demands)
}

fn wants_images(network: Option<&DeviceNetwork>) -> bool {
    network.is_some_and(|network| !network.takes_planes())
}

impl Demand<'_> {
    fn bytes(&self) -> usize {
        self.images + self.scratch
    }

    /// A frame's way from the block that went up to the one that comes down.
    fn launches(&self, frame: &Frame, arena: &Buffer) -> Result<Vec<Launch>, Error> {
        let (images, scratch) = (arena.part(0, self.images), arena.part(self.images, self.scratch));
        let passage = self.conversion.passage(frame, wants_images(self.network), &images)?;
        let mut launches = passage.before;
        if let (Some(network), Some(ends)) = (self.network, passage.ends) {
            let (input, output) = match ends {
                Ends::Planes { input, output } => (Port::Plane(input), Port::Plane(output)),
                Ends::Images { input, output } => (Port::Image(input), Port::Image(output)),
            };
            launches.extend(network.launches(&input, &output, &scratch, &frame.flag())?);
        }
        launches.extend(passage.after);
        Ok(launches)
    }
}

impl Lane for CudaLane {
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error> {
        let program = self.rungs[rung].program;
        self.frame.gather(input, self.slot.input()?);
        self.started = rung;
        Ok(self.slot.start(program)?)
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        let block = self.slot.finish()?;
        let not_a_number = |NotFinite| Error::NotANumber { model: self.rungs[self.started].model.clone() };
        self.frame.scatter(block, output).map_err(not_a_number)
    }
}
