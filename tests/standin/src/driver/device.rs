//! What a pretended device says about itself: attributes by compute capability, limits, occupancy.

use std::ffi::c_int;

/// Limits of one compute capability: the table "Technical Specifications per Compute Capability" of the CUDA
/// programming guide; multiprocessors and level-2 cache are those of a well-known card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// Shared memory of a multiprocessor, in bytes.
    pub(crate) shared: usize,
    /// Most shared memory of a block, in bytes, for kernels that ask for it.
    pub(crate) shared_block: usize,
    /// Shared memory that the driver takes of each block.
    pub(crate) reserved: usize,
    pub(crate) threads: usize,
    pub(crate) blocks: usize,
    pub(crate) multiprocessors: c_int,
    pub(crate) cache: c_int,
}

/// Most threads of a block.
pub(crate) const BLOCK_THREADS: usize = 1024;
/// Most shared memory of a block without asking.
pub(crate) const SHARED_DEFAULT: usize = 48 << 10;

const fn limits(shared: usize, threads: usize, blocks: usize, multiprocessors: c_int, cache: c_int) -> Architecture {
    let reserved = 1 << 10;
    Architecture {
        shared: shared << 10,
        shared_block: (shared << 10) - reserved,
        reserved,
        threads,
        blocks,
        multiprocessors,
        cache: cache << 20,
    }
}

/// The limits of a compute capability, if it is known.
pub(crate) fn architecture(capability: u32) -> Option<Architecture> {
    Some(match capability {
        75 => Architecture { shared_block: 64 << 10, reserved: 0, ..limits(64, 1024, 16, 40, 4) },
        80 => limits(164, 2048, 32, 108, 40),
        86 => limits(100, 1536, 16, 28, 3),
        89 => limits(100, 1536, 24, 58, 48),
        90 => limits(228, 2048, 32, 132, 50),
        100 => limits(228, 2048, 32, 148, 126),
        120 => limits(100, 1536, 24, 170, 96),
        _ => return None,
    })
}

impl Architecture {
    /// Blocks of a kernel that fit on a multiprocessor at once, as far as threads and shared memory go: registers
    /// are the assembler's, and not known here.
    pub(crate) fn resident_blocks(&self, threads: usize, shared: usize) -> usize {
        let warps = threads.div_ceil(32).max(1);
        let by_shared = match shared + self.reserved {
            0 => self.blocks,
            // The allocation unit is 128 bytes (256 for 7.5): CUDA occupancy calculator.
            bytes => self.shared / bytes.next_multiple_of(128),
        };
        (self.threads / 32 / warps).min(self.blocks).min(by_shared)
    }

    /// A device attribute by its number in the driver's header.
    pub(crate) fn attribute(&self, number: c_int, capability: u32, device: usize) -> Option<c_int> {
        Some(match number {
            1 => BLOCK_THREADS as c_int,
            2 | 3 => 1024,
            4 => 64,
            5 => c_int::MAX,
            6 | 7 => 65535,
            8 => SHARED_DEFAULT as c_int,
            9 => 64 << 10,
            10 => 32,
            11 => c_int::MAX,
            12 | 82 => 65536,
            13 => 1_500_000,
            14 | 30 => 512,
            16 => self.multiprocessors,
            33 => device as c_int + 1,
            36 => 7_000_000,
            37 => 256,
            38 => self.cache,
            39 => self.threads as c_int,
            40 => 2,
            51 => 32,
            75 => (capability / 10) as c_int,
            76 => (capability % 10) as c_int,
            81 => self.shared as c_int,
            97 => self.shared_block as c_int,
            106 => self.blocks as c_int,
            111 => self.reserved as c_int,
            // Overlap, mapped host memory, concurrent kernels, unified addresses, priorities, caches, preemption,
            // registered host memory, memory pools.
            15 | 19 | 31 | 41 | 78 | 79 | 80 | 90 | 99 | 115 => 1,
            0 | 151.. | ..0 => return None,
            _ => 0,
        })
    }
}

/// The newest PTX version that a driver reads ("Release Notes" of the PTX ISA); the driver's number is 1000 times
/// the major and 10 times the minor version of its CUDA.
pub(crate) fn ptx_version(driver: u32) -> (u32, u32) {
    match (driver / 1000, driver % 1000 / 10) {
        (..=10, _) => (6, 5),
        (11, minor) => (7, minor),
        (12, minor @ 0..=5) => (8, minor),
        (12, minor) => (8, minor - 1),
        (major, minor) => (major - 4, minor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_limits_are_those_of_the_guide() {
        let optin = |cc| architecture(cc).unwrap().attribute(97, cc, 0).unwrap();
        assert_eq!([75, 80, 86, 89, 90, 100, 120].map(optin), [65536, 166912, 101376, 101376, 232448, 232448, 101376]);
    }

    #[test]
    fn occupancy_is_limited_by_threads_blocks_and_shared_memory() {
        let limits = architecture(86).unwrap();
        assert_eq!(limits.resident_blocks(128, 0), 12);
        assert_eq!(limits.resident_blocks(32, 0), 16);
        assert_eq!(limits.resident_blocks(128, 40 << 10), 2);
        assert_eq!(limits.resident_blocks(1024, 99 << 10), 1);
    }

    #[test]
    fn drivers_read_the_ptx_of_their_toolkit() {
        let versions = [11080, 12000, 12020, 12060, 12080, 12090, 13000].map(ptx_version);
        assert_eq!(versions, [(7, 8), (8, 0), (8, 2), (8, 5), (8, 7), (8, 8), (9, 0)]);
    }
}
