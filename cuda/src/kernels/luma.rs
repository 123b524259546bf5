//! Luma networks: a chain of 3x3 convolutions from the Y plane to the Y plane, in one launch (width 16) or a few.

use half::f16;

use super::fragment::{DEPTH, OUTPUTS, fragment};
use super::video::{ensure, ensure_aligned, halves, plane_words};
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::{Map, Plane};
use crate::{Buffer, Device, Error};

static W16: Source = source!("luma");
static W32: Source = source!("luma_w32");
static W48: Source = source!("luma_w48");

/// In what a network's products are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// f32.
    F32,
    /// f16: twice the rate on GeForce cards, and a little less exact.
    F16,
}

/// One convolution: `weight` is `[outputs][inputs][3][3]`.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Weights.
    pub weight: &'a [f32],
    /// One an output.
    pub bias: &'a [f32],
}

/// A network's weights on a device.
#[derive(Clone, Debug)]
pub struct Luma {
    width: usize,
    depth: usize,
    skip: bool,
    scale: usize,
    head: Buffer,
    body: Buffer,
    tail: Buffer,
    body_bias: Buffer,
    tail_bias: Buffer,
}

/// How the kernels of a width divide the work; see `kernels/luma*.cu`.
struct Geometry {
    source: &'static Source,
    /// Layers of a launch at the most; those of the last one too.
    layers: usize,
    last_layers: usize,
    /// Warps of a layer in the launches before the last, and in the last.
    warps: usize,
    last_warps: usize,
    /// Columns that a block puts out: first launch with one layer and with two, middle ones, the last.
    first: [usize; 2],
    middle: usize,
    last: usize,
}

/// Warps that are source and sink of a chain.
const EDGE_WARPS: usize = 4;
/// Columns of the two tiles that a tail has for its outputs.
const MAX_OUTPUTS: usize = 16;

impl Geometry {
    fn of(width: usize) -> Option<Self> {
        let (source, layers, last_layers) = match width {
            16 => (&W16, 0, 3),
            32 => (&W32, 2, 1),
            48 => (&W48, 1, 1),
            _ => return None,
        };
        let (warps, last_warps) = match width {
            16 => (4, 4),
            32 => (6, 8),
            _ => (12, 12),
        };
        let (first, middle, last) = match width {
            16 => ([0, 0], 0, 56),
            32 => ([44, 44], 46, 60),
            _ => ([62, 62], 64, 60),
        };
        Some(Self { source, layers, last_layers, warps, last_warps, first, middle, last })
    }
}

/// Whether there are kernels for luma networks of a width and depth.
pub fn is_supported(width: usize, depth: usize) -> bool {
    match width {
        16 => (1..=3).contains(&depth),
        _ => Geometry::of(width).is_some() && depth >= 2,
    }
}

impl Luma {
    /// A network whose layers before the tail are the head and `body`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no kernels for it, [`Error::Memory`].
    pub fn new(
        device: &Device,
        head: Layer<'_>,
        body: &[Layer<'_>],
        tail: Layer<'_>,
        scale: usize,
        skip: bool,
    ) -> Result<Self, Error> {
        let (width, depth) = (head.bias.len(), body.len());
        ensure("luma", is_supported(width, depth), || format!("no kernels for a width of {width} and {depth} layers"))?;
        ensure("luma", (2..=4).contains(&scale), || format!("no kernels for scale {scale}"))?;
        ensure("luma", !skip || width > 16, || "no kernels for a skip at width 16".into())?;
        let inner = body.iter().flat_map(|layer| layer_fragments(width, layer, width, Some)).collect::<Vec<_>>();
        let place = |column| tail_output(scale, column);
        let last =
            if scale == 2 { paired_tail(width, &tail) } else { layer_fragments(width, &tail, MAX_OUTPUTS, place) };
        let tail_bias = (0..MAX_OUTPUTS).map(|column| place(column).map_or(0.0, |output| tail.bias[output]));
        let biases: Vec<f32> = body.iter().flat_map(|layer| layer.bias.iter().copied()).collect();
        Ok(Self {
            width,
            depth,
            skip,
            scale,
            head: Buffer::from_slice(device, &head_fragments(&head))?,
            body: Buffer::from_slice(device, &inner)?,
            tail: Buffer::from_slice(device, &last)?,
            body_bias: Buffer::from_slice(device, &biases)?,
            tail_bias: Buffer::from_slice(device, &tail_bias.collect::<Vec<_>>())?,
        })
    }

    /// How many maps of the network's width it needs at a time, for [`Luma::launches`].
    pub fn maps(&self) -> usize {
        match self.cuts().len() {
            1 => 0,
            2 => 1,
            _ => 2,
        }
    }

    /// Channels of those maps.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The whole network. A result that is not finite sets the first word of `flag` to 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if the planes do not fit each other or the maps the input.
    pub fn launches(
        &self,
        input: &Plane,
        output: &Plane,
        maps: &[Map],
        flag: &Buffer,
        sums: Sums,
    ) -> Result<Vec<Launch>, Error> {
        let (height, width) = input.size();
        let sizes = output.size() == (self.scale * height, self.scale * width);
        ensure("luma", sizes, || {
            format!("planes of {:?} and {:?} at scale {}", input.size(), output.size(), self.scale)
        })?;
        ensure("luma", input.sample().kind == output.sample().kind, || "input and output hold other samples".into())?;
        ensure("luma", maps.len() >= self.maps(), || format!("{} maps for {}", maps.len(), self.maps()))?;
        let fit = maps.iter().all(|m| m.shape() == (height, width, self.width));
        ensure("luma", fit, || format!("maps that are not {height}x{width}x{}", self.width))?;
        ensure_aligned("luma", input)?;
        ensure_aligned("luma", output)?;
        let cuts = self.cuts();
        let mut launches = Vec::with_capacity(cuts.len());
        let mut layer = 0;
        for (i, &layers) in cuts.iter().enumerate() {
            let part = Part { layer, layers, first: i == 0, last: i + 1 == cuts.len() };
            let source = (!part.first).then(|| &maps[(i + 1) % 2]);
            let target = (!part.last).then(|| &maps[i % 2]);
            launches.push(self.launch(&part, [input, output], [source, target], flag, sums)?);
            layer += layers;
        }
        Ok(launches)
    }

    /// Layers of each launch.
    fn cuts(&self) -> Vec<usize> {
        let Some(geometry) = Geometry::of(self.width) else { return Vec::new() };
        if geometry.layers == 0 {
            return vec![self.depth];
        }
        let before = self.depth - geometry.last_layers;
        // The first launch takes what the others leave over.
        let first = (before - 1) % geometry.layers + 1;
        let mut cuts = vec![first];
        cuts.resize(1 + (before - first) / geometry.layers, geometry.layers);
        cuts.push(geometry.last_layers);
        cuts
    }

    fn launch(
        &self,
        part: &Part,
        [input, output]: [&Plane; 2],
        maps: [Option<&Map>; 2],
        flag: &Buffer,
        sums: Sums,
    ) -> Result<Launch, Error> {
        let geometry = Geometry::of(self.width).expect("it was made for a width that there are kernels for");
        let device = input.buffer.device();
        let columns = match (part.first, part.last) {
            (_, true) => geometry.last,
            (true, false) => geometry.first[part.layers - 1],
            (false, false) => geometry.middle,
        };
        let (height, width) = input.size();
        let strips = width.div_ceil(columns);
        let convolutions = part.layers + usize::from(part.last);
        let rows = strip_rows(height, strips, convolutions, device.processors() as usize);
        let warps = part.layers * if part.last { geometry.last_warps } else { geometry.warps } + EDGE_WARPS;
        let layer_bytes = 9 * (self.width / DEPTH) * (self.width / OUTPUTS) * 32 * 8;
        let [body, biases] = [
            self.body.part(part.layer * layer_bytes, part.layers * layer_bytes),
            self.body_bias.part(4 * part.layer * self.width, 4 * part.layers * self.width),
        ];
        let [source, target] = maps.map(|map| map.map_or(0, |map| map.buffer.address()));
        let addresses = [source, target, self.head.address(), body.address(), self.tail.address(), biases.address()];
        let mut words = plane_words(input).to_vec();
        words.extend(plane_words(output));
        for address in addresses.into_iter().chain([self.tail_bias.address(), flag.address()]) {
            words.extend(halves(address));
        }
        let skip = usize::from(self.skip && part.last);
        words.extend([width, height, rows, self.scale, part.layers, skip].map(|v| v as u32));
        let words: [u32; 42] = words.try_into().expect("MarchArguments has 42 words");
        let mut arguments = Arguments::default().value(words);
        let own = [&self.head, &body, &self.tail, &biases, &self.tail_bias, flag, &input.buffer, &output.buffer];
        for buffer in own.into_iter().chain(maps.into_iter().flatten().map(|map| &map.buffer)) {
            arguments = arguments.keep(buffer);
        }
        let name = self.kernel(part, sums);
        let grid = [strips as u32, height.div_ceil(rows) as u32, 1];
        Launch::new(device, (geometry.source, name), grid, 32 * warps as u32, 0, arguments)
    }

    fn kernel(&self, part: &Part, sums: Sums) -> &'static str {
        let half = sums == Sums::F16;
        let names = match (self.width, part.first, part.last, self.scale) {
            (16, _, _, 2) => ["luma_w16_x2_f32", "luma_w16_x2_f16"],
            (16, ..) => ["luma_w16_x4_f32", "luma_w16_x4_f16"],
            (32, _, true, 2) => ["luma_w32_last_x2_f32", "luma_w32_last_x2_f16"],
            (32, _, true, _) => ["luma_w32_last_x4_f32", "luma_w32_last_x4_f16"],
            (32, true, ..) => ["luma_w32_first_f32", "luma_w32_first_f16"],
            (32, ..) => ["luma_w32_middle_f32", "luma_w32_middle_f16"],
            (_, _, true, 2) => ["luma_w48_last_x2_f32", "luma_w48_last_x2_f16"],
            (_, _, true, _) => ["luma_w48_last_x4_f32", "luma_w48_last_x4_f16"],
            (_, true, ..) => ["luma_w48_first_f32", "luma_w48_first_f16"],
            _ => ["luma_w48_middle_f32", "luma_w48_middle_f16"],
        };
        names[usize::from(half)]
    }
}

/// The layers of one launch.
struct Part {
    layer: usize,
    layers: usize,
    first: bool,
    last: bool,
}

/// Rows of a strip such that the device is done soonest, with one block at a time on each processor. A chain needs three
/// steps more than rows for each convolution, to fill and to drain.
fn strip_rows(height: usize, strips: usize, convolutions: usize, processors: usize) -> usize {
    let steps = |rows: usize| (rows + 3 * convolutions + 1).next_multiple_of(3);
    let cost = |rows: usize| (strips * height.div_ceil(rows)).div_ceil(processors) * steps(rows);
    (1..=height).min_by_key(|&rows| (cost(rows), height.div_ceil(rows), rows)).unwrap_or(1)
}

/// Fragments of the first layer: its depth of 16 is the 9 taps in rows of four, and the bias as a sum of two f16.
fn head_fragments(head: &Layer<'_>) -> Vec<f16> {
    let weight = |output: usize, row: usize| {
        let bias = head.bias[output];
        let coarse = f16::from_f32(bias).to_f32();
        match row {
            12 => coarse,
            13 => bias - coarse,
            _ if row < 12 && row % 4 < 3 => head.weight[9 * output + row / 4 * 3 + row % 4],
            _ => 0.0,
        }
    };
    (0..head.bias.len() / OUTPUTS)
        .flat_map(|n| fragment(move |row, column| weight(n * OUTPUTS + column, row)))
        .collect()
}

/// Fragments `[ky][kx][inputs / 16][columns / 8]`; `output` says what is in a column, zeros where it is None.
fn layer_fragments(
    inputs: usize,
    layer: &Layer<'_>,
    columns: usize,
    output: impl Fn(usize) -> Option<usize>,
) -> Vec<f16> {
    let mut all = Vec::with_capacity(9 * inputs * columns);
    for tap in 0..9 {
        for slice in 0..inputs / DEPTH {
            for group in 0..columns / OUTPUTS {
                all.extend(fragment(|row, column| {
                    let weight = |output: usize| layer.weight[(output * inputs + slice * DEPTH + row) * 9 + tap];
                    output(group * OUTPUTS + column).map_or(0.0, weight)
                }));
            }
        }
    }
    all
}

/// The output in a column of the tail's two tiles, as `tail.cuh` has them.
fn tail_output(scale: usize, column: usize) -> Option<usize> {
    if scale != 3 {
        return (column < scale * scale).then_some(column);
    }
    let (tile, pair, second) = (column / OUTPUTS, column % OUTPUTS / 2, column % 2);
    let (row, place) = (pair, 2 * tile + second);
    (row < scale && place < scale).then(|| row * scale + place)
}

/// Fragments of a tail of four outputs, which uses a fragment for two kernel rows: columns 0..3 have row i, columns 4..7
/// row i - 1, going round.
fn paired_tail(inputs: usize, tail: &Layer<'_>) -> Vec<f16> {
    let mut all = Vec::new();
    for i in 0..3 {
        for dx in 0..3 {
            for slice in 0..inputs / DEPTH {
                all.extend(fragment(|row, column| {
                    let ky = (i + 3 - column / 4) % 3;
                    tail.weight[((column % 4) * inputs + slice * DEPTH + row) * 9 + 3 * ky + dx]
                }));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::strip_rows;

    #[test]
    fn strips_fill_the_device() {
        // 18 strips side by side: 7 times that is the most that 132 processors take at once.
        assert_eq!(540usize.div_ceil(strip_rows(540, 18, 4, 132)), 7);
        // Two rounds of 27 of 28 processors are better than three rounds of lower strips.
        assert_eq!(strip_rows(540, 18, 4, 28), 180);
        assert_eq!(strip_rows(1, 1, 4, 132), 1);
    }
}
