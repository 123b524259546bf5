//! Writing: the container with all its streams, packets in order and in its own time bases.

use std::path::Path;

use ffmpeg_next::error::{EINVAL, ENOSPC};
use ffmpeg_next::format::{context, flag, format};
use ffmpeg_next::{Error, Packet, Rational};
use srup_examples::Failure;
use srup_examples::video::input::Source;
use srup_examples::video::subtitles::Converter;
use srup_examples::video::{ffi, file};

use crate::encode::Encoding;
use crate::hdr::Hdr;
use crate::streams::{self, Fate};

/// An output file whose header is written.
pub struct Muxer {
    output: context::Output,
    streams: Vec<Track>,
    strict: bool,
    video: usize,
    /// Packets of the video that were handed to the container.
    pictures: i64,
    skipped: usize,
}

/// A stream of the output.
struct Track {
    /// The unit in which its packets come.
    from: Rational,
    /// The last decoding time written, in its own unit.
    last: Option<i64>,
    converter: Option<Converter>,
}

/// Where the packets of each input stream go: the index of an output stream, None for nowhere.
pub type Routes = Vec<Option<usize>>;

impl Muxer {
    /// Makes the file with a stream for each whose fate is to be in it, and writes the header.
    pub fn create(
        path: &Path,
        container: &format::Output,
        source: &Source,
        fates: &[Fate],
        encoding: &Encoding,
        hdr: &Hdr,
    ) -> Result<(Self, Routes), Failure> {
        let fail = |error: Error| unwritable(path, &error);
        let input = source.input();
        let mut output = ffmpeg_next::format::output_as(&file::url(path), container.name()).map_err(fail)?;
        let (mut routes, mut streams, mut video) = (vec![None; fates.len()], Vec::new(), 0);
        for (stream, &fate) in input.streams().zip(fates) {
            let (mut from, mut converter) = (stream.time_base(), None);
            match fate {
                Fate::Drop => continue,
                Fate::Encode => {
                    (video, from) = (streams.len(), encoding.encoder().time_base());
                    streams::add_video(&mut output, container, &stream, encoding, hdr)?;
                }
                Fate::Convert(form) => {
                    let new = streams::converter(&stream, form)?;
                    streams::add(&mut output, container, &stream, fate, new.parameters())?;
                    converter = Some(new);
                }
                Fate::Copy | Fate::Attach => {
                    streams::add(&mut output, container, &stream, fate, stream.parameters())?;
                }
            }
            if fate != Fate::Attach {
                routes[stream.index()] = Some(streams.len());
            }
            streams.push(Track { from, last: None, converter });
        }
        streams::copy_container(&mut output, source)?;
        // The file is open by now: but for a full disk it is the container that refuses, with whatever error it has.
        output.write_header().map_err(|error| match error {
            Error::Other { errno: ENOSPC } => unwritable(path, &error),
            error => Failure::new(format!(
                "{} cannot hold these streams together: {error}; end the name in .mkv",
                container.name()
            )),
        })?;
        let strict = !container.flags().contains(flag::Flags::TS_NONSTRICT);
        Ok((Self { output, streams, strict, video, pictures: 0, skipped: 0 }, routes))
    }

    /// Writes a packet whose stream is an index of the output and whose times are in the unit of the input's stream, or of the encoder.
    pub fn write(&mut self, mut packet: Packet) -> Result<(), Failure> {
        let index = packet.stream();
        let Some(stream) = self.output.stream(index) else { return Ok(()) };
        let Track { from, last, converter } = &mut self.streams[index];
        if let Some(converter) = converter {
            match converter.run(&packet) {
                Ok(Some(converted)) => packet = converted,
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.skipped += 1;
                    return Ok(());
                }
            }
        }
        packet.rescale_ts(*from, stream.time_base());
        packet.set_position(-1);
        // As FFmpeg's own program does: a muxer refuses decoding times that fall, and some that stand still.
        if let (Some(time), Some(last)) = (packet.dts(), *last) {
            let least = last + i64::from(self.strict);
            if time < least {
                let shown = packet.pts().map(|shown| shown.max(least));
                packet.set_dts(Some(least));
                packet.set_pts(shown);
            }
        }
        *last = packet.dts().or(*last);
        self.pictures += i64::from(index == self.video);
        packet.write_interleaved(&mut self.output).or_else(|error| self.refused(error))
    }

    /// A damaged or empty packet was refused, this one or one that waited for its turn. One of a copied stream is left out,
    /// for the rest of the file is worth more than it is; none of the video may be.
    fn refused(&mut self, mut error: Error) -> Result<(), Failure> {
        loop {
            if !matches!(error, Error::InvalidData | Error::Other { errno: EINVAL }) {
                return Err(writing_failed(&error));
            }
            self.skipped += 1;
            // With none that waits the counts say whose it was.
            match ffi::write_waiting(&mut self.output) {
                Ok(()) if self.written() < self.pictures => return Err(writing_failed(&error)),
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }

    /// Packets of the video that the container has taken.
    fn written(&self) -> i64 {
        self.output.stream(self.video).map_or(0, |video| video.frames())
    }

    /// Completes the file. Returns the number of copied packets that the container refused.
    pub fn finish(mut self) -> Result<usize, Failure> {
        self.output
            .write_trailer()
            .and_then(|()| ffi::flush(&mut self.output))
            .map_err(|error| writing_failed(&error))?;
        Ok(self.skipped)
    }
}

fn writing_failed(error: &Error) -> Failure {
    let advice = match error {
        Error::Other { errno: ENOSPC } => "make room on the disk",
        _ => "check the disk, or end the name in .mkv",
    };
    Failure::new(format!("cannot write the output: {error}; {advice}"))
}

fn unwritable(path: &Path, error: &Error) -> Failure {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    Failure::new(format!("cannot write into {}: {error}; check its permissions and room", folder.display()))
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::codec::{Context, Id, Parameters};
    use ffmpeg_next::format::Pixel;
    use ffmpeg_next::{ChannelLayout, encoder};

    use super::*;

    /// It begins as one of MPEG-2 does; more nobody looks at.
    const PICTURE: [u8; 8] = [0, 0, 1, 0xb3, 4, 0, 0x30, 0x13];

    /// MPEG-TS with a picture and sound of 40 ms each.
    fn muxer(path: &Path) -> Muxer {
        ffmpeg_next::init().unwrap();
        let mut output = ffmpeg_next::format::output_as(&file::url(path), "mpegts").unwrap();
        let context = |id| Context::new_with_codec(encoder::find(id).unwrap()).encoder();
        let mut video = context(Id::MPEG2VIDEO).video().unwrap();
        video.set_width(64);
        video.set_height(48);
        video.set_format(Pixel::YUV420P);
        let mut audio = context(Id::AAC).audio().unwrap();
        audio.set_rate(48000);
        audio.set_channel_layout(ChannelLayout::MONO);
        let mut streams = Vec::new();
        for parameters in [Parameters::from(&video), Parameters::from(&audio)] {
            let mut stream = output.add_stream(encoder::find(Id::None)).unwrap();
            stream.set_parameters(parameters);
            streams.push(Track { from: Rational(1, 25), last: None, converter: None });
        }
        output.write_header().unwrap();
        Muxer { output, streams, strict: true, video: 0, pictures: 0, skipped: 0 }
    }

    fn packet(stream: usize, time: i64, bytes: &[u8]) -> Packet {
        let mut packet = Packet::copy(bytes);
        packet.set_stream(stream);
        packet.set_pts(Some(time));
        packet.set_dts(Some(time));
        packet.set_duration(1);
        packet
    }

    #[test]
    fn sound_that_is_refused_late_is_left_out_and_video_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut muxer = muxer(&folder.path().join("out.ts"));
        for time in 0..10 {
            // The container wants two bytes of AAC at least, and says so when the next picture comes.
            let sound: &[u8] = if time == 5 { &[0xff] } else { &[0xff, 0xf1, 0x4c, 0x40, 1, 0, 0] };
            muxer.write(packet(1, time, sound)).unwrap();
            muxer.write(packet(0, time, &PICTURE)).unwrap();
        }
        ffi::write_waiting(&mut muxer.output).unwrap();
        assert_eq!((muxer.skipped, muxer.written()), (1, 10));
        // As if one of the pictures had been refused.
        muxer.pictures += 1;
        muxer.write(packet(1, 10, &[0xff])).unwrap();
        assert!((10..13).any(|time| muxer.write(packet(0, time, &PICTURE)).is_err()));
    }
}
