//! The element as GStreamer sees it: properties, pads, states.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use srup_engine::scheduler::Stats;

use super::input::Entrance;
use super::queue::Queue;
use super::session::Session;
use super::settings::{Settings, properties};
use super::{CAT, lock, told};
use crate::caps;
use crate::errors::guard;

/// The element's state. Every lock is held for a moment, and none while something is pushed, asked or computed.
pub struct SrUpscale {
    sink: gst::Pad,
    src: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    pub(super) entrance: Mutex<Entrance>,
    /// Downstream has no use for frames that end before this running time.
    pub(super) earliest: Mutex<Option<gst::ClockTime>>,
    pub(super) queue: Queue,
    /// The model that the last message named.
    pub(super) told_model: Mutex<Option<String>>,
    /// The latency that the last message was about; none before the first.
    pub(super) told_latency: Mutex<Option<gst::ClockTime>>,
    /// Of the sessions before this one.
    pub(super) stats_before: Mutex<Stats>,
    session: Mutex<Option<Arc<Session>>>,
    dropped: AtomicU64,
}

#[glib::object_subclass]
impl ObjectSubclass for SrUpscale {
    const NAME: &'static str = "GstSrUpscale";
    type Type = super::SrUpscale;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("the class has its templates");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.chain(buffer))
            })
            .event_full_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.sink_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.sink_query(query))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_event(event))
            })
            .query_function(|_, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |imp| imp.src_query(query))
            })
            .activatemode_function(|_, parent, _, active| {
                let failed = || Err(gst::loggable_error!(CAT, "a panic while pads were activated"));
                Self::catch_panic_pad_function(parent, failed, |imp| imp.activate(active))
            })
            .build();
        Self {
            sink,
            src,
            settings: Mutex::default(),
            entrance: Mutex::default(),
            earliest: Mutex::default(),
            queue: Queue::default(),
            told_model: Mutex::default(),
            told_latency: Mutex::default(),
            stats_before: Mutex::default(),
            session: Mutex::default(),
            dropped: AtomicU64::default(),
        }
    }
}

impl ObjectImpl for SrUpscale {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        PROPERTIES.as_ref()
    }

    fn constructed(&self) {
        self.parent_constructed();
        told::register_meta();
        for pad in [&self.sink, &self.src] {
            if let Err(error) = self.obj().add_pad(pad) {
                gst::error!(CAT, imp = self, "{error}");
            }
        }
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let (before, after, result) = {
            let mut settings = lock(&self.settings);
            let before = settings.scale_factor;
            let result = settings.set(pspec.name(), value);
            (before, settings.scale_factor, result)
        };
        if let Err(error) = result {
            gst::error!(CAT, imp = self, "property {}: {error}", pspec.name());
        }
        if before != after {
            // Upstream may be able to give another size.
            self.sink.push_event(gst::event::Reconfigure::new());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => {
                let stats = guard(|| Ok(self.stats())).unwrap_or_else(|failure| {
                    failure.post(&*self.obj());
                    Stats::default()
                });
                told::stats(&stats, self.dropped.load(Ordering::Relaxed)).to_value()
            }
            name => lock(&self.settings).get(name),
        }
    }
}

impl GstObjectImpl for SrUpscale {}

impl ElementImpl for SrUpscale {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Super-resolution upscaler",
                "Filter/Effect/Converter/Scaler/Video",
                "Makes video 2, 3 or 4 times as large with a neural network, in the same format and colours",
                "The srupscale authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            [
                ("sink", gst::PadDirection::Sink, caps::sink_template()),
                ("src", gst::PadDirection::Src, caps::src_template()),
            ]
            .into_iter()
            .filter_map(|(name, direction, caps)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
            })
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            let settings = lock(&self.settings).clone();
            guard(|| settings.check()).map_err(|failure| {
                failure.post(&*self.obj());
                gst::StateChangeError
            })?;
            *lock(&self.stats_before) = Stats::default();
            *lock(&self.told_model) = None;
            *lock(&self.told_latency) = None;
            self.dropped.store(0, Ordering::Relaxed);
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            self.queue.clear();
            self.retire_session();
        }
        Ok(success)
    }
}

impl SrUpscale {
    /// The sink pad.
    pub fn sink(&self) -> &gst::Pad {
        &self.sink
    }

    /// The source pad.
    pub fn src(&self) -> &gst::Pad {
        &self.src
    }

    /// What makes frames now.
    pub fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    /// Frames are made by that from now on; none is in use.
    pub fn set_session(&self, session: Arc<Session>) {
        *lock(&self.session) = Some(session.clone());
        self.tell_latency(&session);
    }

    /// Nothing makes frames any more; what is done has been delivered. Its memory is free for the next.
    pub fn retire_session(&self) {
        let retired = lock(&self.session).take();
        if let Some(session) = retired {
            let done = session.scheduler.stats();
            let mut before = lock(&self.stats_before);
            *before = std::mem::take(&mut *before).and(done);
            drop(before);
            // Others may still look at it.
            session.set_pool(None);
        }
    }

    /// Whether that session works with the present settings, or can from now on.
    pub fn suits(&self, session: &Session) -> bool {
        let settings = lock(&self.settings).clone();
        let suits = session.adopt(&settings);
        self.tell_latency(session);
        suits
    }

    /// The latency is that session's; the application is told if it was another one.
    pub fn tell_latency(&self, session: &Session) {
        let (before, now) = {
            let mut told = lock(&self.told_latency);
            let now = session.latency();
            (told.replace(now), now)
        };
        if before != Some(now) {
            let _ = self.obj().post_message(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }

    /// Nothing goes in or out any more, and nobody waits.
    pub fn close(&self) {
        self.queue.close();
        if let Some(session) = self.session() {
            session.abort();
        }
    }

    /// After [`SrUpscale::close`], with the task paused: everything begins anew.
    pub fn open(&self) {
        if let Some(session) = self.session() {
            session.resume();
        }
        self.queue.open();
    }

    fn activate(&self, active: bool) -> Result<(), gst::LoggableError> {
        if active {
            *lock(&self.entrance) = Entrance::fresh();
            *lock(&self.earliest) = None;
            self.open();
            return Ok(self.start_task()?);
        }
        self.close();
        Ok(self.src.stop_task()?)
    }

    /// One more frame has been dropped; how many there are.
    pub fn count_dropped(&self) -> u64 {
        self.dropped.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What has been done since the element started.
    pub fn stats(&self) -> Stats {
        let before = lock(&self.stats_before).clone();
        match self.session() {
            Some(session) => before.and(session.scheduler.stats()),
            None => before,
        }
    }
}
