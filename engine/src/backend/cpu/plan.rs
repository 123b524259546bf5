//! Which operations run together, row by row, and where every value lies.
//!
//! Operations on rows that follow each other form a segment. A band of rows goes through all of a segment's operations at
//! once: each value lives in a ring of the few rows that its readers look at, and each operation runs ahead of its readers by
//! as many rows as they look down (its lead). Only what a later segment reads becomes a frame. At the ends of a band the
//! leading rows are computed twice, by both neighbours; so segments are cut before leads grow out of proportion.

use super::kernels::vertical::ROWS;
use super::line::Line;
use super::lower::{Kernel, Program, RowKernel, View};

/// Where the rows of a value lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a ring of the worker: its number, and how many rows it holds.
    Ring(usize, usize),
    /// In a frame.
    Slot(usize),
}

/// An input of a stage.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Where its rows lie.
    pub place: Place,
    /// Values from one row to the next.
    pub row_len: usize,
    /// Number of rows.
    pub height: usize,
    /// First value of the view in a row.
    pub first: usize,
    /// Values of the view.
    pub len: usize,
}

/// One operation in its segment.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Which operation.
    pub op: usize,
    /// Rows ahead of the segment's last operation.
    pub lead: usize,
    /// Where the inputs lie.
    pub inputs: Vec<Source>,
    /// Where the result goes while the segment needs it: a ring, or straight to a frame that only later ones read.
    pub target: Place,
    /// The frame that it is copied to besides, if any.
    pub copy: Option<usize>,
    /// Values of a row of the result; several picture rows after a pixel shuffle.
    pub row_len: usize,
    /// Picture rows of a row of the result.
    pub group: usize,
    /// Geometry of the result's lines.
    pub line: Line,
    /// True for the result of the network.
    pub leaves: bool,
}

/// Operations that run together.
#[derive(Clone, Debug)]
pub struct Segment {
    /// In the order of execution.
    pub stages: Vec<Stage>,
    /// Rows of the frame that it runs over.
    pub height: usize,
    /// Rows of a band.
    pub band: usize,
}

/// A segment, or an operation on frames.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Operations on rows.
    Segment(Segment),
    /// An operation on frames, where its inputs lie, and where its result goes.
    Frame(usize, Vec<Source>, Option<usize>),
}

/// Everything that is decided before the first frame.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// In the order of execution.
    pub phases: Vec<Phase>,
    /// Values of every frame.
    pub slots: Vec<usize>,
    /// Values of every ring of a worker.
    pub rings: Vec<usize>,
    /// The frame that holds the network's result, where no segment makes it.
    pub result: Option<usize>,
}

/// Rows of a band, for that many threads: two bands a thread, so that a thread which started late does not hold up all, but
/// not so low that doubled rows cost more than that. Blocks of rows are not parted.
fn band_rows(height: usize, threads: usize) -> usize {
    height.div_ceil(2 * threads).max(8).next_multiple_of(ROWS)
}

/// The longest lead, in rows, at which steps are still joined: doubled rows are then some 10 % of a band.
fn lead_limit(band: usize) -> usize {
    (band / 12).max(4)
}

impl Layout {
    /// Lays out a program for that many threads.
    pub fn new(program: &Program, threads: usize) -> Self {
        let parts = parts(program, threads);
        let mut layout = Builder {
            program,
            phase_of: vec![0; program.ops.len()],
            last: vec![],
            layout: Self::default(),
            slot_of: vec![None; program.values.len()],
            free: vec![],
        };
        layout.liveness(&parts);
        for (i, part) in parts.iter().enumerate() {
            layout.phase(i, part, threads);
        }
        let kept = layout.last[program.output] == Some(usize::MAX);
        layout.layout.result = layout.slot_of[program.output].filter(|_| kept);
        layout.layout
    }
}

/// Rows of `value` for each row of a segment of that height; none if it is not a multiple.
fn group(program: &Program, value: usize, height: usize) -> Option<usize> {
    let rows = program.values[value].height;
    rows.is_multiple_of(height).then_some(rows / height)
}

/// Height of the frame that an operation runs over.
fn base_height(program: &Program, op: usize) -> usize {
    let op = &program.ops[op];
    match op.inputs.first() {
        Some(view) => program.values[view.value].height,
        None => op.output.map_or(1, |v| program.values[v].height),
    }
}

/// Operations by phase.
fn parts(program: &Program, threads: usize) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut current: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < program.ops.len() {
        let end = unit_end(program, at);
        let unit: Vec<usize> = (at..end).collect();
        at = end;
        if matches!(program.ops[unit[0]].kernel, Kernel::Frame(_)) {
            parts.extend((!current.is_empty()).then(|| std::mem::take(&mut current)));
            parts.push(unit);
            continue;
        }
        let joined = [&current[..], &unit[..]].concat();
        if current.is_empty() || fits(program, &current, &joined, threads) {
            current = joined;
        } else {
            parts.push(std::mem::replace(&mut current, unit));
        }
    }
    parts.extend((!current.is_empty()).then_some(current));
    parts
}

/// End of the operations from `at` on that are not parted: one on frames, or all on rows of the same step. A layer norm is
/// not parted from what reads it: its own input is often read there, too, and one frame is less to move than two.
fn unit_end(program: &Program, at: usize) -> usize {
    let first = &program.ops[at];
    match first.kernel {
        Kernel::Frame(_) => at + 1,
        Kernel::Row(RowKernel::LayerNorm(_)) if is_read_next(program, at) => unit_end(program, at + 1),
        Kernel::Row(_) => {
            let same = |op: &super::lower::Op| op.step == first.step && matches!(op.kernel, Kernel::Row(_));
            at + program.ops[at..].iter().take_while(|op| same(op)).count()
        }
    }
}

/// Whether the next operation is on rows and reads the result of this one.
fn is_read_next(program: &Program, at: usize) -> bool {
    program.ops.get(at + 1).is_some_and(|next| {
        let reads = next.inputs.iter().any(|view| Some(view.value) == program.ops[at].output);
        reads && matches!(next.kernel, Kernel::Row(_))
    })
}

/// Whether operations can run together, and should: where nothing runs further ahead than in those that do already, always.
fn fits(program: &Program, already: &[usize], ops: &[usize], threads: usize) -> bool {
    let height = base_height(program, ops[0]);
    let possible = ops.iter().all(|&op| match &program.ops[op].kernel {
        // Operations on the rows of a pixel shuffle take them in groups, so they must not look at other rows.
        Kernel::Row(RowKernel::Elementwise(_)) => base_height(program, op).is_multiple_of(height),
        Kernel::Row(_) => base_height(program, op) == height,
        Kernel::Frame(_) => false,
    });
    let longest = |ops| leads(program, ops).into_iter().max().unwrap_or(0);
    possible && longest(ops) <= lead_limit(band_rows(height, threads)).max(longest(already))
}

/// Rows that each operation runs ahead, of those its readers need.
fn leads(program: &Program, ops: &[usize]) -> Vec<usize> {
    let mut leads = vec![0; ops.len()];
    for reader in (0..ops.len()).rev() {
        for (i, view) in program.ops[ops[reader]].inputs.iter().enumerate() {
            let Kernel::Row(kernel) = &program.ops[ops[reader]].kernel else { continue };
            let needed = leads[reader] + kernel.reach(i);
            if let Some(maker) = (0..reader).find(|&k| program.ops[ops[k]].output == Some(view.value)) {
                leads[maker] = leads[maker].max(needed);
            }
        }
    }
    leads
}

struct Builder<'p> {
    program: &'p Program,
    /// The phase that makes each value's operation.
    phase_of: Vec<usize>,
    /// The last phase that reads each value; none where only its own segment does.
    last: Vec<Option<usize>>,
    layout: Layout,
    slot_of: Vec<Option<usize>>,
    /// Frames that are free.
    free: Vec<usize>,
}

impl Builder<'_> {
    fn line(&self, value: usize) -> Line {
        Line::new(self.program.values[value].width, self.program.reach)
    }

    /// Values of a row of one picture row.
    fn row_len(&self, value: usize) -> usize {
        let v = self.program.values[value];
        v.channels * if v.tokens { v.width } else { self.line(value).stride }
    }

    fn liveness(&mut self, parts: &[Vec<usize>]) {
        for (phase, part) in parts.iter().enumerate() {
            for &op in part {
                self.phase_of[op] = phase;
            }
        }
        let mut made = vec![0; self.program.values.len()];
        self.last = vec![None; self.program.values.len()];
        for (i, op) in self.program.ops.iter().enumerate() {
            for view in &op.inputs {
                let frame = matches!(op.kernel, Kernel::Frame(_));
                if made[view.value] != self.phase_of[i] || frame {
                    self.last[view.value] = Some(self.phase_of[i]);
                }
            }
            if let Some(output) = op.output {
                made[output] = self.phase_of[i];
                if matches!(op.kernel, Kernel::Frame(_)) && output == self.program.output {
                    self.last[output] = Some(usize::MAX);
                }
            }
        }
    }

    fn phase(&mut self, index: usize, part: &[usize], threads: usize) {
        let outputs: Vec<usize> = part.iter().filter_map(|&op| self.program.ops[op].output).collect();
        for value in outputs {
            if self.last[value].is_some() {
                let v = self.program.values[value];
                self.slot_of[value] = Some(self.allocate(v.height * self.row_len(value)));
            }
        }
        let phase = match self.program.ops[part[0]].kernel {
            Kernel::Frame(_) => {
                let op = &self.program.ops[part[0]];
                let inputs = op.inputs.iter().map(|v| self.source(v, &[], 1)).collect();
                Phase::Frame(part[0], inputs, op.output.and_then(|v| self.slot_of[v]))
            }
            Kernel::Row(_) => Phase::Segment(self.segment(part, threads)),
        };
        self.layout.phases.push(phase);
        for value in 0..self.program.values.len() {
            if self.last[value] == Some(index) {
                self.free.extend(self.slot_of[value]);
            }
        }
    }

    /// The smallest free frame that is large enough, else the largest that there is, made larger.
    fn allocate(&mut self, len: usize) -> usize {
        let slots = &mut self.layout.slots;
        let fitting = self.free.iter().filter(|&&s| slots[s] >= len).min_by_key(|&&s| slots[s]);
        let choice = fitting.or_else(|| self.free.iter().max_by_key(|&&s| slots[s])).copied();
        match choice {
            Some(slot) => {
                self.free.retain(|&s| s != slot);
                slots[slot] = slots[slot].max(len);
                slot
            }
            None => {
                slots.push(len);
                slots.len() - 1
            }
        }
    }

    /// `rings` holds the ring of each value of the segment.
    fn source(&self, view: &View, rings: &[(usize, Place)], group: usize) -> Source {
        let v = self.program.values[view.value];
        let unit = self.row_len(view.value) / v.channels;
        let ring = rings.iter().find(|(value, _)| *value == view.value).map(|(_, place)| *place);
        let place = ring.or_else(|| self.slot_of[view.value].map(Place::Slot));
        let whole = view.channels == v.channels;
        assert!(group == 1 || whole, "rows in groups are read whole");
        Source {
            place: place.expect("a value that is read lies in a ring or in a frame"),
            row_len: group * self.row_len(view.value),
            height: v.height / group,
            first: view.first * unit,
            len: group * view.channels * unit,
        }
    }

    fn segment(&mut self, part: &[usize], threads: usize) -> Segment {
        let program = self.program;
        let height = base_height(program, part[0]);
        let leads = leads(program, part);
        let mut rings: Vec<(usize, Place)> = Vec::new();
        let mut stages = Vec::new();
        for (k, &op) in part.iter().enumerate() {
            let kernel = &program.ops[op];
            let group_of = |value| group(program, value, height).expect("a segment's values have whole groups of rows");
            let inputs = kernel.inputs.iter().map(|view| self.source(view, &rings, group_of(view.value))).collect();
            let value = kernel.output.expect("an operation on rows makes a value");
            let row_len = group_of(value) * self.row_len(value);
            let (slot, leaves) = (self.slot_of[value], value == program.output);
            let depth = depth(program, part, &leads, k);
            let in_blocks = block(program, op) > 1;
            let target = match slot {
                Some(slot) if depth == 0 && !leaves && !in_blocks => Place::Slot(slot),
                _ => {
                    let (number, depth) = (rings.len(), depth.max(1) + block(program, op) - 1);
                    let place = Place::Ring(number, depth);
                    rings.push((value, place));
                    if self.layout.rings.len() <= number {
                        self.layout.rings.push(0);
                    }
                    self.layout.rings[number] = self.layout.rings[number].max(depth * row_len);
                    place
                }
            };
            let copy = slot.filter(|_| !matches!(target, Place::Slot(_)));
            let (group, line) = (group_of(value), self.line(value));
            stages.push(Stage { op, lead: leads[k], inputs, target, copy, row_len, group, line, leaves });
        }
        Segment { stages, height, band: band_rows(height, threads) }
    }
}

/// Rows that an operation computes at a time.
fn block(program: &Program, op: usize) -> usize {
    match &program.ops[op].kernel {
        Kernel::Row(kernel) => kernel.block(),
        Kernel::Frame(_) => 1,
    }
}

/// Rows that a ring has to hold for the readers in its segment; 0 if there are none.
fn depth(program: &Program, part: &[usize], leads: &[usize], maker: usize) -> usize {
    let value = program.ops[part[maker]].output;
    let mut depth = 0;
    for (k, &op) in part.iter().enumerate().skip(maker + 1) {
        let Kernel::Row(kernel) = &program.ops[op].kernel else { continue };
        for (i, view) in program.ops[op].inputs.iter().enumerate() {
            if Some(view.value) == value {
                depth = depth.max(leads[maker] - leads[k] + kernel.reach(i) + 1);
            }
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::lower::Products;
    use crate::network::{Network, Preset};

    /// The farthest that a step of a preset looks is 15 rows up and down (SDAN's large kernels).
    #[test]
    fn rings_are_no_deeper_than_a_step_needs() {
        for (name, preset) in Preset::named(2) {
            if name == "dlsn" {
                // As dlsn-light, but large.
                continue;
            }
            let program = Program::new(&Network::random(preset, 2, 1), 360, 16, Products::Floats);
            for threads in [1, 2, 8] {
                let layout = Layout::new(&program, threads);
                let segments = layout.phases.iter().filter_map(|phase| match phase {
                    Phase::Segment(segment) => Some(segment),
                    Phase::Frame(..) => None,
                });
                let depths = segments.flat_map(|segment| &segment.stages).map(|stage| match stage.target {
                    Place::Ring(_, depth) => depth,
                    Place::Slot(_) => 0,
                });
                let deepest = depths.max().unwrap_or(0);
                assert!(deepest <= 32, "{name} on {threads} threads: {deepest} rows");
            }
        }
    }
}
