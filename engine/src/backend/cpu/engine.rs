//! Runs a network that was taken apart and laid out.

use std::sync::Arc;

use rayon::ThreadPool;

use super::dispatch::Isa;
use super::kernels::attend::{ChunkRoom, Tokens, attend};
use super::kernels::global::{self, Round};
use super::kernels::rearrange;
use super::kernels::windows::{Folded, Matrices, fold, fold_scratch, window_matrices};
use super::line::{Buffer, Line, TapRoom};
use super::lower::{FrameKernel, Kernel, Products, Program, RowKernel, StateSpec, Value, Windows};
use super::plan::{Layout, Phase, Place, Source};
use super::pool::Workers;
use super::profile::Times;
use super::segment::{Context, run_band};
use super::worker::Worker;
use crate::network::{GlobalLearnableAttention, Network};
use crate::shared::Shared;
use crate::tensor::Tensor;

/// Tokens that are hashed as one task.
const HASH_BLOCK: usize = 4096;

/// What operations on frames leave for later ones.
#[derive(Debug)]
pub enum State {
    /// SparseGSA.
    Windows(WindowState),
    /// GLA, and one over the norm of every key.
    Rounds(Box<GlobalLearnableAttention>, Vec<Round>, Vec<f32>),
}

/// SparseGSA's matrices, and what they are folded to.
#[derive(Debug)]
pub struct WindowState {
    /// Where the windows are.
    pub windows: Box<Windows>,
    matrices: Vec<f32>,
    /// One convolution for each rectangle between cuts, row by row.
    pub folded: Vec<Folded>,
}

/// A network taken apart and laid out for frames of one size. Lanes share it.
pub struct Prepared {
    isa: Isa,
    program: Program,
    layout: Layout,
    height: usize,
    width: usize,
}

impl Prepared {
    /// Prepares a network for frames of that size and that many threads, its 1x1 convolutions in those numbers.
    pub fn new(
        (isa, products): (Isa, Products),
        threads: usize,
        network: &Network,
        (height, width): (usize, usize),
    ) -> Self {
        let program = Program::new(network, height, width, products);
        let layout = Layout::new(&program, threads);
        Self { isa, program, layout, height, width }
    }

    /// The operations.
    pub fn program(&self) -> &Program {
        &self.program
    }
}

/// Room for one frame at a time of any of some networks: as much as the largest needs.
pub struct Room {
    slots: Vec<Buffer>,
    workers: Workers<Worker>,
}

impl Room {
    /// For those networks, on the threads of a pool.
    pub fn new(pool: Arc<ThreadPool>, networks: &[&Prepared]) -> Self {
        let (slots, rings) = Self::sizes(networks);
        let programs = || networks.iter().map(|p| &p.program);
        let longest = programs().flat_map(|p| p.values.iter().map(|v| Line::new(v.width, p.reach).stride)).max();
        let workers = Workers::new(pool, || Worker {
            rings: rings.iter().map(|&len| Buffer::zeros(len)).collect(),
            taps: TapRoom::default(),
            zeros: vec![0.0; longest.unwrap_or(0)],
            scratch: Buffer::zeros(programs().map(scratch).max().unwrap_or(0)),
            chunks: programs().filter_map(chunk_room).collect(),
        });
        Self { slots: slots.iter().map(|&len| Buffer::zeros(len)).collect(), workers }
    }

    /// Bytes of one, and of what the networks keep for themselves.
    pub fn bytes(threads: usize, networks: &[&Prepared]) -> usize {
        let (slots, rings) = Self::sizes(networks);
        let values = slots.iter().sum::<usize>() + threads * rings.iter().sum::<usize>();
        let own: usize = networks.iter().map(|p| state_bytes(&p.program, threads)).sum();
        size_of::<f32>() * values + own
    }

    /// Values of the slots, and of the rings of a thread.
    fn sizes(networks: &[&Prepared]) -> (Vec<usize>, Vec<usize>) {
        let slots = largest(networks.iter().map(|p| p.layout.slots.as_slice()));
        (slots, largest(networks.iter().map(|p| p.layout.rings.as_slice())))
    }
}

/// The largest of each place.
fn largest<'a>(lengths: impl Iterator<Item = &'a [usize]>) -> Vec<usize> {
    let mut all = Vec::new();
    for lengths in lengths {
        all.resize(all.len().max(lengths.len()), 0);
        for (most, &len) in all.iter_mut().zip(lengths) {
            *most = len.max(*most);
        }
    }
    all
}

/// A network ready for frames of one size, with what it keeps while it computes one.
pub struct Engine {
    prepared: Arc<Prepared>,
    states: Vec<State>,
    times: Option<Times>,
}

impl Engine {
    /// One that computes in rooms which were made for that network.
    pub fn new(prepared: Arc<Prepared>) -> Self {
        let states = prepared.program.states.iter().map(State::new).collect();
        Self { prepared, states, times: None }
    }

    /// One that adds up the time of its operations.
    pub fn timed(prepared: Arc<Prepared>, times: Times) -> Self {
        Self { times: Some(times), ..Self::new(prepared) }
    }

    /// The time of its operations.
    pub fn times(&self) -> Option<&Times> {
        self.times.as_ref()
    }

    /// Computes one frame. `output` is made to fit.
    ///
    /// # Panics
    /// If the input is not of the size and the number of planes that the engine was made for, or the room not for this
    /// network.
    pub fn run(&mut self, room: &mut Room, input: &Tensor, output: &mut Tensor) {
        let Self { prepared, states, times } = self;
        let times = times.as_ref();
        let Prepared { isa, program, layout, height, width, .. } = &**prepared;
        let Room { slots, workers } = room;
        let expected = (program.values[0].channels, *height, *width);
        assert_eq!((input.channels, input.height, input.width), expected, "the input fits the plan");
        let Value { channels, height, width, .. } = program.values[program.output];
        if (output.channels, output.height, output.width) != (channels, height, width) {
            *output = Tensor::zeros(channels, height, width);
        }
        for phase in &layout.phases {
            match phase {
                Phase::Segment(segment) => {
                    let slots: Vec<_> = slots.iter_mut().map(|b| Shared::new(b.as_mut_slice())).collect();
                    let output = (Shared::new(&mut output.data), height, width);
                    let context = Context { isa: *isa, program, segment, states, slots: &slots, input, times, output };
                    let bands = segment.height.div_ceil(segment.band);
                    workers.each(bands, |band, worker| run_band(&context, worker, band));
                }
                Phase::Frame(op, inputs, target) => {
                    let threads = workers.count();
                    Times::add(times, *op, threads, || {
                        run_frame(prepared, *op, inputs, *target, states, slots, workers);
                    });
                }
            }
        }
        if let Some(slot) = layout.result {
            let line = Line::new(width, program.reach);
            for (i, row) in slots[slot].as_slice().chunks_exact(line.stride).take(channels * height).enumerate() {
                let (y, c) = (i / channels, i % channels);
                output.data[(c * height + y) * width..][..width].copy_from_slice(line.pixels(row, 0));
            }
        }
    }
}

/// An operation on whole frames.
fn run_frame(
    prepared: &Prepared,
    op: usize,
    inputs: &[Source],
    target: Option<usize>,
    states: &mut [State],
    slots: &mut [Buffer],
    workers: &Workers<Worker>,
) {
    let (isa, program) = (prepared.isa, &prepared.program);
    let op = &program.ops[op];
    let Kernel::Frame(kernel) = op.kernel else { return };
    match kernel {
        FrameKernel::Fit => {
            let values = (op.inputs[0].value, op.output);
            fit(program, values, slots, &inputs[0], target, workers);
        }
        FrameKernel::Matrices(state) => {
            let line = Line::new(program.values[op.inputs[0].value].width, program.reach);
            if let State::Windows(state) = &mut states[state] {
                matrices(line, frame(slots, &inputs[0]), state, workers);
            }
        }
        FrameKernel::Attention(state) => {
            if let State::Rounds(block, rounds, inverse) = &mut states[state] {
                let embed = frame(slots, &inputs[0]);
                inverse_norms(isa, embed, block.matching.cout, inverse, workers);
                let tokens = Tokens {
                    embed,
                    values: frame(slots, &inputs[1]),
                    scores: frame(slots, &inputs[2]),
                    inverse,
                    reduced: block.matching.cout,
                    channels: block.assembly.cout,
                    chunk: block.chunk,
                };
                attention(isa, block, tokens, rounds, workers);
            }
        }
    }
}

impl State {
    fn new(spec: &StateSpec) -> Self {
        match spec {
            StateSpec::Windows(windows) => {
                let (rows, columns) = (&windows.rows, &windows.correlation.columns);
                Self::Windows(WindowState {
                    matrices: vec![0.0; rows.starts.len() * columns.starts.len() * windows.matrices()],
                    folded: vec![windows.folded.clone(); rows.intervals() * columns.intervals()],
                    windows: windows.clone(),
                })
            }
            StateSpec::Rounds(block, tokens) => {
                let places = tokens.next_multiple_of(block.chunk);
                let round = || Round {
                    order: vec![0; places],
                    places: vec![0; *tokens],
                    codes: vec![0; *tokens],
                    results: vec![0.0; places * block.assembly.cout],
                    weights: vec![0.0; places],
                };
                Self::Rounds(block.clone(), (0..block.rounds).map(|_| round()).collect(), vec![0.0; *tokens])
            }
        }
    }
}

/// Bytes of what a network keeps for itself.
fn state_bytes(program: &Program, threads: usize) -> usize {
    let states = program.states.iter().map(|spec| match spec {
        StateSpec::Windows(windows) => {
            let (rows, columns) = (&windows.rows, &windows.correlation.columns);
            let (channels, matrices) = (windows.block.project_out.cin, rows.starts.len() * columns.starts.len());
            let folded = rows.intervals() * columns.intervals() * (channels + 8) * (channels + 4);
            4 * (matrices * windows.matrices() + folded)
        }
        StateSpec::Rounds(block, tokens) => {
            let places = tokens + block.chunk;
            let room = ChunkRoom::bytes(block.chunk, block.matching.cout);
            block.rounds * places * (4 * block.assembly.cout + 13) + 4 * tokens + threads * room
        }
    });
    states.sum()
}

/// Values of scratch that the kernels of a program need.
fn scratch(program: &Program) -> usize {
    let kernels = program.ops.iter().filter_map(|op| match &op.kernel {
        Kernel::Row(RowKernel::DynamicFilter(p)) => Some(p.scratch()),
        Kernel::Row(RowKernel::Vertical(p, ..)) => Some(p.scratch()),
        Kernel::Row(RowKernel::Bfloat(p, ..)) => Some(p.scratch()),
        Kernel::Row(RowKernel::Bytes(p, ..)) => Some(p.scratch()),
        _ => None,
    });
    let windows = program.states.iter().filter_map(|state| match state {
        StateSpec::Windows(p) => {
            let fold = fold_scratch(&p.block);
            Some(p.correlation.sums().max(fold).max(p.folded.scratch()))
        }
        StateSpec::Rounds(..) => None,
    });
    kernels.chain(windows).max().unwrap_or(0)
}

fn chunk_room(program: &Program) -> Option<ChunkRoom> {
    program.states.iter().find_map(|state| match state {
        StateSpec::Rounds(p, _) => Some(ChunkRoom::new(p.chunk, p.matching.cout, p.assembly.cout)),
        StateSpec::Windows(..) => None,
    })
}

/// The whole frame of an input.
fn frame<'a>(slots: &'a [Buffer], source: &Source) -> &'a [f32] {
    match source.place {
        Place::Slot(slot) => &slots[slot].as_slice()[..source.height * source.row_len],
        Place::Ring(..) => &[],
    }
}

/// Rows and columns repeated or left out at the bottom and the right.
fn fit(
    program: &Program,
    (from, to): (usize, Option<usize>),
    slots: &mut [Buffer],
    source: &Source,
    target: Option<usize>,
    workers: &Workers<Worker>,
) {
    let (Some(to), Some(target)) = (to, target) else { return };
    let (from, to) = (program.values[from], program.values[to]);
    let (from_line, to_line) = (Line::new(from.width, program.reach), Line::new(to.width, program.reach));
    let row_len = to.channels * to_line.stride;
    let mut made = std::mem::take(&mut slots[target]);
    let out = Shared::new(made.as_mut_slice());
    let input = frame(slots, source);
    workers.each(to.height, |y, worker| {
        let row = &input[y.min(from.height - 1) * source.row_len..][..source.row_len];
        let mut table = worker.taps.start(from.channels, from_line, &worker.zeros);
        table.row(0, 1, row);
        // SAFETY: every task writes its own row.
        let row = unsafe { out.write(y * row_len..(y + 1) * row_len) };
        rearrange::fit(table.finish(), to_line, row);
        to_line.clear_margins(row);
    });
    slots[target] = made;
}

/// SparseGSA's matrices, then the convolutions that they are folded to.
fn matrices(line: Line, sums: &[f32], state: &mut WindowState, workers: &Workers<Worker>) {
    let WindowState { windows, matrices, folded } = state;
    let Windows { block, rows, correlation, .. } = &**windows;
    let (columns, size) = (&correlation.columns, windows.matrices());
    let out = Shared::new(matrices);
    workers.each(rows.starts.len() * columns.starts.len(), |task, worker| {
        let (top, column) = (rows.starts[task / columns.starts.len()], task % columns.starts.len());
        let of_window = (top..top + rows.len).map(|y| line.pixels(sums, y * columns.starts.len() + column));
        // SAFETY: every task writes its own matrices.
        let matrices = unsafe { out.write(task * size..(task + 1) * size) };
        window_matrices(correlation, of_window, &block.temperature, worker.scratch.as_mut_slice(), matrices);
    });
    let all = Matrices { data: matrices, rows, columns };
    let out = Shared::new(folded);
    workers.each(rows.intervals() * columns.intervals(), |task, worker| {
        let rectangle = (task / columns.intervals(), task % columns.intervals());
        // SAFETY: every task writes its own convolution.
        let folded = unsafe { out.write(task..task + 1) };
        fold(&all, block, rectangle, worker.scratch.as_mut_slice(), &mut folded[0]);
    });
}

/// What GLA's keys are multiplied by.
fn inverse_norms(isa: Isa, embed: &[f32], channels: usize, inverse: &mut [f32], workers: &Workers<Worker>) {
    let len = inverse.len();
    let out = Shared::new(inverse);
    workers.each(len.div_ceil(HASH_BLOCK), |task, _| {
        let range = task * HASH_BLOCK..len.min((task + 1) * HASH_BLOCK);
        let embed = &embed[range.start * channels..range.end * channels];
        // SAFETY: every task writes its own block.
        global::inverse_norms(isa, embed, channels, unsafe { out.write(range) });
    });
}

/// GLA's rounds.
fn attention(
    isa: Isa,
    block: &GlobalLearnableAttention,
    tokens: Tokens<'_>,
    rounds: &mut [Round],
    workers: &Workers<Worker>,
) {
    let (reduced, channels, chunk) = (tokens.reduced, tokens.channels, tokens.chunk);
    for (t, round) in rounds.iter_mut().enumerate() {
        let rotation = &block.rotations[t * reduced * global::MAX_BUCKETS..];
        let count = global::buckets(round.codes.len(), chunk);
        let len = round.codes.len();
        let codes = Shared::new(&mut round.codes);
        workers.each(len.div_ceil(HASH_BLOCK), |task, _| {
            let range = task * HASH_BLOCK..len.min((task + 1) * HASH_BLOCK);
            let embed = &tokens.embed[range.start * reduced..range.end * reduced];
            // SAFETY: every task writes its own block.
            global::hash_codes(isa, embed, reduced, rotation, count, unsafe { codes.write(range) });
        });
        global::sort(&round.codes, &mut round.order, &mut round.places);
        let (results, weights) = (Shared::new(&mut round.results), Shared::new(&mut round.weights));
        let order = &round.order;
        workers.each(order.len() / chunk, |j, worker| {
            let shape = (chunk, reduced, channels);
            let Some(room) = worker.chunks.iter_mut().find(|room| room.shape() == shape) else { return };
            // SAFETY: every task writes its own chunk.
            let (results, weights) = unsafe {
                let part = j * chunk..(j + 1) * chunk;
                (results.write(part.start * channels..part.end * channels), weights.write(part))
            };
            attend(isa, tokens, order, j, room, results, weights);
        });
    }
}
