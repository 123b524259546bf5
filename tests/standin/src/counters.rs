//! What kernels cost: instructions, shared-memory waves, global traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ptx::instruction::Class;

/// Counters of all kernels, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// One entry a kernel that was launched.
    pub kernels: BTreeMap<String, KernelCounters>,
}

/// Counters of one kernel, summed over its launches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelCounters {
    /// Launches.
    pub launches: u64,
    /// Blocks.
    pub blocks: u64,
    /// Warp instructions by class.
    pub instructions: Instructions,
    /// `mma` warp instructions by shape and accumulator, such as `m16n8k16.f32`.
    pub mma: BTreeMap<String, u64>,
    /// `ldmatrix` warp instructions by size, such as `x4`.
    pub ldmatrix: BTreeMap<String, u64>,
    /// Shared memory.
    pub shared: Shared,
    /// Loads from global memory.
    pub loads: Traffic,
    /// Sectors that `loads` requested from memory that no kernel has written, weights and tables mostly: by the bytes
    /// of the allocation.
    pub constants: BTreeMap<usize, u64>,
    /// Stores to global memory, atomic operations among them.
    pub stores: Traffic,
}

impl KernelCounters {
    /// Counts an instruction that was issued so many times.
    pub(crate) fn count(&mut self, class: Class, issued: u64) {
        let instructions = &mut self.instructions;
        match class {
            Class::Integer => instructions.integer += issued,
            Class::Float => instructions.float += issued,
            Class::Half => instructions.half += issued,
            Class::Memory => instructions.memory += issued,
            Class::Control => instructions.control += issued,
            Class::Collective => instructions.collective += issued,
            Class::Mma { depth, single } => {
                instructions.collective += issued;
                let accumulator = if single { "f32" } else { "f16" };
                *self.mma.entry(format!("m16n8k{depth}.{accumulator}")).or_default() += issued;
            }
            Class::Matrices(count) => {
                instructions.memory += issued;
                *self.ldmatrix.entry(format!("x{count}")).or_default() += issued;
            }
        }
    }
}

/// Warp instructions by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Integer arithmetic, logic, comparison, moves, address arithmetic.
    pub integer: u64,
    /// Arithmetic of 32 and 64-bit floats, and conversions.
    pub float: u64,
    /// Arithmetic of 16-bit floats.
    pub half: u64,
    /// Loads, stores, asynchronous copies, atomic operations, `ldmatrix`.
    pub memory: u64,
    /// Branches, returns, barriers, fences.
    pub control: u64,
    /// `mma`, shuffles, votes, reductions.
    pub collective: u64,
}

impl Instructions {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.integer + self.float + self.half + self.memory + self.control + self.collective
    }
}

/// Requests to shared memory and the passes (waves) that the banks need for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Warp instructions.
    pub requests: u64,
    /// Waves.
    pub waves: u64,
    /// Waves beyond the least that the width of the access needs: bank conflicts.
    pub conflicts: u64,
}

/// Traffic with global memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Warp instructions.
    pub requests: u64,
    /// Distinct 32-byte sectors of a warp instruction, summed over instructions: what the first cache is asked for.
    /// Lanes that want the same ask once.
    pub requested: u64,
    /// Distinct 32-byte sectors of a launch, summed over launches: what an ideal cache would move.
    pub sectors: u64,
}
