//! Pixel shuffle of a feature map into a picture.

use super::channels::Channels;
use super::video::ensure;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::{Error, Image};

static SOURCE: Source = source!("shuffle");

const NAME: &str = "pixel_shuffle_f16";

const BLOCK: u32 = 256;

/// Channel `c * factor² + i * factor + j` of pixel (y, x) becomes sample `(factor * y + i, factor * x + j)` of plane `c`.
///
/// # Errors
/// [`Error::Shape`] if the picture is not `factor` times as large, or the channels are not `factor²` a plane.
pub fn pixel_shuffle(input: Channels<'_>, factor: usize, output: &Image) -> Result<Launch, Error> {
    let (height, width) = (input.map.height, input.map.width);
    let (planes, tall, wide) = output.shape();
    let fits = factor > 0
        && (tall, wide) == (factor * height, factor * width)
        && input.count() == planes * factor * factor
        && planes * tall * wide <= u32::MAX as usize;
    ensure(NAME, fits, || {
        format!(
            "{} channels of {width}x{height} do not make {planes} planes of {wide}x{tall} at factor {factor}",
            input.count()
        )
    })?;
    let samples = planes * tall * wide;
    let sizes = [samples, height, width, factor].map(|size| size as u32);
    let arguments = Arguments::default().channels(&input).buffer(output.buffer());
    let arguments = sizes.into_iter().fold(arguments, Arguments::value);
    let blocks = samples.div_ceil(BLOCK as usize) as u32;
    Launch::new(input.map.buffer.device(), (&SOURCE, NAME), [blocks, 1, 1], BLOCK, 0, arguments)
}
