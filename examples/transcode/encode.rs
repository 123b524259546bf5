//! The encoder: which one, with which pixel format and options, and frames into packets.

use std::collections::HashMap;

use ffmpeg_next::codec::{Context, Flags, Id};
use ffmpeg_next::format::{Pixel, flag, format};
use ffmpeg_next::frame::Video;
use ffmpeg_next::frame::side_data::Type;
use ffmpeg_next::{Codec, Dictionary, Error, Packet, Rational, encoder};
use srup_engine::frame::Matrix;
use srup_examples::Failure;
use srup_examples::video::colour::Tags;
use srup_examples::video::convert::{Converter, Shape};
use srup_examples::video::{ffi, formats};

use crate::args::Args;
use crate::grid::Grid;
use crate::hdr::Hdr;
use crate::streams;

/// x264 and x265 at this quality are hard to tell from their input.
const CRF: &str = "17";

/// The presets of x264 and x265, checked here because x264 prints its own complaint past FFmpeg's log.
const PRESETS: [&str; 10] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"];

/// What an encoder is to make.
pub struct Target<'a> {
    /// The container that it is for.
    pub container: &'a format::Output,
    /// Codec of the input's video.
    pub source: Id,
    /// Format, size and range of the frames that come.
    pub frames: Shape,
    /// Bits of a sample: 8 or 10.
    pub bits: u32,
    /// Colour of the frames that come.
    pub tags: Tags,
    /// Unit of the frames' times, in seconds.
    pub time_base: Rational,
    /// The one frame rate that the container holds; None if it keeps the frames' times.
    pub constant: Option<Rational>,
    /// Frames a second, roughly; None if unknown.
    pub rate: Option<Rational>,
    /// Shape of a pixel; None if unknown.
    pub aspect: Option<Rational>,
    /// Static HDR metadata.
    pub hdr: &'a Hdr,
}

/// Finds the encoder that was asked for, or the default.
pub fn choose(args: &Args, container: &format::Output, source: Id, bits: u32) -> Result<Codec, Failure> {
    if let Some(name) = &args.codec {
        let codec = named(name)?;
        if !streams::can_hold(container, codec.id()) {
            let text = format!("{} cannot hold {} video", container.name(), codec.id().name());
            return Err(Failure::new(format!("{text}; choose another --codec, or end the name in .mkv")));
        }
        return Ok(codec);
    }
    let favourites = if bits > 8 || source == Id::HEVC { ["libx265", "libx264"] } else { ["libx264", "libx265"] };
    let fallback = container.codec(&args.output, ffmpeg_next::media::Type::Video);
    // WebM's own choice would be VP8 on some builds, which has no 10 bits.
    let candidates = favourites.iter().chain(&["libvpx-vp9"]).filter_map(|name| encoder::find_by_name(name));
    candidates.chain(encoder::find(fallback)).find(|codec| streams::can_hold(container, codec.id())).ok_or_else(|| {
        Failure::new(format!("no encoder here makes video for {}; end the name in .mkv", container.name()))
    })
}

/// The video encoder of that name.
pub fn named(name: &str) -> Result<Codec, Failure> {
    encoder::find_by_name(name).or_else(|| ffi::encoder_for(name)).filter(Codec::is_video).ok_or_else(|| {
        Failure::new(format!(
            "unknown video encoder '{name}': use libx264, libx265, ffv1 or one that `ffmpeg -encoders` lists"
        ))
    })
}

/// An open encoder.
pub struct Encoding {
    encoder: encoder::video::Encoder,
    frames: Shape,
    /// Format of what the encoder takes, and its range.
    takes: Shape,
    matrix: Matrix,
    aspect: Rational,
    grid: Option<Grid>,
    /// False if the encoder writes no closed captions.
    captions: bool,
}

impl Encoding {
    /// Opens `codec` for a target. Returns it with warnings about what it cannot keep.
    pub fn open(args: &Args, codec: Codec, target: &Target<'_>) -> Result<(Self, Vec<String>), Failure> {
        let (frames, mut warnings) = (target.frames, Vec::new());
        let pixel = pixel_format(&codec, frames.pixel)?;
        let lost = |layout: ffi::Layout| (layout.depth, layout.alpha);
        if let (Some(from), Some(to)) = (ffi::layout(frames.pixel).map(lost), ffi::layout(pixel).map(lost)) {
            if to.0 < from.0 {
                warnings.push(format!("{} takes only {} bits; the video loses depth", codec.name(), to.0));
            }
            if from.1 && !to.1 {
                warnings.push(format!("{} has no transparency; it is dropped", codec.name()));
            }
        }
        let matrix = target.tags.matrix(frames.width, frames.height);
        let tags = target.tags.converted(frames.pixel, pixel, matrix);
        let takes = Shape { pixel, full: tags.is_full(), ..frames };

        let mut video = Context::new_with_codec(codec).encoder().video().map_err(|error| failed(&codec, &error))?;
        video.set_width(frames.width);
        video.set_height(frames.height);
        video.set_format(pixel);
        video.set_time_base(target.constant.map_or(target.time_base, |rate| rate.invert()));
        // A hint for rate control and level. Without one x264 would take the time base's, thousands a second, for it.
        video.set_frame_rate(Some(target.constant.or(target.rate).unwrap_or(Rational(30, 1))));
        if let Some(aspect) = target.aspect {
            video.set_aspect_ratio(aspect);
        }
        tags.apply(&mut video);
        ffi::set_threads(&mut video, 0);
        if target.container.flags().contains(flag::Flags::GLOBAL_HEADER) {
            video.set_flags(Flags::GLOBAL_HEADER);
        }
        let encoder =
            video.open_with(options(args, &codec, target.hdr)?).map_err(|error| refused(&codec, &takes, &error))?;
        let aspect = target.aspect.unwrap_or(Rational(0, 1));
        let grid = target.constant.map(|rate| Grid::new(target.time_base, rate));
        // FFmpeg's name for the option of those that do.
        let captions = ffi::has_option(&codec, "a53cc");
        Ok((Self { encoder, frames, takes, matrix, aspect, grid, captions }, warnings))
    }

    /// Its parameters, for a stream.
    pub fn encoder(&self) -> &encoder::video::Encoder {
        &self.encoder
    }

    /// Shape of a pixel as the encoder writes it; 0 if unknown.
    pub fn aspect(&self) -> Rational {
        self.aspect
    }

    /// The one frame rate of what comes out, where the container needs one.
    pub fn rate(&self) -> Option<Rational> {
        self.grid.as_ref().map(Grid::rate)
    }

    /// The encoder's name and pixel format, in words.
    pub fn describe(&self) -> String {
        let codec = self.encoder.codec();
        format!("{} {}", codec.as_ref().map_or("", Codec::name), formats::name(self.takes.pixel))
    }

    /// Ready to work, on the thread that calls this.
    pub fn start(self) -> Worker {
        let converter = Converter::new(self.takes, self.matrix);
        Worker { converter, encoding: self, durations: HashMap::new(), previous: None }
    }
}

/// The encoder at work.
pub struct Worker {
    encoding: Encoding,
    converter: Converter,
    /// Durations of the frames inside the encoder by their times; the packets come without.
    durations: HashMap<i64, i64>,
    /// The frame before, where it may have to be repeated.
    previous: Option<Video>,
}

impl Worker {
    /// Encodes one frame, or with None what is still inside; gives each packet to `out`, which returns false to stop.
    /// Returns false if it was stopped.
    pub fn run(&mut self, frame: Option<Video>, mut out: impl FnMut(Packet) -> bool) -> Result<bool, Failure> {
        let Some(frame) = frame else {
            self.encoding.encoder.send_eof().map_err(|error| broken(&error))?;
            return self.collect(&mut out);
        };
        let mut frame = self.converted(frame)?;
        let Some(grid) = &mut self.encoding.grid else {
            if let Some(time) = frame.pts().filter(|_| frame.packet().duration > 0) {
                self.durations.insert(time, frame.packet().duration);
            }
            return self.send(&frame, &mut out);
        };
        let (empty, slot) = grid.place(frame.pts().unwrap_or_default());
        if let Some(mut previous) = self.previous.take() {
            for slot in empty {
                previous.set_pts(Some(slot));
                if !self.send(&previous, &mut out)? {
                    return Ok(false);
                }
            }
        }
        frame.set_pts(Some(slot));
        let goes_on = self.send(&frame, &mut out);
        self.previous = Some(frame);
        goes_on
    }

    /// True if the frame carries closed captions that the encoder does not write.
    pub fn loses_captions(&self, frame: &Video) -> bool {
        !self.encoding.captions && frame.side_data(Type::A53CC).is_some()
    }

    /// A frame as the encoder takes it.
    fn converted(&mut self, mut frame: Video) -> Result<Video, Failure> {
        let Encoding { frames, takes, .. } = self.encoding;
        if formats::plain(takes.pixel) != frames.pixel || takes.full != frames.full {
            return self.converter.run(&frame, frames);
        }
        // Same bytes; only the name may say "full range" in its own way.
        frame.set_format(takes.pixel);
        Ok(frame)
    }

    fn send(&mut self, frame: &Video, out: &mut impl FnMut(Packet) -> bool) -> Result<bool, Failure> {
        self.encoding.encoder.send_frame(frame).map_err(|error| broken(&error))?;
        self.collect(out)
    }

    /// Gives what is ready to `out`.
    fn collect(&mut self, out: &mut impl FnMut(Packet) -> bool) -> Result<bool, Failure> {
        loop {
            let mut packet = Packet::empty();
            match self.encoding.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(Error::Eof | Error::Other { errno: ffmpeg_next::error::EAGAIN }) => return Ok(true),
                Err(error) => return Err(broken(&error)),
            }
            if self.encoding.grid.is_some() {
                packet.set_duration(1);
            } else if let Some(duration) = packet.pts().and_then(|time| self.durations.remove(&time)) {
                packet.set_duration(duration);
            }
            if !out(packet) {
                return Ok(false);
            }
        }
    }
}

fn broken(error: &Error) -> Failure {
    Failure::new(format!("the encoder failed: {error}"))
}

fn pixel_format(codec: &Codec, from: Pixel) -> Result<Pixel, Failure> {
    let offered: Vec<Pixel> = codec.video().ok().and_then(|video| video.formats()).into_iter().flatten().collect();
    if offered.is_empty() || offered.contains(&from) {
        return Ok(from);
    }
    let alpha = ffi::layout(from).is_some_and(|layout| layout.alpha);
    let usable: Vec<Pixel> =
        offered.into_iter().filter(|&pixel| ffi::layout(pixel).is_some_and(|layout| !layout.hardware)).collect();
    ffi::best_format(&usable, from, alpha).ok_or_else(|| {
        let text = format!("{} takes no pixel format that can be made here; choose another --codec", codec.name());
        Failure::new(text)
    })
}

/// The encoder's options: quiet, HDR metadata, quality and preset, then whatever the user adds.
fn options(args: &Args, codec: &Codec, hdr: &Hdr) -> Result<Dictionary<'static>, Failure> {
    let mut options: Vec<(String, String)> = Vec::new();
    let library = codec.name();
    let known = ["libx264", "libx264rgb", "libx265"].contains(&library);
    // Where a rate or a quantiser is given as well, the CRF would win.
    let chosen = args.encoder_option.iter().any(|(key, _)| ["b", "qp", "crf"].contains(&key.as_str()));
    if known && !chosen && args.crf.is_none() {
        options.push(("crf".into(), CRF.into()));
    }
    if let Some(preset) = &args.preset {
        if known && !PRESETS.contains(&preset.as_str()) {
            return Err(Failure::new(format!("unknown preset '{preset}': use one of {}", PRESETS.join(", "))));
        }
        options.push(("preset".into(), preset.clone()));
    }
    if let Some(crf) = args.crf {
        options.push(("crf".into(), crf.to_string()));
    }
    let parameters = library_parameters(library, hdr);
    let joined = parameters.as_ref().map(|(key, _)| *key);
    options.extend(parameters.map(|(key, list)| (key.into(), list)));
    for (key, value) in &args.encoder_option {
        match options.iter_mut().find(|option| option.0 == *key) {
            Some(option) if Some(key.as_str()) == joined => option.1 = format!("{}:{value}", option.1),
            Some(option) => option.1 = value.clone(),
            None => options.push((key.clone(), value.clone())),
        }
    }
    if let Some((key, _)) = options.iter().find(|(key, _)| !ffi::has_option(codec, key)) {
        let text = format!("encoder {library} has no option '{key}': `ffmpeg -h encoder={library}` lists what it has");
        return Err(Failure::new(text));
    }
    Ok(options.into_iter().collect())
}

/// The option in which x264 and x265 take parameters in their own syntax, and these: silence, as x265 prints past FFmpeg's
/// log, and HDR.
fn library_parameters(library: &str, hdr: &Hdr) -> Option<(&'static str, String)> {
    let (display, light) = (hdr.mastering_display(), hdr.content_light());
    let join = |fixed: &[&str], display_key: &str, light_key: &str| {
        let display = display.iter().map(|text| format!("{display_key}={text}"));
        let light = light.iter().map(|text| format!("{light_key}={text}"));
        fixed.iter().map(|&text| text.to_owned()).chain(display).chain(light).collect::<Vec<_>>().join(":")
    };
    match library {
        "libx265" if display.is_some() || light.is_some() => {
            let fixed = ["log-level=none", "hdr-opt=1", "repeat-headers=1"];
            Some(("x265-params", join(&fixed, "master-display", "max-cll")))
        }
        "libx265" => Some(("x265-params", "log-level=none".into())),
        "libx264" if display.is_some() || light.is_some() => {
            Some(("x264-params", join(&[], "mastering-display", "cll")))
        }
        _ => None,
    }
}

fn failed(codec: &Codec, error: &Error) -> Failure {
    Failure::new(format!("encoder {} cannot be set up: {error}; choose another --codec", codec.name()))
}

fn refused(codec: &Codec, takes: &Shape, error: &Error) -> Failure {
    let chroma = ffi::layout(takes.pixel).map_or((0, 0), |layout| layout.chroma);
    let odd = (chroma.0 > 0 && takes.width % 2 == 1) || (chroma.1 > 0 && takes.height % 2 == 1);
    let advice = if odd {
        "many encoders want even sizes: use --scale 2 or 4, or --codec ffv1"
    } else {
        "check --preset, --crf and --encoder-option, or choose another --codec"
    };
    let Shape { width, height, pixel, .. } = *takes;
    let picture = format!("{width}x{height} {}", formats::name(pixel));
    Failure::new(format!("encoder {} refuses {picture}: {error}; {advice}", codec.name()))
}
