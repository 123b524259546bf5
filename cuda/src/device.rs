//! Which CUDA devices there are.
//!
//! cudarc panics where the driver library is missing, so its presence is asked for first.

use cudarc::driver::{CudaContext, sys};

/// Why no device can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver library was not found.
    #[error("no NVIDIA driver was found (libcuda.so.1 is not on the library path); install the driver, or use the CPU")]
    NoDriver,
    /// The driver is there and does not work.
    #[error("the NVIDIA driver does not work: {0}; check it with nvidia-smi, or use the CPU")]
    Driver(String),
}

/// A device that the driver knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number, from 0.
    pub index: usize,
    /// Its name, as the driver says it.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (i32, i32),
}

/// Every device, in the driver's order.
///
/// # Errors
/// [`Error::NoDriver`] without a driver; [`Error::Driver`] with what the driver says.
pub fn devices() -> Result<Vec<Device>, Error> {
    // SAFETY: only looks for the library; nothing of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver);
    }
    let driver = |e: cudarc::driver::DriverError| Error::Driver(format!("error {}", e.0 as u32));
    let count = CudaContext::device_count().map_err(driver)?;
    (0..count as usize)
        .map(|index| {
            let context = CudaContext::new(index).map_err(driver)?;
            Ok(Device {
                index,
                name: context.name().map_err(driver)?,
                compute_capability: context.compute_capability().map_err(driver)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_there_is_an_error_and_no_panic() {
        match devices() {
            Ok(list) => assert!(list.iter().enumerate().all(|(i, d)| d.index == i && !d.name.is_empty())),
            Err(e) => assert!(e.to_string().contains("NVIDIA driver")),
        }
    }
}
