//! Memory of device and host, copies, fills.
#![allow(non_snake_case, reason = "the driver API's names")]

use std::ffi::{c_int, c_uchar, c_uint, c_void};

use super::super::abi::{CUDA_MEMCPY2D, CUdeviceptr, Handle, MEMORY_DEVICE, MEMORY_HOST, STREAM_LEGACY};
use super::super::code::{CUresult, Outcome};
use super::super::copy::Side;
use super::super::operation::Area;
use super::super::state::Driver;
use super::{exports, put};

/// One row.
fn row(width: usize) -> Area {
    Area { width, height: 1 }
}

exports! {
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) |driver| {
        let info = driver.memory_info()?;
        // SAFETY: as the caller promises.
        unsafe { put(free, info.0) }?;
        // SAFETY: as the caller promises.
        unsafe { put(total, info.1) }
    }

    fn cuMemAlloc_v2(pointer: *mut CUdeviceptr, bytes: usize) |driver| {
        let at = driver.allocate(bytes)?;
        // SAFETY: as the caller promises.
        unsafe { put(pointer, at) }
    }

    fn cuMemAllocAsync(pointer: *mut CUdeviceptr, bytes: usize, stream: Handle) |driver| {
        let at = driver.allocate_async(bytes, stream)?;
        // SAFETY: as the caller promises.
        unsafe { put(pointer, at) }
    }

    fn cuMemFree_v2(pointer: CUdeviceptr) |driver| { driver.free(pointer) }

    fn cuMemFreeAsync(pointer: CUdeviceptr, stream: Handle) |driver| { driver.free_async(pointer, stream) }

    fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) |driver| {
        let at = driver.allocate_host(bytes)?;
        // SAFETY: as the caller promises.
        unsafe { put(pointer, std::ptr::with_exposed_provenance_mut(at)) }
    }

    fn cuMemAllocHost_v2(pointer: *mut *mut c_void, bytes: usize) |driver| {
        let at = driver.allocate_host(bytes)?;
        // SAFETY: as the caller promises.
        unsafe { put(pointer, std::ptr::with_exposed_provenance_mut(at)) }
    }

    fn cuMemFreeHost(pointer: *mut c_void) |driver| { driver.free_host(pointer.addr()) }

    fn cuMemHostRegister_v2(pointer: *mut c_void, bytes: usize, _flags: c_uint) |driver| {
        driver.register_host(pointer.expose_provenance(), bytes)
    }

    fn cuMemHostUnregister(pointer: *mut c_void) |driver| { driver.unregister_host(pointer.addr()) }

    fn cuMemcpyHtoD_v2(to: CUdeviceptr, from: *const c_void, bytes: usize) |driver| {
        driver.copy_now(Side::device(to, bytes), Side::host(from, bytes), row(bytes))
    }

    fn cuMemcpyDtoH_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize) |driver| {
        driver.copy_now(Side::host(to, bytes), Side::device(from, bytes), row(bytes))
    }

    fn cuMemcpyDtoD_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize) |driver| {
        driver.copy_now(Side::device(to, bytes), Side::device(from, bytes), row(bytes))
    }

    fn cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: Handle) |driver| {
        driver.copy_async(Side::device(to, bytes), Side::host(from, bytes), row(bytes), stream)
    }

    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: Handle) |driver| {
        driver.copy_async(Side::host(to, bytes), Side::device(from, bytes), row(bytes), stream)
    }

    fn cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: Handle) |driver| {
        driver.copy_async(Side::device(to, bytes), Side::device(from, bytes), row(bytes), stream)
    }

    fn cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, stream: Handle) |driver| {
        // SAFETY: null, or as the caller promises.
        let copy = unsafe { copy.as_ref() }.ok_or(CUresult::INVALID_VALUE)?;
        driver.copy_rows(copy, stream)
    }

    fn cuMemsetD8_v2(at: CUdeviceptr, byte: c_uchar, bytes: usize) |driver| {
        driver.fill(at, byte, bytes, STREAM_LEGACY)
    }

    fn cuMemsetD8Async(at: CUdeviceptr, byte: c_uchar, bytes: usize, stream: Handle) |driver| {
        driver.fill(at, byte, bytes, stream)
    }

    fn cuPointerGetAttribute(data: *mut c_void, attribute: c_int, pointer: CUdeviceptr) |driver| {
        // SAFETY: as the caller promises.
        unsafe { pointer_attribute(driver, data, attribute, pointer) }
    }
}

/// Context (1), memory type (2), device ordinal (9) of a pointer.
///
/// # Safety
/// The pointer is null, or good for a write of what the attribute is.
unsafe fn pointer_attribute(driver: &Driver, data: *mut c_void, attribute: c_int, at: CUdeviceptr) -> Outcome {
    let on_device = driver.devices.iter().position(|device| device.memory.contains(at, 1));
    let on_host = driver.pinned_at(at as usize).map(|start| driver.pinned[&start].device);
    let device = on_device.or(on_host).ok_or(CUresult::INVALID_VALUE)?;
    match attribute {
        // SAFETY: as the caller promises.
        1 => unsafe { put(data.cast(), Driver::context_handle(device)) },
        // SAFETY: as the caller promises.
        2 => unsafe { put(data.cast(), if on_device.is_some() { MEMORY_DEVICE } else { MEMORY_HOST }) },
        // SAFETY: as the caller promises.
        9 => unsafe { put(data.cast(), device as c_int) },
        _ => Err(CUresult::NOT_SUPPORTED),
    }
}
