//! The functions of the driver API that this library exports: no more than what tells C's arguments from Rust's.

mod device;
mod memory;
mod module;
mod stream;

pub use device::*;
pub use memory::*;
pub use module::*;
pub use stream::*;

use super::code::{CUresult, Outcome};

/// Defines exports: each counts its call, takes the driver's lock and runs its body.
macro_rules! exports {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$driver:pat_param| $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of the driver API.")]
        ///
        /// # Safety
        /// Pointers are null, or good for what the driver API does with them.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $crate::driver::code::CUresult {
            $crate::driver::entry::call(stringify!($name), |$driver| $body)
        }
    )*};
}
use exports;

/// Stores a result where the caller wants it.
///
/// # Safety
/// The pointer is null, which is an error, or good for a write.
unsafe fn put<T>(place: *mut T, value: T) -> Outcome {
    if place.is_null() {
        return Err(CUresult::INVALID_VALUE);
    }
    // SAFETY: as the caller promises.
    unsafe { place.write(value) };
    Ok(())
}
