//! Luma networks in bytes, by the dot product of u8 and i8 (AVX-512 with VNNI), four channels of a pixel at once, or by
//! products of tiles (AMX).
//!
//! As in `chain` a frame is cut into strips of columns and bands of rows, and every layer keeps no more rows than the next
//! one looks at; here a step is one row, or two with tiles, and layer l is l rows behind the first. All layers of a cell
//! compute the same columns. What lies beyond the cell is garbage that grows by a pixel a layer from its edges inward, so a
//! cell is that much wider than its part of the result. Sums are exact: nothing depends on the cells.

mod blocks;
mod cell;
mod kernels;
mod layer;
mod pace;
mod tiles;

use std::sync::Arc;

use rayon::ThreadPool;

use self::cell::{Cell, Room};
use self::layer::{Head, Layer};
use super::dispatch::{Isa, Level};
use super::pool::Workers;
use super::simd::Avx512;
use super::{RowNetwork, RowRunner};
use crate::frame::convert::Rows;
use crate::network::{Network, Quantized};
use crate::tensor::Tensor;

/// Channels that lie side by side, those of one product.
const QUAD: usize = 4;
/// Pixels of a vector.
const LANES: usize = 16;
/// Bytes of the rings of a strip: half of a second-level cache of 1 MiB.
const RINGS: usize = 1 << 19;

/// A luma network in its integer form.
pub struct Bytes {
    proof: Avx512,
    /// Whether tiles are multiplied, two rows at a time, or vectors, a row at a time.
    tiles: bool,
    scale: usize,
    head: Head,
    layers: Vec<Layer>,
    tail: Layer,
    /// What the first layer's results, by channel, are multiplied by when they are added to the last but one's.
    skip: Option<Vec<f32>>,
}

impl Bytes {
    /// None for a network that has no integer form, and on other instruction sets.
    pub fn new(isa: Isa, network: &Network) -> Option<Self> {
        let Level::Avx512(proof) = isa.0 else { return None };
        Self::with(proof, proof.amx(), network)
    }

    /// As where there are tiles; where there are none, their instructions are trapped.
    #[cfg(test)]
    pub fn with_tiles(isa: Isa, network: &Network) -> Option<Self> {
        let Level::Avx512(proof) = isa.0 else { return None };
        if Avx512::detect_amx().is_none() {
            tiles::trap::install();
        }
        Self::with(proof, true, network)
    }

    fn with(proof: Avx512, tiles: bool, network: &Network) -> Option<Self> {
        let Quantized { head, body, tail, skip } = network.quantized().filter(|_| proof.vnni())?;
        Some(Self {
            proof,
            tiles,
            scale: network.scale,
            head: Head::new(&head),
            layers: body.iter().map(|conv| Layer::body(conv, tiles)).collect(),
            tail: Layer::tail(&tail, tiles),
            skip: skip.map(|mut ratio| {
                ratio.resize(layer::padded(head.cout), 0.0);
                ratio
            }),
        })
    }

    /// Whether it is likely to be faster here than a Winograd convolution, which has half as many products, of twice the
    /// bits, and many sums besides (with 32 channels: 105 in place of 88 ms for 1280x720 on a Zen 4).
    pub fn pays(&self) -> bool {
        self.tiles || self.head.outputs() <= LANES || pace::multiplies_as_it_adds(self.proof)
    }

    /// Layers but the first: as many pixels at the edges of a cell are garbage in the last one's result.
    fn depth(&self) -> usize {
        self.layers.len() + 1
    }

    /// Rows that are computed at a time.
    fn block(&self) -> usize {
        if self.tiles { blocks::BLOCK } else { 1 }
    }

    /// Rows of a layer's result that a block of the next one's looks at: as many are kept.
    fn seen(&self) -> usize {
        self.block() + 2
    }

    /// Channels of each layer's result but the last's.
    fn rings(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.head.outputs()).chain(self.layers.iter().map(|layer| layer.outputs))
    }

    /// Rows of the first layer's result that wait to be added to that of the last layer but one.
    fn held(&self) -> Option<usize> {
        self.skip.as_ref().map(|_| self.layers.len() + self.block())
    }

    /// The most pixels of a strip's width, a multiple of a vector's.
    fn strip(&self) -> usize {
        let held = self.held().map_or(0, |rows| rows * self.head.outputs());
        let pixel = self.rings().sum::<usize>() * self.seen() + held;
        (RINGS / pixel).next_multiple_of(LANES)
    }

    /// Computes a frame.
    ///
    /// # Panics
    /// If the result does not fit, or a room is not for this network.
    fn run(&self, workers: &Workers<Room>, input: &Tensor, output: &dyn Rows) {
        let columns = input.width.div_ceil(LANES);
        let (bands, strips) = (workers.count().min(input.height), input.width.div_ceil(self.strip()));
        workers.each(bands * strips, |task, room| {
            let part = |i: usize, count: usize, of: usize| i * of / count..(i + 1) * of / count;
            let (rows, columns) = (part(task / strips, bands, input.height), part(task % strips, strips, columns));
            let columns = columns.start * LANES..(columns.end * LANES).min(input.width);
            Cell { network: self, input, rows, columns, output }.run(room);
        });
    }
}

impl RowNetwork for Bytes {
    fn start(self: Arc<Self>, pool: Arc<ThreadPool>) -> RowRunner {
        let workers = Workers::new(pool, || Room::new(&self));
        Box::new(move |input: &Tensor, output: &dyn Rows| self.run(&workers, input, output))
    }
}
