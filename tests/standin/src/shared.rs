//! Shared memory of a block: bounds, initialised bytes, asynchronous copies on their way, and races between warps.

use crate::fault::{Fault, Kind, Space};
use crate::memory::{Checks, Purpose};
use crate::ptx::SHARED_BASE;

/// State of a byte.
const UNWRITTEN: u8 = 0;
const WRITTEN: u8 = 1;
/// A `cp.async` will write it.
const PENDING: u8 = 2;

/// An access: time (21 bits), warp (5), whether atomic (1), bytes of the word (4). The greater, the later.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tag(u32);

const TIME_SHIFT: u32 = 10;
const WARP_SHIFT: u32 = 5;
const ATOMIC: u32 = 1 << 4;
const LAST_TIME: u32 = (1 << 21) - 1;

impl Tag {
    #[inline(always)]
    fn warp(self) -> u32 {
        self.0 >> WARP_SHIFT & 31
    }

    #[inline(always)]
    fn overlaps(self, other: Tag) -> bool {
        self.0 & other.0 & 15 != 0
    }

    /// Whether it differs from another in nothing but the bytes.
    #[inline(always)]
    fn same(self, other: Tag) -> bool {
        (self.0 ^ other.0) >> 4 == 0
    }
}

/// Last accesses to a word. Two readers are enough to find a write that races with any, as long as barriers are
/// for the whole block: one of two warps is not the writer.
#[derive(Clone, Copy, Default)]
struct Touch {
    wrote: Tag,
    read: [Tag; 2],
}

/// Shared memory.
pub(crate) struct Shared {
    checks: Checks,
    data: Vec<u8>,
    states: Vec<u8>,
    touched: Vec<Touch>,
    /// Counts barriers, so that tags compare.
    time: u32,
    /// Tags below are ordered before everything: they are older than the last barrier of the whole block.
    floor: u32,
    /// For each warp, up to which time it is ordered after each other warp, by barriers of some of the warps.
    after: [[u32; 32]; 32],
}

impl Shared {
    pub(crate) fn new(bytes: usize, checks: Checks) -> Self {
        let words = if checks.races { bytes.div_ceil(4) } else { 0 };
        Shared {
            checks,
            data: vec![0xff; bytes],
            states: vec![UNWRITTEN; bytes],
            touched: vec![Touch::default(); words],
            time: 0,
            floor: 0,
            after: [[0; 32]; 32],
        }
    }

    /// Fresh memory for the next block.
    pub(crate) fn reset(&mut self) {
        self.data.fill(0xff);
        self.states.fill(UNWRITTEN);
        self.advance();
    }

    /// Everything so far comes before everything from now on.
    fn advance(&mut self) {
        self.time += 1;
        if self.time > LAST_TIME {
            self.touched.fill(Touch::default());
            self.after = [[0; 32]; 32];
            self.time = 1;
        }
        self.floor = self.time << TIME_SHIFT;
    }

    /// A barrier of some warps, a bit each.
    pub(crate) fn synchronise(&mut self, warps: u32, all: u32) {
        if warps == all || self.time == LAST_TIME {
            return self.advance();
        }
        self.time += 1;
        let members: Vec<usize> = (0..32).filter(|w| warps >> w & 1 != 0).collect();
        let mut joined = [0; 32];
        for (other, joined) in joined.iter_mut().enumerate() {
            *joined = members.iter().map(|m| self.after[*m][other]).max().unwrap_or(0);
        }
        for member in &members {
            joined[*member] = self.time;
        }
        for member in members {
            self.after[member] = joined;
        }
    }

    /// Checks an access and notes it; gives the offset of its first byte.
    #[inline]
    pub(crate) fn access(&mut self, at: u64, bytes: usize, purpose: Purpose, warp: u32) -> Result<usize, Fault> {
        let offset = self.locate(at, bytes, purpose.kind())?;
        if self.checks.uninitialised {
            let states = &mut self.states[offset..offset + bytes];
            let free = match purpose {
                Purpose::Write => states.iter().all(|s| *s != PENDING),
                _ => states.iter().all(|s| *s == WRITTEN),
            };
            if !free {
                return Err(self.unready(offset, bytes, purpose));
            }
            if !matches!(purpose, Purpose::Read) {
                states.fill(WRITTEN);
            }
        }
        if self.checks.races {
            self.touch(offset, bytes, purpose, warp)?;
        }
        Ok(offset)
    }

    fn locate(&self, at: u64, bytes: usize, kind: Kind) -> Result<usize, Fault> {
        let offset = (at as usize).wrapping_sub(SHARED_BASE);
        match offset.checked_add(bytes) {
            Some(end) if end <= self.data.len() => Ok(offset),
            _ => Err(Fault::OutOfBounds { kind, space: Space::Shared, address: at, bytes, limit: self.data.len() }),
        }
    }

    #[cold]
    fn unready(&self, offset: usize, bytes: usize, purpose: Purpose) -> Fault {
        let states = &self.states[offset..offset + bytes];
        let address = |n: usize| (offset + n + SHARED_BASE) as u64;
        match states.iter().position(|s| *s == PENDING) {
            Some(n) => Fault::Pending { kind: purpose.kind(), address: address(n) },
            None => {
                let n = states.iter().position(|s| *s == UNWRITTEN).unwrap_or(0);
                Fault::Uninitialised { space: Space::Shared, address: address(n) }
            }
        }
    }

    #[inline]
    fn touch(&mut self, offset: usize, bytes: usize, purpose: Purpose, warp: u32) -> Result<(), Fault> {
        let base = self.time << TIME_SHIFT | warp << WARP_SHIFT;
        let base = if matches!(purpose, Purpose::Atomic) { base | ATOMIC } else { base };
        let (first, end) = (offset / 4, (offset + bytes).div_ceil(4));
        let whole = offset.is_multiple_of(4) && bytes.is_multiple_of(4);
        if whole && matches!(purpose, Purpose::Read) && self.reread(first, end, base | 15) {
            return Ok(());
        }
        for word in first..end {
            let below = offset.saturating_sub(word * 4);
            let above = (word * 4 + 4).saturating_sub(offset + bytes);
            let mine = Tag(base | (15 << below) & (15 >> above));
            if let Some((earlier_kind, earlier)) = self.meet(word, mine, purpose) {
                let address = (word * 4 + SHARED_BASE) as u64;
                return Err(Fault::SharedRace { kind: purpose.kind(), address, earlier_kind, warp: earlier });
            }
        }
        Ok(())
    }

    /// The common case, without branches: words last written before the last barrier of the block, and not read by
    /// others since. False if it is not that.
    #[inline]
    fn reread(&mut self, first: usize, end: usize, mine: u32) -> bool {
        let (words, floor) = (&mut self.touched[first..end], self.floor);
        let foreign = words.iter().fold(false, |foreign, word| {
            let reader = word.read[0].0;
            foreign | (word.wrote.0 >= floor) | ((reader >= floor) & (reader != mine))
        });
        if !foreign {
            words.iter_mut().for_each(|word| word.read[0] = Tag(mine));
        }
        !foreign
    }

    #[inline(always)]
    fn ordered(&self, earlier: Tag, warp: u32) -> bool {
        earlier.0 < self.floor
            || earlier.warp() == warp
            || earlier.0 >> TIME_SHIFT < self.after[warp as usize][earlier.warp() as usize]
    }

    /// Checks an access to a word against the last ones; a conflict is told by what it was and by whom.
    #[inline]
    fn meet(&mut self, word: usize, mine: Tag, purpose: Purpose) -> Option<(Kind, u32)> {
        let warp = mine.warp();
        let Touch { wrote, read } = self.touched[word];
        let both_atomic = wrote.0 & mine.0 & ATOMIC != 0;
        if wrote.overlaps(mine) && !both_atomic && !self.ordered(wrote, warp) {
            return Some((Kind::Write, wrote.warp()));
        }
        if matches!(purpose, Purpose::Read) {
            let slot = usize::from(read[0].warp() != warp && !self.ordered(read[0], warp));
            let merged = if read[slot].same(mine) { Tag(read[slot].0 | mine.0) } else { mine };
            self.touched[word].read[slot] = merged;
            return None;
        }
        if let Some(reader) = read.into_iter().find(|r| r.overlaps(mine) && !self.ordered(*r, warp)) {
            return Some((Kind::Read, reader.warp()));
        }
        self.touched[word].wrote = if wrote.same(mine) { Tag(wrote.0 | mine.0) } else { mine };
        None
    }

    /// Checks the destination of a `cp.async` and marks it.
    pub(crate) fn expect(&mut self, at: u64, bytes: usize, warp: u32) -> Result<(), Fault> {
        let offset = self.access(at, bytes, Purpose::Write, warp)?;
        self.states[offset..offset + bytes].fill(PENDING);
        Ok(())
    }

    /// The data of a `cp.async` arrives, where [`Shared::expect`] checked that it may.
    pub(crate) fn arrive(&mut self, at: u64, data: &[u8], warp: u32) -> Result<(), Fault> {
        let offset = self.locate(at, data.len(), Kind::Write)?;
        self.states[offset..offset + data.len()].fill(WRITTEN);
        self.data[offset..offset + data.len()].copy_from_slice(data);
        match self.checks.races {
            true => self.touch(offset, data.len(), Purpose::Write, warp),
            false => Ok(()),
        }
    }

    /// Bytes from an offset that [`Shared::access`] gave.
    #[inline]
    pub(crate) fn bytes(&mut self, offset: usize, bytes: usize) -> &mut [u8] {
        &mut self.data[offset..offset + bytes]
    }
}

/// Waves of a request: 32 banks of 4 bytes, one word each a wave; lanes that want the same word share it. Requests of
/// 8 and 16 bytes a lane go in two and four phases. Gives the waves, and how many of them are conflicts.
pub(crate) fn waves(addresses: &[u64; 32], active: u32, bytes: usize) -> (u64, u64) {
    let lanes_a_phase = 32 / (bytes / 4).max(1);
    let (mut waves, mut phases) = (0, 0);
    for phase in (0..32).step_by(lanes_a_phase) {
        let lanes = active & (((1u64 << lanes_a_phase) - 1) << phase) as u32;
        if lanes == 0 {
            continue;
        }
        phases += 1;
        waves += phase_waves(&addresses[phase..phase + lanes_a_phase], lanes >> phase, bytes);
    }
    (waves, waves - phases)
}

/// Waves of one phase: the most distinct words that any bank is asked for.
fn phase_waves(addresses: &[u64], lanes: u32, bytes: usize) -> u64 {
    // Word number plus one that was first asked of each bank.
    let mut first = [0u64; 32];
    let mut conflict = false;
    for (lane, at) in addresses.iter().enumerate() {
        if lanes >> lane & 1 == 0 {
            continue;
        }
        for word in at / 4..(at + bytes as u64).div_ceil(4) {
            let bank = &mut first[word as usize & 31];
            conflict |= *bank != 0 && *bank != word + 1;
            *bank = word + 1;
        }
    }
    if !conflict {
        return 1;
    }
    let active = addresses.iter().enumerate().filter(|(lane, _)| lanes >> lane & 1 != 0);
    let mut words: Vec<u64> = active.flat_map(|(_, at)| at / 4..(at + bytes as u64).div_ceil(4)).collect();
    words.sort_unstable();
    words.dedup();
    let mut depth = [0u64; 32];
    words.iter().for_each(|word| depth[*word as usize & 31] += 1);
    depth.into_iter().max().unwrap_or(1)
}
