//! The last layer of networks by 2: four outputs, the pixels of a square of 2x2, fill a quarter of a vector of 16 or half of
//! one of 8. So a vector holds the outputs of several tiles here, `[outputs][tiles]`, and the pixels of V are turned so that
//! those of as many tiles lie side by side for each channel.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::layer::Layer;
use super::numbers::Arithmetic;
use super::winograd::{Block, PAIRS, Pixels, Room, SIDE, TILE, fold, gather};
use crate::backend::cpu::simd::{BLOCK, Integers};

/// Places of V whose products are summed up at once, so that sums do not wait for themselves.
const PLACES: usize = 2;

/// Pixels of the picture, four rows of tiles as two rows each: `tiles` tiles, and as many more as a vector holds.
#[inline(always)]
pub fn last<S: Integers, N: Arithmetic<S>>(
    s: S,
    layer: &Layer<N>,
    pixels: Pixels<'_, N>,
    tiles: usize,
    room: &mut Room<N>,
    mut out: [[&mut [f32]; 2]; TILE],
) {
    let needed = tiles.next_multiple_of(layer.quad) * 2 * TILE;
    assert!(out.iter().flatten().all(|row| row.len() >= needed), "a tile's pixels lie in its rows");
    assert!(layer.outputs == S::LANES && layer.quad == S::LANES / 4, "the layer is made for these vectors");
    assert!(room.fits(layer), "the room is made for the layer");
    let mut rows = [[std::ptr::null_mut(); 2]; TILE];
    for (rows, out) in rows.as_flattened_mut().iter_mut().zip(out.as_flattened_mut()) {
        *rows = out.as_mut_ptr();
    }
    for block in Block::all(pixels, tiles, layer.cin) {
        // SAFETY: rows and room are large enough, as checked above; those of `out` are borrowed exclusively.
        unsafe {
            match BLOCK / layer.quad {
                3 => run::<S, N, 3>(s, &block, layer, room, rows),
                _ => run::<S, N, 6>(s, &block, layer, room, rows),
            }
        }
    }
}

/// A block of `Q` vectors.
///
/// # Safety
/// The rows hold the pixels and have room for those of the picture, the room fits the layer.
#[inline(always)]
unsafe fn run<S: Integers, N: Arithmetic<S>, const Q: usize>(
    s: S,
    block: &Block<N>,
    layer: &Layer<N>,
    room: &mut Room<N>,
    rows: [[*mut f32; 2]; TILE],
) {
    let cin = layer.cin;
    let count = block.count.div_ceil(layer.quad);
    let (spread, turned) = (room.spread.as_mut_slice().as_mut_ptr(), room.turned.as_mut_slice().as_mut_ptr());
    let (sums, folded) = (room.sums.as_mut_slice().as_mut_ptr(), room.folded.as_mut_slice().as_mut_ptr());
    // SAFETY: the caller's promise; there are weights for every place.
    unsafe {
        for (p, rows) in PAIRS.into_iter().enumerate() {
            block.transform(s, p, cin, spread);
            for (i, row) in rows.into_iter().enumerate() {
                for column in 0..SIDE {
                    for q in 0..count {
                        let at = (column * BLOCK + q * layer.quad) * cin;
                        let from = spread.add(i * SIDE * BLOCK * cin + at);
                        s.turn(from.cast(), cin / N::PAIR, turned.add(at).cast());
                    }
                }
                for column in (0..SIDE).step_by(PLACES) {
                    let to = sums.add(column * BLOCK * S::LANES);
                    products::<S, N, Q>(s, turned.add(column * BLOCK * cin), layer, row * SIDE + column, to);
                }
                fold::<S, N, 1>(s, sums, count, folded.add(row * TILE * BLOCK * S::LANES));
            }
        }
        for q in 0..count {
            let at = (block.first / layer.quad + q) * 2 * S::LANES;
            let rows = rows.map(|rows| rows.map(|row| row.add(at)));
            finish::<S, N>(s, layer, folded.add(q * S::LANES), rows);
        }
    }
}

/// The products at [`PLACES`] places from `place` on.
///
/// # Safety
/// `[PLACES][BLOCK][cin]` pixels are readable, `[PLACES][BLOCK]` vectors of sums writable.
#[inline(always)]
unsafe fn products<S: Integers, N: Arithmetic<S>, const Q: usize>(
    s: S,
    pixels: *const N,
    layer: &Layer<N>,
    place: usize,
    sums: *mut N::Sum,
) {
    let (cin, matrix) = (layer.cin, layer.cin * S::LANES);
    let weights = layer.weights.as_slice()[place * matrix..][..PLACES * matrix].as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        let mut block = [[N::load_sum(s, layer.start(place).as_ptr()); Q]; PLACES];
        for p in 1..PLACES {
            block[p] = [N::load_sum(s, layer.start(place + p).as_ptr()); Q];
        }
        for c in (0..cin).step_by(N::PAIR) {
            for p in 0..PLACES {
                let weight = N::load(s, weights.add(p * matrix + c * S::LANES));
                for q in 0..Q {
                    let at = p * BLOCK * cin + q * (S::LANES / 4) * cin + c * (S::LANES / 4);
                    block[p][q] = N::multiply_add(s, N::load_quarter(s, pixels.add(at)), weight, block[p][q]);
                }
            }
        }
        for p in 0..PLACES {
            for q in 0..Q {
                N::store_sum(s, sums.add((p * BLOCK + q) * S::LANES), block[p][q]);
            }
        }
    }
}

/// The pixels of the tiles of one vector.
///
/// # Safety
/// `[SIDE][TILE][BLOCK]` vectors are readable at `folded`, two vectors writable at each of `rows`.
#[inline(always)]
unsafe fn finish<S: Integers, N: Arithmetic<S>>(
    s: S,
    layer: &Layer<N>,
    folded: *const N::Sum,
    rows: [[*mut f32; 2]; TILE],
) {
    let mut v = [[s.splat(0.0); TILE]; TILE];
    for x in 0..TILE {
        // SAFETY: the caller's promise.
        unsafe {
            let from = folded.add(x * BLOCK * S::LANES);
            let sums = N::back(s, gather::<S, N>(s, from, TILE * BLOCK * S::LANES));
            for y in 0..TILE {
                v[y][x] = N::float(s, sums[y], layer.factor.as_ptr());
            }
        }
    }
    for y in 0..TILE {
        // Each step brings the number of the vector to the end of that of the lane, and its first bit to that of the
        // vector: x | dy dx t becomes dy, the first bit of t | its other bits, x, dx.
        let (a, b) = (s.interleave(v[y][0], v[y][2]), s.interleave(v[y][1], v[y][3]));
        let (upper, lower) = (s.interleave(a.0, b.0), s.interleave(a.1, b.1));
        for (dy, half) in [upper, lower].into_iter().enumerate() {
            let (left, right) = s.interleave(half.0, half.1);
            // SAFETY: the caller's promise.
            unsafe {
                s.store(rows[y][dy], left);
                s.store(rows[y][dy].add(S::LANES), right);
            }
        }
    }
}
