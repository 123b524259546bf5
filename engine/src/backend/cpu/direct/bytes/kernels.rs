//! The layers on AVX-512 with VNNI: a vector holds sixteen pixels, and for each of them four channels in bytes or one sum.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::layer::{FAR, Layer, TAIL};
use crate::backend::cpu::direct::head::{TOGETHER, WIDE};
use crate::backend::cpu::direct::{LANE, LANES, TAPS};
use crate::backend::cpu::simd::{Avx512, quads};
use crate::network::LIMIT;

/// Channels that lie side by side, those of one product.
pub const QUAD: usize = 4;
/// Bytes of a vector.
const VECTOR: usize = LANES * LANE;
/// The most vectors of pixels of the last layer that are computed together, as it computes fewer outputs together.
const WIDEST: usize = 6;

/// The three rows that a row of a layer is made of, each from the pixel to the left of the first on.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub rows: [&'a [u8]; 3],
    /// Bytes from one group of four channels to the next.
    pub plane: usize,
}

impl Source<'_> {
    /// Where to read, checked for `count` pixels of `inputs` groups of channels.
    fn checked(&self, inputs: usize, count: usize) -> [*const u8; 3] {
        let needed = (inputs - 1) * self.plane + (count.next_multiple_of(LANES) + 2) * LANE;
        assert!(self.rows.iter().all(|row| row.len() >= needed), "the pixels lie in their rows");
        self.rows.map(<[u8]>::as_ptr)
    }
}

/// Bytes of the first layer's sums.
///
/// # Safety
/// The instructions are there; `V` vectors can be written of two lines.
#[inline(always)]
pub unsafe fn hold<const V: usize>(sums: &[[__m512; V]; TOGETHER], plane: usize, out: *mut u8) {
    for q in 0..TOGETHER / QUAD {
        for v in 0..V {
            // SAFETY: the caller's promise.
            unsafe {
                // There is no bound to what comes in.
                let most = _mm512_set1_ps(LIMIT.into());
                let mut quad = [_mm512_setzero_si512(); QUAD];
                for i in 0..QUAD {
                    quad[i] = _mm512_cvtps_epi32(_mm512_min_ps(sums[q * QUAD + i][v], most));
                }
                _mm512_storeu_si512(out.add(q * plane + v * VECTOR).cast(), quads(quad));
            }
        }
    }
}

/// A row of a layer in the middle, with ReLU: `count` pixels. Those of `added`, times the ratio of their channel, are added.
pub fn body(
    _: Avx512,
    layer: &Layer,
    source: Source<'_>,
    added: Option<(&[u8], &[f32])>,
    count: usize,
    out: &mut [u8],
) {
    let (planes, plane) = (layer.outputs / QUAD, source.plane);
    let needed = (planes - 1) * plane + count.next_multiple_of(LANES) * LANE;
    assert!(out.len() >= needed, "the result fits its row");
    let rows = source.checked(layer.inputs, count);
    let out = out.as_mut_ptr();
    // SAFETY: there is a proof of the instructions, and room, as checked above and here.
    unsafe {
        if let Some((row, ratio)) = added {
            assert!(row.len() >= needed && ratio.len() >= layer.outputs, "every result has something added");
            let added = Added { row: row.as_ptr(), ratio: ratio.as_ptr() };
            body_row::<true>(layer, rows, plane, added, count, out);
        } else {
            let added = Added { row: std::ptr::null(), ratio: std::ptr::null() };
            body_row::<false>(layer, rows, plane, added, count, out);
        }
    }
}

/// What is added to the results of a layer; null where nothing is.
#[derive(Clone, Copy)]
pub struct Added {
    pub row: *const u8,
    /// Of each channel.
    pub ratio: *const f32,
}

/// # Safety
/// The instructions are there; whole vectors, and two pixels more, can be read, whole vectors be written.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn body_row<const ADD: bool>(
    layer: &Layer,
    rows: [*const u8; 3],
    plane: usize,
    added: Added,
    count: usize,
    out: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        blocks!(count, WIDE, x, [1 2 3], |V| {
            for first in (0..layer.outputs).step_by(TOGETHER) {
                let at = first / QUAD * plane + x * LANE;
                let added = Added { row: added.row.wrapping_add(at), ratio: added.ratio };
                let sums = sums::<TOGETHER, V>(layer, first, rows, plane, x);
                finish::<V, ADD>(&sums, layer, first, added, plane, out.add(at));
            }
        });
    }
}

/// The sums of a group of outputs, from output `first` and pixel `x` on, as bits of floats, see [`FAR`].
///
/// # Safety
/// The instructions are there; the layer has that group, the rows hold the pixels.
#[inline(always)]
unsafe fn sums<const O: usize, const V: usize>(
    layer: &Layer,
    first: usize,
    rows: [*const u8; 3],
    plane: usize,
    x: usize,
) -> [[__m512i; V]; O] {
    let bias = &layer.bias[first..first + O];
    let mut weights = layer.weights[first * layer.inputs * TAPS..][..O * layer.inputs * TAPS].as_ptr();
    // SAFETY: the caller's promise.
    unsafe {
        // Zeros, to be overwritten, would become a call that fills memory.
        let mut start = MaybeUninit::<[[__m512i; V]; O]>::uninit();
        for o in 0..O {
            for v in 0..V {
                start.as_mut_ptr().cast::<__m512i>().add(o * V + v).write(_mm512_set1_epi32(bias[o]));
            }
        }
        let mut sums = start.assume_init();
        for input in 0..layer.inputs {
            for row in 0..3 {
                for tap in 0..3 {
                    let from = rows[row].add(input * plane + (x + tap) * LANE);
                    let mut pixels = [_mm512_setzero_si512(); V];
                    for v in 0..V {
                        pixels[v] = _mm512_loadu_si512(from.add(v * VECTOR).cast());
                    }
                    for o in 0..O {
                        let weight = _mm512_set1_epi32(*weights.add(o));
                        for v in 0..V {
                            sums[o][v] = _mm512_dpbusd_epi32(sums[o][v], pixels[v], weight);
                        }
                    }
                    weights = weights.add(O);
                }
            }
        }
        sums
    }
}

/// Makes bytes of sums: of [`TOGETHER`] outputs from `first` on, four to a plane.
///
/// # Safety
/// The instructions are there; `V` vectors can be read of two planes, if there is something to add, and be written.
#[inline(always)]
pub unsafe fn finish<const V: usize, const ADD: bool>(
    sums: &[[__m512i; V]; TOGETHER],
    layer: &Layer,
    first: usize,
    added: Added,
    plane: usize,
    out: *mut u8,
) {
    let (factor, rest) = (&layer.factor[first..first + TOGETHER], &layer.rest[first..first + TOGETHER]);
    for q in 0..TOGETHER / QUAD {
        for v in 0..V {
            // SAFETY: the caller's promise.
            unsafe {
                let at = q * plane + v * VECTOR;
                let mut quad = [_mm512_setzero_si512(); QUAD];
                for i in 0..QUAD {
                    let o = q * QUAD + i;
                    quad[i] = if ADD {
                        add(sums[o][v], factor[o], added.row.add(at), i, *added.ratio.add(first + o))
                    } else {
                        rounded(sums[o][v], factor[o], rest[o])
                    };
                }
                _mm512_storeu_si512(out.add(at).cast(), quads(quad));
            }
        }
    }
}

/// The nearest integers to sums times their factor. The sums are far from zero already, see [`FAR`], and so is each product
/// once the rest of it is added: by one rounding.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn rounded(sum: __m512i, factor: f32, rest: f32) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let near = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps(factor), _mm512_set1_ps(rest));
        _mm512_sub_epi32(_mm512_castps_si512(near), _mm512_castps_si512(_mm512_set1_ps(FAR)))
    }
}

/// ReLU, and then channel `i` of what is held at `row` added, times its ratio.
///
/// # Safety
/// The instructions are there, a vector is readable there.
#[inline(always)]
unsafe fn add(sum: __m512i, factor: f32, row: *const u8, i: usize, ratio: f32) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let sum = _mm512_sub_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps(FAR));
        let value = _mm512_max_ps(_mm512_mul_ps(sum, _mm512_set1_ps(factor)), _mm512_setzero_ps());
        let shift = _mm_cvtsi32_si128(8 * i as i32);
        let held = _mm512_srl_epi32(_mm512_loadu_si512(row.cast()), shift);
        let held = _mm512_cvtepi32_ps(_mm512_and_si512(held, _mm512_set1_epi32(0xff)));
        _mm512_cvtps_epi32(_mm512_add_ps(value, _mm512_mul_ps(held, _mm512_set1_ps(ratio))))
    }
}

/// A row of the last layer, `count` pixels: floats `[outputs][stride]`.
pub fn tail(_: Avx512, layer: &Layer, source: Source<'_>, count: usize, stride: usize, out: &mut [f32]) {
    let needed = (layer.outputs - 1) * stride + count.next_multiple_of(LANES);
    assert!(out.len() >= needed, "the result fits its rows");
    let rows = source.checked(layer.inputs, count);
    // SAFETY: there is a proof of the instructions, and room, as checked above.
    unsafe { tail_row(layer, rows, source.plane, count, stride, out.as_mut_ptr()) }
}

/// # Safety
/// The instructions are there; whole vectors, and two pixels more, can be read, whole vectors be written.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tail_row(layer: &Layer, rows: [*const u8; 3], plane: usize, count: usize, stride: usize, out: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        for first in (0..layer.outputs).step_by(TAIL) {
            blocks!(count, WIDEST, x, [1 2 3 4 5 6], |V| {
                let sums = sums::<TAIL, V>(layer, first, rows, plane, x);
                for o in 0..TAIL {
                    let factor = _mm512_set1_ps(layer.factor[first + o]);
                    for v in 0..V {
                        let sum = _mm512_sub_ps(_mm512_castsi512_ps(sums[o][v]), _mm512_set1_ps(FAR));
                        let value = _mm512_mul_ps(sum, factor);
                        _mm512_storeu_ps(out.add((first + o) * stride + x + v * LANES), value);
                    }
                }
            });
        }
    }
}
