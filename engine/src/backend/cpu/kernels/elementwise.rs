//! Pixel by pixel. Bound: memory; rows come from and go to the nearest cache.

use crate::backend::cpu::dispatch::kernel;
use crate::backend::cpu::line::Taps;

/// What is done to two lines, or to one.
#[derive(Clone, Debug, PartialEq)]
pub enum Elementwise {
    /// `first + scale * second`.
    Add(f32),
    /// `first * second`.
    Mul,
    /// `x + offset[channel]`; the lines of a channel are those of its index modulo the number of channels.
    Shift(Vec<f32>),
}

kernel! {
    /// One row, or several of the same channels: as many lines out as in `first`.
    pub fn elementwise<S>(s, first: Taps<'_>, second: Option<Taps<'_>>, p: &Elementwise, out: &mut [f32]) {
        let line = first.line();
        for i in 0..first.len() {
            let a = first.get(i);
            let b = second.as_ref().map_or(a, |second| second.get(i));
            let to = &mut out[i * line.stride..][..line.stride];
            let (offset, scale) = match p {
                Elementwise::Shift(offset) => (s.splat(offset[i % offset.len()]), s.splat(0.0)),
                Elementwise::Add(scale) => (s.splat(0.0), s.splat(*scale)),
                Elementwise::Mul => (s.splat(0.0), s.splat(0.0)),
            };
            for x in (line.left..line.left + line.width).step_by(S::LANES) {
                let (a, b, to) = (&a[x..][..S::LANES], &b[x..][..S::LANES], &mut to[x..][..S::LANES]);
                // SAFETY: the three slices are a vector long.
                unsafe {
                    let a = s.load(a.as_ptr());
                    let v = match p {
                        Elementwise::Add(_) => s.fma(s.load(b.as_ptr()), scale, a),
                        Elementwise::Mul => s.mul(a, s.load(b.as_ptr())),
                        Elementwise::Shift(_) => s.add(a, offset),
                    };
                    s.store(to.as_mut_ptr(), v);
                }
            }
        }
    }
}
