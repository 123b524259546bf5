//! The way into the driver: one lock, every call counted, no panic leaves.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::code::{CUresult, Outcome};
use super::config::Config;
use super::state::Driver;

/// The one driver of the process; none before the first call.
static DRIVER: Mutex<Option<Box<Driver>>> = Mutex::new(None);

thread_local! {
    /// Whether this thread is inside a function that a stream calls.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Calls that release something do so even when the device is lost, and a thread chooses the context for that.
fn releases(name: &str) -> bool {
    ["CtxSetCurrent", "Free", "Destroy", "Unload", "Release", "Unregister", "Reset"]
        .iter()
        .any(|word| name.contains(word))
}

/// Runs the body of an export.
pub(crate) fn call(name: &'static str, body: impl FnOnce(&mut Driver) -> Outcome) -> CUresult {
    if IN_CALLBACK.get() {
        eprintln!("ptx-standin: {name} is called by a function that a stream called");
        return CUresult::NOT_PERMITTED;
    }
    let run = || {
        let mut guard = lock();
        let driver = guard.get_or_insert_with(start);
        let number = driver.log.call(name);
        if let Some(code) = driver.injection.lost(number) {
            driver.lose(code);
            if releases(name) {
                let _ = body(driver);
            }
            return Err(code);
        }
        match driver.injection.strike(name, CUresult::UNKNOWN) {
            Some(code) => Err(code),
            None => body(driver),
        }
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => CUresult::SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => {
            if let Some(driver) = lock().as_mut() {
                driver.fail_itself(name);
            }
            CUresult::UNKNOWN
        }
    }
}

/// Runs a function that a stream calls: it may not call the driver, whose lock is held.
pub(crate) fn as_callback<T>(run: impl FnOnce() -> T) -> T {
    IN_CALLBACK.set(true);
    let result = run();
    IN_CALLBACK.set(false);
    result
}

fn lock() -> MutexGuard<'static, Option<Box<Driver>>> {
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> Box<Driver> {
    match Config::from_environment() {
        Ok(config) => {
            // SAFETY: the function is of this library, which is never unloaded before it runs: an unloaded library's
            // functions are called when it goes.
            unsafe { atexit(at_exit) };
            Box::new(Driver::new(config))
        }
        Err(error) => {
            eprintln!("ptx-standin: {error}");
            std::process::exit(2);
        }
    }
}

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
}

/// Whatever is alive now was never released.
extern "C" fn at_exit() {
    // A thread may still be inside a call; then the report of the last context's end stands.
    if let Ok(mut guard) = DRIVER.try_lock()
        && let Some(driver) = guard.as_mut()
    {
        driver.report_leaks_at_exit();
        driver.write_report();
    }
}
