//! A frame that is inside, and the desk at which lanes take frames.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::changes::Changes;
use super::pacing::{Pacer, Reason, Ticket};
use super::probe::Blank;
use super::reuse::Chain;
use super::stats::Counter;
use super::{Job, lock};
use crate::Error;

/// A frame that was accepted.
pub struct Flight<J: Job> {
    pub job: Arc<J>,
    pub ticket: Ticket,
    /// Against the frame before it; None where that is not known.
    pub changes: Option<Changes>,
    /// For the lane that takes the frame. It alone holds then what tells of the result: if it ends without a word, that is seen.
    place: Mutex<Option<Place<J>>>,
    change: OnceLock<(Reason, usize)>,
    rung: OnceLock<usize>,
}

/// Where a frame's result goes, and who is told.
pub type Place<J> = (<J as Job>::Target, Teller<J>);

/// Says what became of a frame.
pub type Teller<J> = Sender<Made<<J as Job>::Target>>;

impl<J: Job> Flight<J> {
    pub fn new(job: Arc<J>, ticket: Ticket, changes: Option<Changes>, place: Place<J>) -> Self {
        Self { job, ticket, changes, place: Mutex::new(Some(place)), change: OnceLock::new(), rung: OnceLock::new() }
    }

    /// For the lane that takes the frame.
    pub fn place(&self) -> Option<Place<J>> {
        lock(&self.place).take()
    }

    /// A lane computes it with that rung.
    pub fn taken(&self, rung: usize) {
        let _ = self.rung.set(rung);
    }

    /// What [`Flight::taken`] was told.
    pub fn rung(&self) -> Option<usize> {
        self.rung.get().copied()
    }

    /// Why another rung than for the frame before it was chosen for it, and which, whoever makes it in the end.
    pub fn chosen(&self, reason: Reason, rung: usize) {
        let _ = self.change.set((reason, rung));
    }

    /// What [`Flight::chosen`] was told.
    pub fn change(&self) -> Option<(Reason, usize)> {
        self.change.get().copied()
    }
}

/// What became of a frame.
pub enum Made<T> {
    /// A lane made it.
    Lane {
        target: T,
        rung: usize,
        service: Duration,
        /// Part of the picture, 0 to 1.
        reused: f64,
        /// When it was done.
        at: Duration,
    },
    /// No lane can be in time: whoever takes it out makes it.
    Apart,
    /// It was made bicubic by whoever took it out.
    Rescued { target: T, took: Duration },
    /// It cannot be had.
    Failed(Error),
}

/// A frame whose turn to leave comes when those before it have left.
pub struct Waiting<J: Job> {
    pub flight: Arc<Flight<J>>,
    pub result: Receiver<Made<J::Target>>,
}

/// What lanes and callers share.
pub struct Shared<J: Job> {
    pub start: Instant,
    pub desk: Mutex<Desk<J>>,
    /// Frames have come, or no more will come.
    pub work: Condvar,
    /// Of the rungs.
    pub names: Vec<Arc<str>>,
    /// For probes.
    pub blank: Blank,
}

impl<J: Job> Shared<J> {
    /// The time of the pacer.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Held for a moment at a time; lanes come here in the order of the frames.
pub struct Desk<J: Job> {
    pub waiting: VecDeque<Arc<Flight<J>>>,
    pub pacer: Pacer,
    pub chain: Chain,
    pub counter: Counter,
    /// No more frames will come.
    pub closed: bool,
}

impl<J: Job> Desk<J> {
    /// Takes a frame away from the lanes, if none has it yet. It must be the oldest that waits.
    pub fn withdraw(&mut self, flight: &Arc<Flight<J>>) {
        if self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, flight)) {
            self.waiting.pop_front();
            self.chain.skip(flight.changes.as_ref());
        }
    }
}
