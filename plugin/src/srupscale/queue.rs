//! What waits to leave the element, in the order in which it came: frames and serialised events.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::lock;
use super::session::Session;

/// Something that leaves in its turn.
pub enum Item {
    /// The next frame of that session's scheduler.
    Frame(Arc<Session>),
    /// An event.
    Event(gst::Event),
}

/// Flow of data in one of the two directions.
pub type Flow = Result<gst::FlowSuccess, gst::FlowError>;

/// The queue between upstream's thread and the task of the source pad. It is as long as the schedulers let it be.
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    items: VecDeque<Item>,
    /// The task is pushing what it took.
    busy: bool,
    /// Why nothing goes in or out any more.
    flow: Flow,
    /// Downstream wants no more frames of this segment: events go on, frames are thrown away.
    past_end: bool,
    /// Downstream may have been linked since the task took something.
    relinked: bool,
}

impl Item {
    /// Downstream may want frames again.
    fn begins_anew(&self) -> bool {
        let begins =
            |event: &gst::Event| matches!(event.type_(), gst::EventType::StreamStart | gst::EventType::Segment);
        matches!(self, Self::Event(event) if begins(event))
    }

    fn is_end(&self) -> bool {
        matches!(self, Self::Event(event) if event.type_() == gst::EventType::Eos)
    }

    /// Upstream thinks that a pad which is not linked has it, and does not send it again.
    fn waits_for_a_link(&self) -> bool {
        matches!(self, Self::Event(event) if event.is_sticky()) && !self.is_end()
    }

    fn outlasts_a_flush(&self) -> bool {
        let ends = |event: &gst::Event| matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos);
        matches!(self, Self::Event(event) if event.is_sticky() && !ends(event))
    }
}

impl State {
    /// How things go for a frame that comes now.
    fn flow_of_frames(&self) -> Flow {
        self.flow?;
        let wanted = !self.past_end || self.items.iter().any(Item::begins_anew);
        if wanted { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Eos) }
    }

    fn begin(&mut self, stays: impl Fn(&Item) -> bool) {
        let items = self.items.drain(..).filter(stays).collect();
        *self = Self { items, busy: false, flow: Ok(gst::FlowSuccess::Ok), past_end: false, relinked: false };
    }
}

impl Default for Queue {
    /// Closed, as before the pads are activated.
    fn default() -> Self {
        let flow = Err(gst::FlowError::Flushing);
        let state = State { items: VecDeque::new(), busy: false, flow, past_end: false, relinked: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Queue {
    /// Puts something at the end; the flow's error if it will not leave.
    pub fn push(&self, item: Item) -> Flow {
        let mut state = lock(&self.state);
        let waits = state.flow == Err(gst::FlowError::NotLinked) && item.waits_for_a_link();
        if state.flow.is_err() && !waits {
            return state.flow;
        }
        let flow = match item {
            Item::Frame(_) => state.flow_of_frames(),
            Item::Event(_) => Ok(gst::FlowSuccess::Ok),
        };
        state.items.push_back(item);
        self.changed.notify_all();
        flow
    }

    /// The first thing, as soon as there is one; None once nothing goes out any more. [`Queue::done`] must follow.
    pub fn pop(&self) -> Option<Item> {
        let mut state = lock(&self.state);
        loop {
            state.flow.ok()?;
            if let Some(item) = state.items.pop_front() {
                state.busy = true;
                state.relinked = false;
                state.past_end &= !item.begins_anew();
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was taken has left, or not: then nothing will any more, but what follows the end of a segment. True if the end
    /// of the stream still waits, so that nobody upstream will hear of an error. An end that comes later is told by
    /// [`Queue::push`].
    pub fn done(&self, flow: Flow) -> bool {
        let mut state = lock(&self.state);
        state.busy = false;
        match flow {
            Err(gst::FlowError::Eos) => state.past_end = true,
            flow => state.flow = state.flow.and(flow),
        }
        self.changed.notify_all();
        state.items.iter().any(Item::is_end)
    }

    /// How things go.
    pub fn flow(&self) -> Flow {
        lock(&self.state).flow
    }

    /// How things go for a frame that comes now.
    pub fn flow_of_frames(&self) -> Flow {
        lock(&self.state).flow_of_frames()
    }

    /// Downstream wants no frame that leaves now.
    pub fn is_past_end(&self) -> bool {
        lock(&self.state).past_end
    }

    /// Waits until everything has left.
    pub fn drain(&self) -> Flow {
        let mut state = lock(&self.state);
        while state.flow.is_ok() && (state.busy || !state.items.is_empty()) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.flow
    }

    /// Nothing goes in or out any more, and nobody waits.
    pub fn close(&self) {
        lock(&self.state).flow = Err(gst::FlowError::Flushing);
        self.changed.notify_all();
    }

    /// Begins anew. Sticky events that outlast a flush stay.
    pub fn open(&self) {
        lock(&self.state).begin(Item::outlasts_a_flush);
    }

    /// Downstream may be linked now.
    pub fn note_link(&self) {
        lock(&self.state).relinked = true;
    }

    /// Whether nothing leaves because downstream was not linked, and now it may be.
    pub fn can_go_on(&self) -> bool {
        let state = lock(&self.state);
        state.relinked && state.flow == Err(gst::FlowError::NotLinked)
    }

    /// Goes on with the events that have waited for a link, and calls `start`; not if a flush came first.
    pub fn go_on<E>(&self, start: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut state = lock(&self.state);
        if state.flow != Err(gst::FlowError::NotLinked) {
            return Ok(());
        }
        state.begin(|item| matches!(item, Item::Event(_)) && !item.is_end());
        start()
    }

    /// Forgets everything, as when the element stops.
    pub fn clear(&self) {
        lock(&self.state).items.clear();
    }
}
