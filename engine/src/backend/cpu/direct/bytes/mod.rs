//! In bytes without a sign, times weights with one: sums are exact.

mod ends;
mod kernels;
mod layer;
mod pace;

use std::arch::x86_64::__m512;

use self::layer::Layer;
use super::cell::{Around, Held, Ring};
use super::head::{Head, TOGETHER};
use super::products::BLOCK;
use super::{Direct, LANES, Number, padded};
use crate::backend::cpu::dispatch::{Isa, Level};
use crate::backend::cpu::simd::Avx512;
use crate::network::{Network, Quantized};

/// Bytes.
pub struct Bytes {
    proof: Avx512,
    /// Whether tiles are multiplied, two rows at a time, or vectors, a row at a time.
    tiles: bool,
}

impl Direct<Bytes> {
    /// None for a network that has no integer form, and on other instruction sets.
    pub fn bytes(isa: Isa, network: &Network) -> Option<Self> {
        let Level::Avx512(proof) = isa.0 else { return None };
        let Quantized { head, body, tail, skip } = network.quantized().filter(|_| proof.vnni())?;
        let tiles = proof.amx();
        Some(Self {
            numbers: Bytes { proof, tiles },
            proof,
            scale: network.scale,
            head: Head::new(&head),
            layers: body.iter().map(|conv| Layer::body(conv, tiles)).collect(),
            tail: Layer::tail(&tail, tiles),
            skip: skip.map(|mut ratio| {
                ratio.resize(padded(head.cout), 0.0);
                ratio
            }),
        })
    }

    /// Whether it is likely to be faster here than a Winograd convolution, which has half as many products, of twice the
    /// bits, and many sums besides (with 32 channels: 105 in place of 88 ms for 1280x720 on a Zen 4).
    pub fn pays(&self) -> bool {
        self.numbers.tiles || self.head.outputs() <= LANES || pace::multiplies_as_it_adds(self.proof)
    }
}

impl Number for Bytes {
    const SIDE: usize = kernels::QUAD;

    type Layer = Layer;

    fn outputs(layer: &Layer) -> usize {
        layer.outputs
    }

    fn block(&self) -> usize {
        if self.tiles { BLOCK } else { 1 }
    }

    #[inline(always)]
    unsafe fn hold<const V: usize>(sums: &[[__m512; V]; TOGETHER], plane: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { kernels::hold(sums, plane, out) }
    }

    fn head(&self, head: &Head, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn row(head: &Head, rows: [&[f32]; 3], count: usize, plane: usize, out: &mut [u8]) {
            // SAFETY: the instructions are there.
            unsafe { head.row::<Bytes>(rows, count, plane, out) }
        }
        // SAFETY: there is a proof of the instructions; VNNI is asked for when the network is made.
        unsafe { row(head, rows, count, plane, out) }
    }

    fn body(&self, layer: &Layer, around: Around<'_>, held: Option<Held<'_>>, out: &mut Ring) {
        if self.tiles {
            // SAFETY: numbers that use tiles are made where the processor has them.
            return unsafe { ends::body(self.proof, layer, around, held, out) };
        }
        let (rows, plane) = around.rows();
        let added = held.map(|held| (held.row(around.top), held.ratio));
        let source = kernels::Source { rows, plane };
        kernels::body(self.proof, layer, source, added, around.count, out.written(around.top));
    }

    fn tail(&self, layer: &Layer, around: Around<'_>, stride: usize, out: &mut [Vec<f32>]) {
        if self.tiles {
            // SAFETY: as for the body.
            return unsafe { ends::tail(self.proof, layer, around, stride, out) };
        }
        let (rows, plane) = around.rows();
        kernels::tail(self.proof, layer, kernels::Source { rows, plane }, around.count, stride, &mut out[0]);
    }
}
