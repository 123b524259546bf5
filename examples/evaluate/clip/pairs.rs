//! Frames of a clip, each with what becomes of it before it is enlarged.

use std::collections::VecDeque;
use std::path::Path;

use ffmpeg_next::Rational;
use srup_engine::frame::{Frame, VideoInfo};
use srup_examples::Failure;

use super::frames::Frames;
use super::reduce::Reducer;
use crate::args::Arguments;
use crate::degrade::{ASSUMED_RATE, Degrader};

/// More frames than this say hardly more of a clip.
const MEASURED: u32 = 120;

/// A frame as it was, and as it is given to models.
pub struct Pair {
    /// The clip's own.
    pub truth: Frame,
    /// Reduced, and degraded if that was asked for.
    pub input: Frame,
}

/// The pairs of a clip, in order.
pub struct Pairs {
    frames: Frames,
    reducer: Reducer,
    degrader: Degrader,
    /// Those that wait for what comes of them out of the codec.
    truths: VecDeque<Frame>,
    inputs: VecDeque<Frame>,
    ended: bool,
}

impl Pairs {
    /// Opens the clip.
    ///
    /// # Errors
    /// One line: what is wrong with the file, or the codec's.
    pub fn open(arguments: &Arguments, path: &Path) -> Result<Self, Failure> {
        let scale = usize::from(arguments.scale);
        let frames = Frames::open(path, scale, arguments.frames.unwrap_or(MEASURED).into())?;
        let reducer = Reducer::new(frames.info(), scale);
        let degradation = arguments.degrade.unwrap_or_default();
        let degrader = Degrader::new(degradation, reducer.output(), frames.rate().unwrap_or(ASSUMED_RATE))?;
        let (truths, inputs) = Default::default();
        Ok(Self { frames, reducer, degrader, truths, inputs, ended: false })
    }

    /// What truths are.
    pub fn truth(&self) -> &VideoInfo {
        self.frames.info()
    }

    /// What inputs are.
    pub fn input(&self) -> &VideoInfo {
        self.reducer.output()
    }

    /// Frames a second; None if unknown.
    pub fn rate(&self) -> Option<f64> {
        self.frames.rate().map(Rational::into)
    }

    /// How many pairs to expect.
    pub fn expected(&self) -> u64 {
        self.frames.left()
    }

    /// The next pair; None after the last one.
    ///
    /// # Errors
    /// The decoder's or the codec's.
    pub fn next(&mut self) -> Result<Option<Pair>, Failure> {
        while self.inputs.is_empty() && !self.ended {
            match self.frames.next()? {
                Some(truth) => {
                    self.inputs.extend(self.degrader.push(self.reducer.run(&truth))?);
                    self.truths.push_back(truth);
                }
                None => {
                    self.inputs.extend(self.degrader.finish()?);
                    self.ended = true;
                }
            }
        }
        Ok(self.truths.pop_front().zip(self.inputs.pop_front()).map(|(truth, input)| Pair { truth, input }))
    }
}
