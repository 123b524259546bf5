//! FFmpeg's pixel formats and the engine's: which are the same bytes, and which is nearest to one that the engine lacks.

use ffmpeg_next::format::Pixel;
use srup_engine::frame::PixelFormat;

use super::ffi;

const SAME: [(Pixel, PixelFormat); 15] = [
    (Pixel::YUV420P, PixelFormat::I420),
    (Pixel::NV12, PixelFormat::Nv12),
    (Pixel::YUV422P, PixelFormat::Y42b),
    (Pixel::YUV444P, PixelFormat::Y444),
    (Pixel::GRAY8, PixelFormat::Gray8),
    (Pixel::YUV420P10LE, PixelFormat::I420_10Le),
    (Pixel::P010LE, PixelFormat::P010Le),
    (Pixel::YUV422P10LE, PixelFormat::I422_10Le),
    (Pixel::YUV444P10LE, PixelFormat::Y444_10Le),
    (Pixel::RGB24, PixelFormat::Rgb),
    (Pixel::BGR24, PixelFormat::Bgr),
    (Pixel::RGBA, PixelFormat::Rgba),
    (Pixel::BGRA, PixelFormat::Bgra),
    (Pixel::RGBZ, PixelFormat::Rgbx),
    (Pixel::BGRZ, PixelFormat::Bgrx),
];

/// The format without the "J" that says full range: range is a tag here, not a format.
pub fn plain(pixel: Pixel) -> Pixel {
    match pixel {
        Pixel::YUVJ420P => Pixel::YUV420P,
        Pixel::YUVJ422P => Pixel::YUV422P,
        Pixel::YUVJ444P => Pixel::YUV444P,
        Pixel::YUVJ440P => Pixel::YUV440P,
        Pixel::YUVJ411P => Pixel::YUV411P,
        other => other,
    }
}

/// True for the "J" formats, which are always full range.
pub fn is_full_range(pixel: Pixel) -> bool {
    plain(pixel) != pixel
}

/// The engine's format whose bytes lie exactly like those of `pixel`.
pub fn same_memory(pixel: Pixel) -> Option<PixelFormat> {
    let pixel = plain(pixel);
    SAME.iter().find(|entry| entry.0 == pixel).map(|entry| entry.1)
}

/// FFmpeg's name for the engine's format.
pub fn pixel(format: PixelFormat) -> Pixel {
    SAME.iter().find(|entry| entry.1 == format).map_or(Pixel::None, |entry| entry.0)
}

/// The engine's format that keeps most of `pixel`: the depth before the family, then the chroma resolution.
///
/// The engine has RGB and grey at 8 bits only, so deeper ones become 10-bit YUV. None for frames in a device's memory.
pub fn nearest(pixel: Pixel) -> Option<PixelFormat> {
    if let Some(format) = same_memory(pixel) {
        return Some(format);
    }
    let layout = ffi::layout(pixel).filter(|layout| !layout.hardware)?;
    let deep = layout.depth > 8;
    Some(match (layout.rgb || layout.palette, deep) {
        (true, true) => PixelFormat::Y444_10Le,
        (true, false) if layout.alpha && !layout.palette => PixelFormat::Rgba,
        (true, false) => PixelFormat::Rgb,
        (false, true) if layout.components <= 2 => PixelFormat::I420_10Le,
        (false, false) if layout.components <= 2 => PixelFormat::Gray8,
        (false, deep) => match (layout.chroma, deep) {
            ((1.., 1..), false) => PixelFormat::I420,
            ((1.., 1..), true) => PixelFormat::I420_10Le,
            ((1.., 0), false) => PixelFormat::Y42b,
            ((1.., 0), true) => PixelFormat::I422_10Le,
            ((0, _), false) => PixelFormat::Y444,
            ((0, _), true) => PixelFormat::Y444_10Le,
        },
    })
}

/// The name that FFmpeg's tools show.
pub fn name(pixel: Pixel) -> &'static str {
    pixel.descriptor().map_or("unknown", |descriptor| descriptor.name())
}

/// True where the codes are luma and chroma, or luma alone.
pub fn is_yuv(pixel: Pixel) -> bool {
    ffi::layout(pixel).is_some_and(|layout| !layout.rgb && !layout.palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for format in PixelFormat::ALL {
            assert_eq!(same_memory(pixel(format)), Some(format));
        }
    }

    #[test]
    fn the_nearest_format_keeps_depth_and_chroma() {
        let cases = [
            (Pixel::YUVJ420P, PixelFormat::I420),
            (Pixel::YUVA420P, PixelFormat::I420),
            (Pixel::YUYV422, PixelFormat::Y42b),
            (Pixel::YUV410P, PixelFormat::I420),
            (Pixel::YUV411P, PixelFormat::Y42b),
            (Pixel::YUV440P, PixelFormat::Y444),
            (Pixel::YUV420P12LE, PixelFormat::I420_10Le),
            (Pixel::YUV422P10BE, PixelFormat::I422_10Le),
            (Pixel::YUV444P16LE, PixelFormat::Y444_10Le),
            (Pixel::PAL8, PixelFormat::Rgb),
            (Pixel::RGB565LE, PixelFormat::Rgb),
            (Pixel::ARGB, PixelFormat::Rgba),
            (Pixel::GBRP, PixelFormat::Rgb),
            (Pixel::RGB48LE, PixelFormat::Y444_10Le),
            (Pixel::GBRP10LE, PixelFormat::Y444_10Le),
            (Pixel::GRAY10LE, PixelFormat::I420_10Le),
            (Pixel::MonoBlack, PixelFormat::Gray8),
        ];
        for (pixel, expected) in cases {
            assert_eq!(nearest(pixel), Some(expected), "{}", name(pixel));
        }
        assert_eq!(nearest(Pixel::VAAPI), None);
    }
}
