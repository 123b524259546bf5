//! GLA without its attention: hash codes, the stable sort, and the mean of the rounds.

use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;
use crate::backend::cpu::simd::{MAX_LANES, Simd};

/// Columns of the stored rotations: the most buckets that there can be.
pub const MAX_BUCKETS: usize = 128;

/// Buckets for that many tokens: even, 2 to 128.
pub fn buckets(tokens: usize, chunk: usize) -> usize {
    let q = tokens / chunk;
    (q + q % 2).clamp(2, MAX_BUCKETS)
}

kernel! {
    /// Codes of tokens `[tokens][channels]`: the lowest of the buckets whose rotated value is largest. Sums run over the
    /// channels in order, with one rounding each, as in the reference: ties fall alike.
    pub fn hash_codes<S>(s, embed: &[f32], channels: usize, rotation: &[f32], count: usize, codes: &mut [u8]) {
        let rotation = &rotation[..channels * MAX_BUCKETS];
        for (token, code) in embed.chunks_exact(channels).zip(codes) {
            let mut values = [f32::NEG_INFINITY; MAX_BUCKETS];
            for first in (0..count).step_by(SIDE_BY_SIDE * S::LANES) {
                rotate(s, token, rotation, first, &mut values);
            }
            values[count..].fill(f32::NEG_INFINITY);
            *code = first_largest(s, &values);
        }
    }
}

/// Vectors of buckets that are summed side by side, so that no sum waits for itself.
const SIDE_BY_SIDE: usize = 8;
const _: () = assert!(MAX_BUCKETS.is_multiple_of(SIDE_BY_SIDE * MAX_LANES));

/// The rotated values of some buckets from `first` on.
#[inline(always)]
fn rotate<S: Simd>(s: S, token: &[f32], rotation: &[f32], first: usize, values: &mut [f32; MAX_BUCKETS]) {
    let mut sums = [s.splat(0.0); SIDE_BY_SIDE];
    for (e, &v) in token.iter().enumerate() {
        let from = &rotation[e * MAX_BUCKETS + first..][..SIDE_BY_SIDE * S::LANES];
        let v = s.splat(v);
        for (n, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the slice is so many vectors long.
            *sum = s.exact_fma(v, unsafe { s.load(from.as_ptr().add(n * S::LANES)) }, *sum);
        }
    }
    let to = &mut values[first..][..SIDE_BY_SIDE * S::LANES];
    for (n, &sum) in sums.iter().enumerate() {
        // SAFETY: as above.
        unsafe { s.store(to.as_mut_ptr().add(n * S::LANES), sum) };
    }
}

/// The place of the first of the largest values; 0 if none is a number.
#[inline(always)]
fn first_largest<S: Simd>(s: S, values: &[f32; MAX_BUCKETS]) -> u8 {
    let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
    let mut largest = s.splat(f32::NEG_INFINITY);
    for first in (0..MAX_BUCKETS).step_by(S::LANES) {
        // SAFETY: the values are whole vectors.
        largest = s.max(unsafe { s.load(values.as_ptr().add(first)) }, largest);
    }
    // SAFETY: the array has room for the widest vector.
    unsafe { s.store(lanes.as_mut_ptr(), largest) };
    let mut best = f32::NEG_INFINITY;
    for &lane in &lanes {
        if lane > best {
            best = lane;
        }
    }
    let mut at = u32::MAX;
    for (i, &v) in values.iter().enumerate() {
        at = at.min(if v == best { i as u32 } else { u32::MAX });
    }
    if at == u32::MAX { 0 } else { at as u8 }
}

kernel! {
    /// One over the norm of each of the tokens `[tokens][channels]`, a norm being 5e-5 at the least.
    pub fn inverse_norms<S>(s, embed: &[f32], channels: usize, out: &mut [f32]) {
        for (token, out) in embed.chunks_exact(channels).zip(out) {
            let mut sum = s.splat(0.0);
            for first in (0..channels).step_by(S::LANES) {
                let part = &token[first..];
                // SAFETY: only what is left of the token is read.
                let v = unsafe { s.load_first(part.as_ptr(), part.len().min(S::LANES)) };
                sum = s.fma(v, v, sum);
            }
            *out = 1.0 / s.sum(sum).sqrt().max(5e-5);
        }
    }
}

/// Tokens in the order of their codes, ties by place, to `order[..tokens]`; then the last ones once more, until chunks are
/// full; and the place of every token. `order` is as long as whole chunks.
pub fn sort(codes: &[u8], order: &mut [u32], places: &mut [u32]) {
    let mut next = [0_u32; 256];
    for &code in codes {
        next[usize::from(code)] += 1;
    }
    let mut first = 0;
    for n in &mut next {
        first += std::mem::replace(n, first);
    }
    for (token, (&code, place)) in codes.iter().zip(places).enumerate() {
        let slot = &mut next[usize::from(code)];
        *place = *slot;
        order[*slot as usize] = token as u32;
        *slot += 1;
    }
    let pad = order.len() - codes.len();
    order.copy_within(codes.len() - pad..codes.len(), codes.len());
}

/// What one round gave, in sorted order.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Tokens in sorted order, copies at the end.
    pub order: Vec<u32>,
    /// Place of every token in the order.
    pub places: Vec<u32>,
    /// Codes of the tokens.
    pub codes: Vec<u8>,
    /// `[places][channels]`.
    pub results: Vec<f32>,
    /// Logarithms of the sums of exponentials.
    pub weights: Vec<f32>,
}

/// One row: `x` plus the mean of the rounds, each weighted by the softmax of its sum. `first` is the row's first token.
pub fn combine(taps: Taps<'_>, rounds: &[Round], first: usize, out: &mut [f32]) {
    let line = taps.line();
    let channels = taps.len();
    for c in 0..channels {
        line.pixels_mut(out, c).copy_from_slice(taps.pixels(c));
    }
    for x in 0..line.width {
        let place = |round: &Round| round.places[first + x] as usize;
        let largest = rounds.iter().map(|r| r.weights[place(r)]).fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = rounds.iter().map(|r| (r.weights[place(r)] - largest).exp()).sum();
        for round in rounds {
            let share = (round.weights[place(round)] - largest).exp() / total;
            let result = &round.results[place(round) * channels..][..channels];
            for (c, v) in result.iter().enumerate() {
                out[c * line.stride + line.left + x] += share * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference;

    #[test]
    fn the_sort_is_the_reference_one() {
        for (tokens, chunk) in [(1, 1), (5, 5), (100, 7), (300, 128), (999, 64)] {
            let codes: Vec<u8> = (0..tokens).map(|i| (i * i % 11 * 9 % 128) as u8).collect();
            let mut order = vec![0; (tokens as usize).next_multiple_of(chunk)];
            let mut places = vec![0; tokens as usize];
            sort(&codes, &mut order, &mut places);
            let expected = reference::chunk_order(&codes, chunk);
            assert!(order.iter().map(|&t| t as usize).eq(expected), "{tokens} {chunk}");
            assert!((0..tokens).all(|t| order[places[t as usize] as usize] == t as u32));
        }
    }
}
