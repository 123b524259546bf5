//! What the tests of the driver share: processes of their own, and short names for driver calls.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::ffi::{CString, c_void};
use std::process::Command;

use ptx_standin::abi::{CUdeviceptr, Handle};
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;
use ptx_standin::report::Report;

/// Adds one to each of n numbers.
pub const ADD_ONE: &str = include_str!("add_one.ptx");

/// What a process of its own came to.
pub struct Run {
    pub report: Report,
    pub printed: String,
    pub errors: String,
}

impl Run {
    /// Asserts that one finding says this.
    pub fn found(&self, text: &str) {
        assert!(self.report.findings.iter().any(|f| f.text.contains(text)), "{text}: {:#?}", self.report.findings);
    }

    /// Asserts that the checks found nothing, and that all was released.
    pub fn clean(&self) {
        assert!(self.report.findings.is_empty(), "{:#?}", self.report.findings);
        assert!(self.report.leaks.is_empty(), "{:#?}", self.report.leaks);
    }
}

const CHILD: &str = "PTX_STANDIN_TEST_CHILD";

/// Runs the body in a process of its own, with settings (without their common prefix).
///
/// There is one driver a process, and its settings are read once. So the test's binary starts itself for that one
/// test; there this function runs the body and gives nothing.
pub fn isolated(test: &str, settings: &[(&str, &str)], body: impl FnOnce()) -> Option<Run> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    command.env("LD_LIBRARY_PATH", ptx_standin::install(&folder.path().join("lib")).unwrap());
    command.env("SRUP_STANDIN_REPORT", &report);
    for (name, value) in settings {
        command.env(format!("SRUP_STANDIN_{name}"), value);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{settings:?}: {}\n{printed}\n{errors}", output.status);
    assert!(printed.contains("1 passed"), "{test} is no test: {printed}");
    let report = Report::read(&report).unwrap_or_else(|e| panic!("{e}: {errors}"));
    Some(Run { report, printed, errors })
}

/// Asserts that a call succeeded.
#[track_caller]
pub fn ok(code: CUresult) {
    assert_eq!(code, CUresult::SUCCESS, "{code}");
}

/// The result of a call that stores one.
#[track_caller]
pub fn get<T: Default>(call: impl FnOnce(*mut T) -> CUresult) -> T {
    let mut value = T::default();
    ok(call(&mut value));
    value
}

/// Initialises the driver and makes a device's context current.
pub fn start(device: i32) {
    // SAFETY: pointers to local variables.
    unsafe {
        ok(cuInit(0));
        let context = get(|context| cuDevicePrimaryCtxRetain(context, device));
        ok(cuCtxSetCurrent(context));
    }
}

/// Releases a device's context.
pub fn stop(device: i32) {
    // SAFETY: no pointers.
    unsafe { ok(cuDevicePrimaryCtxRelease_v2(device)) };
}

/// A stream that does not wait for the default stream.
pub fn stream() -> Handle {
    // SAFETY: a pointer to a local variable.
    unsafe { get(|stream| cuStreamCreate(stream, 1)) }
}

pub fn event() -> Handle {
    // SAFETY: a pointer to a local variable.
    unsafe { get(|event| cuEventCreate(event, 0)) }
}

pub fn memory(bytes: usize) -> CUdeviceptr {
    // SAFETY: a pointer to a local variable.
    unsafe { get(|at| cuMemAlloc_v2(at, bytes)) }
}

/// Pinned memory that lives until it is freed.
pub fn pinned(bytes: usize) -> &'static mut [u8] {
    let mut at = std::ptr::null_mut::<c_void>();
    // SAFETY: the memory is as long, and the tests do not use it after they free it.
    unsafe {
        ok(cuMemHostAlloc(&mut at, bytes, 0));
        std::slice::from_raw_parts_mut(at.cast(), bytes)
    }
}

pub fn free_pinned(memory: &mut [u8]) -> CUresult {
    // SAFETY: the tests do not use it any more.
    unsafe { cuMemFreeHost(memory.as_mut_ptr().cast()) }
}

pub fn upload(to: CUdeviceptr, from: &[u8], stream: Handle) -> CUresult {
    // SAFETY: pageable memory is staged, and pinned memory lives until it is freed.
    unsafe { cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), from.len(), stream) }
}

pub fn download(to: &mut [u8], from: CUdeviceptr, stream: Handle) -> CUresult {
    // SAFETY: a download to pageable memory ends before the call does, and pinned memory lives until it is freed.
    unsafe { cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, to.len(), stream) }
}

pub fn record(event: Handle, stream: Handle) {
    // SAFETY: no pointers.
    unsafe { ok(cuEventRecord(event, stream)) };
}

pub fn wait(stream: Handle, event: Handle) -> CUresult {
    // SAFETY: no pointers.
    unsafe { cuStreamWaitEvent(stream, event, 0) }
}

pub fn synchronise(stream: Handle) -> CUresult {
    // SAFETY: no pointers.
    unsafe { cuStreamSynchronize(stream) }
}

/// Loads PTX text.
pub fn load(text: &str) -> Result<Handle, CUresult> {
    let (text, mut module) = (CString::new(text).unwrap(), 0);
    // SAFETY: a text with its end, and a pointer to a local variable.
    match unsafe { cuModuleLoadData(&mut module, text.as_ptr().cast()) } {
        CUresult::SUCCESS => Ok(module),
        code => Err(code),
    }
}

pub fn function(module: Handle, name: &str) -> Handle {
    let name = CString::new(name).unwrap();
    // SAFETY: a text with its end, and a pointer to a local variable.
    unsafe { get(|function| cuModuleGetFunction(function, module, name.as_ptr())) }
}

/// Launches `add_one` over so many numbers, in blocks of 32.
pub fn add_one(function: Handle, mut at: CUdeviceptr, mut count: u32, stream: Handle) -> CUresult {
    let mut parameters = [(&raw mut at).cast::<c_void>(), (&raw mut count).cast()];
    let blocks = count.div_ceil(32);
    // SAFETY: as many parameters as the kernel has, each of its size.
    unsafe {
        let nothing = std::ptr::null_mut();
        cuLaunchKernel(function, blocks, 1, 1, 32, 1, 1, 0, stream, parameters.as_mut_ptr(), nothing)
    }
}

pub fn begin_capture(stream: Handle) {
    // SAFETY: no pointers.
    unsafe { ok(cuStreamBeginCapture_v2(stream, 1)) };
}

/// Ends a capture; the graph.
pub fn end_capture(stream: Handle) -> Result<Handle, CUresult> {
    let mut graph = 0;
    // SAFETY: a pointer to a local variable.
    match unsafe { cuStreamEndCapture(stream, &mut graph) } {
        CUresult::SUCCESS => Ok(graph),
        code => Err(code),
    }
}

pub fn instantiate(graph: Handle) -> Handle {
    // SAFETY: a pointer to a local variable.
    unsafe { get(|executable| cuGraphInstantiateWithFlags(executable, graph, 0)) }
}

pub fn launch(executable: Handle, stream: Handle) -> CUresult {
    // SAFETY: no pointers.
    unsafe { cuGraphLaunch(executable, stream) }
}

/// Frees device memory, destroys streams and events, unloads modules.
pub fn release(memory: &[CUdeviceptr], streams: &[Handle], events: &[Handle], modules: &[Handle]) {
    // SAFETY: no pointers.
    unsafe {
        memory.iter().for_each(|at| ok(cuMemFree_v2(*at)));
        streams.iter().for_each(|stream| ok(cuStreamDestroy_v2(*stream)));
        events.iter().for_each(|event| ok(cuEventDestroy_v2(*event)));
        modules.iter().for_each(|module| ok(cuModuleUnload(*module)));
    }
}

/// Every order of streams.
pub const ORDERS: [&str; 7] = ["eager", "lazy", "lazy:last", "shuffled:1", "shuffled:2", "shuffled:3", "shuffled:4"];
