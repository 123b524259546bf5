//! A launch: all blocks of a grid.

use crate::block::Block;
use crate::counters::Counters;
use crate::fault::Fault;
use crate::memory::{Access, Address, Checks, Memory};
use crate::ptx::operand::{Constant, File, Special};
use crate::ptx::{Kernel, Module};
use crate::warp::Warp;

/// In which order things run that nothing orders: streams, blocks, warps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were asked for: ascending.
    #[default]
    Eager,
    /// As late as can be: descending.
    Lazy,
    /// Drawn, from this seed.
    Shuffled(u64),
}

/// The module variables of a loaded module, in the order of [`Module::globals`].
#[derive(Clone, Debug, Default)]
pub struct Globals {
    variables: Vec<(String, Address, usize)>,
}

impl Globals {
    /// Allocates and initialises the variables of a module.
    pub fn load(module: &Module, memory: &mut Memory) -> Self {
        let variables = module.globals.iter().map(|g| {
            let mut contents = g.initial.clone();
            contents.resize(g.bytes, 0);
            (g.name.clone(), memory.allocate_variable(contents, g.constant), g.bytes)
        });
        Globals { variables: variables.collect() }
    }

    /// Frees them.
    ///
    /// # Errors
    /// If somebody else freed one.
    pub fn unload(self, memory: &mut Memory) -> Result<(), Fault> {
        self.variables.iter().try_for_each(|(_, address, _)| memory.free(*address))
    }

    /// Address and size of a variable.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(Address, usize)> {
        self.variables.iter().find(|(n, ..)| n == name).map(|(_, address, bytes)| (*address, *bytes))
    }
}

/// One launch of a kernel.
pub struct Launch<'a> {
    /// Kernel.
    pub kernel: &'a Kernel,
    /// Blocks of the grid.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Dynamic shared memory in bytes.
    pub dynamic_shared: u32,
    /// Parameters, laid out as [`Kernel::parameters`] says.
    pub parameters: &'a [u8],
    /// Device memory.
    pub memory: &'a Memory,
    /// Variables of the kernel's module.
    pub globals: &'a Globals,
    /// Order of blocks, and of warps between barriers.
    pub order: Order,
    /// Checks of shared memory; those of global memory are the memory's own.
    pub checks: Checks,
    /// Who launches.
    pub access: &'a Access<'a>,
}

impl Launch<'_> {
    /// Runs the grid to its end.
    ///
    /// # Errors
    /// The first fault that the checks find.
    pub fn run(&self, counters: &mut Counters) -> Result<(), Fault> {
        self.check()?;
        let mut block = Block::new(self);
        let mut warps = self.warps();
        let varying = self.constants(|constant| matches!(constant, Constant::Special(Special::Block(_))));
        let [x, y, z] = self.grid.map(u64::from);
        let blocks = x * y * z;
        let mut outcome = Ok(());
        for turn in 0..blocks {
            let number = permute(self.order, turn, blocks);
            let at = [number % x, number / x % y, number / (x * y)].map(|n| n as u32);
            for warp in &mut warps {
                warp.reset();
                warp.fill(&varying, |constant, _| self.constant(constant, at, 0, 0));
            }
            block.global.actor.set_block(number as u32);
            outcome = block.run(self, at, &mut warps);
            if outcome.is_err() {
                break;
            }
        }
        let kernel = counters.kernels.entry(self.kernel.name.clone()).or_default();
        kernel.launches += 1;
        kernel.blocks += blocks;
        block.add_to(self.kernel, kernel);
        outcome
    }

    fn check(&self) -> Result<(), Fault> {
        #[cfg(target_arch = "x86_64")]
        {
            let vectors = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if !vectors || !is_x86_feature_detected!("f16c") || !is_x86_feature_detected!("bmi2") {
                return Err(Fault::Processor);
            }
        }
        let threads = self.block.iter().try_fold(1u32, |n, extent| n.checked_mul(*extent)).unwrap_or(u32::MAX);
        if !(1..=1024).contains(&threads) || self.grid.contains(&0) {
            return Err(Fault::Shape { grid: self.grid, block: self.block });
        }
        let expected = self.kernel.parameter_bytes();
        if self.parameters.len() != expected {
            let kernel = self.kernel.name.clone();
            return Err(Fault::Parameters { kernel, expected, given: self.parameters.len() });
        }
        Ok(())
    }

    /// The constants of the kernel that a test picks: where they go, and what they are.
    fn constants(&self, pick: impl Fn(&Constant) -> bool) -> Vec<(File, u16, Constant)> {
        let all = self.kernel.frame.constants.iter().filter(|((_, constant), _)| pick(constant));
        all.map(|((file, constant), slot)| (*file, *slot, constant.clone())).collect()
    }

    /// The warps of a block, their constants filled in.
    fn warps(&self) -> Vec<Warp> {
        let threads: u32 = self.block.iter().product();
        let constants = self.constants(|_| true);
        let warp = |index: u32| {
            let present = u32::MAX >> (32 - (threads - index * 32).min(32));
            let mut warp = Warp::new(&self.kernel.frame, index, present, self.kernel.local);
            warp.fill(&constants, |constant, lane| self.constant(constant, [0; 3], index, lane));
            warp
        };
        (0..threads.div_ceil(32)).map(warp).collect()
    }

    fn constant(&self, constant: &Constant, block: [u32; 3], warp: u32, lane: u32) -> u64 {
        match constant {
            Constant::Value(value) => *value,
            Constant::Dynamic(offset) => self.kernel.dynamic_base as u64 + offset,
            Constant::Global(index, offset) => {
                self.globals.variables.get(*index).map_or(0, |(_, address, _)| address + offset)
            }
            Constant::Special(Special::Block(axis)) => block[usize::from(*axis)].into(),
            Constant::Special(special) => self.special(*special, warp, lane).into(),
        }
    }

    fn special(&self, special: Special, warp: u32, lane: u32) -> u32 {
        let thread = warp * 32 + lane;
        let [x, y, _] = self.block;
        match special {
            Special::Thread(0) => thread % x,
            Special::Thread(1) => thread / x % y,
            Special::Thread(_) => thread / (x * y),
            Special::Threads(axis) => self.block[usize::from(axis)],
            // Of a block, not of a warp.
            Special::Block(_) => 0,
            Special::Blocks(axis) => self.grid[usize::from(axis)],
            Special::Lane => lane,
            Special::Warp => warp,
            Special::Warps => self.block.iter().product::<u32>().div_ceil(32),
            Special::Lanes { below, equal, above } => {
                let bit = 1u32 << lane;
                let part = |wanted, mask| if wanted { mask } else { 0 };
                part(below, bit - 1) | part(equal, bit) | part(above, !(bit | (bit - 1)))
            }
            Special::DynamicShared => self.dynamic_shared,
            Special::TotalShared => self.kernel.static_shared as u32 + self.dynamic_shared,
            Special::Processor => 0,
            Special::Processors => 1,
        }
    }
}

/// The member that has its turn, of so many, each once.
pub(crate) fn permute(order: Order, turn: u64, members: u64) -> u64 {
    match order {
        Order::Eager => turn,
        Order::Lazy => members - 1 - turn,
        Order::Shuffled(seed) => {
            // A step that has no divisor in common with the number of members visits each of them once.
            let mut step = mix(seed) % members + 1;
            while common_divisor(step, members) != 1 {
                step += 1;
            }
            ((u128::from(turn) * u128::from(step) + u128::from(mix(!seed))) % u128::from(members)) as u64
        }
    }
}

/// SplitMix64's output function: neighbouring seeds give unrelated numbers.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_visits_each_member_once() {
        for order in [Order::Eager, Order::Lazy, Order::Shuffled(0), Order::Shuffled(7), Order::Shuffled(u64::MAX)] {
            for members in 1..40 {
                let mut seen: Vec<_> = (0..members).map(|turn| permute(order, turn, members)).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..members).collect::<Vec<_>>(), "{order:?}");
            }
        }
    }
}
