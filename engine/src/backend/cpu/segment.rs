//! Runs a band of rows through a segment.

use std::ops::Range;

use super::dispatch::Isa;
use super::engine::State;
use super::fuse::{Fused, Fusion};
use super::kernels::bfloat;
use super::kernels::bytes;
use super::kernels::conv::{After, Then as ConvThen, conv};
use super::kernels::correlate::correlate;
use super::kernels::depthwise::{Then as DepthwiseThen, depthwise, depthwise_gate};
use super::kernels::dynamic::dynamic_filter;
use super::kernels::elementwise::elementwise;
use super::kernels::norm::layer_norm;
use super::kernels::vertical::{self, Vertical};
use super::kernels::{global, rearrange};
use super::line::{Buffer, Line, TapRoom, Taps};
use super::lower::{Kernel, Program, RowKernel, Then};
use super::plan::{Place, Segment, Source, Stage};
use super::profile::Times;
use super::worker::Worker;
use crate::network::Activation;
use crate::shared::Shared;
use crate::tensor::Tensor;

/// What the bands of a segment share.
pub struct Context<'a> {
    /// What kernels run on.
    pub isa: Isa,
    /// The operations.
    pub program: &'a Program,
    /// Which of them run.
    pub segment: &'a Segment,
    /// What operations on frames have left.
    pub states: &'a [State],
    /// All frames.
    pub slots: &'a [Shared<'a, f32>],
    /// The network's input.
    pub input: &'a Tensor,
    /// Where the time of operations is added up.
    pub times: Option<&'a Times>,
    /// The network's output, and the height and width of its planes.
    pub output: (Shared<'a, f32>, usize, usize),
}

/// Computes the rows of one band.
pub fn run_band(context: &Context<'_>, worker: &mut Worker, band: usize) {
    let segment = context.segment;
    let (first, end) = (band * segment.band, ((band + 1) * segment.band).min(segment.height));
    let longest = segment.stages.iter().map(|stage| stage.lead).max().unwrap_or(0);
    // In step t every stage computes row t + lead, once the first row that its readers need is reached.
    for t in first as isize - 2 * longest as isize..end as isize {
        for stage in &segment.stages {
            let y = t + stage.lead as isize;
            if y >= 0 && y >= first as isize - stage.lead as isize && y < segment.height as isize {
                let y = y as usize;
                let begins = y == first.saturating_sub(stage.lead);
                Times::add(context.times, stage.op, 1, || {
                    run_stage(context, worker, stage, (y, begins), &(first..end))
                });
            }
        }
    }
}

/// Computes a row of one stage, to its ring, its frame or both, or a block of rows where one begins. Rows outside the band's own
/// are the neighbour's to keep.
fn run_stage(
    context: &Context<'_>,
    worker: &mut Worker,
    stage: &Stage,
    (y, begins): (usize, bool),
    band: &Range<usize>,
) {
    let Kernel::Row(kernel) = &context.program.ops[stage.op].kernel else { return };
    let (len, own) = (stage.row_len, band.contains(&y));
    if let RowKernel::Vertical(p, activation, fused) = kernel {
        if begins || y.is_multiple_of(vertical::ROWS) {
            let top = y / vertical::ROWS * vertical::ROWS;
            run_block(context, worker, stage, (kernel, p, *activation, fused.as_ref()), top, band);
        }
        return;
    }
    match stage.target {
        Place::Slot(slot) if own => {
            // SAFETY: bands are apart, and no stage of a segment reads a frame that the segment writes.
            let row = unsafe { context.slots[slot].write(y * len..(y + 1) * len) };
            compute(context, worker, kernel, stage, y, row);
        }
        Place::Slot(_) => {}
        Place::Ring(ring, depth) => {
            let mut buffer = std::mem::take(&mut worker.rings[ring]);
            let row = &mut buffer.as_mut_slice()[y % depth * len..][..len];
            compute(context, worker, kernel, stage, y, row);
            if own {
                keep(context, stage, y, row);
            }
            worker.rings[ring] = buffer;
        }
    }
}

/// Copies a row of the band to its frame and to the network's output, where it goes there.
fn keep(context: &Context<'_>, stage: &Stage, y: usize, row: &[f32]) {
    if let Some(slot) = stage.copy {
        // SAFETY: bands are apart, and no stage of a segment reads a frame that the segment writes.
        unsafe { context.slots[slot].write(y * row.len()..(y + 1) * row.len()) }.copy_from_slice(row);
    }
    if stage.leaves {
        export(context, stage, y, row);
    }
}

/// Computes a block of rows to its ring.
fn run_block(
    context: &Context<'_>,
    worker: &mut Worker,
    stage: &Stage,
    (kernel, p, activation, fused): (&RowKernel, &Vertical, Activation, Option<&Fused>),
    top: usize,
    band: &Range<usize>,
) {
    let Place::Ring(ring, depth) = stage.target else { return };
    let len = stage.row_len;
    let rows = std::array::from_fn(|i| (top + i) % depth * len);
    let mut buffer = std::mem::take(&mut worker.rings[ring]);
    let Worker { rings, taps, zeros, scratch, .. } = worker;
    let inputs = Inputs::new(context, kernel, stage, top, (rings, taps, zeros));
    let lines = inputs.taps.len() - fused.map_or(0, |_| p.cout * vertical::ROWS);
    let after = After { activation, then: inputs.fused(fused, lines) };
    let (taps, out) = (inputs.taps.part(0, lines), buffer.as_mut_slice());
    vertical::vertical(context.isa, taps, p, after, scratch.as_mut_slice(), out, rows);
    for (y, start) in (top..).zip(rows) {
        let row = &mut out[start..][..len];
        stage.line.clear_margins(row);
        if band.contains(&y) {
            keep(context, stage, y, row);
        }
    }
    worker.rings[ring] = buffer;
}

/// Copies a row to the network's output, `[C, H, W]` without margins.
fn export(context: &Context<'_>, stage: &Stage, y: usize, row: &[f32]) {
    let (output, height, width) = &context.output;
    let channels = row.len() / stage.line.stride / stage.group;
    for i in 0..stage.group {
        for c in 0..channels {
            let at = (c * height + y * stage.group + i) * width;
            // SAFETY: every row of the output belongs to one row of the segment, and that to one band.
            let to = unsafe { output.write(at..at + width) };
            to.copy_from_slice(stage.line.pixels(row, i * channels + c));
        }
    }
}

fn compute(context: &Context<'_>, worker: &mut Worker, kernel: &RowKernel, stage: &Stage, y: usize, out: &mut [f32]) {
    let isa = context.isa;
    let Worker { rings, taps, zeros, scratch, .. } = worker;
    if matches!(kernel, RowKernel::Import) {
        for c in 0..context.input.channels {
            let from = &context.input.plane(c)[y * context.input.width..][..context.input.width];
            stage.line.pixels_mut(out, c).copy_from_slice(from);
        }
        return stage.line.clear_margins(out);
    }
    let inputs = Inputs::new(context, kernel, stage, y, (rings, taps, zeros));
    let width = inputs.taps.line().width;
    match kernel {
        RowKernel::Import | RowKernel::Vertical(..) => {}
        RowKernel::Conv(p, activation, fused) => {
            let after = After { activation: *activation, then: inputs.fused(fused.as_ref(), p.lines) };
            conv(isa, inputs.taps.part(0, p.lines), p, 0..width, after, out);
        }
        RowKernel::Bfloat(p, activation, fused) => {
            let after = After { activation: *activation, then: inputs.fused(fused.as_ref(), p.cin) };
            let row = (inputs.taps.part(0, p.cin), 0..width);
            bfloat::conv(isa, row, p, after, scratch.as_mut_slice(), out);
        }
        RowKernel::Bytes(p, activation, fused) => {
            let after = After { activation: *activation, then: inputs.fused(fused.as_ref(), p.cin) };
            let row = (inputs.taps.part(0, p.cin), 0..width);
            bytes::conv(isa, row, p, after, scratch.as_mut_slice(), out);
        }
        RowKernel::Depthwise(p, Then::Gate) => depthwise_gate(isa, inputs.get(0), p, out),
        RowKernel::Depthwise(p, then) => {
            let then = match then {
                Then::Add => DepthwiseThen::Add(inputs.get(1)),
                Then::Star => DepthwiseThen::Star { gate: inputs.get(1), residual: inputs.get(2) },
                Then::Nothing | Then::Gate => DepthwiseThen::Nothing,
            };
            depthwise(isa, inputs.get(0), p, then, out);
        }
        RowKernel::DynamicFilter(p) => {
            dynamic_filter(isa, (inputs.get(0), inputs.get(1)), p, scratch.as_mut_slice(), out)
        }
        RowKernel::LayerNorm(p) => layer_norm(isa, inputs.taps, p, out),
        RowKernel::Elementwise(p) => elementwise(isa, inputs.get(0), inputs.second(), p, out),
        RowKernel::PixelShuffle(factor) => {
            rearrange::pixel_shuffle(isa, inputs.get(0), inputs.second(), *factor, stage.line, out);
        }
        RowKernel::Nearest(factor) => rearrange::nearest(inputs.taps, *factor, stage.line, out),
        RowKernel::ToTokens => return rearrange::to_tokens(inputs.taps, out),
        RowKernel::Correlate(p) => correlate(isa, inputs.taps, p, stage.line, out),
        RowKernel::Windows(state, fused) => {
            let lines = inputs.counts[0];
            let after = After { activation: Activation::None, then: inputs.fused(fused.as_ref(), lines) };
            if let State::Windows(state) = &context.states[*state] {
                let (rows, columns) = (&state.windows.rows, &state.windows.correlation.columns);
                let row = rows.cuts.partition_point(|&cut| cut <= y) - 1;
                for (column, range) in columns.cuts.windows(2).enumerate() {
                    let folded = &state.folded[row * columns.intervals() + column];
                    let part = (inputs.get(0), range[0]..range[1]);
                    folded.conv(isa, part, after, scratch.as_mut_slice(), out);
                }
            }
        }
        RowKernel::Combine(state) => {
            if let State::Rounds(_, rounds, _) = &context.states[*state] {
                global::combine(inputs.taps, rounds, y * width, out);
            }
        }
    }
    stage.line.clear_margins(out);
}

/// The lines that a kernel reads: for each input channel by channel, for each channel the rows from top to bottom.
struct Inputs<'a> {
    taps: Taps<'a>,
    /// Number of lines of each of the first inputs.
    counts: [usize; 3],
}

impl<'a> Inputs<'a> {
    fn new(
        context: &'a Context<'_>,
        kernel: &RowKernel,
        stage: &Stage,
        y: usize,
        (rings, room, zeros): (&'a [Buffer], &'a mut TapRoom, &'a [f32]),
    ) -> Self {
        let op = &context.program.ops[stage.op];
        let line = Line::new(context.program.values[op.inputs[0].value].width, context.program.reach);
        let count = |i: usize| stage.inputs[i].len / line.stride * kernel.rows(i).0;
        let mut counts = [0; 3];
        for (i, slot) in counts.iter_mut().enumerate().take(stage.inputs.len()) {
            *slot = count(i);
        }
        let mut table = room.start((0..stage.inputs.len()).map(count).sum(), line, zeros);
        let mut first = 0;
        for (i, source) in stage.inputs.iter().enumerate() {
            let (rows, distance) = kernel.rows(i);
            if let Place::Slot(slot) = source.place {
                // What the next row, or block of rows, reads besides.
                let start = (y + kernel.reach(i) + 1) * source.row_len + source.first;
                let len = (kernel.block() - 1) * source.row_len + source.len;
                context.slots[slot].prefetch(start..start + len);
            }
            for tap in 0..rows {
                let row = (y + tap * distance).checked_sub(kernel.above(i)).filter(|&row| row < source.height);
                if let Some(row) = row {
                    table.row(first + tap, rows, source_row(context, rings, source, row));
                }
            }
            first += count(i);
        }
        Self { taps: table.finish(), counts }
    }

    fn get(&self, input: usize) -> Taps<'a> {
        self.taps.part(self.counts[..input].iter().sum(), self.counts[input])
    }

    /// What a convolution does with the lines after the `first` ones.
    fn fused(&self, fused: Option<&Fused>, first: usize) -> ConvThen<'a> {
        let other = self.taps.part(first, self.taps.len() - first);
        match fused.map(|fused| fused.then) {
            None => ConvThen::Nothing,
            Some(Fusion::Begin) => ConvThen::Begin(other),
            Some(Fusion::Add(scale)) => ConvThen::Add(other, scale),
            Some(Fusion::AddTo(scale)) => ConvThen::AddTo(other, scale),
            Some(Fusion::Mul) => ConvThen::Mul(other),
        }
    }

    fn second(&self) -> Option<Taps<'a>> {
        (self.counts[1] > 0).then(|| self.get(1))
    }
}

/// The view's part of a row.
fn source_row<'a>(context: &'a Context<'_>, rings: &'a [Buffer], source: &Source, y: usize) -> &'a [f32] {
    match source.place {
        Place::Ring(ring, depth) => &rings[ring].as_slice()[y % depth * source.row_len + source.first..][..source.len],
        Place::Slot(slot) => {
            let start = y * source.row_len + source.first;
            // SAFETY: no stage of a segment writes a frame that the segment reads (the plan takes another for results).
            unsafe { context.slots[slot].read(start..start + source.len) }
        }
    }
}
