//! Rectangles of frames: views of them, and copies from one to another.

use super::{FrameMut, FrameRef, PixelFormat, Plane, VideoInfo};

/// A rectangle in pixels. Left and top are even, so that it begins with whole chroma samples in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns, 1 or more.
    pub width: usize,
    /// Rows, 1 or more.
    pub height: usize,
}

impl Region {
    /// The same place in a picture `scale` times as large.
    pub fn scaled(self, scale: usize) -> Self {
        Self { x: self.x * scale, y: self.y * scale, width: self.width * scale, height: self.height * scale }
    }

    /// First byte of a row, bytes of a row, first row and rows in a plane.
    fn in_plane(self, format: PixelFormat, plane: usize) -> (usize, usize, usize, usize) {
        debug_assert!(self.x.is_multiple_of(2) && self.y.is_multiple_of(2), "{self:?} begins within a chroma sample");
        let (first, row) = (format.row_bytes(plane, self.x), format.rows(plane, self.y));
        (first, format.row_bytes(plane, self.width), row, format.rows(plane, self.height))
    }
}

/// The part of a frame within a rectangle, as a frame of its own.
///
/// # Panics
/// If the rectangle is not inside the frame.
pub fn crop<'a>(frame: &FrameRef<'a>, region: Region) -> FrameRef<'a> {
    let info = VideoInfo { width: region.width, height: region.height, ..*frame.info() };
    let mut planes = [(&[][..], 0); 3];
    for (plane, part) in planes.iter_mut().enumerate().take(info.format.planes()) {
        let (first, _, row, _) = region.in_plane(info.format, plane);
        let Plane { data, stride } = frame.plane(plane);
        *part = (&data[row * stride + first..], stride);
    }
    FrameRef::new(&info, &planes).expect("a rectangle inside a frame has its rows")
}

/// Copies a rectangle of one frame to the place `(x, y)`, both even, of another of the same format.
///
/// # Panics
/// If either is not inside its frame.
pub fn copy(from: &FrameRef<'_>, region: Region, to: &mut FrameMut<'_>, (x, y): (usize, usize)) {
    let format = from.info().format;
    for plane in 0..format.planes() {
        let (first, bytes, row, rows) = region.in_plane(format, plane);
        let (to_first, _, to_row, _) = Region { x, y, ..region }.in_plane(format, plane);
        let source = from.plane(plane);
        let target = to.plane_mut(plane);
        for i in 0..rows {
            let source = &source.data[(row + i) * source.stride + first..][..bytes];
            target.data[(to_row + i) * target.stride + to_first..][..bytes].copy_from_slice(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, Frame};

    #[test]
    fn a_crop_and_a_copy_take_the_same_bytes() {
        for format in PixelFormat::ALL {
            let info = VideoInfo::new(format, 33, 21, Colour::default()).unwrap();
            let mut whole = Frame::with_padding(&info, 5);
            for plane in 0..format.planes() {
                let (bytes, _) = whole.plane_mut(plane);
                bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 7 + plane * 31) as u8);
            }
            for region in [(0, 0, 33, 21), (4, 2, 29, 19), (32, 20, 1, 1), (2, 6, 8, 4)] {
                let (x, y, width, height) = region;
                let region = Region { x, y, width, height };
                let part = crop(&whole.view(), region);
                let mut copied = Frame::new(part.info());
                copy(&whole.view(), region, &mut copied.view_mut(), (0, 0));
                let mut again = Frame::new(part.info());
                copy(&part, Region { x: 0, y: 0, ..region }, &mut again.view_mut(), (0, 0));
                assert_eq!(copied, again, "{format} {region:?}");
                let bytes = format.row_bytes(0, width);
                assert_eq!(part.plane(0).row(height - 1, bytes), copied.view().plane(0).row(height - 1, bytes));
            }
        }
    }
}
