//! Planes of f32 to frames.
//!
//! `flag` is a word that becomes 1 if a value of the picture is infinite or not a number, and stays as it is otherwise.

use super::video::{Affine, BLOCK, STRIP, Scaling, TILE, ensure, ensure_aligned, grid};
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::{Image, Kind, Plane, Sample};
use crate::{Buffer, Device, Error};

static SOURCE: Source = source!("pack");

/// RGB, clamped to 0 to 1, to YUV. The matrix gives codes; `scaling` brings chroma from the places of luma to its own, and
/// is not needed where they have the same size.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit; or if chroma is not lowered to a half along the rows and a half, or
/// nothing, down the columns.
pub fn pack_yuv(
    device: &Device,
    image: &Image,
    luma: &Plane,
    chroma: [&Plane; 2],
    scaling: Option<&Scaling>,
    matrix: &Affine,
    flag: &Buffer,
) -> Result<Launch, Error> {
    let [u, v] = chroma;
    let (name, lowered) = match scaling {
        None => ("pack_444_f32", (1, 1)),
        Some(_) if u.size().0 == luma.size().0 => ("pack_422_f32", (1, 2)),
        Some(_) => ("pack_420_f32", (2, 2)),
    };
    check_image(name, image, 3, luma, flag)?;
    check_chroma(name, luma, [u, v], scaling, lowered)?;
    let arguments = Arguments::default().buffer(image.buffer()).plane(luma).plane(u).plane(v).affine(matrix);
    let (grid, shared, arguments) = match scaling {
        None => (grid(luma.size(), STRIP, 1), 0, arguments),
        Some(scaling) => {
            let tile = (TILE.0 / lowered.1, TILE.1 / lowered.0);
            let shared = scaling.shared(name, 2, tile, lowered)?;
            (grid(u.size(), tile, 1), shared, arguments.scaling(scaling))
        }
    };
    Launch::new(device, (&SOURCE, name), grid, BLOCK, shared, arguments.buffer(flag))
}

/// `lowered` is by how much chroma is smaller, down the columns and along the rows.
fn check_chroma(
    name: &'static str,
    luma: &Plane,
    [u, v]: [&Plane; 2],
    scaling: Option<&Scaling>,
    lowered: (usize, usize),
) -> Result<(), Error> {
    let (height, width) = luma.size();
    let size = (height.div_ceil(lowered.0), width.div_ceil(lowered.1));
    let fits = scaling.is_none_or(|s| {
        (s.input_size(), s.output_size()) == (luma.size(), size) && (lowered.0 == 2 || s.down.taps() == 1)
    });
    ensure(name, (u.size(), v.size()) == (size, size) && fits, || {
        format!("luma of {:?}, chroma of {:?} and {:?}", luma.size(), u.size(), v.size())
    })?;
    let kind = luma.sample().kind;
    let codes = kind != Kind::F32 && u.sample().kind == kind && v.sample().kind == kind && luma.sample().group == 1;
    let group = (u.sample().group, v.sample().group, u.sample().part, v.sample().part);
    let places = group == (1, 1, 0, 0) || (group == (2, 2, 0, 1) && scaling.is_some());
    ensure(name, codes && places, || format!("{:?} with {:?} and {:?}", luma.sample(), u.sample(), v.sample()))?;
    [luma, u, v].into_iter().try_for_each(|plane| ensure_aligned(name, plane))
}

/// RGB, clamped to 0 to 1, to grey: the first sum of the matrix.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn pack_gray(
    device: &Device,
    image: &Image,
    luma: &Plane,
    matrix: &Affine,
    flag: &Buffer,
) -> Result<Launch, Error> {
    let name = "pack_gray_f32";
    check_image(name, image, 3, luma, flag)?;
    let sample = luma.sample();
    ensure(name, sample.kind != Kind::F32 && sample.group == 1, || format!("{sample:?}"))?;
    ensure_aligned(name, luma)?;
    let arguments = Arguments::default().buffer(image.buffer()).plane(luma).affine(matrix).buffer(flag);
    Launch::new(device, (&SOURCE, name), grid(luma.size(), STRIP, 1), BLOCK, 0, arguments)
}

/// Y from 0 to 1, a picture of one channel, to its codes.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn pack_y(device: &Device, image: &Image, luma: &Plane, flag: &Buffer) -> Result<Launch, Error> {
    let name = "pack_y_f32";
    check_image(name, image, 1, luma, flag)?;
    let sample = luma.sample();
    ensure(name, sample.kind != Kind::F32 && sample.group == 1, || format!("{sample:?}"))?;
    ensure_aligned(name, luma)?;
    let arguments = Arguments::default().buffer(image.buffer()).plane(luma).buffer(flag);
    Launch::new(device, (&SOURCE, name), grid(luma.size(), STRIP, 1), BLOCK, 0, arguments)
}

/// Alpha of the input frame, and how it is resampled.
#[derive(Clone, Copy, Debug)]
pub struct Alpha<'a> {
    /// The component of a packed plane.
    pub plane: &'a Plane,
    /// From the input to the output.
    pub scaling: &'a Scaling,
}

/// A packed target.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Three or four bytes a pixel.
    pub plane: &'a Plane,
    /// Whether blue comes first.
    pub reversed: bool,
}

/// RGB from 0 to 1 to packed pixels. The fourth byte, where there is one, is alpha or 255.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn pack_rgb(
    device: &Device,
    image: &Image,
    target: Packed<'_>,
    alpha: Option<Alpha<'_>>,
    flag: &Buffer,
) -> Result<Launch, Error> {
    let name = if alpha.is_some() { "pack_rgba_f32" } else { "pack_rgb_f32" };
    let Packed { plane, reversed } = target;
    check_image(name, image, 3, plane, flag)?;
    check_packed(name, plane, alpha)?;
    let arguments = Arguments::default().buffer(image.buffer());
    let reversed = u32::from(reversed);
    let Some(Alpha { plane: alpha, scaling }) = alpha else {
        let arguments = arguments.plane(plane).value(reversed).buffer(flag);
        return Launch::new(device, (&SOURCE, name), grid(plane.size(), STRIP, 1), BLOCK, 0, arguments);
    };
    let arguments = arguments.plane(alpha).plane(plane).value(reversed).scaling(scaling).buffer(flag);
    let shared = scaling.shared(name, 1, TILE, (0, 0))?;
    Launch::new(device, (&SOURCE, name), grid(plane.size(), TILE, 1), BLOCK, shared, arguments)
}

/// What goes round a luma network on RGB, at the size of the input, and how it is raised.
#[derive(Clone, Copy, Debug)]
pub struct Raised<'a> {
    /// Cb and Cr, planes of f32.
    pub chroma: [&'a Plane; 2],
    /// Alpha, a component of a packed plane.
    pub alpha: Option<&'a Plane>,
    /// From the input to the output.
    pub scaling: &'a Scaling,
}

/// Y at the size of the output with Cb and Cr at the size of the input to packed pixels. The matrix gives RGB from 0 to 1.
/// The fourth byte, where there is one, is alpha or 255.
///
/// # Errors
/// [`Error::Shape`] if sizes or samples do not fit.
pub fn pack_luma(
    device: &Device,
    luma: &Image,
    raised: Raised<'_>,
    matrix: &Affine,
    target: Packed<'_>,
    flag: &Buffer,
) -> Result<Launch, Error> {
    let Raised { chroma, alpha, scaling } = raised;
    let Packed { plane, reversed } = target;
    let (name, components) = if alpha.is_some() { ("pack_luma_rgba_f32", 3) } else { ("pack_luma_rgb_f32", 2) };
    check_image(name, luma, 1, plane, flag)?;
    check_packed(name, plane, alpha.map(|plane| Alpha { plane, scaling }))?;
    let sizes = (scaling.input_size(), scaling.output_size());
    let fits = chroma.iter().all(|c| c.sample() == Sample::F32 && c.size() == sizes.0);
    ensure(name, fits && sizes.1 == plane.size(), || {
        format!("chroma of {:?} and tables of {sizes:?} to {:?}", chroma.map(Plane::size), plane.size())
    })?;
    let mut arguments = Arguments::default().buffer(luma.buffer()).plane(chroma[0]).plane(chroma[1]);
    if let Some(alpha) = alpha {
        arguments = arguments.plane(alpha);
    }
    let arguments = arguments.plane(plane).value(u32::from(reversed)).affine(matrix).scaling(scaling).buffer(flag);
    let shared = scaling.shared(name, components, TILE, (0, 0))?;
    Launch::new(device, (&SOURCE, name), grid(plane.size(), TILE, 1), BLOCK, shared, arguments)
}

fn check_packed(name: &'static str, target: &Plane, alpha: Option<Alpha<'_>>) -> Result<(), Error> {
    let sample = target.sample();
    let packed = sample.kind == Kind::U8 && matches!(sample.group, 3 | 4) && sample.part == 0;
    ensure(name, packed && (alpha.is_none() || sample.group == 4), || format!("{sample:?}"))?;
    let Some(Alpha { plane, scaling }) = alpha else { return Ok(()) };
    let fits = plane.size() == scaling.input_size() && target.size() == scaling.output_size();
    ensure(name, fits && plane.sample().kind == Kind::U8, || {
        format!("alpha {:?} of {:?} to {:?}", plane.sample(), plane.size(), target.size())
    })
}

fn check_image(name: &'static str, image: &Image, channels: usize, plane: &Plane, flag: &Buffer) -> Result<(), Error> {
    let (height, width) = plane.size();
    ensure(name, image.shape() == (channels, height, width), || format!("{:?} to {height}x{width}", image.shape()))?;
    ensure(name, flag.bytes() == 4, || format!("a flag of {} bytes", flag.bytes()))
}
