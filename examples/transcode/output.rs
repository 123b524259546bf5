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
        streams::copy_container(&mut output, input)?;
        // The file is open by now: but for a full disk it is the container that refuses, with whatever error it has.
        output.write_header().map_err(|error| match error {
            Error::Other { errno: ENOSPC } => unwritable(path, &error),
            error => Failure::new(format!(
                "{} cannot hold these streams together: {error}; end the name in .mkv",
                container.name()
            )),
        })?;
        let strict = !container.flags().contains(flag::Flags::TS_NONSTRICT);
        Ok((Self { output, streams, strict, video, skipped: 0 }, routes))
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
        match packet.write_interleaved(&mut self.output) {
            Ok(()) => Ok(()),
            // A damaged or empty packet of a copied stream; the rest of the file is worth more than it is.
            Err(Error::InvalidData | Error::Other { errno: EINVAL }) if index != self.video => {
                self.skipped += 1;
                Ok(())
            }
            Err(error) => Err(writing_failed(&error)),
        }
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
