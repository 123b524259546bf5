//! GLA: the attention of a chunk of tokens to itself and its neighbours.
//!
//! Keys, values and place scores are read where they lie, token by token; only queries are turned, so that a vector holds
//! the same channel of several. Bound: multiply-adds.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::{load_tile, tiles};
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::math::exp;
use crate::backend::cpu::simd::{GROUP, MAX_LANES, Simd};

/// What every chunk reads, all `[tokens][..]`.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Queries and keys.
    pub embed: &'a [f32],
    /// Values.
    pub values: &'a [f32],
    /// Scores of a key for every place in a chunk.
    pub scores: &'a [f32],
    /// One over the norm of a key.
    pub inverse: &'a [f32],
    /// Channels of `embed`.
    pub reduced: usize,
    /// Channels of `values`.
    pub channels: usize,
    /// Tokens of a chunk.
    pub chunk: usize,
}

impl Tokens<'_> {
    /// Whether the first `tokens` are there.
    fn hold(&self, tokens: usize) -> bool {
        self.embed.len() >= tokens * self.reduced
            && self.values.len() >= tokens * self.channels
            && self.scores.len() >= tokens * self.chunk
            && self.inverse.len() >= tokens
    }
}

/// Buffers of the attention of one chunk, kept from chunk to chunk.
#[derive(Debug)]
pub struct ChunkRoom {
    shape: (usize, usize, usize),
    /// `[reduced][stride]`.
    queries: Buffer,
    /// `[3 * chunk][stride]`: keys by queries.
    scores: Buffer,
    /// Of every query the sum of exponentials.
    sums: Buffer,
    /// Of every query the largest score.
    largest: Buffer,
    /// The tokens whose keys are looked at.
    keys: Vec<usize>,
}

/// From one key's scores to the next, an odd number of cache lines: they fall into different sets of the cache.
fn stride(chunk: usize) -> usize {
    (chunk.div_ceil(MAX_LANES) | 1) * MAX_LANES
}

impl ChunkRoom {
    /// For chunks of that shape.
    pub fn new(chunk: usize, reduced: usize, channels: usize) -> Self {
        let stride = stride(chunk);
        Self {
            shape: (chunk, reduced, channels),
            queries: Buffer::zeros(reduced * stride),
            scores: Buffer::zeros(3 * chunk * stride),
            sums: Buffer::zeros(stride),
            largest: Buffer::zeros(stride),
            keys: Vec::with_capacity(3 * chunk),
        }
    }

    /// Chunk, matching channels and value channels that it is for.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// Bytes that it takes.
    pub fn bytes(chunk: usize, reduced: usize) -> usize {
        4 * (3 * chunk + reduced + 2) * stride(chunk) + 24 * chunk
    }
}

kernel! {
    /// Chunk `j` of one round: to `results` `[chunk][channels]` and `weights` `[chunk]`, in sorted order, the mean values and
    /// the logarithms of the sums of exponentials.
    ///
    /// # Panics
    /// If the room is for chunks of another shape, or a token is not there.
    pub fn attend<S>(
        s, t: Tokens<'_>, order: &[u32], j: usize, room: &mut ChunkRoom, results: &mut [f32], weights: &mut [f32],
    ) {
        assert!(room.shape == (t.chunk, t.reduced, t.channels), "the room is for such chunks");
        assert!(results.len() == t.chunk * t.channels && weights.len() == t.chunk, "there is room for the results");
        let chunks = order.len() / t.chunk;
        room.keys.clear();
        for n in [j, (j + chunks - 1) % chunks, (j + 1) % chunks] {
            for &token in &order[n * t.chunk..][..t.chunk] {
                room.keys.push(token as usize);
            }
        }
        let mut end = 0;
        for &token in &room.keys {
            end = end.max(token + 1);
        }
        assert!(t.hold(end), "all tokens are there");
        turn(&t, room);
        // Of the chunks that the next one looks at, all but this one have been read before.
        let ahead = &order[(j + 2) % chunks * t.chunk..][..t.chunk];
        tiles!(S::TILES[0], [4, 3, 2, 1], S::LANES, 0..t.chunk, |x, N| {
            // SAFETY: all tokens are there, and the room is large enough.
            unsafe {
                scores::<S, N>(s, t, x, room, if x == 0 { ahead } else { &[] });
                exponentials::<S, N>(s, x, room);
            }
        });
        let mut first = 0;
        while first < t.chunk {
            // SAFETY: as above; the results have room for all queries.
            unsafe {
                if S::PAIRS && t.chunk - first >= 8 {
                    means::<S, 8>(s, t, first, room, results);
                    first += 8;
                } else if t.chunk - first >= 4 {
                    means::<S, 4>(s, t, first, room, results);
                    first += 4;
                } else {
                    means::<S, 1>(s, t, first, room, results);
                    first += 1;
                }
            }
        }
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = room.largest.as_slice()[i] + room.sums.as_slice()[i].ln();
        }
    }
}

/// The chunk's own tokens to queries.
#[inline(always)]
fn turn(t: &Tokens<'_>, room: &mut ChunkRoom) {
    let stride = stride(t.chunk);
    let queries = room.queries.as_mut_slice();
    for (i, &token) in room.keys[..t.chunk].iter().enumerate() {
        for (e, &v) in t.embed[token * t.reduced..][..t.reduced].iter().enumerate() {
            queries[e * stride + i] = v;
        }
    }
}

/// Asks for all that is read of a token as a key: its place in memory is anywhere.
#[inline(always)]
fn prefetch<S: Simd>(s: S, t: &Tokens<'_>, token: usize) {
    for (data, len) in [(t.embed, t.reduced), (t.values, t.channels), (t.scores, t.chunk)] {
        for at in (0..len).step_by(MAX_LANES) {
            s.prefetch::<1>(data.as_ptr().wrapping_add(token * len + at));
        }
    }
}

/// Scores of `N` vectors of queries from `x` on, and the largest of each. Tokens that are needed later are asked for meanwhile.
///
/// # Safety
/// All tokens are there, and the room has the right shape.
#[inline(always)]
unsafe fn scores<S: Simd, const N: usize>(s: S, t: Tokens<'_>, x: usize, room: &mut ChunkRoom, ahead: &[u32]) {
    let stride = stride(t.chunk);
    let (queries, out) = (room.queries.as_slice().as_ptr(), room.scores.as_mut_slice().as_mut_ptr());
    let mut largest = [s.splat(f32::NEG_INFINITY); N];
    let keys = room.keys.as_slice();
    for first in (0..keys.len()).step_by(GROUP) {
        let count = GROUP.min(keys.len() - first);
        // There are three times as many keys as such tokens.
        for &token in ahead.iter().skip(first / 2).take(GROUP / 2) {
            prefetch(s, &t, token as usize);
        }
        let mut tokens = [keys[first]; GROUP];
        tokens[..count].copy_from_slice(&keys[first..first + count]);
        let mut sums = [[s.splat(0.0); N]; GROUP];
        // SAFETY: the caller's promise; a row of the room is whole vectors.
        unsafe {
            let mut key = [t.embed.as_ptr(); GROUP];
            for o in 0..GROUP {
                key[o] = key[o].add(tokens[o] * t.reduced);
            }
            for e in 0..t.reduced {
                let q: [S::V; N] = load_tile(s, queries.add(e * stride + x));
                for o in 0..GROUP {
                    let w = s.splat(*key[o].add(e));
                    for n in 0..N {
                        sums[o][n] = s.fma(q[n], w, sums[o][n]);
                    }
                }
            }
            for (o, sums) in sums.iter().enumerate().take(count) {
                let inverse = s.splat(t.inverse[tokens[o]]);
                for n in 0..N {
                    let at = x + n * S::LANES;
                    let place = s.load_first(t.scores.as_ptr().add(tokens[o] * t.chunk + at), t.chunk - at);
                    let v = s.fma(sums[n], inverse, place);
                    largest[n] = s.max(largest[n], v);
                    s.store(out.add((first + o) * stride + at), v);
                }
            }
        }
    }
    for n in 0..N {
        // SAFETY: a line of the room is whole vectors.
        unsafe { s.store(room.largest.as_mut_slice().as_mut_ptr().add(x + n * S::LANES), largest[n]) };
    }
}

/// Scores to `exp(score - largest)`, and their sums.
///
/// # Safety
/// The room has whole vectors at `x`.
#[inline(always)]
unsafe fn exponentials<S: Simd, const N: usize>(s: S, x: usize, room: &mut ChunkRoom) {
    let stride = stride(room.shape.0);
    // SAFETY: the caller's promise.
    unsafe {
        let largest: [S::V; N] = load_tile(s, room.largest.as_slice().as_ptr().add(x));
        let mut sums = [s.splat(0.0); N];
        let scores = room.scores.as_mut_slice().as_mut_ptr();
        for key in 0..room.keys.len() {
            let at = scores.add(key * stride + x);
            let mut v: [S::V; N] = load_tile(s, at);
            for n in 0..N {
                v[n] = exp(s, s.sub(v[n], largest[n]));
                sums[n] = s.add(sums[n], v[n]);
                s.store(at.add(n * S::LANES), v[n]);
            }
        }
        for n in 0..N {
            s.store(room.sums.as_mut_slice().as_mut_ptr().add(x + n * S::LANES), sums[n]);
        }
    }
}

/// The mean values of `Q` queries.
///
/// # Safety
/// All tokens are there, the room has the right shape, and there are such queries.
#[inline(always)]
unsafe fn means<S: Simd, const Q: usize>(s: S, t: Tokens<'_>, first: usize, room: &ChunkRoom, results: &mut [f32]) {
    tiles!(3, [3, 2, 1], S::LANES, 0..t.channels, |c, N| {
        // SAFETY: the caller's promise; what is loaded and stored is cut to the channels that there are.
        unsafe {
            let sums: [[S::V; N]; Q] = if c + N * S::LANES <= t.channels {
                mean::<S, Q, N, true>(s, t, (first, c), room)
            } else {
                mean::<S, Q, N, false>(s, t, (first, c), room)
            };
            for (i, sums) in sums.iter().enumerate() {
                let share = s.splat(1.0 / room.sums.as_slice()[first + i]);
                let to = &mut results[(first + i) * t.channels..][c..t.channels];
                for n in 0..N {
                    let mut lanes = [0.0; MAX_LANES];
                    s.store(lanes.as_mut_ptr(), s.mul(sums[n], share));
                    let to = &mut to[n * S::LANES..];
                    let count = S::LANES.min(to.len());
                    to[..count].copy_from_slice(&lanes[..count]);
                }
            }
        }
    });
}

/// Sums of values, `N` vectors of channels from `c` on for each of `Q` queries; `WHOLE` where there are so many channels.
///
/// # Safety
/// As for [`means`].
#[inline(always)]
unsafe fn mean<S: Simd, const Q: usize, const N: usize, const WHOLE: bool>(
    s: S,
    t: Tokens<'_>,
    (first, c): (usize, usize),
    room: &ChunkRoom,
) -> [[S::V; N]; Q] {
    let stride = stride(t.chunk);
    let mut sums = [[s.splat(0.0); N]; Q];
    let mut scores = room.scores.as_slice()[first..].as_ptr();
    for &token in &room.keys {
        // SAFETY: the caller's promise.
        unsafe {
            let value = t.values.as_ptr().add(token * t.channels + c);
            let mut v = [s.splat(0.0); N];
            for n in 0..N {
                let from = value.add(n * S::LANES);
                v[n] = if WHOLE { s.load(from) } else { s.load_first(from, t.channels - c - n * S::LANES) };
            }
            for i in 0..Q {
                let p = s.splat(*scores.add(i));
                for n in 0..N {
                    sums[i][n] = s.fma(v[n], p, sums[i][n]);
                }
            }
            scores = scores.wrapping_add(stride);
        }
    }
    sums
}
