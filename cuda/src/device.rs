//! CUDA devices.
//!
//! cudarc panics where the driver library or one of its symbols is missing, so the first calls are guarded.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::Error;
use crate::error::{self, Context};
use crate::module::{Function, Module, Source};

/// The oldest architecture that the kernels are compiled for.
const OLDEST: (i32, i32) = (7, 5);

/// A device that the driver knows.
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

/// Every device, in the driver's order.
///
/// # Errors
/// [`Error::NoDriver`] without a driver; [`Error::Driver`] with what the driver says.
pub fn devices() -> Result<Vec<Description>, Error> {
    guarded(|| {
        let count = CudaContext::device_count()?;
        (0..count as usize).map(|index| describe(index, &*CudaContext::new(index)?)).collect()
    })
}

fn describe(index: usize, context: &CudaContext) -> Result<Description, DriverError> {
    Ok(Description {
        index,
        name: context.name()?,
        compute_capability: context.compute_capability()?,
        memory: context.total_mem()?,
    })
}

/// Runs the first calls of all.
fn guarded<T>(calls: impl FnOnce() -> Result<T, DriverError>) -> Result<T, Error> {
    // SAFETY: only looks for the library; nothing of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver);
    }
    match catch_unwind(AssertUnwindSafe(calls)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) if e.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Err(Error::NoDevice { index: 0, count: 0 }),
        Ok(Err(e)) => {
            let (name, text) = error::text(e);
            Err(Error::Driver(format!("{text} ({name})")))
        }
        Err(_) => Err(Error::Driver("it lacks functions that are needed; it is too old".into())),
    }
}

/// A device in use. Clones share it; everything made on it keeps it alive.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<CudaContext>,
    description: Description,
    shared_limit: u32,
    processors: u32,
    modules: Mutex<HashMap<&'static str, Arc<Module>>>,
}

impl Device {
    /// Opens device number `index`.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::NoDevice`], [`Error::TooOld`], or what the driver says.
    pub fn open(index: usize) -> Result<Self, Error> {
        let count = guarded(|| Ok(CudaContext::device_count()? as usize))?;
        if index >= count {
            return Err(Error::NoDevice { index, count });
        }
        let (context, description) = guarded(|| {
            let context = CudaContext::new(index)?;
            let description = describe(index, &context)?;
            Ok((context, description))
        })?;
        if description.compute_capability < OLDEST {
            return Err(Error::TooOld { name: description.name, capability: description.compute_capability });
        }
        // SAFETY: no slice of cudarc's is used, so nothing relies on its events; order between streams is made by ours.
        unsafe { context.disable_event_tracking() };
        let attribute = |a| context.attribute(a).during("asking for an attribute");
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as SHARED,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as PROCESSORS,
        };
        let (shared_limit, processors) = (attribute(SHARED)? as u32, attribute(PROCESSORS)? as u32);
        Ok(Self(Arc::new(Inner { context, description, shared_limit, processors, modules: Mutex::default() })))
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
        Ok(self.0.context.mem_get_info().during("asking for free memory")?.0)
    }

    /// Waits for everything that was started on the device.
    ///
    /// # Errors
    /// What went wrong in it.
    pub fn synchronize(&self) -> Result<(), Error> {
        self.bind()?;
        self.0.context.synchronize().during("waiting for the device")
    }

    /// Makes the device the one that this thread's calls go to.
    pub(crate) fn bind(&self) -> Result<(), Error> {
        bind(&self.0.context)
    }

    /// A stream that waits for no other.
    pub(crate) fn stream(&self) -> Result<Arc<CudaStream>, Error> {
        self.0.context.new_stream().during("making a stream")
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

/// Makes a context the one that this thread's calls go to. cudarc's own way reports errors of earlier drops here, where
/// they belong to nobody.
pub(crate) fn bind(context: &CudaContext) -> Result<(), Error> {
    // SAFETY: the context is retained as long as the reference lives.
    unsafe { result::ctx::set_current(context.cu_ctx()) }.during("choosing the device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_there_is_an_error_and_no_panic() {
        match devices() {
            Ok(list) => assert!(list.iter().enumerate().all(|(i, d)| d.index == i && !d.name.is_empty())),
            Err(e) => assert!(e.to_string().contains("CPU"), "{e}"),
        }
    }
}
