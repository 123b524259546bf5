//! A part of a frame through all layers, row by row or two rows at a time.

use std::ops::Range;

use super::products::{self, BLOCK};
use super::shuffle::shuffle;
use super::{Direct, LANE, LANES, Number};
use crate::backend::cpu::line::Buffer;
use crate::frame::convert::Rows;
use crate::tensor::Tensor;

/// Pixels before the first of a row: zeros where the frame ends there. So many keep the first one aligned.
const MARGIN: usize = LANES;

/// Columns and rows of a frame.
pub struct Cell<'a, N: Number> {
    pub network: &'a Direct<N>,
    pub input: &'a Tensor,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub output: &'a dyn Rows,
}

/// Rows of a layer's result, as many as are still needed, each `[lines][pixels]` of [`LANE`] bytes.
pub struct Ring {
    rows: Buffer<u8>,
    lines: usize,
    depth: usize,
    /// Bytes from one line to the next.
    pub plane: usize,
}

/// What a block of rows of a layer is made of, and which it is.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    ring: &'a Ring,
    /// The block's first row.
    pub top: isize,
    /// The first pixel of the cell that is computed.
    first: usize,
    /// How many are.
    pub count: usize,
}

impl<'a> Around<'a> {
    /// The three rows around the first of the block, from the pixel to the left of the first on, and the bytes from one of
    /// their lines to the next.
    pub fn rows(&self) -> ([&'a [u8]; 3], usize) {
        let from = |y| &self.ring.row(y)[LANE * (MARGIN + self.first - 1)..];
        ([self.top - 1, self.top, self.top + 1].map(from), self.ring.plane)
    }

    /// The ring, where blocks are of [`BLOCK`] rows.
    pub fn in_tiles(&self) -> products::Source<'a> {
        let from = LANE * (MARGIN + self.first - 1);
        products::Source {
            ring: &self.ring.rows.as_slice()[from..],
            plane: self.ring.plane,
            turn: self.ring.slot(self.top - 1),
        }
    }
}

/// What is added to the results of a layer: those of another, times the ratio of their channel.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    ring: &'a Ring,
    pub ratio: &'a [f32],
}

impl<'a> Held<'a> {
    /// A row from its first pixel on.
    pub fn row(&self, y: isize) -> &'a [u8] {
        &self.ring.row(y)[LANE * MARGIN..]
    }

    /// Where to read `count` pixels, to whole vectors, of so many lines of a block of rows.
    ///
    /// # Panics
    /// If they do not lie in the ring.
    pub fn checked(&self, top: isize, lines: usize, count: usize) -> [*const u8; BLOCK] {
        let needed = (lines - 1) * self.ring.plane + count.next_multiple_of(LANES) * LANE;
        let rows = rows_of_block(top).map(|y| self.row(y));
        assert!(rows.iter().all(|row| row.len() >= needed), "every result has something added");
        rows.map(<[u8]>::as_ptr)
    }
}

/// What a worker keeps from cell to cell.
pub struct Room {
    rings: Vec<Ring>,
    /// Rows of the first layer's result that are to be added to a later one's.
    held: Option<Ring>,
    /// Three rows of the input with what lies around them.
    input: [Vec<f32>; 3],
    /// Rows of the last layer's result: `[outputs][pixels]` each.
    last: Vec<Vec<f32>>,
    /// A row of the picture.
    row: Vec<f32>,
}

impl Room {
    /// Pixels of a row, and bytes from one line of a ring to the next.
    fn row<N: Number>(network: &Direct<N>) -> (usize, usize) {
        let strip = network.strip() + 2 * network.depth();
        // A vector more at the left edge, which is moved to a multiple, one that ends beyond the last pixel, and its neighbour.
        let pixels = MARGIN + strip.next_multiple_of(LANES) + 3 * LANES;
        // An odd number of cache lines: the lines of a pixel fall into different sets of the cache.
        (pixels, (LANE * pixels).next_multiple_of(128) + 64)
    }

    /// Bytes of one.
    pub fn bytes<N: Number>(network: &Direct<N>) -> usize {
        let (pixels, plane) = Self::row(network);
        let rows = 3 + network.numbers.block() * N::outputs(&network.tail) + network.scale;
        network.lines() * plane + size_of::<f32>() * rows * pixels
    }

    pub fn new<N: Number>(network: &Direct<N>) -> Self {
        let (pixels, plane) = Self::row(network);
        let ring =
            |lines: usize, depth: usize| Ring { rows: Buffer::zeros(depth * lines * plane), lines, depth, plane };
        Self {
            rings: network.rings().map(|lines| ring(lines, network.seen())).collect(),
            held: network.held().map(|rows| ring(network.head.outputs() / N::SIDE, rows)),
            input: std::array::from_fn(|_| vec![0.0; pixels]),
            last: vec![vec![0.0; N::outputs(&network.tail) * pixels]; network.numbers.block()],
            row: vec![0.0; network.scale * pixels],
        }
    }
}

impl Ring {
    /// The place of a row, which may lie above the frame.
    fn slot(&self, y: isize) -> usize {
        y.rem_euclid(self.depth as isize) as usize
    }

    fn place(&self, y: isize) -> Range<usize> {
        let row = self.lines * self.plane;
        self.slot(y) * row..(self.slot(y) + 1) * row
    }

    fn row(&self, y: isize) -> &[u8] {
        &self.rows.as_slice()[self.place(y)]
    }

    fn row_mut(&mut self, y: isize) -> &mut [u8] {
        let place = self.place(y);
        &mut self.rows.as_mut_slice()[place]
    }

    /// A row to be written, from its first pixel on.
    pub fn written(&mut self, y: isize) -> &mut [u8] {
        &mut self.row_mut(y)[LANE * MARGIN..]
    }

    /// A block of rows to be written.
    pub fn written_in_tiles(&mut self, top: isize) -> products::Target<'_> {
        let rows = rows_of_block(top).map(|y| self.place(y).start);
        products::Target { ring: &mut self.rows.as_mut_slice()[LANE * MARGIN..], rows }
    }
}

impl<N: Number> Cell<'_, N> {
    /// Computes it.
    pub fn run(&self, room: &mut Room) {
        let (depth, block) = (self.network.depth() as isize, self.network.numbers.block());
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
        } else if rows.clone().any(|y| self.is_inside(y)) {
            self.body(layer, rows.start, room);
        }
        let span = self.span();
        let after = LANE * (MARGIN + span.len());
        for y in rows {
            let ring = &mut room.rings[layer];
            let (plane, row) = (ring.plane, ring.row_mut(y));
            if !self.is_inside(y) {
                row.fill(0);
                continue;
            }
            for line in row.chunks_exact_mut(plane) {
                if span.end == self.input.width {
                    line[after..after + LANE].fill(0);
                }
                if span.start == 0 {
                    line[LANE * (MARGIN - 1)..LANE * MARGIN].fill(0);
                }
            }
            if let Some(held) = room.held.as_mut().filter(|_| layer == 0) {
                held.row_mut(y).copy_from_slice(row);
            }
        }
    }

    fn head(&self, y: isize, room: &mut Room) {
        // Those above are there from the row before.
        let first = y == (self.rows.start as isize - self.network.depth() as isize).max(0);
        let y = y as usize;
        for below in if first { 0..3 } else { 2..3 } {
            self.read(y + below, &mut room.input[(y + below) % 3]);
        }
        let rows = [y, y + 1, y + 2].map(|y| &room.input[y % 3][MARGIN - 1..]);
        let ring = &mut room.rings[0];
        let Direct { numbers, head, .. } = self.network;
        numbers.head(head, rows, self.span().len(), ring.plane, ring.written(y as isize));
    }

    /// The row of the input above row `below`, with what lies around it.
    fn read(&self, below: usize, row: &mut [f32]) {
        let (span, Tensor { width, height, data, .. }) = (self.span(), self.input);
        let row = &mut row[MARGIN - 1..][..span.len() + 2];
        row.fill(0.0);
        if let Some(y) = below.checked_sub(1).filter(|y| y < height) {
            let (from, to) = (span.start.saturating_sub(1), (span.end + 1).min(*width));
            row[from + 1 - span.start..][..to - from].copy_from_slice(&data[y * width..][from..to]);
        }
    }

    fn body(&self, layer: usize, top: isize, room: &mut Room) {
        let Direct { numbers, layers, skip, .. } = self.network;
        let (before, after) = room.rings.split_at_mut(layer);
        let around = Around { ring: &before[layer - 1], top, first: 0, count: self.span().len() };
        let held = room.held.as_ref().zip(skip.as_deref()).filter(|_| layer == layers.len());
        let held = held.map(|(ring, ratio)| Held { ring, ratio });
        numbers.body(&layers[layer - 1], around, held, &mut after[0]);
    }

    fn tail(&self, rows: Range<isize>, room: &mut Room) {
        let Direct { numbers, layers, tail, .. } = self.network;
        let first = self.columns.start - self.span().start;
        let around = Around { ring: &room.rings[layers.len()], top: rows.start, first, count: self.columns.len() };
        let stride = room.last[0].len() / N::outputs(tail);
        numbers.tail(tail, around, stride, &mut room.last);
        for (i, y) in rows.enumerate() {
            if let Some(y) = usize::try_from(y).ok().filter(|y| self.rows.contains(y)) {
                self.put(y, i, room);
            }
        }
    }

    /// Row `y` of the last layer's result, row `i` of its block, to the picture.
    fn put(&self, y: usize, i: usize, room: &mut Room) {
        let Direct { scale, tail, proof, .. } = self.network;
        let (last, count) = (&room.last[i], self.columns.len());
        let stride = last.len() / N::outputs(tail);
        let input = &self.input.data[y * self.input.width..][self.columns.clone()];
        for i in 0..*scale {
            let planes = &last[i * scale * stride..(i + 1) * scale * stride];
            shuffle(*proof, planes, *scale, input, &mut room.row);
            // SAFETY: cells do not overlap, and every task has its own.
            unsafe { self.output.put(y * scale + i, self.columns.start * scale, &room.row[..scale * count]) };
        }
    }
}

fn rows_of_block(top: isize) -> [isize; BLOCK] {
    std::array::from_fn(|i| top + i as isize)
}
