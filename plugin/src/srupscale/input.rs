//! The sink pad: what upstream gives and asks.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::SrUpscale;
use super::queue::{Flow, Item};
use super::session::{Session, Terms};
use super::settings::Settings;
use super::{CAT, lock};
use crate::caps::{self, Way};
use crate::errors::Failure;
use crate::video::video_info;
use crate::{allocation, errors};

use std::sync::Arc;

/// What only upstream's thread changes.
#[derive(Default)]
pub struct Entrance {
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The next frame follows a gap.
    pub(super) discont: bool,
}

impl Entrance {
    /// Before the first frame, or the first after a flush.
    pub fn fresh() -> Self {
        Self { discont: true, ..Self::default() }
    }
}

impl SrUpscale {
    /// A frame. Waits while as many as the window holds are inside.
    pub fn chain(&self, buffer: gst::Buffer) -> Flow {
        self.go_on_if_linked();
        self.queue.flow_of_frames()?;
        errors::guard(|| self.accept(buffer)).unwrap_or_else(|failure| {
            failure.post(&*self.obj());
            Err(gst::FlowError::Error)
        })
    }

    fn accept(&self, mut buffer: gst::Buffer) -> Result<Flow, Failure> {
        let session = match self.present_session()? {
            Ok(session) => session,
            Err(flow) => return Ok(Err(flow)),
        };
        session.comes(buffer.pts());
        if self.is_hopeless(&buffer, &session) {
            self.drop_frame(&buffer);
            return Ok(self.queue.flow());
        }
        if std::mem::take(&mut lock(&self.entrance).discont) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        let picture = session.picture(buffer)?;
        let place = match session.place()? {
            Ok(place) => place,
            Err(flow) => return Ok(self.queue.flow().and(Err(flow))),
        };
        if !session.scheduler.submit(picture, place)? {
            return Ok(self.queue.flow().and(Err(gst::FlowError::Flushing)));
        }
        Ok(self.queue.push(Item::Frame(session)))
    }

    /// What makes frames with the present caps and settings.
    fn present_session(&self) -> Result<Result<Arc<Session>, gst::FlowError>, Failure> {
        if let Some(session) = self.session()
            && !self.src().needs_reconfigure()
            && self.suits(&session)
        {
            return Ok(Ok(session));
        }
        let Some(caps) = self.sink().current_caps() else { return Ok(Err(gst::FlowError::NotNegotiated)) };
        let negotiated = match self.negotiate(&caps, None) {
            // A frame of before upstream was asked for another size: told so, it looks what is wanted now, and goes on.
            Err(Failure::Caps(text)) if is_asked_anew(self.sink()) => {
                gst::warning!(CAT, imp = self, "{text}; upstream is to negotiate anew");
                lock(&self.entrance).discont = true;
                Err(gst::FlowError::NotNegotiated)
            }
            negotiated => negotiated?,
        };
        Ok(negotiated.and_then(|_| self.session().ok_or(gst::FlowError::NotNegotiated)))
    }

    /// An event from upstream. Serialised ones wait for their turn behind the frames before them.
    pub fn sink_event(&self, event: gst::Event) -> Flow {
        let pushed =
            |event| if self.src().push_event(event) { Ok(gst::FlowSuccess::Ok) } else { Err(gst::FlowError::Error) };
        match event.view() {
            gst::EventView::FlushStart(_) => {
                // Downstream first: who is pushing returns only then.
                let flow = pushed(event);
                self.close();
                let _ = self.src().pause_task();
                flow
            }
            gst::EventView::FlushStop(_) => {
                let flow = pushed(event);
                *lock(&self.entrance) = Entrance::fresh();
                *lock(&self.earliest) = None;
                self.open();
                self.start_task().map_err(|_| gst::FlowError::Error).and(flow)
            }
            _ if event.is_serialized() => {
                self.go_on_if_linked();
                self.enqueue(event)
            }
            _ => pushed(event),
        }
    }

    /// A serialised event takes its place behind the frames before it.
    fn enqueue(&self, event: gst::Event) -> Flow {
        match event.view() {
            gst::EventView::Caps(new) => return self.new_caps(&new.caps_owned(), event.seqnum()),
            gst::EventView::Segment(segment) => {
                lock(&self.entrance).segment = segment.segment().clone().downcast().ok();
            }
            // Nothing may come for long.
            gst::EventView::Gap(_) | gst::EventView::Eos(_) => self.forget_last(),
            _ => {}
        }
        let flow = self.queue.push(Item::Event(event.clone()));
        if let (Err(error), gst::EventType::Eos) = (flow, event.type_()) {
            self.end_after(error, event);
        }
        flow
    }

    /// Lets go of the frame that the next one would be compared with.
    fn forget_last(&self) {
        if let Some(session) = self.session() {
            session.scheduler.forget();
        }
    }

    /// Where nothing could leave because downstream was not linked, and now it may be: begins anew. Upstream's thread does
    /// it: while it hands in a frame, the session must not be touched.
    fn go_on_if_linked(&self) {
        if !self.queue.can_go_on() {
            return;
        }
        // It may not have come to its end yet.
        let _ = self.src().pause_task();
        if let Some(session) = self.session() {
            session.resume();
        }
        lock(&self.entrance).discont = true;
        if let Err(error) = self.queue.go_on(|| self.start_task()) {
            gst::warning!(CAT, imp = self, "{error}");
        }
    }

    fn new_caps(&self, caps: &gst::Caps, seqnum: gst::Seqnum) -> Flow {
        let negotiated = errors::guard(|| self.negotiate(caps, Some(seqnum)));
        let flow = negotiated.unwrap_or_else(|failure| {
            failure.post(&*self.obj());
            Err(gst::FlowError::NotNegotiated)
        });
        match flow {
            // Upstream would think that we have them and not send them again: the next frame will need them.
            Err(gst::FlowError::NotLinked) => Ok(gst::FlowSuccess::Ok),
            flow => flow,
        }
    }

    /// Agrees with downstream on what becomes of these caps of upstream's. What is inside leaves first.
    fn negotiate(&self, incaps: &gst::Caps, seqnum: Option<gst::Seqnum>) -> Result<Flow, Failure> {
        // This is what downstream may have asked for.
        self.src().check_reconfigure();
        let negotiated = self.renew_session(incaps, seqnum);
        if !matches!(negotiated, Ok(Ok(_))) {
            self.src().mark_reconfigure();
        }
        negotiated
    }

    /// Brings the session to these caps and the present settings; it stays the same where they are.
    fn renew_session(&self, incaps: &gst::Caps, seqnum: Option<gst::Seqnum>) -> Result<Flow, Failure> {
        let settings = lock(&self.settings).clone();
        let Some(outcaps) = self.choose_output(incaps, settings.scale_factor) else {
            return self.nothing_fits(incaps, settings.scale_factor);
        };
        if let Err(flow) = self.queue.drain().and_then(|_| self.tell_output(&outcaps, seqnum)) {
            return Ok(Err(flow));
        }
        let terms = Terms { input: incaps.clone(), output: outcaps, live: self.upstream_is_live() };
        if let Some(session) = self.session().filter(|session| session.goes_on(&terms, &settings)) {
            session.set_pool(Some(&self.choose_pool(&session, &terms)?));
            self.tell_latency(&session);
        } else {
            // Both at once may be more than there is memory for.
            self.retire_session();
            let session = Session::new(&settings, terms.clone())?;
            session.set_pool(Some(&self.choose_pool(&session, &terms)?));
            gst::info!(CAT, imp = self, "{incaps}, live: {}: {}", terms.live, session.scheduler.describe());
            self.warn_of_no_rate(&session, &settings);
            self.set_session(Arc::new(session));
        }
        Ok(self.queue.flow())
    }

    /// Downstream takes nothing that could be made of these caps: an error, unless that is only for a flush.
    fn nothing_fits(&self, incaps: &gst::Caps, factor: u32) -> Result<Flow, Failure> {
        if let Err(flow) = self.queue.flow() {
            return Ok(Err(flow));
        }
        if self.src().pad_flags().contains(gst::PadFlags::FLUSHING) {
            return Ok(Err(gst::FlowError::Flushing));
        }
        let info = video_info(incaps)?;
        let (width, height) =
            (u64::from(info.width()) * u64::from(factor), u64::from(info.height()) * u64::from(factor));
        Err(Failure::Caps(format!(
            "what follows srupscale does not take pictures of {width}x{height} made of {incaps}; change scale-factor, or the \
             caps or element behind it"
        )))
    }

    /// With a target that is to follow a stream which does not say how fast it is there is none.
    fn warn_of_no_rate(&self, session: &Session, settings: &Settings) {
        if settings.target_fps < 0.0 && !session.has_rate() {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ["target-fps=-1 has no effect: the stream's caps name no framerate; give target-fps a number"]
            );
        }
    }

    fn choose_pool(&self, session: &Session, terms: &Terms) -> Result<gst::BufferPool, Failure> {
        allocation::choose(self.src(), &terms.output, session.scheduler.window())
    }

    /// The caps to give out: the input's, enlarged, as far as downstream takes them.
    fn choose_output(&self, incaps: &gst::Caps, factor: u32) -> Option<gst::Caps> {
        let possible = caps::transform(incaps, Way::Up, factor as i32, None);
        let accepted = self.src().peer_query_caps(Some(&possible));
        let common = accepted.intersect_with_mode(&possible, gst::CapsIntersectMode::First);
        (!common.is_empty()).then(|| caps::fixate(common, incaps))
    }

    fn tell_output(&self, caps: &gst::Caps, seqnum: Option<gst::Seqnum>) -> Flow {
        if self.src().current_caps().as_ref() == Some(caps) {
            return Ok(gst::FlowSuccess::Ok);
        }
        let event = gst::event::Caps::builder(caps).seqnum_if_some(seqnum).build();
        if self.src().push_event(event) {
            return Ok(gst::FlowSuccess::Ok);
        }
        // A flush may have come meanwhile: upstream will tell its caps again.
        self.queue.flow()?;
        let flushing = self.src().pad_flags().contains(gst::PadFlags::FLUSHING);
        Err(if flushing { gst::FlowError::Flushing } else { gst::FlowError::NotNegotiated })
    }

    fn upstream_is_live(&self) -> bool {
        let mut query = gst::query::Latency::new();
        self.sink().peer_query(&mut query) && query.result().0
    }

    /// A question from upstream.
    pub fn sink_query(&self, query: &mut gst::QueryRef) -> bool {
        let serialized = query.is_serialized();
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let caps = self.other_caps(self.src(), Way::Down, query.filter_owned().as_ref());
                query.set_result(&caps);
                true
            }
            gst::QueryViewMut::AcceptCaps(query) => {
                let possible =
                    caps::transform(&query.caps_owned(), Way::Up, lock(&self.settings).scale_factor as i32, None);
                query.set_result(!possible.is_empty());
                true
            }
            gst::QueryViewMut::Allocation(query) => {
                let window = self.session().map_or(0, |session| session.scheduler.window());
                allocation::propose(query, window).is_ok()
            }
            _ if serialized => {
                // The answer is about a stream in which all before it has gone.
                let drained = self.queue.drain().is_ok();
                // Upstream may want all of its buffers back.
                self.forget_last();
                drained && self.src().peer_query(query)
            }
            _ => gst::Pad::query_default(self.sink(), Some(&*self.obj()), query),
        }
    }

    /// What one pad can do, from what the other's peer can.
    pub fn other_caps(&self, pad: &gst::Pad, way: Way, filter: Option<&gst::Caps>) -> gst::Caps {
        let factor = lock(&self.settings).scale_factor as i32;
        let back = match way {
            Way::Up => Way::Down,
            Way::Down => Way::Up,
        };
        let wanted = filter.map(|filter| caps::transform(filter, back, factor, None));
        let peer = pad.peer_query_caps(wanted.as_ref());
        let result = caps::transform(&peer, way, factor, filter);
        gst::log!(CAT, imp = self, "{way:?} {peer} filtered by {filter:?}: {result}");
        result
    }
}

/// Whether somebody before that pad has been asked to negotiate anew, and has not yet done so. Filters may have: they pass on
/// what they get.
fn is_asked_anew(sink: &gst::Pad) -> bool {
    sink.peer().is_some_and(|peer| {
        let before = peer.parent_element().map_or_else(Vec::new, |element| element.sink_pads());
        peer.needs_reconfigure() || before.iter().any(is_asked_anew)
    })
}
