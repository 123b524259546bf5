//! What can go wrong with a device, in one line that says what to do.

use cudarc::driver::{DriverError, sys::CUresult};

/// Why a device cannot be used, or stopped working.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver library was not found.
    #[error("no NVIDIA driver was found (libcuda.so.1 is not on the library path); install the driver, or use the CPU")]
    NoDriver,
    /// The driver is there and does not work.
    #[error("the NVIDIA driver does not work: {0}; check it with nvidia-smi, or use the CPU")]
    Driver(String),
    /// There is no device of that number.
    #[error("there is no CUDA device {index}, the driver knows {count}; choose another, or use the CPU")]
    NoDevice {
        /// The number that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The device is older than the kernels.
    #[error("{name} has compute capability {}.{}, 7.5 (Turing) is the least; use the CPU", capability.0, capability.1)]
    TooOld {
        /// The device.
        name: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// Not enough memory on the device, or not enough that can be pinned.
    #[error(
        "{needed} bytes of {kind} memory cannot be had ({available} are free); use a smaller frame or network, or end what else runs there"
    )]
    Memory {
        /// `device` or `pinned`.
        kind: &'static str,
        /// Bytes asked for.
        needed: usize,
        /// Bytes of device memory that are free.
        available: usize,
    },
    /// The driver refused the kernels.
    #[error("the driver cannot load the kernels '{name}': {log}; update the driver (R450 or later), or use the CPU")]
    Kernels {
        /// The file of kernels.
        name: &'static str,
        /// What the driver's compiler said.
        log: String,
    },
    /// A call failed. After [`Error::is_lost`] nothing more can be had of the device in this process.
    #[error("{what} failed on the CUDA device: {text} ({name})")]
    Call {
        /// What was being done.
        what: &'static str,
        /// The driver's name of the error.
        name: String,
        /// The driver's text.
        text: String,
        /// True where the context is broken for good.
        lost: bool,
    },
    /// A kernel cannot do what was asked: a mistake of the caller.
    #[error("{kernel}: {reason}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// True where the device, or this process's use of it, is broken for good: every later call fails as well.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Call { lost: true, .. })
    }
}

/// Errors that stay with the context (CUDA driver API, "CUresult": the process must end its use of the device).
fn is_sticky(code: CUresult) -> bool {
    use CUresult::*;
    matches!(
        code,
        CUDA_ERROR_ILLEGAL_ADDRESS
            | CUDA_ERROR_LAUNCH_FAILED
            | CUDA_ERROR_LAUNCH_TIMEOUT
            | CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUDA_ERROR_MISALIGNED_ADDRESS
            | CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUDA_ERROR_INVALID_PC
            | CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUDA_ERROR_ASSERT
            | CUDA_ERROR_ECC_UNCORRECTABLE
            | CUDA_ERROR_DEVICE_UNAVAILABLE
            | CUDA_ERROR_CONTEXT_IS_DESTROYED
            | CUDA_ERROR_SYSTEM_NOT_READY
            | CUDA_ERROR_UNKNOWN
    )
}

/// A driver's error in words.
pub(crate) fn text(error: DriverError) -> (String, String) {
    let string = |s: Result<&std::ffi::CStr, DriverError>| s.map(|s| s.to_string_lossy().into_owned());
    let name = string(error.error_name()).unwrap_or_else(|_| format!("error {}", error.0 as u32));
    let text = string(error.error_string()).unwrap_or_else(|_| "no text".into());
    (name, text)
}

/// Says what was being done when the driver failed.
pub(crate) trait Context<T> {
    fn during(self, what: &'static str) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, DriverError> {
    fn during(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| {
            let (name, text) = text(error);
            Error::Call { what, name, text, lost: is_sticky(error.0) }
        })
    }
}
