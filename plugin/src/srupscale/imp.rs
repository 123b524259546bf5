//! The element on `GstBaseTransform`: one frame at a time, on the thread of upstream.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use srup_engine::Upscaler;

use super::CAT;
use super::settings::{Settings, properties};
use crate::caps::{self, Way};
use crate::errors::{Failure, guard};
use crate::video::{Layout, engine_info, video_info};
use crate::{allocation, metas};

/// The element's state. Only `engine` is held while a frame is made, and only `settings` is taken, for a moment,
/// while `engine` is held.
#[derive(Default)]
pub struct SrUpscale {
    settings: Mutex<Settings>,
    stream: Mutex<Option<Stream>>,
    engine: Mutex<Option<Engine>>,
}

/// What was negotiated.
#[derive(Clone)]
struct Stream {
    input: gst_video::VideoInfo,
    output: gst_video::VideoInfo,
    described: srup_engine::frame::VideoInfo,
    factor: u32,
}

/// What makes the frames, and with which settings it was built.
struct Engine {
    settings: Settings,
    upscaler: Upscaler,
}

/// A lock whose holder panicked guards nothing half-done: what the panic touched has been thrown away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for SrUpscale {
    const NAME: &'static str = "GstSrUpscale";
    type Type = super::SrUpscale;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for SrUpscale {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        PROPERTIES.as_ref()
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
            // Both sides' caps change: downstream's now, upstream's if it can give another size.
            self.obj().reconfigure_src();
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.settings).get(pspec.name())
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
}

impl BaseTransformImpl for SrUpscale {
    const MODE: BaseTransformMode = BaseTransformMode::NeverInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        guard(|| settings.check()).map_err(|failure| failure.message())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.stream) = None;
        *lock(&self.engine) = None;
        Ok(())
    }

    fn transform_caps(
        &self,
        direction: gst::PadDirection,
        caps: &gst::Caps,
        filter: Option<&gst::Caps>,
    ) -> Option<gst::Caps> {
        let way = if direction == gst::PadDirection::Sink { Way::Up } else { Way::Down };
        let factor = lock(&self.settings).scale_factor;
        let result = caps::transform(caps, way, factor as i32, filter);
        gst::log!(CAT, imp = self, "{way:?} {caps} filtered by {filter:?}: {result}");
        Some(result)
    }

    fn fixate_caps(&self, _direction: gst::PadDirection, _caps: &gst::Caps, othercaps: gst::Caps) -> gst::Caps {
        caps::fixate(othercaps)
    }

    fn set_caps(&self, incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        *lock(&self.engine) = None;
        let settings = lock(&self.settings).clone();
        let negotiated = guard(|| {
            let stream = Stream::parse(incaps, outcaps)?;
            let settings = Settings { scale_factor: stream.factor, ..settings };
            Ok((Engine::build(settings, &stream)?, stream))
        });
        let (engine, stream) = negotiated.map_err(|failure| {
            failure.post(&*self.obj());
            gst::loggable_error!(CAT, "cannot upscale {incaps}")
        })?;
        gst::info!(CAT, imp = self, "{incaps}: {}", engine.upscaler.describe());
        *lock(&self.stream) = Some(stream);
        *lock(&self.engine) = Some(engine);
        Ok(())
    }

    fn unit_size(&self, caps: &gst::Caps) -> Option<usize> {
        gst_video::VideoInfo::from_caps(caps).ok().map(|info| info.size())
    }

    /// Only asked without a pool. The size of an input says nothing: it may be padded.
    fn transform_size(
        &self,
        _direction: gst::PadDirection,
        _caps: &gst::Caps,
        _size: usize,
        othercaps: &gst::Caps,
    ) -> Option<usize> {
        self.unit_size(othercaps)
    }

    fn propose_allocation(
        &self,
        _decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Nothing of downstream's answer is repeated: its metas are not all carried over.
        allocation::propose(query)
    }

    fn decide_allocation(&self, query: &mut gst::query::Allocation) -> Result<(), gst::LoggableError> {
        allocation::decide(query)
    }

    fn copy_metadata(&self, inbuf: &gst::BufferRef, outbuf: &mut gst::BufferRef) -> Result<(), gst::LoggableError> {
        let stream = lock(&self.stream).clone();
        let stream = stream.ok_or_else(|| gst::loggable_error!(CAT, "a buffer came before caps"))?;
        metas::carry(inbuf, outbuf, (&stream.input, &stream.output), stream.factor)
            .map_err(|error| gst::loggable_error!(CAT, "metadata: {error}"))
    }

    fn src_event(&self, event: gst::Event) -> bool {
        self.parent_src_event(self.onto_input(event))
    }

    fn transform(&self, inbuf: &gst::Buffer, outbuf: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let stream = lock(&self.stream).clone().ok_or(gst::FlowError::NotNegotiated)?;
        guard(|| self.upscale(&stream, inbuf, outbuf)).map_err(|failure| {
            // A panic may have left it half-way through a frame.
            *lock(&self.engine) = None;
            failure.post(&*self.obj());
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl SrUpscale {
    /// Builds the engine anew if there is none, or if a property has changed since.
    fn refresh(&self, stream: &Stream, engine: &mut Option<Engine>) -> Result<(), Failure> {
        let settings = {
            let current = lock(&self.settings);
            if engine.as_ref().is_some_and(|engine| engine.is_of(&current)) {
                return Ok(());
            }
            // A new factor comes with new caps; until then this stream keeps its own.
            Settings { scale_factor: stream.factor, ..current.clone() }
        };
        let new = Engine::build(settings, stream)?;
        gst::info!(CAT, imp = self, "{}", new.upscaler.describe());
        *engine = Some(new);
        Ok(())
    }

    fn upscale(&self, stream: &Stream, inbuf: &gst::Buffer, outbuf: &mut gst::BufferRef) -> Result<(), Failure> {
        let mut engine = lock(&self.engine);
        self.refresh(stream, &mut engine)?;
        let Some(Engine { upscaler, .. }) = engine.as_mut() else { return Ok(()) };
        let (in_info, out_info) = (*upscaler.input_info(), *upscaler.output_info());
        let from = Layout::of(inbuf, &stream.input, in_info.format)?;
        let to = Layout::of(outbuf, &stream.output, out_info.format)?;
        let input = inbuf
            .map_readable()
            .map_err(|_| Failure::Buffer(format!("a buffer of {} bytes from upstream cannot be read", inbuf.size())))?;
        let size = outbuf.size();
        let mut output = outbuf
            .map_writable()
            .map_err(|_| Failure::Buffer(format!("a buffer of {size} bytes from downstream cannot be written to")))?;
        let report = upscaler.process(&from.read(&in_info, &input)?, &mut to.write(&out_info, &mut output)?)?;
        gst::trace!(CAT, imp = self, "frame {:?}: {} took {:?}", inbuf.pts(), report.model, report.elapsed);
        Ok(())
    }

    /// A pointer's place, told in pixels of the output, in those of the input.
    fn onto_input(&self, event: gst::Event) -> gst::Event {
        let gst::EventView::Navigation(navigation) = event.view() else { return event };
        let (Some(factor), Some(structure)) =
            (lock(&self.stream).as_ref().map(|stream| stream.factor), navigation.structure())
        else {
            return event;
        };
        let mut structure = structure.to_owned();
        for field in ["pointer_x", "pointer_y"] {
            if let Ok(place) = structure.get::<f64>(field) {
                structure.set(field, place / f64::from(factor));
            }
        }
        gst::event::Navigation::builder(structure)
            .seqnum(event.seqnum())
            .running_time_offset(event.running_time_offset())
            .build()
    }
}

impl Stream {
    fn parse(incaps: &gst::Caps, outcaps: &gst::Caps) -> Result<Self, Failure> {
        let (input, output) = (video_info(incaps)?, video_info(outcaps)?);
        let factor = caps::factor_between((input.width(), input.height()), (output.width(), output.height()))
            .filter(|_| input.format() == output.format())
            .ok_or_else(|| Failure::Buffer(format!("{incaps} and {outcaps} differ by more than a whole factor")))?;
        Ok(Self { described: engine_info(incaps)?, input, output, factor })
    }
}

impl Engine {
    /// True if only the factor may have changed.
    fn is_of(&self, settings: &Settings) -> bool {
        let Settings { model, scale_factor: _, backend, threads } = settings;
        (&self.settings.model, self.settings.backend, self.settings.threads) == (model, *backend, *threads)
    }

    fn build(settings: Settings, stream: &Stream) -> Result<Self, Failure> {
        let upscaler = settings.builder().build(&stream.described)?;
        Ok(Self { settings, upscaler })
    }
}
