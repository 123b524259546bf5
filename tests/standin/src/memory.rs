//! Device memory: allocations, their bounds, which bytes were written, and who touched them last.

use std::cell::{Cell, UnsafeCell};

use crate::fault::{Fault, Kind, Space};

/// A device address: the allocation's number in the upper 24 bits, the offset in the lower 40; 0 is null.
///
/// One table look-up then checks the bounds, and a pointer never strays into a neighbour.
pub type Address = u64;

/// One stream operation of one run; 0 is the host.
pub type CommandId = u32;

pub(crate) const OFFSET_BITS: u32 = 40;
pub(crate) const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// What fresh memory holds: a NaN in every float format.
const POISON: u8 = 0xff;

/// Which optional checks run. Bounds, alignment, freed memory and collectives are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Reads of bytes that nobody wrote.
    pub uninitialised: bool,
    /// Accesses that nothing orders: between stream operations, blocks, and warps.
    pub races: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Checks { uninitialised: true, races: true }
    }
}

/// Who accesses memory, and what it is ordered after.
pub struct Access<'a> {
    /// The stream operation.
    pub by: CommandId,
    /// Whether the first command happens before the second.
    pub ordered: &'a dyn Fn(CommandId, CommandId) -> bool,
}

/// Who touched each word last: the command, and what of the word by which of its blocks.
struct Touched {
    writer: Box<[CommandId]>,
    wrote: Box<[Tag]>,
    reader: Box<[CommandId]>,
    read: Box<[Tag]>,
}

/// Block number (27 bits), whether atomic, and the bytes of the word (4 bits).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tag(u32);

impl Tag {
    const ATOMIC: u32 = 1 << 4;
    const MANY: u32 = u32::MAX >> 5;

    fn new(block: u32, atomic: bool, mask: u32) -> Tag {
        Tag(block << 5 | if atomic { Tag::ATOMIC } else { 0 } | mask)
    }

    fn block(self) -> u32 {
        self.0 >> 5
    }

    fn overlaps(self, mask: u32) -> bool {
        self.0 & mask & 15 != 0
    }

    fn atomic(self) -> bool {
        self.0 & Tag::ATOMIC != 0
    }

    /// With another access of the same block: all the bytes, and atomic only if both are.
    fn joined(self, other: Tag) -> Tag {
        Tag((self.0 | other.0) & !Tag::ATOMIC | self.0 & other.0 & Tag::ATOMIC)
    }
}

struct Allocation {
    bytes: usize,
    live: bool,
    constant: bool,
    /// Whether a kernel has written to it.
    computed: Cell<bool>,
    data: UnsafeCell<Box<[u8]>>,
    /// One byte a byte: 0 until it is written.
    written: UnsafeCell<Box<[u8]>>,
    /// Entries for 4-byte words; none when races are not checked.
    touched: UnsafeCell<Touched>,
}

/// The device's memory.
///
/// Kernels write through `&Memory`: the driver holds its one lock for as long as a command runs, so there is one
/// accessor at a time, and no reference into an allocation outlives the call that made it. The `UnsafeCell`s keep
/// the type from being `Sync`, so the compiler holds callers to that.
pub struct Memory {
    checks: Checks,
    allocations: Vec<Allocation>,
}

/// One accessor: a command, and within a launch one of its blocks.
pub(crate) struct Actor<'a> {
    access: &'a Access<'a>,
    /// Number of the block, from 1; 0 for copies.
    block: u32,
    /// Commands known to be ordered before this one, a cache over `access.ordered`.
    before: [Cell<CommandId>; 64],
}

impl<'a> Actor<'a> {
    pub(crate) fn new(access: &'a Access<'a>) -> Self {
        Actor { access, block: 0, before: [const { Cell::new(0) }; 64] }
    }

    /// Goes on as another block; numbers wrap at 2^27 - 2, beyond any grid that can be interpreted in a lifetime.
    pub(crate) fn set_block(&mut self, number: u32) {
        self.block = number % (Tag::MANY - 1) + 1;
    }

    fn is_after(&self, earlier: CommandId) -> bool {
        let known = &self.before[earlier as usize % self.before.len()];
        if earlier == 0 || known.get() == earlier {
            return true;
        }
        let ordered = (self.access.ordered)(earlier, self.access.by);
        if ordered {
            known.set(earlier);
        }
        ordered
    }
}

/// What a kernel's access is, besides its place.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Reads and writes at once, ordered with other atomic accesses.
    Atomic,
}

impl Purpose {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Purpose::Read => Kind::Read,
            Purpose::Write | Purpose::Atomic => Kind::Write,
        }
    }
}

impl Memory {
    /// Memory without allocations.
    #[must_use]
    pub fn new(checks: Checks) -> Self {
        Memory { checks, allocations: Vec::new() }
    }

    /// Allocates; the offset of the first byte is 0, so any alignment holds. The bytes are poisoned.
    ///
    /// # Panics
    /// After 2^24 - 1 allocations: numbers are never used again, so that stale pointers are found.
    pub fn allocate(&mut self, bytes: usize) -> Address {
        self.push(vec![POISON; bytes], 0, false)
    }

    /// Allocates a module variable, whose every byte has a value.
    pub(crate) fn allocate_variable(&mut self, contents: Vec<u8>, constant: bool) -> Address {
        self.push(contents, 1, constant)
    }

    fn push(&mut self, contents: Vec<u8>, written: u8, constant: bool) -> Address {
        let bytes = contents.len();
        let words = if self.checks.races { bytes.div_ceil(4) } else { 0 };
        self.allocations.push(Allocation {
            bytes,
            live: true,
            constant,
            computed: Cell::new(false),
            data: UnsafeCell::new(contents.into_boxed_slice()),
            written: UnsafeCell::new(vec![written; bytes].into_boxed_slice()),
            touched: UnsafeCell::new(Touched::new(words)),
        });
        let number = self.allocations.len() as u64;
        assert!(number < 1 << (64 - OFFSET_BITS), "more allocations than addresses can name");
        number << OFFSET_BITS
    }

    /// Frees an allocation.
    ///
    /// # Errors
    /// If it was freed before, or the address is not the start of an allocation.
    pub fn free(&mut self, at: Address) -> Result<(), Fault> {
        let number = (at >> OFFSET_BITS) as usize;
        let offset = at & OFFSET_MASK;
        match number.checked_sub(1).and_then(|index| self.allocations.get_mut(index)) {
            Some(allocation) if allocation.live && offset == 0 => {
                allocation.live = false;
                *allocation.data.get_mut() = Box::default();
                *allocation.written.get_mut() = Box::default();
                *allocation.touched.get_mut() = Touched::new(0);
                Ok(())
            }
            Some(allocation) => Err(Fault::BadFree { address: at, again: !allocation.live && offset == 0 }),
            None => Err(Fault::BadFree { address: at, again: false }),
        }
    }

    /// Bytes in live allocations.
    #[must_use]
    pub fn used(&self) -> usize {
        self.live().map(|(_, bytes)| bytes).sum()
    }

    /// Live allocations: address and bytes.
    pub fn live(&self) -> impl Iterator<Item = (Address, usize)> {
        let numbered = self.allocations.iter().enumerate();
        numbered.filter(|(_, a)| a.live).map(|(index, a)| ((index as u64 + 1) << OFFSET_BITS, a.bytes))
    }

    /// The size of the live allocation there if no kernel has written to it.
    pub(crate) fn constant(&self, at: Address) -> Option<usize> {
        let (allocation, _) = self.locate(at, 0, Kind::Read).ok()?;
        (!allocation.computed.get()).then_some(allocation.bytes)
    }

    /// Whether these bytes are all in one live allocation.
    #[must_use]
    pub fn contains(&self, at: Address, bytes: usize) -> bool {
        self.locate(at, bytes, Kind::Read).is_ok()
    }

    /// Copies from the device.
    ///
    /// # Errors
    /// Bounds, freed memory, bytes that nobody wrote, races.
    pub fn read(&self, at: Address, out: &mut [u8], access: &Access<'_>) -> Result<(), Fault> {
        let from = self.access(at, out.len(), Purpose::Read, &Actor::new(access))?;
        // SAFETY: `access` found `out.len()` bytes at `from`; `out` is the caller's, never device memory.
        unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copies to the device.
    ///
    /// # Errors
    /// Bounds, freed memory, races.
    pub fn write(&self, at: Address, data: &[u8], access: &Access<'_>) -> Result<(), Fault> {
        let to = self.access(at, data.len(), Purpose::Write, &Actor::new(access))?;
        // SAFETY: `access` found `data.len()` bytes at `to`; `data` is the caller's, never device memory.
        unsafe { to.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(())
    }

    /// Fills with one byte.
    ///
    /// # Errors
    /// Bounds, freed memory, races.
    pub fn fill(&self, at: Address, byte: u8, bytes: usize, access: &Access<'_>) -> Result<(), Fault> {
        let to = self.access(at, bytes, Purpose::Write, &Actor::new(access))?;
        // SAFETY: `access` found that many bytes there.
        unsafe { to.write_bytes(byte, bytes) };
        Ok(())
    }

    /// Copies within the device.
    ///
    /// # Errors
    /// Bounds, freed memory, bytes that nobody wrote, races.
    pub fn copy(&self, to: Address, from: Address, bytes: usize, access: &Access<'_>) -> Result<(), Fault> {
        let actor = Actor::new(access);
        let source = self.access(from, bytes, Purpose::Read, &actor)?;
        let target = self.access(to, bytes, Purpose::Write, &actor)?;
        // SAFETY: `access` found that many bytes at both places; they may overlap, which `copy` allows.
        unsafe { source.copy_to(target, bytes) };
        Ok(())
    }

    fn locate(&self, at: Address, bytes: usize, kind: Kind) -> Result<(&Allocation, usize), Fault> {
        let number = (at >> OFFSET_BITS) as usize;
        let offset = (at & OFFSET_MASK) as usize;
        match self.allocations.get(number.wrapping_sub(1)) {
            Some(a) if a.live && offset + bytes <= a.bytes => Ok((a, offset)),
            Some(a) if a.live => {
                Err(Fault::OutOfBounds { kind, space: Space::Global, address: at, bytes, limit: a.bytes })
            }
            Some(_) => Err(Fault::Freed { kind, address: at, bytes }),
            None => Err(Fault::NoAllocation { kind, address: at, bytes }),
        }
    }

    /// Checks an access and notes it; the pointer is good for `bytes` bytes until the next call that takes
    /// `&mut self`.
    #[inline]
    pub(crate) fn access(
        &self,
        at: Address,
        bytes: usize,
        purpose: Purpose,
        actor: &Actor<'_>,
    ) -> Result<*mut u8, Fault> {
        let (allocation, offset) = self.locate(at, bytes, purpose.kind())?;
        let kernel_write = actor.block != 0 && !matches!(purpose, Purpose::Read);
        if allocation.constant && kernel_write {
            return Err(Fault::Constant { address: at, bytes });
        }
        if kernel_write {
            allocation.computed.set(true);
        }
        if self.checks.races {
            // SAFETY: one accessor at a time (see `Memory`), and the reference ends with this statement.
            let touched = unsafe { &mut *allocation.touched.get() };
            touched.touch(at, bytes, purpose, actor)?;
        }
        if self.checks.uninitialised {
            // SAFETY: one accessor at a time (see `Memory`), and the reference ends in this block.
            let written = unsafe { &mut (&mut *allocation.written.get())[offset..offset + bytes] };
            if !matches!(purpose, Purpose::Write)
                && let Some(first) = written.iter().position(|byte| *byte == 0)
            {
                return Err(Fault::Uninitialised { space: Space::Global, address: at + first as u64 });
            }
            if !matches!(purpose, Purpose::Read) {
                written.fill(1);
            }
        }
        // SAFETY: one accessor at a time (see `Memory`); `locate` put the offset within the allocation.
        Ok(unsafe { (*allocation.data.get()).as_mut_ptr().add(offset) })
    }
}

/// A conflict with an earlier access.
struct Conflict {
    kind: Kind,
    command: CommandId,
    tag: Tag,
}

impl Conflict {
    #[cold]
    fn at(self, address: Address, purpose: Purpose, actor: &Actor<'_>) -> Fault {
        let (kind, earlier_kind) = (purpose.kind(), self.kind);
        if self.command == actor.access.by {
            let block = (self.tag.block() != Tag::MANY).then(|| self.tag.block() - 1);
            Fault::BlockRace { kind, address, earlier_kind, block }
        } else {
            Fault::Race { kind, address, earlier_kind, earlier: self.command, later: actor.access.by }
        }
    }
}

impl Touched {
    fn new(words: usize) -> Self {
        let commands = || vec![0; words].into_boxed_slice();
        let tags = || vec![Tag::default(); words].into_boxed_slice();
        Touched { writer: commands(), wrote: tags(), reader: commands(), read: tags() }
    }

    /// Checks an access against the last ones to its words, and notes it.
    #[inline]
    fn touch(&mut self, at: Address, bytes: usize, purpose: Purpose, actor: &Actor<'_>) -> Result<(), Fault> {
        let (first, end) = ((at & OFFSET_MASK) as usize, (at & OFFSET_MASK) as usize + bytes);
        let words = first / 4..end.div_ceil(4);
        let common = (first | bytes).is_multiple_of(4)
            && bytes != 0
            && match purpose {
                Purpose::Read => self.read_whole(words.clone(), actor),
                Purpose::Write => self.write_whole(words.clone(), actor),
                Purpose::Atomic => false,
            };
        if common {
            return Ok(());
        }
        for word in words {
            let below = first.saturating_sub(word * 4);
            let above = (word * 4 + 4).saturating_sub(end);
            let mask = (15 << below) & (15 >> above);
            if let Err(race) = self.meet(word, mask, purpose, actor) {
                return Err(race.at((at & !OFFSET_MASK) + word as u64 * 4, purpose, actor));
            }
        }
        Ok(())
    }

    /// Whether one command made all the last accesses to some words, and none of them is in the way of `actor`.
    #[inline(always)]
    fn clear(commands: &[CommandId], tags: &[Tag], actor: &Actor<'_>) -> bool {
        let (command, own) = (commands[0], Tag::new(actor.block, false, 0));
        let mut mixed = 0;
        for other in commands {
            mixed |= other ^ command;
        }
        if mixed != 0 {
            return false;
        }
        if command != actor.access.by {
            return actor.is_after(command);
        }
        let mut foreign = 0;
        for tag in tags {
            foreign |= (tag.0 ^ own.0) >> 5;
        }
        foreign == 0
    }

    /// Reads whole words in the common case; false if it is not that, and then nothing is noted.
    #[inline(always)]
    fn read_whole(&mut self, words: std::ops::Range<usize>, actor: &Actor<'_>) -> bool {
        if !Touched::clear(&self.writer[words.clone()], &self.wrote[words.clone()], actor) {
            return false;
        }
        let (mine, many) = (Tag::new(actor.block, false, 15), Tag::new(Tag::MANY, false, 15));
        let readers = self.reader[words.clone()].iter_mut().zip(&mut self.read[words]);
        for (reader, read) in readers {
            let other_block = *reader == actor.access.by && (read.0 ^ mine.0) >> 5 != 0;
            *read = if other_block { many } else { mine };
            *reader = actor.access.by;
        }
        true
    }

    /// Writes whole words in the common case, as [`Touched::read_whole`] reads.
    #[inline(always)]
    fn write_whole(&mut self, words: std::ops::Range<usize>, actor: &Actor<'_>) -> bool {
        let free = Touched::clear(&self.writer[words.clone()], &self.wrote[words.clone()], actor)
            && Touched::clear(&self.reader[words.clone()], &self.read[words.clone()], actor);
        if free {
            self.writer[words.clone()].fill(actor.access.by);
            self.wrote[words].fill(Tag::new(actor.block, false, 15));
        }
        free
    }

    #[inline]
    fn meet(&mut self, word: usize, mask: u32, purpose: Purpose, actor: &Actor<'_>) -> Result<(), Conflict> {
        let by = actor.access.by;
        let atomic = matches!(purpose, Purpose::Atomic);
        let mine = Tag::new(actor.block, atomic, mask);
        // Atomic accesses of one launch order themselves.
        let free = |command: CommandId, tag: Tag| {
            if command == by {
                tag.block() == actor.block || (atomic && tag.atomic()) || actor.block == 0
            } else {
                actor.is_after(command)
            }
        };
        let (writer, wrote) = (&mut self.writer[word], &mut self.wrote[word]);
        if wrote.overlaps(mask) && !free(*writer, *wrote) {
            return Err(Conflict { kind: Kind::Write, command: *writer, tag: *wrote });
        }
        let (reader, read) = (&mut self.reader[word], &mut self.read[word]);
        if matches!(purpose, Purpose::Read) {
            *read = match *reader == by && read.0 != 0 {
                true if read.block() != actor.block => Tag::new(Tag::MANY, false, (read.0 | mask) & 15),
                true => read.joined(mine),
                false => mine,
            };
            *reader = by;
            return Ok(());
        }
        if read.overlaps(mask) && !free(*reader, *read) {
            return Err(Conflict { kind: Kind::Read, command: *reader, tag: *read });
        }
        let again = *writer == by && wrote.block() == actor.block;
        *wrote = if again { wrote.joined(mine) } else { mine };
        *writer = by;
        Ok(())
    }
}
