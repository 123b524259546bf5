//! Events: marks in streams that other streams and the host wait for.

use super::abi::{EVENT_DISABLE_TIMING, EVENT_FLAGS, Handle};
use super::clock::Mark;
use super::code::{CUresult, Outcome};
use super::operation::Work;
use super::state::Driver;
use super::stream::Membership;

/// What an event stands for.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    Never,
    /// An operation of a stream.
    Operation(Mark),
    /// Nodes of a graph that is or was being captured.
    Nodes {
        capture: Handle,
        nodes: Vec<usize>,
    },
}

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) device: usize,
    timing: bool,
    state: Recorded,
}

impl Driver {
    pub(crate) fn create_event(&mut self, flags: u32) -> Outcome<Handle> {
        let device = self.usable()?;
        if flags & !EVENT_FLAGS != 0 {
            return Err(CUresult::INVALID_VALUE);
        }
        if let Some(code) = self.injection.strike("event", CUresult::OUT_OF_MEMORY) {
            return Err(code);
        }
        let handle = self.new_handle();
        let timing = flags & EVENT_DISABLE_TIMING == 0;
        self.events.insert(handle, Event { device, timing, state: Recorded::Never });
        Ok(handle)
    }

    pub(crate) fn destroy_event(&mut self, handle: Handle) -> Outcome {
        match self.events.remove(&handle) {
            Some(event) => self.health(event.device),
            None => {
                let text = format!("cuEventDestroy: {handle:#x} is no event, or was destroyed before");
                Err(self.refuse(text, CUresult::INVALID_HANDLE))
            }
        }
    }

    fn event(&self, handle: Handle) -> Outcome<&Event> {
        let event = self.events.get(&handle).ok_or(CUresult::INVALID_HANDLE)?;
        self.health(event.device)?;
        Ok(event)
    }

    pub(crate) fn record_event(&mut self, event: Handle, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        let device = self.event(event)?.device;
        if device != self.streams[&stream].device {
            return Err(CUresult::INVALID_HANDLE);
        }
        let state = match &self.streams[&stream].capture {
            Some(Membership { capture, tail }) => {
                let (capture, nodes) = (*capture, tail.clone());
                self.valid_capture(capture)?;
                Recorded::Nodes { capture, nodes }
            }
            None => Recorded::Operation(self.issue_after(stream, Work::Record, None, None)?),
        };
        if let Some(event) = self.events.get_mut(&event) {
            event.state = state;
        }
        Ok(())
    }

    pub(crate) fn wait_for_event(&mut self, stream: Handle, event: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        self.health(self.streams[&stream].device)?;
        let captured = self.streams[&stream].capture.as_ref().map(|member| member.capture);
        match (self.event(event)?.state.clone(), captured) {
            (Recorded::Nodes { capture, nodes }, _) => self.join_capture(stream, capture, &nodes),
            // An event from outside ties the graph to work that no launch repeats. One that was never recorded is
            // refused as well, though it would tie nothing: whether it was depends on what ran before.
            (_, Some(capture)) => {
                self.invalidate(capture);
                Err(CUresult::STREAM_CAPTURE_ISOLATION)
            }
            (Recorded::Never, None) => Ok(()),
            (Recorded::Operation(mark), None) => self.issue_after(stream, Work::Wait, Some(mark), None).map(drop),
        }
    }

    fn recorded(&self, handle: Handle) -> Outcome<Option<Mark>> {
        match &self.event(handle)?.state {
            Recorded::Never => Ok(None),
            Recorded::Operation(mark) => Ok(Some(mark.clone())),
            Recorded::Nodes { .. } => Err(CUresult::CAPTURED_EVENT),
        }
    }

    pub(crate) fn synchronise_event(&mut self, handle: Handle) -> Outcome {
        let device = self.event(handle)?.device;
        let mark = self.recorded(handle)?;
        self.forbid_while_capturing(None)?;
        mark.map_or(Ok(()), |mark| self.wait(device, &[mark]))
    }

    pub(crate) fn query_event(&mut self, handle: Handle) -> Outcome {
        let device = self.event(handle)?.device;
        let mark = self.recorded(handle)?;
        self.forbid_while_capturing(None)?;
        mark.map_or(Ok(()), |mark| self.query(device, &[mark]))
    }

    /// Milliseconds of the simulated clock between two events.
    pub(crate) fn elapsed(&mut self, start: Handle, end: Handle) -> Outcome<f32> {
        let mut times = [0; 2];
        for (time, handle) in times.iter_mut().zip([start, end]) {
            if !self.event(handle)?.timing {
                return Err(CUresult::INVALID_HANDLE);
            }
            let mark = self.recorded(handle)?.ok_or(CUresult::INVALID_HANDLE)?;
            if !self.has_ended(&mark) {
                return Err(CUresult::NOT_READY);
            }
            *time = self.ordering.end(mark.id);
        }
        Ok(((times[1] as f64 - times[0] as f64) / 1e6) as f32)
    }
}
