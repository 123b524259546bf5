//! Weights and tables of a kernel in one piece, which its blocks keep in shared memory (`kernels/common/constants.cuh`).

use crate::{Buffer, Device, Error};

/// The oldest architecture whose blocks keep them; the ones before read them through the first cache.
const SHARED_SINCE: (i32, i32) = (8, 0);

/// Constants on a device.
#[derive(Clone, Debug)]
pub(super) struct Constants(pub(super) Buffer);

impl Constants {
    /// The parts one after the other, all together a multiple of 16 bytes.
    pub(super) fn new(device: &Device, parts: &[&[u8]]) -> Result<Self, Error> {
        let bytes = parts.concat();
        assert!(bytes.len().is_multiple_of(16), "{} bytes cannot be copied by 16", bytes.len());
        Ok(Self(Buffer::from_slice(device, &bytes)?))
    }

    /// Shared memory that a block needs for them.
    pub(super) fn shared_bytes(&self) -> usize {
        let shared = self.0.device().description().compute_capability >= SHARED_SINCE;
        if shared { self.0.bytes() } else { 0 }
    }
}
