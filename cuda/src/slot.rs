//! A place for one frame in flight: bytes go up, kernels run, bytes come down, all asked for by one call.

use cudarc::driver::{result, sys};

use crate::error::Context;
use crate::graph::{Event, Graph, Timing};
use crate::launch::Launch;
use crate::memory::{Buffer, Pinned, Use};
use crate::stream::Stream;
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
    stream: Stream,
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
        let _bound = device.bind()?;
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
        let _bound = self.device.bind()?;
        let graph = match self.issue {
            Issue::Graph => Some(Graph::capture(&self.device, &self.stream, || self.issue_all(&launches))?),
            Issue::Calls => None,
        };
        self.programs.push(Program { launches, graph });
        Ok(self.programs.len() - 1)
    }

    fn issue_all(&self, launches: &[Launch]) -> Result<(), Error> {
        let stream = self.stream.handle();
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
    /// What the driver says; or what went wrong in the frame in flight, which is waited for. Nothing runs then.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start(&mut self, program: usize) -> Result<(), Error> {
        self.wait()?;
        let _bound = self.device.bind()?;
        let program = &self.programs[program];
        let issued = match &program.graph {
            Some(graph) => graph.launch(&self.stream),
            None => self.issue_all(&program.launches),
        };
        let started = issued.and_then(|()| self.done.record(&self.stream));
        // Where one call fails, what others issued may still run, and the event tells of an earlier frame.
        self.busy = started.is_ok() || self.stream.synchronize("waiting for a frame").is_err();
        started
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
            let _bound = self.device.bind()?;
            self.done.synchronize("running a frame")?;
            self.busy = false;
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.busy {
            let _bound = self.device.bind();
            // Pinned memory must not be freed under a copy. If waiting fails the context is gone, and its copies too.
            let _ = self.stream.synchronize("waiting for a frame");
        }
    }
}

#[cfg(test)]
mod tests {
    use ptx_standin::harness;

    use super::*;

    #[test]
    fn nothing_runs_after_a_failed_start() {
        // The second frame's event is not recorded, but its graph was launched.
        let variables = [("SRUP_STANDIN_FAIL", "cuEventRecord:2"), ("SRUP_STANDIN_ORDER", "lazy")];
        if let Some(outcome) = harness::rerun("slot::tests::nothing_runs_after_a_failed_start", &variables) {
            assert_eq!(outcome.report.injected.len(), 1);
            return outcome.assert_clean();
        }
        if harness::is_real() {
            return println!("not on a real device: no fault can be planted");
        }
        let device = Device::open(0).unwrap();
        let buffer = Buffer::new(&device, 4).unwrap();
        let mut slot = Slot::new(&device, buffer.clone(), buffer, Issue::Graph).unwrap();
        let program = slot.add(Vec::new()).unwrap();
        slot.input().unwrap().fill(1);
        slot.start(program).unwrap();
        assert_eq!(slot.finish().unwrap(), [1; 4]);
        slot.input().unwrap().fill(2);
        slot.start(program).unwrap_err();
        assert_eq!(slot.finish().unwrap(), [2; 4], "it came down before the error was told");
    }
}
