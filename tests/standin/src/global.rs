//! Global memory as one launch sees it: whose accesses they are, and what traffic they make.

use crate::counters::{KernelCounters, Traffic};
use crate::memory::{Access, Actor, Memory, OFFSET_BITS, OFFSET_MASK};

/// Bytes of a sector, the unit in which caches are filled.
const SECTOR: u64 = 32;

/// Of the number of a sector, what is its place in the allocation.
const PLACE_MASK: u64 = OFFSET_MASK / SECTOR;

/// Global memory during a launch.
pub(crate) struct Global<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) actor: Actor<'a>,
    pub(crate) loads: Tally,
    pub(crate) stores: Tally,
}

/// Traffic in one direction.
#[derive(Default)]
pub(crate) struct Tally {
    requests: u64,
    /// By allocation.
    parts: Vec<Part>,
    /// Numbers of the warp instruction's sectors so far.
    current: Vec<u64>,
}

/// Traffic with one allocation.
#[derive(Clone, Default)]
struct Part {
    requested: u64,
    /// One bit a sector.
    sectors: Vec<u64>,
}

impl<'a> Global<'a> {
    pub(crate) fn new(memory: &'a Memory, access: &'a Access<'a>) -> Self {
        Global { memory, actor: Actor::new(access), loads: Tally::default(), stores: Tally::default() }
    }

    /// Adds to what a kernel has.
    pub(crate) fn add_to(&self, kernel: &mut KernelCounters) {
        self.loads.add_to(&mut kernel.loads);
        self.stores.add_to(&mut kernel.stores);
        for (number, part) in self.loads.parts.iter().enumerate().filter(|(_, part)| part.requested > 0) {
            if let Some(bytes) = self.memory.constant((number as u64) << OFFSET_BITS) {
                *kernel.constants.entry(bytes).or_default() += part.requested;
            }
        }
    }
}

impl Tally {
    /// One warp instruction.
    pub(crate) fn request(&mut self) {
        self.requests += 1;
        self.current.clear();
    }

    /// Bytes of the instruction that lie in one allocation.
    #[inline]
    pub(crate) fn bytes(&mut self, at: u64, bytes: usize) {
        let number = (at >> OFFSET_BITS) as usize;
        if number >= self.parts.len() {
            self.parts.resize(number + 1, Part::default());
        }
        let part = &mut self.parts[number];
        let (first, last) = (at / SECTOR, (at + bytes as u64 - 1) / SECTOR);
        let end = (last & PLACE_MASK) as usize / 64 + 1;
        if end > part.sectors.len() {
            // Allocations are walked forwards, mostly: grow by halves.
            part.sectors.resize(end * 3 / 2, 0);
        }
        for sector in first..=last {
            if self.current.contains(&sector) {
                continue;
            }
            self.current.push(sector);
            part.requested += 1;
            let place = sector & PLACE_MASK;
            part.sectors[place as usize / 64] |= 1 << (place % 64);
        }
    }

    fn add_to(&self, traffic: &mut Traffic) {
        traffic.requests += self.requests;
        for part in &self.parts {
            traffic.requested += part.requested;
            traffic.sectors += part.sectors.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        }
    }
}
