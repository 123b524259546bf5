//! A place for one frame in flight: bytes go up, kernels run, bytes come down, all asked for by one call.

use std::sync::Arc;

use cudarc::driver::{CudaStream, result, sys};

use crate::error::Context;
use crate::graph::{Event, Graph, Timing};
use crate::launch::Launch;
use crate::memory::{Buffer, Pinned, Use};
use crate::{Device, Error};

/// Whether a program is captured as a graph or issued call by call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// One driver call a frame.
    Graph,
    /// One driver call a kernel, which profilers and debuggers show better.
    Calls,
}

/// A stream, pinned memory for what goes up and comes down, and the programs that run in between.
///
/// A frame: fill [`Slot::input`], [`Slot::start`], and later [`Slot::finish`] for the result. Nothing is allocated and
/// nothing but this slot's own work is waited for. Slots of one device run side by side.
#[derive(Debug)]
pub struct Slot {
    device: Device,
    stream: Arc<CudaStream>,
    done: Event,
    input: Pinned,
    output: Pinned,
    device_input: Buffer,
    device_output: Buffer,
    issue: Issue,
    programs: Vec<Program>,
    busy: bool,
}

#[derive(Debug)]
struct Program {
    launches: Vec<Launch>,
    graph: Option<Graph>,
}

impl Slot {
    /// A slot that copies its input to `device_input` and its output from `device_output`, whole.
    ///
    /// # Errors
    /// [`Error::Memory`] if that much memory cannot be pinned, or what the driver says.
    pub fn new(device: &Device, device_input: Buffer, device_output: Buffer, issue: Issue) -> Result<Self, Error> {
        device.bind()?;
        Ok(Self {
            stream: device.stream()?,
            done: Event::new(device, Timing::Off)?,
            input: Pinned::new(device, device_input.bytes(), Use::Upload)?,
            output: Pinned::new(device, device_output.bytes(), Use::Download)?,
            device: device.clone(),
            device_input,
            device_output,
            issue,
            programs: Vec::new(),
            busy: false,
        })
    }

    /// Adds a program; its number is for [`Slot::start`]. The launches run in their order.
    ///
    /// # Errors
    /// What the driver says.
    pub fn add(&mut self, launches: Vec<Launch>) -> Result<usize, Error> {
        self.device.bind()?;
        let graph = match self.issue {
            Issue::Graph => Some(Graph::capture(&self.device, &self.stream, || self.issue_all(&launches))?),
            Issue::Calls => None,
        };
        self.programs.push(Program { launches, graph });
        Ok(self.programs.len() - 1)
    }

    fn issue_all(&self, launches: &[Launch]) -> Result<(), Error> {
        let stream = self.stream.cu_stream();
        if self.input.bytes() > 0 {
            // SAFETY: both sides are this slot's own and equally long. Until `finish` has waited for the copy, nobody gets
            // at the pinned side.
            let from = unsafe { self.input.as_slice() };
            // SAFETY: as above.
            unsafe { result::memcpy_htod_async(self.device_input.address(), from, stream) }.during("copying up")?;
        }
        for launch in launches {
            launch.issue(&self.stream)?;
        }
        if self.output.bytes() > 0 {
            // SAFETY: both sides are this slot's own and equally long. Until `finish` has waited for the copy, nobody
            // gets at the pinned side; the raw call takes a pointer, so that no reference to it exists meanwhile.
            unsafe {
                sys::cuMemcpyDtoHAsync_v2(
                    self.output.pointer().cast(),
                    self.device_output.address(),
                    self.output.bytes(),
                    stream,
                )
            }
            .result()
            .during("copying down")?;
        }
        Ok(())
    }

    /// The bytes that go up with the next frame. Waits for the frame in flight, if there is one.
    ///
    /// # Errors
    /// What went wrong in the frame in flight.
    pub fn input(&mut self) -> Result<&mut [u8], Error> {
        self.wait()?;
        // SAFETY: nothing is in flight.
        Ok(unsafe { self.input.as_mut_slice() })
    }

    /// Starts a program and returns at once.
    ///
    /// # Errors
    /// What the driver says; or what went wrong in the frame in flight, which is waited for.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start(&mut self, program: usize) -> Result<(), Error> {
        self.wait()?;
        self.device.bind()?;
        let program = &self.programs[program];
        // Before anything is issued: where a later call fails, earlier ones may still be running.
        self.busy = true;
        match &program.graph {
            Some(graph) => graph.launch(&self.stream)?,
            None => self.issue_all(&program.launches)?,
        }
        self.done.record(&self.stream)
    }

    /// Waits for the frame in flight and gives the bytes that came down.
    ///
    /// # Errors
    /// What went wrong in it.
    pub fn finish(&mut self) -> Result<&[u8], Error> {
        self.wait()?;
        // SAFETY: nothing is in flight.
        Ok(unsafe { self.output.as_slice() })
    }

    fn wait(&mut self) -> Result<(), Error> {
        if self.busy {
            self.device.bind()?;
            self.done.synchronize("running a frame")?;
            self.busy = false;
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.busy {
            let _ = self.device.bind();
            // Pinned memory must not be freed under a copy. If waiting fails the context is gone, and its copies too.
            let _ = self.stream.synchronize();
        }
    }
}
