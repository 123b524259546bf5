//! One way to enlarge a picture, as it is evaluated.

use std::time::Duration;

use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::{BackendKind, Builder, Precision, Upscaler};
use srup_examples::Failure;
use srup_examples::metrics::{Luma, median};
use srup_examples::picture::Picture;

/// Runs faster than this are repeated, for one run alone says little.
const SURE: Duration = Duration::from_millis(500);
const REPEATS: usize = 4;

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
    fn info(self, width: usize, height: usize) -> Result<VideoInfo, srup_engine::Error> {
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
    feed: Feed,
    builder: Builder,
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
        Ok(Self { name: opened.name().to_owned(), parameters: opened.parameters(), engine, feed, builder })
    }

    /// Enlarges a picture.
    ///
    /// # Errors
    /// One line from the engine.
    pub fn run(&self, picture: &Picture) -> Result<Outcome, Failure> {
        self.enlarge(picture).map_err(|e| Failure::new(format_args!("{}: {e}", self.name)))
    }

    fn enlarge(&self, picture: &Picture) -> Result<Outcome, srup_engine::Error> {
        let info = self.feed.info(picture.width, picture.height)?;
        let mut upscaler = self.builder.build(&info)?;
        let mut input = Frame::new(&info);
        match self.feed {
            Feed::Luma => {
                let codes = picture.luma().data;
                input.plane_mut(0).0.iter_mut().zip(codes).for_each(|(code, y)| *code = y.round() as u8);
            }
            Feed::Rgb => input.plane_mut(0).0.copy_from_slice(&picture.rgb),
        }
        let mut output = Frame::new(upscaler.output_info());
        let mut elapsed = vec![upscaler.process(&input.view(), &mut output.view_mut())?.elapsed];
        // The first run, which also touches fresh memory, counts only where more would take too long.
        if elapsed[0] < SURE {
            elapsed.clear();
            for _ in 0..REPEATS {
                elapsed.push(upscaler.process(&input.view(), &mut output.view_mut())?.elapsed);
            }
        }
        let ms: Vec<f64> = elapsed.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
        let VideoInfo { width, height, .. } = *upscaler.output_info();
        let (bytes, stride) = output.plane(0);
        let luma = match self.feed {
            Feed::Luma => Luma::from_codes(width, height, bytes, stride),
            Feed::Rgb => Luma::from_rgb8(width, height, bytes),
        };
        Ok(Outcome { luma, ms_per_mp: median(&ms) * 1e6 / (width * height) as f64 })
    }
}
