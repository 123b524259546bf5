//! 3x3 convolutions by Winograd's F(4x4, 3x3): 36 products a tile of 4x4 pixels in place of 144 (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2016, section 4.3).
//!
//! A tile's six by six pixels d become V = Bᵀ d B, every one of its 36 places is multiplied by its own matrix of weights,
//! U = G g Gᵀ, over the channels, and the results M become pixels, Aᵀ M A. Channels lie next to each other, so a vector
//! holds those of one pixel and the transforms are the same for every lane. The last column of A is 4 and the last row
//! of G a quarter of the usual, so that no weight is much larger than the others.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::simd::{MAX_BLOCK, Simd};
use crate::network::Conv;

/// Pixels of a tile's side.
pub const TILE: usize = 4;
/// Pixels of the square that a tile is made of.
const SIDE: usize = TILE + 2;
/// Places of a transformed tile.
const PLACES: usize = SIDE * SIDE;
/// Columns of pixels that a block of so many tiles is made of.
const fn columns(block: usize) -> usize {
    block * TILE + 2
}

/// G.
const G: [[f64; 3]; SIDE] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0 / 4.0],
];

/// A layer's weights: `[SIDE][outputs / group][SIDE][cin][group]`, and its bias, both filled up with zeros to whole groups.
pub struct Transformed {
    weights: Buffer,
    bias: Vec<f32>,
    /// Channels in, whole vectors.
    pub cin: usize,
    /// Output channels that are computed together: a vector or two.
    group: usize,
}

impl Transformed {
    /// Of a 3x3 convolution, for vectors of so many values.
    pub fn new(conv: &Conv, lanes: usize) -> Self {
        assert!(conv.kernel == 3 && conv.cin.is_multiple_of(lanes), "a chain's layers are 3x3 and whole vectors");
        let one = conv.cout <= lanes || conv.cout % (2 * lanes) == lanes;
        let group = if one { lanes } else { 2 * lanes };
        let outputs = conv.cout.next_multiple_of(group);
        let mut weights = Buffer::zeros(outputs * PLACES * conv.cin);
        for (i, kernel) in conv.weight.as_chunks::<9>().0.iter().enumerate() {
            let (o, c) = (i / conv.cin, i % conv.cin);
            for (place, value) in transform(kernel).into_iter().enumerate() {
                let (row, column) = (place / SIDE, place % SIDE);
                let at = (((row * outputs / group + o / group) * SIDE + column) * conv.cin + c) * group + o % group;
                weights.as_mut_slice()[at] = value;
            }
        }
        let mut bias = conv.bias.clone();
        bias.resize(outputs, 0.0);
        Self { weights, bias, cin: conv.cin, group }
    }

    /// Output channels, those that fill up the last group included.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// U of one kernel.
fn transform(kernel: &[f32; 9]) -> [f32; PLACES] {
    let value = |i: usize| {
        let (a, b) = (G[i / SIDE], G[i % SIDE]);
        (0..9).map(|k| a[k / 3] * f64::from(kernel[k]) * b[k % 3]).sum::<f64>() as f32
    };
    std::array::from_fn(value)
}

/// Room to work in.
pub struct Room {
    /// Bᵀ d: `[SIDE][columns][cin]`.
    columns: Buffer,
    /// A row of V: `[SIDE][block][cin]`.
    spread: Buffer,
    /// A row of M for a group of outputs: `[SIDE][block][group]`.
    sums: Buffer,
    /// M A: `[outputs / group][SIDE][block][TILE][group]`.
    folded: Buffer,
}

impl Room {
    /// For layers with at most that many channels in and out, those that fill up groups included.
    pub fn new(cin: usize, outputs: usize) -> Self {
        Self {
            columns: Buffer::zeros(SIDE * columns(MAX_BLOCK) * cin),
            spread: Buffer::zeros(SIDE * MAX_BLOCK * cin),
            sums: Buffer::zeros(SIDE * MAX_BLOCK * outputs),
            folded: Buffer::zeros(SIDE * MAX_BLOCK * TILE * outputs),
        }
    }

    fn fits(&self, layer: &Transformed) -> bool {
        let lengths = [&self.columns, &self.folded].map(|buffer| buffer.as_slice().len());
        let needed = [SIDE * columns(MAX_BLOCK) * layer.cin, SIDE * MAX_BLOCK * TILE * layer.outputs()];
        lengths.iter().zip(needed).all(|(&length, needed)| length >= needed)
    }
}

/// What becomes of a pixel's channels.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing.
    Plain,
    /// `max(0, x)`, where what is not a number stays none: it must not end as a picture.
    Relu,
    /// The same, and then the same pixels of these rows added.
    ReluAdd([&'a [f32]; TILE]),
}

kernel! {
    /// Four rows of a layer: `tiles` tiles from six rows of pixels. The rows begin one pixel to the left of the first tile
    /// and end at least one to the right of the last; `out`, and the rows of `finish`, begin at the first tile. Pixels of
    /// the result are as far apart as the layer has outputs.
    pub fn rows<S>(
        s,
        layer: &Transformed,
        pixels: [&[f32]; SIDE],
        tiles: usize,
        finish: Finish<'_>,
        room: &mut Room,
        out: [&mut [f32]; TILE],
    ) {
        let outputs = layer.outputs();
        let needed = (tiles * TILE + 2) * layer.cin;
        assert!(pixels.iter().all(|row| row.len() >= needed), "a tile's pixels lie in its rows");
        assert!(out.iter().all(|row| row.len() >= tiles * TILE * outputs), "a tile's results lie in its rows");
        if let Finish::ReluAdd(rows) = finish {
            assert!(rows.iter().all(|row| row.len() >= tiles * TILE * outputs), "so do those that are added");
        }
        assert!(room.fits(layer), "the room is made for the layer");
        let mut out = out;
        let target = out.each_mut().map(|row| row.as_mut_ptr());
        let vectors = layer.group / S::LANES;
        let size = S::BLOCKS[vectors - 1];
        for first in (0..tiles).step_by(size) {
            let count = size.min(tiles - first);
            let from = pixels.map(|row| row[first * TILE * layer.cin..].as_ptr());
            let place = Place { first: first * TILE * outputs, count };
            // SAFETY: the rows are long enough, as checked above, and so is the room; those of `out` are borrowed exclusively.
            unsafe {
                match vectors {
                    1 => block::<S, 1>(s, layer, from, finish, place, room, target),
                    _ => block::<S, 2>(s, layer, from, finish, place, room, target),
                }
            }
        }
    }
}

/// Where a block of tiles goes in its rows.
#[derive(Clone, Copy)]
struct Place {
    /// The first value.
    first: usize,
    /// Tiles.
    count: usize,
}

/// A block of tiles, one row of V at a time: what is worked on stays in the first-level cache, through which the weights
/// pass.
///
/// # Safety
/// The rows hold the pixels of the tiles; `out`, and what is added, have room for them; the room fits the layer.
#[inline(always)]
unsafe fn block<S: Simd, const N: usize>(
    s: S,
    layer: &Transformed,
    rows: [*const f32; SIDE],
    finish: Finish<'_>,
    place: Place,
    room: &mut Room,
    out: [*mut f32; TILE],
) {
    let (cin, width) = (layer.cin, N * S::LANES);
    let groups = layer.outputs() / width;
    let (transformed, spread) = (room.columns.as_mut_slice().as_mut_ptr(), room.spread.as_mut_slice().as_mut_ptr());
    let (sums, folded) = (room.sums.as_mut_slice().as_mut_ptr(), room.folded.as_mut_slice().as_mut_ptr());
    let mut weights = layer.weights.as_slice().as_ptr();
    let size = S::BLOCKS[N - 1];
    let stride = columns(size) * cin;
    // SAFETY: the caller's promise; there are weights for every row, group and place, in this order.
    unsafe {
        transform_columns(s, rows, (place.count * TILE + 2) * cin, stride, transformed);
        for row in 0..SIDE {
            transform_row(s, transformed.add(row * stride), place.count, cin, size, spread);
            for group in 0..groups {
                for column in 0..SIDE {
                    let target = sums.add(column * size * width);
                    s.products::<N>(spread.add(column * size * cin), weights, cin, place.count, target);
                    weights = weights.add(cin * width);
                }
                let target = folded.add((group * SIDE + row) * size * TILE * width);
                fold::<S, N>(s, sums, place.count, target);
            }
        }
        for group in 0..groups {
            let folded = folded.add(group * SIDE * size * TILE * width);
            finish_group::<S, N>(s, layer, group, folded, finish, place, out);
        }
    }
}

/// Bᵀ d of `len` values of six rows, to rows that are `stride` values apart.
///
/// # Safety
/// The values are there to read, and to write.
#[inline(always)]
unsafe fn transform_columns<S: Simd>(s: S, rows: [*const f32; SIDE], len: usize, stride: usize, out: *mut f32) {
    for at in (0..len).step_by(S::LANES) {
        let mut d = [s.splat(0.0); SIDE];
        for i in 0..SIDE {
            // SAFETY: the caller's promise.
            d[i] = unsafe { s.load(rows[i].add(at)) };
        }
        let v = forward(s, d);
        for i in 0..SIDE {
            // SAFETY: the caller's promise.
            unsafe { s.store(out.add(i * stride + at), v[i]) };
        }
    }
}

/// A row of V from a row of Bᵀ d.
///
/// # Safety
/// The row holds the pixels of `count` tiles, `out` has room for a block of `size` tiles at each of six places.
#[inline(always)]
unsafe fn transform_row<S: Simd>(s: S, row: *const f32, count: usize, cin: usize, size: usize, out: *mut f32) {
    for tile in 0..count {
        for c in (0..cin).step_by(S::LANES) {
            let mut d = [s.splat(0.0); SIDE];
            for j in 0..SIDE {
                // SAFETY: the caller's promise.
                d[j] = unsafe { s.load(row.add((tile * TILE + j) * cin + c)) };
            }
            let v = forward(s, d);
            for j in 0..SIDE {
                // SAFETY: the caller's promise.
                unsafe { s.store(out.add((j * size + tile) * cin + c), v[j]) };
            }
        }
    }
}

/// A row of M A from a row of M.
///
/// # Safety
/// Both have room for a block of tiles of `N` vectors, at six places and at four.
#[inline(always)]
unsafe fn fold<S: Simd, const N: usize>(s: S, sums: *const f32, count: usize, out: *mut f32) {
    let width = N * S::LANES;
    for tile in 0..count {
        for lane in (0..width).step_by(S::LANES) {
            let mut m = [s.splat(0.0); SIDE];
            for j in 0..SIDE {
                // SAFETY: the caller's promise.
                m[j] = unsafe { s.load(sums.add((j * S::BLOCKS[N - 1] + tile) * width + lane)) };
            }
            let v = back(s, m);
            for x in 0..TILE {
                // SAFETY: the caller's promise.
                unsafe { s.store(out.add((tile * TILE + x) * width + lane), v[x]) };
            }
        }
    }
}

/// The pixels of a group of outputs from M A.
///
/// # Safety
/// As for [`block`].
#[inline(always)]
unsafe fn finish_group<S: Simd, const N: usize>(
    s: S,
    layer: &Transformed,
    group: usize,
    folded: *const f32,
    finish: Finish<'_>,
    place: Place,
    out: [*mut f32; TILE],
) {
    let (width, outputs) = (N * S::LANES, layer.outputs());
    for x in 0..place.count * TILE {
        for lane in (0..width).step_by(S::LANES) {
            let mut m = [s.splat(0.0); SIDE];
            for i in 0..SIDE {
                // SAFETY: the caller's promise.
                m[i] = unsafe { s.load(folded.add((i * S::BLOCKS[N - 1] * TILE + x) * width + lane)) };
            }
            // SAFETY: the bias has a value for every output.
            let bias = unsafe { s.load(layer.bias.as_ptr().add(group * width + lane)) };
            let v = back(s, m);
            let at = place.first + x * outputs + group * width + lane;
            for y in 0..TILE {
                let v = s.add(v[y], bias);
                // SAFETY: the caller's promise.
                unsafe {
                    let v = match finish {
                        Finish::Plain => v,
                        Finish::Relu => s.max(s.splat(0.0), v),
                        Finish::ReluAdd(rows) => s.add(s.max(s.splat(0.0), v), s.load(rows[y].as_ptr().add(at))),
                    };
                    s.store(out[y].add(at), v);
                }
            }
        }
    }
}

/// Bᵀ d for one column or row.
#[inline(always)]
fn forward<S: Simd>(s: S, d: [S::V; SIDE]) -> [S::V; SIDE] {
    let (two, four) = (s.splat(2.0), s.splat(4.0));
    let (minus_two, minus_four) = (s.splat(-2.0), s.splat(-4.0));
    let even = s.sub(d[4], d[2]);
    let odd = s.sub(d[3], d[1]);
    let a = s.fma(d[2], minus_four, d[4]);
    let b = s.fma(d[1], minus_four, d[3]);
    [
        s.fma(s.sub(d[0], d[2]), four, even),
        s.add(a, b),
        s.sub(a, b),
        s.fma(odd, two, even),
        s.fma(odd, minus_two, even),
        s.fma(odd, minus_four, s.sub(d[5], d[3])),
    ]
}

/// Aᵀ m for one column or row.
#[inline(always)]
fn back<S: Simd>(s: S, m: [S::V; SIDE]) -> [S::V; TILE] {
    let (sum, difference) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (far, across) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(sum, far)),
        s.fma(across, s.splat(2.0), difference),
        s.fma(far, s.splat(4.0), sum),
        s.fma(m[5], s.splat(4.0), s.fma(across, s.splat(8.0), difference)),
    ]
}
