//! Start, devices, contexts, error names.
#![allow(non_snake_case, reason = "the driver API's names")]

use std::ffi::{CStr, c_char, c_int, c_uint};

use super::super::abi::{CUdevice, CUuuid, Handle};
use super::super::code::CUresult;
use super::super::stream::GREATEST_PRIORITY;
use super::{exports, put};

exports! {
    fn cuInit(flags: c_uint) |driver| { driver.init(flags) }

    fn cuDriverGetVersion(version: *mut c_int) |driver| {
        // SAFETY: as the caller promises.
        unsafe { put(version, driver.config.driver as c_int) }
    }

    fn cuDeviceGetCount(count: *mut c_int) |driver| {
        if !driver.initialised {
            return Err(CUresult::NOT_INITIALIZED);
        }
        // SAFETY: as the caller promises.
        unsafe { put(count, driver.devices.len() as c_int) }
    }

    fn cuDeviceGet(device: *mut CUdevice, ordinal: c_int) |driver| {
        driver.device(ordinal)?;
        // SAFETY: as the caller promises.
        unsafe { put(device, ordinal) }
    }

    fn cuDeviceGetName(name: *mut c_char, length: c_int, device: CUdevice) |driver| {
        let index = driver.device(device)?;
        let text = format!("PTX stand-in {index} (sm_{})", driver.config.capability);
        let room = usize::try_from(length).ok().filter(|room| *room > 0 && !name.is_null());
        let room = room.ok_or(CUresult::INVALID_VALUE)?;
        let bytes = text.bytes().take(room - 1).chain([0]);
        // SAFETY: the caller gave room for that many bytes.
        bytes.enumerate().for_each(|(index, byte)| unsafe { name.add(index).write(byte as c_char) });
        Ok(())
    }

    fn cuDeviceGetUuid(uuid: *mut CUuuid, device: CUdevice) |driver| {
        let index = driver.device(device)?;
        // SAFETY: as the caller promises.
        unsafe { put(uuid, name_of(index)) }
    }

    fn cuDeviceGetUuid_v2(uuid: *mut CUuuid, device: CUdevice) |driver| {
        let index = driver.device(device)?;
        // SAFETY: as the caller promises.
        unsafe { put(uuid, name_of(index)) }
    }

    fn cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice) |driver| {
        driver.device(device)?;
        // SAFETY: as the caller promises.
        unsafe { put(bytes, driver.config.memory) }
    }

    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: CUdevice) |driver| {
        let index = driver.device(device)?;
        let found = driver.architecture().attribute(attribute, driver.config.capability, index);
        // SAFETY: as the caller promises.
        unsafe { put(value, found.ok_or(CUresult::INVALID_VALUE)?) }
    }

    fn cuDeviceCanAccessPeer(can: *mut c_int, device: CUdevice, peer: CUdevice) |driver| {
        driver.device(device)?;
        driver.device(peer)?;
        // SAFETY: as the caller promises.
        unsafe { put(can, 0) }
    }

    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: CUdevice) |driver| {
        let handle = driver.retain(device)?;
        // SAFETY: as the caller promises.
        unsafe { put(context, handle) }
    }

    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) |driver| { driver.release(device) }

    fn cuDevicePrimaryCtxReset_v2(device: CUdevice) |driver| { driver.reset(device) }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint) |driver| {
        let index = driver.device(device)?;
        driver.devices[index].context.flags = flags;
        Ok(())
    }

    fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: *mut c_uint, active: *mut c_int) |driver| {
        let index = driver.device(device)?;
        let context = &driver.devices[index].context;
        // SAFETY: as the caller promises.
        unsafe { put(flags, context.flags) }?;
        // SAFETY: as the caller promises.
        unsafe { put(active, c_int::from(context.retained > 0)) }
    }

    fn cuCtxGetCurrent(context: *mut Handle) |driver| {
        let current = driver.get_current()?;
        // SAFETY: as the caller promises.
        unsafe { put(context, current) }
    }

    fn cuCtxSetCurrent(context: Handle) |driver| { driver.set_current(context) }

    fn cuCtxGetDevice(device: *mut CUdevice) |driver| {
        let index = driver.current()?;
        // SAFETY: as the caller promises.
        unsafe { put(device, index as CUdevice) }
    }

    fn cuCtxSetFlags(flags: c_uint) |driver| {
        let index = driver.usable()?;
        driver.devices[index].context.flags = flags;
        Ok(())
    }

    fn cuCtxSynchronize() |driver| { driver.synchronise() }

    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) |driver| {
        driver.usable()?;
        for (place, value) in [(least, 0), (greatest, GREATEST_PRIORITY)] {
            if !place.is_null() {
                // SAFETY: as the caller promises.
                unsafe { put(place, value) }?;
            }
        }
        Ok(())
    }
}

/// A device's name in 16 bytes.
fn name_of(device: usize) -> CUuuid {
    let mut bytes = b"ptx-standin 000\0".map(|byte| byte as c_char);
    bytes[14] += device as c_char;
    CUuuid { bytes }
}

/// `cuGetErrorName` of the driver API.
///
/// # Safety
/// The pointer is null, or good for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(error: CUresult, text: *mut *const c_char) -> CUresult {
    // SAFETY: as the caller promises.
    unsafe { put_text(text, error.name()) }
}

/// `cuGetErrorString` of the driver API.
///
/// # Safety
/// The pointer is null, or good for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(error: CUresult, text: *mut *const c_char) -> CUresult {
    // SAFETY: as the caller promises.
    unsafe { put_text(text, error.text()) }
}

/// # Safety
/// The pointer is null, or good for a write.
unsafe fn put_text(place: *mut *const c_char, text: Option<&'static CStr>) -> CUresult {
    // SAFETY: as the caller promises.
    let stored = unsafe { put(place, text.map_or(std::ptr::null(), CStr::as_ptr)) };
    match (stored, text) {
        (Ok(()), Some(_)) => CUresult::SUCCESS,
        _ => CUresult::INVALID_VALUE,
    }
}
