//! The source pad: a task that pushes frames and events in their order, as soon as they are done.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::SrUpscale;
use super::queue::{Flow, Item};
use super::session::Session;
use super::{CAT, lock, told};
use crate::caps::Way;
use crate::errors::{self, Failure};
use crate::metas;

impl SrUpscale {
    /// Starts the task that pushes.
    pub fn start_task(&self) -> Result<(), gst::glib::BoolError> {
        let weak = self.downgrade();
        self.src().start_task(move || {
            if let Some(element) = weak.upgrade() {
                element.push_one();
            }
        })
    }

    /// One turn of the task.
    fn push_one(&self) {
        let Some(item) = self.queue.pop() else {
            let _ = self.src().pause_task();
            return;
        };
        let flow = errors::guard(|| self.deliver(item)).unwrap_or_else(|failure| {
            failure.post(&*self.obj());
            Err(gst::FlowError::Error)
        });
        let ends = self.queue.done(flow);
        let Err(error) = flow else { return };
        gst::debug!(CAT, imp = self, "downstream says {error}");
        if error == gst::FlowError::Eos {
            return;
        }
        // Upstream may be waiting for a place that nobody makes any more.
        if let Some(session) = self.session() {
            session.abort();
        }
        let _ = self.src().pause_task();
        if ends {
            self.end_after(error, gst::event::Eos::new());
        }
    }

    /// The stream ends, but nothing leaves any more: upstream, which gives no frame, would not hear of it.
    pub fn end_after(&self, error: gst::FlowError, eos: gst::Event) {
        if error == gst::FlowError::Flushing {
            return;
        }
        gst::element_imp_error!(self, gst::StreamError::Failed, ["streaming stopped, reason {error}"]);
        self.src().push_event(eos);
    }

    fn deliver(&self, item: Item) -> Result<Flow, Failure> {
        match item {
            Item::Event(event) => {
                self.src().push_event(event);
                Ok(Ok(gst::FlowSuccess::Ok))
            }
            Item::Frame(session) => self.deliver_frame(&session),
        }
    }

    fn deliver_frame(&self, session: &Session) -> Result<Flow, Failure> {
        let Some(done) = session.scheduler.next() else { return Ok(Err(gst::FlowError::Flushing)) };
        if self.queue.is_past_end() {
            return Ok(Ok(gst::FlowSuccess::Ok));
        }
        let (place, report) = done.result?;
        let mut buffer = place.into_buffer();
        let input = done.job.buffer();
        let output = buffer.make_mut();
        let carried = metas::carry(input, output, (&session.input, &session.output), session.factor)
            .and_then(|()| told::mark(output, &report));
        if let Err(error) = carried {
            gst::warning!(CAT, imp = self, "metadata of a frame is lost: {error}");
        }
        gst::trace!(CAT, imp = self, "frame {:?}: {report:?}", input.pts());
        self.tell_change(&report, input.pts());
        session.measured(report.service);
        self.tell_latency(session);
        // Upstream may be waiting for its buffer.
        drop(done.job);
        Ok(self.src().push(buffer))
    }

    fn tell_change(&self, report: &srup_engine::scheduler::Report, pts: Option<gst::ClockTime>) {
        let Some(change) = &report.change else { return };
        let running_time = pts.and_then(|pts| {
            let segment = self.src().sticky_event::<gst::event::Segment>(0)?;
            segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(pts)
        });
        let previous = lock(&self.told_model).replace(change.model.to_string());
        let _ = self.obj().post_message(told::change(&*self.obj(), change, previous.as_deref(), running_time));
    }

    /// An event from downstream.
    pub fn src_event(&self, event: gst::Event) -> bool {
        let event = match event.view() {
            gst::EventView::Qos(qos) => {
                self.hear_quality(qos);
                event
            }
            gst::EventView::Reconfigure(_) => {
                self.queue.note_link();
                event
            }
            gst::EventView::Navigation(_) => self.onto_input(event),
            _ => event,
        };
        gst::Pad::event_default(self.src(), Some(&*self.obj()), event)
    }

    /// A question from downstream.
    pub fn src_query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let caps = self.other_caps(self.sink(), Way::Up, query.filter_owned().as_ref());
                query.set_result(&caps);
                true
            }
            gst::QueryViewMut::Latency(query) => {
                let mut upstream = gst::query::Latency::new();
                if !self.sink().peer_query(&mut upstream) {
                    return false;
                }
                let (live, min, max) = upstream.result();
                let own = lock(&self.told_latency).unwrap_or(gst::ClockTime::ZERO);
                query.set(live, min + own, max.map(|max| max + own));
                true
            }
            _ => gst::Pad::query_default(self.src(), Some(&*self.obj()), query),
        }
    }

    /// A pointer's place, told in pixels of the output, in those of the input.
    fn onto_input(&self, event: gst::Event) -> gst::Event {
        let gst::EventView::Navigation(navigation) = event.view() else { return event };
        let (Some(session), Some(structure)) = (self.session(), navigation.structure()) else { return event };
        let mut structure = structure.to_owned();
        for field in ["pointer_x", "pointer_y"] {
            if let Ok(place) = structure.get::<f64>(field) {
                structure.set(field, place / f64::from(session.factor));
            }
        }
        gst::event::Navigation::builder(structure)
            .seqnum(event.seqnum())
            .running_time_offset(event.running_time_offset())
            .build()
    }
}
