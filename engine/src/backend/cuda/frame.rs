//! A frame in flight on the device: one block that goes up, one that comes down.
//!
//! Both blocks and the word between them lie in one allocation: input, word, output. The word goes up with the input as 0,
//! becomes 1 on the device where a value is infinite or not a number, and comes down with the output.

use srup_cuda::{ALIGNMENT, Buffer, Device, Kind, Plane, Sample};

use crate::Error;
use crate::frame::convert::NotFinite;
use crate::frame::{Family, FrameMut, FrameRef, PixelFormat, VideoInfo};

/// How the planes of a frame lie in a block of memory: planes at multiples of [`ALIGNMENT`], rows at multiples of four
/// bytes. So kernels move words whatever the width, and planes of GStreamer's usual strides go up in one piece.
#[derive(Clone, Copy, Debug)]
struct Layout {
    info: VideoInfo,
    offsets: [usize; 3],
    bytes: usize,
}

impl Layout {
    fn new(info: &VideoInfo) -> Self {
        let mut layout = Self { info: *info, offsets: [0; 3], bytes: 0 };
        for plane in 0..info.format.planes() {
            layout.offsets[plane] = layout.bytes;
            layout.bytes = (layout.bytes + layout.plane_bytes(plane)).next_multiple_of(ALIGNMENT);
        }
        layout
    }

    fn row_bytes(&self, plane: usize) -> usize {
        self.info.format.row_bytes(plane, self.info.width)
    }

    fn pitch(&self, plane: usize) -> usize {
        self.row_bytes(plane).next_multiple_of(4)
    }

    fn plane_bytes(&self, plane: usize) -> usize {
        self.pitch(plane) * self.info.format.rows(plane, self.info.height)
    }

    fn gather(&self, frame: &FrameRef<'_>, block: &mut [u8]) {
        for plane in 0..self.info.format.planes() {
            let (bytes, pitch) = (self.row_bytes(plane), self.pitch(plane));
            let source = frame.plane(plane);
            let target = &mut block[self.offsets[plane]..][..self.plane_bytes(plane)];
            if source.stride == pitch && source.data.len() >= target.len() {
                target.copy_from_slice(&source.data[..target.len()]);
                continue;
            }
            for (y, row) in target.chunks_exact_mut(pitch).enumerate() {
                row[..bytes].copy_from_slice(source.row(y, bytes));
            }
        }
    }

    fn scatter(&self, block: &[u8], frame: &mut FrameMut<'_>) {
        for plane in 0..self.info.format.planes() {
            let (bytes, pitch) = (self.row_bytes(plane), self.pitch(plane));
            let source = &block[self.offsets[plane]..][..self.plane_bytes(plane)];
            let target = frame.plane_mut(plane);
            if target.stride == bytes && bytes == pitch {
                target.data[..source.len()].copy_from_slice(source);
                continue;
            }
            let rows = self.info.format.rows(plane, self.info.height);
            for (row, source) in target.rows(rows, bytes).zip(source.chunks_exact(pitch)) {
                row.copy_from_slice(&source[..bytes]);
            }
        }
    }

    /// A component in a block on the device: Y, U or V, or part 0 or 3 of packed pixels.
    fn component(&self, block: &Buffer, number: usize) -> Plane {
        let format = self.info.format;
        let (plane, part) = match format.family() {
            Family::Rgb => (0, number),
            _ if number > 0 && format.is_semi_planar() => (1, number - 1),
            _ => (number, 0),
        };
        let (height, width) = match plane {
            0 => (self.info.height, self.info.width),
            _ => (format.chroma_height(self.info.height), format.chroma_width(self.info.width)),
        };
        let memory = block.part(self.offsets[plane], self.plane_bytes(plane));
        Plane::new(&memory, self.pitch(plane), height, width, sample(format, plane, part))
    }
}

/// How component `part` of plane `plane` lies there.
pub(super) fn sample(format: PixelFormat, plane: usize, part: usize) -> Sample {
    let group = match format.packed_rgb() {
        Some(packed) => packed.size,
        None if plane > 0 && format.is_semi_planar() => 2,
        None => 1,
    };
    let kind = if format.sample_bytes() == 2 { Kind::U16 } else { Kind::U8 };
    Sample { kind, shift: format.shift(), group, part, max: format.max_code() }
}

/// One frame in flight, whatever model it goes through.
#[derive(Debug)]
pub struct Frame {
    input: Layout,
    output: Layout,
    block: Buffer,
}

impl Frame {
    /// Memory for frames of these descriptions.
    ///
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Device, input: &VideoInfo, output: &VideoInfo) -> Result<Self, Error> {
        let (input, output) = (Layout::new(input), Layout::new(output));
        // Nobody writes what lies between planes, and the download takes it along.
        let block = Buffer::zeroed(device, input.bytes + ALIGNMENT + output.bytes)?;
        Ok(Self { input, output, block })
    }

    /// The block that goes up, for [`Frame::gather`].
    pub fn upload(&self) -> Buffer {
        self.block.part(0, self.input.bytes + FLAG)
    }

    /// The block that comes down, for [`Frame::scatter`].
    pub fn download(&self) -> Buffer {
        self.block.part(self.input.bytes, ALIGNMENT + self.output.bytes)
    }

    /// The word that a network sets to 1 where a value is infinite or not a number.
    pub fn flag(&self) -> Buffer {
        self.block.part(self.input.bytes, FLAG)
    }

    /// A component of what went up: 0 to 2 for Y, U and V; 0 or 3 for the pixels or the alpha of packed RGB.
    pub fn source(&self, component: usize) -> Plane {
        self.input.component(&self.block, component)
    }

    /// The same of what comes down.
    pub fn target(&self, component: usize) -> Plane {
        let planes = self.block.part(self.input.bytes + ALIGNMENT, self.output.bytes);
        self.output.component(&planes, component)
    }

    /// Lays a frame out as it goes up.
    pub fn gather(&self, frame: &FrameRef<'_>, block: &mut [u8]) {
        self.input.gather(frame, block);
        block[self.input.bytes..][..FLAG].fill(0);
    }

    /// Takes a frame from what came down.
    ///
    /// # Errors
    /// [`NotFinite`]; the frame is filled nevertheless.
    pub fn scatter(&self, block: &[u8], frame: &mut FrameMut<'_>) -> Result<(), NotFinite> {
        let (flag, planes) = block.split_at(ALIGNMENT);
        self.output.scatter(planes, frame);
        if flag[..FLAG] == [0; FLAG] { Ok(()) } else { Err(NotFinite) }
    }
}

/// Bytes of the word that says that a value was infinite or not a number.
const FLAG: usize = 4;
