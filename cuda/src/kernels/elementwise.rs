//! Sums and products of feature maps, channel by channel.

use super::channels::Channels;
use crate::Error;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};

static SOURCE: Source = source!("elementwise");

const BLOCK: u32 = 256;

fn launch(name: &'static str, output: &Channels<'_>, arguments: Arguments) -> Result<Launch, Error> {
    let (pixels, chunks) = (output.pixels(), output.chunks());
    let arguments = arguments.value(pixels as u32).value(chunks as u32);
    let blocks = (pixels * chunks).div_ceil(BLOCK as usize) as u32;
    Launch::new(output.map.buffer.device(), (&SOURCE, name), [blocks, 1, 1], BLOCK, 0, arguments)
}

/// `r + min(max(a, 0), 6) * b`. The output may be one of the operands.
///
/// # Errors
/// [`Error::Shape`] if the operands are not alike.
pub fn star_product(r: Channels<'_>, a: Channels<'_>, b: Channels<'_>, output: Channels<'_>) -> Result<Launch, Error> {
    let name = "star_product_f16";
    output.ensure_like(name, &[r, a, b])?;
    let arguments = Arguments::default().channels(&r).channels(&a).channels(&b).channels(&output);
    launch(name, &output, arguments)
}

/// `a * b`. The output may be one of the operands.
///
/// # Errors
/// [`Error::Shape`] if the operands are not alike.
pub fn product(a: Channels<'_>, b: Channels<'_>, output: Channels<'_>) -> Result<Launch, Error> {
    let name = "product_f16";
    output.ensure_like(name, &[a, b])?;
    launch(name, &output, Arguments::default().channels(&a).channels(&b).channels(&output))
}

/// `a + scale * b`. The output may be one of the operands.
///
/// # Errors
/// [`Error::Shape`] if the operands are not alike.
pub fn add(a: Channels<'_>, b: Channels<'_>, scale: f32, output: Channels<'_>) -> Result<Launch, Error> {
    let name = "add_f16";
    output.ensure_like(name, &[a, b])?;
    launch(name, &output, Arguments::default().channels(&a).channels(&b).channels(&output).value(scale))
}
