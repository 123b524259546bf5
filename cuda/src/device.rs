//! CUDA devices.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{DriverError, result, sys};

use crate::Error;
use crate::context::{self, Bound, Primary};
use crate::error::Context;
use crate::module::{Function, Module, Source};
use crate::stream::Stream;

/// The oldest architecture that the kernels are compiled for.
const OLDEST: (i32, i32) = (7, 5);

/// What the driver says of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its number, from 0.
    pub index: usize,
    /// Its name, as the driver says it.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (i32, i32),
    /// Bytes of its memory.
    pub memory: usize,
}

fn attribute(device: sys::CUdevice, number: sys::CUdevice_attribute) -> Result<i32, Error> {
    // SAFETY: the device is the driver's own.
    unsafe { result::device::get_attribute(device, number) }.during("asking for an attribute")
}

fn describe(index: usize, device: sys::CUdevice) -> Result<Description, Error> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    Ok(Description {
        index,
        name: result::device::get_name(device).during("asking for a name")?,
        compute_capability: (attribute(device, MAJOR)?, attribute(device, MINOR)?),
        // SAFETY: the device is the driver's own.
        memory: unsafe { result::device::total_mem(device) }.during("asking for the memory")?,
    })
}

/// A device in use. Clones share it; everything made on it keeps it alive.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Primary>,
    description: Description,
    shared_limit: u32,
    processors: u32,
    /// For what is brought to the device and back outside of frames.
    copies: Stream,
    modules: Mutex<HashMap<&'static str, Arc<Module>>>,
}

impl Device {
    /// Opens device number `index`.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::OldDriver`], [`Error::NoDevice`], [`Error::TooOld`], or what the driver says.
    pub fn open(index: usize) -> Result<Self, Error> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as SHARED,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
        };
        let count = context::start()?;
        if index >= count {
            return Err(Error::NoDevice { index, count });
        }
        let context = Arc::new(Primary::retain(index)?);
        let device = context.device();
        let description = describe(index, device)?;
        if description.compute_capability < OLDEST {
            return Err(Error::TooOld { name: description.name, capability: description.compute_capability });
        }
        let (shared_limit, processors) = (attribute(device, SHARED)? as u32, attribute(device, PROCESSORS)? as u32);
        let copies = Stream::new(&context)?;
        let modules = Mutex::default();
        Ok(Self(Arc::new(Inner { context, description, shared_limit, processors, copies, modules })))
    }

    /// Number, name, compute capability and memory.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// Bytes of shared memory that a block may have.
    pub fn shared_limit(&self) -> u32 {
        self.0.shared_limit
    }

    /// Number of streaming multiprocessors.
    pub fn processors(&self) -> u32 {
        self.0.processors
    }

    /// Bytes of device memory that are free.
    ///
    /// # Errors
    /// What the driver says.
    pub fn free_memory(&self) -> Result<usize, Error> {
        let _bound = self.bind()?;
        Ok(result::mem_get_info().during("asking for free memory")?.0)
    }

    /// Makes the device the one that this thread's calls go to, as long as the result lives.
    pub(crate) fn bind(&self) -> Result<Bound, Error> {
        self.0.context.bind()
    }

    /// A stream that waits for no other.
    pub(crate) fn stream(&self) -> Result<Stream, Error> {
        Stream::new(&self.0.context)
    }

    /// Issues something to the device's own stream and waits for it. Not for the whole device: that would break off what
    /// another thread captures, and have its frames waited for. The context must be bound.
    pub(crate) fn at_once(
        &self,
        what: &'static str,
        issue: impl FnOnce(sys::CUstream) -> Result<(), DriverError>,
    ) -> Result<(), Error> {
        issue(self.0.copies.handle()).during(what)?;
        self.0.copies.synchronize(what)
    }

    /// A kernel, loaded the first time that its file is asked for.
    pub(crate) fn function(&self, source: &'static Source, name: &'static str) -> Result<Function, Error> {
        let mut modules = self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match modules.get(source.name) {
            Some(module) => module.clone(),
            None => {
                let capability = self.0.description.compute_capability;
                let module = Arc::new(Module::load(&self.0.context, source, capability)?);
                modules.insert(source.name, module.clone());
                module
            }
        };
        Function::new(module, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_there_is_an_error_and_no_panic() {
        match Device::open(0) {
            Ok(device) => assert!(device.description().index == 0 && !device.description().name.is_empty()),
            Err(e) => assert!(e.to_string().contains("CPU"), "{e}"),
        }
    }
}
