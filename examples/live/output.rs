//! The output: a pipeline that stays open while sources come and go.
//!
//! ```text
//! frames ─ deinterlace ─ videoconvert ─ srupscale ─ encoder ─┐
//!                                                            ├─ muxer ─ sink
//! sound ─ parser, or encoder where it came decoded ──────────┘
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_app::AppSrc;
use srup_examples::Failure;

use crate::address;
use crate::args::Args;
use crate::container::{Container, audio_parser};
use crate::elements::{self, add, add_filter, add_queue, link};
use crate::encoder::{self, Picture};
use crate::hold::Hold;
use crate::ingest::Streams;
use crate::meter::Meter;
use crate::upscaler::{self, Stats};

/// What encoders everywhere take, and the smaller half of the conversions: before the upscaler.
const FRAMES: &str = "video/x-raw, format=(string){I420, NV12}, interlace-mode=(string)progressive";

/// Encoders of AAC, best first.
const AAC: [&str; 3] = ["fdkaacenc", "avenc_aac", "voaacenc"];

/// How long muxers wait for a stream that is behind: longer than networks take to be loaded and measured.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(3);

/// The open output.
pub struct Output {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    upscaler: gst::Element,
    video: AppSrc,
    audio: Option<AppSrc>,
    /// Keeps the first packets of one stream until the other has some.
    hold: Option<Hold>,
    meter: Arc<Meter>,
    started: Instant,
}

impl Output {
    /// Makes everything for streams like these. A `patient` source is held up while frames wait; for others the feed
    /// decides what is too much.
    ///
    /// # Errors
    /// An element is missing, or cannot be had as the arguments want it.
    pub fn open(
        args: &Args,
        address: &address::Output,
        streams: &Streams,
        meter: &Arc<Meter>,
        patient: bool,
    ) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().ok_or_else(|| Failure::new("GStreamer gives no bus; its installation is broken"))?;
        let latency = gst::ClockTime::from_mseconds(args.latency.into());
        let video = source(&pipeline, latency)?;
        video.set_block(patient);
        video.set_max_buffers(if patient { 8 } else { 0 });
        let upscaler = upscaler::add(&pipeline, &args.upscaling)?;
        // Of a source that waits nothing is left out, however slow the network is.
        upscaler.set_property("qos", !patient);
        let audio = streams.audio.is_some().then(|| source(&pipeline, latency)).transpose()?;
        // Muxers want to know what it is before it comes.
        audio.iter().for_each(|audio| audio.set_caps(streams.audio.as_ref()));
        let mut hold = None;
        match address.container() {
            None => {
                show(&pipeline, &video, &upscaler, meter)?;
                if let Some(audio) = &audio {
                    hear(&pipeline, audio)?;
                }
            }
            Some(container) => {
                let mut ends =
                    vec![encoded(&pipeline, args, container, streams, [video.upcast_ref(), &upscaler], meter)?];
                if let (Some(audio), Some(caps)) = (&audio, &streams.audio) {
                    ends.push(sound(&pipeline, audio, caps)?);
                }
                let pads = send(&pipeline, args, address, container, &ends)?;
                hold = Some(Hold::new(&pads));
            }
        }
        Ok(Self { pipeline, bus, upscaler, video, audio, hold, meter: meter.clone(), started: Instant::now() })
    }

    /// Where frames and sound go in.
    pub fn sources(&self) -> (AppSrc, Option<AppSrc>) {
        (self.video.clone(), self.audio.clone())
    }

    /// Plays; `base` is the clock's time that is 0 on its time line.
    ///
    /// # Errors
    /// The receiver, the file or the screen cannot be opened.
    pub fn start(&self, clock: &gst::Clock, base: gst::ClockTime) -> Result<(), Failure> {
        self.pipeline.use_clock(Some(clock));
        self.pipeline.set_start_time(gst::ClockTime::NONE);
        self.pipeline.set_base_time(base);
        let started = self.pipeline.set_state(gst::State::Playing);
        // The bus knows why.
        self.poll()?;
        started.map(|_| ()).map_err(|_| Failure::new("the output cannot be opened"))
    }

    /// Looks after the pipeline. Returns true once everything has gone out.
    ///
    /// # Errors
    /// What has gone wrong in it.
    pub fn poll(&self) -> Result<bool, Failure> {
        if self.started.elapsed() > Duration::from(PATIENCE) {
            self.hold.iter().for_each(Hold::release);
        }
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Error(error) => return Err(Failure::new(elements::error_text(error))),
                gst::MessageView::Eos(_) => return Ok(true),
                gst::MessageView::Latency(_) => {
                    // Without it sinks that keep time are merely early.
                    let _ = self.pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Waits until everything has gone out, after the sources were ended.
    ///
    /// # Errors
    /// What goes wrong, or no frame has come out for as long as `limit`.
    pub fn finish(&self, limit: Duration) -> Result<(), Failure> {
        self.hold.iter().for_each(Hold::release);
        let (mut frames, mut since) = (0, Instant::now());
        while !self.poll()? {
            let now = self.meter.read(Instant::now()).frames;
            if now != frames {
                (frames, since) = (now, Instant::now());
            }
            if since.elapsed() > limit {
                let seconds = limit.as_secs();
                return Err(Failure::new(format!("the output has stood still for {seconds} s; it may be cut off")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What the upscaler says of itself.
    pub fn stats(&self) -> Stats {
        upscaler::stats(&self.upscaler)
    }

    /// Size of the frames that go into the upscaler, and of those that come out, once there are any.
    pub fn sizes(&self) -> Option<[(i32, i32); 2]> {
        let size = |pad: &str| {
            let caps = self.upscaler.static_pad(pad)?.current_caps()?;
            let structure = caps.structure(0)?;
            Some((structure.get("width").ok()?, structure.get("height").ok()?))
        };
        Some([size("sink")?, size("src")?])
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Nothing is left to be told of a failure.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// What arrives up to `latency` after its time is still in time: sinks that keep time wait that long.
fn source(pipeline: &gst::Pipeline, latency: gst::ClockTime) -> Result<AppSrc, Failure> {
    let source = AppSrc::builder().format(gst::Format::Time).is_live(true).max_bytes(0).build();
    source.set_latency(latency, gst::ClockTime::NONE);
    pipeline.add(&source).map_err(Failure::new)?;
    Ok(source)
}

/// What to do about a frame that is late is the upscaler's business; a converter is not to leave it out.
fn converter(pipeline: &gst::Pipeline, name: &str) -> Result<gst::Element, Failure> {
    let element = add(pipeline, name)?;
    element.set_property("qos", false);
    Ok(element)
}

/// From the source to the upscaler and on to a queue behind it.
fn upscaled(pipeline: &gst::Pipeline, video: &gst::Element, upscaler: &gst::Element) -> Result<gst::Element, Failure> {
    let caps = FRAMES.parse().map_err(Failure::new)?;
    let queue = add_queue(pipeline, 4, gst::ClockTime::ZERO)?;
    link(&[
        video.clone(),
        add(pipeline, "deinterlace")?,
        converter(pipeline, "videoconvert")?,
        add_filter(pipeline, &caps)?,
        upscaler.clone(),
        queue.clone(),
    ])?;
    Ok(queue)
}

/// To the screen.
fn show(pipeline: &gst::Pipeline, video: &AppSrc, upscaler: &gst::Element, meter: &Arc<Meter>) -> Result<(), Failure> {
    let queue = upscaled(pipeline, video.upcast_ref(), upscaler)?;
    let (convert, sink) = (converter(pipeline, "videoconvert")?, add(pipeline, "autovideosink")?);
    if let Some(bin) = sink.downcast_ref::<gst::Bin>() {
        // A frame that is a little late is better seen than left out.
        bin.connect_deep_element_added(|_, _, element| {
            if element.has_property("max-lateness") {
                element.set_property("max-lateness", -1_i64);
            }
        });
    }
    if let Some(pad) = convert.static_pad("src") {
        meter.watch(&pad);
    }
    link(&[queue, convert, sink])
}

/// To the loudspeakers.
fn hear(pipeline: &gst::Pipeline, audio: &AppSrc) -> Result<(), Failure> {
    let queue = add_queue(pipeline, 0, PATIENCE)?;
    let [convert, resample, sink] = ["audioconvert", "audioresample", "autoaudiosink"].map(|name| add(pipeline, name));
    link(&[audio.clone().upcast(), queue, convert?, resample?, sink?])
}

/// Frames, upscaled and encoded.
fn encoded(
    pipeline: &gst::Pipeline,
    args: &Args,
    container: Container,
    streams: &Streams,
    [video, upscaler]: [&gst::Element; 2],
    meter: &Arc<Meter>,
) -> Result<gst::Element, Failure> {
    let picture = picture(&streams.video, args.upscaling.scale.into());
    let mut chain = vec![upscaled(pipeline, video, upscaler)?];
    if !container.bears_changes() {
        chain.extend(unchanging(pipeline, &streams.video, picture)?);
    }
    let encoder = encoder::add(pipeline, &args.encoding, container, picture)?;
    if let Some(pad) = encoder.last().and_then(|parser| parser.static_pad("src")) {
        meter.watch(&pad);
    }
    let queue = add_queue(pipeline, 0, PATIENCE)?;
    chain.push(encoder[0].clone());
    link(&chain)?;
    link(&[encoder[encoder.len() - 1].clone(), queue.clone()])?;
    Ok(queue)
}

/// Keeps the frames what they were at first, whatever the source becomes: fitted into that size, with black around where
/// the shape is another, in those colours. The rate is a word in the caps alone; time stamps say what it really is.
fn unchanging(pipeline: &gst::Pipeline, caps: &gst::Caps, picture: Picture) -> Result<Vec<gst::Element>, Failure> {
    let structure = caps.structure(0);
    let fraction = |name| structure.and_then(|structure| structure.get::<gst::Fraction>(name).ok());
    let aspect = fraction("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
    let fixed = gst::Caps::builder("video/x-raw")
        .field("width", picture.width)
        .field("height", picture.height)
        .field("pixel-aspect-ratio", aspect)
        .field_if_some("colorimetry", structure.and_then(|structure| structure.get::<String>("colorimetry").ok()));
    let scale = converter(pipeline, "videoscale")?;
    scale.set_property("add-borders", true);
    let mut chain = vec![converter(pipeline, "videoconvert")?, scale, add_filter(pipeline, &fixed.build())?];
    if let Some(rate) = frame_rate(caps) {
        let named = add(pipeline, "capssetter")?;
        named.set_property("caps", gst::Caps::builder("video/x-raw").field("framerate", rate).build());
        chain.push(named);
    }
    Ok(chain)
}

/// The rate behind the deinterlacer, which makes a frame of each field.
fn frame_rate(caps: &gst::Caps) -> Option<gst::Fraction> {
    let structure = caps.structure(0)?;
    let rate = structure.get::<gst::Fraction>("framerate").ok()?;
    let interlaced = structure.get::<&str>("interlace-mode").is_ok_and(|mode| mode != "progressive");
    Some(if interlaced { rate * 2 } else { rate })
}

/// What the encoder will get, from the caps of the frames that go in.
fn picture(caps: &gst::Caps, scale: i32) -> Picture {
    let structure = caps.structure(0);
    let size = |name| structure.and_then(|structure| structure.get::<i32>(name).ok()).unwrap_or(0);
    let rate = frame_rate(caps).filter(|rate| rate.numer() > 0);
    let rate = rate.map_or(0.0, |rate| f64::from(rate.numer()) / f64::from(rate.denom()));
    Picture { width: size("width").saturating_mul(scale), height: size("height").saturating_mul(scale), rate }
}

/// Sound for a muxer: as it is, or encoded where it came decoded.
fn sound(pipeline: &gst::Pipeline, audio: &AppSrc, caps: &gst::Caps) -> Result<gst::Element, Failure> {
    let mut chain = vec![audio.clone().upcast()];
    let structure = caps.structure(0).ok_or_else(|| Failure::new("the source's sound has no format"))?;
    if structure.name() == "audio/x-raw" {
        let name = AAC.into_iter().find(|name| elements::exists(name)).unwrap_or("avenc_aac");
        chain.extend([add(pipeline, "audioconvert")?, add(pipeline, "audioresample")?, unchanging_sound(pipeline)?]);
        chain.extend([add(pipeline, name)?, add(pipeline, "aacparse")?]);
    } else if let Some(parser) = audio_parser(structure) {
        chain.push(add(pipeline, parser)?);
    }
    let queue = add_queue(pipeline, 0, gst::ClockTime::ZERO)?;
    chain.push(queue.clone());
    link(&chain)?;
    Ok(queue)
}

/// Keeps decoded sound what the encoder takes at first, whatever the source becomes.
fn unchanging_sound(pipeline: &gst::Pipeline) -> Result<gst::Element, Failure> {
    let filter = add_filter(pipeline, &gst::Caps::new_any())?;
    let weak = filter.downgrade();
    if let Some(pad) = filter.static_pad("src") {
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            let Some(gst::EventView::Caps(event)) = info.event().map(|event| event.view()) else {
                return gst::PadProbeReturn::Ok;
            };
            if let Some(filter) = weak.upgrade() {
                filter.set_property("caps", event.caps_owned());
            }
            gst::PadProbeReturn::Remove
        });
    }
    Ok(filter)
}

/// Muxer and sink behind the encoded streams. Returns the pads by which these come.
fn send(
    pipeline: &gst::Pipeline,
    args: &Args,
    address: &address::Output,
    container: Container,
    ends: &[gst::Element],
) -> Result<Vec<gst::Pad>, Failure> {
    let (muxer, names) = match address {
        address::Output::Hls(folder) => (hls(pipeline, args, folder)?, ["video", "audio"]),
        _ => (add(pipeline, container.muxer())?, container.pads()),
    };
    if muxer.has_property("latency") {
        muxer.set_property("latency", PATIENCE.nseconds());
    }
    match address {
        address::Output::Srt(uri) => srt(pipeline, args, &muxer, uri)?,
        address::Output::Udp(host, port) => {
            let sink = add(pipeline, "udpsink")?;
            sink.set_property("host", host);
            sink.set_property("port", *port);
            packets(&muxer, &sink)?;
        }
        address::Output::Rtmp(uri) => {
            let sink = add(pipeline, "rtmp2sink")?;
            sink.set_property("location", uri);
            muxer.set_property("streamable", true);
            unsynced(&muxer, &sink)?;
        }
        address::Output::File(path, _) => {
            let sink = add(pipeline, "filesink")?;
            sink.set_property("location", path.to_string_lossy().as_ref());
            unsynced(&muxer, &sink)?;
        }
        address::Output::Hls(_) | address::Output::Display => {}
    }
    ends.iter().zip(names).map(|(end, name)| attach(end, &muxer, name)).collect()
}

fn attach(end: &gst::Element, muxer: &gst::Element, name: &str) -> Result<gst::Pad, Failure> {
    let unfit = || Failure::new("the output cannot hold such a stream; choose another container");
    let (from, to) = (end.static_pad("src").ok_or_else(unfit)?, muxer.request_pad_simple(name).ok_or_else(unfit)?);
    from.link(&to).map_err(|_| unfit())?;
    Ok(from)
}

fn srt(pipeline: &gst::Pipeline, args: &Args, muxer: &gst::Element, uri: &str) -> Result<(), Failure> {
    let sink = add(pipeline, "srtsink")?;
    sink.set_property("uri", uri);
    // A listener without a caller sends to nobody, and does not wait.
    sink.set_property("wait-for-connection", false);
    if !uri.contains("latency=") {
        sink.set_property("latency", i32::try_from(args.latency).unwrap_or(i32::MAX));
    }
    packets(muxer, &sink)
}

/// MPEG-TS in packets of a network: seven of its own fit into one.
fn packets(muxer: &gst::Element, sink: &gst::Element) -> Result<(), Failure> {
    muxer.set_property("alignment", 7_i32);
    unsynced(muxer, sink)
}

/// The source keeps the time: what comes out of the muxer is due.
fn unsynced(muxer: &gst::Element, sink: &gst::Element) -> Result<(), Failure> {
    sink.set_property("sync", false);
    sink.set_property("async", false);
    link(&[muxer.clone(), sink.clone()])
}

fn hls(pipeline: &gst::Pipeline, args: &Args, folder: &Path) -> Result<gst::Element, Failure> {
    let sink = add(pipeline, "hlssink2")?;
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    sink.set_property("location", at("segment%05d.ts"));
    sink.set_property("playlist-location", at("playlist.m3u8"));
    sink.set_property("target-duration", args.encoding.segment);
    sink.set_property("playlist-length", args.encoding.playlist);
    // Players may still be at a segment that the playlist names no longer.
    let kept = if args.encoding.playlist == 0 { 0 } else { args.encoding.playlist.saturating_add(4) };
    sink.set_property("max-files", kept);
    Ok(sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoder_counts_with_a_frame_for_each_field() {
        gst::init().unwrap();
        for (rest, rate) in [
            ("", 25.0),
            (", interlace-mode=progressive", 25.0),
            (", interlace-mode=interleaved", 50.0),
            (", interlace-mode=mixed", 50.0),
        ] {
            let caps = format!("video/x-raw, width=160, height=96, framerate=25/1{rest}").parse().unwrap();
            assert_eq!(picture(&caps, 2).rate, rate, "{rest}");
        }
        let unknown = "video/x-raw, width=160, height=96, framerate=0/1, interlace-mode=mixed".parse().unwrap();
        assert_eq!(picture(&unknown, 2).rate, 0.0);
    }
}
