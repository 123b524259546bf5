//! SparseGSA's scalar products, row by row while queries and keys are in the cache, which they never leave: what each window
//! has of a row, summed up. `windows` adds up rows.
//!
//! Tile: 16 sums, or 8 where registers are fewer, whose lanes are then added up together. Bound: multiply-adds, one for each
//! two loads.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

use super::windows::Axis;
use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::{Line, Taps};
use crate::backend::cpu::simd::{MAX_LANES, Simd};

/// Queries, and keys where registers are enough, that are multiplied with each other at a time.
const SIDE: usize = 4;

/// Whose products there are, and where.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// Queries, and keys.
    pub channels: usize,
    /// Of a head.
    pub width: usize,
    /// Windows along a row.
    pub columns: Axis,
}

impl Correlation {
    /// Channels of a head with those that fill up the last tile.
    fn side(&self) -> usize {
        self.width.next_multiple_of(SIDE)
    }

    /// Where a head's products begin. The squares of all queries, then of all keys, come first.
    fn head(&self, head: usize) -> usize {
        (2 * self.channels).next_multiple_of(MAX_LANES) + head * self.side() * self.side()
    }

    /// Sums of a window.
    pub fn sums(&self) -> usize {
        self.head(self.channels / self.width)
    }

    /// Place of the product of query `a` of a head with its key `b`.
    pub fn product(&self, head: usize, a: usize, b: usize) -> usize {
        self.head(head) + (a / SIDE * self.side() + b) * SIDE + a % SIDE
    }
}

kernel! {
    /// One row: lines of queries and keys in, for each window a line `to` of [`Correlation::sums`] out.
    pub fn correlate<S>(s, z: Taps<'_>, p: &Correlation, to: Line, out: &mut [f32]) {
        let axis = &p.columns;
        assert!(z.len() == 2 * p.channels && to.width == p.sums(), "there are queries and keys, and room for sums");
        for (i, &start) in axis.starts.iter().enumerate() {
            let window = (z, z.line().left + start, axis.len);
            assert!(start + axis.len <= z.line().width, "a window lies in the picture");
            let sums = to.pixels_mut(out, i);
            for first in (0..2 * p.channels).step_by(S::LANES) {
                squares(s, window, first, &mut sums[first..]);
            }
            for head in 0..p.channels / p.width {
                for a in (0..p.width).step_by(SIDE) {
                    for b in (0..p.width).step_by(S::LANES / SIDE) {
                        let sums = &mut sums[p.product(head, a, b)..];
                        if S::LANES == 4 * SIDE {
                            products::<S, 4>(s, window, (p, head), (a, b), sums);
                        } else {
                            products::<S, 2>(s, window, (p, head), (a, b), sums);
                        }
                    }
                }
            }
        }
    }
}

/// Lines, the place of a window's first pixel in each, and its pixels.
type Part<'a> = (Taps<'a>, usize, usize);

/// Sums of squares of as many channels as a vector has lanes. The last one stands for those beyond it.
#[inline(always)]
fn squares<S: Simd>(s: S, part: Part<'_>, first: usize, out: &mut [f32]) {
    let (last, mut lines) = (part.0.len() - 1, [part.0.pointers()[0]; MAX_LANES]);
    for n in 0..S::LANES {
        lines[n] = begin(part, last.min(first + n));
    }
    let mut sums = [s.splat(0.0); MAX_LANES];
    for x in (0..part.2).step_by(S::LANES) {
        for n in 0..S::LANES {
            // SAFETY: the line has so many pixels.
            let v = unsafe { vector(s, lines[n], x, part.2) };
            sums[n] = s.fma(v, v, sums[n]);
        }
    }
    put(s, sums, out);
}

/// Products of a head's four queries from `a` on with its `K` keys from `b` on, a vector of sums. The last one stands for those
/// beyond it.
#[inline(always)]
fn products<S: Simd, const K: usize>(
    s: S,
    part: Part<'_>,
    (p, head): (&Correlation, usize),
    (a, b): (usize, usize),
    out: &mut [f32],
) {
    let (first, last) = (head * p.width, p.width - 1);
    let mut queries = [part.0.pointers()[0]; SIDE];
    let mut keys = [queries[0]; K];
    for i in 0..SIDE {
        queries[i] = begin(part, first + last.min(a + i));
    }
    for j in 0..K {
        keys[j] = begin(part, p.channels + first + last.min(b + j));
    }
    let mut sums = [s.splat(0.0); MAX_LANES];
    for x in (0..part.2).step_by(S::LANES) {
        let mut q = [s.splat(0.0); SIDE];
        for i in 0..SIDE {
            // SAFETY: the line has so many pixels.
            q[i] = unsafe { vector(s, queries[i], x, part.2) };
        }
        for j in 0..K {
            // SAFETY: the line has so many pixels.
            let k = unsafe { vector(s, keys[j], x, part.2) };
            for i in 0..SIDE {
                sums[j * SIDE + i] = s.fma(q[i], k, sums[j * SIDE + i]);
            }
        }
    }
    put(s, sums, out);
}

/// The first pixel of a window in a line.
#[inline(always)]
fn begin((z, at, len): Part<'_>, line: usize) -> *const f32 {
    z.get(line)[at..][..len].as_ptr()
}

/// The vector at `x` of `len` pixels, zeros beyond their end.
///
/// # Safety
/// So many pixels must be readable.
#[inline(always)]
unsafe fn vector<S: Simd>(s: S, line: *const f32, x: usize, len: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if len - x >= S::LANES { s.load(line.add(x)) } else { s.load_first(line.add(x), len - x) } }
}

/// The sums of the lanes of as many vectors as one has lanes.
#[inline(always)]
fn put<S: Simd>(s: S, mut sums: [S::V; MAX_LANES], out: &mut [f32]) {
    let mut left = S::LANES;
    while left > 1 {
        left /= 2;
        // The last time a lane and its neighbour are of vectors 0 and 1, the time before pairs of lanes of vectors 0 to 3.
        for i in 0..left {
            let (low, high) = s.interleave(sums[i], sums[i + left]);
            sums[i] = s.add(low, high);
        }
    }
    // SAFETY: the slice is a vector.
    unsafe { s.store(out[..S::LANES].as_mut_ptr(), sums[0]) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::dispatch::Isa;
    use crate::backend::cpu::line::TapRoom;
    use crate::backend::cpu::tests::noise;

    #[test]
    fn sums_are_those_of_every_window_on_every_instruction_set() {
        let sizes = [(6, 1, 1, 4), (6, 3, 33, 16), (8, 8, 100, 96), (20, 10, 47, 48), (12, 4, 16, 16)];
        for (isa, (channels, width, pixels, window)) in Isa::all().into_iter().flat_map(|isa| sizes.map(|s| (isa, s))) {
            let p = Correlation { channels, width, columns: Axis::new(pixels, window) };
            let (from, to) = (Line::new(pixels, 1), Line::new(p.sums(), 1));
            let z = noise(2 * channels * from.stride, 7);
            let (zeros, mut room) = (vec![0.0; from.stride], TapRoom::default());
            let mut table = room.start(2 * channels, from, &zeros);
            table.row(0, 1, &z);
            let mut out = vec![f32::NAN; p.columns.starts.len() * to.stride];
            correlate(isa, table.finish(), &p, to, &mut out);
            for (i, &start) in p.columns.starts.iter().enumerate() {
                let sums = to.pixels(&out, i);
                let line = |c: usize| &from.pixels(&z, c)[start..][..p.columns.len];
                let dot = |a: usize, b: usize| line(a).iter().zip(line(b)).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let check = |place: usize, truth: f64| {
                    let found = f64::from(sums[place]);
                    assert!((found - truth).abs() < 1e-4, "{}, {place} of {p:?}: {found}, not {truth}", isa.name());
                };
                (0..2 * channels).for_each(|c| check(c, dot(c, c)));
                for (q, b) in (0..channels).flat_map(|q| (0..width).map(move |b| (q, b))) {
                    let head = q / width;
                    check(p.product(head, q % width, b), dot(q, channels + head * width + b));
                }
            }
        }
    }
}
