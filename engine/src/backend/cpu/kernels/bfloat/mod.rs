//! 1x1 convolution in bf16, sums in f32: by the dot product of pairs, with twice the multiply-adds of f32, or by products of
//! tiles (AMX), with sixteen times as many.
//!
//! Some pixels of all channels are rounded to bf16, two channels of a pixel side by side, and stay in the first-level cache
//! over all output channels (`narrow`). Bound: multiply-adds, with AMX what goes
//! before and after them.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod dynamic;
#[cfg(target_arch = "x86_64")]
mod tiles;

#[cfg(target_arch = "x86_64")]
pub use self::avx512::side_by_side;
use std::ops::Range;

use super::conv::After;
use super::dynamic::DynamicFilter;
use super::narrow::{OUTPUTS, WIDE, check};
use crate::backend::cpu::dispatch::{Isa, Level};
use crate::backend::cpu::line::{Buffer, Taps};
use crate::backend::cpu::simd::MAX_LANES;
use crate::network::Conv;

/// Output channels of a tile, and the most pairs of channels that a product of tiles takes.
const TILE: usize = 16;
/// Tiles of outputs, and vectors of pixels, that tiles compute together.
const SQUARE: usize = 2;

/// Pixels of a vector.
const LANES: usize = 16;

/// Weights in the order in which vectors or tiles read them.
#[derive(Clone, Debug)]
pub struct BfloatConv {
    /// Channels in.
    pub cin: usize,
    /// Channels out.
    pub cout: usize,
    /// Whether tiles are multiplied, or vectors.
    tiles: bool,
    /// Two bf16 each, filled up with zeros: `[cout / 8][cin / 2][8]`, in tiles `[cout / 16][steps][16][16]`.
    weight: Buffer<u32>,
    /// `[cout]`, filled up likewise.
    bias: Vec<f32>,
}

impl BfloatConv {
    /// Rounds the weights of a block; None where a dot product would be of one channel only, or the kernel is another.
    pub fn new(p: &Conv, isa: Isa) -> Option<Self> {
        (p.kernel == 1 && p.cin > 1).then(|| Self::rounded(p, isa.tiles()))
    }

    /// For vectors, of a 1x1 convolution of any number of channels.
    pub fn of_vectors(p: &Conv) -> Self {
        Self::rounded(p, false)
    }

    fn rounded(p: &Conv, tiles: bool) -> Self {
        let mut packed = Self { cin: p.cin, cout: p.cout, tiles, weight: Buffer::default(), bias: p.bias.clone() };
        let (_, steps, outputs) = packed.order();
        let filled = p.cout.next_multiple_of(outputs);
        packed.weight = Buffer::zeros(filled * steps * packed.row());
        packed.bias.resize(filled, 0.0);
        packed.pack(&p.weight);
        packed
    }

    /// Takes other weights, `[cout][cin]`.
    pub fn pack(&mut self, weight: &[f32]) {
        let ((together, steps, outputs), row) = (self.order(), self.row());
        let words = self.weight.as_mut_slice();
        words.fill(0);
        for (i, w) in weight.iter().enumerate() {
            let (o, c) = (i / self.cin, i % self.cin);
            let bits = u32::from(half::bf16::from_f32(*w).to_bits());
            let place = (o / outputs * steps + c / 2 / together) * outputs + o % outputs;
            words[place * row + c / 2 % together] |= bits << (c % 2 * 16);
        }
    }

    /// Pairs of channels that are multiplied at a time, how many times, and by how many outputs.
    fn order(&self) -> (usize, usize, usize) {
        let (together, steps) = if self.tiles { steps(self.pairs()) } else { (1, self.pairs()) };
        (together, steps, if self.tiles { TILE } else { OUTPUTS })
    }

    /// Words from one output's to the next one's: in tiles a cache line, as a row that lies on two of them is slow to load.
    fn row(&self) -> usize {
        if self.tiles { TILE } else { 1 }
    }

    fn pairs(&self) -> usize {
        self.cin.div_ceil(2)
    }

    /// Values of scratch that the kernel needs.
    pub fn scratch(&self) -> usize {
        let (pairs, steps) = steps(self.pairs());
        if self.tiles { (SQUARE * TILE + pairs * steps) * SQUARE * LANES } else { self.pairs() * WIDE * MAX_LANES }
    }
}

/// Pairs of channels that tiles multiply at a time, as many each time, and how many times: pairs that fill up the last are
/// zeros.
fn steps(pairs: usize) -> (usize, usize) {
    let count = pairs.div_ceil(TILE);
    (pairs.div_ceil(count), count)
}

/// Pixels `range` of one row: lines `[cin]` in, `[cout]` out. Up to a vector beyond the range is overwritten.
///
/// # Panics
/// If lines, scratch or output do not fit, the scratch does not begin on a cache line, or the instruction set is none of
/// [`Isa::bf16`].
pub fn conv(
    isa: Isa,
    (taps, range): (Taps<'_>, Range<usize>),
    p: &BfloatConv,
    after: After<'_>,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    check((taps, &range), (p.cin, p.cout), after, (scratch, p.scratch()), out);
    check_alignment(scratch);
    let room = scratch.as_mut_ptr();
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512(proof) if proof.bf16() => {
            // SAFETY: all sizes have been compared, and there is a proof of the instructions; weights are in tiles only where
            // there are tiles.
            unsafe {
                if p.tiles {
                    tiles::row(proof, (taps, range), p, after, room.cast(), out);
                } else {
                    avx512::row(proof, (taps, range), p, after, room.cast(), out);
                }
            }
        }
        _ => panic!("{} has no products of bf16", isa.name()),
    }
}

/// Vectors are stored there as such.
fn check_alignment(scratch: &[f32]) {
    assert!(scratch.as_ptr().addr().is_multiple_of(4 * LANES), "the scratch begins on a cache line");
}

/// The dynamic filter with kernels that are made in bf16.
///
/// # Panics
/// If the scratch does not begin on a cache line, or the instruction set is none of [`Isa::bf16`].
pub fn dynamic_filter(
    isa: Isa,
    taps: (Taps<'_>, Taps<'_>),
    p: (&DynamicFilter, &[BfloatConv]),
    scratch: &mut [f32],
    out: &mut [f32],
) {
    check_alignment(scratch);
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller has compared all sizes, and there is a proof of the instructions.
        Level::Avx512(proof) if proof.bf16() => unsafe { dynamic::row(proof, taps, p, scratch, out) },
        _ => panic!("{} has no products of bf16", isa.name()),
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::backend::cpu::line::{Line, TapRoom};
    use crate::backend::cpu::tests::noise;
    use crate::network::Activation;

    #[test]
    fn sums_are_those_of_rounded_values() {
        let all = Isa::all_and_amx().into_iter().filter(|isa| isa.bf16());
        let sizes = [(2, 1, 1), (3, 5, 17), (48, 104, 33), (33, 24, 95), (7, 9, 160), (83, 16, 32), (96, 33, 48)];
        for (isa, (cin, cout, width)) in all.flat_map(|isa| sizes.map(|size| (isa, size))) {
            let weight = noise(cin * cout, 3);
            let conv = Conv { cin, cout, kernel: 1, weight, bias: noise(cout, 4), activation: Activation::None };
            let line = Line::new(width, 1);
            let x = noise(cin * line.stride, 5);
            let zeros = vec![0.0; line.stride];
            let mut taps = TapRoom::default();
            let mut table = taps.start(cin, line, &zeros);
            table.row(0, 1, &x);
            let packed = BfloatConv::new(&conv, isa).unwrap();
            let mut out = vec![0.0; cout * line.stride];
            let mut scratch = Buffer::zeros(packed.scratch());
            let after = After::from(Activation::None);
            super::conv(isa, (table.finish(), 0..width), &packed, after, scratch.as_mut_slice(), &mut out);
            let round = |v: f32| f64::from(bf16::from_f32(v).to_f32());
            for (o, i) in (0..cout).flat_map(|o| (0..width).map(move |i| (o, i))) {
                let product = |c: usize| round(line.pixels(&x, c)[i]) * round(conv.weight[o * cin + c]);
                let truth = f64::from(conv.bias[o]) + (0..cin).map(product).sum::<f64>();
                let found = f64::from(line.pixels(&out, o)[i]);
                assert!((found - truth).abs() < 1e-5, "{cin} {cout} {width} {}: {found}, not {truth}", isa.name());
            }
        }
    }

    #[test]
    fn rows_of_tiles_are_cache_lines_of_pairs() {
        let (cin, cout) = (48, 20);
        let weight = noise(cin * cout, 3);
        let conv = Conv { cin, cout, kernel: 1, weight, bias: noise(cout, 4), activation: Activation::None };
        let packed = BfloatConv::rounded(&conv, true);
        let rows = packed.weight.as_slice().as_chunks::<TILE>().0;
        assert!(rows.as_ptr().addr().is_multiple_of(64) && rows.len() == 2 * 2 * TILE);
        for (i, row) in rows.iter().enumerate() {
            let (o, step) = (i / 2 / TILE * TILE + i % TILE, i / TILE % 2);
            for (k, word) in row.iter().enumerate() {
                let weight = |half: usize| match conv.weight.get(o * cin + 2 * (12 * step + k) + half) {
                    Some(&weight) if k < 12 => u32::from(bf16::from_f32(weight).to_bits()),
                    _ => 0,
                };
                assert_eq!(*word, weight(0) | weight(1) << 16, "output {o}, step {step}, pair {k}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "the scratch begins on a cache line")]
    fn scratch_elsewhere_is_refused() {
        check_alignment(&Buffer::<f32>::zeros(LANES).as_slice()[1..]);
    }

    #[test]
    fn only_dot_products_of_pixels_are_taken() {
        let conv = |cin, kernel| Conv {
            cin,
            cout: 1,
            kernel,
            weight: vec![0.0; cin * kernel * kernel],
            bias: vec![0.0],
            activation: Activation::None,
        };
        for isa in Isa::all_and_amx() {
            assert!(BfloatConv::new(&conv(1, 1), isa).is_none() && BfloatConv::new(&conv(4, 3), isa).is_none());
            assert!(BfloatConv::new(&conv(2, 1), isa).is_some());
        }
    }
}
