//! How close the enlarged clip comes to the original, when it is reduced to half its size first.

use std::time::Duration;

use indicatif::ProgressBar;
use srup_engine::frame::{Frame, PixelFormat, VideoInfo};
use srup_engine::{Builder, Upscaler};
use srup_examples::Failure;
use srup_examples::metrics::{self, Luma, SSIM_WINDOW};

use crate::SCALE;
use crate::clip::{Clip, Frames};

/// More frames than this say hardly more: of a longer clip every second, third ... frame is taken.
const MEASURED: usize = 120;

/// Figures of one way to enlarge.
#[derive(Clone, Debug)]
pub struct Quality {
    /// Name of the model.
    pub model: String,
    /// PSNR in dB of the mean squared error over all frames.
    pub psnr: f64,
    /// Mean SSIM.
    pub ssim: f64,
    /// Median time that the engine took for a frame, in milliseconds.
    pub ms: f64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Description of the reduced frames.
    pub input: VideoInfo,
    /// How many frames.
    pub frames: usize,
    /// In the order of the builders.
    pub rows: Vec<Quality>,
}

/// Measures the models on luma, without the pixels at the very border.
///
/// # Errors
/// One line: the clip is too small or gives no frames, or the engine's error.
pub fn measure(clip: &Clip, builders: &[Builder], bar: &ProgressBar) -> Result<Measured, Failure> {
    let (width, height) = (clip.width / SCALE * SCALE, clip.height / SCALE * SCALE);
    let least = SSIM_WINDOW + 2 * SCALE;
    if width < least || height < least {
        return Err(Failure::new(format_args!(
            "{}x{} is too small to measure: {least} pixels a side are needed",
            clip.width, clip.height
        )));
    }
    let whole = VideoInfo::new(PixelFormat::I420, width, height, clip.colour)?;
    let half = VideoInfo { width: width / SCALE, height: height / SCALE, ..whole };
    let step = clip.frames.div_ceil(MEASURED);
    let original = format!("select=not(mod(n\\,{step})),format=yuv420p,crop={width}:{height}:0:0");
    // Cubic with a = -0.5, widened for the reduction: the kernel that the networks were trained for.
    let reduced = format!(
        "{original},scale={}:{}:flags=bicubic+accurate_rnd+full_chroma_inp:param0=0:param1=0.5",
        half.width, half.height
    );
    let mut originals = Frames::open(clip, &original, whole)?;
    let mut inputs = Frames::open(clip, &reduced, half)?;
    let mut ways = builders.iter().map(|builder| Way::new(builder, &half)).collect::<Result<Vec<_>, _>>()?;
    bar.set_length(clip.frames.div_ceil(step) as u64);
    let (mut truth, mut input) = (Frame::new(originals.info()), Frame::new(inputs.info()));
    while originals.read(&mut truth) && inputs.read(&mut input) {
        let truth = luma(&truth);
        ways.iter_mut().try_for_each(|way| way.add(&input, &truth))?;
        bar.inc(1);
    }
    let frames = ways.iter().map(|way| way.errors.len()).max().unwrap_or(0);
    if frames == 0 {
        return Err(Failure::new(format_args!("ffmpeg can decode no frame of {}", clip.path.display())));
    }
    Ok(Measured { input: half, frames, rows: ways.into_iter().map(Way::finish).collect() })
}

struct Way {
    upscaler: Upscaler,
    output: Frame,
    model: String,
    errors: Vec<f64>,
    similarities: Vec<f64>,
    times: Vec<Duration>,
}

impl Way {
    fn new(builder: &Builder, input: &VideoInfo) -> Result<Self, Failure> {
        let upscaler = builder.build(input)?;
        let output = Frame::new(upscaler.output_info());
        let (errors, similarities, times) = Default::default();
        Ok(Self { upscaler, output, model: String::new(), errors, similarities, times })
    }

    fn add(&mut self, input: &Frame, truth: &Luma) -> Result<(), Failure> {
        let report = self.upscaler.process(&input.view(), &mut self.output.view_mut())?;
        let own = luma(&self.output);
        self.model = report.model;
        self.errors.push(metrics::squared_error(truth, &own));
        self.similarities.push(metrics::ssim(truth, &own));
        self.times.push(report.elapsed);
        Ok(())
    }

    fn finish(self) -> Quality {
        let ms: Vec<f64> = self.times.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
        Quality {
            model: self.model,
            psnr: metrics::decibels(metrics::mean(self.errors)),
            ssim: metrics::mean(self.similarities),
            ms: metrics::median(&ms),
        }
    }
}

fn luma(frame: &Frame) -> Luma {
    let (codes, stride) = frame.plane(0);
    Luma::from_codes(frame.info().width, frame.info().height, codes, stride).without_border(SCALE)
}
