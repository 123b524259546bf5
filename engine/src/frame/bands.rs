//! Rows shared out among threads, each share with a buffer of its own.

use rayon::prelude::*;

use super::room;

/// Shares at most. Enough to even out 16 threads; few enough that their buffers and their hand-over cost nothing.
const MAX_BANDS: usize = 64;

/// The rows of a picture in bands of equal height, with one buffer for each band that lives from frame to frame.
/// The division depends on the picture alone, not on the number of threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Bands {
    rows: usize,
    buffers: Vec<Vec<f32>>,
}

impl Bands {
    /// Bands for `height` rows, with buffers of `values` values.
    pub(super) fn new(height: usize, values: usize) -> Self {
        let rows = height.div_ceil(MAX_BANDS).max(4);
        Self { rows, buffers: (0..height.div_ceil(rows)).map(|_| room::zeros(values)).collect() }
    }

    /// Bytes of such bands.
    pub(super) fn bytes(height: usize, values: usize) -> usize {
        height.div_ceil(height.div_ceil(MAX_BANDS).max(4)) * room::bytes(values)
    }

    /// Rows of a band; the last may have fewer.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// One buffer a band, from the top.
    pub(super) fn scratch(&mut self) -> impl IndexedParallelIterator<Item = &mut Vec<f32>> {
        self.buffers.par_iter_mut()
    }
}
