//! What GStreamer says of a frame, for the engine: format and colour, and where the planes lie in a buffer.

use gst_video::{VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoCropMeta, VideoMeta};
use srup_engine::Error;
use srup_engine::frame::{Colour, Family, FrameMut, FrameRef, Matrix, PixelFormat, Range, Site, Siting, VideoInfo};

use crate::errors::Failure;

/// PAL's lines: above them, video that does not name its matrix means BT.709, as GStreamer has it.
const SD_LINES: u32 = 576;

/// The engine's description of a stream.
///
/// # Errors
/// A format that the engine lacks, or a size out of its range. The templates let neither through.
pub fn engine_info(info: &gst_video::VideoInfo) -> Result<VideoInfo, Failure> {
    let name = info.format().to_str();
    let format = PixelFormat::from_name(name).ok_or_else(|| {
        Failure::Buffer(format!("format {name} is not supported; put a videoconvert before srupscale"))
    })?;
    Ok(VideoInfo::new(format, info.width() as usize, info.height() as usize, colour(info, format))?)
}

fn colour(info: &gst_video::VideoInfo, format: PixelFormat) -> Colour {
    let matrix = match info.colorimetry().matrix() {
        VideoColorMatrix::Bt601 | VideoColorMatrix::Fcc => Matrix::Bt601,
        // SMPTE 240M's weights are within 0.004 of BT.709's for red and 0.015 for blue.
        VideoColorMatrix::Bt709 | VideoColorMatrix::Smpte240m => Matrix::Bt709,
        VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        _ if info.height() > SD_LINES => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match info.colorimetry().range() {
        VideoColorRange::Range0_255 => Range::Full,
        VideoColorRange::Range16_235 => Range::Limited,
        _ if format.family() == Family::Rgb => Range::Full,
        _ => Range::Limited,
    };
    Colour { matrix, range, siting: siting(info.chroma_site()) }
}

fn siting(site: VideoChromaSite) -> Siting {
    // All bits clear is "unknown", which for video means the default of its codecs.
    if site.is_empty() {
        return Siting::default();
    }
    let along = |flag| if site.contains(flag) { Site::Cosited } else { Site::Centered };
    Siting { horizontal: along(VideoChromaSite::H_COSITED), vertical: along(VideoChromaSite::V_COSITED) }
}

/// Offsets and strides of the planes in a buffer, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    planes: [(usize, usize); 3],
    count: usize,
}

impl Layout {
    /// Where the planes of `buffer` begin: its `VideoMeta`'s layout, or else that of the caps. A `VideoCropMeta` of the
    /// caps' size picks its rectangle out of the larger frame that the `VideoMeta` describes.
    ///
    /// # Errors
    /// A `VideoMeta` of another format or of a smaller size, or rows that go backwards.
    pub fn of(buffer: &gst::BufferRef, info: &gst_video::VideoInfo, format: PixelFormat) -> Result<Self, Failure> {
        let Some(meta) = buffer.meta::<VideoMeta>() else {
            return Self::new(info.offset(), info.stride(), format);
        };
        if meta.format() != info.format() || meta.width() < info.width() || meta.height() < info.height() {
            return Err(Failure::Buffer(format!(
                "a buffer of {} {}x{} came where the caps say {} {}x{}; the element before srupscale is at fault",
                meta.format().to_str(),
                meta.width(),
                meta.height(),
                info.format().to_str(),
                info.width(),
                info.height()
            )));
        }
        let mut layout = Self::new(meta.offset(), meta.stride(), format)?;
        if let Some((x, y)) = crop_origin(buffer, info, &meta) {
            layout.move_to(x, y, format);
        }
        Ok(layout)
    }

    fn new(offsets: &[usize], strides: &[i32], format: PixelFormat) -> Result<Self, Failure> {
        let mut layout = Self { count: format.planes(), ..Self::default() };
        for (plane, place) in layout.planes.iter_mut().enumerate().take(format.planes()) {
            let (Some(&offset), Some(&stride)) = (offsets.get(plane), strides.get(plane)) else {
                return Err(Error::Plane {
                    plane,
                    what: "number of planes",
                    needed: format.planes(),
                    found: offsets.len(),
                }
                .into());
            };
            let stride = usize::try_from(stride).map_err(|_| {
                Failure::Buffer(format!(
                    "plane {plane} has a stride of {stride}; rows that go backwards are not supported"
                ))
            })?;
            *place = (offset, stride);
        }
        Ok(layout)
    }

    /// Moves the first pixel to (x, y); chroma goes to the sample that covers it.
    fn move_to(&mut self, x: usize, y: usize, format: PixelFormat) {
        let (horizontal, vertical) = format.subsampling();
        for (plane, (offset, stride)) in self.planes.iter_mut().enumerate().take(self.count) {
            let (x, y) = if plane == 0 { (x, y) } else { (x >> horizontal, y >> vertical) };
            let pixel = match format.packed_rgb() {
                Some(rgb) => rgb.size,
                None if plane == 1 && format.is_semi_planar() => 2 * format.sample_bytes(),
                None => format.sample_bytes(),
            };
            *offset += y * *stride + x * pixel;
        }
    }

    /// The planes of a mapped buffer, to read.
    ///
    /// # Errors
    /// A buffer that is too short for its caps, with the sizes.
    pub fn read<'a>(&self, info: &VideoInfo, bytes: &'a [u8]) -> Result<FrameRef<'a>, Failure> {
        let planes: Vec<_> = self.planes[..self.count]
            .iter()
            .map(|&(offset, stride)| (bytes.get(offset..).unwrap_or_default(), stride))
            .collect();
        FrameRef::new(info, &planes).map_err(|error| short(bytes.len(), &error))
    }

    /// The planes of a mapped buffer, to write.
    ///
    /// # Errors
    /// A buffer that is too short for its caps, with the sizes; planes that overlap.
    pub fn write<'a>(&self, info: &VideoInfo, bytes: &'a mut [u8]) -> Result<FrameMut<'a>, Failure> {
        let length = bytes.len();
        let mut order: Vec<usize> = (0..self.count).collect();
        order.sort_by_key(|&plane| self.planes[plane].0);
        let mut parts: [&'a mut [u8]; 3] = Default::default();
        let (mut rest, mut end) = (bytes, length);
        // From the last plane to the first, each takes what lies behind its offset: no two can overlap.
        for &plane in order.iter().rev() {
            let offset = self.planes[plane].0.min(end);
            let (head, tail) = rest.split_at_mut(offset);
            (rest, end, parts[plane]) = (head, offset, tail);
        }
        let strides = self.planes.map(|(_, stride)| stride);
        FrameMut::new(info, parts.into_iter().zip(strides).take(self.count)).map_err(|error| short(length, &error))
    }
}

fn short(length: usize, error: &Error) -> Failure {
    Failure::Buffer(format!("a buffer of {length} bytes: {error}"))
}

/// The top left corner of a crop rectangle that is as large as the caps say and lies within the frame of the meta.
fn crop_origin(buffer: &gst::BufferRef, info: &gst_video::VideoInfo, meta: &VideoMeta) -> Option<(usize, usize)> {
    let (x, y, width, height) = buffer.meta::<VideoCropMeta>()?.rect();
    let fits = x.checked_add(width)? <= meta.width() && y.checked_add(height)? <= meta.height();
    (fits && (width, height) == (info.width(), info.height())).then_some((x as usize, y as usize))
}

/// True where [`Layout::of`] applies the crop rectangle, so that it must not go out again.
pub fn crop_is_applied(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> bool {
    buffer.meta::<VideoMeta>().is_some_and(|meta| crop_origin(buffer, info, &meta).is_some())
}
