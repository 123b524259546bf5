//! Reading: packets come out as they are, those of the best video stream as decoded frames.

use std::collections::VecDeque;
use std::path::Path;

use ffmpeg_next::codec::packet::side_data::{SideData, Type};
use ffmpeg_next::format::context;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Error, Packet, Rational, Rescale, codec, decoder, format, media};

use super::deinterlace::Deinterlacer;
use super::timeline::{MICROSECONDS, Timeline};
use super::{ffi, file};
use crate::Failure;

/// So many packets in a row may be unreadable before the rest of the file is given up.
const UNREADABLE: usize = 1000;

/// A file that begins later, in microseconds, has a clock that ran before it: nobody means such a gap.
const LATE: i64 = 10_000_000;

/// What a file gives.
pub enum Item {
    /// A decoded frame of the video; its pts is set, in units of [`Source::time_base`].
    Frame(Video),
    /// A packet of another stream.
    Packet(Packet),
    /// Something about the file for the user to know.
    Notice(String),
}

/// What went wrong while reading without ending it.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Packets that could not be read or decoded.
    pub packets: usize,
    /// Why reading ended early.
    pub cut: Option<String>,
}

/// An open file and the decoder of its best video stream.
pub struct Source {
    input: context::Input,
    decoder: decoder::Video,
    video: usize,
    time_base: Rational,
    deinterlacer: Option<Deinterlacer>,
    /// True once a frame was progressive.
    started: bool,
    /// When the file begins by its own clock, in microseconds.
    origin: i64,
    /// Where the file's clock may jump.
    timeline: Option<Timeline>,
    /// True once the user has been told that it does.
    jumped: bool,
    /// True once the user has been told of transparency that is not decoded.
    beside: bool,
    notices: VecDeque<String>,
    draining: bool,
    drained: bool,
    /// The end of what was read, of all streams, in seconds, by the packets' times.
    end: f64,
    /// Time and duration of the last frame.
    last: Option<(i64, i64)>,
    damage: Damage,
}

impl Source {
    /// Opens a file and its video decoder. `deinterlace` lets a video in whose first frame is interlaced; one that becomes so
    /// later is deinterlaced in any case.
    pub fn open(path: &Path, deinterlace: bool) -> Result<Self, Failure> {
        let input = format::input(&file::url(path)).map_err(|error| {
            let advice = "it is no video file, or damaged at the start (an mp4 that was cut off cannot be read)";
            Failure::new(format!("cannot read {}: {error}; {advice}", path.display()))
        })?;
        let stream = input
            .streams()
            .best(media::Type::Video)
            .filter(|stream| !stream.disposition().contains(Disposition::ATTACHED_PIC))
            .ok_or_else(|| Failure::new(format!("{} has no video stream; name a video file", path.display())))?;
        let (video, time_base) = (stream.index(), stream.time_base());
        let mut context = codec::Context::from_parameters(stream.parameters()).map_err(|error| broken(path, &error))?;
        ffi::set_packet_time_base(&mut context, time_base);
        // Most cores belong to the upscaler; a quarter of them decodes faster than any network here upscales.
        let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).clamp(1, 8));
        ffi::set_threads(&mut context, threads as u16);
        let codec = context.id();
        let decoder = context.decoder().video().map_err(|error| {
            Failure::new(format!("cannot decode the {} video of {}: {error}", codec.name(), path.display()))
        })?;
        let deinterlacer = deinterlace.then(|| Deinterlacer::new(time_base));
        let timeline = ffi::clock_may_jump(&input).then(|| Timeline::new(input.streams().len()));
        // A broadcast's or a recorder's clock may have run for hours; a moment at the start of another file is meant.
        let start = ffi::start_time(&input);
        let origin = if timeline.is_some() || start > LATE { start } else { 0 };
        Ok(Self {
            input,
            decoder,
            video,
            time_base,
            deinterlacer,
            started: false,
            origin,
            timeline,
            jumped: false,
            beside: false,
            notices: VecDeque::new(),
            draining: false,
            drained: false,
            end: 0.0,
            last: None,
            damage: Damage::default(),
        })
    }

    /// The file's streams, chapters and metadata.
    pub fn input(&self) -> &context::Input {
        &self.input
    }

    /// The same, to change what is read.
    pub fn input_mut(&mut self) -> &mut context::Input {
        &mut self.input
    }

    /// When the file begins by its own clock, in units of `unit`: taken from the times of all that is read, not of chapters.
    pub fn origin(&self, unit: Rational) -> i64 {
        self.origin.rescale(MICROSECONDS, unit)
    }

    /// Index of the video stream.
    pub fn video(&self) -> usize {
        self.video
    }

    /// The unit of the frames' times, in seconds.
    pub fn time_base(&self) -> Rational {
        self.time_base
    }

    /// The codec of the video.
    pub fn codec(&self) -> codec::Id {
        self.decoder.id()
    }

    /// Frames to expect, 0 if unknown.
    pub fn expected_frames(&self) -> u64 {
        let Some(stream) = self.input.stream(self.video) else { return 0 };
        if stream.frames() > 0 {
            return stream.frames().unsigned_abs();
        }
        let seconds = self.input.duration().max(0) as f64 / 1e6;
        plausible(stream.avg_frame_rate()).map_or(0, |rate| (seconds * f64::from(rate)).round() as u64)
    }

    /// The next frame or packet in the file's order; None at the end.
    pub fn next_item(&mut self) -> Result<Option<Item>, Failure> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Some(Item::Notice(notice)));
            }
            if let Some(frame) = self.receive()? {
                return Ok(Some(Item::Frame(frame)));
            }
            if self.drained {
                return Ok(None);
            }
            match self.read() {
                Some(packet) if packet.stream() == self.video => self.decode(&packet)?,
                Some(packet) => return Ok(Some(Item::Packet(packet))),
                None => self.decode_rest()?,
            }
        }
    }

    /// What was wrong with the file; complete once [`next_item`](Self::next_item) has returned None.
    pub fn damage(&self) -> Damage {
        let mut damage = self.damage.clone();
        let stated = (ffi::start_time(&self.input) - self.origin + self.input.duration()) as f64 / 1e6;
        // Containers round their length, and count in a last frame's display: half a second and 2 % are no loss.
        let missing = stated - self.end;
        if damage.cut.is_none() && ffi::duration_is_stated(&self.input) && missing > 0.5_f64.max(0.02 * stated) {
            damage.cut = Some(format!("it ends at {:.1} s of {stated:.1} s", self.end));
        }
        damage
    }

    fn read(&mut self) -> Option<Packet> {
        let mut unreadable = 0;
        let mut packet = Packet::empty();
        loop {
            match packet.read(&mut self.input) {
                Ok(()) => break,
                Err(Error::Eof) => return None,
                Err(Error::InvalidData | Error::Other { errno: ffmpeg_next::error::EAGAIN })
                    if unreadable < UNREADABLE =>
                {
                    unreadable += 1;
                    self.damage.packets += 1;
                }
                Err(error) => {
                    self.damage.cut = Some(format!("reading stopped: {error}"));
                    return None;
                }
            }
        }
        self.place(&mut packet);
        Some(packet)
    }

    /// Takes the start and the jumps of the file's clock out of a packet's times, and notes how far they go.
    fn place(&mut self, packet: &mut Packet) {
        let Some(stream) = self.input.stream(packet.stream()) else { return };
        let unit = stream.time_base();
        let origin = self.origin(unit);
        packet.set_dts(packet.dts().map(|time| time - origin));
        packet.set_pts(packet.pts().map(|time| time - origin));
        let dense = matches!(stream.parameters().medium(), media::Type::Video | media::Type::Audio);
        if let Some(seconds) = self.timeline.as_mut().and_then(|timeline| timeline.place(packet, unit, dense))
            && !self.jumped
        {
            self.jumped = true;
            self.notices.push_back(format!(
                "the file's clock jumps after {seconds:.1} s, as where recordings were joined; what follows, here and at \
                 every other jump, is put right behind what was before"
            ));
        }
        if let Some(time) = packet.pts().or(packet.dts()) {
            self.end = self.end.max((time + packet.duration()) as f64 * f64::from(unit));
        }
    }

    fn decode(&mut self, packet: &Packet) -> Result<(), Failure> {
        if !self.beside && packet.side_data().any(|data| is_alpha(&data)) {
            self.beside = true;
            self.notices.push_back("the video's transparency, which WebM keeps beside the picture, is dropped".into());
        }
        match self.decoder.send_packet(packet) {
            Ok(()) | Err(Error::Eof) => Ok(()),
            Err(Error::Other { errno: ffmpeg_next::error::ENOMEM }) => {
                Err(Failure::new("not enough memory to decode the video; close other programs"))
            }
            // Whatever else a decoder says is about this packet; the next may be whole.
            Err(_) => {
                self.damage.packets += 1;
                Ok(())
            }
        }
    }

    fn decode_rest(&mut self) -> Result<(), Failure> {
        if self.draining {
            self.drained = true;
            return Ok(());
        }
        self.draining = true;
        match self.decoder.send_eof() {
            Ok(()) | Err(Error::Eof) => Ok(()),
            Err(error) => Err(Failure::new(format!("the decoder failed at the end of the video: {error}"))),
        }
    }

    /// A frame that is ready, past the deinterlacer where there is one.
    fn receive(&mut self) -> Result<Option<Video>, Failure> {
        loop {
            if let Some(frame) = self.deinterlacer.as_mut().and_then(Deinterlacer::pop) {
                return Ok(Some(frame));
            }
            let mut frame = Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => self.stamp(&mut frame),
                Err(Error::Other { errno: ffmpeg_next::error::EAGAIN }) => return Ok(None),
                Err(Error::Eof) => {
                    self.drained = true;
                    let Some(deinterlacer) = &mut self.deinterlacer else { return Ok(None) };
                    deinterlacer.finish()?;
                    return Ok(deinterlacer.pop());
                }
                Err(_) => {
                    self.damage.packets += 1;
                    continue;
                }
            }
            if self.deinterlacer.is_none() && frame.is_interlaced() {
                self.deinterlacer = Some(self.late_deinterlacer(&frame)?);
            }
            match &mut self.deinterlacer {
                Some(deinterlacer) => deinterlacer.push(&frame)?,
                None => {
                    self.started = true;
                    return Ok(Some(frame));
                }
            }
        }
    }

    /// A deinterlacer for a video that turns out to be interlaced; an error if it is so from the start.
    fn late_deinterlacer(&mut self, frame: &Video) -> Result<Deinterlacer, Failure> {
        if !self.started {
            return Err(Failure::new(
                "the video is interlaced, and enlarging woven fields would spoil it: add --deinterlace",
            ));
        }
        // What was done so far is worth more than a question.
        let seconds = frame.pts().unwrap_or_default() as f64 * f64::from(self.time_base);
        self.notices.push_back(format!(
            "the video is interlaced from {seconds:.1} s on; from there it is deinterlaced, as --deinterlace does"
        ));
        Ok(Deinterlacer::new(self.time_base))
    }

    /// Sets a frame's time: the decoder's best guess, or after the frame before it where there is none or it does not rise.
    fn stamp(&mut self, frame: &mut Video) {
        let time = match (frame.timestamp(), self.last) {
            (Some(time), None) => time,
            (None, None) => 0,
            (Some(time), Some((last, _))) => time.max(last + 1),
            (None, Some((last, duration))) => last + duration,
        };
        self.last = Some((time, frame.packet().duration.max(1)));
        frame.set_pts(Some(time));
    }
}

/// A frame rate that can be true. Containers that count in milliseconds give 1000 frames a second where the rate varies.
pub fn plausible(rate: Rational) -> Option<Rational> {
    (rate.numerator() > 0 && rate.denominator() > 0 && f64::from(rate) <= 480.0).then_some(rate)
}

fn broken(path: &Path, error: &Error) -> Failure {
    Failure::new(format!("cannot read the video of {}: {error}; the file is damaged", path.display()))
}

/// Whether it is what Matroska calls the addition 1 of a block: the alpha plane of VP8 and VP9, where FFmpeg's own decoders do
/// not look. A stream's `alpha_mode` says little: browsers set it on what they record without any.
fn is_alpha(data: &SideData<'_>) -> bool {
    matches!(data.kind(), Type::MatroskaBlockAdditional) && data.data().starts_with(&1_u64.to_be_bytes())
}
