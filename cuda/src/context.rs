//! The driver, and the primary contexts of its devices.
//!
//! cudarc panics where the driver library or one of its functions is missing, so the first calls are guarded. Its own type
//! for a context is not used: it makes the context the thread's and leaves it so, but the thread is the application's.

use std::panic::catch_unwind;

use cudarc::driver::{DriverError, result, sys};

use crate::Error;
use crate::error::{self, Context};

/// The oldest driver that has every function which is called, by its CUDA, 1000 times the major and 10 times the minor
/// version: cuGraphInstantiateWithFlags came with 11.4, which is R470.
const OLDEST_DRIVER: i32 = 11040;

/// Starts the driver; the number of devices that it knows.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::OldDriver`], or what the driver says.
pub(crate) fn start() -> Result<usize, Error> {
    // SAFETY: only looks for the library; nothing of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::NoDriver);
    }
    let started = catch_unwind(|| {
        let mut version = 0;
        // SAFETY: the pointer is good for a write.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
        if version < OLDEST_DRIVER {
            return Ok(Err(Error::OldDriver { cuda: (version / 1000, version % 1000 / 10) }));
        }
        result::init()?;
        Ok(Ok(result::device::get_count()? as usize))
    });
    match started {
        Ok(Ok(count)) => count,
        Ok(Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE))) => Err(Error::NoDevice { index: 0, count: 0 }),
        Ok(Err(e)) => {
            let (name, text) = error::text(e);
            Err(Error::Driver(format!("{text} ({name})")))
        }
        Err(_) => Err(Error::Driver("it lacks functions that are needed".into())),
    }
}

/// A device's primary context, which the process shares with whoever else uses the device in it.
#[derive(Debug)]
pub(crate) struct Primary {
    device: sys::CUdevice,
    handle: sys::CUcontext,
}

// SAFETY: a context may be used from any thread, and by several at once.
unsafe impl Send for Primary {}
// SAFETY: as above; the driver locks what it must.
unsafe impl Sync for Primary {}

impl Primary {
    /// That of device `index`, once the driver is started.
    pub(crate) fn retain(index: usize) -> Result<Self, Error> {
        let device = result::device::get(index as i32).during("looking for the device")?;
        // SAFETY: the device is the driver's own; the context is released once.
        let handle = unsafe { result::primary_ctx::retain(device) }.during("opening the device")?;
        Ok(Self { device, handle })
    }

    pub(crate) fn device(&self) -> sys::CUdevice {
        self.device
    }

    /// Makes it the one that this thread's calls go to, as long as the result lives.
    pub(crate) fn bind(&self) -> Result<Bound, Error> {
        // No call here depends on what an application captures, so its capture is to forbid none, and none is to end it.
        let mode = exchange_mode(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED);
        let mut bound = Bound { context: None, mode };
        let mut before = std::ptr::null_mut();
        // SAFETY: the pointer is good for a write. Where the call fails, none counts as current.
        let known = unsafe { sys::cuCtxGetCurrent(&mut before) }.result().is_ok();
        if !known || before != self.handle {
            // SAFETY: the context is retained as long as this lives.
            unsafe { result::ctx::set_current(self.handle) }.during("choosing the device")?;
            bound.context = Some(before);
        }
        Ok(bound)
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // SAFETY: it was retained once; everything that was made in it holds this and so is gone.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Changes which captures forbid calls of this thread that might depend on them; what it was, if the driver says so.
fn exchange_mode(mut mode: sys::CUstreamCaptureMode) -> Option<sys::CUstreamCaptureMode> {
    // SAFETY: the pointer is good for a read and a write.
    unsafe { sys::cuThreadExchangeStreamCaptureMode(&mut mode) }.result().ok().map(|()| mode)
}

/// The thread's calls go to a context of ours, and no capture forbids any; afterwards all is as it was.
#[must_use]
pub(crate) struct Bound {
    context: Option<sys::CUcontext>,
    mode: Option<sys::CUstreamCaptureMode>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.mode.and_then(exchange_mode);
        if let Some(before) = self.context {
            // SAFETY: none, or the context that this thread had. If it was destroyed meanwhile, the driver says so, and
            // there is nothing to go back to.
            let _ = unsafe { result::ctx::set_current(before) };
        }
    }
}

#[cfg(test)]
mod tests {
    use ptx_standin::harness;

    use super::*;
    use crate::kernels::elementwise::add;
    use crate::{Buffer, Device, Issue, Map, Slot, run, time};

    fn current() -> sys::CUcontext {
        let mut context = std::ptr::null_mut();
        // SAFETY: the pointer is good for a write.
        unsafe { sys::cuCtxGetCurrent(&mut context) }.result().unwrap();
        context
    }

    /// Everything that calls the driver; `check` comes after each.
    fn use_a_device(check: impl Fn(&str)) {
        let device = Device::open(0).unwrap();
        check("a device");
        assert!(device.free_memory().unwrap() > 0);
        check("its memory");
        let maps = [(); 3].map(|()| Map::new(&Buffer::zeroed(&device, Map::bytes(4, 4, 16)).unwrap(), 4, 4, 16));
        let buffer = Buffer::from_slice(&device, &[1_u8; 4]).unwrap();
        buffer.read(&mut [0; 4]).unwrap();
        check("buffers");
        let launch = add(maps[0].all(), maps[1].all(), 1.0, maps[2].all()).unwrap();
        check("a kernel");
        let launches = [launch];
        run(&device, &launches).unwrap();
        time(&device, &launches, 1).unwrap();
        check("runs");
        let mut slot = Slot::new(&device, buffer.clone(), buffer, Issue::Graph).unwrap();
        check("a slot");
        let program = slot.add(launches.into()).unwrap();
        check("a program");
        slot.input().unwrap().fill(2);
        slot.start(program).unwrap();
        check("a start");
        assert_eq!(slot.finish().unwrap(), [2; 4]);
        check("a frame");
        slot.start(program).unwrap();
        drop(slot);
        check("a slot's end");
        drop((maps, device));
        check("the end");
    }

    #[test]
    fn an_application_may_capture_meanwhile() {
        const TEST: &str = "context::tests::an_application_may_capture_meanwhile";
        if let Some(outcome) = harness::rerun(TEST, &[]) {
            return outcome.assert_clean();
        }
        start().unwrap();
        let (begun, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let context = Primary::retain(0).unwrap();
                let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
                // SAFETY: the context is retained; stream and graph are destroyed once, after their last use.
                unsafe {
                    result::ctx::set_current(context.handle).unwrap();
                    let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
                    result::stream::begin_capture(stream, mode).unwrap();
                    begun.wait();
                    end.wait();
                    result::graph::destroy(result::stream::end_capture(stream).unwrap()).unwrap();
                    result::stream::destroy(stream).unwrap();
                }
            });
            begun.wait();
            // A check that fails would leave the other thread waiting.
            let used = std::panic::catch_unwind(|| use_a_device(|_| ()));
            end.wait();
            used.unwrap();
        });
    }

    #[test]
    fn a_thread_keeps_the_context_that_it_had() {
        const TEST: &str = "context::tests::a_thread_keeps_the_context_that_it_had";
        if let Some(outcome) = harness::rerun(TEST, &[("SRUP_STANDIN_DEVICES", "2")]) {
            return outcome.assert_clean();
        }
        // Another device's, if there is one.
        let others = Primary::retain(start().unwrap() - 1).unwrap();
        for before in [std::ptr::null_mut(), others.handle] {
            // SAFETY: the context is retained.
            unsafe { result::ctx::set_current(before) }.unwrap();
            use_a_device(|what| assert_eq!(current(), before, "{what}"));
        }
    }
}
