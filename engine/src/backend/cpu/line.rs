//! How activations lie in memory.
//!
//! A frame is `[rows][channels][line]`: all channels of a picture row side by side, so that a band of rows is one piece of
//! memory and a row of all channels stays in the cache. A line is one channel of one row, with zeros on both sides: the
//! zero padding of every convolution. Kernels read lines through [`Taps`], which makes no difference between rings, frames,
//! several inputs side by side and rows outside the picture.

use std::marker::PhantomData;

use super::memory;
use super::simd::MAX_LANES;

/// Values of a cache line.
const CACHE_LINE: usize = 16;

/// Geometry of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Pixels.
    pub width: usize,
    /// Zeros before the first pixel.
    pub left: usize,
    /// Values from one line to the next.
    pub stride: usize,
}

impl Line {
    /// A line of `width` pixels of which kernels look `reach` pixels to either side.
    pub fn new(width: usize, reach: usize) -> Self {
        // A vector may begin at any pixel, the last one too, and look `reach` pixels farther; the first pixel is aligned.
        let left = reach.next_multiple_of(MAX_LANES);
        // `vertical` reads a vector beyond the last one, too.
        let needed = left + width.next_multiple_of(MAX_LANES) + MAX_LANES + reach;
        // An odd number of cache lines: equal pixels of neighbouring channels fall into different sets of the cache.
        let stride = (needed.div_ceil(CACHE_LINE) | 1) * CACHE_LINE;
        Self { width, left, stride }
    }

    /// Sets everything but the pixels to zero, in all lines of a row.
    pub fn clear_margins(self, row: &mut [f32]) {
        for line in row.chunks_exact_mut(self.stride) {
            line[..self.left].fill(0.0);
            line[self.left + self.width..].fill(0.0);
        }
    }

    /// The pixels of line `index` of a row.
    pub fn pixels(self, row: &[f32], index: usize) -> &[f32] {
        &row[index * self.stride + self.left..][..self.width]
    }

    /// The pixels of line `index` of a row, to write.
    pub fn pixels_mut(self, row: &mut [f32], index: usize) -> &mut [f32] {
        &mut row[index * self.stride + self.left..][..self.width]
    }
}

/// Values that begin on a cache line, so that vectors do not straddle two.
#[derive(Clone, Debug, Default)]
pub struct Buffer<T = f32> {
    lines: Vec<Aligned>,
    len: usize,
    values: PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Aligned([u8; 64]);

// SAFETY: an array of bytes without padding; any bits are a value, zeros too.
unsafe impl bytemuck::Zeroable for Aligned {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Aligned {}

impl<T: bytemuck::Pod> Buffer<T> {
    /// Zeros.
    pub fn zeros(len: usize) -> Self {
        let count = (len * size_of::<T>()).div_ceil(64);
        let mut lines = Vec::with_capacity(count);
        memory::ask_for_huge_pages(lines.spare_capacity_mut());
        lines.resize(count, Aligned([0; 64]));
        Self { lines, len, values: PhantomData }
    }

    /// All values.
    pub fn as_slice(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// All values, to write.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// Room for the pointers of [`Taps`], kept from row to row.
#[derive(Debug, Default)]
pub struct TapRoom(Vec<*const f32>);

// SAFETY: the pointers are written and read only between `TapRoom::start` and the end of the borrow that it takes.
unsafe impl Send for TapRoom {}

impl TapRoom {
    /// Begins a table of `count` lines, which are all zero at first.
    pub fn start<'a>(&'a mut self, count: usize, line: Line, zeros: &'a [f32]) -> TapTable<'a> {
        assert!(zeros.len() >= line.stride, "the line of zeros is a whole one");
        self.0.clear();
        self.0.resize(count, zeros.as_ptr());
        TapTable { pointers: &mut self.0, line, rows: PhantomData }
    }
}

/// A table of lines while it is filled.
pub struct TapTable<'a> {
    pointers: &'a mut [*const f32],
    line: Line,
    rows: PhantomData<&'a [f32]>,
}

impl<'a> TapTable<'a> {
    /// Enters the lines of a row, one channel after the other, at places `first`, `first + step`, ...
    pub fn row(&mut self, first: usize, step: usize, row: &'a [f32]) {
        for (i, line) in row.chunks_exact(self.line.stride).enumerate() {
            self.pointers[first + i * step] = line.as_ptr();
        }
    }

    /// The finished table.
    pub fn finish(self) -> Taps<'a> {
        Taps { pointers: self.pointers, line: self.line, rows: PhantomData }
    }
}

/// Lines that a kernel reads, in the order that the kernel wants.
#[derive(Clone, Copy)]
pub struct Taps<'a> {
    pointers: &'a [*const f32],
    line: Line,
    rows: PhantomData<&'a [f32]>,
}

impl<'a> Taps<'a> {
    /// Geometry of every line.
    #[inline(always)]
    pub fn line(&self) -> Line {
        self.line
    }

    /// Number of lines.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Some of the lines.
    #[inline(always)]
    pub fn part(&self, first: usize, count: usize) -> Taps<'a> {
        Taps { pointers: &self.pointers[first..first + count], ..*self }
    }

    /// Starts of the lines; `line().stride` values are readable at each.
    #[inline(always)]
    pub fn pointers(&self) -> &'a [*const f32] {
        self.pointers
    }

    /// One line, its margins included.
    #[inline(always)]
    pub fn get(&self, index: usize) -> &'a [f32] {
        // SAFETY: every pointer is that of a slice of at least `stride` values which outlives 'a.
        unsafe { std::slice::from_raw_parts(self.pointers[index], self.line.stride) }
    }

    /// The pixels of one line.
    #[inline(always)]
    pub fn pixels(&self, index: usize) -> &'a [f32] {
        &self.get(index)[self.line.left..][..self.line.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_room_for_vectors_and_reach() {
        for width in 1..300 {
            for reach in 0..40 {
                let line = Line::new(width, reach);
                assert!(line.left >= reach && line.left.is_multiple_of(MAX_LANES));
                assert!(line.left + width - 1 + reach + MAX_LANES <= line.stride);
                assert!(line.left + width.next_multiple_of(MAX_LANES) + reach <= line.stride);
                assert_eq!(line.stride / CACHE_LINE % 2, 1);
            }
        }
    }

    #[test]
    fn taps_see_the_rows_that_were_entered_and_zeros_elsewhere() {
        let line = Line::new(3, 1);
        let mut row = vec![0.0; 2 * line.stride];
        line.pixels_mut(&mut row, 1).copy_from_slice(&[1.0, 2.0, 3.0]);
        let zeros = vec![0.0; line.stride];
        let mut room = TapRoom::default();
        let mut table = room.start(4, line, &zeros);
        table.row(1, 2, &row);
        let taps = table.finish();
        assert_eq!(taps.pixels(3), [1.0, 2.0, 3.0]);
        assert!(taps.get(0).iter().chain(taps.get(1)).all(|v| *v == 0.0));
        assert_eq!(taps.part(3, 1).pixels(0), [1.0, 2.0, 3.0]);
    }
}
