//! What a process did with the driver: written as JSON to the file that `SRUP_STANDIN_REPORT` names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::counters::KernelCounters;

/// The whole report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Calls of each driver function.
    pub calls: BTreeMap<String, u64>,
    /// Counters of each kernel.
    pub kernels: BTreeMap<String, KernelCounters>,
    /// What the checks found, in the order found.
    pub findings: Vec<Finding>,
    /// Failures that were asked for and came.
    pub injected: Vec<String>,
    /// What was alive when its context or the process ended.
    pub leaks: Vec<Leak>,
    /// Most device memory in use at a time, in bytes, by device.
    pub peak_memory: Vec<usize>,
    /// Stream operations in the order they were issued, up to `SRUP_STANDIN_TRACE`.
    pub operations: Vec<Operation>,
    /// Operations beyond that number.
    pub operations_left_out: u64,
    /// What the host waited for, as far as operations are traced.
    pub host_waits: Vec<HostWait>,
}

/// Something the checks found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The line printed to the error output, without its prefix.
    pub text: String,
    /// The operation that was running.
    pub operation: Option<u32>,
    /// Number of the driver call during which it was found.
    pub call: u64,
    /// The code that the context gives from then on, or that the one call gave.
    pub result: String,
}

/// Something that nobody released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// Memory, pinned memory, stream, event, graph, executable graph, module or context.
    pub kind: String,
    /// Its device.
    pub device: usize,
    /// Its address or handle.
    pub handle: u64,
    /// Its size, where it has one.
    pub bytes: usize,
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// A kernel.
    Kernel,
    /// A copy from host to device.
    Upload,
    /// A copy from device to host.
    Download,
    /// A copy within a device.
    Copy,
    /// A fill with one byte.
    Fill,
    /// The record of an event.
    Record,
    /// The wait for an event.
    Wait,
    /// A call to the host.
    Callback,
    /// The release of memory in stream order.
    Free,
}

/// One stream operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its number, from 1; findings speak of it as a command.
    pub id: u32,
    /// Device.
    pub device: usize,
    /// Number of the stream, from 0 in order of creation; contexts open their default stream first.
    pub stream: u32,
    /// Number of the launch of a graph that it belongs to, from 1.
    pub graph_launch: Option<u32>,
    /// What it is.
    pub kind: OperationKind,
    /// Name of the kernel.
    pub kernel: Option<String>,
    /// Bytes that it copies or fills.
    pub bytes: usize,
    /// Whether its host memory is pinned.
    pub pinned: bool,
    /// Operations that it waits for; those before them follow.
    pub dependencies: Vec<u32>,
    /// Number of the driver call that issued it, from 1.
    pub issued: u64,
    /// Its place among all operations that ran, from 1; none if it was cancelled or never ran.
    pub ran: Option<u32>,
    /// Start on the simulated device, in nanoseconds.
    pub begin_ns: u64,
    /// End on the simulated device, in nanoseconds.
    pub end_ns: u64,
}

/// The host learned that operations have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWait {
    /// Last operation issued by then.
    pub issued: u32,
    /// Operations that have ended, and all before them.
    pub ended: Vec<u32>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// If the file cannot be read, or is no report.
    pub fn read(path: impl AsRef<Path>) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Whether an operation always ends before another one starts, whichever order the streams run in: through
    /// streams, events and graphs, or because the host waited in between.
    #[must_use]
    pub fn is_ordered(&self, earlier: u32, later: u32) -> bool {
        let by_id: BTreeMap<u32, &Operation> = self.operations.iter().map(|o| (o.id, o)).collect();
        let mut seen = BTreeSet::new();
        // What the host had waited for before an earlier operation it had waited for before this one.
        let waited = self.host_waits.iter().filter(|wait| wait.issued < later).flat_map(|wait| &wait.ended);
        let mut open: Vec<u32> = waited.copied().collect();
        open.extend(by_id.get(&later).into_iter().flat_map(|o| &o.dependencies));
        while let Some(id) = open.pop() {
            if id == earlier {
                return true;
            }
            if id > earlier && seen.insert(id) {
                open.extend(by_id.get(&id).into_iter().flat_map(|o| &o.dependencies));
            }
        }
        false
    }

    /// The launches of a kernel, in the order issued.
    pub fn launches_of(&self, kernel: &str) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(move |o| o.kernel.as_deref() == Some(kernel))
    }

    /// The operations of a kind, in the order issued.
    pub fn of_kind(&self, kind: OperationKind) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(move |o| o.kind == kind)
    }
}

impl Operation {
    /// Whether both run at once on the simulated device.
    #[must_use]
    pub fn overlaps(&self, other: &Operation) -> bool {
        self.begin_ns < other.end_ns && other.begin_ns < self.end_ns
    }
}
