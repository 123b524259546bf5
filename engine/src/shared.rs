//! Memory that several workers write at once, each a part of its own.

use std::marker::PhantomData;
use std::ops::Range;

/// A slice whose parts are handed out to workers.
#[derive(Debug)]
pub struct Shared<'a, T> {
    pointer: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: as a `&mut [T]`; that parts do not overlap is what callers of its functions promise.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// All of a slice.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// A part to read.
    ///
    /// # Safety
    /// Nobody writes to it while the result lives.
    ///
    /// # Panics
    /// If it is not inside.
    pub unsafe fn read(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part lies inside");
        // SAFETY: inside the slice; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.pointer.add(range.start), range.len()) }
    }

    /// Asks for the cache lines of a part ahead of the time that it is read, where the processor can be asked.
    pub fn prefetch(&self, range: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        for at in range.step_by(64 / size_of::<T>().clamp(1, 64)) {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            // SAFETY: every x86-64 processor has SSE; what is not there may be asked for, too.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.pointer.wrapping_add(at).cast_const().cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        drop(range);
    }

    /// A part to write.
    ///
    /// # Safety
    /// Nobody else reads or writes it while the result lives.
    ///
    /// # Panics
    /// If it is not inside.
    #[expect(clippy::mut_from_ref, reason = "parts are handed out to several workers at once")]
    pub unsafe fn write(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part lies inside");
        // SAFETY: inside the slice; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(range.start), range.len()) }
    }
}
