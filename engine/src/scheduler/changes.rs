//! Which parts of a frame differ from the frame before it.

use crate::frame::region::Region;
use crate::frame::{FrameRef, VideoInfo};

/// Side of a cell in pixels: a whole number of chroma samples, and in every format a cell's row is a few vectors.
const CELL: usize = 16;

/// Cells of a picture, each changed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    columns: usize,
    rows: usize,
    /// Row by row.
    changed: Vec<bool>,
}

impl Changes {
    /// Nothing of a picture of that description has changed.
    pub fn none(info: &VideoInfo) -> Self {
        let (columns, rows) = (info.width.div_ceil(CELL), info.height.div_ceil(CELL));
        Self { columns, rows, changed: vec![false; columns * rows] }
    }

    /// Everything may have changed.
    pub fn set_all(&mut self) {
        self.changed.fill(true);
    }

    /// Nothing has changed.
    pub fn clear(&mut self) {
        self.changed.fill(false);
    }

    /// What has changed by either.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.changed.iter_mut().zip(&other.changed) {
            *own |= other;
        }
    }

    /// Adds the cells in which two frames of the description differ in any byte.
    pub fn compare(&mut self, a: &FrameRef<'_>, b: &FrameRef<'_>) {
        let info = *a.info();
        for plane in 0..info.format.planes() {
            let rows = info.format.rows(plane, info.height);
            let bytes = info.format.row_bytes(plane, info.width);
            let cell = info.format.row_bytes(plane, CELL);
            let cell_rows = info.format.rows(plane, CELL);
            let (a, b) = (a.plane(plane), b.plane(plane));
            for y in 0..rows {
                let (a, b) = (a.row(y, bytes), b.row(y, bytes));
                if a == b {
                    continue;
                }
                let cells = &mut self.changed[y / cell_rows * self.columns..][..self.columns];
                for ((changed, a), b) in cells.iter_mut().zip(a.chunks(cell)).zip(b.chunks(cell)) {
                    *changed = *changed || a != b;
                }
            }
        }
    }

    /// Whether anything has changed.
    pub fn any(&self) -> bool {
        self.changed.contains(&true)
    }

    /// Whether anything has changed in a rectangle or up to `reach` pixels beside it.
    pub fn touch(&self, region: Region, reach: usize) -> bool {
        let (left, top) = (region.x.saturating_sub(reach) / CELL, region.y.saturating_sub(reach) / CELL);
        let right = (region.x + region.width + reach).div_ceil(CELL).min(self.columns);
        let bottom = (region.y + region.height + reach).div_ceil(CELL).min(self.rows);
        (top..bottom).any(|row| self.changed[row * self.columns..][left..right].contains(&true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, Frame, PixelFormat};

    #[test]
    fn every_byte_counts_for_its_own_cell() {
        for format in PixelFormat::ALL {
            let info = VideoInfo::new(format, 50, 37, Colour::default()).unwrap();
            let before = Frame::with_padding(&info, 3);
            for plane in 0..format.planes() {
                let (row_bytes, rows) = (format.row_bytes(plane, 50), format.rows(plane, 37));
                for (byte, y) in [(0, 0), (row_bytes - 1, 0), (row_bytes / 2, rows / 2), (row_bytes - 1, rows - 1)] {
                    let mut after = before.clone();
                    let (data, stride) = after.plane_mut(plane);
                    data[y * stride + byte] = 1;
                    let mut changes = Changes::none(&info);
                    changes.compare(&before.view(), &after.view());
                    let cell = (byte / format.row_bytes(plane, CELL), y / format.rows(plane, CELL));
                    let mut expected = Changes::none(&info);
                    expected.changed[cell.1 * expected.columns + cell.0] = true;
                    assert_eq!(changes, expected, "{format} plane {plane} byte {byte} row {y}");
                    let here = Region { x: cell.0 * CELL, y: cell.1 * CELL, width: 1, height: 1 };
                    assert!(changes.any() && changes.touch(here, 0));
                }
            }
            let mut same = Changes::none(&info);
            let mut padded = before.clone();
            padded.plane_mut(0).0[format.row_bytes(0, 50)] = 9;
            same.compare(&before.view(), &padded.view());
            assert!(!same.any(), "{format}: what pads rows is no picture");
        }
    }

    #[test]
    fn reach_goes_over_the_edge_of_cells_and_no_farther() {
        let info = VideoInfo::new(PixelFormat::Gray8, 160, 160, Colour::default()).unwrap();
        let mut changes = Changes::none(&info);
        changes.changed[5 * changes.columns + 5] = true;
        let beside = Region { x: 64, y: 64, width: 10, height: 10 };
        assert!(!changes.touch(beside, 6) && changes.touch(beside, 7));
        let after = Region { x: 100, y: 80, width: 2, height: 2 };
        assert!(!changes.touch(after, 4) && changes.touch(after, 5));
        assert!(changes.touch(Region { x: 0, y: 0, width: 160, height: 160 }, 1000));
    }
}
