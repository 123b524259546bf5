//! Global memory as one launch sees it: whose accesses they are, and what traffic they make.

use crate::counters::Traffic;
use crate::memory::{Access, Actor, Memory};

/// Bytes of a sector, the unit in which caches are filled.
const SECTOR: u64 = 32;

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
    traffic: Traffic,
    /// By allocation, one bit a sector.
    sectors: Vec<Vec<u64>>,
}

impl<'a> Global<'a> {
    pub(crate) fn new(memory: &'a Memory, access: &'a Access<'a>) -> Self {
        Global { memory, actor: Actor::new(access), loads: Tally::default(), stores: Tally::default() }
    }
}

impl Tally {
    /// One warp instruction.
    pub(crate) fn request(&mut self) {
        self.traffic.requests += 1;
    }

    /// Bytes that lie in one allocation.
    #[inline]
    pub(crate) fn bytes(&mut self, at: u64, bytes: usize) {
        self.traffic.bytes += bytes as u64;
        let number = (at >> crate::memory::OFFSET_BITS) as usize;
        if number >= self.sectors.len() {
            self.sectors.resize(number + 1, Vec::new());
        }
        let first = (at & crate::memory::OFFSET_MASK) / SECTOR;
        let last = ((at & crate::memory::OFFSET_MASK) + bytes as u64 - 1) / SECTOR;
        let bits = &mut self.sectors[number];
        if last as usize / 64 >= bits.len() {
            // Allocations are walked forwards, mostly: grow by halves.
            bits.resize((last as usize / 64 + 1) * 3 / 2, 0);
        }
        for sector in first..=last {
            bits[sector as usize / 64] |= 1 << (sector % 64);
        }
    }

    /// Adds to what a kernel has.
    pub(crate) fn add_to(&self, traffic: &mut Traffic) {
        traffic.requests += self.traffic.requests;
        traffic.bytes += self.traffic.bytes;
        traffic.sectors += self.sectors.iter().flatten().map(|word| u64::from(word.count_ones())).sum::<u64>();
    }
}
