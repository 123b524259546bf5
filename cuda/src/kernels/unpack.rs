//! Frames to planes of f32.

use super::video::{Affine, BLOCK, STRIP, Scaling, TILE, ensure, ensure_aligned, grid};
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::{Image, Kind, Plane};
use crate::{Device, Error};

static SOURCE: Source = source!("unpack");

/// Red, green and blue as colours.
const UNIT: [f32; 2] = [0.0, 1.0];

/// YUV to RGB from 0 to 1, clamped. The matrix takes codes; `scaling` brings chroma to the places of luma, and is not
/// needed where they have the same size.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn unpack_yuv(
    device: &Device,
    luma: &Plane,
    chroma: [&Plane; 2],
    scaling: Option<&Scaling>,
    matrix: &Affine,
    image: &Image,
) -> Result<Launch, Error> {
    let [u, v] = chroma;
    let name = if scaling.is_some() { "unpack_yuv_f32" } else { "unpack_444_f32" };
    check_image(name, image, 3, luma)?;
    let sizes = scaling.map_or((luma.size(), luma.size()), |s| (s.input_size(), s.output_size()));
    ensure(name, (u.size(), v.size(), luma.size()) == (sizes.0, sizes.0, sizes.1), || {
        format!("luma of {:?}, chroma of {:?} and {:?}", luma.size(), u.size(), v.size())
    })?;
    let kind = luma.sample().kind;
    let codes = kind != Kind::F32 && u.sample().kind == kind && v.sample().kind == kind && luma.sample().group == 1;
    let planar = scaling.is_some() || (u.sample().group, v.sample().group) == (1, 1);
    ensure(name, codes && planar, || format!("{:?} with {:?}", luma.sample(), u.sample()))?;
    for plane in [luma, u, v] {
        ensure_aligned(name, plane)?;
    }
    let arguments = Arguments::default().plane(luma).plane(u).plane(v);
    let (grid, shared, arguments) = match scaling {
        None => (grid(luma.size(), STRIP, 1), 0, arguments),
        Some(scaling) => {
            (grid(luma.size(), TILE, 1), scaling.shared(name, 2, TILE, (0, 0))?, arguments.scaling(scaling))
        }
    };
    let arguments = arguments.affine(matrix).value(UNIT).buffer(image.buffer());
    Launch::new(device, (&SOURCE, name), grid, BLOCK, shared, arguments)
}

/// Grey to RGB from 0 to 1, clamped. The matrix takes the code three times.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn unpack_gray(device: &Device, luma: &Plane, matrix: &Affine, image: &Image) -> Result<Launch, Error> {
    let name = "unpack_gray_f32";
    check_image(name, image, 3, luma)?;
    let sample = luma.sample();
    ensure(name, sample.kind != Kind::F32 && sample.group == 1, || format!("{sample:?}"))?;
    ensure_aligned(name, luma)?;
    let arguments = Arguments::default().plane(luma).affine(matrix).value(UNIT).buffer(image.buffer());
    Launch::new(device, (&SOURCE, name), grid(luma.size(), STRIP, 1), BLOCK, 0, arguments)
}

/// Y to a picture of one channel, the codes over the largest.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn unpack_y(device: &Device, luma: &Plane, image: &Image) -> Result<Launch, Error> {
    let name = "unpack_y_f32";
    check_image(name, image, 1, luma)?;
    let sample = luma.sample();
    ensure(name, sample.kind != Kind::F32 && sample.group == 1, || format!("{sample:?}"))?;
    ensure_aligned(name, luma)?;
    let arguments = Arguments::default().plane(luma).buffer(image.buffer());
    Launch::new(device, (&SOURCE, name), grid(luma.size(), STRIP, 1), BLOCK, 0, arguments)
}

/// Packed RGB, with or without a fourth byte, to three planes; `reversed` where blue comes first. The matrix takes the codes
/// of red, green and blue; nothing is clamped.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn unpack_rgb(
    device: &Device,
    source: &Plane,
    reversed: bool,
    matrix: &Affine,
    image: &Image,
) -> Result<Launch, Error> {
    let name = "unpack_rgb_f32";
    check_image(name, image, 3, source)?;
    let sample = source.sample();
    let packed = sample.kind == Kind::U8 && matches!(sample.group, 3 | 4) && sample.part == 0;
    ensure(name, packed, || format!("{sample:?}"))?;
    let arguments = Arguments::default()
        .plane(source)
        .value(u32::from(reversed))
        .affine(matrix)
        .value([f32::MIN, f32::MAX])
        .buffer(image.buffer());
    Launch::new(device, (&SOURCE, name), grid(source.size(), STRIP, 1), BLOCK, 0, arguments)
}

fn check_image(name: &'static str, image: &Image, channels: usize, plane: &Plane) -> Result<(), Error> {
    let (height, width) = plane.size();
    ensure(name, image.shape() == (channels, height, width), || format!("{height}x{width} to {:?}", image.shape()))
}
