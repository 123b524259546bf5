//! The output of a model, row by row as it becomes finished: what is packed at once needs no plane of f32.

use std::sync::atomic::{AtomicBool, Ordering};

use super::NotFinite;
use super::samples::{self, Layout, all_finite};
use crate::frame::simd::Isa;
use crate::shared::Shared;
use crate::tensor::Tensor;

/// Takes one plane's pixels, from several threads.
pub trait Rows: Sync {
    /// Pixels of row `y` from column `x` on.
    ///
    /// # Safety
    /// No other call has any of these pixels at the same time.
    ///
    /// # Panics
    /// If they are not in the picture.
    unsafe fn put(&self, y: usize, x: usize, values: &[f32]);
}

/// To a plane of f32.
pub struct PlaneRows<'a> {
    plane: Shared<'a, f32>,
    width: usize,
}

impl<'a> PlaneRows<'a> {
    /// The first plane of a tensor.
    pub fn new(tensor: &'a mut Tensor) -> Self {
        Self { width: tensor.width, plane: Shared::new(&mut tensor.data) }
    }
}

impl Rows for PlaneRows<'_> {
    unsafe fn put(&self, y: usize, x: usize, values: &[f32]) {
        assert!(x + values.len() <= self.width, "the pixels are those of one row");
        let first = y * self.width + x;
        // SAFETY: the caller's promise.
        unsafe { self.plane.write(first..first + values.len()) }.copy_from_slice(values);
    }
}

/// To the codes of a frame's luma.
pub struct LumaRows<'a> {
    pub(super) isa: Isa,
    pub(super) plane: Shared<'a, u8>,
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) layout: Layout,
    pub(super) finite: AtomicBool,
}

impl LumaRows<'_> {
    /// Whether everything was a number.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(self) -> Result<(), NotFinite> {
        if self.finite.into_inner() { Ok(()) } else { Err(NotFinite) }
    }
}

impl Rows for LumaRows<'_> {
    unsafe fn put(&self, y: usize, x: usize, values: &[f32]) {
        assert!(x + values.len() <= self.width, "the pixels are those of one row");
        let bytes = if self.layout.wide { 2 } else { 1 };
        let first = y * self.stride + x * bytes;
        // SAFETY: the caller's promise.
        let row = unsafe { self.plane.write(first..first + values.len() * bytes) };
        samples::write(self.isa, [values], [self.layout.max], self.layout, [0], row);
        if !all_finite(self.isa, values) {
            self.finite.store(false, Ordering::Relaxed);
        }
    }
}
