//! The first half of a residual module of SDAN: star distillation between two layer norms, and the projection into the
//! attention that follows.

use super::slice::{SLICE, Weights, argument_words, is_same};
use super::video::ensure;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::{Buffer, Device, Error, Map};

static SOURCE: Source = source!("star");

const NAME: &str = "star";
const BLOCK: u32 = 512;
/// Columns and rows that a block puts out.
const TILE: (usize, usize) = (28, 12);
/// Two buffers of 32 x 16 pixels of 32 bytes, and a pixel before, between and after them.
const SHARED: u32 = 2 * 32 * 16 * 32 + 3 * 32;
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
    weight: Buffer,
    depthwise: Buffer,
    table: Buffer,
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
        let weight = Buffer::from_slice(device, &fragments)?;
        let (depthwise, table) = (Buffer::from_slice(device, &taps)?, Buffer::from_slice(device, &table)?);
        Ok(Self { dim, weight, depthwise, table })
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
        let buffers = [&x.buffer, &y.buffer, &p.buffer, &self.weight, &self.depthwise, &self.table];
        let words = argument_words(&buffers.map(Some), &[height, width]);
        let words: [u32; 14] = words.try_into().expect("StarArguments has 14 words");
        let arguments = buffers.into_iter().fold(Arguments::default().value(words), Arguments::keep);
        let name = if self.dim == 32 { "star_c32_f16" } else { "star_c48_f16" };
        let grid = [width.div_ceil(TILE.0) as u32, height.div_ceil(TILE.1) as u32, 1];
        Launch::new(x.buffer.device(), (&SOURCE, name), grid, BLOCK, SHARED, arguments)
    }
}
