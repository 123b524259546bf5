//! Frames of the engine as numbers, and to and from FFmpeg's.

use ffmpeg_next::frame::Video;
use srup_engine::frame::{Frame, Range, VideoInfo};
use srup_examples::Failure;
use srup_examples::video::convert::Shape;
use srup_examples::video::{ffi, formats};

/// The codes of a plane of planar YUV, row by row.
pub fn codes(frame: &Frame, plane: usize) -> Vec<f32> {
    let (bytes, _) = frame.plane(plane);
    match frame.info().format.sample_bytes() {
        1 => bytes.iter().map(|&code| f32::from(code)).collect(),
        _ => bytes.as_chunks().0.iter().map(|&code| f32::from(u16::from_le_bytes(code))).collect(),
    }
}

/// The reverse of [`codes`]: rounded, and kept within the codes that there are.
pub fn set_codes(frame: &mut Frame, plane: usize, values: &[f32]) {
    let format = frame.info().format;
    let codes = values.iter().map(|value| value.round().clamp(0.0, format.max_code() as f32) as u16);
    let (bytes, _) = frame.plane_mut(plane);
    match format.sample_bytes() {
        1 => bytes.iter_mut().zip(codes).for_each(|(byte, code)| *byte = code as u8),
        _ => bytes.as_chunks_mut().0.iter_mut().zip(codes).for_each(|(pair, code)| *pair = code.to_le_bytes()),
    }
}

/// How FFmpeg describes such frames.
pub fn shape(info: &VideoInfo) -> Shape {
    let full = info.colour.range == Range::Full || !formats::is_yuv(formats::pixel(info.format));
    // At most MAX_SIZE, far within 32 bits.
    Shape { pixel: formats::pixel(info.format), width: info.width as u32, height: info.height as u32, full }
}

/// A copy of FFmpeg's frame, as much of its top left as `info` has; its memory must lie like that of `info`.
///
/// # Errors
/// It is smaller, or lies otherwise.
pub fn from_ffmpeg(video: &Video, info: &VideoInfo) -> Result<Frame, Failure> {
    let whole = VideoInfo::new(info.format, video.width() as usize, video.height() as usize, info.colour)?;
    let planes = ffi::planes(video, &whole).filter(|_| whole.width >= info.width && whole.height >= info.height);
    let planes = planes.ok_or_else(|| {
        Failure::new(format!("FFmpeg gave a frame of {} where {} was due", formats::name(video.format()), info.format))
    })?;
    let mut frame = Frame::new(info);
    for (plane, (source, stride)) in planes.into_iter().enumerate() {
        let row = info.format.row_bytes(plane, info.width);
        let (target, _) = frame.plane_mut(plane);
        target.chunks_exact_mut(row).zip(source.chunks(stride)).for_each(|(to, from)| to.copy_from_slice(&from[..row]));
    }
    Ok(frame)
}

/// A copy for FFmpeg.
///
/// # Errors
/// Too little memory.
pub fn to_ffmpeg(frame: &Frame) -> Result<Video, Failure> {
    let info = frame.info();
    let Shape { pixel, width, height, .. } = shape(info);
    let fail = |why: &str| Failure::new(format!("no frame of {width}x{height} can be had from FFmpeg: {why}"));
    let mut video = ffi::new_frame(pixel, width, height).map_err(|error| fail(&error.to_string()))?;
    let planes = ffi::planes_mut(&mut video, info).ok_or_else(|| fail("it lies otherwise"))?;
    for (plane, (target, stride)) in planes.into_iter().enumerate() {
        let (source, row) = frame.plane(plane);
        target.chunks_mut(stride).zip(source.chunks_exact(row)).for_each(|(to, from)| to[..row].copy_from_slice(from));
    }
    Ok(video)
}
