//! The driver's state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread::ThreadId;

use crate::memory::{Address, Checks, CommandId, Memory};

use super::abi::Handle;
use super::capture::{Capture, Mode};
use super::clock::{Mark, Ordering};
use super::code::CUresult;
use super::config::{Config, StreamOrder};
use super::context::Context;
use super::event::Event;
use super::graph::{Executable, Graph};
use super::injection::Injection;
use super::log::Log;
use super::module::{Function, Module};
use super::operation::Pending;
use super::pinned::Pinned;
use super::simulation::Engines;
use super::stream::{Stream, StreamKind};

/// A pretended device with its one context.
pub(crate) struct Device {
    pub(crate) memory: Memory,
    /// What users allocated, with its size; variables of modules are the memory's own affair.
    pub(crate) allocations: BTreeMap<Address, usize>,
    /// Allocations whose free is issued and has not run.
    pub(crate) freeing: BTreeSet<Address>,
    pub(crate) used: usize,
    pub(crate) peak: usize,
    pub(crate) engines: Engines,
    pub(crate) context: Context,
    /// Last operations of streams that were destroyed, as far as the host does not know their end.
    pub(crate) orphans: Vec<(StreamKind, Mark)>,
}

/// Numbers drawn for shuffled orders: xorshift, so that a seed gives the same run everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }
}

/// All of the driver.
pub(crate) struct Driver {
    pub(crate) config: Config,
    pub(crate) initialised: bool,
    pub(crate) injection: Injection,
    pub(crate) lost: bool,
    pub(crate) log: Log,
    pub(crate) ordering: Ordering,
    pub(crate) random: Random,
    /// Simulated time of the host, in nanoseconds.
    pub(crate) now: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) streams: BTreeMap<Handle, Stream>,
    pub(crate) streams_made: u32,
    pub(crate) events: BTreeMap<Handle, Event>,
    pub(crate) captures: BTreeMap<Handle, Capture>,
    /// Of threads that have changed it.
    pub(crate) capture_modes: HashMap<ThreadId, Mode>,
    pub(crate) graphs: BTreeMap<Handle, Graph>,
    pub(crate) executables: BTreeMap<Handle, Executable>,
    pub(crate) graph_launches: u32,
    pub(crate) modules: BTreeMap<Handle, Module>,
    pub(crate) functions: BTreeMap<Handle, Function>,
    pub(crate) pinned: BTreeMap<usize, Pinned>,
    pub(crate) pending: HashMap<CommandId, Pending>,
    /// Those of the pending whose dependencies have all run.
    pub(crate) ready: BTreeSet<CommandId>,
    last_handle: Handle,
}

/// Allocations of the second device start at this number, so that no pointer names memory on both.
const SECOND_DEVICE: usize = 1 << 16;

impl Driver {
    pub(crate) fn new(config: Config) -> Self {
        let checks = Checks { uninitialised: config.uninitialised, races: config.races };
        let seed = if let StreamOrder::Shuffled(seed) = config.order { seed } else { 0 };
        Self {
            devices: (0..config.devices).map(|index| Device::new(index, checks)).collect(),
            injection: Injection::new(&config),
            log: Log::new(config.trace),
            random: Random::new(seed),
            config,
            initialised: false,
            lost: false,
            ordering: Ordering::new(),
            now: 0,
            streams: BTreeMap::new(),
            streams_made: 0,
            events: BTreeMap::new(),
            captures: BTreeMap::new(),
            capture_modes: HashMap::new(),
            graphs: BTreeMap::new(),
            executables: BTreeMap::new(),
            graph_launches: 0,
            modules: BTreeMap::new(),
            functions: BTreeMap::new(),
            pinned: BTreeMap::new(),
            pending: HashMap::new(),
            ready: BTreeSet::new(),
            // Far from every address that a process may have.
            last_handle: 0x5a5a_0000_0000_0000,
        }
    }

    /// A handle that names one thing of one kind, ever: stale and mistaken ones are found.
    pub(crate) fn new_handle(&mut self) -> Handle {
        self.last_handle += 16;
        self.last_handle
    }

    pub(crate) fn checks(&self) -> Checks {
        Checks { uninitialised: self.config.uninitialised, races: self.config.races }
    }

    /// Reports a finding that breaks the context for good, as a fault on the device does.
    pub(crate) fn break_context(&mut self, device: usize, text: String, operation: Option<CommandId>, code: CUresult) {
        self.log.found(text, operation, code);
        self.devices[device].context.broken.get_or_insert(code);
        self.cancel(device);
    }

    /// A panic left work half done: nothing can be trusted any more.
    pub(crate) fn fail_itself(&mut self, call: &str) {
        for device in 0..self.devices.len() {
            let text = format!("{call}: a fault of the stand-in itself, see the panic above");
            self.break_context(device, text, None, CUresult::UNKNOWN);
        }
    }

    /// Reports a call that cannot be right, and gives its code; the context lives on.
    pub(crate) fn refuse(&mut self, text: String, code: CUresult) -> CUresult {
        self.log.found(text, None, code);
        code
    }

    /// Writes the report, if one is asked for.
    pub(crate) fn write_report(&self) {
        let Some(path) = &self.config.report else { return };
        let peaks = self.devices.iter().map(|device| device.peak).collect();
        let report = self.log.report(&self.injection.done, peaks);
        let written = serde_json::to_vec_pretty(&report)
            .map_err(std::io::Error::from)
            .and_then(|json| std::fs::write(path, json));
        if let Err(error) = written {
            eprintln!("ptx-standin: the report cannot be written to {}: {error}", path.display());
        }
    }
}

impl Device {
    fn new(index: usize, checks: Checks) -> Self {
        let mut memory = Memory::new(checks);
        if index > 0 {
            for _ in 0..SECOND_DEVICE {
                let unused = memory.allocate(0);
                memory.free(unused).expect("an allocation just made");
            }
        }
        Self {
            memory,
            allocations: BTreeMap::new(),
            freeing: BTreeSet::new(),
            used: 0,
            peak: 0,
            engines: Engines::default(),
            context: Context::default(),
            orphans: Vec::new(),
        }
    }
}
