//! GLA: hash codes, the stable sort, and the attention of a chunk to itself and its neighbours.
//!
//! Both products of the attention are 1x1 convolutions whose "pixels" are the queries of the chunk and whose weights are
//! the keys, or the values, packed for the occasion. Bound: multiply-adds.

use super::conv::{PackedConv, conv};
use crate::backend::cpu::dispatch::{Isa, kernel};
use crate::backend::cpu::line::{Line, TapRoom, Taps};
use crate::backend::cpu::math::exp;
use crate::backend::cpu::simd::GROUP;
use crate::network::Activation;

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
            let mut values = [0.0; MAX_BUCKETS];
            for first in (0..count).step_by(S::LANES) {
                let mut sum = s.splat(0.0);
                for (e, &v) in token.iter().enumerate() {
                    let from = &rotation[e * MAX_BUCKETS + first..][..S::LANES];
                    // SAFETY: the slice is a vector long.
                    sum = s.exact_fma(s.splat(v), unsafe { s.load(from.as_ptr()) }, sum);
                }
                let to = &mut values[first..][..S::LANES];
                // SAFETY: as above.
                unsafe { s.store(to.as_mut_ptr(), sum) };
            }
            let (mut best, mut at) = (f32::NEG_INFINITY, 0);
            for (i, &v) in values[..count].iter().enumerate() {
                if v > best {
                    (best, at) = (v, i);
                }
            }
            *code = at as u8;
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

/// What every chunk reads, all `[tokens][..]`.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Queries and keys.
    pub embed: &'a [f32],
    /// Values.
    pub values: &'a [f32],
    /// Scores of a key for every place in a chunk.
    pub scores: &'a [f32],
    /// Channels of `embed`.
    pub reduced: usize,
    /// Channels of `values`.
    pub channels: usize,
    /// Tokens of a chunk.
    pub chunk: usize,
}

/// Buffers of the attention of one chunk, kept from chunk to chunk.
#[derive(Debug)]
pub struct ChunkRoom {
    line: Line,
    zeros: Vec<f32>,
    taps: TapRoom,
    queries: Vec<f32>,
    keys: PackedConv,
    scores: Vec<f32>,
    values: PackedConv,
    result: Vec<f32>,
    sums: Vec<f32>,
}

impl ChunkRoom {
    /// For chunks of that shape.
    pub fn new(chunk: usize, reduced: usize, channels: usize) -> Self {
        let line = Line::new(chunk, 0);
        Self {
            line,
            zeros: vec![0.0; line.stride],
            taps: TapRoom::default(),
            queries: vec![0.0; reduced * line.stride],
            keys: PackedConv::with_shape(reduced, 3 * chunk, 1),
            scores: vec![0.0; 3 * chunk * line.stride],
            values: PackedConv::with_shape(3 * chunk, channels, 1),
            result: vec![0.0; channels * line.stride],
            sums: vec![0.0; 2 * line.stride],
        }
    }

    /// Chunk, matching channels and value channels that it is for.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.line.width, self.queries.len() / self.line.stride, self.result.len() / self.line.stride)
    }

    /// Bytes that it takes.
    pub fn bytes(chunk: usize, reduced: usize, channels: usize) -> usize {
        let line = Line::new(chunk, 0).stride;
        4 * (3 * chunk * (reduced + line + channels + 2 * GROUP) + line * (reduced + channels + 4))
    }
}

/// Chunk `j` of one round: to `results` `[chunk][channels]` and `weights` `[chunk]`, in sorted order, the mean values and
/// the logarithms of the sums of exponentials.
pub fn attend(
    isa: Isa,
    t: Tokens<'_>,
    order: &[u32],
    j: usize,
    room: &mut ChunkRoom,
    results: &mut [f32],
    weights: &mut [f32],
) {
    let chunks = order.len() / t.chunk;
    let part = |n: usize| &order[n * t.chunk..][..t.chunk];
    let neighbours = [j, (j + chunks - 1) % chunks, (j + 1) % chunks];
    let keys = || neighbours.iter().flat_map(|&n| part(n)).map(|&token| token as usize);
    let line = room.line;
    for (i, &token) in part(j).iter().enumerate() {
        for (e, &v) in t.embed[token as usize * t.reduced..][..t.reduced].iter().enumerate() {
            line.pixels_mut(&mut room.queries, e)[i] = v;
        }
    }
    for (l, token) in keys().enumerate() {
        let key = &t.embed[token * t.reduced..][..t.reduced];
        let norm = key.iter().map(|v| v * v).sum::<f32>().sqrt().max(5e-5);
        for (e, &v) in key.iter().enumerate() {
            room.keys.weight[(l / GROUP * t.reduced + e) * GROUP + l % GROUP] = v / norm;
        }
        let value = &t.values[token * t.channels..][..t.channels];
        for (c, &v) in value.iter().enumerate() {
            room.values.weight[(c / GROUP * 3 * t.chunk + l) * GROUP + c % GROUP] = v;
        }
    }
    let taps = lines(&mut room.taps, &room.queries, line, &room.zeros);
    conv(isa, taps, &room.keys, 0..t.chunk, Activation::None, &mut room.scores);
    for (l, token) in keys().enumerate() {
        let scores = &t.scores[token * t.chunk..][..t.chunk];
        line.pixels_mut(&mut room.scores, l).iter_mut().zip(scores).for_each(|(v, score)| *v += score);
    }
    softmax(isa, line, &mut room.scores, &mut room.sums);
    let taps = lines(&mut room.taps, &room.scores, line, &room.zeros);
    conv(isa, taps, &room.values, 0..t.chunk, Activation::None, &mut room.result);
    let (sums, largest) = (line.pixels(&room.sums, 0), line.pixels(&room.sums, 1));
    for (i, weight) in weights.iter_mut().enumerate() {
        *weight = largest[i] + sums[i].ln();
    }
    for (c, from) in room.result.chunks_exact(line.stride).enumerate() {
        for (i, v) in from[line.left..][..t.chunk].iter().enumerate() {
            results[i * t.channels + c] = v / sums[i];
        }
    }
}

fn lines<'a>(room: &'a mut TapRoom, row: &'a [f32], line: Line, zeros: &'a [f32]) -> Taps<'a> {
    let mut table = room.start(row.len() / line.stride, line, zeros);
    table.row(0, 1, row);
    table.finish()
}

kernel! {
    /// Scores to `exp(score - largest)`, per query over all keys; the sums to line 0 of `sums` and the largest to line 1.
    fn softmax<S>(s, line: Line, scores: &mut [f32], sums: &mut [f32]) {
        let keys = scores.len() / line.stride;
        assert!(sums.len() >= 2 * line.stride, "room for two lines");
        for x in (line.left..line.left + line.width).step_by(S::LANES) {
            // SAFETY: a line has room for a vector at every pixel (`Line::new`), and there are `keys` and 2 lines.
            unsafe {
                let mut largest = s.splat(f32::NEG_INFINITY);
                for key in 0..keys {
                    largest = s.max(largest, s.load(scores.as_ptr().add(key * line.stride + x)));
                }
                let mut sum = s.splat(0.0);
                for key in 0..keys {
                    let at = scores.as_mut_ptr().add(key * line.stride + x);
                    let v = exp(s, s.sub(s.load(at), largest));
                    sum = s.add(sum, v);
                    s.store(at, v);
                }
                s.store(sums.as_mut_ptr().add(x), sum);
                s.store(sums.as_mut_ptr().add(line.stride + x), largest);
            }
        }
    }
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
