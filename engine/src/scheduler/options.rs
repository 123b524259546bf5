//! What a scheduler is asked for.

use crate::model::Model;
use crate::{BackendKind, Precision};

/// Chooses what a [`Scheduler`](super::Scheduler) does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Models of the same scale, best first. With a target, the last should be bicubic.
    pub ladder: Vec<Model>,
    /// Output size over input size: 2, 3 or 4.
    pub scale: usize,
    /// Where networks run.
    pub backend: BackendKind,
    /// In which numbers.
    pub precision: Precision,
    /// CPU threads; 0 for as many as the process may use.
    pub threads: usize,
    /// Frames inside at once, at most; 0 leaves it to the backend. With 1, or live on the CPU, all threads work on one frame:
    /// each is done as soon as can be. Else each frame has threads of its own, which does more of them in the same time.
    pub window: usize,
    /// Frames a second to hold, by choosing among the rungs; None always takes the first.
    pub target: Option<f64>,
    /// Frames come when they come, and each is due a fixed time later: the window's length at the target rate. Else frames
    /// may be had as fast as they are taken, and are due one by one from the first output on.
    pub live: bool,
    /// Whether parts that have not changed since the frame before are taken from its result. The picture is the same.
    pub reuse: bool,
}

impl Options {
    /// No target, not live, reuse, and everything else left to the backend.
    pub fn new(ladder: Vec<Model>, scale: usize) -> Self {
        Self {
            ladder,
            scale,
            backend: BackendKind::Auto,
            precision: Precision::Auto,
            threads: 0,
            window: 0,
            target: None,
            live: false,
            reuse: true,
        }
    }
}
