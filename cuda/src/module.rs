//! Kernels: PTX that is compiled into this crate, loaded by the driver.

use std::borrow::Cow;
use std::ffi::{CString, c_void};
use std::path::Path;
use std::sync::Arc;

use cudarc::driver::{result, sys};

use crate::Error;
use crate::context::Primary;
use crate::error::{self, Context};

/// A file of kernels, for two generations of devices.
#[derive(Debug)]
pub(crate) struct Source {
    /// Of the file in `kernels/`, without its ending.
    pub(crate) name: &'static str,
    /// From Turing on.
    pub(crate) sm_75: &'static str,
    /// From Ampere on.
    pub(crate) sm_80: &'static str,
}

/// Names a folder whose PTX is used in place of what is compiled in: for work on kernels.
const FOLDER: &str = "SRUP_CUDA_PTX";

impl Source {
    /// The PTX for a compute capability.
    fn text(&self, capability: (i32, i32)) -> Result<Cow<'static, str>, Error> {
        let (target, embedded) = if capability >= (8, 0) { ("sm_80", self.sm_80) } else { ("sm_75", self.sm_75) };
        let Some(folder) = std::env::var_os(FOLDER) else { return Ok(embedded.into()) };
        let path = Path::new(&folder).join(format!("{}.{target}.ptx", self.name));
        let refuse = |e: &dyn std::fmt::Display| Error::Kernels {
            name: self.name,
            log: format!("{FOLDER} names a folder without a usable {}: {e}", path.display()),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| refuse(&e))?;
        if text.contains('\0') { Err(refuse(&"it holds a zero byte")) } else { Ok(text.into()) }
    }
}

/// The PTX of `kernels/NAME.cu`.
macro_rules! source {
    ($name:literal) => {
        $crate::module::Source {
            name: $name,
            sm_75: include_str!(concat!("../../ptx/", $name, ".sm_75.ptx")),
            sm_80: include_str!(concat!("../../ptx/", $name, ".sm_80.ptx")),
        }
    };
}
pub(crate) use source;

#[derive(Debug)]
pub(crate) struct Module {
    context: Arc<Primary>,
    name: &'static str,
    handle: sys::CUmodule,
}

// SAFETY: a module handle may be used from any thread that has its context, which every caller binds first.
unsafe impl Send for Module {}
// SAFETY: as above; the driver locks what it must.
unsafe impl Sync for Module {}

impl Module {
    pub(crate) fn load(context: &Arc<Primary>, source: &'static Source, capability: (i32, i32)) -> Result<Self, Error> {
        let _bound = context.bind()?;
        let text = source.text(capability)?;
        let image = CString::new(&*text).expect("PTX holds no zero byte");
        let mut log = vec![0u8; 4096];
        let mut options =
            [sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // The driver takes the size by value, in a pointer.
        let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
        let mut handle = std::ptr::null_mut();
        // SAFETY: the image ends in a zero byte, options and values have two entries each, and the log buffer is as
        // large as its entry says; all of them outlive the call.
        let code = unsafe {
            sys::cuModuleLoadDataEx(&mut handle, image.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr())
        };
        code.result().map_err(|e| {
            if e.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return error::during(e, "loading kernels");
            }
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            let log = String::from_utf8_lossy(&log[..end]).trim().replace('\n', "; ");
            let (name, text) = error::text(e);
            let log = if log.is_empty() { format!("{text} ({name})") } else { format!("{text} ({name}): {log}") };
            Error::Kernels { name: source.name, log }
        })?;
        Ok(Self { context: context.clone(), name: source.name, handle })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _bound = self.context.bind();
        // SAFETY: the handle came from a successful load and is dropped once. An error here means that the context is
        // gone, and the module with it.
        let _ = unsafe { result::module::unload(self.handle) };
    }
}

/// A kernel that is loaded. Keeps its module.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    _module: Arc<Module>,
    handle: sys::CUfunction,
}

// SAFETY: as for `Module`.
unsafe impl Send for Function {}
// SAFETY: as for `Module`.
unsafe impl Sync for Function {}

impl Function {
    pub(crate) fn new(module: Arc<Module>, name: &'static str) -> Result<Self, Error> {
        let symbol = CString::new(name).expect("kernel names hold no zero byte");
        // SAFETY: the module is loaded and stays so as long as this holds it.
        let handle = unsafe { result::module::get_function(module.handle, symbol) }.map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_NOT_FOUND => {
                Error::Kernels { name: module.name, log: format!("it has no kernel {name}") }
            }
            // The driver may load a kernel only now.
            _ => error::during(e, "loading a kernel"),
        })?;
        Ok(Self { _module: module, handle })
    }

    pub(crate) fn handle(&self) -> sys::CUfunction {
        self.handle
    }

    /// Lets the kernel have that much dynamic shared memory; up to 48 KB needs no leave.
    pub(crate) fn allow_shared(&self, bytes: u32) -> Result<(), Error> {
        const ALWAYS: u32 = 48 << 10;
        if bytes <= ALWAYS {
            return Ok(());
        }
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function belongs to the module that this holds.
        unsafe { result::function::set_function_attribute(self.handle, attribute, bytes as i32) }
            .during("asking for shared memory")
    }
}
