//! Modules, functions, kernel launches.
#![allow(non_snake_case, reason = "the driver API's names")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::super::abi::{
    CUdeviceptr, Handle, JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE, JIT_INFO_LOG_BUFFER, JIT_INFO_LOG_BUFFER_SIZE,
};
use super::super::code::{CUresult, Outcome};
use super::super::launch::Shape;
use super::super::state::Driver;
use super::{exports, put};

/// First bytes of machine code: an ELF file, or a bundle of them.
const MACHINE_CODE: [[u8; 4]; 2] = [*b"\x7fELF", [0x50, 0xed, 0x55, 0xba]];

exports! {
    fn cuModuleLoadData(module: *mut Handle, image: *const c_void) |driver| {
        // SAFETY: as the caller promises.
        let handle = unsafe { load(driver, image) }.map_err(|(code, _)| code)?;
        // SAFETY: as the caller promises.
        unsafe { put(module, handle) }
    }

    fn cuModuleLoadDataEx(
        module: *mut Handle,
        image: *const c_void,
        count: c_uint,
        options: *mut c_uint,
        values: *mut *mut c_void,
    ) |driver| {
        // SAFETY: as the caller promises.
        let loaded = unsafe { load(driver, image) };
        let message = loaded.as_ref().err().map_or("", |(_, message)| message);
        if count > 0 && !options.is_null() && !values.is_null() {
            // SAFETY: not null, so as the caller promises: `count` options and as many values.
            unsafe { write_logs(count as usize, options, values, message) };
        }
        // SAFETY: as the caller promises.
        unsafe { put(module, loaded.map_err(|(code, _)| code)?) }
    }

    fn cuModuleUnload(module: Handle) |driver| { driver.unload_module(module) }

    fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char) |driver| {
        // SAFETY: as the caller promises.
        let handle = driver.function(module, unsafe { text(name) }?)?;
        // SAFETY: as the caller promises.
        unsafe { put(function, handle) }
    }

    fn cuModuleGetGlobal_v2(at: *mut CUdeviceptr, bytes: *mut usize, module: Handle, name: *const c_char) |driver| {
        // SAFETY: as the caller promises.
        let variable = driver.variable(module, unsafe { text(name) }?)?;
        if !at.is_null() {
            // SAFETY: as the caller promises.
            unsafe { put(at, variable.0) }?;
        }
        if !bytes.is_null() {
            // SAFETY: as the caller promises.
            unsafe { put(bytes, variable.1) }?;
        }
        Ok(())
    }

    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: Handle) |driver| {
        let found = driver.function_attribute(function, attribute)?;
        // SAFETY: as the caller promises.
        unsafe { put(value, found) }
    }

    fn cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int) |driver| {
        driver.set_function_attribute(function, attribute, value)
    }

    fn cuFuncSetCacheConfig(function: Handle, _config: c_uint) |driver| {
        driver.parameters(function).map(drop)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: *mut c_int,
        function: Handle,
        threads: c_int,
        dynamic_shared: usize,
    ) |driver| {
        let most = driver.occupancy(function, threads, dynamic_shared)?;
        // SAFETY: as the caller promises.
        unsafe { put(blocks, most) }
    }

    fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Handle,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) |driver| {
        if !extra.is_null() {
            return Err(CUresult::NOT_SUPPORTED);
        }
        // SAFETY: as the caller promises.
        let parameters = unsafe { collect(driver, function, parameters) }?;
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        driver.launch(function, Shape { grid, block, dynamic_shared }, parameters, stream)
    }
}

/// # Safety
/// The pointer is null, or that of a text ended by a zero byte.
unsafe fn text<'a>(at: *const c_char) -> Outcome<&'a str> {
    if at.is_null() {
        return Err(CUresult::INVALID_VALUE);
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(at) }.to_str().map_err(|_| CUresult::INVALID_VALUE)
}

/// Loads PTX; what is wrong with it goes to the error output as well.
///
/// # Safety
/// The pointer is null, or that of machine code, or of a text ended by a zero byte.
unsafe fn load(driver: &mut Driver, image: *const c_void) -> Result<Handle, (CUresult, String)> {
    if image.is_null() {
        return Err((CUresult::INVALID_VALUE, String::new()));
    }
    let start = |length: usize| {
        // SAFETY: looks no further than a byte that differs, so never beyond the end of a text.
        MACHINE_CODE.iter().any(|magic| (0..length).all(|i| unsafe { *image.cast::<u8>().add(i) } == magic[i]))
    };
    let loaded = if start(4) {
        Err((CUresult::NO_BINARY_FOR_GPU, "machine code: only PTX is run".to_owned()))
    } else {
        // SAFETY: not machine code, so a text, as the caller promises.
        let image = unsafe { text(image.cast()) };
        image
            .map_err(|_| (CUresult::INVALID_PTX, "the text is not UTF-8".to_owned()))
            .and_then(|text| driver.load_module(text))
    };
    if let Err((code, message)) = &loaded {
        eprintln!("ptx-standin: module refused with {code}: {message}");
    }
    loaded
}

/// Fills the log buffers that the options name, and says how much is in them.
///
/// # Safety
/// There are `count` options and as many values; buffers are as large as the options say.
unsafe fn write_logs(count: usize, options: *const c_uint, values: *mut *mut c_void, message: &str) {
    // SAFETY: as the caller promises.
    let options = unsafe { std::slice::from_raw_parts(options, count) };
    // SAFETY: as the caller promises.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    let place = |option| options.iter().position(|other| *other == option);
    for (buffer, size, text) in [
        (JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE, message),
        (JIT_INFO_LOG_BUFFER, JIT_INFO_LOG_BUFFER_SIZE, ""),
    ] {
        let (Some(buffer), Some(size)) = (place(buffer), place(size)) else { continue };
        let (at, room) = (values[buffer].cast::<u8>(), values[size].addr());
        if at.is_null() || room == 0 {
            continue;
        }
        let length = text.len().min(room - 1);
        // SAFETY: the buffer has `room` bytes, and the text and its end fit.
        unsafe {
            at.copy_from_nonoverlapping(text.as_ptr(), length);
            at.add(length).write(0);
        }
        values[size] = std::ptr::without_provenance_mut(length + 1);
    }
}

/// Copies the parameters of a launch to where the kernel expects them.
///
/// # Safety
/// The array has a pointer to each parameter of the function.
unsafe fn collect(driver: &Driver, function: Handle, parameters: *mut *mut c_void) -> Outcome<Vec<u8>> {
    let kernel = &driver.parameters(function)?.kernel;
    let mut bytes = vec![0; kernel.parameter_bytes()];
    if parameters.is_null() && !kernel.parameters.is_empty() {
        return Err(CUresult::INVALID_VALUE);
    }
    for (index, parameter) in kernel.parameters.iter().enumerate() {
        // SAFETY: as the caller promises.
        let from = unsafe { *parameters.add(index) }.cast::<u8>();
        if from.is_null() {
            return Err(CUresult::INVALID_VALUE);
        }
        let to = &mut bytes[parameter.offset..][..parameter.bytes];
        // SAFETY: as the caller promises, the parameter's bytes are there.
        to.copy_from_slice(unsafe { std::slice::from_raw_parts(from, parameter.bytes) });
    }
    Ok(bytes)
}
