//! Containers that hold one frame rate, AVI for example: every frame goes into a slot of that rate.

use std::ops::Range;

use ffmpeg_next::format::{flag, format};
use ffmpeg_next::{Rational, Rescale, Stream};
use srup_examples::Failure;
use srup_examples::video::input::plausible;

use crate::streams;

/// The one frame rate for a container that needs one; None for one that keeps every frame's time.
pub fn rate(container: &format::Output, stream: &Stream<'_>) -> Result<Option<Rational>, Failure> {
    // MP4 and ASF keep times, too, though FFmpeg 5 does not say so of them.
    let keeps_times = container.flags().contains(flag::Flags::VARIABLE_FPS) || container.name() == "asf";
    if keeps_times || streams::is_mov(container) {
        return Ok(None);
    }
    constant(plausible(stream.avg_frame_rate()), plausible(stream.rate())).map(Some).ok_or_else(|| {
        let name = container.name();
        Failure::new(format!("{name} holds one frame rate, and this video's varies; end the name in .mkv or .mp4"))
    })
}

/// The rate of a video whose mean is `mean` and whose least step between frames is that of `step`; None if it varies.
fn constant(mean: Option<Rational>, step: Option<Rational>) -> Option<Rational> {
    let (mean, step) = (mean?, step?);
    let ratio = f64::from(step) / f64::from(mean);
    let near = |whole: f64| (ratio / whole - 1.0).abs() < 0.01;
    // Of interlaced video FFmpeg may see the fields' rate.
    if near(1.0) { Some(step) } else { near(2.0).then_some(mean) }
}

/// Puts frames into slots.
pub struct Grid {
    /// Unit of the frames' times, in seconds.
    from: Rational,
    /// Length of a slot, in seconds.
    slot: Rational,
    last: Option<i64>,
}

impl Grid {
    /// For frames whose times are in units of `from`.
    pub fn new(from: Rational, rate: Rational) -> Self {
        Self { from, slot: rate.invert(), last: None }
    }

    /// Slots a second.
    pub fn rate(&self) -> Rational {
        self.slot.invert()
    }

    /// The slot of a frame, and before it those that stay empty if the frame before is not repeated in them.
    pub fn place(&mut self, time: i64) -> (Range<i64>, i64) {
        let nearest = time.rescale(self.from, self.slot);
        let free = self.last.map_or(nearest, |last| last + 1);
        let slot = nearest.max(free);
        self.last = Some(slot);
        (free..slot, slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_has_a_slot_and_gaps_are_named() {
        let mut grid = Grid::new(Rational(1, 1000), Rational(30000, 1001));
        let places: Vec<_> = [33, 67, 100, 110, 167, 300].map(|time| grid.place(time)).into();
        assert_eq!(places, [(1..1, 1), (2..2, 2), (3..3, 3), (4..4, 4), (5..5, 5), (6..9, 9)]);
    }

    #[test]
    fn a_rate_is_constant_where_mean_and_least_step_agree() {
        let rate = |numerator, denominator| Some(Rational(numerator, denominator));
        assert_eq!(constant(rate(2997, 100), rate(30000, 1001)), rate(30000, 1001));
        assert_eq!(constant(rate(25, 1), rate(50, 1)), rate(25, 1));
        assert_eq!(constant(rate(27, 1), rate(30, 1)), None);
        assert_eq!(constant(rate(27, 1), None), None);
    }
}
