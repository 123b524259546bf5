//! Streams, events, captures, graphs.
#![allow(non_snake_case, reason = "the driver API's names")]

use std::ffi::{c_int, c_uint, c_void};

use super::super::abi::{CUhostFn, Handle};
use super::super::code::CUresult;
use super::{exports, put};

exports! {
    fn cuStreamCreate(stream: *mut Handle, flags: c_uint) |driver| {
        let handle = driver.create_stream(flags, 0)?;
        // SAFETY: as the caller promises.
        unsafe { put(stream, handle) }
    }

    fn cuStreamCreateWithPriority(stream: *mut Handle, flags: c_uint, priority: c_int) |driver| {
        let handle = driver.create_stream(flags, priority)?;
        // SAFETY: as the caller promises.
        unsafe { put(stream, handle) }
    }

    fn cuStreamGetPriority(stream: Handle, priority: *mut c_int) |driver| {
        let stream = driver.stream(stream)?;
        // SAFETY: as the caller promises.
        unsafe { put(priority, driver.streams[&stream].priority) }
    }

    fn cuStreamDestroy_v2(stream: Handle) |driver| { driver.destroy_stream(stream) }

    fn cuStreamSynchronize(stream: Handle) |driver| { driver.synchronise_stream(stream) }

    fn cuStreamQuery(stream: Handle) |driver| { driver.query_stream(stream) }

    fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: c_uint) |driver| {
        driver.wait_for_event(stream, event)
    }

    fn cuStreamBeginCapture_v2(stream: Handle, mode: c_uint) |driver| { driver.begin_capture(stream, mode) }

    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) |driver| {
        // SAFETY: as the caller promises.
        let before = driver.exchange_capture_mode(unsafe { *mode })?;
        // SAFETY: as the caller promises.
        unsafe { put(mode, before) }
    }

    fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) |driver| {
        let ended = driver.end_capture(stream);
        // SAFETY: as the caller promises.
        unsafe { put(graph, *ended.as_ref().unwrap_or(&0)) }?;
        ended.map(drop)
    }

    fn cuStreamIsCapturing(stream: Handle, status: *mut c_uint) |driver| {
        let found = driver.capture_status(stream)?;
        // SAFETY: as the caller promises.
        unsafe { put(status, found) }
    }

    fn cuLaunchHostFunc(stream: Handle, function: CUhostFn, data: *mut c_void) |driver| {
        driver.launch_callback(stream, function.ok_or(CUresult::INVALID_VALUE)?, data)
    }

    fn cuEventCreate(event: *mut Handle, flags: c_uint) |driver| {
        let handle = driver.create_event(flags)?;
        // SAFETY: as the caller promises.
        unsafe { put(event, handle) }
    }

    fn cuEventDestroy_v2(event: Handle) |driver| { driver.destroy_event(event) }

    fn cuEventRecord(event: Handle, stream: Handle) |driver| { driver.record_event(event, stream) }

    fn cuEventSynchronize(event: Handle) |driver| { driver.synchronise_event(event) }

    fn cuEventQuery(event: Handle) |driver| { driver.query_event(event) }

    fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle) |driver| {
        let time = driver.elapsed(start, end)?;
        // SAFETY: as the caller promises.
        unsafe { put(milliseconds, time) }
    }

    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: Handle, end: Handle) |driver| {
        let time = driver.elapsed(start, end)?;
        // SAFETY: as the caller promises.
        unsafe { put(milliseconds, time) }
    }

    fn cuGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64) |driver| {
        let handle = driver.instantiate(graph, flags)?;
        // SAFETY: as the caller promises.
        unsafe { put(executable, handle) }
    }

    fn cuGraphUpload(executable: Handle, stream: Handle) |driver| { driver.upload_graph(executable, stream) }

    fn cuGraphLaunch(executable: Handle, stream: Handle) |driver| { driver.launch_graph(executable, stream) }

    fn cuGraphDestroy(graph: Handle) |driver| { driver.destroy_graph(graph) }

    fn cuGraphExecDestroy(executable: Handle) |driver| { driver.destroy_executable(executable) }
}
