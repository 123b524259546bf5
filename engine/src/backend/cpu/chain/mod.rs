//! Chains of 3x3 convolutions on one plane (the luma networks), all layers over rings of rows, in f32 or in integers.
//!
//! A frame is cut into cells: strips of columns and bands of rows. A worker takes a cell from top to bottom, four rows at
//! a time; every layer is one step of four rows behind the one that feeds it, so that what it reads is still in the cache,
//! and a layer keeps no more than the rows that the next one looks at. At the edges of a cell, layers compute what the next
//! ones need again. All is aligned to tiles of 4x4 pixels from the frame's corner, so no value depends on the cells.

mod cell;
mod ends;
mod layer;
mod numbers;
mod quads;
mod winograd;

use std::sync::Arc;

use rayon::ThreadPool;

use self::cell::{Cell, Room};
use self::ends::Head;
use self::layer::{Layer, padded};
use self::numbers::Number;
use self::winograd::TILE;
use super::dispatch::Isa;
use super::pool::Workers;
use super::{RowNetwork, RowRunner};
use crate::frame::convert::Rows;
use crate::network::{Layers, Network, Quantized};
use crate::tensor::Tensor;

/// The most tiles of a strip's width. What a strip computes twice at its edges costs more than rings that spill into the
/// third-level cache: of 40, 80 and 160 tiles the last was the fastest by some 5 % each (luma-s and luma-m in f32 on a Zen 3
/// with 512 KiB of second-level cache).
const STRIP: usize = 160;
/// Bytes of the rings of a strip, where little is computed twice: half of a second-level cache of 2 MiB (luma-m in integers:
/// 10 % faster than in strips of 160 tiles).
const RINGS: usize = 1 << 20;

/// Rows of tiles that the next layer looks at.
const SEEN: usize = 3;

/// A luma network, its weights transformed, for one instruction set.
pub struct Chain<N: Number> {
    isa: Isa,
    scale: usize,
    head: Head,
    layers: Vec<Layer<N>>,
    tail: Layer<N>,
    /// The first layer's result is added to the last but one's, in integers times the ratio of each channel's steps.
    skip: Option<Vec<f32>>,
}

/// Tiles of the last layer that a vector holds.
fn quad(cout: usize, lanes: usize) -> usize {
    if cout == 4 { lanes / 4 } else { 1 }
}

impl Chain<f32> {
    /// None for a network that is no chain.
    pub fn floats(isa: Isa, network: &Network) -> Option<Self> {
        let Layers { head, body, tail, skip } = network.luma()?;
        let lanes = isa.lanes();
        Some(Self {
            isa,
            scale: network.scale,
            head: Head::new(head, lanes),
            layers: body.into_iter().map(|conv| Layer::floats(conv, lanes, 1)).collect(),
            tail: Layer::floats(tail, lanes, quad(tail.cout, lanes)),
            skip: skip.then(|| vec![1.0; padded(head.cout, lanes)]),
        })
    }
}

impl Chain<i16> {
    /// None for a network that has no integer form.
    pub fn integers(isa: Isa, network: &Network) -> Option<Self> {
        let Quantized { head, body, tail, skip } = network.quantized()?;
        let lanes = isa.lanes();
        Some(Self {
            isa,
            scale: network.scale,
            head: Head::new(&head, lanes),
            layers: body.iter().map(|conv| Layer::integers(conv, lanes, 1)).collect(),
            tail: Layer::integers(&tail, lanes, quad(tail.cout, lanes)),
            skip: skip.map(|mut ratio| {
                ratio.resize(padded(head.cout, lanes), 0.0);
                ratio
            }),
        })
    }
}

impl<N: Number> Chain<N> {
    /// Steps from the first layer to the last.
    fn depth(&self) -> usize {
        self.layers.len() + 1
    }

    /// Tiles that are needed of a layer on each side of those of the result.
    fn halo(&self, layer: usize) -> usize {
        let pixels = self.depth() - layer;
        if N::EXACT { pixels.div_ceil(TILE) } else { pixels }
    }

    /// The most tiles of a strip's width.
    fn strip(&self) -> usize {
        if !N::EXACT {
            return STRIP;
        }
        let tile: usize = self.rings().map(|(channels, depth)| channels * depth * TILE * TILE * size_of::<N>()).sum();
        (RINGS / tile).clamp(STRIP / 4, STRIP)
    }

    /// Channels, and rows of tiles that are kept, of each layer's result but the last's.
    fn rings(&self) -> impl Iterator<Item = (usize, usize)> {
        let outputs = self.layers.iter().map(|layer| layer.outputs);
        std::iter::once(self.head.outputs()).chain(outputs).enumerate().map(|(i, channels)| {
            // What is added to the last of the layers waits until that is there.
            let kept = if self.skip.is_some() && i == 0 { self.layers.len() + 1 } else { 0 };
            (channels, kept.max(SEEN))
        })
    }

    /// Computes a frame.
    ///
    /// # Panics
    /// If the result does not fit, or a room is not for this chain.
    fn run(&self, workers: &Workers<Room<N>>, input: &Tensor, output: &dyn Rows) {
        let tiles = (input.height.div_ceil(TILE), input.width.div_ceil(TILE));
        workers.each_part(tiles, self.strip(), |(rows, columns), room| {
            Cell { chain: self, isa: self.isa, input, rows, columns, output }.run(room);
        });
    }
}

impl<N: Number> RowNetwork for Chain<N> {
    fn room(&self) -> usize {
        Room::bytes(self)
    }

    fn start(self: Arc<Self>, pool: Arc<ThreadPool>) -> RowRunner {
        let workers = Workers::new(pool, || Room::new(&self));
        Box::new(move |input: &Tensor, output: &dyn Rows| self.run(&workers, input, output))
    }
}
