//! Frames in bands, where there is no memory for whole ones.

use super::tiles::{GRID, TileLane, Tiling, reach};
use super::{Backend, Lane, Plan};
use crate::Error;
use crate::frame::region::{self, Region};
use crate::frame::{Frame, FrameMut, FrameRef, VideoInfo};

/// Bands at most: with more, they would hardly be higher than what is computed twice around them.
const MOST: usize = 64;

/// A lane for whole frames or, where that takes too much memory, for the same frames in bands.
///
/// # Errors
/// What the backend says of whole frames, if bands cannot be had either.
pub fn lane(backend: &dyn Backend, plan: &Plan) -> Result<Box<dyn Lane>, Error> {
    let error = match backend.lane(plan) {
        Err(error @ (Error::Memory { .. } | Error::DeviceMemory { .. })) => error,
        result => return result,
    };
    let mut count = 2;
    while count <= MOST {
        if let Some(Ok(bands)) = Bands::new(backend, plan, count) {
            tracing::warn!("{error}; computing each frame in {count} bands");
            return Ok(Box::new(bands));
        }
        count *= 2;
    }
    Err(error)
}

/// Computes frames band by band.
pub struct Bands {
    tiling: Tiling,
    lane: TileLane,
    input: Frame,
    rung: usize,
}

impl Bands {
    /// With that many bands. None where the models look too far, or the frame is too low.
    pub fn new(backend: &dyn Backend, plan: &Plan, count: usize) -> Option<Result<Self, Error>> {
        let halo = plan.ladder.iter().map(reach).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        let VideoInfo { width, height, .. } = plan.input;
        let band = height.div_ceil(count).next_multiple_of(GRID);
        let tiling = Tiling::new(&plan.input, (width.next_multiple_of(GRID), band), halo)?;
        let (_, crop) = tiling.crop_size();
        if crop == height {
            return None;
        }
        let lane = TileLane::new(backend, plan, tiling);
        Some(lane.map(|lane| Self { tiling, lane, input: Frame::new(&plan.input), rung: 0 }))
    }
}

impl Lane for Bands {
    fn start(&mut self, rung: usize, input: &FrameRef<'_>) -> Result<(), Error> {
        self.rung = rung;
        let VideoInfo { width, height, .. } = *input.info();
        region::copy(input, Region { x: 0, y: 0, width, height }, &mut self.input.view_mut(), (0, 0));
        Ok(())
    }

    fn finish(&mut self, output: &mut FrameMut<'_>) -> Result<(), Error> {
        for band in self.tiling.tiles() {
            self.lane.run(self.rung, band, &self.input.view(), output)?;
        }
        Ok(())
    }
}
