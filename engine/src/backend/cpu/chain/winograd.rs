//! 3x3 convolutions by Winograd's F(4x4, 3x3): 36 products a tile of 4x4 pixels in place of 144 (Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks", 2016, section 4.3).
//!
//! A tile's six by six pixels d become V = Bᵀ d B, every one of its 36 places is multiplied by its own matrix of weights,
//! U = G g Gᵀ, over the channels, and the results M become pixels, Aᵀ M A. The last column of A is 4, see `layer`.
//!
//! A row of pixels lies as `[4][tiles][channels]`: first every fourth pixel, beginning with the one to the left of the
//! first tile, then those after them, and so on. So the same pixel of neighbouring tiles lies side by side, and the
//! transforms walk over tiles and channels alike, as if they were one.

#![expect(clippy::needless_range_loop, reason = "an adapter that is not inlined loses the instruction set")]

pub use super::layer::Layer;
use super::numbers::{Arithmetic, Number};
use crate::backend::cpu::line::Buffer;
use crate::backend::cpu::simd::{BLOCK, Integers};

/// Pixels of a tile's side.
pub const TILE: usize = 4;
/// Pixels of the square that a tile is made of.
pub const SIDE: usize = TILE + 2;
/// Rows of V that are made together, since they are made of the same rows of pixels.
pub const PAIRS: [[usize; 2]; SIDE / 2] = [[0, 5], [1, 2], [3, 4]];
/// Places of a transformed tile.
pub const PLACES: usize = SIDE * SIDE;
/// Numbers that are read, and written, beyond the last tile: less than a vector.
pub const SLACK: usize = 64;

/// Room to work in.
pub struct Room<N: Number> {
    /// Two rows of V: `[2][SIDE][BLOCK][cin]`.
    pub(super) spread: Buffer<N>,
    /// The same as `quads` needs it.
    pub(super) turned: Buffer<N>,
    /// A row of M for a group of outputs: `[SIDE][BLOCK][group]`.
    pub(super) sums: Buffer<N::Sum>,
    /// M A: `[outputs / group][SIDE][TILE][BLOCK][group]`.
    pub(super) folded: Buffer<N::Sum>,
}

impl<N: Number> Room<N> {
    /// For layers with at most that many channels in and out.
    pub fn new(cin: usize, outputs: usize) -> Self {
        let ([spread, turned], [sums, folded]) = Self::sizes(cin, outputs);
        Self {
            spread: Buffer::zeros(spread),
            turned: Buffer::zeros(turned),
            sums: Buffer::zeros(sums),
            folded: Buffer::zeros(folded),
        }
    }

    /// Bytes of one.
    pub fn bytes(cin: usize, outputs: usize) -> usize {
        let (numbers, sums) = Self::sizes(cin, outputs);
        size_of::<N>() * numbers.iter().sum::<usize>() + size_of::<N::Sum>() * sums.iter().sum::<usize>()
    }

    /// Numbers of the first two buffers, and sums of the others.
    fn sizes(cin: usize, outputs: usize) -> ([usize; 2], [usize; 2]) {
        let numbers = [2, 1].map(|rows| rows * SIDE * BLOCK * cin + SLACK);
        (numbers, [1, TILE].map(|columns| columns * SIDE * BLOCK * outputs + SLACK))
    }

    pub(super) fn fits(&self, layer: &Layer<N>) -> bool {
        self.spread.as_slice().len() >= 2 * SIDE * BLOCK * layer.cin + SLACK
            && self.sums.as_slice().len() >= SIDE * BLOCK * layer.outputs + SLACK
    }
}

/// Six rows of a ring, from the slot of the first tile on.
#[derive(Clone, Copy)]
pub struct Pixels<'a, N> {
    pub rows: [&'a [N]; SIDE],
    /// From one pixel of a tile to the next.
    pub phase: usize,
}

/// Four rows of a ring to write, from the slot of the first tile on, and rows of the same form to add to them.
pub struct Out<'a, N> {
    pub rows: [&'a mut [N]; TILE],
    /// And what the outputs of these are multiplied by, see [`Arithmetic::hold_sum`].
    pub added: Option<([&'a [N]; TILE], &'a [f32])>,
    /// From one pixel of a tile to the next.
    pub phase: usize,
}

/// Where a pixel's channels go.
trait Sink<S: Integers, N: Arithmetic<S>>: Copy {
    /// Vectors of sums that are put at once.
    const VECTORS: usize;

    /// From one tile to the next.
    fn tile(self) -> usize;
    /// From a tile to its pixel `x`.
    fn pixel(self, x: usize) -> usize;
    /// Puts sums, vectors of outputs from those of `output` on, into row `y` from `at` on.
    ///
    /// # Safety
    /// The row has room for them there, and there are such outputs.
    unsafe fn put(self, s: S, sums: [N::W; 2], output: [usize; 2], y: usize, at: usize);
}

/// With ReLU to rows of a ring.
#[derive(Clone, Copy)]
struct ToRing<N, const ADD: bool> {
    rows: [*mut N; TILE],
    added: [*const N; TILE],
    ratio: *const f32,
    factor: *const f32,
    phase: usize,
    outputs: usize,
}

impl<S: Integers, N: Arithmetic<S>, const ADD: bool> Sink<S, N> for ToRing<N, ADD> {
    const VECTORS: usize = N::SUMS;

    #[inline(always)]
    fn tile(self) -> usize {
        self.outputs
    }

    /// A tile's first pixel is the second of those that its square has.
    #[inline(always)]
    fn pixel(self, x: usize) -> usize {
        (x + 1) % TILE * self.phase + (x + 1) / TILE * self.outputs
    }

    #[inline(always)]
    unsafe fn put(self, s: S, sums: [N::W; 2], output: [usize; 2], y: usize, at: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let factor = [self.factor.add(output[0]), self.factor.add(output[1])];
            let held = if ADD {
                let ratio = [self.ratio.add(output[0]), self.ratio.add(output[1])];
                N::hold_sum(s, sums, factor, self.added[y].add(at), ratio)
            } else {
                N::hold(s, sums, factor)
            };
            N::store(s, self.rows[y].add(at), held);
        }
    }
}

/// Floats, `[pixels][outputs]`.
#[derive(Clone, Copy)]
struct ToFloats {
    rows: [*mut f32; TILE],
    factor: *const f32,
    outputs: usize,
}

impl<S: Integers, N: Arithmetic<S>> Sink<S, N> for ToFloats {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn tile(self) -> usize {
        TILE * self.outputs
    }

    #[inline(always)]
    fn pixel(self, x: usize) -> usize {
        x * self.outputs
    }

    #[inline(always)]
    unsafe fn put(self, s: S, sums: [N::W; 2], output: [usize; 2], y: usize, at: usize) {
        // SAFETY: the caller's promise.
        unsafe { s.store(self.rows[y].add(at), N::float(s, sums[0], self.factor.add(output[0]))) };
    }
}

/// Four rows of a layer with ReLU: `tiles` tiles.
#[inline(always)]
pub fn rows<S: Integers, N: Arithmetic<S>>(
    s: S,
    layer: &Layer<N>,
    pixels: Pixels<'_, N>,
    tiles: usize,
    room: &mut Room<N>,
    out: Out<'_, N>,
) {
    let Out { mut rows, added, phase } = out;
    let outputs = layer.outputs;
    let needed = (TILE - 1) * phase + (tiles + 1) * outputs + SLACK;
    assert!(rows.iter().all(|row| row.len() >= needed), "a tile's results lie in its rows");
    let (to, factor) = (rows.each_mut().map(|row| row.as_mut_ptr()), layer.factor.as_ptr());
    // SAFETY: the rows are long enough, also those that are added; they are borrowed exclusively.
    unsafe {
        if let Some((added, ratio)) = added {
            assert!(added.iter().all(|row| row.len() >= needed), "so do those that are added");
            assert!(ratio.len() >= outputs, "every output has a ratio");
            let (added, ratio) = (added.map(|row| row.as_ptr()), ratio.as_ptr());
            let sink = ToRing::<N, true> { rows: to, added, ratio, factor, phase, outputs };
            blocks(s, layer, pixels, tiles, room, sink);
        } else {
            let (added, ratio) = ([std::ptr::null(); TILE], std::ptr::null());
            let sink = ToRing::<N, false> { rows: to, added, ratio, factor, phase, outputs };
            blocks(s, layer, pixels, tiles, room, sink);
        }
    }
}

/// Four rows of the last layer, `[pixels][outputs]`: `tiles` tiles.
#[inline(always)]
pub fn last<S: Integers, N: Arithmetic<S>>(
    s: S,
    layer: &Layer<N>,
    pixels: Pixels<'_, N>,
    tiles: usize,
    room: &mut Room<N>,
    mut out: [&mut [f32]; TILE],
) {
    assert!(out.iter().all(|row| row.len() >= tiles * TILE * layer.outputs), "a tile's results lie in its rows");
    let rows = out.each_mut().map(|row| row.as_mut_ptr());
    // SAFETY: the rows are long enough, and borrowed exclusively.
    unsafe {
        blocks(s, layer, pixels, tiles, room, ToFloats { rows, factor: layer.factor.as_ptr(), outputs: layer.outputs })
    }
}

/// # Safety
/// What the sink does with `tiles` tiles stays in its rows.
#[inline(always)]
unsafe fn blocks<S: Integers, N: Arithmetic<S>>(
    s: S,
    layer: &Layer<N>,
    pixels: Pixels<'_, N>,
    tiles: usize,
    room: &mut Room<N>,
    sink: impl Sink<S, N>,
) {
    assert!(room.fits(layer), "the room is made for the layer");
    for block in Block::all(pixels, tiles, layer.cin) {
        // SAFETY: the rows and the room are large enough, as checked above; the rest is the caller's promise.
        unsafe {
            match layer.group / S::LANES {
                1 => block.run::<S, 1>(s, layer, room, sink),
                2 => block.run::<S, 2>(s, layer, room, sink),
                _ => block.run::<S, 3>(s, layer, room, sink),
            }
        }
    }
}

/// Some tiles of a row of tiles.
pub(super) struct Block<N> {
    /// The first of them.
    pub first: usize,
    pub count: usize,
    /// Their pixels.
    rows: [*const N; SIDE],
    phase: usize,
}

impl<N: Copy> Block<N> {
    /// The tiles of a row of tiles, block by block.
    ///
    /// # Panics
    /// If the pixels of a tile are not in the rows.
    #[inline(always)]
    pub fn all(pixels: Pixels<'_, N>, tiles: usize, cin: usize) -> impl Iterator<Item = Self> {
        let needed = (TILE - 1) * pixels.phase + (tiles + 1) * cin + SLACK;
        assert!(pixels.rows.iter().all(|row| row.len() >= needed), "a tile's pixels lie in its rows");
        (0..tiles).step_by(BLOCK).map(move |first| {
            let rows = pixels.rows.map(|row| row[first * cin..].as_ptr());
            Self { first, count: BLOCK.min(tiles - first), rows, phase: pixels.phase }
        })
    }

    /// One row of V at a time: what is worked on stays in the first-level cache, through which the weights pass.
    ///
    /// # Safety
    /// The rows hold the pixels, the sink takes what comes, the room fits the layer, whose groups are `G` vectors.
    #[inline(always)]
    unsafe fn run<S: Integers, const G: usize>(&self, s: S, layer: &Layer<N>, room: &mut Room<N>, sink: impl Sink<S, N>)
    where
        N: Arithmetic<S>,
    {
        let (cin, width) = (layer.cin, G * S::LANES);
        let groups = layer.outputs / width;
        let spread = room.spread.as_mut_slice().as_mut_ptr();
        let (sums, folded) = (room.sums.as_mut_slice().as_mut_ptr(), room.folded.as_mut_slice().as_mut_ptr());
        // SAFETY: the caller's promise; there are weights for every row, group and place.
        unsafe {
            for (p, rows) in PAIRS.into_iter().enumerate() {
                self.transform(s, p, cin, spread);
                for (i, row) in rows.into_iter().enumerate() {
                    for group in 0..groups {
                        let mut weights =
                            layer.weights.as_slice()[(row * groups + group) * SIDE * cin * width..].as_ptr();
                        for column in 0..SIDE {
                            let start = layer.start(row * SIDE + column)[group * width..].as_ptr();
                            let from = spread.add((i * SIDE + column) * BLOCK * cin);
                            let to = sums.add(column * BLOCK * width);
                            N::products::<G>(s, from, weights, cin, self.count, start, to);
                            weights = weights.add(cin * width);
                        }
                        let target = folded.add((group * SIDE + row) * TILE * BLOCK * width);
                        fold::<S, N, G>(s, sums, self.count, target);
                    }
                }
            }
            for group in 0..groups {
                let folded = folded.add(group * SIDE * TILE * BLOCK * width);
                self.finish::<S, G, _>(s, group, folded, sink);
            }
        }
    }

    /// The rows of V that [`PAIRS`] names at `p`.
    ///
    /// # Safety
    /// The rows hold the pixels, `out` has room for `[2][SIDE][BLOCK][cin]`.
    #[inline(always)]
    pub unsafe fn transform<S: Integers>(&self, s: S, p: usize, cin: usize, out: *mut N)
    where
        N: Arithmetic<S>,
    {
        // SAFETY: the caller's promise.
        unsafe {
            match p {
                0 => self.transform_pair::<S, 0>(s, cin, out),
                1 => self.transform_pair::<S, 1>(s, cin, out),
                _ => self.transform_pair::<S, 2>(s, cin, out),
            }
        }
    }

    /// # Safety
    /// As for [`Block::transform`].
    #[inline(always)]
    unsafe fn transform_pair<S: Integers, const P: usize>(&self, s: S, cin: usize, out: *mut N)
    where
        N: Arithmetic<S>,
    {
        for at in (0..self.count * cin).step_by(N::LANES) {
            // SAFETY: the caller's promise; rows and room go on beyond the last tile.
            unsafe {
                let zero = N::load(s, self.rows[0].add(at));
                let mut pair = [[zero; SIDE]; 2];
                for j in 0..SIDE {
                    // The last two pixels of a tile are the next one's first.
                    let from = j % TILE * self.phase + j / TILE * cin + at;
                    let mut d = [zero; SIDE];
                    for i in 0..SIDE {
                        d[i] = N::load(s, self.rows[i].add(from));
                    }
                    let v = N::forward_pair::<P>(s, d);
                    (pair[0][j], pair[1][j]) = (v[0], v[1]);
                }
                for i in 0..2 {
                    let v = N::forward(s, pair[i]);
                    for j in 0..SIDE {
                        N::store(s, out.add((i * SIDE + j) * BLOCK * cin + at), v[j]);
                    }
                }
            }
        }
    }

    /// The pixels of a group of outputs from M A.
    ///
    /// # Safety
    /// As for [`Block::run`].
    #[inline(always)]
    unsafe fn finish<S: Integers, const G: usize, T: Sink<S, N>>(
        &self,
        s: S,
        group: usize,
        folded: *const N::Sum,
        sink: T,
    ) where
        N: Arithmetic<S>,
    {
        let width = G * S::LANES;
        // Tiles whose outputs lie side by side are walked over as if they were one.
        let (runs, len) = if sink.tile() == width { (1, self.count * width) } else { (self.count, width) };
        let first = group * width;
        for x in 0..TILE {
            for run in 0..runs {
                let target = (self.first + run) * sink.tile() + sink.pixel(x) + first;
                for at in (0..len).step_by(T::VECTORS * S::LANES) {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let from = folded.add(x * BLOCK * width + run * width + at);
                        let mut v = [N::back(s, gather::<S, N>(s, from, TILE * BLOCK * width)); 2];
                        let mut output = [first + at % width; 2];
                        if T::VECTORS == 2 {
                            v[1] = N::back(s, gather::<S, N>(s, from.add(S::LANES), TILE * BLOCK * width));
                            output[1] = first + (at + S::LANES) % width;
                        }
                        for y in 0..TILE {
                            sink.put(s, [v[0][y], v[1][y]], output, y, target + at);
                        }
                    }
                }
            }
        }
    }
}

/// A row of M A from a row of M, both of `G` vectors of outputs: those of `count` tiles.
///
/// # Safety
/// `sums` holds `[SIDE][BLOCK][G]` vectors, `out` has room for `[TILE][BLOCK][G]`.
#[inline(always)]
pub unsafe fn fold<S: Integers, N: Arithmetic<S>, const G: usize>(
    s: S,
    sums: *const N::Sum,
    count: usize,
    out: *mut N::Sum,
) {
    let place = BLOCK * G * S::LANES;
    for at in (0..count * G * S::LANES).step_by(S::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let v = N::back(s, gather::<S, N>(s, sums.add(at), place));
            for x in 0..TILE {
                N::store_sum(s, out.add(x * place + at), v[x]);
            }
        }
    }
}

/// Six vectors of sums, one from each place.
///
/// # Safety
/// They are readable there.
#[inline(always)]
pub unsafe fn gather<S: Integers, N: Arithmetic<S>>(s: S, from: *const N::Sum, place: usize) -> [N::W; SIDE] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut m = [N::load_sum(s, from); SIDE];
        for i in 1..SIDE {
            m[i] = N::load_sum(s, from.add(i * place));
        }
        m
    }
}
