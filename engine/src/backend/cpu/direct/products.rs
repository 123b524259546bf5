//! Two rows of a layer by products of tiles.
//!
//! A ring holds four rows, and a tile of pixels is sixteen pixels of sixteen lines of it that follow each other (a line is a
//! row of the channels that lie side by side: four in bytes, two in bf16). A ring of L lines a row has L / 4 tiles, which,
//! moved by a pixel to the left and to the right, hold all that two neighbouring rows of a 3x3 convolution look at, whichever
//! of the four is the oldest: that the weights know, which are there once for each turn of the ring, with zeros for the row
//! that is not looked at. So pixels are neither gathered nor copied, and a quarter of the products is of zeros, but for tiles
//! that lie in that row as a whole: they are left out. Sums lie as vectors of pixels do, one for each output.
//!
//! | tiles | in [`products`] | in [`products_of_kept`] |
//! | --- | --- | --- |
//! | 0, 1 | sums of a group, one of each row | the same |
//! | 2, 3 | those of a second group | weights of the second row: of its first column, kept; of the others |
//! | 4 | pixels | pixels |
//! | 5, 6, 7 | weights, in turns | weights of the first row, of each column, kept |
//!
//! Bound: products of 16 cycles. A tile of pixels that is moved by one crosses a cache line in every row, which costs 38 cycles
//! where products of four tiles take 64: hence two rows, and two groups of outputs where a layer has them.

use std::ops::Range;

use super::{LANE, LANES};
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::tiles::{self, ROW, ROWS, Shape, TILE};

/// Rows that are computed at a time.
pub const BLOCK: usize = 2;
/// Rows of a ring: what a block of rows looks at.
pub const RING: usize = BLOCK + 2;
/// Columns of a kernel.
const COLUMNS: usize = 3;
/// Sums of a tile.
const SUMS: usize = ROWS * LANES;
/// The tile that holds pixels.
const PIXELS: usize = 4;

/// A layer's weights in tiles.
pub struct TileWeights {
    /// `[turn][outputs / 16][column][tile of lines]`, each `[output][line][LANE]`.
    tiles: Buffer<u8>,
    /// Tiles of outputs.
    groups: usize,
    /// Tiles of lines.
    depth: usize,
}

impl TileWeights {
    /// Of `[cout][cin][3][3]`, for an input of so many channels, those that fill up groups included: a multiple of 16.
    pub fn new<T: bytemuck::NoUninit>(weight: &[T], (cout, cin): (usize, usize), channels: usize) -> Self {
        let side = LANE / size_of::<T>();
        let (groups, depth) = (cout.div_ceil(ROWS), RING * channels / side / ROWS);
        let mut this = Self { tiles: Buffer::zeros(RING * groups * COLUMNS * depth * TILE), groups, depth };
        for (i, weight) in weight.iter().enumerate() {
            let (o, c, row, column) = (i / 9 / cin, i / 9 % cin, i / 3 % 3, i % 3);
            for turn in 0..RING {
                let line = (turn + row) % RING * (channels / side) + c / side;
                let tile = this.place(turn, o / ROWS, column, line / ROWS);
                let at = tile + o % ROWS * ROW + line % ROWS * LANE + c % side * size_of::<T>();
                this.tiles.as_mut_slice()[at..at + size_of::<T>()].copy_from_slice(bytemuck::bytes_of(weight));
            }
        }
        this
    }

    /// Tiles of lines that lie in the row which is not looked at: their weights are zeros.
    fn unseen(&self, turn: usize) -> Range<usize> {
        let lines = self.depth * ROWS / RING;
        let first = (turn + RING - 1) % RING * lines;
        first.div_ceil(ROWS)..(first + lines) / ROWS
    }

    fn place(&self, turn: usize, group: usize, column: usize, tile: usize) -> usize {
        (((turn * self.groups + group) * COLUMNS + column) * self.depth + tile) * TILE
    }

    /// Those of one tile; `turn` is the place in the ring of the upmost row that is looked at.
    fn at(&self, turn: usize, group: usize, column: usize, tile: usize) -> *const u8 {
        self.tiles.as_slice()[self.place(turn, group, column, tile)..][..TILE].as_ptr()
    }
}

/// What two rows are made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The ring, from the pixel to the left of the first on.
    pub ring: &'a [u8],
    /// Bytes from one line to the next.
    pub plane: usize,
    /// The place in the ring of the row above the first of the two.
    pub turn: usize,
}

impl Source<'_> {
    /// # Panics
    /// If `count` pixels, to whole vectors, do not lie in the ring.
    pub fn check(&self, weights: &TileWeights, count: usize) {
        let needed = (weights.depth * ROWS - 1) * self.plane + (count.next_multiple_of(LANES) + 2) * LANE;
        assert!(self.ring.len() >= needed && self.turn < RING, "the pixels lie in the ring");
    }
}

/// Two rows of a layer's result, at these places of a ring from its first pixel on.
pub struct Target<'a> {
    pub ring: &'a mut [u8],
    pub rows: [usize; BLOCK],
}

impl Target<'_> {
    /// Where to write `count` pixels, to whole vectors, of so many lines.
    ///
    /// # Panics
    /// If they do not lie in the ring.
    pub fn checked(self, lines: usize, plane: usize, count: usize) -> [*mut u8; BLOCK] {
        let needed = (lines - 1) * plane + count.next_multiple_of(LANES) * LANE;
        assert!(self.rows.iter().all(|row| self.ring.len() >= row + needed), "the results fit their rows");
        self.rows.map(|row| self.ring[row..].as_mut_ptr())
    }
}

/// Where two rows of the last layer go, `[outputs][stride]` floats each, of which `count` pixels, to whole vectors, are written.
///
/// # Panics
/// If they do not fit, or there are more outputs than a tile has.
pub fn checked_floats(out: &mut [Vec<f32>], outputs: usize, stride: usize, count: usize) -> [*mut f32; BLOCK] {
    let needed = (outputs - 1) * stride + count.next_multiple_of(LANES);
    let [one, two] = out else { panic!("a block is two rows") };
    assert!(outputs <= ROWS && one.len().min(two.len()) >= needed, "the results fit their rows");
    [one.as_mut_ptr(), two.as_mut_ptr()]
}

/// The product of numbers of a kind.
pub trait Product {
    /// Adds the product of tiles W and P to S.
    ///
    /// # Safety
    /// As for the instruction, see [`tiles`].
    unsafe fn multiply<const S: usize, const W: usize, const P: usize>();
}

/// What becomes of sums.
pub trait End {
    /// What they are sums of.
    type Product: Product;

    /// Of pixels `x..x + 16` and the outputs of a group: the sums of one row of the block, `[output][pixel]` of four bytes.
    ///
    /// # Safety
    /// The instructions are there, and room for a whole vector.
    unsafe fn end(&self, row: usize, group: usize, x: usize, sums: *const u8);
}

/// Two rows of a layer, `count` pixels; of the tiles' rows `outputs` are filled, of those of all groups.
///
/// # Safety
/// There are tiles, and the instructions of `end`; whole vectors, and two pixels more, can be read, and what `end` writes be
/// written.
#[inline(always)]
pub unsafe fn two_rows<E: End>(weights: &TileWeights, outputs: usize, source: Source<'_>, count: usize, end: &E) {
    let mut shapes = [Shape(outputs.min(ROWS), ROW); 8];
    shapes[PIXELS] = Shape(ROWS, ROW);
    let mut group = 0;
    // SAFETY: the caller's promise.
    unsafe {
        tiles::shape(shapes);
        while group < weights.groups {
            if group + 1 < weights.groups {
                groups::<2, E>(weights, group, source, count, end);
            } else {
                groups::<1, E>(weights, group, source, count, end);
            }
            group += 2;
        }
        tiles::release();
    }
}

/// `G` groups of outputs from `group` on. While sums of one block of pixels are ended, products of the next go on.
///
/// # Safety
/// As for [`two_rows`].
#[inline(always)]
unsafe fn groups<const G: usize, E: End>(
    weights: &TileWeights,
    group: usize,
    source: Source<'_>,
    count: usize,
    end: &E,
) {
    #[repr(align(64))]
    struct Sums([u8; 2 * BLOCK * LANE * SUMS]);
    let mut sums = Sums([0; 2 * BLOCK * LANE * SUMS]);
    let (sums, blocks) = (sums.0.as_mut_ptr(), count.div_ceil(LANES));
    let kept = G == 1 && weights.depth == 1;
    // SAFETY: the caller's promise.
    unsafe {
        if kept {
            keep(weights, group, source.turn);
        }
        for block in 0..=blocks {
            if block < blocks {
                let pixels = source.ring.as_ptr().add(block * LANES * LANE);
                if kept {
                    products_of_kept::<E>(weights, group, source, pixels);
                } else {
                    products::<G, E>(weights, group, source, pixels);
                }
            }
            if block > 0 {
                for tile in 0..G * BLOCK {
                    let from = sums.add(tile * LANE * SUMS);
                    end.end(tile % BLOCK, group + tile / BLOCK, (block - 1) * LANES, from);
                }
            }
            if block < blocks {
                tiles::store::<0>(sums, ROW);
                tiles::store::<1>(sums.add(LANE * SUMS), ROW);
                if G == 2 {
                    tiles::store::<2>(sums.add(2 * LANE * SUMS), ROW);
                    tiles::store::<3>(sums.add(3 * LANE * SUMS), ROW);
                }
            }
        }
    }
}

/// The sums of a block of pixels: of group g and row r in tile 2 g + r.
///
/// # Safety
/// As for [`two_rows`].
#[inline(always)]
unsafe fn products<const G: usize, E: End>(weights: &TileWeights, group: usize, source: Source<'_>, pixels: *const u8) {
    let (plane, turns) = (source.plane, [source.turn, (source.turn + 1) % RING]);
    let unseen = turns.map(|turn| weights.unseen(turn));
    // SAFETY: the caller's promise.
    unsafe {
        tiles::zero::<0>();
        tiles::zero::<1>();
        if G == 2 {
            tiles::zero::<2>();
            tiles::zero::<3>();
        }
        for column in 0..COLUMNS {
            for tile in 0..weights.depth {
                tiles::load::<PIXELS>(pixels.add(column * LANE + tile * ROWS * plane), plane);
                if !unseen[0].contains(&tile) {
                    tiles::load::<5>(weights.at(turns[0], group, column, tile), ROW);
                    E::Product::multiply::<0, 5, PIXELS>();
                    if G == 2 {
                        tiles::load::<6>(weights.at(turns[0], group + 1, column, tile), ROW);
                        E::Product::multiply::<2, 6, PIXELS>();
                    }
                }
                if !unseen[1].contains(&tile) {
                    tiles::load::<7>(weights.at(turns[1], group, column, tile), ROW);
                    E::Product::multiply::<1, 7, PIXELS>();
                    if G == 2 {
                        tiles::load::<5>(weights.at(turns[1], group + 1, column, tile), ROW);
                        E::Product::multiply::<3, 5, PIXELS>();
                    }
                }
            }
        }
    }
}

/// Loads what [`products_of_kept`] finds: the weights of the first row, and of the second the first column's.
///
/// # Safety
/// As for [`two_rows`].
#[inline(always)]
unsafe fn keep(weights: &TileWeights, group: usize, turn: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        tiles::load::<5>(weights.at(turn, group, 0, 0), ROW);
        tiles::load::<6>(weights.at(turn, group, 1, 0), ROW);
        tiles::load::<7>(weights.at(turn, group, 2, 0), ROW);
        tiles::load::<2>(weights.at((turn + 1) % RING, group, 0, 0), ROW);
    }
}

/// As [`products`] of one group with one tile of lines; five of six tiles of weights stay where they are.
///
/// # Safety
/// As for [`two_rows`]; [`keep`] came before.
#[inline(always)]
unsafe fn products_of_kept<E: End>(weights: &TileWeights, group: usize, source: Source<'_>, pixels: *const u8) {
    let (plane, turn) = (source.plane, (source.turn + 1) % RING);
    // SAFETY: the caller's promise.
    unsafe {
        tiles::zero::<0>();
        tiles::zero::<1>();
        tiles::load::<PIXELS>(pixels, plane);
        tiles::load::<3>(weights.at(turn, group, 1, 0), ROW);
        E::Product::multiply::<0, 5, PIXELS>();
        E::Product::multiply::<1, 2, PIXELS>();
        tiles::load::<PIXELS>(pixels.add(LANE), plane);
        E::Product::multiply::<0, 6, PIXELS>();
        E::Product::multiply::<1, 3, PIXELS>();
        tiles::load::<PIXELS>(pixels.add(2 * LANE), plane);
        tiles::load::<3>(weights.at(turn, group, 2, 0), ROW);
        E::Product::multiply::<0, 7, PIXELS>();
        E::Product::multiply::<1, 3, PIXELS>();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::marker::PhantomData;

    use half::bf16;

    use super::super::bfloats::Bfloats;
    use super::super::bytes::Bytes;
    use super::*;
    use crate::backend::cpu::simd::Avx512;
    use crate::backend::cpu::tests::noise;
    use crate::backend::cpu::tiles::trap;

    /// Two vectors, the second of which is not full.
    const COUNT: usize = 20;
    const BLOCKS: usize = COUNT.div_ceil(LANES);
    /// Pixels of a line.
    const WIDTH: usize = BLOCKS * LANES + 2;

    /// Keeps sums: `[row][group][block]` of tiles.
    struct Keep<P>(RefCell<Vec<u8>>, usize, PhantomData<P>);

    impl<P: Product> End for Keep<P> {
        type Product = P;

        unsafe fn end(&self, row: usize, group: usize, x: usize, from: *const u8) {
            // SAFETY: so many bytes are the sums of a tile.
            let sums = unsafe { std::slice::from_raw_parts(from, LANE * SUMS) };
            let at = ((row * self.1 + group) * BLOCKS + x / LANES) * LANE * SUMS;
            self.0.borrow_mut()[at..][..LANE * SUMS].copy_from_slice(sums);
        }
    }

    /// Two rows from a ring that holds a number of `N` bytes, one of `values`, for every channel and pixel: the sums `[row][cout][COUNT]`.
    fn sums<P: Product, const N: usize>(
        weights: &TileWeights,
        cout: usize,
        turn: usize,
        values: &[[u8; N]],
    ) -> Vec<[u8; LANE]> {
        let (side, plane) = (LANE / N, LANE * WIDTH);
        let mut ring = vec![0; values.len() * N];
        for (i, value) in values.iter().enumerate() {
            let (channel, pixel) = (i / WIDTH, i % WIDTH);
            ring[channel / side * plane + pixel * LANE + channel % side * N..][..N].copy_from_slice(value);
        }
        let keep =
            Keep::<P>(vec![0; BLOCK * weights.groups * BLOCKS * LANE * SUMS].into(), weights.groups, PhantomData);
        let source = Source { ring: &ring, plane, turn };
        source.check(weights, COUNT);
        // SAFETY: there are tiles, or a handler for them; the ring is large enough.
        unsafe { two_rows(weights, cout, source, COUNT, &keep) };
        let kept = keep.0.into_inner();
        let at = |i: usize| {
            let (row, o, x) = (i / COUNT / cout, i / COUNT % cout, i % COUNT);
            ((row * weights.groups + o / ROWS) * BLOCKS + x / LANES) * SUMS + o % ROWS * LANES + x % LANES
        };
        (0..BLOCK * cout * COUNT).map(|i| kept.as_chunks().0[at(i)]).collect()
    }

    /// The same sums of `[slot][channel][WIDTH]`, one by one.
    fn truth(weight: &[i32], (cout, channels): (usize, usize), turn: usize, pixels: &[i32]) -> Vec<i32> {
        let sum = |i: usize| {
            let (row, o, x) = (i / COUNT / cout, i / COUNT % cout, i % COUNT);
            let product = |tap: usize| {
                let (c, y, column) = (tap / 9, tap / 3 % 3, tap % 3);
                let line = (turn + row + y) % RING * channels + c;
                weight[o * channels * 9 + tap] * pixels[line * WIDTH + x + column]
            };
            (0..channels * 9).map(product).sum()
        };
        (0..BLOCK * cout * COUNT).map(sum).collect()
    }

    #[test]
    fn two_rows_are_sums_of_products_at_every_turn_of_the_ring() {
        if Avx512::detect_amx().is_none() {
            trap::install();
        }
        let whole = |len, seed| noise(len, seed).into_iter().map(|v| (3.9 * v) as i32).collect::<Vec<_>>();
        for (channels, cout) in [(16, 4), (16, 40), (32, 32), (48, 9), (64, 20)] {
            let weight = whole(cout * channels * 9, 1);
            let pixels: Vec<_> = whole(RING * channels * WIDTH, 2).into_iter().map(i32::abs).collect();
            let size = (cout, channels);
            let bytes = TileWeights::new(&weight.iter().map(|&w| w as i8).collect::<Vec<_>>(), size, channels);
            let bfloat = |v: i32| bf16::from_f32(v as f32);
            let bfloats = weight.iter().map(|&w| bfloat(w).to_bits()).collect::<Vec<_>>();
            let bfloats = TileWeights::new(&bfloats, size, channels);
            for turn in 0..RING {
                let truth = truth(&weight, size, turn, &pixels);
                let name = format!("{channels} to {cout}, turn {turn}");
                let values: Vec<_> = pixels.iter().map(|&v| [v as u8]).collect();
                let made = sums::<Bytes, 1>(&bytes, cout, turn, &values).into_iter().map(i32::from_le_bytes);
                assert!(made.eq(truth.iter().copied()), "bytes, {name}");
                let mut values: Vec<_> = pixels.iter().map(|&v| bfloat(v).to_le_bytes()).collect();
                let made =
                    |values: &[_]| sums::<Bfloats, 2>(&bfloats, cout, turn, values).into_iter().map(f32::from_le_bytes);
                assert!(made(&values).eq(truth.iter().map(|&v| v as f32)), "bf16, {name}");
                // Where the row that is not looked at has tiles of its own, it may hold anything.
                if channels % 32 == 0 {
                    let row = channels * WIDTH;
                    values[(turn + 3) % RING * row..][..row].fill(bf16::INFINITY.to_le_bytes());
                    let first = cout * COUNT;
                    assert!(made(&values).take(first).eq(truth[..first].iter().map(|&v| v as f32)), "beside, {name}");
                }
            }
        }
    }

    #[test]
    fn only_weights_of_zeros_are_left_out() {
        for (channels, left_out) in [(16, 0), (32, 1), (48, 1), (64, 2)] {
            let weights = TileWeights::new(&vec![1_u16; channels * 9], (1, channels), channels);
            for (turn, column) in (0..RING).flat_map(|turn| (0..COLUMNS).map(move |column| (turn, column))) {
                let is_zero = |&tile: &usize| {
                    let place = weights.place(turn, 0, column, tile);
                    weights.tiles.as_slice()[place..][..TILE].iter().all(|&byte| byte == 0)
                };
                let zero: Vec<_> = (0..weights.depth).filter(is_zero).collect();
                assert_eq!(weights.unseen(turn).collect::<Vec<_>>(), zero, "{channels}, turn {turn}");
                assert_eq!(zero.len(), left_out, "{channels}, turn {turn}");
            }
        }
    }
}
