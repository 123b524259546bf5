//! Streams: what is issued to one runs in that order, beside what others do.

use std::sync::Arc;

use cudarc::driver::{result, sys};

use crate::Error;
use crate::context::Primary;
use crate::error::Context;

/// A stream that waits for no other, the default one included.
#[derive(Debug)]
pub(crate) struct Stream {
    context: Arc<Primary>,
    handle: sys::CUstream,
}

// SAFETY: a stream may be used from any thread that has its context, which every caller binds first.
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks what it must.
unsafe impl Sync for Stream {}

impl Stream {
    pub(crate) fn new(context: &Arc<Primary>) -> Result<Self, Error> {
        let _bound = context.bind()?;
        let handle = result::stream::create(result::stream::StreamKind::NonBlocking).during("making a stream")?;
        Ok(Self { context: context.clone(), handle })
    }

    pub(crate) fn handle(&self) -> sys::CUstream {
        self.handle
    }

    /// Waits for everything that was issued to it; the context must be bound.
    pub(crate) fn synchronize(&self, what: &'static str) -> Result<(), Error> {
        // SAFETY: the stream lives.
        unsafe { result::stream::synchronize(self.handle) }.during(what)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _bound = self.context.bind();
        // SAFETY: the stream is destroyed once; what was issued to it goes on.
        let _ = unsafe { result::stream::destroy(self.handle) };
    }
}
