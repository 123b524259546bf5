//! Copies and fills.
//!
//! Pageable memory is staged when an upload is asked for, and the host waits for a download to it; pinned memory is
//! read and written when the copy runs (CUDA driver API, "API synchronization behavior").

use std::ffi::c_void;
use std::sync::Arc;

use super::abi::{CUDA_MEMCPY2D, CUdeviceptr, Handle, MEMORY_DEVICE, MEMORY_HOST, MEMORY_UNIFIED, STREAM_LEGACY};
use super::code::{CUresult, Outcome};
use super::operation::{Area, Rows, Source, Work};
use super::state::Driver;

/// One side of a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Host(Rows<usize>),
    Device(Rows<CUdeviceptr>),
}

impl Side {
    pub(crate) fn host<T>(at: *const T, bytes: usize) -> Self {
        Side::Host(Rows { base: at.expose_provenance(), pitch: bytes })
    }

    pub(crate) fn device(at: CUdeviceptr, bytes: usize) -> Self {
        Side::Device(Rows { base: at, pitch: bytes })
    }
}

impl Driver {
    /// Copies in stream order.
    pub(crate) fn copy_async(&mut self, to: Side, from: Side, area: Area, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        self.copy(to, from, area, stream)
    }

    /// Copies on the default stream; the host waits where pinned memory or a download is concerned.
    pub(crate) fn copy_now(&mut self, to: Side, from: Side, area: Area) -> Outcome {
        self.usable()?;
        let stream = self.stream(STREAM_LEGACY)?;
        self.forbid_implicit_dependency(stream)?;
        self.forbid_while_capturing(None)?;
        let uploads = if let Side::Host(rows) = from { Some(self.pinned_at(rows.base).is_some()) } else { None };
        if uploads == Some(false) {
            self.synchronise_stream(stream)?;
        }
        self.copy(to, from, area, stream)?;
        match (to, uploads) {
            (Side::Host(_), _) | (_, Some(true)) => self.synchronise_stream(stream),
            _ => Ok(()),
        }
    }

    fn copy(&mut self, to: Side, from: Side, area: Area, stream: Handle) -> Outcome {
        let device = self.streams[&stream].device;
        self.health(device)?;
        if area.bytes() == 0 {
            return Ok(());
        }
        self.check_side(device, to, area)?;
        self.check_side(device, from, area)?;
        let captured = self.streams[&stream].capture.is_some();
        let work = match (to, from) {
            (Side::Device(to), Side::Host(from)) => {
                let pinned = captured || self.pinned_at(from.base).is_some();
                let from = if pinned { Source::Host(from) } else { Source::Staged(stage(from, area)) };
                Work::Upload { to, from, area }
            }
            (Side::Host(to), Side::Device(from)) => Work::Download { to, from, area },
            (Side::Device(to), Side::Device(from)) => Work::Copy { to, from, area },
            (Side::Host(_), Side::Host(_)) => return Err(CUresult::INVALID_VALUE),
        };
        let injected = self.injection.strike("copy", CUresult::ILLEGAL_ADDRESS);
        self.issue(stream, work, injected)?;
        match to {
            Side::Host(rows) if !captured && self.pinned_at(rows.base).is_none() => {
                let marks = self.streams[&stream].tail.clone();
                self.wait(device, &marks)
            }
            _ => Ok(()),
        }
    }

    /// A copy outside of an allocation is refused when it is asked for.
    fn check_side(&mut self, device: usize, side: Side, area: Area) -> Outcome {
        match side {
            Side::Host(rows) if rows.base == 0 || (area.height > 1 && rows.pitch < area.width) => {
                Err(CUresult::INVALID_VALUE)
            }
            Side::Device(rows) if area.height > 1 && rows.pitch < area.width => Err(CUresult::INVALID_VALUE),
            Side::Device(rows) if !self.devices[device].memory.contains(rows.base, area.extent(rows.pitch)) => {
                let (at, bytes) = (rows.base, area.extent(rows.pitch));
                let text = format!("copy of {bytes} bytes at {at:#x}: not within an allocation of device {device}");
                Err(self.refuse(text, CUresult::INVALID_VALUE))
            }
            _ => Ok(()),
        }
    }

    /// Copies rows, between any two memories.
    pub(crate) fn copy_rows(&mut self, copy: &CUDA_MEMCPY2D, stream: Handle) -> Outcome {
        let side = |driver: &Self, kind, host: *const c_void, device: CUdeviceptr, skip: usize, pitch| match kind {
            MEMORY_HOST => Ok(Side::Host(Rows { base: host.expose_provenance() + skip, pitch })),
            MEMORY_DEVICE => Ok(Side::Device(Rows { base: device + skip as u64, pitch })),
            MEMORY_UNIFIED if driver.is_device_memory(device) => {
                Ok(Side::Device(Rows { base: device + skip as u64, pitch }))
            }
            MEMORY_UNIFIED => Ok(Side::Host(Rows { base: device as usize + skip, pitch })),
            _ => Err(CUresult::INVALID_VALUE),
        };
        let area = Area { width: copy.WidthInBytes, height: copy.Height };
        // A pitch of 0 stands for rows without gaps.
        let pitch = |pitch| if pitch == 0 { area.width } else { pitch };
        let (from_pitch, to_pitch) = (pitch(copy.srcPitch), pitch(copy.dstPitch));
        let from_skip = copy.srcY * from_pitch + copy.srcXInBytes;
        let to_skip = copy.dstY * to_pitch + copy.dstXInBytes;
        let from = side(self, copy.srcMemoryType, copy.srcHost, copy.srcDevice, from_skip, from_pitch)?;
        let to = side(self, copy.dstMemoryType, copy.dstHost.cast_const(), copy.dstDevice, to_skip, to_pitch)?;
        self.copy_async(to, from, area, stream)
    }

    pub(crate) fn is_device_memory(&self, at: CUdeviceptr) -> bool {
        self.devices.iter().any(|device| device.memory.contains(at, 1))
    }

    /// Fills in stream order.
    pub(crate) fn fill(&mut self, at: CUdeviceptr, byte: u8, bytes: usize, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        let device = self.streams[&stream].device;
        self.health(device)?;
        if bytes == 0 {
            return Ok(());
        }
        self.check_side(device, Side::device(at, bytes), Area { width: bytes, height: 1 })?;
        self.issue(stream, Work::Fill { at, byte, bytes }, None)
    }

    /// Has the host called in stream order.
    pub(crate) fn launch_callback(
        &mut self,
        stream: Handle,
        function: unsafe extern "C" fn(*mut c_void),
        data: *mut c_void,
    ) -> Outcome {
        let stream = self.stream(stream)?;
        self.issue(stream, Work::Callback { function, data: data.expose_provenance() }, None)
    }
}

/// The rows of pageable memory, without gaps.
fn stage(from: Rows<usize>, area: Area) -> Arc<[u8]> {
    let row = |index: usize| {
        let at: *const u8 = std::ptr::with_exposed_provenance(from.base + index * from.pitch);
        // SAFETY: the caller of the copy lends these rows for the call.
        unsafe { std::slice::from_raw_parts(at, area.width) }
    };
    if area.height == 1 {
        return row(0).into();
    }
    (0..area.height).flat_map(|index| row(index).iter().copied()).collect()
}
