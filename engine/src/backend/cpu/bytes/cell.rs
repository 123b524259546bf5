//! A part of a frame through all layers, row by row or two rows at a time.

use std::ops::Range;

use super::blocks::{self, BLOCK};
use super::{Bytes, LANES, QUAD, kernels};
use crate::backend::cpu::line::Buffer;
use crate::frame::convert::Rows;
use crate::tensor::Tensor;

/// Pixels before the first of a row: zeros where the frame ends there. So many keep the first one aligned.
const MARGIN: usize = LANES;

/// Columns and rows of a frame.
pub struct Cell<'a> {
    pub network: &'a Bytes,
    pub input: &'a Tensor,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub output: &'a dyn Rows,
}

/// Rows of a layer's result, as many as are still needed, each `[channels / 4][pixels][4]`.
struct Ring {
    rows: Buffer<u8>,
    planes: usize,
    depth: usize,
}

/// What a worker keeps from cell to cell.
pub struct Room {
    rings: Vec<Ring>,
    /// Rows of the first layer's result that are to be added to a later one's.
    held: Option<Ring>,
    /// Bytes from one plane of a row to the next.
    plane: usize,
    /// Three rows of the input with what lies around them.
    pixels: [Vec<f32>; 3],
    /// Rows of the last layer's result: `[outputs][pixels]` each.
    last: Vec<Vec<f32>>,
    /// A row of the picture.
    row: Vec<f32>,
}

impl Room {
    pub fn new(network: &Bytes) -> Self {
        let strip = network.strip() + 2 * network.depth();
        // A vector more at the left edge, which is moved to a multiple, one that ends beyond the last pixel, and its neighbour.
        let pixels = MARGIN + strip.next_multiple_of(LANES) + 3 * LANES;
        // An odd number of cache lines: the planes of a pixel fall into different sets of the cache.
        let plane = (QUAD * pixels).next_multiple_of(128) + 64;
        let ring = |channels: usize, depth: usize| {
            let planes = channels / QUAD;
            Ring { rows: Buffer::zeros(depth * planes * plane), planes, depth }
        };
        Self {
            rings: network.rings().map(|channels| ring(channels, network.seen())).collect(),
            held: network.held().map(|rows| ring(network.head.outputs(), rows)),
            plane,
            pixels: std::array::from_fn(|_| vec![0.0; pixels]),
            last: vec![vec![0.0; network.tail.outputs * pixels]; network.block()],
            row: vec![0.0; network.scale * pixels],
        }
    }
}

impl Ring {
    /// The place of a row, which may lie above the frame.
    fn slot(&self, y: isize) -> usize {
        y.rem_euclid(self.depth as isize) as usize
    }

    fn place(&self, y: isize, plane: usize) -> Range<usize> {
        let row = self.planes * plane;
        self.slot(y) * row..(self.slot(y) + 1) * row
    }

    fn row(&self, y: isize, plane: usize) -> &[u8] {
        &self.rows.as_slice()[self.place(y, plane)]
    }

    fn row_mut(&mut self, y: isize, plane: usize) -> &mut [u8] {
        let place = self.place(y, plane);
        &mut self.rows.as_mut_slice()[place]
    }
}

impl Cell<'_> {
    /// Computes it.
    pub fn run(&self, room: &mut Room) {
        let (depth, block) = (self.network.depth() as isize, self.network.block());
        let Range { start, end } = self.rows.start as isize..self.rows.end as isize;
        // Layer l follows the first at a distance of l rows.
        for step in (start - depth..end + depth).step_by(block) {
            for layer in 0..=self.network.depth() {
                let needed = depth - layer as isize;
                // Of what lies outside the frame no layer sees more than a row.
                let rows = (start - needed).max(-1)..(end + needed).min(self.input.height as isize + 1);
                let top = step - layer as isize;
                if top < rows.end && top + block as isize > rows.start {
                    self.layer(layer, top..top + block as isize, room);
                }
            }
        }
    }

    /// Whether a row lies in the frame.
    fn is_inside(&self, y: isize) -> bool {
        (0..self.input.height as isize).contains(&y)
    }

    /// The columns that all layers but the last compute.
    fn span(&self) -> Range<usize> {
        let depth = self.network.depth();
        let start = self.columns.start.saturating_sub(depth) / LANES * LANES;
        start..(self.columns.end + depth).min(self.input.width)
    }

    /// A block of rows of a layer's result. Those outside the frame are zeros; those that no other needs may be anything.
    fn layer(&self, layer: usize, rows: Range<isize>, room: &mut Room) {
        if layer == self.network.depth() {
            return self.tail(rows, room);
        }
        if layer == 0 {
            rows.clone().filter(|&y| self.is_inside(y)).for_each(|y| self.head(y, room));
        } else if self.network.tiles {
            self.body_block(layer, rows.start, room);
        } else {
            self.body_row(layer, rows.start, room);
        }
        let (span, plane) = (self.span(), room.plane);
        let after = QUAD * (MARGIN + span.len());
        for y in rows {
            let row = room.rings[layer].row_mut(y, plane);
            if !self.is_inside(y) {
                row.fill(0);
                continue;
            }
            for plane in row.chunks_exact_mut(plane) {
                if span.end == self.input.width {
                    plane[after..after + QUAD].fill(0);
                }
                if span.start == 0 {
                    plane[QUAD * (MARGIN - 1)..QUAD * MARGIN].fill(0);
                }
            }
            if let Some(held) = room.held.as_mut().filter(|_| layer == 0) {
                held.row_mut(y, plane).copy_from_slice(row);
            }
        }
    }

    fn head(&self, y: isize, room: &mut Room) {
        // Those above are there from the row before.
        let first = y == (self.rows.start as isize - self.network.depth() as isize).max(0);
        let y = y as usize;
        for below in if first { 0..3 } else { 2..3 } {
            self.pixels(y + below, &mut room.pixels[(y + below) % 3]);
        }
        let rows = [y, y + 1, y + 2].map(|y| &room.pixels[y % 3][MARGIN - 1..]);
        let (count, plane) = (self.span().len(), room.plane);
        let out = &mut room.rings[0].row_mut(y as isize, plane)[QUAD * MARGIN..];
        kernels::head(self.network.proof, &self.network.head, rows, count, plane, out);
    }

    /// The row of the input above row `below`, with what lies around it.
    fn pixels(&self, below: usize, row: &mut [f32]) {
        let (span, Tensor { width, height, data, .. }) = (self.span(), self.input);
        let row = &mut row[MARGIN - 1..][..span.len() + 2];
        row.fill(0.0);
        if let Some(y) = below.checked_sub(1).filter(|y| y < height) {
            let (from, to) = (span.start.saturating_sub(1), (span.end + 1).min(*width));
            row[from + 1 - span.start..][..to - from].copy_from_slice(&data[y * width..][from..to]);
        }
    }

    /// The rows of a layer's result around row `y`, from pixel `first` of the cell on.
    fn around<'r>(&self, ring: &'r Ring, plane: usize, y: isize, first: usize) -> kernels::Source<'r> {
        let rows = [y - 1, y, y + 1].map(|y| &ring.row(y, plane)[QUAD * (MARGIN + first - 1)..]);
        kernels::Source { rows, plane }
    }

    /// The ring that holds the rows around a block of rows.
    fn around_block<'r>(&self, ring: &'r Ring, plane: usize, top: isize, first: usize) -> blocks::Source<'r> {
        let ring_from = &ring.rows.as_slice()[QUAD * (MARGIN + first - 1)..];
        blocks::Source { ring: ring_from, plane, turn: ring.slot(top - 1) }
    }

    /// What is added to a row of a layer.
    fn added<'r>(&'r self, layer: usize, held: Option<&'r Ring>) -> Option<(&'r Ring, &'r [f32])> {
        held.zip(self.network.skip.as_deref()).filter(|_| layer == self.network.layers.len())
    }

    fn body_row(&self, layer: usize, y: isize, room: &mut Room) {
        if !self.is_inside(y) {
            return;
        }
        let (plane, count) = (room.plane, self.span().len());
        let (before, after) = room.rings.split_at_mut(layer);
        let source = self.around(&before[layer - 1], plane, y, 0);
        let added = self.added(layer, room.held.as_ref());
        let added = added.map(|(held, ratio)| (&held.row(y, plane)[QUAD * MARGIN..], ratio));
        let out = &mut after[0].row_mut(y, plane)[QUAD * MARGIN..];
        kernels::body(self.network.proof, &self.network.layers[layer - 1], source, added, count, out);
    }

    fn body_block(&self, layer: usize, top: isize, room: &mut Room) {
        let (plane, count, ys) = (room.plane, self.span().len(), rows_of_block(top));
        let (before, after) = room.rings.split_at_mut(layer);
        let source = self.around_block(&before[layer - 1], plane, top, 0);
        let added = self.added(layer, room.held.as_ref());
        let added = added.map(|(held, ratio)| (ys.map(|y| &held.row(y, plane)[QUAD * MARGIN..]), ratio));
        let rows = ys.map(|y| after[0].place(y, plane).start);
        let target = blocks::Target { ring: &mut after[0].rows.as_mut_slice()[QUAD * MARGIN..], rows };
        // SAFETY: networks that use tiles are made where the processor has them.
        unsafe {
            blocks::body(self.network.proof, &self.network.layers[layer - 1], source, added, count, target);
        }
    }

    fn tail(&self, rows: Range<isize>, room: &mut Room) {
        if self.network.tiles {
            self.tail_block(rows.start, room);
        } else {
            self.tail_row(rows.start, room);
        }
        for (i, y) in rows.enumerate() {
            if let Some(y) = usize::try_from(y).ok().filter(|y| self.rows.contains(y)) {
                self.put(y, i, room);
            }
        }
    }

    /// Pixel of the cell where the result begins, and how many it has.
    fn part(&self) -> (usize, usize) {
        (self.columns.start - self.span().start, self.columns.len())
    }

    fn tail_row(&self, y: isize, room: &mut Room) {
        let Bytes { layers, tail, proof, .. } = self.network;
        let (first, count) = self.part();
        let source = self.around(&room.rings[layers.len()], room.plane, y, first);
        let stride = room.last[0].len() / tail.outputs;
        kernels::tail(*proof, tail, source, count, stride, &mut room.last[0]);
    }

    fn tail_block(&self, top: isize, room: &mut Room) {
        let Bytes { layers, tail, proof, .. } = self.network;
        let (first, count) = self.part();
        let source = self.around_block(&room.rings[layers.len()], room.plane, top, first);
        let stride = room.last[0].len() / tail.outputs;
        let [one, two] = room.last.as_mut_slice() else { return };
        // SAFETY: networks that use tiles are made where the processor has them.
        unsafe { blocks::tail(*proof, tail, source, count, stride, [one, two]) }
    }

    /// Row `y` of the last layer's result, row `i` of its block, to the picture.
    fn put(&self, y: usize, i: usize, room: &mut Room) {
        let Bytes { scale, tail, proof, .. } = self.network;
        let (last, count) = (&room.last[i], self.columns.len());
        let stride = last.len() / tail.outputs;
        let input = &self.input.data[y * self.input.width..][self.columns.clone()];
        for i in 0..*scale {
            let planes = &last[i * scale * stride..(i + 1) * scale * stride];
            kernels::shuffle(*proof, planes, *scale, input, &mut room.row);
            // SAFETY: cells do not overlap, and every task has its own.
            unsafe { self.output.put(y * scale + i, self.columns.start * scale, &room.row[..scale * count]) };
        }
    }
}

fn rows_of_block(top: isize) -> [isize; BLOCK] {
    std::array::from_fn(|i| top + i as isize)
}
