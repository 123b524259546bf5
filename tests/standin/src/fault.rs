//! Everything the checks find.

use std::fmt;

use thiserror::Error;

use crate::memory::{Address, CommandId};

/// Where in a launch a fault was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Kernel.
    pub kernel: String,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// That line.
    pub text: String,
    /// Block of the grid.
    pub block: [u32; 3],
    /// Warp of the block.
    pub warp: u32,
    /// Lane of the warp, where one lane is to blame.
    pub lane: Option<u32>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(
            f,
            "kernel {}, PTX line {}: `{}`, block ({x}, {y}, {z}), warp {}",
            self.kernel, self.line, self.text, self.warp
        )?;
        match self.lane {
            Some(lane) => write!(f, ", lane {lane}"),
            None => Ok(()),
        }
    }
}

/// A state space, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Device memory.
    Global,
    /// Shared memory of a block.
    Shared,
    /// Memory of one thread.
    Local,
    /// Kernel parameters.
    Parameter,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Global => "global",
            Space::Shared => "shared",
            Space::Local => "local",
            Space::Parameter => "parameter",
        })
    }
}

/// What an access did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It read.
    Read,
    /// It wrote.
    Write,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Read => "read",
            Kind::Write => "write",
        })
    }
}

/// A finding: a program that no GPU would have to run as meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A fault inside a kernel, with its place.
    #[error("{cause} ({site})")]
    InKernel {
        /// Place.
        site: Box<Site>,
        /// What was found there.
        cause: Box<Fault>,
    },
    /// An address that belongs to no allocation.
    #[error("{kind} of {bytes} bytes at {address:#x}: no such allocation")]
    NoAllocation {
        /// What the access did.
        kind: Kind,
        /// First byte.
        address: Address,
        /// Size of the access.
        bytes: usize,
    },
    /// Access to memory that was freed.
    #[error("{kind} of {bytes} bytes at {address:#x}: freed memory")]
    Freed {
        /// What the access did.
        kind: Kind,
        /// First byte.
        address: Address,
        /// Size of the access.
        bytes: usize,
    },
    /// Access beyond the end of an allocation, or of the block's shared, or the thread's local memory.
    #[error("{kind} of {bytes} bytes of {space} memory at {address:#x}: out of bounds, {limit} bytes are there")]
    OutOfBounds {
        /// What the access did.
        kind: Kind,
        /// State space.
        space: Space,
        /// First byte.
        address: Address,
        /// Size of the access.
        bytes: usize,
        /// Size of what was exceeded.
        limit: usize,
    },
    /// An address that is no multiple of the access size.
    #[error("{kind} of {bytes} bytes of {space} memory at {address:#x}: misaligned")]
    Misaligned {
        /// What the access did.
        kind: Kind,
        /// State space.
        space: Space,
        /// First byte.
        address: Address,
        /// Size of the access, and the alignment it needs.
        bytes: usize,
    },
    /// A write to a constant variable.
    #[error("write of {bytes} bytes at {address:#x}: constant memory")]
    Constant {
        /// First byte.
        address: Address,
        /// Size of the access.
        bytes: usize,
    },
    /// A read of bytes that nobody wrote.
    #[error("read of uninitialised {space} memory at {address:#x}")]
    Uninitialised {
        /// State space.
        space: Space,
        /// First such byte.
        address: Address,
    },
    /// An access to the destination of a `cp.async` that was not waited for.
    #[error("{kind} of shared memory at {address:#x}: a cp.async to it was not waited for")]
    Pending {
        /// What the access did.
        kind: Kind,
        /// First such byte.
        address: Address,
    },
    /// Two stream operations touch the same bytes, one of them writes, and nothing orders them.
    #[error(
        "race: {kind} at {address:#x} by command {later} after a {earlier_kind} by command {earlier}, which nothing orders before it"
    )]
    Race {
        /// What the later access did.
        kind: Kind,
        /// First such word.
        address: Address,
        /// What the earlier access did.
        earlier_kind: Kind,
        /// Command of the earlier access.
        earlier: CommandId,
        /// Command of the later access.
        later: CommandId,
    },
    /// Two blocks of one launch touch the same bytes of global memory and one of them writes.
    #[error("race between blocks: {kind} at {address:#x} after a {earlier_kind} by {}", .block.map_or("several blocks".to_owned(), |b| format!("block {b}")))]
    BlockRace {
        /// What the later access did.
        kind: Kind,
        /// First such word.
        address: Address,
        /// What the earlier access did.
        earlier_kind: Kind,
        /// Number of the earlier block (x fastest), where it is one.
        block: Option<u32>,
    },
    /// Two warps of a block touch the same shared bytes, one of them writes, and no barrier is between.
    #[error("shared-memory race: {kind} at {address:#x} after a {earlier_kind} by warp {warp} with no barrier between")]
    SharedRace {
        /// What the later access did.
        kind: Kind,
        /// First such word.
        address: Address,
        /// What the earlier access did.
        earlier_kind: Kind,
        /// Warp of the earlier access.
        warp: u32,
    },
    /// A collective instruction without all the lanes that it needs.
    #[error("collective instruction for lanes {expected:#010x}, executed by lanes {active:#010x}")]
    Divergent {
        /// Lanes that must take part.
        expected: u32,
        /// Lanes that do.
        active: u32,
    },
    /// A barrier that some warps of the block never reach.
    #[error("deadlock: barrier {barrier} is reached by {arrived} threads and needs {expected}")]
    Deadlock {
        /// Barrier number.
        barrier: u32,
        /// Threads that arrived.
        arrived: u32,
        /// Threads that it waits for.
        expected: u32,
    },
    /// A barrier number or thread count that PTX does not allow.
    #[error(
        "barrier {barrier} with {threads} threads: the number must be below 16, the count a multiple of 32 in the block"
    )]
    Barrier {
        /// Barrier number.
        barrier: u32,
        /// Threads asked for.
        threads: u32,
    },
    /// A `cp.async` whose source is larger than its destination.
    #[error("cp.async of {size} bytes to {bytes} bytes")]
    CopySize {
        /// Bytes of the source.
        size: usize,
        /// Bytes of the destination.
        bytes: usize,
    },
    /// A processor that the interpreter cannot use.
    #[error("this processor lacks AVX2, FMA, F16C or BMI2, which the interpreter needs")]
    Processor,
    /// `trap`.
    #[error("trap")]
    Trap,
    /// A warp that takes more branches than any kernel has use for.
    #[error("a warp took {branches} branches and did not end: an endless loop, or a wait for another warp or block")]
    Endless {
        /// Branches taken.
        branches: u64,
    },
    /// A kernel asked to run with parameters of another size than it declares.
    #[error("kernel {kernel} takes {expected} bytes of parameters, given {given}")]
    Parameters {
        /// Kernel.
        kernel: String,
        /// Bytes it declares.
        expected: usize,
        /// Bytes given.
        given: usize,
    },
    /// A grid or block of no threads, or a block of more than 1024.
    #[error("grid {grid:?} with blocks of {block:?} threads")]
    Shape {
        /// Grid.
        grid: [u32; 3],
        /// Block.
        block: [u32; 3],
    },
    /// A free of an address that is not the start of a live allocation.
    #[error("free of {address:#x}: {}", if *.again { "it was freed before" } else { "not an allocation" })]
    BadFree {
        /// Address.
        address: Address,
        /// Whether it was an allocation once.
        again: bool,
    },
}

impl Fault {
    /// The fault without its place.
    #[must_use]
    pub fn cause(&self) -> &Fault {
        match self {
            Fault::InKernel { cause, .. } => cause,
            other => other,
        }
    }

    /// Its place, where it was found in a kernel.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        match self {
            Fault::InKernel { site, .. } => Some(site),
            _ => None,
        }
    }
}
