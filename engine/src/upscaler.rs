//! The one door into the engine: frames in, better frames out.

use std::time::{Duration, Instant};

use crate::backend::{self, Lane};
use crate::frame::{FrameMut, FrameRef, VideoInfo};
use crate::model::Model;
use crate::{BackendKind, Error, Precision};

/// What was done for one frame.
#[derive(Clone, Debug)]
pub struct Report {
    /// The model that made the frame.
    pub model: String,
    /// Time from the call to the finished frame.
    pub elapsed: Duration,
}

/// Chooses what an [`Upscaler`] does.
#[derive(Clone, Debug)]
pub struct Builder {
    model: String,
    scale: usize,
    backend: BackendKind,
    precision: Precision,
    threads: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self { model: "luma-s".into(), scale: 2, backend: BackendKind::Auto, precision: Precision::Auto, threads: 0 }
    }
}

impl Builder {
    /// A built-in model's name, `bicubic`, `lanczos`, or the path of a `.safetensors` file. Default `luma-s`.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// Output size over input size: 2, 3 or 4. Default 2.
    #[must_use]
    pub fn scale(mut self, scale: usize) -> Self {
        self.scale = scale;
        self
    }

    /// Where the network runs. Default [`BackendKind::Auto`].
    #[must_use]
    pub fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = backend;
        self
    }

    /// In which numbers. Default [`Precision::Auto`].
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// CPU threads; 0, the default, takes as many as the process may use. The picture does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Loads the model and prepares everything for frames of that description.
    ///
    /// # Errors
    /// An unknown model or scale, a damaged weights file, a size out of range, a missing backend, too little memory.
    pub fn build(&self, input: &VideoInfo) -> Result<Upscaler, Error> {
        let output = input.scaled(self.scale)?;
        let model = Model::open(&self.model, self.scale)?;
        let name = model.name().to_owned();
        let plan = backend::Plan { ladder: vec![model], input: *input, output, precision: self.precision };
        let (backend, lane) = backend::lane(self.backend, self.threads, None, &plan)?;
        let description = plan.describe(&*backend)?;
        Ok(Upscaler { input: *input, output, model: name, description, lane })
    }
}

/// Upscales frames of one description. Make a new one when the stream's format, size or colour changes.
pub struct Upscaler {
    input: VideoInfo,
    output: VideoInfo,
    model: String,
    description: String,
    lane: Box<dyn Lane>,
}

impl Upscaler {
    /// Starts with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What goes in.
    pub fn input_info(&self) -> &VideoInfo {
        &self.input
    }

    /// What comes out: the same format and colour, `scale` times the size.
    pub fn output_info(&self) -> &VideoInfo {
        &self.output
    }

    /// Model, in which numbers it is computed, scale, backend, instruction set and threads, in words.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Upscales one frame.
    ///
    /// # Errors
    /// [`Error::FrameMismatch`] if a frame is not what the upscaler was built for; the backend's own errors.
    pub fn process(&mut self, input: &FrameRef<'_>, output: &mut FrameMut<'_>) -> Result<Report, Error> {
        check(&self.input, input.info())?;
        check(&self.output, output.info())?;
        let start = Instant::now();
        self.lane.process(0, input, output)?;
        Ok(Report { model: self.model.clone(), elapsed: start.elapsed() })
    }
}

/// Refuses a frame of another description.
pub(crate) fn check(expected: &VideoInfo, found: &VideoInfo) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let text = |i: &VideoInfo| format!("{} {}x{} {:?}", i.format, i.width, i.height, i.colour);
    Err(Error::FrameMismatch { expected: text(expected), found: text(found) })
}
