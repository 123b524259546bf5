//! The second half of a residual module of SDAN: the large-kernel attention after its projection, the residual, and the
//! module's share in the sum over all modules.

use bytemuck::cast_slice;

use super::constants::Constants;
use super::slice::{SLICE, Weights, argument_words, is_same};
use super::video::ensure;
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::{Buffer, Device, Error, Map};

static SOURCE: Source = source!("large_kernel");

const NAME: &str = "large_kernel";
/// Rows that a block finishes at a time.
const ROWS: usize = 2;
/// Bytes of a pixel of a group in shared memory.
const PIXEL: usize = 2 * SLICE;

/// Sizes of the depth-wise convolutions of a group of 16 channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupShape {
    /// Side of the square one.
    pub square: usize,
    /// Taps of the strips, one along the rows and one down the columns.
    pub strip: usize,
    /// Pixels from tap to tap of the strips.
    pub dilation: usize,
}

impl GroupShape {
    /// Pixels from an output to the ends of its strips, both ways together.
    const fn reach(&self) -> usize {
        self.dilation * (self.strip - 1)
    }
}

/// Groups and columns of a block of the kernel with so many channels.
struct Geometry {
    name: &'static str,
    groups: &'static [GroupShape],
    columns: usize,
}

const fn group(square: usize, strip: usize, dilation: usize) -> GroupShape {
    GroupShape { square, strip, dilation }
}

static DIM_32: Geometry =
    Geometry { name: "large_kernel_c32_f16", groups: &[group(3, 7, 1), group(5, 7, 3)], columns: 64 };
static DIM_48: Geometry =
    Geometry { name: "large_kernel_c48_f16", groups: &[group(3, 5, 1), group(5, 7, 2), group(7, 9, 3)], columns: 48 };

impl Geometry {
    fn of(groups: &[GroupShape]) -> Option<&'static Self> {
        [&DIM_32, &DIM_48].into_iter().find(|geometry| geometry.groups == groups)
    }

    /// As `Plan` of the kernel has it, but for the constants: weights, rings of p, `a`, `e`.
    fn shared_bytes(&self) -> usize {
        let of_group = |g: &GroupShape| {
            let wide = self.columns + g.reach();
            let taps = g.square * g.square + 2 * g.strip + 3;
            // The even pixels of the ring, then the odd ones, 64 bytes beyond a multiple of 128.
            let half = PIXEL * (g.square - 1 + ROWS) * (wide + g.square - 1) / 2;
            PIXEL * (taps + ROWS * wide + ROWS * self.columns) + (half + 63) / 128 * 128 + 64 + half
        };
        self.groups.iter().map(of_group).sum()
    }

    /// Rows that a block goes through before its first output.
    fn warmup(&self) -> usize {
        self.groups.iter().map(|g| g.reach() + g.square - 1).max().unwrap_or(0)
    }

    /// Rows of a strip, a multiple of [`ROWS`], that keep the busiest processor busy for the least time. One block runs
    /// on a processor at a time; a row of warm-up costs about half a row of output.
    fn strip_rows(&self, height: usize, strips: usize, processors: usize) -> usize {
        let rows = |bands: usize| height.div_ceil(bands).next_multiple_of(ROWS);
        let cost = |bands: &usize| {
            let turns = (strips * height.div_ceil(rows(*bands))).div_ceil(processors);
            turns * (2 * rows(*bands) + self.warmup())
        };
        rows((1..=height.div_ceil(ROWS)).min_by_key(cost).unwrap_or(1))
    }
}

/// The depth-wise convolutions of a group.
#[derive(Clone, Copy, Debug)]
pub struct GroupWeights<'a> {
    /// Square.
    pub square: Weights<'a>,
    /// Along the rows.
    pub horizontal: Weights<'a>,
    /// Down the columns.
    pub vertical: Weights<'a>,
}

/// All of its weights.
#[derive(Clone, Copy, Debug)]
pub struct LargeKernelWeights<'a> {
    /// One of each group of 16 channels.
    pub groups: &'a [GroupWeights<'a>],
    /// 1x1 of the groups' results.
    pub mix: Weights<'a>,
    /// 1x1 of the gated values.
    pub project_out: Weights<'a>,
    /// 1x1 of the module's output, its share in the sum over all modules; the bias is that of the whole sum.
    pub fuse: Weights<'a>,
}

/// What becomes of the sum over modules.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// The sum of the modules before; None: it begins at the bias.
    pub before: Option<&'a Map>,
    /// Where the new sum goes, which may be the map of the old one.
    pub output: &'a Map,
    /// Whether this is the last module: GELU of the sum.
    pub last: bool,
}

/// Weights on a device.
#[derive(Clone, Debug)]
pub struct LargeKernel {
    geometry: &'static Geometry,
    constants: Constants,
    depthwise: Buffer,
}

impl std::fmt::Debug for Geometry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Whether there is a kernel for these groups of 16 channels each.
pub fn is_supported(groups: &[GroupShape]) -> bool {
    Geometry::of(groups).is_some()
}

impl LargeKernel {
    /// With groups of these shapes.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no kernel for them, [`Error::Memory`].
    ///
    /// # Panics
    /// If weights are not as many as they should be.
    pub fn new(device: &Device, shapes: &[GroupShape], weights: &LargeKernelWeights<'_>) -> Result<Self, Error> {
        let Some(geometry) = Geometry::of(shapes) else {
            return Err(Error::Shape { kernel: NAME, reason: format!("no kernel for {shapes:?}") });
        };
        assert_eq!(shapes.len(), weights.groups.len(), "weights for each group");
        let mut taps = Vec::new();
        for (shape, group) in shapes.iter().zip(weights.groups) {
            let parts = [group.square, group.horizontal, group.vertical];
            for (part, count) in parts.iter().zip([shape.square * shape.square, shape.strip, shape.strip]) {
                part.expect(SLICE, count);
                taps.extend(part.taps(0));
            }
            taps.extend(parts.iter().flat_map(|part| part.slice_bias(0)));
        }
        let dim = SLICE * shapes.len();
        let (mut fragments, mut table) = (Vec::new(), Vec::<f32>::new());
        for part in [weights.mix, weights.project_out, weights.fuse] {
            part.expect(dim, dim);
            fragments.extend(part.fragments(dim));
            table.extend(part.bias);
        }
        let constants = Constants::new(device, &[cast_slice(&fragments), cast_slice(&table)])?;
        Ok(Self { geometry, constants, depthwise: Buffer::from_slice(device, &taps)? })
    }

    /// `out = y + project_out(p * mix(groups(p)))`, which is written where a map is given (y will do), and the module's
    /// share.
    ///
    /// # Errors
    /// [`Error::Shape`] if the maps are not alike, have other channels, or p or y would be overwritten before its time.
    pub fn launch(&self, p: &Map, y: &Map, out: Option<&Map>, share: Option<Share<'_>>) -> Result<Launch, Error> {
        let (height, width, channels) = p.shape();
        let (before, sum) = (share.and_then(|s| s.before), share.map(|s| s.output));
        let maps = [Some(y), out, before, sum];
        let others = || maps.into_iter().flatten();
        let alike = others().all(|map| map.shape() == p.shape()) && channels == SLICE * self.geometry.groups.len();
        ensure(NAME, alike, || format!("maps of other sizes or channels than {:?}", p.shape()))?;
        let taken = out.is_some_and(|out| sum.is_some_and(|sum| is_same(out, sum)) || is_same(out, p))
            || sum.is_some_and(|sum| is_same(sum, p) || is_same(sum, y));
        ensure(NAME, !taken, || "an output is a map that is still needed".into())?;
        let device = p.buffer.device();
        let strips = width.div_ceil(self.geometry.columns);
        let rows = self.geometry.strip_rows(height, strips, device.processors() as usize);
        let [y, out, before, sum] = maps.map(|map| map.map(|map| &map.buffer));
        let own = [&self.constants.0, &self.depthwise].map(Some);
        let buffers = [[Some(&p.buffer), y, out, before, sum].as_slice(), &own].concat();
        let last = usize::from(share.is_some_and(|s| s.last));
        let words = argument_words(&buffers, &[height, width, rows, last]);
        let words: [u32; 18] = words.try_into().expect("LargeKernelArguments has 18 words");
        let arguments = buffers.into_iter().flatten().fold(Arguments::default().value(words), Arguments::keep);
        let grid = [strips as u32, height.div_ceil(rows) as u32, 1];
        let shared = self.geometry.shared_bytes() + self.constants.shared_bytes();
        let block = 8 * self.geometry.columns;
        Launch::new(device, (&SOURCE, self.geometry.name), grid, block as u32, shared as u32, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_even_and_as_many_as_processors_want() {
        for height in [1, 2, 9, 540, 1081] {
            for (strips, processors) in [(1, 1), (20, 132), (3, 16), (40, 28)] {
                let rows = DIM_48.strip_rows(height, strips, processors);
                assert!(rows > 0 && rows.is_multiple_of(ROWS) && rows < height + ROWS, "{rows} of {height}");
            }
            assert!(DIM_48.strip_rows(height, 1, 1) >= height, "one processor does not gain by several strips");
        }
        // 20 strips of 90 rows keep 120 of 132 processors busy once.
        assert_eq!(DIM_48.strip_rows(540, 20, 132), 90);
    }
}
