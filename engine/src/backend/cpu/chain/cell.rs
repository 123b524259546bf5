//! One cell of a frame through all layers.

use std::ops::Range;

use super::ends::{head, shuffle};
use super::winograd::{self, Finish, TILE};
use super::{Chain, STRIP};
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::shared::Shared;
use crate::tensor::Tensor;

/// Rows of tiles that the next layer looks at.
const SEEN: usize = 3;

/// Tiles `columns` of the rows of tiles `rows` of a frame.
pub struct Cell<'a> {
    pub chain: &'a Chain,
    pub input: &'a Tensor,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub out: &'a Shared<'a, f32>,
}

/// Rows of a layer's result, as many as are still needed.
struct Ring {
    rows: Buffer,
    /// Values of a row.
    stride: usize,
    /// Channels.
    channels: usize,
    /// Rows of tiles.
    depth: usize,
}

/// What a worker keeps from cell to cell.
pub struct Room {
    rings: Vec<Ring>,
    winograd: winograd::Room,
    /// Rows of the input with what lies around them.
    pixels: Vec<f32>,
    /// Rows of the last layer's result.
    last: Vec<f32>,
}

/// Tiles of the widest layer of a strip.
fn widest(chain: &Chain) -> usize {
    STRIP + 2 * chain.depth()
}

impl Room {
    pub fn new(chain: &Chain) -> Self {
        let width = widest(chain) * TILE;
        let outputs = chain.layers.iter().map(|layer| layer.outputs());
        let rings = std::iter::once(chain.head.outputs()).chain(outputs).enumerate().map(|(i, channels)| {
            // What is added to the last of the layers waits until that is there.
            let kept = if chain.skip && i == 0 { chain.layers.len() + 1 } else { 0 };
            let (stride, depth) = ((width + 2) * channels, kept.max(SEEN));
            Ring { rows: Buffer::zeros(depth * TILE * stride), stride, channels, depth }
        });
        let all = || chain.layers.iter().chain([&chain.tail]);
        let (cin, outputs) = (all().map(|layer| layer.cin).max(), all().map(|layer| layer.outputs()).max());
        Self {
            rings: rings.collect(),
            winograd: winograd::Room::new(cin.unwrap_or(0), outputs.unwrap_or(0)),
            pixels: vec![0.0; (TILE + 2) * (width + 2)],
            last: vec![0.0; TILE * width * chain.tail.outputs()],
        }
    }
}

impl Ring {
    /// Where a row of the frame begins; rows -1 and `height` have a place too.
    fn start(&self, row: isize) -> usize {
        let rows = (self.depth * TILE) as isize;
        (row + TILE as isize).rem_euclid(rows) as usize * self.stride
    }

    /// A row from the pixel at `x` on; pixel 0 is the one to the left of the widest layer.
    fn row(&self, row: isize, x: usize) -> &[f32] {
        &self.rows.as_slice()[self.start(row)..][..self.stride][x * self.channels..]
    }

    fn row_mut(&mut self, row: isize, x: usize) -> &mut [f32] {
        let (start, stride) = (self.start(row), self.stride);
        &mut self.rows.as_mut_slice()[start..][..stride][x * self.channels..]
    }

    /// Four rows, from the pixel at `x` on.
    fn rows_mut(&mut self, row: isize, x: usize) -> [&mut [f32]; TILE] {
        let (start, stride, from) = (self.start(row), self.stride, x * self.channels);
        let mut rows = self.rows.as_mut_slice()[start..][..TILE * stride].chunks_exact_mut(stride);
        std::array::from_fn(|_| &mut rows.next().expect("there are four")[from..])
    }
}

impl Cell<'_> {
    /// Computes it.
    pub fn run(&self, room: &mut Room) {
        let depth = self.chain.depth() as isize;
        let (first, end) = (self.rows.start as isize, self.rows.end as isize);
        // Layer l follows the first at a distance of l rows of tiles, and is needed for `depth - l` of them above and below.
        for step in first - depth..end + depth {
            for layer in 0..=depth {
                let (row, needed) = (step - layer, depth - layer);
                if (first - needed..end + needed).contains(&row) {
                    self.layer(layer as usize, row * TILE as isize, room);
                }
            }
        }
    }

    /// Tiles of a layer that are needed.
    fn tiles(&self, layer: usize) -> Range<usize> {
        let needed = self.chain.depth() - layer;
        let end = self.input.width.div_ceil(TILE);
        self.columns.start.saturating_sub(needed)..(self.columns.end + needed).min(end)
    }

    /// Place of a column of the frame in the rows of the rings; the one before the widest layer's first has a place too.
    fn place(&self, x: usize) -> usize {
        1 + x - self.tiles(0).start * TILE
    }

    /// The row of tiles at `top` of one layer.
    fn layer(&self, layer: usize, top: isize, room: &mut Room) {
        let height = self.input.height as isize;
        if layer == self.chain.depth() {
            return self.tail(top, room);
        }
        if (0..height).contains(&top) {
            if layer == 0 {
                self.head(top, room);
            } else {
                self.body(layer, top, room);
            }
        }
        // What the next layer sees of the outside is zero: at most one row above and one below.
        if top + TILE as isize >= 0 && top <= height {
            self.edges(layer, top, &mut room.rings[layer]);
        }
    }

    /// Zeros for what lies outside the frame of a row of tiles and around it.
    fn edges(&self, layer: usize, top: isize, ring: &mut Ring) {
        let (height, width) = (self.input.height as isize, self.input.width);
        let tiles = self.tiles(layer);
        let (start, end) = (tiles.start * TILE, tiles.end * TILE);
        let channels = ring.channels;
        for y in top..top + TILE as isize {
            let left = self.place(start) - 1;
            let row = ring.row_mut(y, left);
            let past = (end - start + 2) * channels;
            if !(0..height).contains(&y) {
                row[..past].fill(0.0);
                continue;
            }
            if start == 0 {
                row[..channels].fill(0.0);
            }
            if end >= width {
                row[(width - start + 1) * channels..past].fill(0.0);
            }
        }
    }

    fn head(&self, top: isize, room: &mut Room) {
        let tiles = self.tiles(0);
        let (start, count) = (tiles.start * TILE, tiles.len() * TILE);
        let stride = count + 2;
        let (width, height) = (self.input.width, self.input.height as isize);
        for (row, y) in room.pixels.chunks_exact_mut(stride).zip(top - 1..=top + TILE as isize) {
            row.fill(0.0);
            if (0..height).contains(&y) {
                let line = &self.input.data[y as usize * width..][..width];
                let (from, to) = (start.saturating_sub(1), (start + count + 1).min(width));
                row[from + 1 - start..][..to - from].copy_from_slice(&line[from..to]);
            }
        }
        let pixels: [&[f32]; TILE + 2] = std::array::from_fn(|i| &room.pixels[i * stride..][..stride]);
        for (i, out) in room.rings[0].rows_mut(top, self.place(start)).into_iter().enumerate() {
            head(self.chain.isa, &self.chain.head, [pixels[i], pixels[i + 1], pixels[i + 2]], count, out);
        }
    }

    fn body(&self, layer: usize, top: isize, room: &mut Room) {
        let tiles = self.tiles(layer);
        let place = self.place(tiles.start * TILE);
        let (before, after) = room.rings.split_at_mut(layer);
        let added = self.chain.skip && layer == self.chain.layers.len();
        let finish = if added {
            Finish::ReluAdd(std::array::from_fn(|i| before[0].row(top + i as isize, place)))
        } else {
            Finish::Relu
        };
        let pixels = std::array::from_fn(|i| before[layer - 1].row(top - 1 + i as isize, place - 1));
        let out = after[0].rows_mut(top, place);
        winograd::rows(
            self.chain.isa,
            &self.chain.layers[layer - 1],
            pixels,
            tiles.len(),
            finish,
            &mut room.winograd,
            out,
        );
    }

    fn tail(&self, top: isize, room: &mut Room) {
        let Self { chain, input, columns, .. } = self;
        let start = columns.start * TILE;
        let count = (columns.end * TILE).min(input.width) - start;
        let ring = &room.rings[chain.layers.len()];
        let pixels = std::array::from_fn(|i| ring.row(top - 1 + i as isize, self.place(start) - 1));
        let outputs = chain.tail.outputs();
        let stride = columns.len() * TILE * outputs;
        let mut rows = room.last.chunks_exact_mut(stride);
        let out = std::array::from_fn(|_| rows.next().expect("there is room for four rows"));
        winograd::rows(self.chain.isa, &chain.tail, pixels, columns.len(), Finish::Plain, &mut room.winograd, out);
        let (scale, top) = (chain.scale, top as usize);
        for (y, values) in (top..input.height.min(top + TILE)).zip(room.last.chunks_exact(stride)) {
            let line = &input.data[y * input.width + start..][..count];
            let rows = std::array::from_fn(|i| {
                if i >= scale {
                    return [].as_mut_slice();
                }
                let first = ((y * scale + i) * input.width + start) * scale;
                // SAFETY: cells do not overlap, and every task has its own.
                unsafe { self.out.write(first..first + count * scale) }
            });
            shuffle(scale, outputs, values, line, rows);
        }
    }
}
