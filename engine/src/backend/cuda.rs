//! CUDA. Its kernels are not written yet: this says so, and what the machine has.

use crate::Error;

/// Why the CUDA backend cannot be had.
pub fn unavailable() -> Error {
    let reason = match srup_cuda::devices() {
        Err(e) => e.to_string(),
        Ok(devices) if devices.is_empty() => "the driver knows no device; use backend=cpu".into(),
        Ok(devices) => {
            format!("{} is there, but this version has no CUDA kernels yet; use backend=cpu", devices[0].name)
        }
    };
    Error::Backend { backend: "cuda", reason }
}
