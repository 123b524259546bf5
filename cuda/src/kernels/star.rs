//! The first half of a residual module of SDAN: star distillation between two layer norms, and the projection into the
//! attention that follows.

use bytemuck::cast_slice;

use super::constants::Constants;
use super::slice::{SLICE, Weights, argument_words, is_same};
use super::video::ensure;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::{Device, Error, Map};

static SOURCE: Source = source!("star");

const NAME: &str = "star";
const BLOCK: u32 = 512;
/// Columns that a block puts out.
const COLUMNS: usize = 28;
/// Rows of a tile that are output: of the first, and of those that follow on it.
const ROWS: (usize, usize) = (12, 14);
/// Bytes of a row of a tile in shared memory, 32 pixels of 16 channels, and those of a pixel.
const LINE: usize = 32 * PIXEL;
const PIXEL: usize = 32;
const STEPS: usize = 2;
/// Channels that a step sets aside.
const DISTILLED: usize = 16;

/// One step of the star.
#[derive(Clone, Copy, Debug)]
pub struct StarStep<'a> {
    /// 1x1 to 16 channels set aside, then a, then b.
    pub pointwise: Weights<'a>,
    /// 3x3 of b.
    pub depthwise: Weights<'a>,
}

/// All of its weights.
#[derive(Clone, Copy, Debug)]
pub struct StarWeights<'a> {
    /// Layer norm before the star.
    pub norm: Weights<'a>,
    /// Its steps.
    pub steps: [StarStep<'a>; STEPS],
    /// 1x1 from what the steps set aside, then r.
    pub out: Weights<'a>,
    /// Layer norm of the result.
    pub next_norm: Weights<'a>,
    /// 1x1 before the GELU.
    pub project_in: Weights<'a>,
}

/// Weights on a device.
#[derive(Clone, Debug)]
pub struct Star {
    dim: usize,
    constants: Constants,
}

/// Whether there is a kernel for so many channels, steps, and channels that a step sets aside.
pub fn is_supported(dim: usize, steps: usize, distilled: usize) -> bool {
    matches!(dim, 32 | 48) && steps == STEPS && distilled == DISTILLED
}

impl Star {
    /// Of `norm.bias.len()` channels.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no kernel for it, [`Error::Memory`].
    ///
    /// # Panics
    /// If weights are not as many as they should be.
    pub fn new(device: &Device, weights: &StarWeights<'_>) -> Result<Self, Error> {
        let StarWeights { norm, steps, out, next_norm, project_in } = weights;
        let dim = norm.bias.len();
        ensure(NAME, is_supported(dim, STEPS, DISTILLED), || format!("no kernel for {dim} channels"))?;
        norm.expect(dim, 1);
        next_norm.expect(dim, 1);
        out.expect(dim, STEPS * DISTILLED + dim);
        project_in.expect(dim, dim);
        let (mut fragments, mut taps) = (Vec::new(), Vec::new());
        let mut table = [norm.weight, norm.bias].concat();
        for step in steps {
            step.pointwise.expect(DISTILLED + 2 * dim, dim);
            step.depthwise.expect(dim, 9);
            fragments.extend(step.pointwise.fragments(dim));
            table.extend(step.pointwise.bias);
            for slice in 0..dim / SLICE {
                taps.extend(step.depthwise.taps(slice));
                taps.extend(step.depthwise.slice_bias(slice));
            }
        }
        fragments.extend(out.fragments(STEPS * DISTILLED + dim));
        fragments.extend(project_in.fragments(dim));
        table.extend([out.bias, next_norm.weight, next_norm.bias, project_in.bias].concat());
        let parts = [cast_slice(&fragments), cast_slice(&taps), cast_slice(&table)];
        Ok(Self { dim, constants: Constants::new(device, &parts)? })
    }

    /// As `Plan` of the kernel has it: two buffers of 16 lines with a pixel before, between and after them, two sets of
    /// lines that are kept and a pixel after each, constants.
    fn shared_bytes(&self) -> usize {
        let (buffers, kept) = (2 * (16 * LINE + PIXEL) + PIXEL, STEPS * self.dim / SLICE * LINE + PIXEL);
        (buffers + 2 * kept).next_multiple_of(128) + self.constants.shared_bytes()
    }

    /// `y = x + star(norm(x))` and `p = GELU(project_in(next_norm(y)))`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the maps are not alike, have other channels, or are not three.
    pub fn launch(&self, x: &Map, y: &Map, p: &Map) -> Result<Launch, Error> {
        let (height, width, channels) = x.shape();
        let alike = [y, p].iter().all(|map| map.shape() == x.shape()) && channels == self.dim;
        ensure(NAME, alike, || format!("maps of {:?}, {:?}, {:?}", x.shape(), y.shape(), p.shape()))?;
        let apart = !is_same(x, y) && !is_same(x, p) && !is_same(y, p);
        ensure(NAME, apart, || "input and outputs must be three maps".into())?;
        let device = x.buffer.device();
        let all = width.div_ceil(COLUMNS) * height;
        let rows = block_rows(all, device.processors() as usize);
        let buffers = [&x.buffer, &y.buffer, &p.buffer, &self.constants.0];
        let words = argument_words(&buffers.map(Some), &[height, width, rows, all]);
        let words: [u32; 12] = words.try_into().expect("StarArguments has 12 words");
        let arguments = buffers.into_iter().fold(Arguments::default().value(words), Arguments::keep);
        let name = if self.dim == 32 { "star_c32_f16" } else { "star_c48_f16" };
        let grid = [all.div_ceil(rows) as u32, 1, 1];
        Launch::new(device, (&SOURCE, name), grid, BLOCK, self.shared_bytes() as u32, arguments)
    }
}

/// Rows of a block, of `all` rows of all strips: whole tiles, as few as keep one block on each processor.
fn block_rows(all: usize, processors: usize) -> usize {
    let (first, next) = ROWS;
    first + all.div_ceil(processors).saturating_sub(first).next_multiple_of(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_tiles_and_no_more_than_processors() {
        for (all, processors) in [(1, 1), (12, 1), (13, 1), (35 * 540, 132), (35 * 540, 28), (70, 132)] {
            let rows = block_rows(all, processors);
            assert!((rows - ROWS.0).is_multiple_of(ROWS.1) && all.div_ceil(rows) <= processors, "{rows} of {all}");
            assert!(rows == ROWS.0 || (rows - ROWS.1) * processors < all, "{rows} of {all} are too many");
        }
    }
}
