//! The threads that compute frames.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::flight::{Flight, Made, Shared};
use super::lanes::{Lanes, Recovery};
use super::reuse::{Errand, Work};
use super::{Job, Target, lock};
use crate::Error;
use crate::frame::region::{self, Region};
use crate::frame::{Frame, FrameMut, FrameRef};

/// A lane at work.
pub struct Worker<J: Job> {
    lanes: Lanes,
    /// How to go on without the device, once.
    recovery: Option<Recovery>,
    shared: Arc<Shared<J>>,
}

/// What a lane does next.
struct Order<J: Job> {
    flight: Arc<Flight<J>>,
    rung: usize,
    errand: Errand,
    reused: f64,
}

/// Starts a thread for each lane.
///
/// # Errors
/// [`Error::Backend`] if that cannot be done; those that were started end.
pub fn start<J: Job>(
    lanes: Vec<Lanes>,
    recovery: Option<&Recovery>,
    shared: &Arc<Shared<J>>,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut threads = Vec::with_capacity(lanes.len());
    for (i, lanes) in lanes.into_iter().enumerate() {
        let worker = Worker { lanes, recovery: recovery.cloned(), shared: shared.clone() };
        match thread::Builder::new().name(format!("srup-lane-{i}")).spawn(move || worker.run()) {
            Ok(thread) => threads.push(thread),
            Err(e) => {
                lock(&shared.desk).closed = true;
                shared.work.notify_all();
                let reason =
                    format!("a thread cannot be started ({e}); allow more threads, or have fewer frames in flight");
                return Err(Error::Backend { backend: "scheduler", reason });
            }
        }
    }
    Ok(threads)
}

impl<J: Job> Worker<J> {
    /// Until no more frames come. What panics beside the computation costs one frame, whose taker is told, and no lane.
    fn run(mut self) {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.serve())) {
            tracing::error!("{}", fault(&*payload));
        }
    }

    fn serve(&mut self) {
        while let Some(order) = self.take() {
            let Some((mut target, teller)) = order.flight.place() else { continue };
            let Order { flight, rung, errand, reused } = order;
            let model = &*self.shared.names[rung];
            let span = tracing::debug_span!("frame", number = flight.ticket.number, model, reused);
            let start = self.shared.now();
            let result = span.in_scope(|| self.compute(&flight.job, rung, errand, &mut target));
            let (now, service) = (self.shared.now(), self.shared.now() - start);
            let (sample, share) = if result.is_ok() { (service, 1.0 - reused) } else { (Duration::ZERO, 0.0) };
            lock(&self.shared.desk).pacer.served(now, &flight.ticket, rung, sample, share);
            // Nobody may be waiting any more: then the result is dropped.
            let _ = teller.try_send(match result {
                Ok(()) => Made::Lane { target, rung, service, reused, at: now },
                Err(error) => Made::Failed(error),
            });
        }
    }

    /// The oldest frame that waits and a rung for it; None when no more will come.
    fn take(&mut self) -> Option<Order<J>> {
        let shared = self.shared.clone();
        let mut desk = lock(&shared.desk);
        // A lane that has just become idle has the most time until a frame comes.
        let mut idle = false;
        loop {
            let Some(flight) = desk.waiting.pop_front() else {
                if desk.closed {
                    return None;
                }
                if let Some(rung) = (!idle).then(|| desk.pacer.probe(shared.now())).flatten() {
                    drop(desk);
                    let service = self.probe(rung);
                    desk = lock(&shared.desk);
                    desk.pacer.probed(shared.now(), service);
                    continue;
                }
                idle = true;
                desk = shared.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (now, waiting) = (shared.now(), desk.waiting.len());
            let held = desk.chain.held(flight.changes.as_ref());
            let choice = desk.pacer.choose(now, &flight.ticket, waiting, held);
            if let Some(reason) = choice.change {
                flight.chosen(reason, desk.pacer.rung());
            }
            let changes = flight.changes.as_ref();
            let Some(rung) = choice.rung else {
                desk.chain.skip(changes);
                if let Some((_, teller)) = flight.place() {
                    let _ = teller.try_send(Made::Apart);
                }
                continue;
            };
            flight.taken(rung);
            let errand = desk.chain.errand(rung, changes);
            let reused = desk.chain.reused(&errand.work);
            return Some(Order { flight, rung, errand, reused });
        }
    }

    /// What a rung takes now. For ever if it fails: the next frame will tell why.
    fn probe(&mut self, rung: usize) -> Duration {
        let model = &*self.shared.names[rung];
        let _span = tracing::debug_span!("probe", model).entered();
        let work = || self.shared.blank.compute(&mut *self.lanes.whole, rung);
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(fault(&*payload)));
        result.unwrap_or_else(|error| {
            tracing::debug!("{error}; no more probes");
            Duration::MAX
        })
    }

    /// Computes a frame. A device that fails is replaced by the CPU, if there is a way.
    fn compute(&mut self, job: &Arc<J>, rung: usize, errand: Errand, target: &mut J::Target) -> Result<(), Error> {
        let mut run = |lanes: &mut Lanes, errand| {
            let work = || {
                let (input, mut output) = (job.input()?, target.frame()?);
                carry_out(lanes, rung, errand, &input, &mut output)
            };
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(fault(&*payload)))
        };
        let error = match run(&mut self.lanes, errand) {
            Err(error @ (Error::Backend { .. } | Error::DeviceMemory { .. })) => error,
            result => return result,
        };
        let Some(recovery) = self.recovery.take() else { return Err(error) };
        tracing::warn!("{error}; going on with the CPU");
        self.lanes = recovery.lanes()?;
        run(&mut self.lanes, Errand { work: Work::Whole, from: None, to: None })
    }
}

/// Computes what is new, takes over what is not, and hands the result on.
fn carry_out(
    lanes: &mut Lanes,
    rung: usize,
    errand: Errand,
    input: &FrameRef<'_>,
    output: &mut FrameMut<'_>,
) -> Result<(), Error> {
    let Errand { work, from, to } = errand;
    let kept = match work {
        Work::Tiles(tiles) => {
            for &tile in &tiles {
                lanes.tile(rung, tile, input, output)?;
            }
            // The frame before may still be computed by another lane.
            match from.and_then(|from| from.recv().ok()) {
                Some(mut kept) => {
                    lanes.exchange(&tiles, &mut kept, output);
                    Some(kept)
                }
                // It failed.
                None => {
                    lanes.whole.process(rung, input, output)?;
                    None
                }
            }
        }
        Work::Whole => {
            lanes.whole.process(rung, input, output)?;
            let mut kept = to.as_ref().and(from).and_then(|from| from.try_recv().ok());
            if let Some(kept) = &mut kept {
                copy(output, kept);
            }
            kept
        }
    };
    if let Some(to) = to {
        let _ = to.send(kept.unwrap_or_else(|| {
            let mut kept = Frame::new(output.info());
            copy(output, &mut kept);
            kept
        }));
    }
    Ok(())
}

fn copy(from: &FrameMut<'_>, to: &mut Frame) {
    let info = from.info();
    let all = Region { x: 0, y: 0, width: info.width, height: info.height };
    region::copy(&from.view(), all, &mut to.view_mut(), (0, 0));
}

fn fault(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Error::Fault { text: text.unwrap_or_else(|| "panic".into()) }
}
