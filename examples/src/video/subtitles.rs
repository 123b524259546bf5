//! Text subtitles from one container's form into another's, by way of the ASS events that FFmpeg makes of them all.

use ffmpeg_next::codec::{Id, Parameters};
use ffmpeg_next::{Error, Packet, Rational, Stream, Subtitle, codec, decoder, encoder};

use super::ffi;

/// Forms that words can be taken from.
const SOURCES: [Id; 6] = [Id::SUBRIP, Id::MOV_TEXT, Id::WEBVTT, Id::TEXT, Id::ASS, Id::SSA];

/// Forms that words can be put into, in the order of choice: of MP4, Matroska and WebM each holds one.
const TARGETS: [Id; 3] = [Id::MOV_TEXT, Id::SUBRIP, Id::WEBVTT];

/// Bytes of the longest subtitle.
const ROOM: usize = 1 << 20;

/// The form for a subtitle stream's words in a container that holds the forms for which `can_hold` is true.
pub fn form(from: Id, can_hold: impl Fn(Id) -> bool) -> Option<Id> {
    let readable = SOURCES.contains(&from) && decoder::find(from).is_some();
    let writable = |&to: &Id| can_hold(to) && encoder::find(to).is_some();
    TARGETS.into_iter().filter(|_| readable).find(writable)
}

/// True where a form says more than words in plain styles: their places, fonts and movements are lost.
pub fn is_styled(id: Id) -> bool {
    matches!(id, Id::ASS | Id::SSA)
}

/// Converts the packets of a stream.
pub struct Converter {
    decoder: decoder::Subtitle,
    encoder: encoder::Subtitle,
    room: Vec<u8>,
}

impl Converter {
    /// From the form of `stream` into the form `to`.
    pub fn open(stream: &Stream<'_>, to: Id) -> Result<Self, Error> {
        let mut context = codec::Context::from_parameters(stream.parameters())?;
        ffi::set_packet_time_base(&mut context, stream.time_base());
        let decoder = context.decoder().subtitle()?;
        let codec = encoder::find(to).ok_or(Error::EncoderNotFound)?;
        let mut encoder = codec::Context::new_with_codec(codec).encoder().subtitle()?;
        encoder.set_time_base(Rational(1, 1000));
        ffi::copy_subtitle_header(&mut encoder, &decoder)?;
        Ok(Self { decoder, encoder: encoder.open()?, room: vec![0; ROOM] })
    }

    /// What the new stream is.
    pub fn parameters(&self) -> Parameters {
        Parameters::from(&self.encoder)
    }

    /// A packet in the new form; None where it holds no words, as MP4's pauses.
    pub fn run(&mut self, packet: &Packet) -> Result<Option<Packet>, Error> {
        let mut subtitle = Subtitle::new();
        if !self.decoder.decode(packet, &mut subtitle)? {
            return Ok(None);
        }
        let size = ffi::encode_subtitle(&mut self.encoder, subtitle, &mut self.room)?;
        let mut converted = Packet::copy(&self.room[..size]);
        converted.set_stream(packet.stream());
        converted.set_pts(packet.pts());
        converted.set_dts(packet.dts());
        converted.set_duration(packet.duration());
        converted.set_flags(packet.flags());
        Ok((size > 0).then_some(converted))
    }
}
