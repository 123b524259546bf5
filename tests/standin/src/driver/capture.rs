//! Capture: what is issued to a stream becomes nodes of a graph instead of running.

use std::collections::BTreeSet;
use std::thread::ThreadId;

use super::abi::Handle;
use super::code::{CUresult, Outcome};
use super::graph::{Graph, Node};
use super::operation::Work;
use super::state::Driver;
use super::stream::{Membership, StreamKind};

/// Which calls a capture forbids that might depend on its work ("cuStreamBeginCapture", `CUstreamCaptureMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those of every thread.
    Global,
    /// Those of the capturing thread.
    ThreadLocal,
    /// None.
    Relaxed,
}

impl Mode {
    fn new(number: u32) -> Outcome<Self> {
        match number {
            0 => Ok(Self::Global),
            1 => Ok(Self::ThreadLocal),
            2 => Ok(Self::Relaxed),
            _ => Err(CUresult::INVALID_VALUE),
        }
    }
}

/// A capture under way.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) device: usize,
    origin: Handle,
    mode: Mode,
    thread: ThreadId,
    /// Cleared by a call that cannot be captured; then the capture can only be ended, without a graph.
    pub(crate) valid: bool,
    nodes: Vec<Node>,
}

impl Driver {
    pub(crate) fn begin_capture(&mut self, handle: Handle, mode: u32) -> Outcome {
        let handle = self.stream(handle)?;
        let stream = &self.streams[&handle];
        self.health(stream.device)?;
        if stream.kind == StreamKind::Legacy {
            return Err(CUresult::STREAM_CAPTURE_UNSUPPORTED);
        }
        if stream.capture.is_some() {
            return Err(CUresult::ILLEGAL_STATE);
        }
        let mode = Mode::new(mode)?;
        let thread = std::thread::current().id();
        let capture = Capture { device: stream.device, origin: handle, mode, thread, valid: true, nodes: Vec::new() };
        let number = self.new_handle();
        self.captures.insert(number, capture);
        self.set_membership(handle, Some(Membership { capture: number, tail: Vec::new() }));
        Ok(())
    }

    /// Changes which captures forbid calls of this thread ("cuThreadExchangeStreamCaptureMode"); what it was.
    pub(crate) fn exchange_capture_mode(&mut self, mode: u32) -> Outcome<u32> {
        let before = self.capture_modes.insert(std::thread::current().id(), Mode::new(mode)?);
        Ok(before.unwrap_or(Mode::Global) as u32)
    }

    fn set_membership(&mut self, stream: Handle, member: Option<Membership>) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.capture = member;
        }
    }

    /// Ends a capture on the stream that began it; gives the graph.
    pub(crate) fn end_capture(&mut self, handle: Handle) -> Outcome<Handle> {
        let handle = self.stream(handle)?;
        let Some(member) = self.streams[&handle].capture.clone() else { return Err(CUresult::ILLEGAL_STATE) };
        let capture = self.captures.get(&member.capture).ok_or(CUresult::STREAM_CAPTURE_INVALIDATED)?;
        if capture.mode != Mode::Relaxed && capture.thread != std::thread::current().id() {
            return Err(CUresult::STREAM_CAPTURE_WRONG_THREAD);
        }
        if capture.origin != handle {
            self.invalidate(member.capture);
            return Err(CUresult::STREAM_CAPTURE_UNMATCHED);
        }
        for stream in self.streams.values_mut() {
            stream.capture.take_if(|other| other.capture == member.capture);
        }
        let capture = self.captures.remove(&member.capture).ok_or(CUresult::STREAM_CAPTURE_INVALIDATED)?;
        self.health(capture.device)?;
        if !capture.valid {
            return Err(CUresult::STREAM_CAPTURE_INVALIDATED);
        }
        let ends: BTreeSet<_> = sinks(&capture.nodes).into_iter().collect();
        if !ends.iter().all(|node| member.tail.contains(node)) {
            return Err(CUresult::STREAM_CAPTURE_UNJOINED);
        }
        let graph = self.new_handle();
        self.graphs.insert(graph, Graph { device: capture.device, nodes: capture.nodes.into() });
        Ok(graph)
    }

    /// 0: not captured, 1: captured, 2: captured, but invalid.
    pub(crate) fn capture_status(&mut self, handle: Handle) -> Outcome<u32> {
        let handle = self.stream(handle)?;
        let stream = &self.streams[&handle];
        if stream.kind == StreamKind::Legacy && self.captured_blocking_stream(stream.device).is_some() {
            return Err(CUresult::STREAM_CAPTURE_IMPLICIT);
        }
        Ok(match &stream.capture {
            None => 0,
            Some(member) if self.valid_capture(member.capture).is_ok() => 1,
            Some(_) => 2,
        })
    }

    pub(crate) fn valid_capture(&self, capture: Handle) -> Outcome {
        let valid = self.captures.get(&capture).is_some_and(|capture| capture.valid);
        if valid { Ok(()) } else { Err(CUresult::STREAM_CAPTURE_INVALIDATED) }
    }

    pub(crate) fn invalidate(&mut self, capture: Handle) {
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.valid = false;
        }
    }

    /// Adds a node behind the last ones of a captured stream.
    pub(crate) fn add_node(&mut self, stream: Handle, work: Work) -> Outcome {
        let pinned = work.host_memory().is_some_and(|(at, ..)| self.pinned_at(at).is_some());
        self.add_nodes(stream, &[Node { work, after: Vec::new(), pinned }])
    }

    /// Adds the nodes of a graph behind the last ones of a captured stream.
    pub(crate) fn add_nodes(&mut self, stream: Handle, nodes: &[Node]) -> Outcome {
        let Some(member) = self.streams[&stream].capture.clone() else { return Err(CUresult::ILLEGAL_STATE) };
        self.valid_capture(member.capture)?;
        let Some(capture) = self.captures.get_mut(&member.capture) else { return Ok(()) };
        let first = capture.nodes.len();
        capture.nodes.extend(nodes.iter().map(|node| {
            let inner = node.after.iter().map(|index| index + first);
            let after = if node.after.is_empty() { member.tail.clone() } else { inner.collect() };
            Node { work: node.work.clone(), after, pinned: node.pinned }
        }));
        if !nodes.is_empty() {
            let tail = sinks(nodes).into_iter().map(|index| index + first).collect();
            self.set_membership(stream, Some(Membership { tail, ..member }));
        }
        Ok(())
    }

    /// A stream waits for an event of a capture: it joins the capture, or its branch gets one more predecessor.
    pub(crate) fn join_capture(&mut self, stream: Handle, capture: Handle, nodes: &[usize]) -> Outcome {
        let Some(joined) = self.captures.get(&capture) else { return Err(CUresult::CAPTURED_EVENT) };
        if joined.device != self.streams[&stream].device {
            return Err(CUresult::INVALID_VALUE);
        }
        self.valid_capture(capture)?;
        let mut tail = match self.streams[&stream].capture.clone() {
            None if self.streams[&stream].kind == StreamKind::Legacy => {
                self.invalidate(capture);
                return Err(CUresult::STREAM_CAPTURE_IMPLICIT);
            }
            None => Vec::new(),
            Some(member) if member.capture == capture => member.tail,
            Some(member) => {
                self.invalidate(capture);
                self.invalidate(member.capture);
                return Err(CUresult::STREAM_CAPTURE_MERGE);
            }
        };
        tail.extend(nodes.iter().filter(|node| !tail.contains(node)).copied().collect::<Vec<_>>());
        self.set_membership(stream, Some(Membership { capture, tail }));
        Ok(())
    }

    /// A call that may depend on captured work: allocation, waits for all of a device.
    pub(crate) fn forbid_while_capturing(&mut self, whole_device: Option<usize>) -> Outcome {
        let thread = std::thread::current().id();
        let own = self.capture_modes.get(&thread).copied().unwrap_or(Mode::Global);
        let mut forbidden = false;
        for capture in self.captures.values_mut() {
            let applies = match (own, capture.mode) {
                _ if whole_device == Some(capture.device) => true,
                (Mode::Relaxed, _) | (_, Mode::Relaxed) => false,
                (Mode::Global, Mode::Global) => true,
                (Mode::ThreadLocal, _) | (Mode::Global, Mode::ThreadLocal) => capture.thread == thread,
            };
            if applies {
                capture.valid = false;
                forbidden = true;
            }
        }
        if forbidden { Err(CUresult::STREAM_CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    /// Waiting for a stream that is captured: there is nothing to wait for.
    pub(crate) fn forbid_on_captured(&mut self, stream: Handle) -> Outcome {
        self.forbid_implicit_dependency(stream)?;
        match self.streams[&stream].capture.as_ref().map(|member| member.capture) {
            None => Ok(()),
            Some(capture) => {
                self.invalidate(capture);
                Err(CUresult::STREAM_CAPTURE_UNSUPPORTED)
            }
        }
    }

    /// The legacy default stream would wait for a captured stream.
    pub(crate) fn forbid_implicit_dependency(&mut self, stream: Handle) -> Outcome {
        let stream = &self.streams[&stream];
        if stream.kind != StreamKind::Legacy {
            return Ok(());
        }
        match self.captured_blocking_stream(stream.device) {
            None => Ok(()),
            Some(capture) => {
                self.invalidate(capture);
                Err(CUresult::STREAM_CAPTURE_IMPLICIT)
            }
        }
    }

    fn captured_blocking_stream(&self, device: usize) -> Option<Handle> {
        let mut streams = self.streams.values().filter(|s| s.device == device && s.kind.follows_legacy());
        streams.find_map(|stream| stream.capture.as_ref().map(|member| member.capture))
    }
}

/// The nodes that none follows.
pub(crate) fn sinks(nodes: &[Node]) -> Vec<usize> {
    let followed: BTreeSet<_> = nodes.iter().flat_map(|node| &node.after).collect();
    (0..nodes.len()).filter(|index| !followed.contains(index)).collect()
}
