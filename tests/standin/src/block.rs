//! A block: its shared memory, its warps, its barriers.

use crate::counters::{self, KernelCounters};
use crate::fault::{Fault, Site};
use crate::global::Global;
use crate::launch::{Launch, Order, permute};
use crate::ptx::{Kernel, SHARED_BASE};
use crate::shared::Shared;
use crate::warp::{State, Warp};

/// What the warps of a block have in common. It is used again for the next block of a launch.
pub(crate) struct Block<'a> {
    pub(crate) shared: Shared,
    pub(crate) global: Global<'a>,
    pub(crate) parameters: &'a [u8],
    /// Requests to shared memory.
    pub(crate) banks: counters::Shared,
    /// How often each instruction was issued.
    pub(crate) issued: Vec<u64>,
    pub(crate) threads: u32,
}

impl<'a> Block<'a> {
    pub(crate) fn new(launch: &'a Launch<'_>) -> Self {
        let kernel = launch.kernel;
        let shared = kernel.dynamic_base - SHARED_BASE + launch.dynamic_shared as usize;
        Block {
            shared: Shared::new(shared, launch.checks),
            global: Global::new(launch.memory, launch.access),
            parameters: launch.parameters,
            banks: counters::Shared::default(),
            issued: vec![0; kernel.code.len()],
            threads: launch.block.iter().product(),
        }
    }

    /// Runs all warps to their end. Between barriers each goes on for as long as it can.
    pub(crate) fn run(&mut self, launch: &Launch<'_>, at: [u32; 3], warps: &mut [Warp]) -> Result<(), Fault> {
        self.shared.reset();
        let mut round = 0;
        loop {
            let mut ran = false;
            for turn in 0..warps.len() as u64 {
                let order = match launch.order {
                    Order::Shuffled(seed) => Order::Shuffled(seed ^ round),
                    fixed => fixed,
                };
                let warp = &mut warps[permute(order, turn, warps.len() as u64) as usize];
                if warp.state != State::Running {
                    continue;
                }
                ran = true;
                if let Err(finding) = warp.run(&launch.kernel.code, self) {
                    return Err(located(launch, at, warp, finding.lane, finding.fault));
                }
            }
            round += 1;
            self.release(warps);
            if !ran {
                return self.ended(launch, at, warps);
            }
        }
    }

    /// Adds what was counted to a kernel's counters.
    pub(crate) fn add_to(&self, kernel: &Kernel, counters: &mut KernelCounters) {
        counters.shared.requests += self.banks.requests;
        counters.shared.waves += self.banks.waves;
        counters.shared.conflicts += self.banks.conflicts;
        self.global.add_to(counters);
        for (instruction, issued) in kernel.code.iter().zip(&self.issued) {
            counters.count(instruction.class, *issued);
        }
    }

    /// Lets warps go whose barrier is complete.
    fn release(&mut self, warps: &mut [Warp]) {
        let all = warps.iter().fold(0, |mask, w| mask | 1 << w.index);
        for barrier in 0..16 {
            let Some((arrived, needed, mask)) = self.waiting(warps, barrier) else { continue };
            if arrived >= needed {
                self.shared.synchronise(mask, all);
                let members = warps.iter_mut().filter(|w| mask >> w.index & 1 != 0);
                members.for_each(|w| w.state = State::Running);
            }
        }
    }

    /// Threads at a barrier, threads that it needs, and the warps there. A warp counts with all its threads (PTX
    /// ISA, `barrier`), so a partial one as 32.
    fn waiting(&self, warps: &[Warp], barrier: u32) -> Option<(u32, u32, u32)> {
        let mut found = None;
        for warp in warps {
            if let State::Barrier { number, threads } = warp.state
                && number == barrier
            {
                let needed = threads.unwrap_or(self.threads.next_multiple_of(32));
                let (arrived, _, mask) = found.unwrap_or((0, 0, 0));
                found = Some((arrived + 32, needed, mask | 1 << warp.index));
            }
        }
        found
    }

    /// No warp can run: either all are at their end, or a barrier lacks warps.
    fn ended(&self, launch: &Launch<'_>, at: [u32; 3], warps: &[Warp]) -> Result<(), Fault> {
        let Some(stuck) = warps.iter().find(|w| matches!(w.state, State::Barrier { .. })) else {
            return Ok(());
        };
        let barrier = match stuck.state {
            State::Barrier { number, .. } => number,
            _ => 0,
        };
        let (arrived, expected, _) = self.waiting(warps, barrier).unwrap_or_default();
        Err(located(launch, at, stuck, None, Fault::Deadlock { barrier, arrived, expected }))
    }
}

fn located(launch: &Launch<'_>, block: [u32; 3], warp: &Warp, lane: Option<u32>, cause: Fault) -> Fault {
    // The counter has gone past the instruction that is to blame.
    let at = (warp.counter as usize).saturating_sub(1);
    let (line, text) = (launch.kernel.code[at].line, launch.kernel.texts[at].clone());
    let kernel = launch.kernel.name.clone();
    let site = Box::new(Site { kernel, line, text, block, warp: warp.index, lane });
    Fault::InKernel { site, cause: Box::new(cause) }
}
