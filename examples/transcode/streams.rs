//! What becomes of each stream of the input: encoded anew, copied, converted, attached, or left out with a word about it.

use ffmpeg_next::codec::{Id, Parameters};
use ffmpeg_next::ffi::AVPacketSideDataType::{self, *};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::format::{context, format};
use ffmpeg_next::{Discard, Stream, encoder, media};
use srup_examples::Failure;
use srup_examples::video::input::{Source, plausible};
use srup_examples::video::{ffi, subtitles};

use crate::encode::Encoding;
use crate::hdr;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The video that is decoded, enlarged and encoded.
    Encode,
    /// Its packets are copied.
    Copy,
    /// Its packets are copied, their words in another form.
    Convert(Id),
    /// Its picture becomes an attachment: how Matroska keeps cover art.
    Attach,
    /// It is left out.
    Drop,
}

/// Statistics that Matroska keeps as tags of a stream, the name of its encoder, and WebM's word for transparency: no longer
/// true of a new video.
const STALE: [&str; 7] =
    ["BPS", "NUMBER_OF_BYTES", "NUMBER_OF_FRAMES", "DURATION", "_STATISTICS", "encoder", "alpha_mode"];

/// What MP4 says of its own format; another file has its own.
const BRANDS: [&str; 3] = ["major_brand", "minor_version", "compatible_brands"];

/// Decides for every stream, and says what is left out.
pub fn plan(input: &context::Input, video: usize, container: &format::Output) -> (Vec<Fate>, Vec<String>) {
    let mut warnings = Vec::new();
    let fates = input
        .streams()
        .map(|stream| {
            if stream.index() == video {
                return Fate::Encode;
            }
            // The demuxer's own way of saying that a stream is not for use: MP4's chapter titles, kept as chapters.
            if stream.discard() == Discard::All {
                return Fate::Drop;
            }
            let fate = fate(&stream, container);
            match fate {
                Fate::Drop if !ffi::is_known(&stream) => warnings.push(describe_absent(&stream)),
                Fate::Drop => {
                    warnings.push(format!("{} cannot hold {}; it is left out", container.name(), describe(&stream)));
                }
                Fate::Convert(form) if subtitles::is_styled(stream.parameters().id()) => warnings.push(format!(
                    "{} cannot hold {}; its words are kept as {}, their places and fonts are not",
                    container.name(),
                    describe(&stream),
                    form.name()
                )),
                _ => {}
            }
            fate
        })
        .collect();
    if input.nb_chapters() > 0 && !holds_chapters(container) {
        warnings.push(format!("{} holds no chapters; to keep them end the name in .mkv or .mp4", container.name()));
    }
    (fates, warnings)
}

fn fate(stream: &Stream<'_>, container: &format::Output) -> Fate {
    let (medium, id) = (stream.parameters().medium(), stream.parameters().id());
    let (matroska, mov) = (container.name() == "matroska", is_mov(container));
    let cover = stream.disposition().contains(Disposition::ATTACHED_PIC);
    match medium {
        // Matroska takes any attachment, whatever FFmpeg says of its codec, and no other container takes one.
        media::Type::Attachment if matroska => Fate::Copy,
        media::Type::Attachment => Fate::Drop,
        _ if cover && matroska => Fate::Attach,
        _ if cover && !mov => Fate::Drop,
        _ if !ffi::is_known(stream) => Fate::Drop,
        media::Type::Subtitle if !can_hold(container, id) => {
            subtitles::form(id, |form| can_hold(container, form)).map_or(Fate::Drop, Fate::Convert)
        }
        _ if id == Id::None || !can_hold(container, id) => Fate::Drop,
        _ if mov && !is_accepted(container, stream) => Fate::Drop,
        _ => Fate::Copy,
    }
}

/// Whether the muxer of MP4 and its relatives takes the stream: it refuses some codecs that it is said to hold, which ones
/// depends on the container and on FFmpeg's version (TrueHD, FLAC and Opus, for example).
fn is_accepted(container: &format::Output, stream: &Stream<'_>) -> bool {
    // It writes nothing that counts, but asks whether the file could be written.
    let Ok(mut nowhere) = ffmpeg_next::format::output_as("file:/dev/null", container.name()) else { return true };
    add(&mut nowhere, container, stream, Fate::Copy, stream.parameters()).is_ok() && nowhere.write_header().is_ok()
}

/// True of containers whose muxers write chapters.
fn holds_chapters(container: &format::Output) -> bool {
    is_mov(container) || ["matroska", "webm", "nut", "asf"].contains(&container.name())
}

/// What MPEG-TS has a stream type or a registered name for; FFmpeg would write all else as private data that nobody reads.
const TRANSPORTABLE: [Id; 18] = [
    Id::MPEG1VIDEO,
    Id::MPEG2VIDEO,
    Id::MPEG4,
    Id::H264,
    Id::HEVC,
    Id::MP2,
    Id::MP3,
    Id::AAC,
    Id::AAC_LATM,
    Id::AC3,
    Id::EAC3,
    Id::DTS,
    Id::TRUEHD,
    Id::OPUS,
    Id::DVB_SUBTITLE,
    Id::DVB_TELETEXT,
    Id::TIMED_ID3,
    Id::SMPTE_KLV,
];

/// True if the container can hold that codec, as far as is known.
pub fn can_hold(container: &format::Output, id: Id) -> bool {
    ffi::can_hold(container, id).unwrap_or_else(|| container.name() != "mpegts" || TRANSPORTABLE.contains(&id))
}

/// True for MP4 and its relatives.
pub fn is_mov(container: &format::Output) -> bool {
    ["mp4", "mov", "ipod", "ismv", "3gp", "3g2", "psp", "f4v"].contains(&container.name())
}

/// A converter of a stream's subtitles.
pub fn converter(stream: &Stream<'_>, form: Id) -> Result<subtitles::Converter, Failure> {
    subtitles::Converter::open(stream, form).map_err(|error| {
        let text = format!("cannot convert {} to {}: {error}", describe(stream), form.name());
        Failure::new(format!("{text}; end the name in another container's ending, as .mkv or .mp4"))
    })
}

/// What to say of a stream that is announced without data, or begins after the output's header was written, which names all
/// streams.
pub fn describe_absent(stream: &Stream<'_>) -> String {
    let text = format!("nothing of {} was found at the file's start; it is left out", describe(stream));
    match stream.parameters().medium() {
        media::Type::Video => {
            format!(
                "{text}; the picture ends where the first video does: enlarge recordings that were joined one by one"
            )
        }
        _ => text,
    }
}

/// A stream in words: what it is, its codec, its language or title.
fn describe(stream: &Stream<'_>) -> String {
    let kind = match stream.parameters().medium() {
        _ if stream.disposition().contains(Disposition::ATTACHED_PIC) => "cover art",
        media::Type::Video => "video",
        media::Type::Audio => "audio",
        media::Type::Subtitle => "subtitle",
        media::Type::Attachment => "attachment",
        _ => "data",
    };
    let metadata = stream.metadata();
    let name = ["title", "filename", "language", "handler_name"].iter().find_map(|key| metadata.get(key));
    let name = name.map(|name| format!(" '{name}'")).unwrap_or_default();
    format!("{kind} stream {} ({}){name}", stream.index(), stream.parameters().id().name())
}

/// Adds the output stream of an input stream that is copied, converted or attached, with these parameters.
pub fn add(
    output: &mut context::Output,
    container: &format::Output,
    stream: &Stream<'_>,
    fate: Fate,
    parameters: Parameters,
) -> Result<(), Failure> {
    let fail = |error: ffmpeg_next::Error| Failure::new(format!("cannot copy {}: {error}", describe(stream)));
    let mut copy = output.add_stream(encoder::find(Id::None)).map_err(fail)?;
    copy.set_parameters(parameters);
    copy.set_time_base(stream.time_base());
    copy.set_avg_frame_rate(stream.avg_frame_rate());
    ffi::copy_stream_flags(&mut copy, stream);
    ffi::set_codec_tag(&mut copy, container);
    if is_mov(container) {
        ffi::prefer_hvc1(&mut copy);
    }
    let mut metadata = ffi::copy_metadata(&stream.metadata(), &[]);
    if fate == Fate::Attach {
        let picture = ffi::attached_picture(stream).ok_or_else(|| fail(ffmpeg_next::Error::InvalidData))?;
        ffi::make_attachment(&mut copy, &picture).map_err(fail)?;
        let (name, kind) = match stream.parameters().id() {
            Id::PNG => ("cover.png", "image/png"),
            _ => ("cover.jpg", "image/jpeg"),
        };
        for (key, value) in [("filename", name), ("mimetype", kind)] {
            if metadata.get(key).is_none() {
                metadata.set(key, value);
            }
        }
    }
    copy.set_metadata(metadata);
    for (kind, bytes) in ffi::stream_side_data(stream) {
        ffi::set_stream_side_data(&mut copy, kind, &bytes).map_err(fail)?;
    }
    Ok(())
}

/// Adds the output stream of the video: the encoder's parameters, the input's name, rotation and HDR metadata.
pub fn add_video(
    output: &mut context::Output,
    container: &format::Output,
    stream: &Stream<'_>,
    encoding: &Encoding,
    hdr: &hdr::Hdr,
) -> Result<(), Failure> {
    let fail = |error: ffmpeg_next::Error| Failure::new(format!("cannot add the video stream: {error}"));
    let encoder = encoding.encoder();
    let mut video = output.add_stream(encoder.codec()).map_err(fail)?;
    video.set_parameters(encoder);
    if is_mov(container) {
        ffi::prefer_hvc1(&mut video);
    }
    video.set_time_base(encoder.time_base());
    ffi::copy_stream_flags(&mut video, stream);
    ffi::set_pixel_aspect(&mut video, encoding.aspect());
    // A constant rate is worth stating; of a variable one the average would be taken for every frame's duration.
    let constant = plausible(stream.avg_frame_rate()).filter(|&rate| rate == stream.rate());
    if let Some(rate) = encoding.rate().or(constant) {
        video.set_avg_frame_rate(rate);
    }
    video.set_metadata(ffi::copy_metadata(&stream.metadata(), &STALE));
    let kept = ffi::stream_side_data(stream).into_iter().filter(|entry| describes_the_picture(entry.0));
    let mut surrounds = false;
    for (kind, bytes) in kept.chain(hdr.stream_side_data()) {
        surrounds |= matches!(kind, AV_PKT_DATA_STEREO3D | AV_PKT_DATA_SPHERICAL);
        ffi::set_stream_side_data(&mut video, kind, &bytes).map_err(fail)?;
    }
    if surrounds {
        ffi::allow_unofficial(output);
    }
    Ok(())
}

/// Side data that stays true when the picture is enlarged and encoded anew.
fn describes_the_picture(kind: AVPacketSideDataType) -> bool {
    matches!(kind, AV_PKT_DATA_DISPLAYMATRIX | AV_PKT_DATA_STEREO3D | AV_PKT_DATA_SPHERICAL)
}

/// Copies the file's own metadata and chapters.
pub fn copy_container(output: &mut context::Output, source: &Source) -> Result<(), Failure> {
    let input = source.input();
    output.set_metadata(ffi::copy_metadata(&input.metadata(), &BRANDS));
    // Matroska takes neither 0, with which MP4 starts, nor the same id twice.
    let mut ids: Vec<i64> = input.chapters().map(|chapter| chapter.id()).filter(|&id| id > 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let keep = ids.len() == input.nb_chapters() as usize;
    for (number, chapter) in input.chapters().enumerate() {
        let title = chapter.metadata().get("title").unwrap_or_default().to_owned();
        let id = if keep { chapter.id() } else { number as i64 + 1 };
        let unit = chapter.time_base();
        let origin = source.origin(unit);
        let mut copy = output
            .add_chapter(id, unit, chapter.start() - origin, chapter.end() - origin, &title)
            .map_err(|error| Failure::new(format!("cannot copy chapter {}: {error}", number + 1)))?;
        for (key, value) in chapter.metadata().iter().filter(|entry| entry.0 != "title") {
            copy.set_metadata(key, value);
        }
    }
    Ok(())
}
