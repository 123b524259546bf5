//! The driver API's C types, as far as they are not plain integers, and the constants that the exports compare with.

use std::ffi::{c_char, c_void};

/// A stream, event, graph, module, function or context: a number that names one object of one kind, ever.
///
/// The C types are pointers; on the supported 64-bit systems both travel in the same register.
pub type Handle = u64;

/// A device pointer.
pub type CUdeviceptr = u64;

/// A device: its ordinal.
pub type CUdevice = i32;

/// A function that a stream calls on the host.
pub type CUhostFn = Option<unsafe extern "C" fn(*mut c_void)>;

/// The 16 bytes that name a device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CUuuid {
    /// The bytes.
    pub bytes: [c_char; 16],
}

/// A two-dimensional copy, as `cuMemcpy2DAsync_v2` takes it (`CUDA_MEMCPY2D`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_snake_case, reason = "the header's names")]
pub struct CUDA_MEMCPY2D {
    /// Bytes to skip in each source row.
    pub srcXInBytes: usize,
    /// Rows to skip in the source.
    pub srcY: usize,
    /// Host, device or unified.
    pub srcMemoryType: u32,
    /// The source in host memory.
    pub srcHost: *const c_void,
    /// The source in device memory.
    pub srcDevice: CUdeviceptr,
    /// A source array: not supported.
    pub srcArray: *mut c_void,
    /// Bytes from one source row to the next.
    pub srcPitch: usize,
    /// Bytes to skip in each destination row.
    pub dstXInBytes: usize,
    /// Rows to skip in the destination.
    pub dstY: usize,
    /// Host, device or unified.
    pub dstMemoryType: u32,
    /// The destination in host memory.
    pub dstHost: *mut c_void,
    /// The destination in device memory.
    pub dstDevice: CUdeviceptr,
    /// A destination array: not supported.
    pub dstArray: *mut c_void,
    /// Bytes from one destination row to the next.
    pub dstPitch: usize,
    /// Bytes of a row to copy.
    pub WidthInBytes: usize,
    /// Rows to copy.
    pub Height: usize,
}

/// `CU_MEMORYTYPE_HOST`.
pub const MEMORY_HOST: u32 = 1;
/// `CU_MEMORYTYPE_DEVICE`.
pub const MEMORY_DEVICE: u32 = 2;
/// `CU_MEMORYTYPE_UNIFIED`.
pub const MEMORY_UNIFIED: u32 = 4;

/// `CU_STREAM_NON_BLOCKING`.
pub const STREAM_NON_BLOCKING: u32 = 1;
/// `CU_STREAM_LEGACY`, as a handle.
pub const STREAM_LEGACY: Handle = 1;
/// `CU_STREAM_PER_THREAD`, as a handle.
pub const STREAM_PER_THREAD: Handle = 2;

/// `CU_EVENT_DISABLE_TIMING`.
pub const EVENT_DISABLE_TIMING: u32 = 2;
/// Every flag of `cuEventCreate` that is known: blocking wait, no timing.
pub const EVENT_FLAGS: u32 = 3;

/// `CU_JIT_INFO_LOG_BUFFER`.
pub const JIT_INFO_LOG_BUFFER: u32 = 3;
/// `CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES`.
pub const JIT_INFO_LOG_BUFFER_SIZE: u32 = 4;
/// `CU_JIT_ERROR_LOG_BUFFER`.
pub const JIT_ERROR_LOG_BUFFER: u32 = 5;
/// `CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES`.
pub const JIT_ERROR_LOG_BUFFER_SIZE: u32 = 6;
