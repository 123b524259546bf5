//! The layers by products of tiles, two rows at a time.
//!
//! A ring holds four rows, and a tile of pixels is sixteen pixels of sixteen lines of it that follow each other (a line is four
//! channels of a row). A ring of C channels has C lines: C / 16 tiles, moved by a pixel to the left and to the right, hold all
//! that two neighbouring rows of a 3x3 convolution look at, whichever of the four is the oldest: that the weights know, which
//! are there once for each turn of the ring, with zeros for the row that is not looked at. So pixels are neither gathered nor
//! copied, and a quarter of the products is of zeros. Sums lie as the vectors of `kernels` do, and end as they do.
//!
//! Bound: products of 16 cycles. A tile of pixels that is moved by one crosses a cache line in every row, which costs 38 cycles
//! where products of four tiles take 64: hence two rows, and two groups of outputs where a layer has them.

use std::arch::x86_64::*;

use super::kernels::{Added, finish};
use super::layer::{BODY, FAR, Layer};
use super::tiles::{self, PIXELS, ROW, ROWS, TILE};
use super::{LANES, QUAD};
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::simd::Avx512;
use crate::network::IntegerConv;

/// Rows that are computed at a time.
pub const BLOCK: usize = 2;
/// Rows of a ring: what a block of rows looks at.
pub const RING: usize = BLOCK + 2;
/// Columns of a kernel.
const COLUMNS: usize = 3;
/// Sums of a tile.
const SUMS: usize = ROWS * LANES;

/// A layer's weights in tiles.
pub struct TileWeights {
    /// `[turn][outputs / 16][column][tile of lines]`, each `[output][line][4]`.
    tiles: Buffer<u8>,
    /// Tiles of outputs.
    groups: usize,
    /// Tiles of lines.
    depth: usize,
}

impl TileWeights {
    /// Of a layer whose input has so many channels, those that fill up groups included: a multiple of 16.
    pub fn new(conv: &IntegerConv, channels: usize) -> Self {
        let (groups, depth) = (conv.cout.div_ceil(ROWS), channels / ROWS);
        let mut this = Self { tiles: Buffer::zeros(RING * groups * COLUMNS * depth * TILE), groups, depth };
        for (i, &weight) in conv.weight.iter().enumerate() {
            let (o, c, row, column) = (i / 9 / conv.cin, i / 9 % conv.cin, i / 3 % 3, i % 3);
            for turn in 0..RING {
                let line = (turn + row) % RING * (channels / QUAD) + c / QUAD;
                let tile = this.place(turn, o / ROWS, column, line / ROWS);
                this.tiles.as_mut_slice()[tile + o % ROWS * ROW + line % ROWS * QUAD + c % QUAD] =
                    weight.cast_unsigned();
            }
        }
        this
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
    fn check(&self, weights: &TileWeights, count: usize) {
        let needed = (weights.depth * ROWS - 1) * self.plane + (count.next_multiple_of(LANES) + 2) * QUAD;
        assert!(self.ring.len() >= needed && self.turn < RING, "the pixels lie in the ring");
    }
}

/// Two rows of a layer's result, at these places of a ring from its first pixel on.
pub struct Target<'a> {
    pub ring: &'a mut [u8],
    pub rows: [usize; BLOCK],
}

/// What becomes of sums.
trait End {
    /// Of pixels `x..x + 16` and the outputs of a group: the sums of one row of the block.
    ///
    /// # Safety
    /// There is AVX-512 (F, BW), and room for a whole vector.
    unsafe fn end(&self, row: usize, group: usize, x: usize, sums: *const i32);
}

struct BodyEnd<'a, const ADD: bool> {
    layer: &'a Layer,
    added: [Added; BLOCK],
    plane: usize,
    out: [*mut u8; BLOCK],
}

impl<const ADD: bool> End for BodyEnd<'_, ADD> {
    #[inline(always)]
    unsafe fn end(&self, row: usize, group: usize, x: usize, from: *const i32) {
        for half in 0..ROWS / BODY {
            let first = group * ROWS + half * BODY;
            let bias = &self.layer.bias[first..first + BODY];
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [[_mm512_setzero_si512(); 1]; BODY];
                for o in 0..BODY {
                    let sum = _mm512_loadu_si512(from.add((half * BODY + o) * LANES).cast());
                    sums[o][0] = _mm512_add_epi32(sum, _mm512_set1_epi32(bias[o]));
                }
                let at = first / QUAD * self.plane + x * QUAD;
                let added = Added { row: self.added[row].row.wrapping_add(at), ..self.added[row] };
                finish::<1, ADD>(&sums, self.layer, first, added, self.plane, self.out[row].add(at));
            }
        }
    }
}

struct TailEnd<'a> {
    layer: &'a Layer,
    stride: usize,
    out: [*mut f32; BLOCK],
}

impl End for TailEnd<'_> {
    #[inline(always)]
    unsafe fn end(&self, row: usize, _group: usize, x: usize, from: *const i32) {
        for o in 0..self.layer.outputs {
            // SAFETY: the caller's promise.
            unsafe {
                let sum = _mm512_loadu_si512(from.add(o * LANES).cast());
                let sum = _mm512_castsi512_ps(_mm512_add_epi32(sum, _mm512_set1_epi32(self.layer.bias[o])));
                let value =
                    _mm512_mul_ps(_mm512_sub_ps(sum, _mm512_set1_ps(FAR)), _mm512_set1_ps(self.layer.factor[o]));
                _mm512_storeu_ps(self.out[row].add(o * self.stride + x), value);
            }
        }
    }
}

/// Two rows of a layer in the middle, with ReLU: `count` pixels. Those of `added`, times the ratio of their channel, are added.
///
/// # Safety
/// There are tiles.
pub unsafe fn body(
    _: Avx512,
    layer: &Layer,
    source: Source<'_>,
    added: Option<([&[u8]; BLOCK], &[f32])>,
    count: usize,
    target: Target<'_>,
) {
    let (weights, plane) = (layer.tiles(), source.plane);
    source.check(weights, count);
    let needed = (layer.outputs / QUAD - 1) * plane + count.next_multiple_of(LANES) * QUAD;
    assert!(target.rows.iter().all(|row| target.ring.len() >= row + needed), "the results fit their rows");
    let out = target.rows.map(|row| target.ring[row..].as_mut_ptr());
    // SAFETY: there is a proof of AVX-512 and the caller's promise of tiles, and room, as checked above and here.
    unsafe {
        tiles::shape(ROWS);
        if let Some((rows, ratio)) = added {
            assert!(
                rows.iter().all(|row| row.len() >= needed) && ratio.len() >= layer.outputs,
                "it has something added"
            );
            let added = rows.map(|row| Added { row: row.as_ptr(), ratio: ratio.as_ptr() });
            all_groups(weights, source, count, &BodyEnd::<true> { layer, added, plane, out });
        } else {
            let added = [Added { row: std::ptr::null(), ratio: std::ptr::null() }; BLOCK];
            all_groups(weights, source, count, &BodyEnd::<false> { layer, added, plane, out });
        }
        tiles::release();
    }
}

/// Two rows of the last layer, `count` pixels: floats `[outputs][stride]` for each.
///
/// # Safety
/// There are tiles.
pub unsafe fn tail(
    _: Avx512,
    layer: &Layer,
    source: Source<'_>,
    count: usize,
    stride: usize,
    out: [&mut [f32]; BLOCK],
) {
    let weights = layer.tiles();
    source.check(weights, count);
    let needed = (layer.outputs - 1) * stride + count.next_multiple_of(LANES);
    assert!(layer.outputs <= ROWS && out.iter().all(|out| out.len() >= needed), "the results fit their rows");
    let end = TailEnd { layer, stride, out: out.map(<[f32]>::as_mut_ptr) };
    // SAFETY: there is a proof of AVX-512 and the caller's promise of tiles, and room, as checked above.
    unsafe {
        tiles::shape(layer.outputs);
        all_groups(weights, source, count, &end);
        tiles::release();
    }
}

/// # Safety
/// The instructions are there, tiles are shaped; whole vectors, and two pixels more, can be read, and what `end` writes be
/// written.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn all_groups(weights: &TileWeights, source: Source<'_>, count: usize, end: &impl End) {
    let mut group = 0;
    while group < weights.groups {
        // SAFETY: the caller's promise.
        unsafe {
            if group + 1 < weights.groups {
                groups::<2>(weights, group, source, count, end);
            } else {
                groups::<1>(weights, group, source, count, end);
            }
        }
        group += 2;
    }
}

/// `G` groups of outputs from `group` on. While sums of one block of pixels are ended, products of the next go on.
///
/// # Safety
/// As for [`all_groups`].
#[inline(always)]
unsafe fn groups<const G: usize>(
    weights: &TileWeights,
    group: usize,
    source: Source<'_>,
    count: usize,
    end: &impl End,
) {
    #[repr(align(64))]
    struct Sums([i32; 2 * BLOCK * SUMS]);
    let mut sums = Sums([0; 2 * BLOCK * SUMS]);
    let (sums, blocks) = (sums.0.as_mut_ptr(), count.div_ceil(LANES));
    let kept = G == 1 && weights.depth == 1;
    // SAFETY: the caller's promise.
    unsafe {
        if kept {
            keep(weights, group, source.turn);
        }
        for block in 0..=blocks {
            if block < blocks {
                let pixels = source.ring.as_ptr().add(block * LANES * QUAD);
                if kept {
                    products_of_kept(weights, group, source, pixels);
                } else {
                    products::<G>(weights, group, source, pixels);
                }
            }
            if block > 0 {
                for tile in 0..G * BLOCK {
                    let from = sums.add(tile * SUMS);
                    end.end(tile % BLOCK, group + tile / BLOCK, (block - 1) * LANES, from);
                }
            }
            if block < blocks {
                tiles::store::<0>(sums);
                tiles::store::<1>(sums.add(SUMS));
                if G == 2 {
                    tiles::store::<2>(sums.add(2 * SUMS));
                    tiles::store::<3>(sums.add(3 * SUMS));
                }
            }
        }
    }
}

/// The sums of a block of pixels: of group g and row r in tile 2 g + r.
///
/// # Safety
/// As for [`all_groups`].
#[inline(always)]
unsafe fn products<const G: usize>(weights: &TileWeights, group: usize, source: Source<'_>, pixels: *const u8) {
    let (plane, turns) = (source.plane, [source.turn, (source.turn + 1) % RING]);
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
                tiles::load::<PIXELS>(pixels.add(column * QUAD + tile * ROWS * plane), plane);
                tiles::load::<5>(weights.at(turns[0], group, column, tile), ROW);
                tiles::multiply::<0, 5, PIXELS>();
                tiles::load::<6>(weights.at(turns[1], group, column, tile), ROW);
                tiles::multiply::<1, 6, PIXELS>();
                if G == 2 {
                    tiles::load::<7>(weights.at(turns[0], group + 1, column, tile), ROW);
                    tiles::multiply::<2, 7, PIXELS>();
                    tiles::load::<5>(weights.at(turns[1], group + 1, column, tile), ROW);
                    tiles::multiply::<3, 5, PIXELS>();
                }
            }
        }
    }
}

/// Loads what [`products_of_kept`] finds: the weights of the first row, and of the second the first column's.
///
/// # Safety
/// As for [`all_groups`].
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
/// As for [`all_groups`]; [`keep`] came before.
#[inline(always)]
unsafe fn products_of_kept(weights: &TileWeights, group: usize, source: Source<'_>, pixels: *const u8) {
    let (plane, turn) = (source.plane, (source.turn + 1) % RING);
    // SAFETY: the caller's promise.
    unsafe {
        tiles::zero::<0>();
        tiles::zero::<1>();
        tiles::load::<PIXELS>(pixels, plane);
        tiles::load::<3>(weights.at(turn, group, 1, 0), ROW);
        tiles::multiply::<0, 5, PIXELS>();
        tiles::multiply::<1, 2, PIXELS>();
        tiles::load::<PIXELS>(pixels.add(QUAD), plane);
        tiles::multiply::<0, 6, PIXELS>();
        tiles::multiply::<1, 3, PIXELS>();
        tiles::load::<PIXELS>(pixels.add(2 * QUAD), plane);
        tiles::load::<3>(weights.at(turn, group, 2, 0), ROW);
        tiles::multiply::<0, 7, PIXELS>();
        tiles::multiply::<1, 3, PIXELS>();
    }
}
