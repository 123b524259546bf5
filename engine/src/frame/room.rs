//! Buffers of frames that are there from the start.

use std::hint::black_box;

/// Values of the smallest page.
const PAGE: usize = 4096 / size_of::<f32>();

/// Zeros in memory that the system has given: what it only promised would still count as available when the next lane asks.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    #[cfg(test)]
    tests::TAKEN.set(tests::TAKEN.get() + bytes(len));
    let mut values = vec![0.0; len];
    // The system gives a page when it is written to; a zero that is known to be there already need not be written.
    values.iter_mut().step_by(PAGE).for_each(|value| *value = black_box(0.0));
    values
}

/// Bytes of so many values.
pub(crate) const fn bytes(len: usize) -> usize {
    size_of::<f32>() * len
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes that this thread has taken.
        pub static TAKEN: Cell<usize> = const { Cell::new(0) };
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn zeros_are_there_before_anything_is_written() {
        const BYTES: usize = 4096;
        let values = zeros(1 << 22);
        let start = values.as_ptr().cast::<u8>();
        let offset = start.align_offset(BYTES);
        let count = bytes(values.len()) / BYTES - 1;
        let mut there = vec![0_u8; count];
        // SAFETY: the pages lie in `values`, of whose pages each has a place in `there`.
        let failed = unsafe { libc::mincore(start.add(offset).cast_mut().cast(), count * BYTES, there.as_mut_ptr()) };
        assert_eq!(failed, 0);
        assert!(there.iter().all(|page| page & 1 == 1) && values.iter().all(|&value| value == 0.0));
    }
}
