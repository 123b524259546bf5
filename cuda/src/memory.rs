//! Memory of a device, and memory of the host that a device can copy to and from by itself.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::{DriverError, result, sys};

use crate::error;
use crate::{Device, Error};

/// Where parts of a buffer may begin: enough for every vector access, and what the driver gives.
pub const ALIGNMENT: usize = 256;

/// A range of device memory. Clones and parts share the allocation, which is freed with the last of them.
#[derive(Clone, Debug)]
pub struct Buffer {
    allocation: Arc<Allocation>,
    offset: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Allocation {
    device: Device,
    address: sys::CUdeviceptr,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let _bound = self.device.bind();
        // SAFETY: the address came from an allocation and is freed once. The call waits for work that uses it. An
        // error here means that the context is gone, and the memory with it.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

impl Buffer {
    /// Memory whose contents are undefined.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not that much.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        let _bound = device.bind()?;
        // SAFETY: the context is bound; zero bytes would be refused, so there is at least one.
        let address = unsafe { result::malloc_sync(bytes.max(1)) };
        let address = address.map_err(|e| memory_error(e, "device", bytes, device))?;
        let allocation = Arc::new(Allocation { device: device.clone(), address });
        Ok(Self { allocation, offset: 0, bytes })
    }

    /// Memory full of zeros.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn zeroed(device: &Device, bytes: usize) -> Result<Self, Error> {
        let buffer = Self::new(device, bytes)?;
        if bytes > 0 {
            let _bound = device.bind()?;
            // SAFETY: the range is this buffer's own.
            device.at_once("clearing memory", |stream| unsafe {
                result::memset_d8_async(buffer.address(), 0, bytes, stream)
            })?;
        }
        Ok(buffer)
    }

    /// Memory with those contents; they are there when this returns.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn from_slice<T: bytemuck::NoUninit>(device: &Device, values: &[T]) -> Result<Self, Error> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let buffer = Self::new(device, bytes.len())?;
        buffer.write(bytes)?;
        Ok(buffer)
    }

    /// Overwrites all of it; the contents are there when this returns. Whoever uses the buffer has been waited for.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sizes differ, or what the driver says.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        self.check_size(bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let device = self.device();
        let _bound = device.bind()?;
        // SAFETY: the range is this buffer's own and as long as the source, which outlives the wait.
        device.at_once("copying to the device", |stream| unsafe {
            result::memcpy_htod_async(self.address(), bytes, stream)
        })
    }

    /// Reads all of it. Whoever writes to the buffer has been waited for.
    ///
    /// # Errors
    /// [`Error::Shape`] if the sizes differ, or what the driver says.
    pub fn read(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.check_size(bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let device = self.device();
        let _bound = device.bind()?;
        // SAFETY: the range is this buffer's own and as long as the target, which outlives the wait.
        device.at_once("copying from the device", |stream| unsafe {
            result::memcpy_dtoh_async(bytes, self.address(), stream)
        })
    }

    /// The part from `offset` on.
    ///
    /// # Panics
    /// If the part is not within the buffer.
    #[must_use]
    pub fn part(&self, offset: usize, bytes: usize) -> Self {
        assert!(
            offset <= self.bytes && bytes <= self.bytes - offset,
            "{offset}+{bytes} is outside {} bytes",
            self.bytes
        );
        Self { allocation: self.allocation.clone(), offset: self.offset + offset, bytes }
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The device that it lies on.
    pub fn device(&self) -> &Device {
        &self.allocation.device
    }

    /// Where it begins, for kernels.
    pub(crate) fn address(&self) -> sys::CUdeviceptr {
        self.allocation.address + self.offset as u64
    }

    fn check_size(&self, bytes: usize) -> Result<(), Error> {
        if bytes == self.bytes {
            return Ok(());
        }
        let reason = format!("{bytes} bytes do not fill a buffer of {}", self.bytes);
        Err(Error::Shape { kernel: "copy", reason })
    }
}

fn memory_error(error: DriverError, kind: &'static str, needed: usize, device: &Device) -> Error {
    if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Error::Memory { kind, needed, available: device.free_memory().unwrap_or(0) };
    }
    error::during(error, "allocating memory")
}

/// What host memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The host writes and the device reads: written around the cache, slow to read back.
    Upload,
    /// The device writes and the host reads.
    Download,
}

/// Host memory that stays where it is, so that the device copies by itself.
#[derive(Debug)]
pub(crate) struct Pinned {
    device: Device,
    pointer: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, and nothing of it is bound to a thread.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(crate) fn new(device: &Device, bytes: usize, purpose: Use) -> Result<Self, Error> {
        let _bound = device.bind()?;
        let flags = match purpose {
            Use::Upload => sys::CU_MEMHOSTALLOC_WRITECOMBINED,
            Use::Download => 0,
        };
        // SAFETY: the context is bound, and there is at least one byte.
        let pointer = unsafe { result::malloc_host(bytes.max(1), flags) };
        let pointer = pointer.map_err(|e| memory_error(e, "pinned", bytes, device))?.cast::<u8>();
        let pointer = NonNull::new(pointer).ok_or(Error::Memory { kind: "pinned", needed: bytes, available: 0 })?;
        // SAFETY: the allocation is that long; afterwards every byte is initialised.
        unsafe { pointer.as_ptr().write_bytes(0, bytes) };
        Ok(Self { device: device.clone(), pointer, bytes })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    /// # Safety
    /// No copy may be writing to it.
    pub(crate) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: it is that long, initialised, and by the caller's word nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.bytes) }
    }

    /// # Safety
    /// No copy may be reading from it or writing to it.
    pub(crate) unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: it is that long, initialised, and by the caller's word nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _bound = self.device.bind();
        // SAFETY: the pointer came from an allocation and is freed once; whoever started copies has waited for them.
        let _ = unsafe { result::free_host(self.pointer.as_ptr().cast::<c_void>()) };
    }
}
