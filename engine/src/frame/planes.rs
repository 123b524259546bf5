//! Views of frames that somebody else owns, checked once at the border, and a frame that owns its bytes.

use super::{Colour, PixelFormat};
use crate::Error;

/// The largest width or height of an output, in pixels.
pub const MAX_SIZE: usize = 16384;

/// Format, size and colour of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoInfo {
    /// Layout in memory.
    pub format: PixelFormat,
    /// Width in pixels, 1 or more.
    pub width: usize,
    /// Height in pixels, 1 or more.
    pub height: usize,
    /// Meaning of the codes.
    pub colour: Colour,
}

impl VideoInfo {
    /// A checked description.
    ///
    /// # Errors
    /// [`Error::Size`] if a side is 0 or over [`MAX_SIZE`].
    pub fn new(format: PixelFormat, width: usize, height: usize, colour: Colour) -> Result<Self, Error> {
        if width == 0 || height == 0 || width > MAX_SIZE || height > MAX_SIZE {
            return Err(Error::Size { width, height, limit: MAX_SIZE });
        }
        Ok(Self { format, width, height, colour })
    }

    /// The same, `scale` times as large.
    ///
    /// # Errors
    /// [`Error::Size`] if that is over [`MAX_SIZE`].
    pub fn scaled(&self, scale: usize) -> Result<Self, Error> {
        let (width, height) = (self.width.saturating_mul(scale), self.height.saturating_mul(scale));
        Self::new(self.format, width, height, self.colour)
    }

    /// Bytes of a plane of that stride; the last row need not be padded. More than there can be if the stride is beyond reason.
    fn plane_bytes(&self, plane: usize, stride: usize) -> usize {
        let before = stride.saturating_mul(self.format.rows(plane, self.height) - 1);
        before.saturating_add(self.format.row_bytes(plane, self.width))
    }

    fn check_plane(&self, plane: usize, bytes: usize, stride: usize) -> Result<(), Error> {
        let row = self.format.row_bytes(plane, self.width);
        if stride < row {
            return Err(Error::Plane { plane, what: "stride", needed: row, found: stride });
        }
        let needed = self.plane_bytes(plane, stride);
        if bytes < needed {
            return Err(Error::Plane { plane, what: "size", needed, found: bytes });
        }
        Ok(())
    }

    fn check_count(&self, count: usize) -> Result<(), Error> {
        let needed = self.format.planes();
        if count < needed {
            return Err(Error::Plane { plane: count, what: "number of planes", needed, found: count });
        }
        Ok(())
    }
}

/// A plane to read: bytes, and bytes from one row to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// The first `bytes` bytes of row `y`.
    pub fn row(&self, y: usize, bytes: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..bytes]
    }
}

/// A plane to write.
#[derive(Debug, Default)]
pub struct PlaneMut<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl PlaneMut<'_> {
    /// The rows, each `bytes` long; what pads them stays untouched.
    pub fn rows(&mut self, rows: usize, bytes: usize) -> impl Iterator<Item = &mut [u8]> {
        self.data.chunks_mut(self.stride).take(rows).map(move |row| &mut row[..bytes])
    }
}

/// A frame to read. Every plane is known to be large enough.
#[derive(Clone, Debug)]
pub struct FrameRef<'a> {
    info: VideoInfo,
    planes: [Plane<'a>; 3],
}

impl<'a> FrameRef<'a> {
    /// Planes as (bytes, stride), in the order of the format.
    ///
    /// # Errors
    /// [`Error::Plane`] if one is missing or too small.
    pub fn new(info: &VideoInfo, planes: &[(&'a [u8], usize)]) -> Result<Self, Error> {
        info.check_count(planes.len())?;
        let mut views = [Plane::default(); 3];
        for (plane, view) in views.iter_mut().enumerate().take(info.format.planes()) {
            let (data, stride) = planes[plane];
            info.check_plane(plane, data.len(), stride)?;
            *view = Plane { data, stride };
        }
        Ok(Self { info: *info, planes: views })
    }

    /// Format, size and colour.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Plane number `plane` of the format.
    pub fn plane(&self, plane: usize) -> Plane<'a> {
        self.planes[plane]
    }
}

/// A frame to write. Every plane is known to be large enough.
#[derive(Debug)]
pub struct FrameMut<'a> {
    info: VideoInfo,
    planes: [PlaneMut<'a>; 3],
}

impl<'a> FrameMut<'a> {
    /// Planes as (bytes, stride), in the order of the format.
    ///
    /// # Errors
    /// [`Error::Plane`] if one is missing or too small.
    pub fn new(info: &VideoInfo, planes: impl IntoIterator<Item = (&'a mut [u8], usize)>) -> Result<Self, Error> {
        let mut views: [PlaneMut<'a>; 3] = Default::default();
        let mut count = 0;
        for (view, (data, stride)) in views.iter_mut().zip(planes).take(info.format.planes()) {
            info.check_plane(count, data.len(), stride)?;
            *view = PlaneMut { data, stride };
            count += 1;
        }
        info.check_count(count)?;
        Ok(Self { info: *info, planes: views })
    }

    /// Format, size and colour.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Plane number `plane` of the format.
    pub fn plane_mut(&mut self, plane: usize) -> &mut PlaneMut<'a> {
        &mut self.planes[plane]
    }

    /// A view to read what has been written.
    pub fn view(&self) -> FrameRef<'_> {
        let mut views = [Plane::default(); 3];
        for (view, plane) in views.iter_mut().zip(&self.planes) {
            *view = Plane { data: plane.data, stride: plane.stride };
        }
        FrameRef { info: self.info, planes: views }
    }
}

/// A frame that owns its bytes, rows packed tightly unless asked otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    info: VideoInfo,
    planes: Vec<(Vec<u8>, usize)>,
}

impl Frame {
    /// A frame of zero bytes with tight rows.
    pub fn new(info: &VideoInfo) -> Self {
        Self::with_padding(info, 0)
    }

    /// A frame of zero bytes whose rows have `padding` bytes more than they need.
    pub fn with_padding(info: &VideoInfo, padding: usize) -> Self {
        let planes = (0..info.format.planes())
            .map(|plane| {
                let stride = info.format.row_bytes(plane, info.width) + padding;
                (vec![0; stride * info.format.rows(plane, info.height)], stride)
            })
            .collect();
        Self { info: *info, planes }
    }

    /// Format, size and colour.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Bytes and stride of a plane.
    pub fn plane(&self, plane: usize) -> (&[u8], usize) {
        (&self.planes[plane].0, self.planes[plane].1)
    }

    /// Bytes and stride of a plane, to write.
    pub fn plane_mut(&mut self, plane: usize) -> (&mut [u8], usize) {
        let (data, stride) = &mut self.planes[plane];
        (data, *stride)
    }

    /// A view to read.
    pub fn view(&self) -> FrameRef<'_> {
        let mut views = [Plane::default(); 3];
        for (view, (data, stride)) in views.iter_mut().zip(&self.planes) {
            *view = Plane { data, stride: *stride };
        }
        FrameRef { info: self.info, planes: views }
    }

    /// A view to write.
    pub fn view_mut(&mut self) -> FrameMut<'_> {
        let mut views: [PlaneMut<'_>; 3] = Default::default();
        for (view, (data, stride)) in views.iter_mut().zip(&mut self.planes) {
            *view = PlaneMut { data, stride: *stride };
        }
        FrameMut { info: self.info, planes: views }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_plane_is_refused_and_a_short_last_row_is_not() {
        let info = VideoInfo::new(PixelFormat::Gray8, 5, 3, Colour::default()).unwrap();
        let bytes = [0; 32];
        assert!(FrameRef::new(&info, &[(&bytes[..21], 8)]).is_ok());
        assert!(matches!(FrameRef::new(&info, &[(&bytes[..20], 8)]), Err(Error::Plane { what: "size", .. })));
        assert!(matches!(FrameRef::new(&info, &[(&bytes, 4)]), Err(Error::Plane { what: "stride", .. })));
        assert!(FrameRef::new(&info, &[]).is_err());
    }

    #[test]
    fn sizes_are_bounded_without_overflow() {
        let colour = Colour::default();
        assert!(VideoInfo::new(PixelFormat::I420, 0, 4, colour).is_err());
        assert!(VideoInfo::new(PixelFormat::I420, usize::MAX, 4, colour).is_err());
        let large = VideoInfo::new(PixelFormat::I420, MAX_SIZE, 4, colour).unwrap();
        assert!(large.scaled(2).is_err());
        assert!(large.scaled(usize::MAX).is_err());
    }
}
