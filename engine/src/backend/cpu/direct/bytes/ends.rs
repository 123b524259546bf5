//! What becomes of the sums of tiles: what becomes of those of vectors.

use std::arch::x86_64::*;

use super::Bytes;
use super::kernels::{Added, QUAD, finish};
use super::layer::{FAR, Layer};
use crate::backend::cpu::direct::cell::{Around, Held, Ring};
use crate::backend::cpu::direct::head::TOGETHER;
use crate::backend::cpu::direct::products::{BLOCK, End, Product, checked_floats, two_rows};
use crate::backend::cpu::direct::{LANE, LANES};
use crate::backend::cpu::simd::Avx512;
use crate::backend::cpu::tiles::{self, ROWS};

impl Product for Bytes {
    #[inline(always)]
    unsafe fn multiply<const S: usize, const W: usize, const P: usize>() {
        // SAFETY: the caller's promise.
        unsafe { tiles::multiply_bytes::<S, W, P>() }
    }
}

struct BodyEnd<'a, const ADD: bool> {
    layer: &'a Layer,
    added: [Added; BLOCK],
    plane: usize,
    out: [*mut u8; BLOCK],
}

impl<const ADD: bool> End for BodyEnd<'_, ADD> {
    type Product = Bytes;

    #[inline(always)]
    unsafe fn end(&self, row: usize, group: usize, x: usize, from: *const u8) {
        let from = from.cast::<i32>();
        for half in 0..ROWS / TOGETHER {
            let first = group * ROWS + half * TOGETHER;
            let bias = &self.layer.bias[first..first + TOGETHER];
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [[_mm512_setzero_si512(); 1]; TOGETHER];
                for o in 0..TOGETHER {
                    let sum = _mm512_loadu_si512(from.add((half * TOGETHER + o) * LANES).cast());
                    sums[o][0] = _mm512_add_epi32(sum, _mm512_set1_epi32(bias[o]));
                }
                let at = first / QUAD * self.plane + x * LANE;
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
    type Product = Bytes;

    #[inline(always)]
    unsafe fn end(&self, row: usize, _group: usize, x: usize, from: *const u8) {
        for o in 0..self.layer.outputs {
            // SAFETY: the caller's promise.
            unsafe {
                let sum = _mm512_loadu_si512(from.add(o * LANES * LANE).cast());
                let sum = _mm512_castsi512_ps(_mm512_add_epi32(sum, _mm512_set1_epi32(self.layer.bias[o])));
                let value =
                    _mm512_mul_ps(_mm512_sub_ps(sum, _mm512_set1_ps(FAR)), _mm512_set1_ps(self.layer.factor[o]));
                _mm512_storeu_ps(self.out[row].add(o * self.stride + x), value);
            }
        }
    }
}

/// Two rows of a layer in the middle, with ReLU.
///
/// # Safety
/// There are tiles.
pub unsafe fn body(_: Avx512, layer: &Layer, around: Around<'_>, held: Option<Held<'_>>, out: &mut Ring) {
    let source = around.in_tiles();
    let (plane, lines) = (source.plane, layer.outputs / QUAD);
    source.check(layer.tiles(), around.count);
    let out = out.written_in_tiles(around.top).checked(lines, plane, around.count);
    // SAFETY: there is a proof of AVX-512 and the caller's promise of tiles, and room, as checked.
    unsafe {
        if let Some(held) = held {
            let rows = held.checked(around.top, lines, around.count);
            assert!(held.ratio.len() >= layer.outputs, "every result has something added");
            let added = rows.map(|row| Added { row, ratio: held.ratio.as_ptr() });
            run(layer, around, &BodyEnd::<true> { layer, added, plane, out });
        } else {
            let added = [Added { row: std::ptr::null(), ratio: std::ptr::null() }; BLOCK];
            run(layer, around, &BodyEnd::<false> { layer, added, plane, out });
        }
    }
}

/// Two rows of the last layer: of each floats `[outputs][stride]`.
///
/// # Safety
/// There are tiles.
pub unsafe fn tail(_: Avx512, layer: &Layer, around: Around<'_>, stride: usize, out: &mut [Vec<f32>]) {
    around.in_tiles().check(layer.tiles(), around.count);
    let end = TailEnd { layer, stride, out: checked_floats(out, layer.outputs, stride, around.count) };
    // SAFETY: there is a proof of AVX-512 and the caller's promise of tiles, and room, as checked above.
    unsafe { run(layer, around, &end) }
}

/// # Safety
/// As for [`two_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run<E: End>(layer: &Layer, around: Around<'_>, end: &E) {
    // SAFETY: the caller's promise.
    unsafe { two_rows(layer.tiles(), layer.outputs, around.in_tiles(), around.count, end) }
}
