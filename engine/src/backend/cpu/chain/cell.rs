//! One cell of a frame through all layers.

use std::ops::Range;

use super::Chain;
use super::ends::{add_nearest, shuffle};
use super::numbers::Number;
use super::winograd::{self, Out, Pixels, SLACK, TILE};
use crate::backend::cpu::dispatch::Isa;
use crate::backend::cpu::line::Buffer;

use crate::frame::convert::Rows;
use crate::tensor::Tensor;

/// Tiles `columns` of the rows of tiles `rows` of a frame.
pub struct Cell<'a, N: Number> {
    pub chain: &'a Chain<N>,
    pub isa: Isa,
    pub input: &'a Tensor,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub output: &'a dyn Rows,
}

/// Rows of a layer's result, as many as are still needed, each in the form that `winograd` describes: pixel `x` is the
/// `(x + 1) % TILE`th of slot `(x + 1) / TILE`, counted from the widest layer's first.
struct Ring<N> {
    rows: Buffer<N>,
    channels: usize,
    /// From one pixel of a tile to the next.
    phase: usize,
    /// Rows of tiles.
    depth: usize,
}

/// What a worker keeps from cell to cell.
pub struct Room<N: Number> {
    rings: Vec<Ring<N>>,
    winograd: winograd::Room<N>,
    /// Rows of the input with what lies around them.
    pixels: Vec<f32>,
    /// Rows of the last layer's result.
    last: Vec<f32>,
    /// A row of the picture.
    row: Vec<f32>,
}

/// Of a ring.
struct RingSize {
    channels: usize,
    phase: usize,
    depth: usize,
}

impl RingSize {
    /// Numbers in all.
    fn len(&self) -> usize {
        self.depth * TILE * TILE * self.phase
    }
}

/// How large its parts are.
struct Sizes {
    rings: Vec<RingSize>,
    /// The most channels of a layer, in and out.
    channels: (usize, usize),
    pixels: usize,
    last: usize,
    row: usize,
}

impl Sizes {
    fn new<N: Number>(chain: &Chain<N>) -> Self {
        let strip = chain.strip();
        let tiles = strip + 2 * chain.halo(0);
        let rings = chain.rings().map(|(channels, depth)| {
            // One slot more for the pixel to the right of the last tile, and one for what is written beyond.
            let phase = (tiles + 2) * channels + SLACK;
            RingSize { channels, phase, depth }
        });
        let all = || chain.layers.iter().chain([&chain.tail]);
        let (cin, outputs) = (all().map(|layer| layer.cin).max(), all().map(|layer| layer.outputs).max());
        Self {
            rings: rings.collect(),
            channels: (cin.unwrap_or(0), outputs.unwrap_or(0)),
            pixels: (TILE + 2) * ((tiles + 1) * TILE + 2),
            last: TILE * strip.next_multiple_of(chain.tail.quad) * TILE * chain.tail.outputs,
            row: strip * TILE * chain.scale,
        }
    }
}

impl<N: Number> Room<N> {
    pub fn new(chain: &Chain<N>) -> Self {
        let Sizes { rings, channels: (cin, outputs), pixels, last, row } = Sizes::new(chain);
        let ring = |size: RingSize| {
            let rows = Buffer::zeros(size.len());
            let RingSize { channels, phase, depth } = size;
            Ring { rows, channels, phase, depth }
        };
        Self {
            rings: rings.into_iter().map(ring).collect(),
            winograd: winograd::Room::new(cin, outputs),
            pixels: vec![0.0; pixels],
            last: vec![0.0; last],
            row: vec![0.0; row],
        }
    }

    /// Bytes of one: many where layers are many, as a strip is that much wider for each.
    pub fn bytes(chain: &Chain<N>) -> usize {
        let Sizes { rings, channels: (cin, outputs), pixels, last, row } = Sizes::new(chain);
        let numbers: usize = rings.iter().map(RingSize::len).sum();
        size_of::<N>() * numbers + winograd::Room::<N>::bytes(cin, outputs) + size_of::<f32>() * (pixels + last + row)
    }
}

impl<N: Number> Ring<N> {
    /// Where a row of the frame lies; rows -1 and `height` have a place too.
    fn place(&self, row: isize) -> Range<usize> {
        let rows = (self.depth * TILE) as isize;
        let at = (row + TILE as isize).rem_euclid(rows) as usize * TILE * self.phase;
        at..at + TILE * self.phase
    }

    /// A row from a slot on.
    fn row(&self, row: isize, slot: usize) -> &[N] {
        &self.rows.as_slice()[self.place(row)][slot * self.channels..]
    }

    /// Four rows, the first of them the first of a row of tiles, from a slot on.
    fn rows_mut(&mut self, row: isize, slot: usize) -> [&mut [N]; TILE] {
        let (start, from) = (self.place(row).start, slot * self.channels);
        let mut rows = self.rows.as_mut_slice()[start..].chunks_exact_mut(TILE * self.phase);
        std::array::from_fn(|_| &mut rows.next().expect("there are four")[from..])
    }

    /// Zeros at pixels `range` of a row, counted from the one to the left of the first slot's tile.
    fn clear(&mut self, row: isize, range: Range<usize>) {
        let place = self.place(row);
        let row = &mut self.rows.as_mut_slice()[place];
        for pixel in range {
            let at = pixel % TILE * self.phase + pixel / TILE * self.channels;
            row[at..][..self.channels].fill(N::zeroed());
        }
    }
}

impl<N: Number> Cell<'_, N> {
    /// Computes it.
    pub fn run(&self, room: &mut Room<N>) {
        let depth = self.chain.depth() as isize;
        let (first, end) = (self.rows.start as isize, self.rows.end as isize);
        // Layer l follows the first at a distance of l rows of tiles.
        for step in first - depth..end + depth {
            for layer in 0..=depth {
                let (row, needed) = (step - layer, self.chain.halo(layer as usize) as isize);
                if (first - needed..end + needed).contains(&row) {
                    self.layer(layer as usize, row * TILE as isize, room);
                }
            }
        }
    }

    /// Tiles of a layer that are needed.
    fn tiles(&self, layer: usize) -> Range<usize> {
        let needed = self.chain.halo(layer);
        let end = self.input.width.div_ceil(TILE);
        self.columns.start.saturating_sub(needed)..(self.columns.end + needed).min(end)
    }

    /// The slot of a tile in the rings.
    fn slot(&self, tile: usize) -> usize {
        tile - self.tiles(0).start
    }

    /// The row of tiles at `top` of one layer.
    fn layer(&self, layer: usize, top: isize, room: &mut Room<N>) {
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
    fn edges(&self, layer: usize, top: isize, ring: &mut Ring<N>) {
        let (height, width) = (self.input.height as isize, self.input.width);
        let tiles = self.tiles(layer);
        let (first, end) = (self.slot(tiles.start) * TILE, self.slot(tiles.end) * TILE);
        for y in top..top + TILE as isize {
            if !(0..height).contains(&y) {
                ring.clear(y, first..end + 2);
                continue;
            }
            if tiles.start == 0 {
                ring.clear(y, 0..1);
            }
            if tiles.end * TILE >= width {
                ring.clear(y, end - (tiles.end * TILE - width) + 1..end + 2);
            }
        }
    }

    fn head(&self, top: isize, room: &mut Room<N>) {
        let tiles = self.tiles(0);
        let (start, count) = (tiles.start * TILE, tiles.len() * TILE);
        // The last vectors are computed from a tile more.
        let stride = count + TILE + 2;
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
        let phase = room.rings[0].phase;
        for (i, out) in room.rings[0].rows_mut(top, 0).into_iter().enumerate() {
            N::head(self.isa, &self.chain.head, [pixels[i], pixels[i + 1], pixels[i + 2]], tiles.len(), out, phase);
        }
    }

    fn body(&self, layer: usize, top: isize, room: &mut Room<N>) {
        let tiles = self.tiles(layer);
        let slot = self.slot(tiles.start);
        let (before, after) = room.rings.split_at_mut(layer);
        let ratio = self.chain.skip.as_ref().filter(|_| layer == self.chain.layers.len());
        let added = ratio.map(|r| (std::array::from_fn(|i| before[0].row(top + i as isize, slot)), r.as_slice()));
        let (from, to) = (&before[layer - 1], &mut after[0]);
        let pixels = Pixels { rows: std::array::from_fn(|i| from.row(top - 1 + i as isize, slot)), phase: from.phase };
        let phase = to.phase;
        let out = Out { rows: to.rows_mut(top, slot), added, phase };
        N::rows(self.isa, &self.chain.layers[layer - 1], pixels, tiles.len(), &mut room.winograd, out);
    }

    fn tail(&self, top: isize, room: &mut Room<N>) {
        let Self { chain, input, columns, .. } = self;
        let start = columns.start * TILE;
        let count = (columns.end * TILE).min(input.width) - start;
        let (ring, slot) = (&room.rings[chain.layers.len()], self.slot(columns.start));
        let pixels = Pixels { rows: std::array::from_fn(|i| ring.row(top - 1 + i as isize, slot)), phase: ring.phase };
        let (scale, top) = (chain.scale, top as usize);
        let rows = top..input.height.min(top + TILE);
        if chain.tail.quad > 1 {
            let stride = columns.len().next_multiple_of(chain.tail.quad) * 2 * TILE;
            let mut parts = room.last.chunks_exact_mut(stride);
            let mut next = |_| parts.next().expect("there is room for eight rows");
            let out = std::array::from_fn(|_| std::array::from_fn(&mut next));
            N::last_of_four(self.isa, &chain.tail, pixels, columns.len(), &mut room.winograd, out);
            for (y, values) in (2 * top..2 * rows.end).zip(room.last.chunks_exact_mut(stride)) {
                let values = &mut values[..2 * count];
                add_nearest(values, &input.data[y / 2 * input.width + start..][..count]);
                // SAFETY: cells do not overlap, and every task has its own.
                unsafe { self.output.put(y, 2 * start, values) };
            }
            return;
        }
        let outputs = chain.tail.outputs;
        let stride = columns.len() * TILE * outputs;
        let mut parts = room.last.chunks_exact_mut(stride);
        let out = std::array::from_fn(|_| parts.next().expect("there is room for four rows"));
        N::last(self.isa, &chain.tail, pixels, columns.len(), &mut room.winograd, out);
        for (y, values) in rows.zip(room.last.chunks_exact(stride)) {
            let line = &input.data[y * input.width + start..][..count];
            for i in 0..scale {
                let row = &mut room.row[..scale * count];
                shuffle(scale, i, values, outputs, line, row);
                // SAFETY: as above.
                unsafe { self.output.put(y * scale + i, start * scale, row) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Luma, Network, Preset};

    #[test]
    fn a_room_takes_as_many_bytes_as_it_says() {
        for (width, depth, head_skip) in [(5, 4, true), (16, 1, false)] {
            let network = Network::random(Preset::Luma(Luma { width, depth, head_skip }), 3, 1);
            for isa in Isa::all() {
                let chain = Chain::floats(isa, &network).expect("it is a chain");
                let Room { rings, winograd, pixels, last, row } = Room::new(&chain);
                let winograd::Room { spread, turned, sums, folded } = winograd;
                let all = rings.iter().map(|ring| &ring.rows).chain([&spread, &turned, &sums, &folded]);
                let floats =
                    all.map(|buffer| buffer.as_slice().len()).sum::<usize>() + pixels.len() + last.len() + row.len();
                assert_eq!(Room::bytes(&chain), 4 * floats, "{width} {depth} {}", isa.name());
            }
        }
    }
}
