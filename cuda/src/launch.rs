//! One run of a kernel, ready to be issued as often as wanted.

use std::ffi::c_void;

use cudarc::driver::result;

use crate::error::Context;
use crate::graph::{Event, Graph, Timing};
use crate::memory::Buffer;
use crate::module::{Function, Source};
use crate::stream::Stream;
use crate::{Device, Error};

/// The most arguments of a kernel.
const MAX_ARGUMENTS: usize = 32;

/// Arguments begin at multiples of this, the largest alignment of a kernel's parameter.
const ARGUMENT_ALIGNMENT: usize = 16;

/// A kernel with its grid and arguments. Keeps the buffers that it uses.
#[derive(Clone, Debug)]
pub struct Launch {
    name: &'static str,
    function: Function,
    grid: [u32; 3],
    block: u32,
    shared: u32,
    /// The arguments, each at a multiple of [`ARGUMENT_ALIGNMENT`].
    words: Vec<u128>,
    /// Where each argument begins, in words.
    starts: Vec<usize>,
    _buffers: Vec<Buffer>,
}

/// Collects what a kernel takes, in the order of its parameters.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    words: Vec<u128>,
    starts: Vec<usize>,
    buffers: Vec<Buffer>,
}

impl Arguments {
    /// A number, or a structure that the kernel knows in the same layout.
    pub(crate) fn value<T: bytemuck::NoUninit>(mut self, value: T) -> Self {
        let bytes = bytemuck::bytes_of(&value);
        self.starts.push(self.words.len());
        for part in bytes.chunks(ARGUMENT_ALIGNMENT) {
            let mut word = [0; ARGUMENT_ALIGNMENT];
            word[..part.len()].copy_from_slice(part);
            self.words.push(u128::from_ne_bytes(word));
        }
        self
    }

    /// The address of a buffer, which the launch keeps.
    pub(crate) fn buffer(self, buffer: &Buffer) -> Self {
        let address = buffer.address();
        self.keep(buffer).value(address)
    }

    /// Keeps a buffer whose address is part of a structure.
    pub(crate) fn keep(mut self, buffer: &Buffer) -> Self {
        self.buffers.push(buffer.clone());
        self
    }
}

impl Launch {
    /// A run of kernel `name` of a file. `shared` is dynamic shared memory in bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the grid or the shared memory is beyond the device, [`Error::Kernels`] if it cannot be loaded.
    pub(crate) fn new(
        device: &Device,
        (source, name): (&'static Source, &'static str),
        grid: [u32; 3],
        block: u32,
        shared: u32,
        arguments: Arguments,
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Err(Error::Shape { kernel: name, reason });
        if grid[0] == 0 || grid.contains(&0) || grid[1] > 0xffff || grid[2] > 0xffff {
            return refuse(format!("a grid of {grid:?} blocks cannot be launched"));
        }
        let limit = device.shared_limit();
        if shared > limit {
            return refuse(format!("it needs {shared} bytes of shared memory, a block has {limit} here"));
        }
        assert!(arguments.starts.len() <= MAX_ARGUMENTS, "{name} has too many arguments");
        let _bound = device.bind()?;
        let function = device.function(source, name)?;
        function.allow_shared(shared)?;
        let Arguments { words, starts, buffers } = arguments;
        Ok(Self { name, function, grid, block, shared, words, starts, _buffers: buffers })
    }

    /// The kernel's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Issues it; the context must be bound.
    pub(crate) fn issue(&self, stream: &Stream) -> Result<(), Error> {
        let mut pointers = [std::ptr::null_mut::<c_void>(); MAX_ARGUMENTS];
        for (pointer, &start) in pointers.iter_mut().zip(&self.starts) {
            // The driver reads arguments only.
            *pointer = (&raw const self.words[start]).cast_mut().cast();
        }
        let [x, y, z] = self.grid;
        // SAFETY: each pointer leads to an argument of the type that the kernel has in that place, as the typed functions
        // of this crate see to; the driver copies them before it returns. The buffers that the kernel touches live as
        // long as this launch, and freeing them waits for the device.
        unsafe {
            result::launch_kernel(
                self.function.handle(),
                (x, y, z),
                (self.block, 1, 1),
                self.shared,
                stream.handle(),
                &mut pointers[..self.starts.len()],
            )
        }
        .during("starting a kernel")
    }
}

/// Runs launches one after another and waits for them: for tests and preparation, not for frames.
///
/// # Errors
/// What the driver says.
pub fn run(device: &Device, launches: &[Launch]) -> Result<(), Error> {
    let _bound = device.bind()?;
    let stream = device.stream()?;
    for launch in launches {
        launch.issue(&stream)?;
    }
    stream.synchronize("running kernels")
}

/// Milliseconds on the device that launches take one after another, started as one graph: one figure a repetition.
///
/// # Errors
/// What the driver says.
pub fn time(device: &Device, launches: &[Launch], repetitions: usize) -> Result<Vec<f32>, Error> {
    let _bound = device.bind()?;
    let stream = device.stream()?;
    let issue = || launches.iter().try_for_each(|launch| launch.issue(&stream));
    let graph = Graph::capture(device, &stream, issue)?;
    let (start, end) = (Event::new(device, Timing::On)?, Event::new(device, Timing::On)?);
    (0..repetitions)
        .map(|_| {
            start.record(&stream)?;
            graph.launch(&stream)?;
            end.record(&stream)?;
            end.synchronize("timing kernels")?;
            start.elapsed(&end)
        })
        .collect()
}
