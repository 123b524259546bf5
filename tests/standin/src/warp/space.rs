//! State spaces: which memory an address is in, and the memory of single threads.

use super::{Step, Warp, in_lane};
use crate::block::Block;
use crate::fault::{self, Fault, Kind};
use crate::memory::Purpose;
use crate::ptx::instruction::Instruction;
use crate::shared::waves;

use super::value::Slot;

/// Where local memory starts, in its own state space.
pub(crate) const LOCAL_BASE: usize = 4096;

/// Windows in the generic address space. Device addresses are above, as allocations are numbered from 1.
pub(super) const SHARED_WINDOW: u64 = 1 << 39;
pub(super) const LOCAL_WINDOW: u64 = 1 << 38;

/// State space of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Space {
    Generic,
    Global,
    /// Global memory that is not counted as traffic.
    Constant,
    Shared,
    Local,
    Parameter,
}

impl Space {
    pub(super) const ALL: [Space; 6] =
        [Space::Generic, Space::Global, Space::Constant, Space::Shared, Space::Local, Space::Parameter];

    /// The space of an address, and the address in it.
    fn of(self, at: u64) -> (Space, u64) {
        match self {
            Space::Generic if at >> crate::memory::OFFSET_BITS != 0 => (Space::Global, at),
            Space::Generic if at & SHARED_WINDOW != 0 => (Space::Shared, at ^ SHARED_WINDOW),
            Space::Generic if at & LOCAL_WINDOW != 0 => (Space::Local, at ^ LOCAL_WINDOW),
            Space::Generic => (Space::Global, at),
            space => (space, at),
        }
    }

    fn named(self) -> fault::Space {
        match self {
            Space::Shared => fault::Space::Shared,
            Space::Local => fault::Space::Local,
            Space::Parameter => fault::Space::Parameter,
            Space::Generic | Space::Global | Space::Constant => fault::Space::Global,
        }
    }
}

/// Local memory of a warp's lanes, one after the other.
pub(super) struct Local {
    bytes: usize,
    data: Vec<u8>,
    written: Vec<u8>,
}

impl Local {
    pub(super) fn new(bytes: usize) -> Self {
        Local { bytes, data: vec![0xff; bytes * 32], written: vec![0; bytes * 32] }
    }

    pub(super) fn reset(&mut self) {
        self.data.fill(0xff);
        self.written.fill(0);
    }

    fn access(&mut self, lane: usize, at: u64, bytes: usize, purpose: Purpose) -> Result<usize, Fault> {
        let kind = purpose.kind();
        let offset = (at as usize).wrapping_sub(LOCAL_BASE);
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Err(Fault::OutOfBounds { kind, space: fault::Space::Local, address: at, bytes, limit: self.bytes });
        }
        let offset = lane * self.bytes + offset;
        let written = &mut self.written[offset..offset + bytes];
        match kind {
            Kind::Write => written.fill(1),
            Kind::Read if written.contains(&0) => {
                return Err(Fault::Uninitialised { space: fault::Space::Local, address: at });
            }
            Kind::Read => {}
        }
        Ok(offset)
    }
}

/// The addresses of a memory operand: base slot in operand `n`, offset in the low half of the immediate, and bit 32
/// of it set if the base has 64 bits.
#[inline(always)]
pub(super) fn addresses(warp: &Warp, i: &Instruction, n: usize) -> [u64; 32] {
    let offset = i.immediate as i32;
    let mut addresses = [0; 32];
    if i.immediate >> 32 & 1 == 0 {
        for (at, base) in addresses.iter_mut().zip(u32::read(warp, i.operands[n])) {
            *at = u64::from(base.wrapping_add_signed(offset));
        }
    } else {
        for (at, base) in addresses.iter_mut().zip(u64::read(warp, i.operands[n])) {
            *at = base.wrapping_add_signed(i64::from(offset));
        }
    }
    addresses
}

/// Data of a request, lane after lane, without gaps.
#[repr(align(64))]
pub(super) struct Stage(pub(super) [u8; 512]);

/// How the addresses of a request lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// All lanes want the same.
    Same,
    /// All 32 lanes, one after the other.
    Consecutive,
    Scattered,
}

/// A request of a warp to memory.
pub(super) struct Request<'r> {
    pub(super) space: Space,
    pub(super) addresses: &'r [u64; 32],
    pub(super) lanes: u32,
    /// Bytes a lane.
    pub(super) bytes: usize,
    pub(super) purpose: Purpose,
}

impl Request<'_> {
    /// Loads to, or stores from, a stage.
    #[inline(always)]
    pub(super) fn transfer(&self, warp: &mut Warp, block: &mut Block<'_>, stage: &mut Stage) -> Step {
        if self.space != Space::Generic {
            return self.transfer_in(warp, block, stage);
        }
        // Lanes of one request may point to different spaces.
        let mut addresses = [0; 32];
        let mut lanes_of = [0u32; Space::ALL.len()];
        for lane in self.active() {
            let (space, at) = self.space.of(self.addresses[lane]);
            addresses[lane] = at;
            lanes_of[space as usize] |= 1 << lane;
        }
        for space in Space::ALL {
            let lanes = lanes_of[space as usize];
            if lanes != 0 {
                let part = Request { space, addresses: &addresses, lanes, ..*self };
                part.transfer_in(warp, block, stage)?;
            }
        }
        Ok(())
    }

    fn active(&self) -> impl Iterator<Item = usize> + use<> {
        let lanes = self.lanes;
        (0..32).filter(move |lane| lanes >> lane & 1 != 0)
    }

    #[inline(always)]
    fn transfer_in(&self, warp: &mut Warp, block: &mut Block<'_>, stage: &mut Stage) -> Step {
        self.check_alignment()?;
        self.count_request(block);
        let first = self.lanes.trailing_zeros() as usize;
        let pattern = self.pattern(first);
        self.count_waves(block, pattern != Pattern::Scattered);
        match pattern {
            Pattern::Consecutive => self.run(warp, block, stage, 0, 32),
            Pattern::Same => {
                self.run(warp, block, stage, first, 1)?;
                let bytes = self.bytes;
                for lane in self.active() {
                    stage.0.copy_within(first * bytes..(first + 1) * bytes, lane * bytes);
                }
                Ok(())
            }
            Pattern::Scattered => {
                let mut lane = first;
                while lane < 32 {
                    let mut count = 1;
                    while self.continues(lane, count) {
                        count += 1;
                    }
                    self.run(warp, block, stage, lane, count)?;
                    lane += count;
                    while lane < 32 && self.lanes >> lane & 1 == 0 {
                        lane += 1;
                    }
                }
                Ok(())
            }
        }
    }

    /// Tells the two most frequent patterns from the rest.
    #[inline(always)]
    fn pattern(&self, first: usize) -> Pattern {
        if self.space == Space::Local {
            return Pattern::Scattered;
        }
        let start = self.addresses[first];
        let (mut same, mut consecutive) = (0, 0);
        for lane in 0..32 {
            let at = self.addresses[lane];
            same |= (at ^ start) & u64::from(self.lanes >> lane & 1).wrapping_neg();
            consecutive |= at ^ start.wrapping_add((lane * self.bytes) as u64);
        }
        match self.purpose {
            _ if self.lanes == !0 && consecutive == 0 => Pattern::Consecutive,
            Purpose::Read if same == 0 => Pattern::Same,
            _ => Pattern::Scattered,
        }
    }

    /// Whether a run of lanes goes on: active, and at the next address.
    #[inline(always)]
    fn continues(&self, lane: usize, count: usize) -> bool {
        let next = lane + count;
        next < 32
            && self.lanes >> next & 1 != 0
            && self.addresses[next] == self.addresses[lane].wrapping_add((count * self.bytes) as u64)
            && self.space != Space::Local
    }

    fn count_request(&self, block: &mut Block<'_>) {
        if self.space == Space::Global {
            match self.purpose {
                Purpose::Read => block.global.loads.request(),
                Purpose::Write | Purpose::Atomic => block.global.stores.request(),
            }
        }
    }

    /// Counts a request that goes lane by lane.
    pub(super) fn count(&self, block: &mut Block<'_>) {
        self.count_request(block);
        self.count_waves(block, false);
    }

    /// Checks one lane's access and gives the memory meant.
    pub(super) fn lane<'m>(
        &self,
        warp: &'m mut Warp,
        block: &'m mut Block<'_>,
        lane: usize,
    ) -> Result<&'m mut [u8], Box<super::Finding>> {
        let (space, at) = self.space.of(self.addresses[lane]);
        let bytes = self.bytes;
        if !at.is_multiple_of(bytes as u64) {
            let kind = self.purpose.kind();
            return Err(in_lane(lane)(Fault::Misaligned { kind, space: space.named(), address: at, bytes }));
        }
        let place = Request { space, ..*self }.place(warp, block, lane, at, bytes).map_err(in_lane(lane))?;
        // SAFETY: `place` points to that many bytes, which nothing else uses while the block is borrowed.
        Ok(unsafe { std::slice::from_raw_parts_mut(place, bytes) })
    }

    fn count_waves(&self, block: &mut Block<'_>, conflict_free: bool) {
        if self.space != Space::Shared {
            return;
        }
        let (waves, conflicts) = match conflict_free {
            // One word for all, or consecutive ones: each phase of 128 bytes is one wave.
            true => ((self.lanes.count_ones() as u64 * self.bytes as u64).div_ceil(128), 0),
            false => waves(self.addresses, self.lanes, self.bytes),
        };
        block.banks.requests += 1;
        block.banks.waves += waves;
        block.banks.conflicts += conflicts;
    }

    #[inline(always)]
    fn check_alignment(&self) -> Step {
        let low = self.bytes as u64 - 1;
        let stray = (0..32)
            .fold(0, |stray, lane| stray | self.addresses[lane] & if self.lanes >> lane & 1 != 0 { low } else { 0 });
        if stray == 0 { Ok(()) } else { self.misaligned() }
    }

    #[cold]
    fn misaligned(&self) -> Step {
        let (kind, space, bytes) = (self.purpose.kind(), self.space.named(), self.bytes);
        for lane in self.active() {
            let address = self.addresses[lane];
            if !address.is_multiple_of(bytes as u64) {
                return Err(in_lane(lane)(Fault::Misaligned { kind, space, address, bytes }));
            }
        }
        Ok(())
    }

    /// Transfers a run of lanes at consecutive addresses.
    #[inline(always)]
    fn run(&self, warp: &mut Warp, block: &mut Block<'_>, stage: &mut Stage, lane: usize, count: usize) -> Step {
        let (bytes, at) = (count * self.bytes, self.addresses[lane]);
        match self.place(warp, block, lane, at, bytes) {
            Ok(place) => {
                let staged = &mut stage.0[lane * self.bytes..][..bytes];
                let (from, to) = match self.purpose {
                    Purpose::Read => (place.cast_const(), staged.as_mut_ptr()),
                    Purpose::Write | Purpose::Atomic => (staged.as_ptr(), place),
                };
                // SAFETY: `place` points to that many bytes of device, shared, local or parameter memory, which the
                // stage is no part of; nothing else uses them during this call.
                unsafe { from.copy_to_nonoverlapping(to, bytes) };
                Ok(())
            }
            Err(fault) => self.blame(warp, block, lane, count, fault),
        }
    }

    /// The lane of a run that a fault is due to.
    #[cold]
    fn blame(&self, warp: &mut Warp, block: &mut Block<'_>, lane: usize, count: usize, run: Fault) -> Step {
        for lane in lane..lane + count {
            let at = self.addresses[lane];
            self.place(warp, block, lane, at, self.bytes).map_err(in_lane(lane))?;
        }
        Err(run.into())
    }

    /// Checks an access and gives the memory meant.
    #[inline(always)]
    fn place(
        &self,
        warp: &mut Warp,
        block: &mut Block<'_>,
        lane: usize,
        at: u64,
        bytes: usize,
    ) -> Result<*mut u8, Fault> {
        match self.space {
            Space::Generic | Space::Global | Space::Constant => {
                let place = block.global.memory.access(at, bytes, self.purpose, &block.global.actor)?;
                match (self.space, self.purpose) {
                    (Space::Constant, _) => {}
                    (_, Purpose::Read) => block.global.loads.bytes(at, bytes),
                    _ => block.global.stores.bytes(at, bytes),
                }
                Ok(place)
            }
            Space::Shared => {
                let offset = block.shared.access(at, bytes, self.purpose, warp.index)?;
                Ok(block.shared.bytes(offset, bytes).as_mut_ptr())
            }
            Space::Local => {
                let offset = warp.local.access(lane, at, bytes, self.purpose)?;
                Ok(warp.local.data[offset..offset + bytes].as_mut_ptr())
            }
            Space::Parameter => {
                let limit = block.parameters.len();
                let end = (at as usize).checked_add(bytes).filter(|end| *end <= limit);
                let (kind, space) = (self.purpose.kind(), fault::Space::Parameter);
                let end = end.ok_or(Fault::OutOfBounds { kind, space, address: at, bytes, limit })?;
                // Only loads have this space, so nothing is written through the pointer.
                Ok(block.parameters[at as usize..end].as_ptr().cast_mut())
            }
        }
    }
}
