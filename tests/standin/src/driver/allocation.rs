//! Device memory as users allocate and free it.

use crate::memory::Address;

use super::abi::{CUdeviceptr, Handle};
use super::code::{CUresult, Outcome};
use super::operation::Work;
use super::state::Driver;

impl Driver {
    pub(crate) fn allocate(&mut self, bytes: usize) -> Outcome<CUdeviceptr> {
        let device = self.usable()?;
        self.forbid_while_capturing(None)?;
        self.allocate_on(device, bytes)
    }

    /// Memory from a pool, in stream order; it is there at once, which a pool promises to the one stream alone.
    pub(crate) fn allocate_async(&mut self, bytes: usize, stream: Handle) -> Outcome<CUdeviceptr> {
        let stream = self.stream(stream)?;
        let device = self.streams[&stream].device;
        self.health(device)?;
        if self.streams[&stream].capture.is_some() {
            eprintln!("ptx-standin: memory that a graph allocates is not supported");
            return Err(CUresult::NOT_SUPPORTED);
        }
        self.forbid_implicit_dependency(stream)?;
        self.allocate_on(device, bytes)
    }

    fn allocate_on(&mut self, device: usize, bytes: usize) -> Outcome<CUdeviceptr> {
        if bytes == 0 {
            return Err(CUresult::INVALID_VALUE);
        }
        if let Some(code) = self.injection.strike("alloc", CUresult::OUT_OF_MEMORY) {
            return Err(code);
        }
        let fits = |driver: &Self| bytes <= driver.config.memory.saturating_sub(driver.devices[device].used);
        if !fits(self) {
            // Frees may be pending: a pool waits for them before it gives up.
            while !fits(self) && self.step() {}
            self.health(device)?;
        }
        if !fits(self) {
            return Err(CUresult::OUT_OF_MEMORY);
        }
        let place = &mut self.devices[device];
        let at = place.memory.allocate(bytes);
        place.allocations.insert(at, bytes);
        place.used += bytes;
        place.peak = place.peak.max(place.used);
        Ok(at)
    }

    /// Free and total bytes.
    pub(crate) fn memory_info(&self) -> Outcome<(usize, usize)> {
        let device = self.usable()?;
        Ok((self.config.memory.saturating_sub(self.devices[device].used), self.config.memory))
    }

    /// The device and size of an allocation that is not being freed.
    fn allocation(&self, at: Address) -> Option<(usize, usize)> {
        self.devices.iter().enumerate().find_map(|(device, place)| {
            let bytes = place.allocations.get(&at).filter(|_| !place.freeing.contains(&at))?;
            Some((device, *bytes))
        })
    }

    fn bad_free(&mut self, call: &str, at: Address) -> CUresult {
        self.refuse(format!("{call}: {at:#x} is no allocation, or was freed before"), CUresult::INVALID_VALUE)
    }

    /// Frees memory after all work of its device.
    pub(crate) fn free(&mut self, at: CUdeviceptr) -> Outcome {
        self.current()?;
        if at == 0 {
            return Ok(());
        }
        let Some((device, bytes)) = self.allocation(at) else { return Err(self.bad_free("cuMemFree", at)) };
        if self.health(device).is_ok() {
            self.forbid_while_capturing(None)?;
        }
        let waited = self.wait_for_device(device);
        self.forget(device, at, bytes);
        waited
    }

    /// Frees memory in stream order.
    pub(crate) fn free_async(&mut self, at: CUdeviceptr, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        if at == 0 {
            return Ok(());
        }
        let Some((device, bytes)) = self.allocation(at) else { return Err(self.bad_free("cuMemFreeAsync", at)) };
        if self.streams[&stream].capture.is_some() {
            eprintln!("ptx-standin: a graph can free only what it allocated, {at:#x} was allocated outside");
            return Err(CUresult::INVALID_VALUE);
        }
        self.devices[device].freeing.insert(at);
        let issued = self.issue(stream, Work::Free { at, bytes }, None);
        if issued.is_err() {
            self.forget(device, at, bytes);
        }
        issued
    }

    /// Memory is gone, and what keeps account of it.
    pub(crate) fn forget(&mut self, device: usize, at: Address, bytes: usize) {
        let place = &mut self.devices[device];
        if place.allocations.remove(&at).is_some() {
            place.freeing.remove(&at);
            place.used -= bytes;
            place.memory.free(at).expect("an allocation that is listed");
        }
    }
}
