//! What the kernels of frames take: planes, tables of taps, matrices.

use std::sync::Arc;

use crate::launch::Arguments;
use crate::view::{Kind, Plane, Sample};
use crate::{Buffer, Device, Error};

/// Threads of a block of every kernel of frames.
pub(super) const BLOCK: u32 = 256;

/// Pixels of a block of the kernels that resample: width and height.
pub(super) const TILE: (usize, usize) = (64, 16);

/// Pixels of a block of the kernels that do not: width and height.
pub(super) const STRIP: (usize, usize) = (256, 4);

/// Columns of input in shared memory, `PITCH` of `kernels/common/separable.cuh`.
const PITCH: usize = 80;

/// Three sums `m[0] * x + m[1] * y + m[2] * z + m[3]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [[f32; 4]; 3]);

/// `Plane` of `kernels/common/sample.cuh`, as words.
pub(crate) fn plane_words(plane: &Plane) -> [u32; 10] {
    let Sample { kind, shift, group, part, max } = plane.sample;
    let [low, high] = halves(plane.buffer.address());
    let kind = match kind {
        Kind::U8 => 0,
        Kind::U16 => 1,
        Kind::F32 => 2,
    };
    let size = [plane.pitch, plane.width, plane.height].map(|v| v as u32);
    let [pitch, width, height] = size;
    [low, high, pitch, width, height, kind, shift, group as u32, part as u32, (max as f32).to_bits()]
}

/// An address as devices have it in memory.
pub(super) fn halves(address: u64) -> [u32; 2] {
    [address as u32, (address >> 32) as u32]
}

impl Arguments {
    /// A plane as a structure, whose buffer the launch keeps.
    pub(crate) fn plane(self, plane: &Plane) -> Self {
        self.keep(&plane.buffer).value(plane_words(plane))
    }

    /// A matrix as a structure.
    pub(super) fn affine(self, affine: &Affine) -> Self {
        self.value(affine.0)
    }
}

/// The taps of one axis: output j is the sum over t of `weights[j * taps + t] * input[starts[j] + t]`.
#[derive(Clone, Debug)]
pub struct Taps {
    inputs: usize,
    taps: usize,
    starts: Arc<[u32]>,
    device_starts: Buffer,
    weights: Buffer,
    /// Weights for `kernels/enlarge.cu`, by the factor.
    enlarging: Arc<[(usize, Buffer)]>,
}

impl Taps {
    /// Brings the tables of an axis of `inputs` samples to a device. There is a start for every output; all its taps lie
    /// within the input.
    ///
    /// # Errors
    /// [`Error::Shape`] if a tap is outside the input, starts decrease or the tables do not fit together.
    pub fn new(device: &Device, inputs: usize, starts: &[u32], weights: &[f32]) -> Result<Self, Error> {
        let refuse = |reason: String| Err(Error::Shape { kernel: "taps", reason });
        if starts.is_empty() || weights.is_empty() || !weights.len().is_multiple_of(starts.len()) {
            return refuse(format!("{} weights do not divide among {} outputs", weights.len(), starts.len()));
        }
        let taps = weights.len() / starts.len();
        if let Some(bad) = starts.iter().find(|&&start| start as usize + taps > inputs) {
            return refuse(format!("{taps} taps from {bad} on are outside {inputs} inputs"));
        }
        if !starts.is_sorted() {
            return refuse("starts decrease".into());
        }
        // Neighbouring threads work on neighbouring outputs.
        let transposed: Vec<f32> =
            (0..weights.len()).map(|i| weights[i % starts.len() * taps + i / starts.len()]).collect();
        let enlarging = (2..=4).filter_map(|factor| {
            let table = enlarging(factor, inputs, starts, weights)?;
            Some(Buffer::from_slice(device, &table).map(|buffer| (factor, buffer)))
        });
        Ok(Self {
            inputs,
            taps,
            enlarging: enlarging.collect::<Result<Vec<_>, _>>()?.into(),
            starts: starts.into(),
            device_starts: Buffer::from_slice(device, starts)?,
            weights: Buffer::from_slice(device, &transposed)?,
        })
    }

    /// Samples of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Taps of every output.
    pub fn taps(&self) -> usize {
        self.taps
    }

    /// Samples of the output.
    pub fn outputs(&self) -> usize {
        self.starts.len()
    }

    /// The table of `kernels/enlarge.cu` for a factor, if this is one.
    fn enlarging(&self, factor: usize) -> Option<&Buffer> {
        self.enlarging.iter().find(|(f, _)| *f == factor).map(|(_, table)| table)
    }

    /// `Axis` of `kernels/common/separable.cuh`, as words.
    fn words(&self) -> [u32; 6] {
        let ([a, b], [c, d]) = (halves(self.device_starts.address()), halves(self.weights.address()));
        [a, b, c, d, self.taps as u32, self.starts.len() as u32]
    }

    /// The inputs that outputs `first .. first + count` need, as far as there are so many: first and end.
    fn span(&self, first: usize, count: usize) -> (usize, usize) {
        let last = (first + count).min(self.outputs()) - 1;
        (self.starts[first] as usize, self.starts[last] as usize + self.taps)
    }

    /// The most inputs that a tile of `size` outputs needs. `own` is how many inputs beside them belong to an output, or 0;
    /// those of the tile are needed as well. Windows begin at multiples of `step`.
    fn widest(&self, size: usize, own: usize, step: usize) -> usize {
        let tiles = self.outputs().div_ceil(size);
        let width = |n: usize| {
            let (first, end) = self.span(n * size, size);
            let (from, to) = if own == 0 { (first, end) } else { (n * size * own, (n + 1) * size * own) };
            end.max(to.min(self.inputs)) - first.min(from) / step * step
        };
        (0..tiles).map(width).max().unwrap_or(0)
    }
}

/// How far a table of `kernels/enlarge.cu` reaches from the input that an output lies upon, and how long its rows are.
const REACH: usize = 3;
const ENLARGING_ROW: usize = 8;

/// The weights of inputs `j / factor - REACH` to `j / factor + REACH` for every output j; rows up to a whole multiple of
/// the factor are zeros. None unless that is all that outputs need, and weights repeat with the factor away from the
/// edges.
fn enlarging(factor: usize, inputs: usize, starts: &[u32], weights: &[f32]) -> Option<Vec<f32>> {
    let (outputs, taps) = (starts.len(), weights.len() / starts.len());
    if outputs.div_ceil(factor) != inputs {
        return None;
    }
    let mut table = vec![0.0; ENLARGING_ROW * factor * inputs];
    for (j, (&start, weights)) in starts.iter().zip(weights.chunks_exact(taps)).enumerate() {
        for (input, &weight) in (start as usize..).zip(weights).filter(|(_, weight)| **weight != 0.0) {
            let place = (input + REACH).checked_sub(j / factor).filter(|&place| place <= 2 * REACH)?;
            table[j * ENLARGING_ROW + place] = weight;
        }
    }
    // The row that kernels take for all others.
    let common = |j: usize| inputs / 2 * factor + j % factor;
    let inner = REACH * factor..outputs.min(inputs.saturating_sub(REACH) * factor);
    let row = |j: usize| &table[j * ENLARGING_ROW..][..ENLARGING_ROW];
    let alike = |j: usize| row(j).iter().zip(row(common(j))).all(|(a, b)| (a - b).abs() < 1e-6);
    inner.into_iter().all(alike).then_some(table)
}

/// Taps along rows and down columns.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Along the rows.
    pub across: Taps,
    /// Down the columns.
    pub down: Taps,
}

impl Scaling {
    /// Height and width of what goes in.
    pub fn input_size(&self) -> (usize, usize) {
        (self.down.inputs(), self.across.inputs())
    }

    /// Height and width of what comes out.
    pub fn output_size(&self) -> (usize, usize) {
        (self.down.outputs(), self.across.outputs())
    }

    /// The whole factor by which both axes enlarge, and the tables of `kernels/enlarge.cu`, along and down.
    pub(super) fn enlarging(&self) -> Option<(usize, &Buffer, &Buffer)> {
        let tables = |factor| Some((factor, self.across.enlarging(factor)?, self.down.enlarging(factor)?));
        (2..=4).find_map(tables)
    }

    /// Bytes of shared memory of a kernel that resamples `components` to tiles of `width` x `height` outputs; `own` is how
    /// many inputs belong to an output, down and across, where a block needs those too, or 0.
    pub(super) fn shared(
        &self,
        kernel: &'static str,
        components: usize,
        (width, height): (usize, usize),
        own: (usize, usize),
    ) -> Result<u32, Error> {
        let columns = self.across.widest(width, own.1, 4).next_multiple_of(4);
        ensure(kernel, columns <= PITCH, || {
            format!("a block would need {columns} columns of its input, and can have {PITCH}")
        })?;
        // A kernel without a first pass keeps a row for every row of outputs, even below the picture.
        let rows = self.down.widest(height, own.0, 1).max(if self.down.taps == 1 { height } else { 0 });
        Ok((4 * components * PITCH * (height + rows)) as u32)
    }
}

impl Arguments {
    /// Both axes, as the kernels take them.
    pub(super) fn scaling(self, scaling: &Scaling) -> Self {
        let Scaling { across, down } = scaling;
        let keep = |arguments: Self, taps: &Taps| arguments.keep(&taps.device_starts).keep(&taps.weights);
        keep(keep(self, across), down).value(across.words()).value(down.words())
    }
}

/// Blocks of a grid over `(height, width)` outputs.
pub(super) fn grid((height, width): (usize, usize), (columns, rows): (usize, usize), layers: u32) -> [u32; 3] {
    [width.div_ceil(columns) as u32, height.div_ceil(rows) as u32, layers]
}

/// A refusal, unless `holds`.
pub(super) fn ensure(kernel: &'static str, holds: bool, reason: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Shape { kernel, reason: reason() }) }
}

/// A refusal unless rows of a plane begin at whole samples.
pub(super) fn ensure_aligned(kernel: &'static str, plane: &Plane) -> Result<(), Error> {
    let bytes = plane.sample.kind.bytes();
    let aligned = plane.pitch.is_multiple_of(bytes) && plane.buffer.address().is_multiple_of(bytes as u64);
    ensure(kernel, aligned, || format!("rows of {bytes}-byte samples lie {} bytes apart", plane.pitch))
}
