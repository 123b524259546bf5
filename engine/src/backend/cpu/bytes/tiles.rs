//! Tile registers (AMX): eight matrices of 16 rows of 64 bytes, and the product of two of them. By assembly, for there are no
//! stable intrinsics; no compiler uses these registers, so what one instruction leaves there the next one finds.

use std::arch::asm;

/// Rows of a tile.
pub const ROWS: usize = 16;
/// Bytes of a row.
pub const ROW: usize = 64;
/// Bytes of a tile in memory.
pub const TILE: usize = ROWS * ROW;

/// The instructions. Tiles are numbered from 0 to 7.
///
/// # Safety
/// Of all: the processor has them, and the process may use them; a tile is used between `shape` and `release` only, on one
/// thread.
pub trait Tiles {
    /// Shapes the tiles, which are then zero: 0 to 3, of sums, and 5 to 7, of weights, have `outputs` rows; 4, of pixels, has 16.
    unsafe fn shape(outputs: usize);
    /// Sets a tile to zero.
    unsafe fn zero<const T: usize>();
    /// Loads a tile whose rows are `stride` bytes apart; all of them are readable.
    unsafe fn load<const T: usize>(from: *const u8, stride: usize);
    /// Adds the product of weights W, bytes with a sign, and pixels P, without, to the sums S: to each of row i and column j
    /// the 64 products of row i of W and the bytes 4 j to 4 j + 3 of every row of P.
    unsafe fn multiply<const S: usize, const W: usize, const P: usize>();
    /// Stores a tile, rows without gaps; all of it is writable.
    unsafe fn store<const T: usize>(to: *mut i32);
    /// Ends the use of tiles, which the system need not save then.
    unsafe fn release();
}

/// Those of the processor.
pub struct Amx;

impl Tiles for Amx {
    #[inline(always)]
    unsafe fn shape(outputs: usize) {
        #[repr(align(64))]
        struct Shapes([u8; 64]);
        let mut shapes = Shapes([0; 64]);
        shapes.0[0] = 1;
        for tile in 0..8 {
            shapes.0[16 + 2 * tile] = ROW as u8;
            shapes.0[48 + tile] = if tile == 4 { ROWS as u8 } else { outputs as u8 };
        }
        // SAFETY: the caller's promise; palette 1 has eight tiles of up to 16 rows of 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn zero<const T: usize>() {
        // SAFETY: the caller's promise.
        unsafe { asm!("tilezero tmm{}", const T, options(nostack, nomem, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!("tileloadd tmm{}, [{} + 1*{}]", const T, in(reg) from, in(reg) stride,
                 options(nostack, readonly, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn multiply<const S: usize, const W: usize, const P: usize>() {
        // SAFETY: the caller's promise.
        unsafe {
            asm!("tdpbsud tmm{}, tmm{}, tmm{}", const S, const W, const P, options(nostack, nomem, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn store<const T: usize>(to: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!("tilestored [{} + 1*{}], tmm{}", in(reg) to, in(reg) ROW, const T, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn release() {
        // SAFETY: the caller's promise.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

/// The same in plain code, so that what is built of them is tested on any processor.
#[cfg(test)]
pub mod emulated {
    use std::cell::RefCell;

    use super::{ROW, ROWS, Tiles};

    struct State {
        /// 0 where tiles are not in use.
        outputs: usize,
        tiles: [[[u8; ROW]; ROWS]; 8],
    }

    thread_local! {
        static STATE: RefCell<State> = const { RefCell::new(State { outputs: 0, tiles: [[[0; ROW]; ROWS]; 8] }) };
    }

    /// Tiles of the thread.
    pub struct Emulated;

    impl State {
        fn rows(&self, tile: usize) -> usize {
            assert!(self.outputs > 0, "tiles have a shape before they are used");
            if tile == 4 { ROWS } else { self.outputs }
        }
    }

    impl Tiles for Emulated {
        unsafe fn shape(outputs: usize) {
            assert!((1..=ROWS).contains(&outputs));
            STATE.set(State { outputs, tiles: [[[0; ROW]; ROWS]; 8] });
        }

        unsafe fn zero<const T: usize>() {
            STATE.with_borrow_mut(|state| {
                state.rows(T);
                state.tiles[T] = [[0; ROW]; ROWS];
            });
        }

        unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
            STATE.with_borrow_mut(|state| {
                for i in 0..state.rows(T) {
                    // SAFETY: the caller's promise.
                    state.tiles[T][i] = unsafe { from.add(i * stride).cast::<[u8; ROW]>().read() };
                }
            });
        }

        unsafe fn multiply<const S: usize, const W: usize, const P: usize>() {
            STATE.with_borrow_mut(|state| {
                for i in 0..state.rows(S) {
                    for j in 0..ROW / 4 {
                        let bytes = state.tiles[S][i].as_chunks::<4>().0[j];
                        let mut sum = i32::from_le_bytes(bytes);
                        for k in 0..ROW {
                            let weight = i32::from(state.tiles[W][i][k].cast_signed());
                            sum += weight * i32::from(state.tiles[P][k / 4][4 * j + k % 4]);
                        }
                        state.tiles[S][i].as_chunks_mut::<4>().0[j] = sum.to_le_bytes();
                    }
                }
            });
        }

        unsafe fn store<const T: usize>(to: *mut i32) {
            STATE.with_borrow_mut(|state| {
                for i in 0..state.rows(T) {
                    // SAFETY: the caller's promise.
                    unsafe { to.cast::<[u8; ROW]>().add(i).write(state.tiles[T][i]) };
                }
            });
        }

        unsafe fn release() {
            STATE.with_borrow_mut(|state| state.outputs = 0);
        }
    }
}
