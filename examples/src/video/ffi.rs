//! What `ffmpeg-next` has no safe call for, each piece behind a safe signature. No other file here has `unsafe`.

use std::ffi::{CString, c_int, c_uint};
use std::path::Path;
use std::{ptr, slice};

use ffmpeg_next::ffi::*;
use ffmpeg_next::format::{Pixel, context, format};
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::chroma;
use ffmpeg_next::{
    Codec, Dictionary, DictionaryRef, Error, Rational, Stream, StreamMut, Subtitle, codec, encoder, software,
};
use srup_engine::frame::VideoInfo;

use super::formats;

/// What a pixel format's descriptor says.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Red, green and blue rather than luma and chroma.
    pub rgb: bool,
    /// Indices into a palette.
    pub palette: bool,
    /// Lies in a device's memory.
    pub hardware: bool,
    /// Has an alpha channel.
    pub alpha: bool,
    /// Channels, alpha included.
    pub components: usize,
    /// Bits of the first channel.
    pub depth: usize,
    /// Binary logarithms of the chroma subsampling, horizontal and vertical.
    pub chroma: (u8, u8),
}

/// The descriptor of a pixel format; None if this FFmpeg does not know it.
pub fn layout(pixel: Pixel) -> Option<Layout> {
    let descriptor = pixel.descriptor()?;
    // SAFETY: a descriptor is a row of FFmpeg's static table.
    let raw = unsafe { &*descriptor.as_ptr() };
    let has = |flag: c_int| raw.flags & flag as u64 != 0;
    Some(Layout {
        rgb: has(AV_PIX_FMT_FLAG_RGB),
        palette: has(AV_PIX_FMT_FLAG_PAL),
        hardware: has(AV_PIX_FMT_FLAG_HWACCEL),
        alpha: has(AV_PIX_FMT_FLAG_ALPHA),
        components: raw.nb_components.into(),
        depth: usize::try_from(raw.comp[0].depth).unwrap_or(0),
        chroma: (raw.log2_chroma_w, raw.log2_chroma_h),
    })
}

/// A frame with its own memory; the crate's `Video::new` hides a failed allocation.
pub fn new_frame(pixel: Pixel, width: u32, height: u32) -> Result<Video, Error> {
    let frame = Video::new(pixel, width, height);
    // SAFETY: the frame is alive; only a pointer is looked at.
    if unsafe { frame.is_empty() } { Err(Error::Other { errno: ffmpeg_next::error::ENOMEM }) } else { Ok(frame) }
}

/// Copies time, colour, aspect ratio and side data, but no pixels.
pub fn copy_properties(to: &mut Video, from: &Video) -> Result<(), Error> {
    // SAFETY: both frames are alive, and `to` is not shared.
    check(unsafe { av_frame_copy_props(to.as_mut_ptr(), from.as_ptr()) })
}

/// Bytes of plane `plane` that rows of `info` span with that line size; None if rows run upwards or are too short.
fn span(info: &VideoInfo, plane: usize, line: c_int) -> Option<(usize, usize)> {
    let (row, rows) = (info.format.row_bytes(plane, info.width), info.format.rows(plane, info.height));
    let stride = usize::try_from(line).ok().filter(|&stride| stride >= row)?;
    Some((stride, stride * (rows - 1) + row))
}

/// True if the frame's memory is exactly what `info` describes.
fn matches(frame: &Video, info: &VideoInfo) -> bool {
    formats::same_memory(frame.format()) == Some(info.format)
        && (frame.width() as usize, frame.height() as usize) == (info.width, info.height)
}

/// The planes of a frame as (bytes, stride); None if the frame is not what `info` says or its rows run upwards.
pub fn planes<'a>(frame: &'a Video, info: &VideoInfo) -> Option<Vec<(&'a [u8], usize)>> {
    if !matches(frame, info) {
        return None;
    }
    (0..info.format.planes())
        .map(|plane| {
            // SAFETY: the frame is alive. Its format and size are those of `info`, so FFmpeg keeps `rows` rows of at least
            // `row` bytes, `stride` apart, behind a pointer that is not null; the borrow keeps the frame alive.
            unsafe {
                let raw = frame.as_ptr();
                let (stride, bytes) = span(info, plane, (*raw).linesize[plane])?;
                let data = (*raw).data[plane];
                (!data.is_null()).then(|| (slice::from_raw_parts(data, bytes), stride))
            }
        })
        .collect()
}

/// As [`planes`], to write. The frame must come from [`new_frame`], so that nobody shares its memory.
pub fn planes_mut<'a>(frame: &'a mut Video, info: &VideoInfo) -> Option<Vec<(&'a mut [u8], usize)>> {
    if !matches(frame, info) {
        return None;
    }
    (0..info.format.planes())
        .map(|plane| {
            // SAFETY: as in `planes`; the planes of a frame do not overlap, the frame is borrowed mutably, and FFmpeg says
            // that its buffers have this one owner.
            unsafe {
                let raw = frame.as_mut_ptr();
                if av_frame_is_writable(raw) == 0 {
                    return None;
                }
                let (stride, bytes) = span(info, plane, (*raw).linesize[plane])?;
                let data = (*raw).data[plane];
                (!data.is_null()).then(|| (slice::from_raw_parts_mut(data, bytes), stride))
            }
        })
        .collect()
}

/// Tells a decoder in which unit its packets' times are, so that it can guess missing ones.
pub fn set_packet_time_base(context: &mut codec::Context, time_base: Rational) {
    // SAFETY: the context is alive and not yet open.
    unsafe { (*context.as_mut_ptr()).pkt_timebase = time_base.into() }
}

/// Sets how many threads a decoder or encoder may use, 0 for as many as it likes; left alone, FFmpeg's library takes one.
pub fn set_threads(context: &mut codec::Context, count: u16) {
    // SAFETY: the context is alive and not yet open.
    unsafe { (*context.as_mut_ptr()).thread_count = count.into() }
}

/// Sets where an encoder says that chroma samples sit.
pub fn set_chroma_location(context: &mut codec::Context, location: chroma::Location) {
    // SAFETY: the context is alive and not yet open.
    unsafe { (*context.as_mut_ptr()).chroma_sample_location = location.into() }
}

/// The width of a pixel over its height, of container and codec the one that counts; None if unknown.
pub fn pixel_aspect(input: &mut context::Input, stream: usize, frame: &mut Video) -> Option<Rational> {
    // SAFETY: the context, its stream (the index is checked) and the frame are alive; FFmpeg only reads them.
    let raw = unsafe {
        let raw = input.as_mut_ptr();
        if stream >= (*raw).nb_streams as usize {
            return None;
        }
        av_guess_sample_aspect_ratio(raw, *(*raw).streams.add(stream), frame.as_mut_ptr())
    };
    (raw.num > 0 && raw.den > 0).then(|| raw.into())
}

/// Side data of a stream: kind and bytes.
pub fn stream_side_data(stream: &Stream<'_>) -> Vec<(AVPacketSideDataType, Vec<u8>)> {
    // SAFETY: the stream and its parameters are alive; the list has as many entries as its count says, each with `size` bytes.
    unsafe {
        let raw = &*stream.as_ptr();
        #[cfg(ffmpeg_7)]
        let (list, count) = ((*raw.codecpar).coded_side_data, (*raw.codecpar).nb_coded_side_data);
        #[cfg(not(ffmpeg_7))]
        let (list, count) = (raw.side_data, raw.nb_side_data);
        (0..usize::try_from(count).unwrap_or(0))
            .map(|i| &*list.add(i))
            .filter(|entry| !entry.data.is_null())
            .map(|entry| (entry.type_, slice::from_raw_parts(entry.data, entry.size).to_vec()))
            .collect()
    }
}

/// Gives a stream side data of that kind, in place of what it had.
pub fn set_stream_side_data(stream: &mut StreamMut<'_>, kind: AVPacketSideDataType, bytes: &[u8]) -> Result<(), Error> {
    // SAFETY: the stream and its parameters are alive; FFmpeg returns null or room for `bytes.len()` bytes.
    unsafe {
        let room = side_data_room(&mut *stream.as_mut_ptr(), kind, bytes.len());
        if room.is_null() {
            return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
    }
    Ok(())
}

/// Room for side data of a stream, which FFmpeg 7 keeps with the codec's parameters; null where there is no memory.
#[cfg(ffmpeg_7)]
fn side_data_room(stream: &mut AVStream, kind: AVPacketSideDataType, size: usize) -> *mut u8 {
    // SAFETY: the stream's parameters live as long as it does; FFmpeg returns null or an entry of the list.
    unsafe {
        let parameters = &mut *stream.codecpar;
        let (list, count) = (&mut parameters.coded_side_data, &mut parameters.nb_coded_side_data);
        av_packet_side_data_new(list, count, kind, size, 0).as_ref().map_or(ptr::null_mut(), |entry| entry.data)
    }
}

/// The same before FFmpeg 7, where the stream itself keeps it.
#[cfg(not(ffmpeg_7))]
fn side_data_room(stream: &mut AVStream, kind: AVPacketSideDataType, size: usize) -> *mut u8 {
    // SAFETY: the stream is alive and its header not yet written.
    unsafe { av_stream_new_side_data(stream, kind, size) }
}

/// Copies a dictionary whole, whatever bytes its values are made of, but for the entries that start with a word of `drop`.
pub fn copy_metadata(from: &DictionaryRef<'_>, drop: &[&str]) -> Dictionary<'static> {
    let mut to = ptr::null_mut();
    // SAFETY: `from` is alive; `to` starts empty and is handed over to its owner.
    unsafe {
        av_dict_copy(&mut to, from.as_ptr(), 0);
        for key in drop.iter().filter_map(|key| CString::new(*key).ok()) {
            while !av_dict_get(to, key.as_ptr(), ptr::null(), AV_DICT_IGNORE_SUFFIX).is_null() {
                av_dict_set(&mut to, key.as_ptr(), ptr::null(), AV_DICT_IGNORE_SUFFIX);
            }
        }
        Dictionary::own(to)
    }
}

/// Copies disposition and pixel aspect from one stream to another.
pub fn copy_stream_flags(to: &mut StreamMut<'_>, from: &Stream<'_>) {
    // SAFETY: both streams are alive and belong to different contexts.
    unsafe {
        (*to.as_mut_ptr()).disposition = (*from.as_ptr()).disposition;
        (*to.as_mut_ptr()).sample_aspect_ratio = (*from.as_ptr()).sample_aspect_ratio;
    }
}

/// Sets the pixel aspect that a container shows.
pub fn set_pixel_aspect(stream: &mut StreamMut<'_>, aspect: Rational) {
    // SAFETY: the stream is alive and its header not yet written.
    unsafe { (*stream.as_mut_ptr()).sample_aspect_ratio = aspect.into() }
}

/// The codec tag for a copied stream: its own where the container knows it, else 0, and the muxer takes its own.
pub fn set_codec_tag(stream: &mut StreamMut<'_>, container: &format::Output) {
    // SAFETY: the stream and its parameters are alive; the tag lists are FFmpeg's static tables, or null for none.
    unsafe {
        let parameters = (*stream.as_mut_ptr()).codecpar;
        let tags = (*container.as_ptr()).codec_tag;
        let mut known: c_uint = 0;
        let keep = tags.is_null()
            || av_codec_get_id(tags, (*parameters).codec_tag) == (*parameters).codec_id
            || av_codec_get_tag2(tags, (*parameters).codec_id, &mut known) == 0;
        if !keep {
            (*parameters).codec_tag = 0;
        }
    }
}

/// Tags HEVC for MP4 and MOV as `hvc1` where its parameter sets lie in the stream's header: Apple's players refuse `hev1`,
/// which FFmpeg takes by itself.
pub fn prefer_hvc1(stream: &mut StreamMut<'_>) {
    // SAFETY: the stream and its parameters are alive; the extra data has `extradata_size` bytes where it has any.
    unsafe {
        let parameters = &mut *(*stream.as_mut_ptr()).codecpar;
        let size = usize::try_from(parameters.extradata_size).unwrap_or(0);
        if parameters.codec_id != AVCodecID::AV_CODEC_ID_HEVC || parameters.extradata.is_null() {
            return;
        }
        let header = slice::from_raw_parts(parameters.extradata, size);
        let tag = parameters.codec_tag;
        if (tag == 0 || tag == u32::from_le_bytes(*b"hev1")) && holds_parameter_sets(header) {
            parameters.codec_tag = u32::from_le_bytes(*b"hvc1");
        }
    }
}

/// True if the extra data of an HEVC stream holds its parameter sets: VPS, SPS and PPS (types 32 to 34).
fn holds_parameter_sets(header: &[u8]) -> bool {
    match header {
        // The start codes of a byte stream (ITU-T H.265, annex B).
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => [32, 33, 34]
            .iter()
            .all(|kind| header.windows(4).any(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] >> 1 & 0x3f == *kind)),
        // ISO/IEC 14496-15: version 1, and at byte 22 the number of arrays, one for each type.
        [1, ..] => header.get(22).is_some_and(|&arrays| arrays >= 3),
        _ => false,
    }
}

/// Gives an encoder of subtitles the ASS header of the decoder, with the styles that the events name.
pub fn copy_subtitle_header(to: &mut codec::Context, from: &codec::Context) -> Result<(), Error> {
    // SAFETY: both contexts are alive and `to` is not open, so that it has no header yet; the header has
    // `subtitle_header_size` bytes where it has any. The copy comes from FFmpeg's allocator, as its owner frees it, and ends
    // with a zero, as its readers expect.
    unsafe {
        let (from, to) = (&*from.as_ptr(), &mut *to.as_mut_ptr());
        let size = usize::try_from(from.subtitle_header_size).unwrap_or(0);
        if from.subtitle_header.is_null() {
            return Ok(());
        }
        let room = av_mallocz(size + 1).cast::<u8>();
        if room.is_null() {
            return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
        }
        ptr::copy_nonoverlapping(from.subtitle_header, room, size);
        to.subtitle_header = room;
        to.subtitle_header_size = from.subtitle_header_size;
    }
    Ok(())
}

/// Encodes a decoded subtitle into `room` and frees it, which its type does not. Returns the number of bytes.
pub fn encode_subtitle(
    encoder: &mut encoder::Subtitle,
    mut subtitle: Subtitle,
    room: &mut [u8],
) -> Result<usize, Error> {
    let size = c_int::try_from(room.len()).map_err(|_| Error::InvalidData)?;
    // SAFETY: encoder and subtitle are alive, and `room` has `size` bytes. The subtitle was filled by FFmpeg or is all zero,
    // and nobody looks at it afterwards.
    let written = unsafe {
        let written = avcodec_encode_subtitle(encoder.as_mut_ptr(), room.as_mut_ptr(), size, subtitle.as_ptr());
        avsubtitle_free(subtitle.as_mut_ptr());
        written
    };
    usize::try_from(written).map_err(|_| Error::from(written))
}

/// True if a stream's rate of sound or size of picture is known, without which no muxer takes it. Neither is of a stream that
/// is announced and has no packets.
pub fn is_known(stream: &Stream<'_>) -> bool {
    // SAFETY: the stream and its parameters are alive.
    let parameters = unsafe { &*(*stream.as_ptr()).codecpar };
    match parameters.codec_type {
        AVMediaType::AVMEDIA_TYPE_AUDIO => parameters.sample_rate > 0,
        AVMediaType::AVMEDIA_TYPE_VIDEO => parameters.width > 0 && parameters.height > 0,
        _ => true,
    }
}

/// Turns a stream into an attachment with those bytes: what Matroska makes of cover art.
pub fn make_attachment(stream: &mut StreamMut<'_>, bytes: &[u8]) -> Result<(), Error> {
    let size = c_int::try_from(bytes.len()).map_err(|_| Error::InvalidData)?;
    // SAFETY: the stream and its parameters are alive; the old extra data is freed by FFmpeg's own call, and the new one
    // comes from its allocator with the zeroed padding that it asks for.
    unsafe {
        let parameters = (*stream.as_mut_ptr()).codecpar;
        let room = av_mallocz(bytes.len() + AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
        if room.is_null() {
            return Err(Error::Other { errno: ffmpeg_next::error::ENOMEM });
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        av_freep((&raw mut (*parameters).extradata).cast());
        (*parameters).extradata = room;
        (*parameters).extradata_size = size;
        (*parameters).codec_type = AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        (*stream.as_mut_ptr()).disposition = 0;
    }
    Ok(())
}

/// The picture of a cover art stream.
pub fn attached_picture(stream: &Stream<'_>) -> Option<Vec<u8>> {
    // SAFETY: the stream is alive; its attached packet has `size` bytes where it has any.
    unsafe {
        let packet = &(*stream.as_ptr()).attached_pic;
        let size = usize::try_from(packet.size).ok().filter(|&size| size > 0)?;
        (!packet.data.is_null()).then(|| slice::from_raw_parts(packet.data, size).to_vec())
    }
}

/// The container that FFmpeg takes for a file of that name.
pub fn guess_container(path: &Path) -> Option<format::Output> {
    let name = CString::new(path.to_str()?).ok()?;
    // SAFETY: the name is a C string; FFmpeg returns null or an entry of its static table.
    let raw = unsafe { av_guess_format(ptr::null(), name.as_ptr(), ptr::null()) };
    // SAFETY: not null, and static.
    (!raw.is_null()).then(|| unsafe { format::Output::wrap(raw.cast_mut()) })
}

/// Whether the container can hold that codec; None if FFmpeg does not know, as of MPEG-TS.
pub fn can_hold(container: &format::Output, id: codec::Id) -> Option<bool> {
    // SAFETY: the container is an entry of FFmpeg's static table.
    match unsafe { avformat_query_codec(container.as_ptr(), id.into(), FF_COMPLIANCE_NORMAL) } {
        1 => Some(true),
        0 => Some(false),
        _ => None,
    }
}

/// The encoder for a codec's common name, `hevc` for example.
pub fn encoder_for(codec: &str) -> Option<Codec> {
    let name = CString::new(codec).ok()?;
    // SAFETY: the name is a C string; FFmpeg returns null or entries of its static tables.
    unsafe {
        let descriptor = avcodec_descriptor_get_by_name(name.as_ptr());
        if descriptor.is_null() {
            return None;
        }
        let raw = avcodec_find_encoder((*descriptor).id);
        (!raw.is_null()).then(|| Codec::wrap(raw))
    }
}

/// True if the encoder, or every encoder, has an option of that name.
pub fn has_option(codec: &Codec, name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    let find = |class: *const AVClass| {
        // SAFETY: a pointer to a pointer to a class is what AV_OPT_SEARCH_FAKE_OBJ asks for; both live through the call.
        unsafe {
            let object = (&raw const class).cast_mut().cast();
            !av_opt_find(object, name.as_ptr(), ptr::null(), 0, AV_OPT_SEARCH_FAKE_OBJ).is_null()
        }
    };
    // SAFETY: the codec and its class, where it has one, are static.
    let own = unsafe { (*codec.as_ptr()).priv_class };
    // SAFETY: returns a static class.
    (!own.is_null() && find(own)) || find(unsafe { avcodec_get_class() })
}

/// Of the formats that an encoder takes, the one that loses least of `from`; None if it takes none.
pub fn best_format(offered: &[Pixel], from: Pixel, alpha: bool) -> Option<Pixel> {
    let list: Vec<AVPixelFormat> =
        offered.iter().map(|&pixel| pixel.into()).chain([AVPixelFormat::AV_PIX_FMT_NONE]).collect();
    // SAFETY: the list ends with the NONE that FFmpeg looks for.
    let best = unsafe { avcodec_find_best_pix_fmt_of_list(list.as_ptr(), from.into(), alpha.into(), ptr::null_mut()) };
    (best != AVPixelFormat::AV_PIX_FMT_NONE).then(|| best.into())
}

/// Tells swscale the meaning of the codes: one of its `SWS_CS_*` matrices for both sides, and whether each is full range.
pub fn set_scaler_colour(scaler: &mut software::scaling::Context, matrix: c_int, full: (bool, bool)) {
    // SAFETY: the scaler is alive; the table of coefficients is static. Brightness, contrast and saturation are neutral, in
    // 16.16. A conversion that knows no matrix refuses, and needs none.
    unsafe {
        let table = sws_getCoefficients(matrix);
        sws_setColorspaceDetails(scaler.as_mut_ptr(), table, full.0.into(), table, full.1.into(), 0, 1 << 16, 1 << 16);
    }
}

/// Stops the demuxer from reading a stream that nobody wants.
pub fn discard(input: &mut context::Input, stream: usize) {
    if let Some(mut stream) = input.stream_mut(stream) {
        // SAFETY: the stream is alive.
        unsafe { (*stream.as_mut_ptr()).discard = AVDiscard::AVDISCARD_ALL }
    }
}

/// True if the container states its length itself, so that a shorter stream means a file that was cut off.
pub fn duration_is_stated(input: &context::Input) -> bool {
    // SAFETY: the context is alive.
    let method = unsafe { (*input.as_ptr()).duration_estimation_method };
    input.duration() > 0 && method == AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM
}

/// Lets a muxer write what no standard says: FFmpeg counts the boxes of spherical and stereoscopic video in MP4 as such.
pub fn allow_unofficial(output: &mut context::Output) {
    // SAFETY: the context is alive, and its header is not written yet.
    unsafe { (*output.as_mut_ptr()).strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL };
}

/// True if the times in such a file may jump, as FFmpeg says of MPEG-TS and VOB.
pub fn clock_may_jump(input: &context::Input) -> bool {
    // SAFETY: the context is alive and was opened, so its format is an entry of FFmpeg's static table.
    unsafe { (*(*input.as_ptr()).iformat).flags & AVFMT_TS_DISCONT != 0 }
}

/// When the container says that it starts, in microseconds.
pub fn start_time(input: &context::Input) -> i64 {
    // SAFETY: the context is alive.
    let start = unsafe { (*input.as_ptr()).start_time };
    if start == AV_NOPTS_VALUE { 0 } else { start }
}

/// The error of the file behind an output, flushed before: a full disk may show only here.
pub fn flush(output: &mut context::Output) -> Result<(), Error> {
    // SAFETY: the context is alive; `pb` is null or its open file.
    unsafe {
        let file = (*output.as_mut_ptr()).pb;
        if file.is_null() {
            return Ok(());
        }
        avio_flush(file);
        check((*file).error)
    }
}

/// Writes the packets that wait for those of other streams. Where one is refused, those behind it wait on.
pub fn write_waiting(output: &mut context::Output) -> Result<(), Error> {
    // SAFETY: the context is alive; no packet asks for those inside.
    check(unsafe { av_interleaved_write_frame(output.as_mut_ptr(), ptr::null_mut()) })
}

fn check(code: c_int) -> Result<(), Error> {
    if code < 0 { Err(code.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_found_in_both_forms_of_the_header() {
        let stream = [&[0, 0, 0, 1, 0x40, 1][..], &[0, 0, 0, 1, 0x42, 1], &[0, 0, 1, 0x44, 1]].concat();
        assert!(holds_parameter_sets(&stream));
        assert!(!holds_parameter_sets(&stream[..12]));
        let mut record = [0; 23];
        record[0] = 1;
        assert!(!holds_parameter_sets(&record));
        record[22] = 3;
        assert!(holds_parameter_sets(&record));
        assert!(!holds_parameter_sets(&[]));
    }
}
