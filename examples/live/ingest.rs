//! One connection to the source: a pipeline that plays it, in time, into the feed.
//!
//! The picture is decoded. Sound stays as it came where the output can hold it. Everything is given out when it is to be
//! seen and heard, so that bursts of the network, or a file that is there at once, become an even stream.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks};
use srup_examples::Failure;

use crate::address::{Input, Manner, Pattern};
use crate::elements;
use crate::feed::{Feed, Medium};

/// How long the last frames of a lost connection may take out of the decoder.
const DRAIN: Duration = Duration::from_secs(1);

/// How long the first stream waits for others that are announced and do not come.
const COMPANY: Duration = Duration::from_secs(4);

/// What a connection needs to know.
pub struct Wishes {
    /// Smooths out jitter up to that many milliseconds.
    pub latency: u32,
    /// The sound that is not decoded, as caps.
    pub audio: &'static str,
    /// Sound of a microphone with a camera.
    pub microphone: bool,
}

/// What a source is made of.
pub struct Streams {
    /// Raw video.
    pub video: gst::Caps,
    /// Sound: encoded, or raw where it had to be decoded.
    pub audio: Option<gst::Caps>,
}

/// What has become of a connection.
pub enum Event {
    /// It is over, for that reason.
    Lost(String),
    /// The source has said that this was all.
    Ended,
}

/// A connection.
pub struct Ingest {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    shared: Arc<Shared>,
}

/// What the source's threads find out.
struct Shared {
    feed: Arc<Feed>,
    /// A live source sends when it likes; any other is started when all sinks have their first buffer.
    live: bool,
    sinks: Mutex<[Option<AppSink>; 2]>,
    complete: AtomicBool,
    /// When the first stream was found.
    found: OnceLock<Instant>,
    /// The feed's number of this connection.
    epoch: u64,
    ended: AtomicUsize,
}

impl Ingest {
    /// Begins to connect, and returns at once; errors of the network come as events.
    ///
    /// # Errors
    /// No element can play such an address.
    pub fn start(input: &Input, wishes: &Wishes, feed: &Arc<Feed>, clock: &gst::Clock) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::new();
        pipeline.use_clock(Some(clock));
        let bus = pipeline.bus().ok_or_else(|| Failure::new("GStreamer gives no bus; its installation is broken"))?;
        let shared = Arc::new(Shared {
            feed: feed.clone(),
            live: !matches!(input.manner(), Manner::File | Manner::Http),
            sinks: Mutex::default(),
            complete: AtomicBool::new(false),
            found: OnceLock::new(),
            epoch: feed.begin(),
            ended: AtomicUsize::new(0),
        });
        match input {
            Input::Test(pattern) => shared.attach_pattern(&pipeline, *pattern)?,
            Input::Camera(device) => {
                shared.attach_uri(&pipeline, &format!("v4l2://{device}"), wishes)?;
                if wishes.microphone {
                    let source = elements::add(&pipeline, "autoaudiosrc")?;
                    shared.attach_element(&pipeline, &source)?;
                }
            }
            Input::Uri(uri, _) => shared.attach_uri(&pipeline, uri, wishes)?,
        }
        // Some sources connect while they change state, which takes as long as the network does.
        pipeline.call_async(|pipeline| {
            if pipeline.set_state(gst::State::Playing).is_err() {
                // The reason has been posted before, if there is one, and is read first.
                gst::element_error!(pipeline, gst::ResourceError::Failed, ("it cannot be started"));
            }
        });
        Ok(Self { pipeline, bus, shared })
    }

    /// What there is to see and hear, once that is known.
    pub fn streams(&self) -> Option<Result<Streams, Failure>> {
        let complete = self.shared.complete.load(Ordering::Acquire);
        let waited = self.shared.found.get().is_some_and(|found| found.elapsed() > COMPANY);
        let sinks = self.shared.sinks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [has_video, has_audio] = sinks.each_ref().map(Option::is_some);
        // A stream's first buffer says what it is.
        let [video, audio] = sinks.map(|sink| sink?.static_pad("sink")?.current_caps());
        let awaits_audio = !complete || (has_audio && audio.is_none());
        match video {
            Some(video) if waited || !awaits_audio => Some(Ok(Streams { video, audio })),
            None if !has_video && (waited || complete) => Some(Err(Failure::new(
                "there is no video in it that can be decoded here; `ffprobe` says what is in it",
            ))),
            // Whether a first frame ever comes is for the time limit on silence.
            _ => None,
        }
    }

    /// What has happened since the last call.
    pub fn poll(&self) -> Option<Event> {
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Error(error) => return Some(Event::Lost(elements::error_text(error))),
                gst::MessageView::Eos(_) => return Some(Event::Ended),
                gst::MessageView::Latency(_) => {
                    // Without it late data are merely not waited for.
                    let _ = self.pipeline.recalculate_latency();
                }
                // Nor is there a pause for buffering: the output's time goes on, and what comes late moves along.
                _ => {}
            }
        }
        None
    }

    /// Whether it is a broadcast, or a file with a length.
    pub fn is_broadcast(&self) -> bool {
        self.pipeline.query_duration::<gst::ClockTime>().is_none()
    }

    /// Lets the last frames out of the decoder.
    pub fn drain(&self) {
        self.pipeline.send_event(gst::event::Eos::new());
        let sinks = self.shared.sinks.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().count();
        let begun = Instant::now();
        while self.shared.ended.load(Ordering::Acquire) < sinks && begun.elapsed() < DRAIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Nothing is left to be told of a failure.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Shared {
    /// Whatever GStreamer has an element for.
    fn attach_uri(self: &Arc<Self>, pipeline: &gst::Pipeline, uri: &str, wishes: &Wishes) -> Result<(), Failure> {
        if !is_playable(uri) {
            return Err(Failure::new(format!("no element of GStreamer plays {uri}; check the address's beginning")));
        }
        let bin = elements::add(pipeline, "uridecodebin")?;
        bin.set_property("uri", uri);
        // Raw sound last: decoders stop at the first that fits.
        let caps = ["video/x-raw", wishes.audio, "audio/x-raw"].map(str::trim).join("; ").replace("; ;", ";");
        bin.set_property("caps", caps.parse::<gst::Caps>().map_err(Failure::new)?);
        let latency = wishes.latency;
        if let Some(bin) = bin.downcast_ref::<gst::Bin>() {
            bin.connect_deep_element_added(move |_, _, element| prepare(element, latency));
        }
        let (shared, weak) = (self.clone(), pipeline.downgrade());
        bin.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade() {
                shared.attach(&pipeline, pad);
            }
        });
        let shared = self.clone();
        bin.connect_no_more_pads(move |_| shared.complete.store(true, Ordering::Release));
        Ok(())
    }

    /// A ball and a tick every second, from elements of GStreamer.
    fn attach_pattern(self: &Arc<Self>, pipeline: &gst::Pipeline, pattern: Pattern) -> Result<(), Failure> {
        let video = elements::add(pipeline, "videotestsrc")?;
        video.set_property("is-live", true);
        video.set_property_from_str("pattern", "ball");
        let Pattern { width, height, rate } = pattern;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(rate, 1));
        let filter = elements::add_filter(pipeline, &caps.build())?;
        elements::link(&[video, filter.clone()])?;
        let audio = elements::add(pipeline, "audiotestsrc")?;
        audio.set_property("is-live", true);
        audio.set_property_from_str("wave", "ticks");
        self.attach_element(pipeline, &filter)?;
        self.attach_element(pipeline, &audio)?;
        self.complete.store(true, Ordering::Release);
        Ok(())
    }

    fn attach_element(self: &Arc<Self>, pipeline: &gst::Pipeline, element: &gst::Element) -> Result<(), Failure> {
        let pad = element.static_pad("src").ok_or_else(|| Failure::new(format!("{} gives nothing", element.name())))?;
        self.attach(pipeline, &pad);
        Ok(())
    }

    /// Leads a stream into the feed: the first picture, the first sound. Others are heard and thrown away.
    fn attach(self: &Arc<Self>, pipeline: &gst::Pipeline, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let medium = match caps.structure(0).map(|structure| structure.name().as_str()) {
            Some(name) if name.starts_with("video/") => Some(Medium::Video),
            Some(name) if name.starts_with("audio/") => Some(Medium::Audio),
            _ => None,
        };
        self.found.get_or_init(Instant::now);
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = match medium.map(|medium| (medium, &mut sinks[medium as usize])) {
            Some((medium, place @ None)) => place.insert(self.sink(medium)).clone().upcast(),
            // Some demuxers replace a pad by another in mid-stream.
            Some((_, Some(sink))) if sink.static_pad("sink").is_some_and(|pad| !pad.is_linked()) => {
                sink.clone().upcast()
            }
            _ => unwanted(),
        };
        drop(sinks);
        let added = sink.parent().is_some() || pipeline.add(&sink).is_ok();
        let linked = added
            && sink.sync_state_with_parent().is_ok()
            && sink.static_pad("sink").is_some_and(|target| pad.link(&target).is_ok());
        if !linked {
            gst::element_error!(pipeline, gst::CoreError::Negotiation, ("a stream of {caps} cannot be played"));
        }
    }

    fn sink(self: &Arc<Self>, medium: Medium) -> AppSink {
        let (feed, epoch, shared) = (self.feed.clone(), self.epoch, Arc::downgrade(self));
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| match sink.pull_sample() {
                Ok(sample) => feed.push(epoch, medium, &sample),
                Err(_) => Err(gst::FlowError::Eos),
            })
            .eos(move |_| {
                if let Some(shared) = shared.upgrade() {
                    shared.ended.fetch_add(1, Ordering::AcqRel);
                }
            });
        // A few frames; what is more waits in the decoder and before it. A decoder of sound needs what lies just before the
        // segment.
        let sink = AppSink::builder()
            .drop_out_of_segment(false)
            .sync(true)
            .async_(!self.live)
            .max_buffers(4)
            .enable_last_sample(false)
            .qos(false);
        sink.callbacks(callbacks.build()).build()
    }
}

/// For a live source the demuxer of MPEG-TS corrects time stamps by when data arrive, and each stream's own at that: a
/// sender that begins with a burst then has sound and picture up to a tenth of a second apart. As part of a file, which is
/// said to be counted in bytes, they are what the sender wrote.
fn trust_time_stamps(demuxer: &gst::Element) {
    let Some(pad) = demuxer.static_pad("sink") else { return };
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        let is_time = info.event().is_some_and(|event| match event.view() {
            gst::EventView::Segment(event) => event.segment().format() == gst::Format::Time,
            _ => false,
        });
        if is_time {
            let bytes = gst::FormattedSegment::<gst::format::Bytes>::new();
            info.data = Some(gst::PadProbeData::Event(gst::event::Segment::new(&bytes)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Whether an element is a source for such addresses. One that was only made to see would leave threads behind.
fn is_playable(uri: &str) -> bool {
    let scheme = uri.split("://").next().unwrap_or_default();
    let factories = gst::ElementFactory::factories_with_type(gst::ElementFactoryType::ANY, gst::Rank::NONE);
    let mut sources = factories.iter().filter(|factory| factory.uri_type() == gst::URIType::Src);
    sources.any(|factory| factory.uri_protocols().iter().any(|known| known.eq_ignore_ascii_case(scheme)))
}

/// Where streams go that nobody wants. It keeps no time: it must not hold others up.
fn unwanted() -> gst::Element {
    gst_app::AppSink::builder().sync(false).async_(false).drop(true).max_buffers(1).build().upcast()
}

/// Settings of elements that a source is found to need.
fn prepare(element: &gst::Element, latency: u32) {
    let Some(factory) = element.factory() else { return };
    match factory.name().as_str() {
        "srtsrc" => {
            // A connection that breaks is ours to see and to make again.
            if element.has_property("auto-reconnect") {
                element.set_property("auto-reconnect", false);
            }
            // It looks up that often whether it is to end, in milliseconds; without that it waits for the next packet.
            element.set_property("poll-timeout", 100_i32);
            // What the address says counts more.
            if !element.property::<Option<String>>("uri").is_some_and(|uri| uri.contains("latency=")) {
                element.set_property("latency", i32::try_from(latency).unwrap_or(i32::MAX));
            }
        }
        "tsdemux" => {
            element.set_property("latency", i32::try_from(latency).unwrap_or(i32::MAX));
            trust_time_stamps(element);
        }
        "sdpdemux" => {
            element.set_property("latency", latency);
            // How long to wait for a sender is not its to decide.
            element.set_property("timeout", 0_u64);
        }
        "rtspsrc" | "rtpsrc" => element.set_property("latency", latency),
        _ => {}
    }
}
