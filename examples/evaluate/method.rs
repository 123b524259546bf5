//! One way to enlarge a picture, as it is evaluated.

use std::time::Duration;

use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::{self, Model};
use srup_engine::{BackendKind, Builder, Error, Precision, Upscaler};
use srup_examples::metrics::{Luma, median};
use srup_examples::{Failure, tell};

use crate::args::Arguments;
use crate::degrade::Reduced;

/// Plain resampling, always there to compare with. Lanczos comes first: the others are held against it.
pub const BASELINES: [&str; 2] = ["lanczos", "bicubic"];

/// The baselines, then the models asked for: those that are named, else every built-in one that can be had.
///
/// # Errors
/// One line from the engine.
pub fn methods(arguments: &Arguments) -> Result<Vec<Method>, Failure> {
    let scale = usize::from(arguments.scale);
    let open = |name: &str| Method::open(name, scale, arguments.backend, arguments.precision);
    let mut methods = BASELINES.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
    if arguments.model.is_empty() {
        methods.extend(builtin(scale, open)?);
    }
    for name in arguments.model.iter().filter(|name| !BASELINES.contains(&name.as_str())) {
        methods.push(open(name)?);
    }
    Ok(methods)
}

/// The built-in models for a scale. A backend or a precision that is asked for does not go with all of them; those that
/// are refused are noted.
///
/// # Errors
/// All are refused.
fn builtin(scale: usize, open: impl Fn(&str) -> Result<Method, Failure>) -> Result<Vec<Method>, Failure> {
    let (mut methods, mut refusals) = (Vec::new(), Vec::new());
    for model in model::builtin().into_iter().filter(|model| model.scale == scale) {
        match open(model.name) {
            Ok(method) => methods.push(Method { optional: true, ..method }),
            Err(failure) => refusals.push((model.name, failure)),
        }
    }
    match refusals.first() {
        _ if !methods.is_empty() => {}
        Some((name, failure)) => {
            return Err(Failure::new(format_args!("no built-in model can be measured so; {name}: {failure}")));
        }
        None => {
            tell(format_args!("note: no built-in model has scale {scale}: plain resampling alone is measured"));
        }
    }
    for (name, failure) in refusals {
        tell(format_args!("note: {name} is left out: {failure}"));
    }
    Ok(methods)
}

/// Runs faster than this are repeated, for one run alone says little.
const SURE: Duration = Duration::from_millis(500);
/// So many times at least, and for so long: the median is then hardly moved by what else the machine does.
const REPEATS: usize = 4;
const ENOUGH: Duration = Duration::from_millis(100);

/// Side of the frames for which a method is asked what it runs on: its pictures are not known yet.
const SMALL: usize = 16;

/// What goes into the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    /// Rounded luma codes of BT.601, as a grey frame.
    Luma,
    /// The RGB picture; luma is taken of the rounded RGB that comes out.
    Rgb,
}

impl Feed {
    /// Frames of that size.
    fn info(self, width: usize, height: usize) -> Result<VideoInfo, Error> {
        let format = match self {
            Self::Luma => PixelFormat::Gray8,
            Self::Rgb => PixelFormat::Rgb,
        };
        VideoInfo::new(format, width, height, Colour::default())
    }
}

/// A network or a plain resampler with everything that it needs.
pub struct Method {
    /// Name of the model.
    pub name: String,
    /// Number of trained parameters, 0 for a plain resampler.
    pub parameters: usize,
    /// In which numbers, and on what.
    pub engine: String,
    /// Makes upscalers for it.
    pub builder: Builder,
    /// Whether it is left out, rather than an error, where it cannot be had: nobody named it.
    pub optional: bool,
    feed: Feed,
}

/// What came of one picture.
pub struct Outcome {
    /// Luma of the enlarged picture, rounded as the format that came out demands.
    pub luma: Luma,
    /// Milliseconds that a million output pixels took, median of the runs.
    pub ms_per_mp: f64,
}

impl Method {
    /// Opens the model for that scale.
    ///
    /// # Errors
    /// One line from the engine.
    pub fn open(model: &str, scale: usize, backend: BackendKind, precision: Precision) -> Result<Self, Failure> {
        let opened = Model::open(model, scale)?;
        let feed = match &opened {
            Model::Network(network) if network.channels == 1 => Feed::Luma,
            Model::Network(_) | Model::Resample(_) => Feed::Rgb,
        };
        let builder = Upscaler::builder().model(model).scale(scale).backend(backend).precision(precision);
        let engine = builder.build(&feed.info(SMALL, SMALL)?)?.describe().to_owned();
        Ok(Self {
            name: opened.name().to_owned(),
            parameters: opened.parameters(),
            engine,
            optional: false,
            feed,
            builder,
        })
    }

    /// Enlarges a picture.
    ///
    /// # Errors
    /// One line from the engine.
    pub fn run(&self, reduced: &Reduced) -> Result<Outcome, Failure> {
        self.enlarge(reduced).map_err(|e| Failure::new(format_args!("{}: {e}", self.name)))
    }

    fn enlarge(&self, reduced: &Reduced) -> Result<Outcome, Error> {
        let info = self.feed.info(reduced.picture.width, reduced.picture.height)?;
        let mut upscaler = self.builder.build(&info)?;
        let mut input = Frame::new(&info);
        input.plane_mut(0).0.copy_from_slice(match self.feed {
            Feed::Luma => &reduced.luma,
            Feed::Rgb => &reduced.picture.rgb,
        });
        let mut output = Frame::new(upscaler.output_info());
        let ms = time(&mut upscaler, &input, &mut output)?;
        let VideoInfo { width, height, .. } = *upscaler.output_info();
        let luma = match self.feed {
            Feed::Luma => Luma::of_frame(&output),
            Feed::Rgb => Luma::from_rgb8(width, height, output.plane(0).0),
        };
        Ok(Outcome { luma, ms_per_mp: ms * 1e6 / (width * height) as f64 })
    }
}

/// Milliseconds that the frame takes, median of some runs; leaves its result in `output`.
///
/// # Errors
/// The engine's.
pub fn time(upscaler: &mut Upscaler, input: &Frame, output: &mut Frame) -> Result<f64, Error> {
    let mut run = || Ok::<_, Error>(upscaler.process(&input.view(), &mut output.view_mut())?.elapsed);
    let mut elapsed = vec![run()?];
    // The first run, which also touches fresh memory, counts only where more would take too long.
    if elapsed[0] < SURE {
        elapsed.clear();
        while elapsed.len() < REPEATS || elapsed.iter().sum::<Duration>() < ENOUGH {
            elapsed.push(run()?);
        }
    }
    Ok(median(&elapsed.iter().map(|time| 1e3 * time.as_secs_f64()).collect::<Vec<_>>()))
}
