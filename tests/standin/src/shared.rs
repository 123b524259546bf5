//! Shared memory of a block: bounds, initialised bytes, asynchronous copies on their way, and races between warps.

use crate::fault::{Fault, Kind, Space};
use crate::memory::{Checks, Purpose};
use crate::ptx::SHARED_BASE;

/// State of a byte.
const UNWRITTEN: u8 = 0;
const WRITTEN: u8 = 1;
/// A `cp.async` will write it.
const PENDING: u8 = 2;

/// An access: time (21 bits), warp (5), whether atomic (1), bytes of the word (4). The greater, the later; the top
/// bit is clear.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tag(u32);

const TIME_SHIFT: u32 = 10;
const WARP_SHIFT: u32 = 5;
const ATOMIC: u32 = 1 << 4;
const WHOLE: u32 = 15;
const LAST_TIME: u32 = (1 << 21) - 1;

impl Tag {
    #[inline(always)]
    fn warp(self) -> u32 {
        self.0 >> WARP_SHIFT & 31
    }

    #[inline(always)]
    fn overlaps(self, other: Tag) -> bool {
        self.0 & other.0 & WHOLE != 0
    }

    /// Whether it is by another warp than `mine`, and not before `floor`: 1 or 0.
    #[inline(always)]
    fn foreign(self, floor: u32, mine: u32) -> u32 {
        u32::from(self.0 as i32 >= floor as i32) & u32::from((self.0 ^ mine) & (31 << WARP_SHIFT) != 0)
    }

    /// A later access, joined with this one if it is by the same warp at the same time: all the bytes, and atomic only
    /// if both are.
    #[inline(always)]
    fn joined(self, later: Tag) -> Tag {
        let atomic = self.0 & later.0 & ATOMIC;
        if (self.0 ^ later.0) >> WARP_SHIFT == 0 { Tag((self.0 | later.0) & !ATOMIC | atomic) } else { later }
    }
}

/// Last accesses to each word. Two readers are enough to find a write that races with any, as long as barriers are
/// for the whole block: one of two warps is not the writer.
struct Touched {
    wrote: Vec<Tag>,
    read: Vec<Tag>,
    read_too: Vec<Tag>,
}

impl Touched {
    fn new(words: usize) -> Self {
        let none = || vec![Tag::default(); words];
        Touched { wrote: none(), read: none(), read_too: none() }
    }

    /// Reads whole words in the common case: nobody else wrote them since `floor`. False if it is not that; then
    /// nothing is noted. Without branches, for the compiler to use vectors.
    #[inline(always)]
    fn read_whole(&mut self, words: std::ops::Range<usize>, floor: u32, mine: u32) -> bool {
        let foreign = self.wrote[words.clone()].iter().fold(0, |any, wrote| any | wrote.foreign(floor, mine));
        if foreign != 0 {
            return false;
        }
        for (read, too) in self.read[words.clone()].iter_mut().zip(&mut self.read_too[words]) {
            let taken = read.foreign(floor, mine).wrapping_neg();
            *too = Tag(too.0 & !taken | mine & taken);
            *read = Tag(read.0 & taken | mine & !taken);
        }
        true
    }

    /// Writes whole words in the common case, where nobody else read either.
    #[inline(always)]
    fn write_whole(&mut self, words: std::ops::Range<usize>, floor: u32, mine: u32) -> bool {
        let (wrote, read) = (&mut self.wrote[words.clone()], &self.read[words.clone()]);
        let mut foreign = 0;
        for ((wrote, read), too) in wrote.iter().zip(read).zip(&self.read_too[words]) {
            foreign |= wrote.foreign(floor, mine) | read.foreign(floor, mine) | too.foreign(floor, mine);
        }
        if foreign == 0 {
            wrote.fill(Tag(mine));
        }
        foreign == 0
    }
}

/// Shared memory.
pub(crate) struct Shared {
    checks: Checks,
    data: Vec<u8>,
    states: Vec<u8>,
    touched: Touched,
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
            touched: Touched::new(words),
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
            self.touched = Touched::new(self.touched.wrote.len());
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
                Purpose::Write => states.iter().fold(0, |any, s| any | s) & PENDING == 0,
                _ => states.iter().fold(WRITTEN, |all, s| all & s) == WRITTEN,
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
        let common = (offset | bytes).is_multiple_of(4)
            && match purpose {
                Purpose::Read => self.touched.read_whole(first..end, self.floor, base | WHOLE),
                Purpose::Write => self.touched.write_whole(first..end, self.floor, base | WHOLE),
                Purpose::Atomic => false,
            };
        if common {
            return Ok(());
        }
        for word in first..end {
            let below = offset.saturating_sub(word * 4);
            let above = (word * 4 + 4).saturating_sub(offset + bytes);
            let mine = Tag(base | (WHOLE << below) & (WHOLE >> above));
            if let Some((earlier_kind, earlier)) = self.meet(word, mine, purpose) {
                let address = (word * 4 + SHARED_BASE) as u64;
                return Err(Fault::SharedRace { kind: purpose.kind(), address, earlier_kind, warp: earlier });
            }
        }
        Ok(())
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
        let wrote = self.touched.wrote[word];
        let both_atomic = wrote.0 & mine.0 & ATOMIC != 0;
        if wrote.overlaps(mine) && !both_atomic && !self.ordered(wrote, warp) {
            return Some((Kind::Write, wrote.warp()));
        }
        let readers = [self.touched.read[word], self.touched.read_too[word]];
        if matches!(purpose, Purpose::Read) {
            let taken = readers[0].warp() != warp && !self.ordered(readers[0], warp);
            let reader = if taken { &mut self.touched.read_too[word] } else { &mut self.touched.read[word] };
            *reader = reader.joined(mine);
            return None;
        }
        if let Some(reader) = readers.into_iter().find(|r| r.overlaps(mine) && !self.ordered(*r, warp)) {
            return Some((Kind::Read, reader.warp()));
        }
        self.touched.wrote[word] = wrote.joined(mine);
        None
    }

    /// Reads a row of a matrix, 16 bytes at an address that is a multiple of them.
    #[inline(always)]
    pub(crate) fn row(&mut self, at: u64, warp: u32) -> Result<[u32; 4], Fault> {
        let offset = (at as usize).wrapping_sub(SHARED_BASE);
        let ready = match self.states.get(offset..offset.wrapping_add(16)) {
            Some(states) => !self.checks.uninitialised || *states == [WRITTEN; 16],
            None => false,
        };
        let mine = self.time << TIME_SHIFT | warp << WARP_SHIFT | WHOLE;
        let words = offset / 4..(offset / 4).wrapping_add(4);
        if !ready || (self.checks.races && !self.touched.read_whole(words, self.floor, mine)) {
            self.access(at, 16, Purpose::Read, warp)?;
        }
        let mut row = [0; 4];
        for (word, bytes) in row.iter_mut().zip(self.data[offset..offset + 16].as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Ok(row)
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
    if bytes == 16 && distinct_groups(addresses, lanes) {
        return 1;
    }
    // Word number plus one that was first asked of each bank, and all words of the phase: at most 32.
    let mut first = [0u32; 32];
    let (mut words, mut count) = ([0u32; 32], 0);
    let mut conflict = false;
    for (lane, at) in addresses.iter().enumerate().filter(|(lane, _)| lanes >> lane & 1 != 0) {
        let last = at + bytes as u64 - 1;
        debug_assert!(last / 4 - at / 4 < 4, "lane {lane} is aligned");
        for word in (at / 4) as u32..=(last / 4) as u32 {
            let bank = &mut first[word as usize & 31];
            conflict |= *bank != 0 && *bank != word + 1;
            *bank = word + 1;
            words[count & 31] = word;
            count += 1;
        }
    }
    if !conflict {
        return 1;
    }
    let mut depth = [0u64; 32];
    for n in 0..count.min(32) {
        let again = words[..n].iter().fold(false, |again, word| again | (*word == words[n]));
        depth[words[n] as usize & 31] += u64::from(!again);
    }
    depth.into_iter().max().unwrap_or(1)
}

/// Whether each lane has a group of four banks to itself, where a lane takes 16 aligned bytes.
fn distinct_groups(addresses: &[u64], lanes: u32) -> bool {
    let (mut used, mut twice) = (0u32, 0);
    for (lane, at) in addresses.iter().enumerate() {
        let group = (lanes >> lane & 1) << (at >> 4 & 7);
        twice |= used & group;
        used |= group;
    }
    twice == 0
}
