//! A frame that is inside, and the desk at which lanes take frames.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
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
    target: Mutex<Option<J::Target>>,
    done: Sender<Made<J::Target>>,
}

impl<J: Job> Flight<J> {
    pub fn new(
        job: Arc<J>,
        target: J::Target,
        ticket: Ticket,
        changes: Option<Changes>,
        done: Sender<Made<J::Target>>,
    ) -> Self {
        Self { job, ticket, changes, target: Mutex::new(Some(target)), done }
    }

    /// The target, for the lane that takes the frame.
    pub fn target(&self) -> Option<J::Target> {
        lock(&self.target).take()
    }

    /// Says what became of it. Nobody may be waiting any more: then the result is dropped.
    pub fn done(&self, made: Made<J::Target>) {
        let _ = self.done.try_send(made);
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
        change: Option<Reason>,
        /// When it was done.
        at: Duration,
    },
    /// No lane can be in time: whoever takes it out makes it.
    Apart { change: Option<Reason> },
    /// It was made bicubic by whoever took it out.
    Rescued { target: T, took: Duration, change: Option<Reason> },
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
