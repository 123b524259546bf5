//! What is kept for the report and for messages: calls, operations, findings, leaks.

use std::collections::BTreeMap;

use crate::counters::Counters;
use crate::memory::CommandId;

use super::code::CUresult;
use super::report::{Finding, HostWait, Leak, Operation, Report};

/// The record of a process.
#[derive(Debug, Default)]
pub(crate) struct Log {
    limit: usize,
    calls: BTreeMap<&'static str, u64>,
    call: u64,
    pub(crate) counters: Counters,
    operations: Vec<Operation>,
    issued: CommandId,
    ran: u32,
    host_waits: Vec<HostWait>,
    findings: Vec<Finding>,
    leaks: Vec<Leak>,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Counts a call; gives its number among all calls, from 1.
    pub(crate) fn call(&mut self, name: &'static str) -> u64 {
        *self.calls.entry(name).or_default() += 1;
        self.call += 1;
        self.call
    }

    pub(crate) fn call_number(&self) -> u64 {
        self.call
    }

    pub(crate) fn issued(&mut self, operation: Operation) {
        self.issued = operation.id;
        if self.operations.len() < self.limit {
            self.operations.push(operation);
        }
    }

    pub(crate) fn ran(&mut self, id: CommandId, begin: u64, end: u64) {
        self.ran += 1;
        if let Some(operation) = self.operations.get_mut(id as usize - 1) {
            (operation.ran, operation.begin_ns, operation.end_ns) = (Some(self.ran), begin, end);
        }
    }

    pub(crate) fn host_waited(&mut self, ended: Vec<CommandId>) {
        if self.operations.len() < self.limit && !ended.is_empty() {
            self.host_waits.push(HostWait { issued: self.issued, ended });
        }
    }

    /// Prints a finding and keeps it.
    pub(crate) fn found(&mut self, text: String, operation: Option<CommandId>, result: CUresult) {
        eprintln!("ptx-standin: {text}");
        self.findings.push(Finding { text, operation, call: self.call, result: result.to_string() });
    }

    /// Prints a leak and keeps it.
    pub(crate) fn leaked(&mut self, kind: &str, device: usize, handle: u64, bytes: usize) {
        eprintln!("ptx-standin: leak on device {device}: {kind} {handle:#x}, {bytes} bytes");
        self.leaks.push(Leak { kind: kind.into(), device, handle, bytes });
    }

    /// An operation in words, for messages.
    pub(crate) fn describe(&self, id: CommandId) -> String {
        let Some(operation) = (id as usize).checked_sub(1).and_then(|index| self.operations.get(index)) else {
            return format!("command {id}");
        };
        let kind = format!("{:?}", operation.kind).to_lowercase();
        let what = operation.kernel.clone().unwrap_or_else(|| format!("{} bytes", operation.bytes));
        format!("command {id}: {kind} ({what}) on stream {}", operation.stream)
    }

    pub(crate) fn report(&self, injected: &[String], peak_memory: Vec<usize>) -> Report {
        Report {
            calls: self.calls.iter().map(|(name, count)| ((*name).into(), *count)).collect(),
            kernels: self.counters.kernels.clone(),
            findings: self.findings.clone(),
            injected: injected.to_vec(),
            leaks: self.leaks.clone(),
            peak_memory,
            operations: self.operations.clone(),
            operations_left_out: u64::from(self.issued) - self.operations.len() as u64,
            host_waits: self.host_waits.clone(),
        }
    }
}
