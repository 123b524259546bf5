//! One frame in flight on the device.

use std::sync::Arc;

use srup_cuda::{Buffer, Device, Issue, Slot};

use super::frame::{Conversion, Ends, Frame};
use super::network::{DeviceNetwork, Port};
use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::convert::NotFinite;
use crate::frame::{FrameMut, FrameRef};
use crate::model::Model;

/// Takes frames of one description up, through a model, and down.
pub struct CudaLane {
    model: String,
    frame: Frame,
    slot: Slot,
    /// The one program of the slot.
    program: usize,
}

impl CudaLane {
    /// A lane for a plan, with the plan's network where it has one.
    ///
    /// # Errors
    /// Too little memory, or what the device says.
    pub fn new(
        device: &Device,
        plan: &Plan,
        model: &Model,
        network: Option<&Arc<DeviceNetwork>>,
        issue: Issue,
    ) -> Result<Self, Error> {
        let domain = model.domain();
        let images = network.is_some_and(|network| !network.takes_planes());
        let frame = Conversion::new(device, &plan.input, &plan.output, domain)?.frame(images)?;
        let mut launches = frame.before().to_vec();
        if let (Some(network), Some(ends)) = (network, frame.ends()) {
            let (input, output) = match ends {
                Ends::Planes { input, output } => (Port::Plane(input.clone()), Port::Plane(output.clone())),
                Ends::Images { input, output } => (Port::Image(input.clone()), Port::Image(output.clone())),
            };
            let scratch = Buffer::new(device, network.scratch(plan.input.height, plan.input.width))?;
            launches.extend(network.launches(&input, &output, &scratch, &frame.flag())?);
        }
        launches.extend_from_slice(frame.after());
        let mut slot = Slot::new(device, frame.upload(), frame.download(), issue)?;
        let program = slot.add(launches)?;
        Ok(Self { model: model.name().to_owned(), frame, slot, program })
    }
}

impl CudaLane {
    fn start(&mut self, input: &FrameRef<'_>) -> Result<(), Error> {
        self.frame.gather(input, self.slot.input()?);
        Ok(self.slot.start(self.program)?)
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        let block = self.slot.finish()?;
        self.frame.scatter(block, output).map_err(|NotFinite| Error::NotANumber { model: self.model.clone() })
    }
}

/// One for each rung.
pub struct Rungs {
    /// In the order of the ladder.
    pub lanes: Vec<CudaLane>,
    /// The one that has a frame.
    pub started: usize,
}

impl Lane for Rungs {
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error> {
        self.started = rung;
        self.lanes[rung].start(input)
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        self.lanes[self.started].finish(output)
    }
}
