//! Pinned host memory: which copies use it, and whether they have ended when it goes.

use std::alloc::{Layout, alloc, dealloc};

use crate::memory::CommandId;

use super::clock::Mark;
use super::code::{CUresult, Outcome};
use super::operation::Work;
use super::state::Driver;

/// Memory that the driver allocated for the host.
#[derive(Debug)]
struct Storage {
    /// As a number: the driver moves between threads, and only the copies of the user follow it.
    at: usize,
    layout: Layout,
}

/// What fresh pinned memory holds.
const POISON: u8 = 0xcd;
const PAGE: usize = 4096;

impl Storage {
    fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes, PAGE).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout has a size.
        let at = unsafe { alloc(layout) };
        if at.is_null() {
            return None;
        }
        // SAFETY: as many bytes were just allocated.
        unsafe { at.write_bytes(POISON, bytes) };
        Some(Self { at: at.expose_provenance(), layout })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`, and freed here alone.
        unsafe { dealloc(std::ptr::with_exposed_provenance_mut(self.at), self.layout) };
    }
}

/// A copy that reads or writes a part of pinned memory.
#[derive(Clone, Debug)]
struct Use {
    id: CommandId,
    device: usize,
    start: usize,
    end: usize,
    writes: bool,
}

/// Pinned memory: allocated here, or the user's and registered.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) device: usize,
    pub(crate) bytes: usize,
    storage: Option<Storage>,
    uses: Vec<Use>,
}

impl Driver {
    pub(crate) fn allocate_host(&mut self, bytes: usize) -> Outcome<usize> {
        let device = self.usable()?;
        self.forbid_while_capturing(None)?;
        if bytes == 0 {
            return Err(CUresult::INVALID_VALUE);
        }
        if let Some(code) = self.injection.strike("host", CUresult::OUT_OF_MEMORY) {
            return Err(code);
        }
        let storage = Storage::new(bytes).ok_or(CUresult::OUT_OF_MEMORY)?;
        let at = storage.at;
        self.pinned.insert(at, Pinned { device, bytes, storage: Some(storage), uses: Vec::new() });
        Ok(at)
    }

    pub(crate) fn register_host(&mut self, at: usize, bytes: usize) -> Outcome {
        let device = self.usable()?;
        self.forbid_while_capturing(None)?;
        if at == 0 || bytes == 0 {
            return Err(CUresult::INVALID_VALUE);
        }
        if self.pinned.range(..at + bytes).next_back().is_some_and(|(other, pinned)| other + pinned.bytes > at) {
            return Err(CUresult::HOST_MEMORY_ALREADY_REGISTERED);
        }
        if let Some(code) = self.injection.strike("host", CUresult::OUT_OF_MEMORY) {
            return Err(code);
        }
        self.pinned.insert(at, Pinned { device, bytes, storage: None, uses: Vec::new() });
        Ok(())
    }

    /// Start of the pinned memory that an address lies in.
    pub(crate) fn pinned_at(&self, at: usize) -> Option<usize> {
        let (start, pinned) = self.pinned.range(..=at).next_back()?;
        (at < start + pinned.bytes).then_some(*start)
    }

    pub(crate) fn free_host(&mut self, at: usize) -> Outcome {
        match self.pinned.get(&at) {
            Some(pinned) if pinned.storage.is_some() => self.let_go(at),
            _ => {
                let text = format!("cuMemFreeHost: {at:#x} is no pinned allocation, or was freed before");
                Err(self.refuse(text, CUresult::INVALID_VALUE))
            }
        }
    }

    pub(crate) fn unregister_host(&mut self, at: usize) -> Outcome {
        match self.pinned.get(&at) {
            Some(pinned) if pinned.storage.is_none() => self.let_go(at),
            _ => {
                let text = format!("cuMemHostUnregister: {at:#x} is not registered");
                Err(self.refuse(text, CUresult::HOST_MEMORY_NOT_REGISTERED))
            }
        }
    }

    /// Pinned memory goes: it is too early while a copy may still use it.
    fn let_go(&mut self, at: usize) -> Outcome {
        let pinned = self.pinned.remove(&at).ok_or(CUresult::INVALID_VALUE)?;
        for used in &pinned.uses {
            if self.ordering.is_known(used.id) || self.health(used.device).is_err() {
                continue;
            }
            let text = format!(
                "pinned host memory {at:#x} is freed, and nothing says that a copy has ended: {}",
                self.log.describe(used.id)
            );
            self.break_context(used.device, text, Some(used.id), CUresult::ILLEGAL_ADDRESS);
        }
        self.health(pinned.device)
    }

    /// Notes that an operation uses pinned memory; it may not touch what another one uses that is not ordered.
    pub(crate) fn use_host_memory(&mut self, device: usize, mark: &Mark, work: &Work) {
        let Some((at, bytes, writes)) = work.host_memory() else { return };
        let Some(start) = self.pinned_at(at) else { return };
        let Some(pinned) = self.pinned.get_mut(&start) else { return };
        if at + bytes > start + pinned.bytes {
            let limit = pinned.bytes;
            let text = format!(
                "copy of {bytes} bytes at {at:#x}: out of bounds, {limit} bytes of pinned memory at {start:#x}"
            );
            return self.break_context(device, text, Some(mark.id), CUresult::ILLEGAL_ADDRESS);
        }
        pinned.uses.retain(|other| !self.ordering.is_known(other.id));
        let (end, ordering) = (at + bytes, &self.ordering);
        let clash = pinned.uses.iter().find(|other| {
            (writes || other.writes) && other.start < end && at < other.end && !ordering.within(other.id, &mark.clock)
        });
        let clash = clash.map(|other| other.id);
        pinned.uses.push(Use { id: mark.id, device, start: at, end, writes });
        if let Some(other) = clash.filter(|_| self.config.races) {
            let (one, two) = (self.log.describe(other), self.log.describe(mark.id));
            let text = format!("race on pinned host memory at {at:#x}, nothing orders the copies: {one}; {two}");
            self.break_context(device, text, Some(mark.id), CUresult::LAUNCH_FAILED);
        }
    }
}
