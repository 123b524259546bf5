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
}

impl Default for Queue {
    /// Closed, as before the pads are activated.
    fn default() -> Self {
        let state = State { items: VecDeque::new(), busy: false, flow: Err(gst::FlowError::Flushing) };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Queue {
    /// Puts something at the end; the flow's error if nothing goes out any more.
    pub fn push(&self, item: Item) -> Flow {
        let mut state = lock(&self.state);
        if state.flow.is_ok() {
            state.items.push_back(item);
            self.changed.notify_all();
        }
        state.flow
    }

    /// The first thing, as soon as there is one; None once nothing goes out any more. [`Queue::done`] must follow.
    pub fn pop(&self) -> Option<Item> {
        let mut state = lock(&self.state);
        loop {
            state.flow.ok()?;
            if let Some(item) = state.items.pop_front() {
                state.busy = true;
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was taken has left, or not: then nothing will any more. True if the end of the stream still waits, so that
    /// nobody upstream will hear of an error. An end that comes later is told by [`Queue::push`].
    pub fn done(&self, flow: Flow) -> bool {
        let mut state = lock(&self.state);
        state.busy = false;
        state.flow = state.flow.and(flow);
        self.changed.notify_all();
        state.items.iter().any(|item| matches!(item, Item::Event(event) if event.type_() == gst::EventType::Eos))
    }

    /// How things go.
    pub fn flow(&self) -> Flow {
        lock(&self.state).flow
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
        let mut state = lock(&self.state);
        state.items.retain(|item| match item {
            Item::Frame(_) => false,
            Item::Event(event) => {
                event.is_sticky() && !matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos)
            }
        });
        state.busy = false;
        state.flow = Ok(gst::FlowSuccess::Ok);
    }

    /// Forgets everything, as when the element stops.
    pub fn clear(&self) {
        lock(&self.state).items.clear();
    }
}
