//! Kernel launches: what the driver checks before anything runs.

use std::sync::Arc;

use super::abi::Handle;
use super::code::{CUresult, Outcome};
use super::device::BLOCK_THREADS;
use super::module::{Function, most_threads};
use super::operation::{KernelLaunch, Work};
use super::state::Driver;

/// Shape of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic_shared: u32,
}

/// Most blocks of a grid, and most threads of a block, in each direction ("Technical Specifications").
const GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];
const BLOCK: [u32; 3] = [1024, 1024, 64];

impl Driver {
    /// The parameters of a function: place and size of each, to collect them.
    pub(crate) fn parameters(&self, function: Handle) -> Outcome<&Function> {
        let function = self.functions.get(&function).ok_or(CUresult::INVALID_HANDLE)?;
        self.health(function.device)?;
        Ok(function)
    }

    /// Issues a kernel with collected parameters.
    pub(crate) fn launch(&mut self, handle: Handle, shape: Shape, parameters: Vec<u8>, stream: Handle) -> Outcome {
        let current = self.usable()?;
        let stream = self.stream(stream)?;
        let function = self.parameters(handle)?;
        if function.device != current || self.streams[&stream].device != current {
            return Err(CUresult::INVALID_HANDLE);
        }
        let (kernel, globals) = (function.kernel.clone(), function.globals.clone());
        if let Some(wrong) = objection(function, shape) {
            let text = format!("cuLaunchKernel: {}: {wrong}", kernel.name);
            return Err(self.refuse(text, CUresult::INVALID_VALUE));
        }
        let injected = self.injection.strike("launch", CUresult::LAUNCH_FAILED);
        let Shape { grid, block, dynamic_shared } = shape;
        let launch = KernelLaunch { kernel, globals, grid, block, dynamic_shared, parameters };
        self.issue(stream, Work::Kernel(Arc::new(launch)), injected)
    }
}

/// What a device would refuse, in words.
fn objection(function: &Function, shape: Shape) -> Option<String> {
    let Shape { grid, block, dynamic_shared } = shape;
    let outside =
        |sides: [u32; 3], most: [u32; 3]| sides.iter().zip(most).any(|(side, most)| *side == 0 || *side > most);
    if outside(grid, GRID) {
        return Some(format!("a grid of {grid:?} blocks, {GRID:?} at most and 1 at least"));
    }
    if outside(block, BLOCK) {
        return Some(format!("blocks of {block:?} threads, {BLOCK:?} at most and 1 at least"));
    }
    let threads = block.iter().map(|side| *side as usize).product::<usize>();
    let most = most_threads(&function.kernel).min(BLOCK_THREADS);
    if threads > most {
        return Some(format!("blocks of {threads} threads, {most} at most"));
    }
    if let Some(shape) = function.kernel.reqntid.filter(|shape| *shape != block) {
        return Some(format!("blocks of {block:?} threads, the kernel wants {shape:?}"));
    }
    if dynamic_shared as usize > function.dynamic_shared {
        let most = function.dynamic_shared;
        return Some(format!(
            "{dynamic_shared} bytes of dynamic shared memory, {most} at most: set the attribute first"
        ));
    }
    None
}
