//! What kernels read and write: feature maps, planar pictures, and the planes of video frames.

use crate::{Buffer, Device, Error};

/// Channels of a feature map come in groups of this many, the depth of a matrix product.
pub const CHANNEL_STEP: usize = 16;

/// A feature map: f16, `[height][width][channels]`, channels padded with zeros to a multiple of [`CHANNEL_STEP`].
#[derive(Clone, Debug)]
pub struct Map {
    pub(crate) buffer: Buffer,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Padded.
    pub(crate) channels: usize,
}

impl Map {
    /// Bytes that a map needs; `channels` need not be padded.
    pub const fn bytes(height: usize, width: usize, channels: usize) -> usize {
        2 * height * width * channels.next_multiple_of(CHANNEL_STEP)
    }

    /// A map at the start of a buffer.
    ///
    /// # Panics
    /// If the buffer is too small.
    pub fn new(buffer: &Buffer, height: usize, width: usize, channels: usize) -> Self {
        let bytes = Self::bytes(height, width, channels);
        let channels = channels.next_multiple_of(CHANNEL_STEP);
        Self { buffer: buffer.part(0, bytes), height, width, channels }
    }

    /// A map of its own.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn allocate(device: &Device, height: usize, width: usize, channels: usize) -> Result<Self, Error> {
        Ok(Self::new(&Buffer::new(device, Self::bytes(height, width, channels))?, height, width, channels))
    }

    /// Its memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Height, width and padded channels.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.height, self.width, self.channels)
    }
}

/// A planar picture: f32, `[channels][height][width]`, rows packed tightly.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) buffer: Buffer,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Image {
    /// Bytes that a picture needs.
    pub const fn bytes(channels: usize, height: usize, width: usize) -> usize {
        4 * channels * height * width
    }

    /// A picture at the start of a buffer.
    ///
    /// # Panics
    /// If the buffer is too small.
    pub fn new(buffer: &Buffer, channels: usize, height: usize, width: usize) -> Self {
        Self { buffer: buffer.part(0, Self::bytes(channels, height, width)), channels, height, width }
    }

    /// A picture of its own.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn allocate(device: &Device, channels: usize, height: usize, width: usize) -> Result<Self, Error> {
        Ok(Self::new(&Buffer::new(device, Self::bytes(channels, height, width))?, channels, height, width))
    }

    /// Its memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Channels, height and width.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// One channel as a plane of f32.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn plane(&self, channel: usize) -> Plane {
        let bytes = Self::bytes(1, self.height, self.width);
        Plane {
            buffer: self.buffer.part(channel * bytes, bytes),
            pitch: 4 * self.width,
            height: self.height,
            width: self.width,
            sample: Sample::F32,
        }
    }
}

/// How the samples of one component lie in a row of a video plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Type of a sample in memory.
    pub kind: Kind,
    /// How far a code is shifted up within its bytes; P010 has 6.
    pub shift: u32,
    /// Samples of a pixel in memory: 1 planar, 2 semi-planar chroma, 3 or 4 packed RGB.
    pub group: usize,
    /// Which of them this component is.
    pub part: usize,
    /// The largest code; 1 for [`Kind::F32`].
    pub max: u32,
}

impl Sample {
    /// A plane of f32.
    pub const F32: Self = Self { kind: Kind::F32, shift: 0, group: 1, part: 0, max: 1 };
    /// A plane of bytes.
    pub const U8: Self = Self { kind: Kind::U8, shift: 0, group: 1, part: 0, max: 255 };

    /// Bytes of a pixel.
    pub const fn pixel_bytes(&self) -> usize {
        self.kind.bytes() * self.group
    }
}

/// Type of a sample in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte.
    U8,
    /// Two bytes, little-endian.
    U16,
    /// A float that is no code.
    F32,
}

impl Kind {
    /// Bytes of a sample.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// One component of a plane of a video frame.
#[derive(Clone, Debug)]
pub struct Plane {
    pub(crate) buffer: Buffer,
    pub(crate) pitch: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) sample: Sample,
}

impl Plane {
    /// A component of the plane at the start of a buffer; `pitch` is bytes from row to row.
    ///
    /// # Panics
    /// If rows overlap or the buffer is too small.
    pub fn new(buffer: &Buffer, pitch: usize, height: usize, width: usize, sample: Sample) -> Self {
        let row = width * sample.pixel_bytes();
        assert!(pitch >= row, "rows of {row} bytes overlap at a pitch of {pitch}");
        let buffer = buffer.part(0, if height == 0 { 0 } else { pitch * (height - 1) + row });
        Self { buffer, pitch, height, width, sample }
    }

    /// Its memory, from the first row's first pixel on.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Height and width in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// How its samples lie.
    pub fn sample(&self) -> Sample {
        self.sample
    }
}
