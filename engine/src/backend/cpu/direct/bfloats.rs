//! In bf16, sums in f32.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use std::arch::x86_64::*;

use super::cell::{Around, Held, Ring};
use super::head::{Head, TOGETHER};
use super::products::{BLOCK, End, Product, TileWeights, checked_floats, two_rows};
use super::{Direct, LANE, LANES, Number, padded};
use crate::backend::cpu::dispatch::{Isa, Level};
use crate::backend::cpu::kernels::bfloat::side_by_side;
use crate::backend::cpu::tiles::{self, ROWS};
use crate::network::{Conv, Layers, Network};

/// Channels of a lane.
const PAIR: usize = 2;

/// bf16, by products of tiles. There are some only where there are tiles, and BF16.
pub struct Bfloats(());

/// A 3x3 convolution.
pub struct Layer {
    tiles: TileWeights,
    /// Of every output, those that fill up groups included.
    bias: Vec<f32>,
}

impl Layer {
    fn new(conv: &Conv, outputs: usize) -> Self {
        let weight: Vec<_> = conv.weight.iter().map(|&w| half::bf16::from_f32(w).to_bits()).collect();
        let mut bias = conv.bias.clone();
        bias.resize(outputs, 0.0);
        Self { tiles: TileWeights::new(&weight, (conv.cout, conv.cin), padded(conv.cin)), bias }
    }
}

impl Direct<Bfloats> {
    /// None for other networks, and where there are no tiles.
    pub fn bfloats(isa: Isa, network: &Network) -> Option<Self> {
        let Level::Avx512(proof) = isa.0 else { return None };
        let Layers { head, body, tail, skip } = network.luma().filter(|_| proof.amx())?;
        Some(Self {
            numbers: Bfloats(()),
            proof,
            scale: network.scale,
            head: Head::new(head),
            layers: body.into_iter().map(|conv| Layer::new(conv, padded(conv.cout))).collect(),
            tail: Layer::new(tail, tail.cout),
            skip: skip.then(|| vec![1.0; padded(head.cout)]),
        })
    }
}

impl Number for Bfloats {
    const SIDE: usize = PAIR;

    type Layer = Layer;

    fn outputs(layer: &Layer) -> usize {
        layer.bias.len()
    }

    fn block(&self) -> usize {
        BLOCK
    }

    #[inline(always)]
    unsafe fn hold<const V: usize>(sums: &[[__m512; V]; TOGETHER], plane: usize, out: *mut u8) {
        for pair in 0..TOGETHER / PAIR {
            for v in 0..V {
                // SAFETY: the caller's promise.
                unsafe {
                    let [first, second] = [sums[2 * pair][v], sums[2 * pair + 1][v]].map(|sum| relu(sum));
                    let to = out.add(pair * plane + v * LANES * LANE);
                    _mm512_storeu_si512(to.cast(), side_by_side(first, second));
                }
            }
        }
    }

    fn head(&self, head: &Head, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
        fn row(head: &Head, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]) {
            // SAFETY: the instructions are there.
            unsafe { head.row::<Bfloats>(rows, count, plane, out) }
        }
        // SAFETY: there is a proof of the instructions; BF16 is asked for when the network is made.
        unsafe { row(head, rows, count, plane, out) }
    }

    fn body(&self, layer: &Layer, around: Around<'_>, held: Option<Held<'_>>, out: &mut Ring) {
        let source = around.in_tiles();
        let (plane, lines) = (source.plane, layer.bias.len() / PAIR);
        source.check(&layer.tiles, around.count);
        let out = out.written_in_tiles(around.top).checked(lines, plane, around.count);
        // SAFETY: these numbers are made where there are tiles, and BF16; there is room, as checked.
        unsafe {
            if let Some(held) = held {
                let added = held.checked(around.top, lines, around.count);
                run(layer, around, &BodyEnd::<true> { layer, added, plane, out });
            } else {
                let added = [std::ptr::null(); BLOCK];
                run(layer, around, &BodyEnd::<false> { layer, added, plane, out });
            }
        }
    }

    fn tail(&self, layer: &Layer, around: Around<'_>, stride: usize, out: &mut [Vec<f32>]) {
        around.in_tiles().check(&layer.tiles, around.count);
        let end = TailEnd { layer, stride, out: checked_floats(out, layer.bias.len(), stride, around.count) };
        // SAFETY: as for the body.
        unsafe { run(layer, around, &end) }
    }
}

/// # Safety
/// As for [`two_rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn run<E: End>(layer: &Layer, around: Around<'_>, end: &E) {
    // SAFETY: the caller's promise.
    unsafe { two_rows(&layer.tiles, layer.bias.len(), around.in_tiles(), around.count, end) }
}

/// Of two numbers one of which is none the instruction takes the second: what is not a number stays none.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn relu(sum: __m512) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_max_ps(_mm512_setzero_ps(), sum) }
}

impl Product for Bfloats {
    #[inline(always)]
    unsafe fn multiply<const S: usize, const W: usize, const P: usize>() {
        // SAFETY: the caller's promise.
        unsafe { tiles::multiply_bfloats::<S, W, P>() }
    }
}

struct BodyEnd<'a, const ADD: bool> {
    layer: &'a Layer,
    /// What is added, null where nothing is.
    added: [*const u8; BLOCK],
    plane: usize,
    out: [*mut u8; BLOCK],
}

impl<const ADD: bool> End for BodyEnd<'_, ADD> {
    type Product = Bfloats;

    #[inline(always)]
    unsafe fn end(&self, row: usize, group: usize, x: usize, from: *const u8) {
        let first = group * ROWS;
        let bias = &self.layer.bias[first..first + ROWS];
        for pair in 0..ROWS / PAIR {
            // SAFETY: the caller's promise.
            unsafe {
                let at = (first / PAIR + pair) * self.plane + x * LANE;
                let mut values = [_mm512_setzero_ps(); PAIR];
                for i in 0..PAIR {
                    let o = PAIR * pair + i;
                    let sum = _mm512_loadu_ps(from.cast::<f32>().add(o * LANES));
                    values[i] = relu(_mm512_add_ps(sum, _mm512_set1_ps(bias[o])));
                }
                if ADD {
                    let both = _mm512_loadu_si512(self.added[row].add(at).cast());
                    let first = _mm512_slli_epi32::<16>(both);
                    let second = _mm512_and_si512(both, _mm512_set1_epi32(!0xffff));
                    values[0] = _mm512_add_ps(values[0], _mm512_castsi512_ps(first));
                    values[1] = _mm512_add_ps(values[1], _mm512_castsi512_ps(second));
                }
                _mm512_storeu_si512(self.out[row].add(at).cast(), side_by_side(values[0], values[1]));
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
    type Product = Bfloats;

    #[inline(always)]
    unsafe fn end(&self, row: usize, _group: usize, x: usize, from: *const u8) {
        for (o, bias) in self.layer.bias.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let sum = _mm512_loadu_ps(from.cast::<f32>().add(o * LANES));
                _mm512_storeu_ps(self.out[row].add(o * self.stride + x), _mm512_add_ps(sum, _mm512_set1_ps(*bias)));
            }
        }
    }
}
