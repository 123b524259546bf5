//! Tile registers (AMX): eight matrices of at most 16 rows of 64 bytes, and products of two of them. By assembly, for there are
//! no stable intrinsics; no compiler uses these registers, so what one instruction leaves there the next one finds.
//!
//! # Safety
//! Of all functions: the processor has the instructions and the process may use them (`Avx512::amx`); a tile is used between
//! [`shape`] and [`release`], on one thread.

#[cfg(test)]
pub mod trap;

use std::arch::asm;

/// The most rows of a tile.
pub const ROWS: usize = 16;
/// The most bytes of a row.
pub const ROW: usize = 64;
/// Bytes of the largest tile in memory.
pub const TILE: usize = ROWS * ROW;

/// Rows of a tile, and the bytes of each.
#[derive(Clone, Copy)]
pub struct Shape(pub usize, pub usize);

/// Shapes the tiles, which are then zero.
///
/// # Safety
/// See above; rows are from 1 to [`ROWS`], their bytes a multiple of 4 up to [`ROW`].
#[inline(always)]
pub unsafe fn shape(tiles: [Shape; 8]) {
    #[repr(align(64))]
    struct Shapes([u8; 64]);
    let mut shapes = Shapes([0; 64]);
    // Palette 1; of each tile the bytes of a row, then the rows.
    shapes.0[0] = 1;
    let mut tile = 0;
    while tile < tiles.len() {
        let Shape(rows, bytes) = tiles[tile];
        shapes.0[16 + 2 * tile] = bytes as u8;
        shapes.0[48 + tile] = rows as u8;
        tile += 1;
    }
    // SAFETY: the caller's promise.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags)) }
}

/// Sets a tile to zero.
///
/// # Safety
/// See above.
#[inline(always)]
pub unsafe fn zero<const T: usize>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilezero tmm{}", const T, options(nostack, nomem, preserves_flags)) }
}

/// Loads a tile whose rows are `stride` bytes apart.
///
/// # Safety
/// See above; all rows are readable.
#[inline(always)]
pub unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tileloadd tmm{}, [{} + 1*{}]", const T, in(reg) from, in(reg) stride,
             options(nostack, readonly, preserves_flags));
    }
}

/// Adds the product of weights W, bytes with a sign, and pixels P, without, to the sums S: to each of row i and column j the
/// products of row i of W and the bytes 4 j to 4 j + 3 of every row of P.
///
/// # Safety
/// See above; P has a row for every four bytes of a row of W.
#[inline(always)]
pub unsafe fn multiply_bytes<const S: usize, const W: usize, const P: usize>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tdpbsud tmm{}, tmm{}, tmm{}", const S, const W, const P, options(nostack, nomem, preserves_flags)) }
}

/// The same of bf16, two where there are four bytes, to sums in f32.
///
/// # Safety
/// As for [`multiply_bytes`].
#[inline(always)]
pub unsafe fn multiply_bfloats<const S: usize, const W: usize, const P: usize>() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const S, const W, const P, options(nostack, nomem, preserves_flags))
    }
}

/// Stores a tile, its rows `stride` bytes apart.
///
/// # Safety
/// See above; all of it is writable.
#[inline(always)]
pub unsafe fn store<const T: usize>(to: *mut u8, stride: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tilestored [{} + 1*{}], tmm{}", in(reg) to, in(reg) stride, const T, options(nostack, preserves_flags));
    }
}

/// Ends the use of tiles: the system need not save them then, and multiplications of floats are as fast as ever.
///
/// # Safety
/// See above.
#[inline(always)]
pub unsafe fn release() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
}
