//! Layer norm of every pixel.

use super::channels::table;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::Map;
use crate::{Buffer, Device, Error};

static SOURCE: Source = source!("norm");

const NAME: &str = "layer_norm_f16";
/// Threads of a block, and how many of them share a pixel.
const BLOCK: u32 = 128;
const LANES: usize = 4;

/// Factors and offsets of a layer norm on a device.
#[derive(Clone, Debug)]
pub struct Norm {
    channels: usize,
    weight: Buffer,
    bias: Buffer,
}

impl Norm {
    /// Of `weight.len()` channels.
    ///
    /// # Errors
    /// [`Error::Memory`].
    ///
    /// # Panics
    /// If there are not as many offsets as factors.
    pub fn new(device: &Device, weight: &[f32], bias: &[f32]) -> Result<Self, Error> {
        assert_eq!(weight.len(), bias.len(), "a norm has a factor and an offset for each channel");
        Ok(Self { channels: weight.len(), weight: table(device, weight)?, bias: table(device, bias)? })
    }

    /// `(x - mean) / sqrt(variance + 1e-5) * weight + bias` of every pixel over its channels.
    ///
    /// # Errors
    /// [`Error::Shape`] if the maps are not alike or have other channels.
    pub fn launch(&self, input: &Map, output: &Map) -> Result<Launch, Error> {
        let (from, to) = (input.all(), output.all());
        from.ensure_like(NAME, &[to])?;
        if input.channels != self.channels.next_multiple_of(crate::CHANNEL_STEP) {
            let reason = format!("a map of {} channels for a norm of {}", input.channels, self.channels);
            return Err(Error::Shape { kernel: NAME, reason });
        }
        let arguments = Arguments::default()
            .channels(&from)
            .channels(&to)
            .buffer(&self.weight)
            .buffer(&self.bias)
            .value(from.pixels() as u32)
            .value(self.channels as u32)
            .value(from.chunks() as u32);
        let blocks = from.pixels().div_ceil(BLOCK as usize / LANES) as u32;
        Launch::new(input.buffer.device(), (&SOURCE, NAME), [blocks, 1, 1], BLOCK, 0, arguments)
    }
}
