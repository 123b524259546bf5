//! Through an encoder and back through a decoder, in memory.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::color;
use ffmpeg_next::{Codec, Dictionary, Error, Packet, Rational, codec, decoder, encoder};
use srup_engine::frame::{Frame, VideoInfo};
use srup_examples::Failure;
use srup_examples::video::convert::{Converter, Shape};
use srup_examples::video::{ffi, formats};

use super::Compression;
use crate::pixels;

/// An encoder and the decoder of what it makes, for one stream.
pub struct Compressor {
    encoder: encoder::video::Encoder,
    decoder: decoder::Video,
    info: VideoInfo,
    /// To what the encoder takes, and back.
    shapes: [Shape; 2],
    converters: [Converter; 2],
    sent: i64,
    received: i64,
}

impl Compressor {
    /// For frames like `info`, so many a second.
    pub fn open(how: Compression, info: &VideoInfo, rate: Rational) -> Result<Self, Failure> {
        let codec = encoder_named(how.encoder())?;
        let own = pixels::shape(info);
        let taken = taken(how, &codec, own);
        let refuse = |error: Error| {
            let (width, height) = (own.width, own.height);
            Failure::new(format!("encoder {} refuses {width}x{height}: {error}; take another codec", codec.name()))
        };
        let mut video = codec::Context::new_with_codec(codec).encoder().video().map_err(refuse)?;
        video.set_width(own.width);
        video.set_height(own.height);
        video.set_format(taken.pixel);
        video.set_time_base(rate.invert());
        video.set_frame_rate(Some(rate));
        // Encoders give other pictures with other numbers of threads; figures are not to depend on the machine.
        ffi::set_threads(&mut video, 1);
        if let Compression::Jpeg(q) = how {
            video.set_qmin(q.into());
            video.set_qmax(q.into());
            video.set_color_range(color::Range::JPEG);
        }
        let encoder = video.open_with(how.options()).map_err(refuse)?;
        let decoder = decoder::find(codec.id()).ok_or_else(|| {
            Failure::new(format!("FFmpeg here cannot decode {}; take another codec", codec.id().name()))
        })?;
        let mut context = codec::Context::new_with_codec(decoder);
        ffi::set_threads(&mut context, 1);
        let decoder = context.decoder().video().map_err(refuse)?;
        let converters = [taken, own].map(|to| Converter::new(to, info.colour.matrix));
        Ok(Self { encoder, decoder, info: *info, shapes: [own, taken], converters, sent: 0, received: 0 })
    }

    /// Takes a frame, or with None the end; gives what has come out of the decoder, in order.
    pub fn run(&mut self, frame: Option<&Frame>) -> Result<Vec<Frame>, Failure> {
        match frame {
            Some(frame) => {
                let mut video = self.converters[0].run(&pixels::to_ffmpeg(frame)?, self.shapes[0])?;
                video.set_pts(Some(self.sent));
                self.sent += 1;
                self.encoder.send_frame(&video)
            }
            None => self.encoder.send_eof(),
        }
        .map_err(failed)?;
        let mut frames = Vec::new();
        let mut packet = Packet::empty();
        while ready(self.encoder.receive_packet(&mut packet))? {
            self.decoder.send_packet(&packet).map_err(failed)?;
            self.decoded(&mut frames)?;
        }
        if frame.is_none() {
            self.decoder.send_eof().map_err(failed)?;
            self.decoded(&mut frames)?;
            if self.received != self.sent {
                return Err(Failure::new(format!("of {} compressed frames {} came back", self.sent, self.received)));
            }
        }
        Ok(frames)
    }

    fn decoded(&mut self, frames: &mut Vec<Frame>) -> Result<(), Failure> {
        let mut video = Video::empty();
        while ready(self.decoder.receive_frame(&mut video))? {
            // The range is the encoder's input's, whether stream and format say so or not.
            video.set_format(formats::plain(video.format()));
            let from = Shape::of(&video, self.shapes[1].full);
            frames.push(pixels::from_ffmpeg(&self.converters[1].run(&video, from)?, &self.info)?);
            self.received += 1;
        }
        Ok(())
    }
}

impl Compression {
    fn encoder(self) -> &'static str {
        match self {
            Self::H264(_) => "libx264",
            Self::Hevc(_) => "libx265",
            Self::Jpeg(_) => "mjpeg",
        }
    }

    /// `veryfast` looks but few frames ahead, and so few full-sized ones wait for what becomes of them here.
    fn options(self) -> Dictionary<'static> {
        let (crf, quiet) = match self {
            Self::H264(crf) => (crf, None),
            // x265 counts its threads itself, and talks past FFmpeg's log.
            Self::Hevc(crf) => (crf, Some(("x265-params", "log-level=none:pools=none:frame-threads=1"))),
            Self::Jpeg(_) => return Dictionary::new(),
        };
        let crf = crf.to_string();
        [("crf", crf.as_str()), ("preset", "veryfast")].into_iter().chain(quiet).collect()
    }
}

/// What the encoder is given for frames of that shape: JPEG has full range only, and some builds of x264 and x265 have 8 bits
/// only.
fn taken(how: Compression, codec: &Codec, own: Shape) -> Shape {
    let offers =
        |pixel| codec.video().ok().and_then(|video| video.formats()).is_some_and(|mut all| all.any(|p| p == pixel));
    match how {
        Compression::Jpeg(_) => Shape { pixel: Pixel::YUV420P, full: true, ..own },
        _ if offers(own.pixel) => own,
        _ => Shape { pixel: Pixel::YUV420P, ..own },
    }
}

fn encoder_named(name: &str) -> Result<Codec, Failure> {
    encoder::find_by_name(name).ok_or_else(|| {
        Failure::new(format!("FFmpeg here has no encoder {name}: install one that has it, or take another codec"))
    })
}

/// Whether there was something to receive.
fn ready(result: Result<(), Error>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Eof | Error::Other { errno: ffmpeg_next::error::EAGAIN }) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: Error) -> Failure {
    Failure::new(format!("compression failed: {error}; take another codec"))
}

#[cfg(test)]
mod tests {
    use srup_engine::frame::{Colour, PixelFormat, Range};
    use srup_examples::metrics::{Luma, psnr};

    use super::*;

    /// A texture that moves, for a stream.
    fn frames(format: PixelFormat, range: Range) -> Vec<Frame> {
        let colour = Colour { range, ..Colour::default() };
        let info = VideoInfo::new(format, 64, 48, colour).unwrap();
        let unit = (info.format.max_code() + 1) as f32 / 256.0;
        let picture = |shift: usize| {
            let mut frame = Frame::new(&info);
            for plane in 0..3 {
                let (width, count) = (if plane == 0 { 64 } else { 32 }, pixels::codes(&frame, plane).len());
                let wave = |i: usize| ((i % width + shift) as f32 * 0.7).sin() + ((i / width) as f32 * 0.5).cos();
                let codes: Vec<f32> = (0..count).map(|i| unit * (120.0 + 45.0 * wave(i)).round()).collect();
                pixels::set_codes(&mut frame, plane, &codes);
            }
            frame
        };
        (0..20).map(picture).collect()
    }

    /// Mean over the frames of the PSNR of what comes back, in order.
    fn quality(how: Compression, frames: &[Frame]) -> f64 {
        let mut compressor = Compressor::open(how, frames[0].info(), Rational(25, 1)).unwrap();
        let mut back: Vec<Frame> = frames.iter().flat_map(|frame| compressor.run(Some(frame)).unwrap()).collect();
        back.extend(compressor.run(None).unwrap());
        assert_eq!(back.len(), frames.len());
        let one = |(a, b): (&Frame, &Frame)| psnr(&Luma::of_frame(a), &Luma::of_frame(b));
        frames.iter().zip(&back).map(one).sum::<f64>() / frames.len() as f64
    }

    #[test]
    fn every_codec_gives_every_frame_back_in_order_and_worse_the_harder_it_presses() {
        ffmpeg_next::util::log::set_level(ffmpeg_next::util::log::Level::Fatal);
        for format in [PixelFormat::I420, PixelFormat::I420_10Le] {
            for range in [Range::Limited, Range::Full] {
                let frames = frames(format, range);
                for (fine, coarse) in [
                    (Compression::H264(10), Compression::H264(40)),
                    (Compression::Hevc(10), Compression::Hevc(40)),
                    (Compression::Jpeg(2), Compression::Jpeg(31)),
                ] {
                    let (how, fine, coarse) = (fine, quality(fine, &frames), quality(coarse, &frames));
                    // A frame out of its place, or codes of another range, would be under 30 dB.
                    assert!(fine > 38.0 && coarse < fine - 5.0, "{format} {range:?} {how:?}: {fine} {coarse}");
                }
            }
        }
    }

    #[test]
    fn an_encoder_that_is_not_there_is_named() {
        let error = encoder_named("libx999").err().unwrap().to_string();
        assert!(error.contains("no encoder libx999"), "{error}");
    }
}
