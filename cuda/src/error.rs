//! What can go wrong with a device, in one line that says what to do.

use cudarc::driver::{DriverError, result, sys::CUresult};

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
    /// The driver is older than the functions that are needed.
    #[error("the NVIDIA driver is too old: it knows CUDA {}.{}, 11.4 is needed; update it to R470 or later, or use the CPU", cuda.0, cuda.1)]
    OldDriver {
        /// The CUDA that it knows.
        cuda: (i32, i32),
    },
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
        /// Bytes asked for, at the least: how much a driver needs for itself it does not say.
        needed: usize,
        /// Bytes of device memory that are free.
        available: usize,
    },
    /// The driver refused the kernels.
    #[error("the driver cannot load the kernels '{name}': {log}; update the driver (R470 or later), or use the CPU")]
    Kernels {
        /// The file of kernels.
        name: &'static str,
        /// What the driver's compiler said.
        log: String,
    },
    /// A call failed.
    #[error("{what} failed on the CUDA device: {text} ({name})")]
    Call {
        /// What was being done.
        what: &'static str,
        /// The driver's name of the error.
        name: String,
        /// The driver's text.
        text: String,
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

/// A driver's error in words.
pub(crate) fn text(error: DriverError) -> (String, String) {
    let string = |s: Result<&std::ffi::CStr, DriverError>| s.map(|s| s.to_string_lossy().into_owned());
    let name = string(error.error_name()).unwrap_or_else(|_| format!("error {}", error.0 as u32));
    let text = string(error.error_string()).unwrap_or_else(|_| "no text".into());
    (name, text)
}

/// The driver's error, with what was being done.
pub(crate) fn during(error: DriverError, what: &'static str) -> Error {
    if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        let available = result::mem_get_info().map_or(0, |(free, _)| free);
        return Error::Memory { kind: "device", needed: 1, available };
    }
    let (name, text) = text(error);
    Error::Call { what, name, text }
}

/// Says what was being done when the driver failed.
pub(crate) trait Context<T> {
    fn during(self, what: &'static str) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, DriverError> {
    fn during(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| during(error, what))
    }
}
