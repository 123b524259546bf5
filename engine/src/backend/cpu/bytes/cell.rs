//! A part of a frame through all layers, row by row.

use std::ops::Range;

use super::kernels::{self, Source};
use super::{Bytes, LANES, QUAD};
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
    /// A row outside the frame.
    zeros: Buffer<u8>,
    /// Bytes from one plane of a row to the next.
    plane: usize,
    /// Three rows of the input with what lies around them.
    pixels: [Vec<f32>; 3],
    /// A row of the last layer's result: `[outputs][pixels]`.
    last: Vec<f32>,
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
        let ring = |(channels, depth): (usize, usize)| {
            let planes = channels / QUAD;
            Ring { rows: Buffer::zeros(depth * planes * plane), planes, depth }
        };
        let most = network.rings().map(|(channels, _)| channels / QUAD).max().unwrap_or(0);
        Self {
            rings: network.rings().map(ring).collect(),
            zeros: Buffer::zeros(most * plane),
            plane,
            pixels: std::array::from_fn(|_| vec![0.0; pixels]),
            last: vec![0.0; network.tail.outputs * pixels],
            row: vec![0.0; network.scale * pixels],
        }
    }
}

impl Ring {
    fn place(&self, y: usize, plane: usize) -> Range<usize> {
        let row = self.planes * plane;
        y % self.depth * row..(y % self.depth + 1) * row
    }

    fn row(&self, y: usize, plane: usize) -> &[u8] {
        &self.rows.as_slice()[self.place(y, plane)]
    }

    fn row_mut(&mut self, y: usize, plane: usize) -> &mut [u8] {
        let place = self.place(y, plane);
        &mut self.rows.as_mut_slice()[place]
    }
}

impl Cell<'_> {
    /// Computes it.
    pub fn run(&self, room: &mut Room) {
        let depth = self.network.depth();
        let height = self.input.height;
        // Layer l follows the first at a distance of l rows.
        for step in self.rows.start.saturating_sub(depth)..self.rows.end + depth {
            for layer in 0..=depth {
                let needed = depth - layer;
                let rows = self.rows.start.saturating_sub(needed)..(self.rows.end + needed).min(height);
                if let Some(y) = step.checked_sub(layer).filter(|y| rows.contains(y)) {
                    self.layer(layer, y, room);
                }
            }
        }
    }

    /// The columns that all layers but the last compute.
    fn span(&self) -> Range<usize> {
        let depth = self.network.depth();
        let start = self.columns.start.saturating_sub(depth) / LANES * LANES;
        start..(self.columns.end + depth).min(self.input.width)
    }

    fn layer(&self, layer: usize, y: usize, room: &mut Room) {
        if layer == self.network.depth() {
            return self.tail(y, room);
        }
        if layer == 0 {
            self.head(y, room);
        } else {
            self.body(layer, y, room);
        }
        let (span, plane) = (self.span(), room.plane);
        if span.end == self.input.width {
            let after = QUAD * (MARGIN + span.len());
            for plane in room.rings[layer].row_mut(y, plane).chunks_exact_mut(plane) {
                plane[after..after + QUAD].fill(0);
            }
        }
        if span.start == 0 {
            for plane in room.rings[layer].row_mut(y, plane).chunks_exact_mut(plane) {
                plane[QUAD * (MARGIN - 1)..QUAD * MARGIN].fill(0);
            }
        }
    }

    fn head(&self, y: usize, room: &mut Room) {
        // Those above are there from the row before.
        let first = y == self.rows.start.saturating_sub(self.network.depth());
        for below in if first { 0..3 } else { 2..3 } {
            self.pixels(y + below, &mut room.pixels[(y + below) % 3]);
        }
        let rows = [y, y + 1, y + 2].map(|y| &room.pixels[y % 3][MARGIN - 1..]);
        let (count, plane) = (self.span().len(), room.plane);
        let out = &mut room.rings[0].row_mut(y, plane)[QUAD * MARGIN..];
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
    fn source<'r>(&self, ring: &'r Ring, zeros: &'r [u8], plane: usize, y: usize, first: usize) -> Source<'r> {
        let row = |y: Option<usize>| match y {
            Some(y) if y < self.input.height => ring.row(y, plane),
            _ => &zeros[..ring.planes * plane],
        };
        let rows = [row(y.checked_sub(1)), row(Some(y)), row(Some(y + 1))];
        Source { rows: rows.map(|row| &row[QUAD * (MARGIN + first - 1)..]), plane }
    }

    fn body(&self, layer: usize, y: usize, room: &mut Room) {
        let Bytes { layers, skip, proof, .. } = self.network;
        let plane = room.plane;
        let (before, after) = room.rings.split_at_mut(layer);
        let source = self.source(&before[layer - 1], room.zeros.as_slice(), plane, y, 0);
        let ratio = skip.as_deref().filter(|_| layer == layers.len());
        let added = ratio.map(|ratio| (&before[0].row(y, plane)[QUAD * MARGIN..], ratio));
        let out = &mut after[0].row_mut(y, plane)[QUAD * MARGIN..];
        kernels::body(*proof, &layers[layer - 1], source, added, self.span().len(), out);
    }

    fn tail(&self, y: usize, room: &mut Room) {
        let Bytes { layers, tail, scale, proof, .. } = self.network;
        let (first, count) = (self.columns.start - self.span().start, self.columns.len());
        let source = self.source(&room.rings[layers.len()], room.zeros.as_slice(), room.plane, y, first);
        let stride = room.last.len() / tail.outputs;
        kernels::tail(*proof, tail, source, count, stride, &mut room.last);
        let input = &self.input.data[y * self.input.width..][self.columns.clone()];
        for i in 0..*scale {
            let planes = &room.last[i * scale * stride..(i + 1) * scale * stride];
            kernels::shuffle(*proof, planes, *scale, input, &mut room.row);
            // SAFETY: cells do not overlap, and every task has its own.
            unsafe { self.output.put(y * scale + i, self.columns.start * scale, &room.row[..scale * count]) };
        }
    }
}
