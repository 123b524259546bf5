//! Luma networks by plain convolution, in narrow numbers: in bytes by the dot product of u8 and i8 (AVX-512 with VNNI) or by
//! products of tiles (AMX), in bf16 by tiles alone.
//!
//! As in `chain` a frame is cut into strips of columns and bands of rows, and every layer keeps no more rows than the next
//! one looks at; here a step is one row, or two with tiles, and layer l is l rows behind the first. All layers of a cell
//! compute the same columns. What lies beyond the cell is garbage that grows by a pixel a layer from its edges inward, so a
//! cell is that much wider than its part of the result. A pixel's sums are made in the same order wherever it lies: nothing
//! depends on the cells.

/// Runs `$body` with a constant `$V` for pixels `$x..`: `$most` vectors at a time, at the end as many as are left.
macro_rules! blocks {
    ($count:expr, $most:ident, $x:ident, [$($rest:literal)+], |$V:ident| $body:expr) => {
        let mut $x = 0;
        while $x + $most * LANES <= $count {
            const $V: usize = $most;
            $body;
            $x += $most * LANES;
        }
        match ($count - $x).div_ceil(LANES) {
            $($rest => {
                const $V: usize = $rest;
                $body
            })+
            _ => {}
        }
    };
}

mod bfloats;
mod bytes;
mod cell;
mod head;
mod products;
mod shuffle;

use std::arch::x86_64::__m512;
use std::sync::Arc;

use rayon::ThreadPool;

use self::cell::{Around, Cell, Held, Ring, Room};
use self::head::{Head, TOGETHER};
use super::pool::Workers;
use super::simd::Avx512;
use super::{RowNetwork, RowRunner};
use crate::frame::convert::Rows;
use crate::tensor::Tensor;

/// Bytes of a pixel in a line: as many channels as lie side by side, the operand of one lane of a product.
const LANE: usize = 4;
/// Pixels of a vector.
const LANES: usize = 16;
/// Bytes of the rings of a strip: half of a second-level cache of 1 MiB, and of the 2 MiB that processors with tiles have.
const RINGS: [usize; 2] = [1 << 19, 1 << 20];
/// Taps of a kernel.
const TAPS: usize = 9;

/// Channels of a layer's result with those that fill up groups, of tiles, too.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(2 * TOGETHER)
}

/// Pixels of so many lines that take some bytes: a multiple of a vector's, and one vector where layers are so many that not
/// even one fits.
fn strip(bytes: usize, lines: usize) -> usize {
    (bytes / (LANE * lines)).next_multiple_of(LANES).max(LANES)
}

/// The numbers that layers keep their results in, and how they are computed.
pub trait Number: Send + Sync + Sized + 'static {
    /// Channels that lie side by side in a lane.
    const SIDE: usize;

    /// A layer's weights.
    type Layer: Send + Sync;

    /// Channels out, those that fill up groups included.
    fn outputs(layer: &Self::Layer) -> usize;

    /// Rows that are computed at a time.
    fn block(&self) -> usize;

    /// Keeps sums of the first layer: ReLU, and `[TOGETHER / SIDE]` lines that are `plane` bytes apart.
    ///
    /// # Safety
    /// The instructions are there; `V` vectors can be written of each line.
    unsafe fn hold<const V: usize>(sums: &[[__m512; V]; TOGETHER], plane: usize, out: *mut u8);

    /// A row of the first layer, see [`Head::row`].
    fn head(&self, head: &Head, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]);

    /// A block of rows of a layer in the middle, with ReLU. What is held is added.
    fn body(&self, layer: &Self::Layer, around: Around<'_>, held: Option<Held<'_>>, out: &mut Ring);

    /// A block of rows of the last layer: of each floats `[outputs][stride]`.
    fn tail(&self, layer: &Self::Layer, around: Around<'_>, stride: usize, out: &mut [Vec<f32>]);
}

/// A luma network.
pub struct Direct<N: Number> {
    numbers: N,
    proof: Avx512,
    scale: usize,
    head: Head,
    layers: Vec<N::Layer>,
    tail: N::Layer,
    /// What the first layer's results, by channel, are multiplied by when they are added to the last but one's.
    skip: Option<Vec<f32>>,
}

impl<N: Number> Direct<N> {
    /// Layers but the first: as many pixels at the edges of a cell are garbage in the last one's result.
    fn depth(&self) -> usize {
        self.layers.len() + 1
    }

    /// Rows of a layer's result that a block of the next one's looks at: as many are kept.
    fn seen(&self) -> usize {
        self.numbers.block() + 2
    }

    /// Lines of a row of each layer's result but the last's.
    fn rings(&self) -> impl Iterator<Item = usize> {
        let outputs = self.layers.iter().map(N::outputs);
        std::iter::once(self.head.outputs()).chain(outputs).map(|channels| channels / N::SIDE)
    }

    /// Rows of the first layer's result that wait to be added to that of the last layer but one.
    fn held(&self) -> Option<usize> {
        self.skip.as_ref().map(|_| self.layers.len() + self.numbers.block())
    }

    /// Lines of all rings.
    fn lines(&self) -> usize {
        let held = self.held().map_or(0, |rows| rows * self.head.outputs() / N::SIDE);
        self.rings().sum::<usize>() * self.seen() + held
    }

    /// The most pixels of a strip's width.
    fn strip(&self) -> usize {
        strip(RINGS[usize::from(self.proof.amx())], self.lines())
    }

    /// Computes a frame.
    ///
    /// # Panics
    /// If the result does not fit, or a room is not for this network.
    fn run(&self, workers: &Workers<Room>, input: &Tensor, output: &dyn Rows) {
        let vectors = (input.height, input.width.div_ceil(LANES));
        workers.each_part(vectors, self.strip() / LANES, |(rows, columns), room| {
            let columns = columns.start * LANES..(columns.end * LANES).min(input.width);
            Cell { network: self, input, rows, columns, output }.run(room);
        });
    }
}

impl<N: Number> RowNetwork for Direct<N> {
    fn room(&self) -> usize {
        Room::bytes(self)
    }

    fn start(self: Arc<Self>, pool: Arc<ThreadPool>) -> RowRunner {
        let workers = Workers::new(pool, || Room::new(&self));
        Box::new(move |input: &Tensor, output: &dyn Rows| self.run(&workers, input, output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_of_any_depth_have_pixels() {
        let [bytes, _] = RINGS;
        assert_eq!([100, 8192, bytes].map(|lines| strip(bytes, lines)), [1312, 16, LANES]);
    }
}
