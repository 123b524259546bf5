//! Frames in flight: accepted in order, computed side by side, given back in the same order, each by the best model that is
//! in time.
//!
//! [`Scheduler::submit`] accepts a frame, or waits while as many as the window holds are inside. Lanes, a thread each, take the
//! oldest waiting frame, ask the pacer for its rung and compute it, or what is new of it. [`Scheduler::next`] gives frames back
//! in order; one that would be late it makes bicubic by itself, in time, while the lane goes on with what nobody wants any
//! more. Nothing queues but in the window.

mod calibration;
mod changes;
mod flight;
mod front;
pub mod ladder;
mod lanes;
mod options;
pub mod pacing;
mod probe;
mod reuse;
mod scene;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::front::Scheduler;
pub use self::options::Options;
use self::pacing::Reason;
pub use self::stats::Stats;
use crate::Error;
use crate::frame::{Frame, FrameMut, FrameRef};

/// A frame on its way, with whatever belongs to it.
pub trait Job: Send + Sync + 'static {
    /// Where the result goes.
    type Target: Target;

    /// The frame. It is read until the frame after it has been submitted.
    ///
    /// # Errors
    /// Its memory is not what its description says.
    fn input(&self) -> Result<FrameRef<'_>, Error>;

    /// A second target, for a frame that is made apart from the lane which still writes to the first.
    ///
    /// # Errors
    /// There is no memory.
    fn spare(&self) -> Result<Self::Target, Error>;
}

/// Where a result goes.
pub trait Target: Send + 'static {
    /// The frame to fill.
    ///
    /// # Errors
    /// Its memory is not what its description says.
    fn frame(&mut self) -> Result<FrameMut<'_>, Error>;
}

impl Target for Frame {
    fn frame(&mut self) -> Result<FrameMut<'_>, Error> {
        Ok(self.view_mut())
    }
}

/// A frame that is done.
pub struct Done<J: Job> {
    /// What was submitted.
    pub job: Arc<J>,
    /// The picture and what is to be known of it, or why there is none.
    pub result: Result<(J::Target, Report), Error>,
}

/// What was done for one frame.
#[derive(Clone, Debug)]
pub struct Report {
    /// The model that made it.
    pub model: Arc<str>,
    /// Its rung of the ladder, 0 the best.
    pub rung: usize,
    /// Time that computing it took.
    pub service: Duration,
    /// Time from its coming to its leaving.
    pub inside: Duration,
    /// Part of it that was taken from the frame before it, 0 to 1.
    pub reused: f64,
    /// It left after it was due.
    pub late: bool,
    /// It was made bicubic to be in time.
    pub deadline_bicubic: bool,
    /// Set where another rung was chosen for it than for the frame before it.
    pub change: Option<Change>,
}

/// From a frame on another rung of the ladder is taken.
#[derive(Clone, Debug)]
pub struct Change {
    /// Why.
    pub reason: Reason,
    /// The model of that rung. Another may have made this frame: bicubic, where it would else have been late.
    pub model: Arc<str>,
}

/// A lock whose holder panicked guards counters and queues that are never half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
