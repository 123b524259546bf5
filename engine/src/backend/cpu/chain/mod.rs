//! Chains of 3x3 convolutions on one plane (the luma networks), all layers over rings of rows.
//!
//! A frame is cut into cells: strips of columns and bands of rows. A worker takes a cell from top to bottom, four rows at
//! a time; every layer is one step of four rows behind the one that feeds it, so that what it reads is still in the cache,
//! and a layer keeps no more than the rows that the next one looks at. At the edges of a cell, layers compute what the next
//! ones need again. All is aligned to tiles of 4x4 pixels from the frame's corner, so no value depends on the cells.

mod cell;
mod ends;
mod winograd;

use self::cell::Cell;
use self::ends::Head;
use self::winograd::{TILE, Transformed};
use super::dispatch::Isa;
use super::pool::Workers;
use super::shared::Shared;
use crate::network::{Layers, Network};
use crate::tensor::Tensor;

/// The most tiles of a strip's width. What a strip computes twice at its edges costs more than rings that spill into the
/// third-level cache: of 40, 80 and 160 tiles the last was the fastest by some 5 % each (luma-s and luma-m on a Zen 3 with
/// 512 KiB of second-level cache).
const STRIP: usize = 160;

/// A luma network, its weights transformed.
pub struct Chain {
    /// What it runs on.
    isa: Isa,
    scale: usize,
    head: Head,
    layers: Vec<Transformed>,
    tail: Transformed,
    /// The first layer's result is added to the last but one's.
    skip: bool,
}

/// What a worker keeps.
pub type Worker = cell::Room;

impl Chain {
    /// None for a network that is no chain, or whose layers are no whole vectors of any instruction set up to that one.
    pub fn new(isa: Isa, network: &Network) -> Option<Self> {
        let Layers { head, body, tail, skip } = network.luma()?;
        let isa = isa.dividing(head.cout).filter(|_| !body.is_empty())?;
        Some(Self {
            isa,
            scale: network.scale,
            head: Head::new(head),
            layers: body.into_iter().map(|conv| Transformed::new(conv, isa.lanes())).collect(),
            tail: Transformed::new(tail, isa.lanes()),
            skip,
        })
    }

    /// Steps from the first layer to the last.
    fn depth(&self) -> usize {
        self.layers.len() + 1
    }

    /// Room for one worker, for frames of any size.
    pub fn room(&self) -> Worker {
        cell::Room::new(self)
    }

    /// Computes a frame.
    ///
    /// # Panics
    /// If the tensors do not fit each other, or a room is not for this chain.
    pub fn run(&self, workers: &Workers<Worker>, input: &Tensor, output: &mut Tensor) {
        let (height, width) = (input.height, input.width);
        let (rows, columns) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let (bands, strips) = (workers.count().min(rows), columns.div_ceil(STRIP));
        let scale = self.scale;
        assert_eq!((output.height, output.width), (scale * height, scale * width), "the result fits");
        let out = Shared::new(&mut output.data);
        workers.each(bands * strips, |task, room| {
            let part = |i: usize, count: usize, of: usize| i * of / count..(i + 1) * of / count;
            let (rows, columns) = (part(task / strips, bands, rows), part(task % strips, strips, columns));
            Cell { chain: self, input, rows, columns, out: &out }.run(room);
        });
    }
}
