//! Contexts: one a device, its primary one.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread::ThreadId;

use super::abi::{CUdevice, Handle};
use super::code::{CUresult, Outcome};
use super::state::Driver;
use super::stream::StreamKind;

/// A device's primary context.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// How often it is retained; it exists while this is not 0.
    pub(crate) retained: u32,
    pub(crate) flags: u32,
    /// The code that every call gives since something went wrong on the device.
    pub(crate) broken: Option<CUresult>,
    /// The legacy default stream.
    pub(crate) legacy: Handle,
    pub(crate) per_thread: HashMap<ThreadId, Handle>,
}

/// The handle of device 0's context; others follow.
const FIRST_CONTEXT: Handle = 0x5a59_0000_0000_0010;

thread_local! {
    /// The context that the thread has made current; 0 for none.
    static CURRENT: Cell<Handle> = const { Cell::new(0) };
}

impl Driver {
    pub(crate) fn init(&mut self, flags: u32) -> Outcome {
        if flags != 0 {
            return Err(CUresult::INVALID_VALUE);
        }
        if self.devices.is_empty() {
            return Err(CUresult::NO_DEVICE);
        }
        self.initialised = true;
        Ok(())
    }

    pub(crate) fn device(&self, ordinal: CUdevice) -> Outcome<usize> {
        if !self.initialised {
            return Err(CUresult::NOT_INITIALIZED);
        }
        usize::try_from(ordinal).ok().filter(|index| *index < self.devices.len()).ok_or(CUresult::INVALID_DEVICE)
    }

    fn context_device(&self, context: Handle) -> Option<usize> {
        let index = context.checked_sub(FIRST_CONTEXT)? / 16;
        usize::try_from(index).ok().filter(|index| *index < self.devices.len() && context.is_multiple_of(16))
    }

    pub(crate) fn context_handle(device: usize) -> Handle {
        FIRST_CONTEXT + device as u64 * 16
    }

    /// The device of the thread's current context, broken or not: to release, and to ask.
    pub(crate) fn current(&self) -> Outcome<usize> {
        if !self.initialised {
            return Err(CUresult::NOT_INITIALIZED);
        }
        let device = self.context_device(CURRENT.get()).ok_or(CUresult::INVALID_CONTEXT)?;
        if self.devices[device].context.retained == 0 {
            return Err(CUresult::CONTEXT_IS_DESTROYED);
        }
        Ok(device)
    }

    /// The code that everything on a device gives since a fault.
    pub(crate) fn health(&self, device: usize) -> Outcome {
        self.devices[device].context.broken.map_or(Ok(()), Err)
    }

    /// The device of the thread's current context, if it still works.
    pub(crate) fn usable(&self) -> Outcome<usize> {
        let device = self.current()?;
        self.health(device)?;
        Ok(device)
    }

    pub(crate) fn get_current(&self) -> Outcome<Handle> {
        if self.initialised { Ok(CURRENT.get()) } else { Err(CUresult::NOT_INITIALIZED) }
    }

    pub(crate) fn set_current(&self, context: Handle) -> Outcome {
        if !self.initialised {
            return Err(CUresult::NOT_INITIALIZED);
        }
        if context != 0 {
            let device = self.context_device(context).ok_or(CUresult::INVALID_CONTEXT)?;
            if self.devices[device].context.retained == 0 {
                return Err(CUresult::INVALID_CONTEXT);
            }
        }
        CURRENT.set(context);
        Ok(())
    }

    pub(crate) fn retain(&mut self, ordinal: CUdevice) -> Outcome<Handle> {
        let device = self.device(ordinal)?;
        if self.devices[device].context.retained == 0 {
            self.devices[device].context.legacy = self.open_stream(device, StreamKind::Legacy, 0);
        }
        self.devices[device].context.retained += 1;
        Ok(Self::context_handle(device))
    }

    pub(crate) fn release(&mut self, ordinal: CUdevice) -> Outcome {
        let device = self.device(ordinal)?;
        let context = &mut self.devices[device].context;
        context.retained = context.retained.checked_sub(1).ok_or(CUresult::INVALID_CONTEXT)?;
        if context.retained == 0 {
            self.end_context(device);
        }
        Ok(())
    }

    /// Ends a context though others may hold it; the next retain starts afresh, a fault before is forgotten.
    pub(crate) fn reset(&mut self, ordinal: CUdevice) -> Outcome {
        let device = self.device(ordinal)?;
        if self.devices[device].context.retained > 0 {
            self.end_context(device);
            self.devices[device].context.legacy = self.open_stream(device, StreamKind::Legacy, 0);
        }
        Ok(())
    }

    /// Runs what is pending, reports what nobody released, and releases it.
    fn end_context(&mut self, device: usize) {
        // A fault in the last work is reported; there is no call left to give its code.
        let _ = self.wait_for_device(device);
        self.report_leaks(device);
        self.release_all(device);
        let context = &mut self.devices[device].context;
        *context = Context { retained: context.retained, flags: context.flags, ..Context::default() };
        if self.devices.iter().all(|device| device.context.retained == 0) {
            self.write_report();
        }
    }

    fn release_all(&mut self, device: usize) {
        self.cancel(device);
        self.captures.retain(|_, capture| capture.device != device);
        self.graphs.retain(|_, graph| graph.device != device);
        self.events.retain(|_, event| event.device != device);
        self.pinned.retain(|_, pinned| pinned.device != device);
        let handles = |found: &mut dyn Iterator<Item = Handle>| found.collect::<Vec<_>>();
        for handle in handles(&mut self.executables.iter().filter(|(_, e)| e.device == device).map(|(h, _)| *h)) {
            self.drop_executable(handle);
        }
        for handle in handles(&mut self.modules.iter().filter(|(_, m)| m.device == device).map(|(h, _)| *h)) {
            self.drop_module(handle);
        }
        for handle in handles(&mut self.streams.iter().filter(|(_, s)| s.device == device).map(|(h, _)| *h)) {
            self.close_stream(handle);
        }
        let place = &mut self.devices[device];
        for at in std::mem::take(&mut place.allocations).into_keys() {
            place.memory.free(at).expect("an allocation that is listed");
        }
        place.freeing.clear();
        place.orphans.clear();
        place.used = 0;
    }

    fn report_leaks(&mut self, device: usize) {
        let streams = self.streams.iter().filter(|(_, s)| s.device == device && s.is_users());
        let mut leaks: Vec<(&str, u64, usize)> = streams.map(|(h, _)| ("stream", *h, 0)).collect();
        let place = &self.devices[device];
        leaks.extend(place.allocations.iter().map(|(at, bytes)| ("memory", *at, *bytes)));
        let pinned = self.pinned.iter().filter(|(_, p)| p.device == device);
        leaks.extend(pinned.map(|(at, p)| ("pinned memory", *at as u64, p.bytes)));
        leaks.extend(self.events.iter().filter(|(_, e)| e.device == device).map(|(h, _)| ("event", *h, 0)));
        leaks.extend(self.graphs.iter().filter(|(_, g)| g.device == device).map(|(h, _)| ("graph", *h, 0)));
        let executables = self.executables.iter().filter(|(_, e)| e.device == device);
        leaks.extend(executables.map(|(h, _)| ("executable graph", *h, 0)));
        leaks.extend(self.modules.iter().filter(|(_, m)| m.device == device).map(|(h, _)| ("module", *h, 0)));
        for (kind, handle, bytes) in leaks {
            self.log.leaked(kind, device, handle, bytes);
        }
    }

    /// At the end of the process: contexts that were never released, and all in them.
    pub(crate) fn report_leaks_at_exit(&mut self) {
        for device in 0..self.devices.len() {
            if self.devices[device].context.retained > 0 {
                self.report_leaks(device);
                self.log.leaked("context", device, Self::context_handle(device), 0);
            }
        }
    }

    /// The device is gone: nothing runs any more.
    pub(crate) fn lose(&mut self, code: CUresult) {
        if !std::mem::replace(&mut self.lost, true) {
            for device in 0..self.devices.len() {
                self.devices[device].context.broken = Some(code);
                self.cancel(device);
            }
        }
    }

    pub(crate) fn synchronise(&mut self) -> Outcome {
        let device = self.usable()?;
        self.forbid_while_capturing(Some(device))?;
        self.wait_for_device(device)
    }
}
