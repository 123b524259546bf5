//! Modules: PTX text that is loaded, its kernels and variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::launch::Globals;
use crate::ptx::{self, Kernel};

use super::abi::{CUdeviceptr, Handle};
use super::code::{CUresult, Outcome};
use super::device::{Architecture, BLOCK_THREADS, SHARED_DEFAULT, architecture, ptx_version};
use super::state::Driver;

/// A loaded module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) device: usize,
    kernels: Vec<Arc<Kernel>>,
    globals: Arc<Globals>,
    /// Handles of the kernels that were asked for.
    functions: BTreeMap<String, Handle>,
}

/// A kernel as users know it.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) device: usize,
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) globals: Arc<Globals>,
    /// Most dynamic shared memory of a launch.
    pub(crate) dynamic_shared: usize,
}

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
const MAX_DYNAMIC_SHARED: i32 = 8;
/// `CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT`.
const CARVEOUT: i32 = 9;

impl Driver {
    pub(crate) fn architecture(&self) -> Architecture {
        architecture(self.config.capability).expect("checked when the settings were read")
    }

    /// Loads PTX text.
    ///
    /// # Errors
    /// A code, and what a compiler's error log would say.
    pub(crate) fn load_module(&mut self, text: &str) -> Result<Handle, (CUresult, String)> {
        let plain = |code| (code, String::new());
        let device = self.usable().map_err(plain)?;
        self.forbid_while_capturing(None).map_err(plain)?;
        if let Some(code) = self.injection.strike("module", CUresult::INVALID_PTX) {
            return Err((code, "injected failure".into()));
        }
        let module = ptx::parse(text).map_err(|error| (CUresult::INVALID_PTX, error.to_string()))?;
        let (known, driver) = (ptx_version(self.config.driver), self.config.driver);
        if module.version > known {
            let ((major, minor), (known_major, known_minor)) = (module.version, known);
            let text = format!("PTX {major}.{minor}: driver {driver} reads PTX up to {known_major}.{known_minor}");
            return Err((CUresult::UNSUPPORTED_PTX_VERSION, text));
        }
        if module.target > self.config.capability {
            let text = format!("PTX for sm_{}: the device is sm_{}", module.target, self.config.capability);
            return Err((CUresult::NO_BINARY_FOR_GPU, text));
        }
        let globals = Arc::new(Globals::load(&module, &mut self.devices[device].memory));
        let handle = self.new_handle();
        let kernels = module.kernels;
        self.modules.insert(handle, Module { device, kernels, globals, functions: BTreeMap::new() });
        Ok(handle)
    }

    /// Unloads a module after all work of its device.
    pub(crate) fn unload_module(&mut self, handle: Handle) -> Outcome {
        let Some(module) = self.modules.get(&handle) else {
            let text = format!("cuModuleUnload: {handle:#x} is no module, or was unloaded before");
            return Err(self.refuse(text, CUresult::INVALID_HANDLE));
        };
        let device = module.device;
        let waited = self.wait_for_device(device);
        self.drop_module(handle);
        waited
    }

    pub(crate) fn drop_module(&mut self, handle: Handle) {
        let Some(module) = self.modules.remove(&handle) else { return };
        for function in module.functions.values() {
            self.functions.remove(function);
        }
        // A variable that a user freed by its address was reported then.
        let _ = Globals::clone(&module.globals).unload(&mut self.devices[module.device].memory);
    }

    pub(crate) fn function(&mut self, module: Handle, name: &str) -> Outcome<Handle> {
        let found = self.modules.get(&module).ok_or(CUresult::INVALID_HANDLE)?;
        self.health(found.device)?;
        if let Some(handle) = found.functions.get(name) {
            return Ok(*handle);
        }
        let kernel = found.kernels.iter().find(|kernel| kernel.name == name).ok_or(CUresult::NOT_FOUND)?.clone();
        let (device, globals) = (found.device, found.globals.clone());
        let dynamic_shared = SHARED_DEFAULT.saturating_sub(kernel.static_shared);
        let handle = self.new_handle();
        self.functions.insert(handle, Function { device, kernel, globals, dynamic_shared });
        if let Some(module) = self.modules.get_mut(&module) {
            module.functions.insert(name.into(), handle);
        }
        Ok(handle)
    }

    /// Address and size of a module's variable.
    pub(crate) fn variable(&self, module: Handle, name: &str) -> Outcome<(CUdeviceptr, usize)> {
        let module = self.modules.get(&module).ok_or(CUresult::INVALID_HANDLE)?;
        self.health(module.device)?;
        module.globals.find(name).ok_or(CUresult::NOT_FOUND)
    }

    pub(crate) fn function_attribute(&self, handle: Handle, attribute: i32) -> Outcome<i32> {
        let function = self.functions.get(&handle).ok_or(CUresult::INVALID_HANDLE)?;
        let kernel = &function.kernel;
        let capability = self.config.capability as i32;
        Ok(match attribute {
            0 => most_threads(kernel) as i32,
            1 => kernel.static_shared as i32,
            3 => kernel.local as i32,
            // Registers are the assembler's affair; constant memory, cache mode and clusters do not matter here.
            2 | 4 | 7 | 10..=15 => 0,
            5 | 6 => capability,
            MAX_DYNAMIC_SHARED => function.dynamic_shared as i32,
            CARVEOUT => -1,
            _ => return Err(CUresult::INVALID_VALUE),
        })
    }

    pub(crate) fn set_function_attribute(&mut self, handle: Handle, attribute: i32, value: i32) -> Outcome {
        let most = self.architecture().shared_block;
        let function = self.functions.get_mut(&handle).ok_or(CUresult::INVALID_HANDLE)?;
        match attribute {
            MAX_DYNAMIC_SHARED => {
                let value = usize::try_from(value).map_err(|_| CUresult::INVALID_VALUE)?;
                if value + function.kernel.static_shared > most {
                    return Err(CUresult::INVALID_VALUE);
                }
                function.dynamic_shared = value;
                Ok(())
            }
            CARVEOUT => Ok(()),
            _ => Err(CUresult::INVALID_VALUE),
        }
    }

    /// Blocks of a kernel that run at once on a multiprocessor, were it not for registers.
    pub(crate) fn occupancy(&self, handle: Handle, threads: i32, dynamic_shared: usize) -> Outcome<i32> {
        let function = self.functions.get(&handle).ok_or(CUresult::INVALID_HANDLE)?;
        let threads = usize::try_from(threads).ok().filter(|threads| *threads > 0).ok_or(CUresult::INVALID_VALUE)?;
        if threads > most_threads(&function.kernel) || dynamic_shared > function.dynamic_shared {
            return Ok(0);
        }
        let shared = function.kernel.static_shared + dynamic_shared;
        Ok(self.architecture().resident_blocks(threads, shared) as i32)
    }
}

/// Most threads of a block that a kernel allows.
pub(crate) fn most_threads(kernel: &Kernel) -> usize {
    match (kernel.reqntid, kernel.max_threads) {
        (Some(shape), _) => shape.iter().map(|side| *side as usize).product(),
        (None, Some(most)) => most as usize,
        (None, None) => BLOCK_THREADS,
    }
}
