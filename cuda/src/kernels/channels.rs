//! Ranges of the channels of feature maps, the operands of the general kernels.

use super::video::halves;
use crate::launch::Arguments;
use crate::view::Map;
use crate::{Buffer, Device, Error};

/// Channels that a thread takes at a time: one access of 16 bytes.
pub const CHUNK: usize = 8;

/// Consecutive channels of a map, from a multiple of [`CHUNK`] on.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    pub(super) map: &'a Map,
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Map {
    /// All channels, the padding included.
    pub fn all(&self) -> Channels<'_> {
        Channels { map: self, first: 0, count: self.channels }
    }

    /// `count` channels from `first` on.
    ///
    /// # Panics
    /// If the map has no such channels, or `first` is no multiple of [`CHUNK`].
    pub fn range(&self, first: usize, count: usize) -> Channels<'_> {
        assert!(first.is_multiple_of(CHUNK), "channel {first} begins no chunk");
        assert!(
            count > 0 && first + count <= self.channels,
            "a map of {} channels has no {first}+{count}",
            self.channels
        );
        Channels { map: self, first, count }
    }
}

impl Channels<'_> {
    /// How many channels.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Chunks that hold the channels.
    pub(super) fn chunks(&self) -> usize {
        self.count.div_ceil(CHUNK)
    }

    pub(super) fn pixels(&self) -> usize {
        self.map.height * self.map.width
    }

    /// `Channels` of `kernels/common/chunk.cuh`, as words.
    pub(super) fn words(&self) -> [u32; 4] {
        let [low, high] = halves(self.map.buffer.address() + 2 * self.first as u64);
        [low, high, self.map.channels as u32, 0]
    }

    /// Refuses operands of other sizes.
    pub(super) fn ensure_like(&self, kernel: &'static str, others: &[Channels<'_>]) -> Result<(), Error> {
        let size = |c: &Channels<'_>| (c.map.height, c.map.width, c.count);
        match others.iter().find(|other| size(other) != size(self)) {
            None => Ok(()),
            Some(other) => {
                let reason = format!("operands of {:?} and {:?} (height, width, channels)", size(self), size(other));
                Err(Error::Shape { kernel, reason })
            }
        }
    }
}

impl Arguments {
    /// Channels as a structure, whose buffer the launch keeps.
    pub(super) fn channels(self, channels: &Channels<'_>) -> Self {
        self.keep(&channels.map.buffer).value(channels.words())
    }
}

/// A table of one value a channel on the device, zeros up to whole maps' channels.
pub(super) fn table(device: &Device, values: &[f32]) -> Result<Buffer, Error> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(crate::CHANNEL_STEP), 0.0);
    Buffer::from_slice(device, &padded)
}
