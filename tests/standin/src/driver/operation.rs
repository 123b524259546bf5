//! Stream operations: what each is, and how it runs.

use std::ffi::c_void;
use std::sync::Arc;

use crate::counters::Counters;
use crate::fault::Fault;
use crate::launch::{self, Globals, Launch};
use crate::memory::{Access, Address, Checks, CommandId, Memory};
use crate::ptx::Kernel;

use super::abi::Handle;
use super::clock::Clock;
use super::code::CUresult;
use super::report::OperationKind;
use super::simulation::{Engine, copy_cost};

/// Rows in memory: the first byte, and the bytes from one row to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<T> {
    pub(crate) base: T,
    pub(crate) pitch: usize,
}

/// What a copy moves: bytes of a row, and rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Area {
    pub(crate) fn bytes(self) -> usize {
        self.width * self.height
    }

    /// Bytes from the first to the last, for rows of this pitch.
    pub(crate) fn extent(self, pitch: usize) -> usize {
        if self.bytes() == 0 { 0 } else { (self.height - 1) * pitch + self.width }
    }
}

/// Where an upload reads from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A copy of pageable memory, its rows without gaps: made when the copy was asked for.
    Staged(Arc<[u8]>),
    /// Pinned memory, read when the copy runs; as a number, since the work may run on another thread.
    Host(Rows<usize>),
}

/// A kernel with all it needs.
#[derive(Debug)]
pub(crate) struct KernelLaunch {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) globals: Arc<Globals>,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic_shared: u32,
    pub(crate) parameters: Vec<u8>,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Kernel(Arc<KernelLaunch>),
    Upload { to: Rows<Address>, from: Source, area: Area },
    Download { to: Rows<usize>, from: Rows<Address>, area: Area },
    Copy { to: Rows<Address>, from: Rows<Address>, area: Area },
    Fill { at: Address, byte: u8, bytes: usize },
    Record,
    Wait,
    Callback { function: unsafe extern "C" fn(*mut c_void), data: usize },
    Free { at: Address, bytes: usize },
}

impl Work {
    pub(crate) fn kind(&self) -> OperationKind {
        match self {
            Work::Kernel(_) => OperationKind::Kernel,
            Work::Upload { .. } => OperationKind::Upload,
            Work::Download { .. } => OperationKind::Download,
            Work::Copy { .. } => OperationKind::Copy,
            Work::Fill { .. } => OperationKind::Fill,
            Work::Record => OperationKind::Record,
            Work::Wait => OperationKind::Wait,
            Work::Callback { .. } => OperationKind::Callback,
            Work::Free { .. } => OperationKind::Free,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Work::Upload { area, .. } | Work::Download { area, .. } | Work::Copy { area, .. } => area.bytes(),
            Work::Fill { bytes, .. } | Work::Free { bytes, .. } => *bytes,
            _ => 0,
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Work::Kernel(_) | Work::Copy { .. } | Work::Fill { .. } => Engine::Kernels,
            Work::Upload { .. } => Engine::Up,
            Work::Download { .. } => Engine::Down,
            _ => Engine::None,
        }
    }

    /// The host memory that it touches while it runs: first byte, extent, and whether it writes.
    pub(crate) fn host_memory(&self) -> Option<(usize, usize, bool)> {
        match self {
            Work::Upload { from: Source::Host(rows), area, .. } => Some((rows.base, area.extent(rows.pitch), false)),
            Work::Download { to, area, .. } => Some((to.base, area.extent(to.pitch), true)),
            _ => None,
        }
    }
}

/// An operation that was issued and has not run.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) device: usize,
    pub(crate) stream: Handle,
    pub(crate) work: Work,
    pub(crate) dependencies: Vec<CommandId>,
    pub(crate) clock: Arc<Clock>,
    /// Simulated time of the host when it issued this.
    pub(crate) issued: u64,
    /// Dependencies that have not run.
    pub(crate) blockers: usize,
    /// Operations that wait for this one.
    pub(crate) dependents: Vec<CommandId>,
    /// Fails with this code instead of running.
    pub(crate) injected: Option<CUresult>,
}

/// What running needs besides the work.
pub(crate) struct Machine<'a> {
    pub(crate) memory: &'a Memory,
    pub(crate) counters: &'a mut Counters,
    pub(crate) order: launch::Order,
    pub(crate) checks: Checks,
    pub(crate) access: Access<'a>,
}

impl Machine<'_> {
    /// Runs the work, except what is the driver's own (events, frees); gives its simulated cost.
    pub(crate) fn run(&mut self, work: &Work) -> Result<u64, Fault> {
        match work {
            Work::Kernel(launch) => return self.kernel(launch),
            Work::Upload { to, from, area } => self.upload(*to, from, *area)?,
            Work::Download { to, from, area } => self.download(*to, *from, *area)?,
            Work::Copy { to, from, area } => {
                for (to, from, bytes) in pieces(*to, *from, *area) {
                    self.memory.copy(to, from, bytes, &self.access)?;
                }
            }
            Work::Fill { at, byte, bytes } => self.memory.fill(*at, *byte, *bytes, &self.access)?,
            // A free is a write: it must come after every use.
            Work::Free { at, bytes } if self.checks.races => self.memory.fill(*at, 0xff, *bytes, &self.access)?,
            // SAFETY: who launched the function promised that it may be called with this argument.
            Work::Callback { function, data } => unsafe { function(*data as *mut c_void) },
            Work::Free { .. } | Work::Record | Work::Wait => {}
        }
        Ok(if work.engine() == Engine::None { 0 } else { copy_cost(work.bytes()) })
    }

    fn kernel(&mut self, launch: &KernelLaunch) -> Result<u64, Fault> {
        let name = &launch.kernel.name;
        let total = |counters: &Counters| counters.kernels.get(name).map_or(0, |k| k.instructions.total());
        let before = total(self.counters);
        Launch {
            kernel: &launch.kernel,
            grid: launch.grid,
            block: launch.block,
            dynamic_shared: launch.dynamic_shared,
            parameters: &launch.parameters,
            memory: self.memory,
            globals: &launch.globals,
            order: self.order,
            checks: self.checks,
            access: &self.access,
        }
        .run(self.counters)?;
        Ok((total(self.counters) - before).max(1))
    }

    fn upload(&self, to: Rows<Address>, from: &Source, area: Area) -> Result<(), Fault> {
        let from = match from {
            Source::Staged(bytes) => Rows { base: bytes.as_ptr() as usize, pitch: area.width },
            Source::Host(rows) => *rows,
        };
        for (to, from, bytes) in pieces(to, from, area) {
            // SAFETY: either the staged copy, or host memory that the caller keeps until the copy has ended, as the
            // driver API asks; pinned memory freed too early ends its copies first.
            let row = unsafe { std::slice::from_raw_parts(from as *const u8, bytes) };
            self.memory.write(to, row, &self.access)?;
        }
        Ok(())
    }

    fn download(&self, to: Rows<usize>, from: Rows<Address>, area: Area) -> Result<(), Fault> {
        for (to, from, bytes) in pieces(to, from, area) {
            // SAFETY: host memory that the caller lends until the copy has ended, as the driver API asks; pinned
            // memory freed too early ends its copies first.
            let row = unsafe { std::slice::from_raw_parts_mut(to as *mut u8, bytes) };
            self.memory.read(from, row, &self.access)?;
        }
        Ok(())
    }
}

/// The contiguous pieces of a copy: destination, source, bytes.
fn pieces<T: Copy + Offset, F: Copy + Offset>(
    to: Rows<T>,
    from: Rows<F>,
    area: Area,
) -> impl Iterator<Item = (T, F, usize)> {
    let (pieces, bytes) = match area {
        Area { width: 0, .. } | Area { height: 0, .. } => (0, 0),
        Area { width, height } if to.pitch == width && from.pitch == width => (1, width * height),
        Area { width, height } => (height, width),
    };
    (0..pieces).map(move |row| (to.base.offset(row * to.pitch), from.base.offset(row * from.pitch), bytes))
}

/// An address, of host or device, that can be moved by bytes.
trait Offset {
    fn offset(self, bytes: usize) -> Self;
}

impl Offset for usize {
    fn offset(self, bytes: usize) -> Self {
        self + bytes
    }
}

impl Offset for u64 {
    fn offset(self, bytes: usize) -> Self {
        self + bytes as u64
    }
}
