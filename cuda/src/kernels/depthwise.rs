//! Depth-wise convolutions of any size.

use super::channels::{CHUNK, Channels};
use super::video::halves;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::{Buffer, Device, Error};

static SOURCE: Source = source!("depthwise");

const NAME: &str = "depthwise_f16";
const BLOCK: u32 = 128;
/// Pixels of a column that a thread makes.
const ROWS: usize = 4;

/// A depth-wise convolution's shape: rows and columns of its kernel, odd, and pixels from tap to tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Pixels from tap to tap, along both axes.
    pub dilation: usize,
}

/// Kernels on a device.
#[derive(Clone, Debug)]
pub struct Depthwise {
    channels: usize,
    window: Window,
    /// `[rows][columns][channels]`, channels padded to whole chunks.
    weight: Buffer,
    bias: Buffer,
}

impl Depthwise {
    /// Of `bias.len()` channels; `weight` is `[channels][rows][columns]`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    ///
    /// # Panics
    /// If there are not as many weights, or the window has no middle.
    pub fn new(device: &Device, window: Window, weight: &[f32], bias: &[f32]) -> Result<Self, Error> {
        let channels = bias.len();
        let taps = window.rows * window.columns;
        assert_eq!(weight.len(), channels * taps, "a kernel of {window:?} for each of {channels} channels");
        assert!(window.rows % 2 == 1 && window.columns % 2 == 1 && window.dilation > 0, "{window:?} has no middle");
        let padded = channels.next_multiple_of(CHUNK);
        let mut table = vec![0.0; taps * padded];
        for (channel, kernel) in weight.chunks_exact(taps).enumerate() {
            for (tap, &value) in kernel.iter().enumerate() {
                table[tap * padded + channel] = value;
            }
        }
        let mut offsets = bias.to_vec();
        offsets.resize(padded, 0.0);
        let (weight, bias) = (Buffer::from_slice(device, &table)?, Buffer::from_slice(device, &offsets)?);
        Ok(Self { channels, window, weight, bias })
    }

    /// The convolution of some channels, plus the residual where there is one. The residual may be the output.
    ///
    /// # Errors
    /// [`Error::Shape`] if the operands are not alike or not as many channels as there are kernels, or if the output is
    /// the input.
    pub fn launch(
        &self,
        input: Channels<'_>,
        residual: Option<Channels<'_>>,
        output: Channels<'_>,
    ) -> Result<Launch, Error> {
        let refuse = |reason: String| Err(Error::Shape { kernel: NAME, reason });
        output.ensure_like(NAME, &[input])?;
        output.ensure_like(NAME, residual.as_slice())?;
        if output.count != self.channels {
            return refuse(format!("{} channels for {} kernels", output.count, self.channels));
        }
        if output.map.buffer.address() == input.map.buffer.address() {
            return refuse("it cannot be done in place".into());
        }
        let (height, width, chunks) = (output.map.height, output.map.width, output.chunks());
        let Window { rows, columns, dilation } = self.window;
        let numbers = [height, width, chunks, 0, self.channels, rows, columns, dilation].map(|v| v as u32);
        // `DepthwiseArguments` of the kernel, as words.
        let mut words = [0u32; 24];
        words[..4].copy_from_slice(&input.words());
        words[4..8].copy_from_slice(&output.words());
        words[8..12].copy_from_slice(&residual.map_or([0; 4], |r| r.words()));
        words[12..14].copy_from_slice(&halves(self.weight.address()));
        words[14..16].copy_from_slice(&halves(self.bias.address()));
        words[16..].copy_from_slice(&numbers);
        let mut arguments = Arguments::default().value(words).keep(&self.weight).keep(&self.bias);
        for operand in [Some(input), Some(output), residual].into_iter().flatten() {
            arguments = arguments.keep(&operand.map.buffer);
        }
        let grid = [(width * chunks).div_ceil(BLOCK as usize) as u32, height.div_ceil(ROWS) as u32, 1];
        Launch::new(input.map.buffer.device(), (&SOURCE, NAME), grid, BLOCK, 0, arguments)
    }
}
