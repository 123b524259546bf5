//! Streams: what is issued to one runs in that order.

use crate::memory::CommandId;

use super::abi::{Handle, STREAM_LEGACY, STREAM_NON_BLOCKING, STREAM_PER_THREAD};
use super::clock::Mark;
use super::code::{CUresult, Outcome};
use super::operation::Work;
use super::state::Driver;

/// How a stream stands to the legacy default stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// It is the legacy default stream.
    Legacy,
    /// It waits for the legacy default stream, and that for it.
    Blocking,
    /// The same, but a thread's default stream, which nobody destroys.
    PerThread,
    /// They have nothing to do with each other.
    NonBlocking,
}

impl StreamKind {
    /// Whether the legacy default stream waits for it, and it for that.
    pub(crate) fn follows_legacy(self) -> bool {
        matches!(self, Self::Blocking | Self::PerThread)
    }
}

/// A stream that takes part in a capture, and the nodes that its next node follows.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) capture: Handle,
    pub(crate) tail: Vec<usize>,
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// In order of creation, from 0.
    pub(crate) number: u32,
    pub(crate) device: usize,
    pub(crate) kind: StreamKind,
    pub(crate) priority: i32,
    pub(crate) chain: u32,
    /// What the next operation follows: the last one, or the ends of a graph.
    pub(crate) tail: Vec<Mark>,
    pub(crate) capture: Option<Membership>,
}

/// Priorities run from the least, 0, to the greatest, as on current devices.
pub(crate) const GREATEST_PRIORITY: i32 = -5;

impl Stream {
    /// Whether a user created it, and has to destroy it.
    pub(crate) fn is_users(&self) -> bool {
        matches!(self.kind, StreamKind::Blocking | StreamKind::NonBlocking)
    }
}

impl Driver {
    pub(crate) fn open_stream(&mut self, device: usize, kind: StreamKind, priority: i32) -> Handle {
        let (handle, chain) = (self.new_handle(), self.ordering.open_chain());
        let stream =
            Stream { number: self.streams_made, device, kind, priority, chain, tail: Vec::new(), capture: None };
        self.streams_made += 1;
        self.streams.insert(handle, stream);
        handle
    }

    pub(crate) fn create_stream(&mut self, flags: u32, priority: i32) -> Outcome<Handle> {
        let device = self.usable()?;
        let kind = match flags {
            0 => StreamKind::Blocking,
            STREAM_NON_BLOCKING => StreamKind::NonBlocking,
            _ => return Err(CUresult::INVALID_VALUE),
        };
        match self.injection.strike("stream", CUresult::OUT_OF_MEMORY) {
            Some(code) => Err(code),
            None => Ok(self.open_stream(device, kind, priority.clamp(GREATEST_PRIORITY, 0))),
        }
    }

    /// Destroys a stream; its work goes on.
    pub(crate) fn destroy_stream(&mut self, handle: Handle) -> Outcome {
        let device = match self.streams.get(&handle) {
            Some(stream) if stream.is_users() => stream.device,
            _ => {
                let text = format!("cuStreamDestroy: {handle:#x} is no stream, or was destroyed before");
                return Err(self.refuse(text, CUresult::INVALID_HANDLE));
            }
        };
        if let Some(member) = &self.streams[&handle].capture
            && let Some(capture) = self.captures.get_mut(&member.capture)
        {
            capture.valid = false;
        }
        self.close_stream(handle);
        self.health(device)
    }

    pub(crate) fn close_stream(&mut self, handle: Handle) {
        if let Some(stream) = self.streams.remove(&handle) {
            self.ordering.close_chain(stream.chain);
            let unknown = stream.tail.into_iter().filter(|mark| !self.ordering.is_known(mark.id));
            self.devices[stream.device].orphans.extend(unknown.map(|mark| (stream.kind, mark)));
        }
    }

    /// The stream that a handle of the C interface names.
    pub(crate) fn stream(&mut self, handle: Handle) -> Outcome<Handle> {
        match handle {
            0 | STREAM_LEGACY => Ok(self.devices[self.current()?].context.legacy),
            STREAM_PER_THREAD => self.per_thread_stream(),
            _ if self.streams.contains_key(&handle) => Ok(handle),
            _ if self.initialised => Err(CUresult::INVALID_HANDLE),
            _ => Err(CUresult::NOT_INITIALIZED),
        }
    }

    fn per_thread_stream(&mut self) -> Outcome<Handle> {
        let (device, thread) = (self.current()?, std::thread::current().id());
        if let Some(handle) = self.devices[device].context.per_thread.get(&thread) {
            return Ok(*handle);
        }
        let handle = self.open_stream(device, StreamKind::PerThread, 0);
        self.devices[device].context.per_thread.insert(thread, handle);
        Ok(handle)
    }

    /// Issues work to a stream, or adds it to the graph that the stream is captured to.
    pub(crate) fn issue(&mut self, stream: Handle, work: Work, injected: Option<CUresult>) -> Outcome {
        self.health(self.streams[&stream].device)?;
        if self.streams[&stream].capture.is_some() {
            return self.add_node(stream, work);
        }
        self.issue_after(stream, work, None, injected).map(drop)
    }

    /// Issues work to a stream that is not captured, after one more operation than those the stream gives.
    pub(crate) fn issue_after(
        &mut self,
        handle: Handle,
        work: Work,
        also: Option<Mark>,
        injected: Option<CUresult>,
    ) -> Outcome<Mark> {
        self.forbid_implicit_dependency(handle)?;
        let mut after = self.predecessors(handle);
        after.extend(also);
        let stream = &self.streams[&handle];
        let mark = self.enqueue((stream.device, handle, stream.chain), work, &after, None, injected);
        self.set_tail(handle, vec![mark.clone()]);
        Ok(mark)
    }

    pub(crate) fn set_tail(&mut self, stream: Handle, tail: Vec<Mark>) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.tail = tail;
        }
    }

    /// What the next operation of a stream follows: its last one, and those that the legacy default stream orders.
    pub(crate) fn predecessors(&self, handle: Handle) -> Vec<Mark> {
        let stream = &self.streams[&handle];
        let place = &self.devices[stream.device];
        let mut marks = stream.tail.clone();
        match stream.kind {
            StreamKind::NonBlocking => {}
            StreamKind::Legacy => {
                let blocking = |other: &&Stream| other.device == stream.device && other.kind.follows_legacy();
                marks.extend(self.streams.values().filter(blocking).flat_map(|other| other.tail.iter().cloned()));
                let orphans = place.orphans.iter().filter(|(kind, _)| kind.follows_legacy());
                marks.extend(orphans.map(|(_, mark)| mark.clone()));
            }
            StreamKind::Blocking | StreamKind::PerThread => {
                marks.extend(self.streams[&place.context.legacy].tail.iter().cloned());
            }
        }
        self.without_implied(marks)
    }

    /// Leaves out marks that another one follows, and those whose end the host knows.
    fn without_implied(&self, marks: Vec<Mark>) -> Vec<Mark> {
        let implied = |id: CommandId| {
            self.ordering.is_known(id)
                || marks.iter().any(|other| other.id != id && self.ordering.within(id, &other.clock))
        };
        let keep: Vec<_> = marks.iter().map(|mark| !implied(mark.id)).collect();
        marks.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(mark, _)| mark).collect()
    }

    pub(crate) fn synchronise_stream(&mut self, handle: Handle) -> Outcome {
        let stream = self.stream(handle)?;
        let device = self.streams[&stream].device;
        self.health(device)?;
        self.forbid_on_captured(stream)?;
        let marks = self.ends_of(stream);
        self.wait(device, &marks)
    }

    pub(crate) fn query_stream(&mut self, handle: Handle) -> Outcome {
        let stream = self.stream(handle)?;
        let device = self.streams[&stream].device;
        self.health(device)?;
        self.forbid_on_captured(stream)?;
        let marks = self.ends_of(stream);
        self.query(device, &marks)
    }

    /// The last operations of a stream; for the legacy default stream also those it would wait for.
    fn ends_of(&self, stream: Handle) -> Vec<Mark> {
        match self.streams[&stream].kind {
            StreamKind::Legacy => self.predecessors(stream),
            _ => self.streams[&stream].tail.clone(),
        }
    }
}
