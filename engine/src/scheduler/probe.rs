//! A picture that nobody wants, computed to see what it takes.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::Error;
use crate::backend::{Lane, Plan};
use crate::frame::{Frame, VideoInfo};

/// Frames of the size that lanes are made for. They take memory only once they have been needed.
pub struct Blank {
    input: VideoInfo,
    output: VideoInfo,
    frames: Mutex<Option<(Frame, Frame)>>,
}

impl Blank {
    /// For lanes of that plan.
    pub fn new(plan: &Plan) -> Self {
        Self { input: plan.input, output: plan.output, frames: Mutex::default() }
    }

    /// Computes a frame with that rung; how long it took.
    ///
    /// # Errors
    /// Those of the lane.
    pub fn compute(&self, lane: &mut dyn Lane, rung: usize) -> Result<Duration, Error> {
        let mut frames = lock(&self.frames);
        let (input, output) = frames.get_or_insert_with(|| (Frame::new(&self.input), Frame::new(&self.output)));
        let start = Instant::now();
        lane.process(rung, &input.view(), &mut output.view_mut())?;
        Ok(start.elapsed())
    }
}
