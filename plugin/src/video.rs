//! What GStreamer says of a frame, for the engine: format and colour, and where the planes lie in a buffer.

use gst_video::{VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoCropMeta, VideoMeta};
use srup_engine::Error;
use srup_engine::frame::{Colour, Family, FrameMut, FrameRef, Matrix, PixelFormat, Range, Site, Siting, VideoInfo};

use crate::errors::Failure;

/// PAL's lines: above them, video that does not name its matrix means BT.709, as GStreamer has it.
const SD_LINES: u32 = 576;

/// GStreamer's description of a stream with these fixed caps.
///
/// # Errors
/// Caps of no video.
pub fn video_info(caps: &gst::CapsRef) -> Result<gst_video::VideoInfo, Failure> {
    gst_video::VideoInfo::from_caps(caps)
        .map_err(|error| Failure::Buffer(format!("caps {caps} describe no video frame: {error}")))
}

/// The engine's description of a stream with these fixed caps.
///
/// # Errors
/// Caps of no video; a format that the engine lacks, or a size out of its range, which the templates do not let through.
pub fn engine_info(caps: &gst::CapsRef) -> Result<VideoInfo, Failure> {
    let info = video_info(caps)?;
    let name = info.format().to_str();
    let format = PixelFormat::from_name(name).ok_or_else(|| {
        Failure::Buffer(format!("format {name} is not supported; put a videoconvert before srupscale"))
    })?;
    let colour = Colour { siting: siting(chroma_site(caps, &info)), ..colour(&info, format) };
    Ok(VideoInfo::new(format, info.width() as usize, info.height() as usize, colour)?)
}

/// What the caps name, else the default. GStreamer 1.22 forgets the name where there is no colorimetry beside it.
fn chroma_site(caps: &gst::CapsRef, info: &gst_video::VideoInfo) -> VideoChromaSite {
    let named = caps.structure(0).and_then(|structure| structure.get::<&str>("chroma-site").ok());
    named.and_then(|name| name.parse().ok()).unwrap_or_else(|| info.chroma_site())
}

/// Matrix and range.
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
    Colour { matrix, range, ..Colour::default() }
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
    /// A buffer that is too short for its caps.
    pub fn read<'a>(&self, info: &VideoInfo, bytes: &'a [u8]) -> Result<FrameRef<'a>, Error> {
        let planes = self.planes.map(|(offset, stride)| (bytes.get(offset..).unwrap_or_default(), stride));
        FrameRef::new(info, &planes[..self.count])
    }

    /// The planes of a mapped buffer, to write.
    ///
    /// # Errors
    /// A buffer that is too short for its caps; planes that overlap.
    pub fn write<'a>(&self, info: &VideoInfo, bytes: &'a mut [u8]) -> Result<FrameMut<'a>, Error> {
        let mut order = [0, 1, 2];
        order[..self.count].sort_unstable_by_key(|&plane| self.planes[plane].0);
        let mut parts: [&'a mut [u8]; 3] = Default::default();
        let mut rest = bytes;
        // From the last plane to the first, each takes what lies behind its offset: no two can overlap.
        for &plane in order[..self.count].iter().rev() {
            let offset = self.planes[plane].0.min(rest.len());
            (rest, parts[plane]) = rest.split_at_mut(offset);
        }
        let strides = self.planes.map(|(_, stride)| stride);
        FrameMut::new(info, parts.into_iter().zip(strides).take(self.count))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn described(caps: &str) -> VideoInfo {
        gst::init().unwrap();
        let caps: gst::Caps = caps.parse().unwrap();
        engine_info(&caps).unwrap()
    }

    fn colour_of(format: &str, height: u32, named: &str) -> Colour {
        described(&format!("video/x-raw, format={format}, width=64, height={height}, framerate=25/1{named}")).colour
    }

    #[test]
    fn matrix_and_range_are_those_of_the_caps() {
        for (named, matrix, range) in [
            ("bt601", Matrix::Bt601, Range::Limited),
            ("bt709", Matrix::Bt709, Range::Limited),
            ("smpte240m", Matrix::Bt709, Range::Limited),
            ("bt2020", Matrix::Bt2020, Range::Limited),
            ("bt2100-hlg", Matrix::Bt2020, Range::Limited),
            ("1:4:0:0", Matrix::Bt601, Range::Full),
            ("1:3:5:1", Matrix::Bt709, Range::Full),
            ("2:3:0:0", Matrix::Bt709, Range::Limited),
        ] {
            let colour = colour_of("I420_10LE", 32, &format!(", colorimetry=\"{named}\""));
            assert_eq!((colour.matrix, colour.range), (matrix, range), "{named}");
        }
    }

    #[test]
    fn what_caps_do_not_name_follows_the_height() {
        assert_eq!(colour_of("I420", 576, "").matrix, Matrix::Bt601);
        assert_eq!(colour_of("I420", 577, "").matrix, Matrix::Bt709);
        let unknown = ", colorimetry=\"0:0:0:0\"";
        assert_eq!(colour_of("I420", 576, unknown).matrix, Matrix::Bt601);
        assert_eq!(colour_of("I420", 720, unknown).matrix, Matrix::Bt709);
        assert_eq!(colour_of("I420", 720, unknown).range, Range::Limited);
        assert_eq!(colour_of("RGB", 720, "").range, Range::Full);
    }

    #[test]
    fn chroma_sites_are_those_of_the_caps() {
        for (named, siting) in [
            ("mpeg2", Siting::LEFT),
            ("jpeg", Siting::CENTER),
            ("cosited", Siting::TOP_LEFT),
            ("v-cosited", Siting::TOP),
        ] {
            for (height, colorimetry) in [(32, ""), (720, ""), (32, ", colorimetry=bt709")] {
                let found = colour_of("NV12", height, &format!(", chroma-site={named}{colorimetry}")).siting;
                assert_eq!(found, siting, "{named} {height}{colorimetry}");
            }
        }
        assert_eq!(colour_of("NV12", 576, "").siting, Siting::CENTER);
        assert_eq!(colour_of("NV12", 577, "").siting, Siting::LEFT);
    }

    #[test]
    fn formats_and_sizes_are_those_of_the_caps() {
        for format in PixelFormat::ALL {
            let info = described(&format!("video/x-raw, format={format}, width=33, height=17, framerate=25/1"));
            assert_eq!((info.format, info.width, info.height), (format, 33, 17));
        }
    }

    fn layout(offsets: &[usize], strides: &[i32], format: PixelFormat) -> Layout {
        Layout::new(offsets, strides, format).unwrap()
    }

    #[test]
    fn planes_may_lie_in_any_order_but_not_overlap() {
        let info = VideoInfo::new(PixelFormat::I420, 4, 2, Colour::default()).unwrap();
        let mut bytes = [0_u8; 16];
        // U, then Y, then V.
        let mixed = layout(&[2, 0, 12], &[5, 2, 2], PixelFormat::I420);
        for (plane, value) in [(0, 1), (1, 2), (2, 3)] {
            let mut frame = mixed.write(&info, &mut bytes).unwrap();
            let (rows, row) = (info.format.rows(plane, 2), info.format.row_bytes(plane, 4));
            frame.plane_mut(plane).rows(rows, row).for_each(|row| row.fill(value));
        }
        assert_eq!(bytes, [2, 2, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 3, 3, 0, 0]);
        for offsets in [[0, 7, 12], [0, 0, 12], [0, 12, 13], [0, 12, 12], [0, 12, 15], [0, 12, 99]] {
            let written = layout(&offsets, &[4, 2, 2], PixelFormat::I420).write(&info, &mut bytes);
            assert!(matches!(written, Err(Error::Plane { .. })), "{offsets:?}: {written:?}");
        }
    }

    #[test]
    fn a_crop_moves_every_plane_by_its_own_pixels() {
        let moved = |format, offsets: &[usize], strides: &[i32]| {
            let mut layout = layout(offsets, strides, format);
            layout.move_to(5, 3, format);
            layout.planes.map(|(offset, _)| offset)
        };
        assert_eq!(moved(PixelFormat::I420, &[0, 100, 200], &[10, 6, 6]), [35, 108, 208]);
        assert_eq!(moved(PixelFormat::P010Le, &[0, 100], &[20, 20]), [70, 128, 0]);
        assert_eq!(moved(PixelFormat::Y42b, &[0, 100, 200], &[10, 6, 6]), [35, 120, 220]);
        assert_eq!(moved(PixelFormat::Bgra, &[7], &[40]), [147, 0, 0]);
    }
}
