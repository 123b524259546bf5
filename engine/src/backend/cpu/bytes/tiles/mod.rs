//! Tile registers (AMX): eight matrices of 16 rows of 64 bytes, and the product of two of them. By assembly, for there are no
//! stable intrinsics; no compiler uses these registers, so what one instruction leaves there the next one finds.
//!
//! # Safety
//! Of all functions: the processor has the instructions and the process may use them (`Avx512::amx`); a tile is used between
//! [`shape`] and [`release`], on one thread.

#[cfg(test)]
pub mod trap;

use std::arch::asm;

/// Rows of a tile.
pub const ROWS: usize = 16;
/// Bytes of a row.
pub const ROW: usize = 64;
/// Bytes of a tile in memory.
pub const TILE: usize = ROWS * ROW;
/// The tile that holds pixels.
pub const PIXELS: usize = 4;

/// Shapes the tiles, which are then zero: all have `outputs` rows, but [`PIXELS`] has 16.
///
/// # Safety
/// See above; `outputs` is from 1 to 16.
#[inline(always)]
pub unsafe fn shape(outputs: usize) {
    #[repr(align(64))]
    struct Shapes([u8; 64]);
    let mut shapes = Shapes([0; 64]);
    // Palette 1; of each tile the bytes of a row, then the rows.
    shapes.0[0] = 1;
    for tile in 0..8 {
        shapes.0[16 + 2 * tile] = ROW as u8;
        shapes.0[48 + tile] = if tile == PIXELS { ROWS as u8 } else { outputs as u8 };
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

/// Adds the product of weights W, bytes with a sign, and pixels P, without, to the sums S: to each of row i and column j the 64
/// products of row i of W and the bytes 4 j to 4 j + 3 of every row of P.
///
/// # Safety
/// See above.
#[inline(always)]
pub unsafe fn multiply<const S: usize, const W: usize, const P: usize>() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tdpbsud tmm{}, tmm{}, tmm{}", const S, const W, const P, options(nostack, nomem, preserves_flags)) }
}

/// Stores a tile, rows without gaps.
///
/// # Safety
/// See above; all of it is writable.
#[inline(always)]
pub unsafe fn store<const T: usize>(to: *mut i32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("tilestored [{} + 1*{}], tmm{}", in(reg) to, in(reg) ROW, const T, options(nostack, preserves_flags));
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
