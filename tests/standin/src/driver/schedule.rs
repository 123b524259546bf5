//! When operations run: at once, when the host waits, or drawn by a seed.
//!
//! Waits refer to what was recorded before them, so what is pending always is a graph without cycles, and every
//! wait of the host comes to its end.

use crate::fault::Fault;
use crate::launch;
use crate::memory::{Access, CommandId};

use super::clock::{Clock, Mark};
use super::code::{CUresult, Outcome};
use super::config::StreamOrder;
use super::entry::as_callback;
use super::operation::{Machine, Pending, Work};
use super::report::Operation;
use super::state::Driver;

/// The code that real hardware would give; for what it would not notice, the one of an unspecified failure.
fn code_of(fault: &Fault) -> CUresult {
    match fault.cause() {
        Fault::NoAllocation { .. } | Fault::Freed { .. } | Fault::OutOfBounds { .. } | Fault::Constant { .. } => {
            CUresult::ILLEGAL_ADDRESS
        }
        Fault::Misaligned { .. } => CUresult::MISALIGNED_ADDRESS,
        Fault::Endless { .. } => CUresult::LAUNCH_TIMEOUT,
        _ => CUresult::LAUNCH_FAILED,
    }
}

impl Driver {
    /// Puts an operation behind others, on a chain; it runs at once if the order is eager.
    ///
    /// Its fault, if it has one, is the answer of later calls, as on a device.
    pub(crate) fn enqueue(
        &mut self,
        (device, stream, chain): (usize, u64, u32),
        work: Work,
        after: &[Mark],
        graph_launch: Option<u32>,
        injected: Option<CUresult>,
    ) -> Mark {
        let mark = self.ordering.issue(chain, after.iter());
        let mut dependencies: Vec<_> = after.iter().map(|mark| mark.id).collect();
        dependencies.sort_unstable();
        dependencies.dedup();
        self.trace(&mark, device, stream, &work, &dependencies, graph_launch);
        self.use_host_memory(device, &mark, &work);
        if self.health(device).is_err() {
            return mark;
        }
        let mut blockers = 0;
        for dependency in &dependencies {
            if let Some(pending) = self.pending.get_mut(dependency) {
                pending.dependents.push(mark.id);
                blockers += 1;
            }
        }
        if blockers == 0 {
            self.ready.insert(mark.id);
        }
        let (clock, issued) = (mark.clock.clone(), self.now);
        let dependents = Vec::new();
        let pending = Pending { device, stream, work, dependencies, clock, issued, blockers, dependents, injected };
        self.pending.insert(mark.id, pending);
        if self.config.order == StreamOrder::Eager {
            while self.step() {}
        }
        mark
    }

    fn trace(
        &mut self,
        mark: &Mark,
        device: usize,
        stream: u64,
        work: &Work,
        dependencies: &[CommandId],
        graph_launch: Option<u32>,
    ) {
        self.log.issued(Operation {
            id: mark.id,
            device,
            stream: self.streams[&stream].number,
            graph_launch,
            kind: work.kind(),
            kernel: if let Work::Kernel(launch) = work { Some(launch.kernel.name.clone()) } else { None },
            bytes: work.bytes(),
            pinned: work.host_memory().is_some_and(|(at, ..)| self.pinned_at(at).is_some()),
            dependencies: dependencies.to_vec(),
            issued: self.log.call_number(),
            ran: None,
            begin_ns: 0,
            end_ns: 0,
        });
    }

    /// Runs one operation that may run; whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let stream = |id: &&CommandId| (self.pending[*id].stream, **id);
        let chosen = match self.config.order {
            StreamOrder::Eager => self.ready.first(),
            StreamOrder::OldestFirst => self.ready.iter().min_by_key(stream),
            StreamOrder::NewestFirst => {
                self.ready.iter().max_by_key(|id| (self.pending[*id].stream, std::cmp::Reverse(**id)))
            }
            StreamOrder::Shuffled(_) if self.ready.is_empty() => None,
            StreamOrder::Shuffled(_) => {
                let drawn = self.random.below(self.ready.len());
                self.ready.iter().nth(drawn)
            }
        };
        let Some(id) = chosen.copied() else { return false };
        let Some(mut operation) = self.pending.remove(&id) else { return false };
        let result = match operation.injected {
            Some(code) => Err((format!("{}: injected failure", self.log.describe(id)), code)),
            None => self.run(id, &operation),
        };
        let dependents = std::mem::take(&mut operation.dependents);
        self.settle(id, &dependents);
        if let Err((text, code)) = result {
            if let Work::Free { at, bytes } = operation.work {
                self.forget(operation.device, at, bytes);
            }
            self.break_context(operation.device, text, Some(id), code);
        }
        true
    }

    fn run(&mut self, id: CommandId, operation: &Pending) -> Result<(), (String, CUresult)> {
        let ordering = &self.ordering;
        let clock: &Clock = &operation.clock;
        let ordered = |earlier, later| later == id && ordering.within(earlier, clock);
        let (order, checks) = (self.block_order(id), self.checks());
        let device = &mut self.devices[operation.device];
        let mut machine = Machine {
            memory: &device.memory,
            counters: &mut self.log.counters,
            order,
            checks,
            access: Access { by: id, ordered: &ordered },
        };
        let result = if let Work::Callback { .. } = operation.work {
            as_callback(|| machine.run(&operation.work))
        } else {
            machine.run(&operation.work)
        };
        let cost = result.map_err(|fault| (self.explain(&fault, id), code_of(&fault)))?;
        if let Work::Free { at, bytes } = operation.work {
            self.forget(operation.device, at, bytes);
        }
        let ends = operation.dependencies.iter().map(|id| self.ordering.end(*id));
        let ready = ends.fold(operation.issued, u64::max);
        let (begin, end) = self.devices[operation.device].engines.take(operation.work.engine(), ready, cost);
        self.ordering.set_end(id, end);
        self.log.ran(id, begin, end);
        Ok(())
    }

    /// Blocks and warps follow the order of streams, each launch with a seed of its own.
    fn block_order(&self, id: CommandId) -> launch::Order {
        match self.config.order {
            StreamOrder::Eager => launch::Order::Eager,
            StreamOrder::OldestFirst | StreamOrder::NewestFirst => launch::Order::Lazy,
            StreamOrder::Shuffled(seed) => {
                launch::Order::Shuffled(seed ^ u64::from(id).wrapping_mul(0xd134_2543_de82_ef95))
            }
        }
    }

    fn explain(&self, fault: &Fault, id: CommandId) -> String {
        match fault.cause() {
            Fault::Race { earlier, .. } => {
                format!("{fault}; {}; {}", self.log.describe(*earlier), self.log.describe(id))
            }
            _ => format!("{fault}; {}", self.log.describe(id)),
        }
    }

    /// An operation is done with, run or not: what waited for it may go on.
    fn settle(&mut self, id: CommandId, dependents: &[CommandId]) {
        self.ready.remove(&id);
        for dependent in dependents {
            if let Some(pending) = self.pending.get_mut(dependent) {
                pending.blockers -= 1;
                if pending.blockers == 0 {
                    self.ready.insert(*dependent);
                }
            }
        }
    }

    /// Drops what is pending on a device.
    pub(crate) fn cancel(&mut self, device: usize) {
        let mut dropped: Vec<_> = self.pending.iter().filter(|(_, p)| p.device == device).map(|(id, _)| *id).collect();
        dropped.sort_unstable();
        for id in dropped {
            if let Some(operation) = self.pending.remove(&id) {
                self.settle(id, &operation.dependents);
                if let Work::Free { at, bytes } = operation.work {
                    self.forget(device, at, bytes);
                }
            }
        }
    }

    pub(crate) fn has_ended(&self, mark: &Mark) -> bool {
        !self.pending.contains_key(&mark.id)
    }

    /// The host waits for operations of a device.
    pub(crate) fn wait(&mut self, device: usize, marks: &[Mark]) -> Outcome {
        while !marks.iter().all(|mark| self.has_ended(mark)) && self.step() {}
        self.health(device)?;
        self.note_ended(marks);
        Ok(())
    }

    /// The host looks whether operations have ended; one more may run meanwhile.
    pub(crate) fn query(&mut self, device: usize, marks: &[Mark]) -> Outcome {
        if !marks.iter().all(|mark| self.has_ended(mark)) {
            self.step();
        }
        self.health(device)?;
        if !marks.iter().all(|mark| self.has_ended(mark)) {
            return Err(CUresult::NOT_READY);
        }
        self.note_ended(marks);
        Ok(())
    }

    fn note_ended(&mut self, marks: &[Mark]) {
        let news: Vec<_> = marks.iter().filter(|mark| !self.ordering.is_known(mark.id)).cloned().collect();
        for mark in &news {
            self.ordering.host_knows(mark);
            self.now = self.now.max(self.ordering.end(mark.id));
        }
        self.log.host_waited(news.iter().map(|mark| mark.id).collect());
    }

    /// The host waits for all of a device.
    pub(crate) fn wait_for_device(&mut self, device: usize) -> Outcome {
        let tails = self.streams.values().filter(|stream| stream.device == device).flat_map(|stream| &stream.tail);
        let marks: Vec<_> = tails.chain(self.devices[device].orphans.iter().map(|(_, mark)| mark)).cloned().collect();
        self.wait(device, &marks)?;
        self.devices[device].orphans.clear();
        Ok(())
    }
}
