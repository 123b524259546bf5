//! Work that is recorded once and started by one call, and marks in streams.

use cudarc::driver::{result, sys};

use crate::error::Context;
use crate::stream::Stream;
use crate::{Device, Error};

/// Whether an event keeps the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    On,
    Off,
}

/// A mark on a stream; whoever waits for it sleeps.
#[derive(Debug)]
pub(crate) struct Event {
    device: Device,
    handle: sys::CUevent,
}

// SAFETY: an event may be used from any thread that has its context, which every caller binds first.
unsafe impl Send for Event {}

impl Event {
    pub(crate) fn new(device: &Device, timing: Timing) -> Result<Self, Error> {
        use sys::CUevent_flags::{CU_EVENT_BLOCKING_SYNC as SLEEP, CU_EVENT_DISABLE_TIMING as UNTIMED};
        let flags = SLEEP as u32 | if timing == Timing::Off { UNTIMED as u32 } else { 0 };
        let mut handle = std::ptr::null_mut();
        let _bound = device.bind()?;
        // SAFETY: the context is bound; the flags may be combined.
        unsafe { sys::cuEventCreate(&mut handle, flags) }.result().during("making an event")?;
        Ok(Self { device: device.clone(), handle })
    }

    pub(crate) fn record(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: event and stream live and are of one context.
        unsafe { result::event::record(self.handle, stream.handle()) }.during("recording an event")
    }

    /// Waits for it; an error is one of what came before it.
    pub(crate) fn synchronize(&self, what: &'static str) -> Result<(), Error> {
        // SAFETY: the event lives.
        unsafe { result::event::synchronize(self.handle) }.during(what)
    }

    /// Milliseconds from this event to a later one; both are timed and over.
    pub(crate) fn elapsed(&self, later: &Self) -> Result<f32, Error> {
        // SAFETY: both events live.
        unsafe { result::event::elapsed(self.handle, later.handle) }.during("reading the time")
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _bound = self.device.bind();
        // SAFETY: the event is destroyed once.
        let _ = unsafe { result::event::destroy(self.handle) };
    }
}

/// A program that was captured.
#[derive(Debug)]
pub(crate) struct Graph {
    device: Device,
    handle: sys::CUgraphExec,
}

// SAFETY: a graph may be launched from any thread that has its context, by one at a time: its slot is not shared.
unsafe impl Send for Graph {}

impl Graph {
    /// What `issue` puts on the stream, which is not run now. The context must be bound.
    pub(crate) fn capture(
        device: &Device,
        stream: &Stream,
        issue: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives and is not capturing.
        unsafe { result::stream::begin_capture(stream.handle(), mode) }.during("beginning a graph")?;
        let issued = issue();
        // SAFETY: the stream is capturing. The capture is ended whatever was issued, or the stream could not be used.
        let template = unsafe { result::stream::end_capture(stream.handle()) };
        if let (Err(_), Ok(template)) = (&issued, template) {
            // SAFETY: the template came from a capture that ended well, and nothing else has it.
            let _ = unsafe { result::graph::destroy(template) };
        }
        issued?;
        Self::new(template.during("ending a graph")?, device, stream)
    }

    fn new(template: sys::CUgraph, device: &Device, stream: &Stream) -> Result<Self, Error> {
        // SAFETY: the template came from a capture that ended well; it is destroyed once, after its last use.
        let handle = unsafe {
            let made = result::graph::instantiate(template, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(template);
            made
        };
        let graph = Self { device: device.clone(), handle: handle.during("making a graph")? };
        // SAFETY: graph and stream live.
        unsafe { result::graph::upload(graph.handle, stream.handle()) }.during("uploading a graph")?;
        Ok(graph)
    }

    pub(crate) fn launch(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: graph and stream live.
        unsafe { result::graph::launch(self.handle, stream.handle()) }.during("starting a frame")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _bound = self.device.bind();
        // SAFETY: the graph is destroyed once, and the driver waits for its last launch.
        let _ = unsafe { result::graph::exec_destroy(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use ptx_standin::harness;

    use super::*;
    use crate::{Buffer, Issue, Slot};

    #[test]
    fn another_thread_may_prepare_while_a_graph_is_captured() {
        if let Some(outcome) = harness::rerun("graph::tests::another_thread_may_prepare_while_a_graph_is_captured", &[])
        {
            return outcome.assert_clean();
        }
        let device = Device::open(0).unwrap();
        let prepare = || {
            let zeros = Buffer::zeroed(&device, 64).unwrap();
            let (buffer, mut bytes) = (Buffer::from_slice(&device, &[7_u8; 64]).unwrap(), [0; 64]);
            buffer.read(&mut bytes).unwrap();
            assert_eq!(bytes, [7; 64]);
            let mut slot = Slot::new(&device, buffer, zeros, Issue::Graph).unwrap();
            slot.add(Vec::new()).unwrap();
        };
        let stream = device.stream().unwrap();
        let _bound = device.bind().unwrap();
        let graph = Graph::capture(&device, &stream, || {
            thread::scope(|scope| scope.spawn(prepare).join()).unwrap();
            Ok(())
        });
        graph.unwrap();
    }
}
