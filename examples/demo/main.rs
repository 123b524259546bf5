//! What srupscale does to a clip: the clip at twice its size, made by a GStreamer pipeline and by `transcode`; pictures
//! beside plain resampling; and how close the clip comes to itself when it is reduced and enlarged again.

mod clip;
mod compare;
mod pipeline;
mod quality;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use srup_engine::{BackendKind, Builder, Upscaler};
use srup_examples::picture::Picture;
use srup_examples::{Ending, Failure, finish, model_help, print};

use clip::Clip;
use pipeline::Run;
use quality::Measured;

/// Output size over input size.
const SCALE: usize = 2;

const NOTES: &str = "\
`make demo IN=clip.mp4` installs and builds what this needs: ffmpeg, ffprobe, gst-launch-1.0, the plugin, and `transcode` beside
this program. An interlaced clip is deinterlaced.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong arguments.";

/// Upscales a clip to twice its size with GStreamer and with transcode; makes pictures that compare, and measures rate and quality
#[derive(Debug, Parser)]
#[command(name = "demo", version, after_help = NOTES)]
struct Arguments {
    /// The clip
    input: PathBuf,
    /// Folder for everything that is made
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// Model
    #[arg(long, default_value = srup_engine::model::DEFAULT, help = model_help())]
    model: String,
    /// Where the network runs: auto, cpu or cuda
    #[arg(long, default_value = "auto", value_parser = backend)]
    backend: BackendKind,
}

/// The reference is none of the element's.
fn backend(name: &str) -> Result<BackendKind, String> {
    let kind = name.parse()?;
    if kind == BackendKind::Reference { Err("use auto, cpu or cuda".into()) } else { Ok(kind) }
}

impl Arguments {
    /// A file in the output folder that is named after the clip.
    fn file(&self, clip: &Path, what: &str) -> PathBuf {
        self.out.join(format!("{}-{what}", clip.file_stem().unwrap_or_default().to_string_lossy()))
    }

    fn builder(&self, model: &str) -> Builder {
        Upscaler::builder().model(model).scale(SCALE).backend(self.backend)
    }
}

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<Ending, Failure> {
    std::fs::create_dir_all(&arguments.out)
        .map_err(|e| Failure::new(format_args!("{} cannot be made: {e}", arguments.out.display())))?;
    let clip = Clip::probe(&arguments.input)?;
    let name = clip.path.file_name().unwrap_or_default().to_string_lossy();
    let scan = if clip.interlaced { ", interlaced" } else { "" };
    let Clip { width, height, frames, .. } = clip;
    print(format_args!("{name}: {width}x{height}{scan}, {frames} frames; model {}", arguments.model));

    let frames = frames as u64;
    let runs = [
        stage("1/4 gst-launch-1.0", frames, |bar| pipeline::gstreamer(&clip, arguments, bar))?,
        stage("2/4 transcode", frames, |bar| pipeline::transcode(&clip, arguments, bar))?,
    ];
    let pictures = stage("3/4 pictures", 0, |bar| pictures(&clip, arguments, bar))?;
    let models = [arguments.model.as_str(), "lanczos", "bicubic"].map(|model| arguments.builder(model));
    let measured = stage("4/4 quality", 0, |bar| quality::measure(&clip, &models, bar))?;

    let report = report(&runs, &measured);
    print(format_args!("\n{report}"));
    let file = arguments.file(&clip.path, "report.txt");
    std::fs::write(&file, report)
        .map_err(|e| Failure::new(format_args!("{} cannot be written: {e}", file.display())))?;
    print("files:");
    for path in runs.iter().map(|run| &run.clip.path).chain(&pictures).chain([&file]) {
        print(format_args!("  {}", path.display()));
    }
    Ok(Ending::Done)
}

/// Runs a part of the demo under a progress bar.
fn stage<T>(
    name: &'static str,
    length: u64,
    work: impl FnOnce(&ProgressBar) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let style = ProgressStyle::with_template("{prefix:20} {spinner} {bar:30} {pos:>5}/{len} {elapsed}")
        .map_err(Failure::new)?;
    let bar = ProgressBar::new(length).with_style(style).with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    let result = work(&bar);
    if result.is_ok() {
        bar.finish()
    } else {
        bar.abandon()
    }
    result
}

/// Before and after at full size, and the clip reduced and enlarged again beside what it was.
fn pictures(clip: &Clip, arguments: &Arguments, bar: &ProgressBar) -> Result<Vec<PathBuf>, Failure> {
    let frame = compare::middle_frame(clip)?;
    let ours = format!("srupscale {}", arguments.model);
    let (plain, network) = (arguments.builder("bicubic"), arguments.builder(&arguments.model));
    let ways = [("bicubic", &plain), (ours.as_str(), &network)];
    let save = |picture: &Picture, what| {
        let path = arguments.file(&clip.path, what);
        picture.save(&path).map(|()| path)
    };
    bar.set_length(2 * ways.len() as u64);
    let after = compare::side_by_side(&frame, &ways, None, bar)?;
    let original = frame.multiple_of(SCALE);
    let restored = compare::side_by_side(&original.reduced(SCALE), &ways, Some(("original", &original)), bar)?;
    Ok(vec![save(&after, "before-after.png")?, save(&restored, "restored.png")?])
}

fn report(runs: &[Run], measured: &Measured) -> String {
    let mut text = format!("{:16} {:>7} {:>9} {:>8} {:>8}\n", "2x enlargement", "frames", "size", "seconds", "fps");
    for run in runs {
        let (clip, seconds) = (&run.clip, run.elapsed.as_secs_f64());
        let size = format!("{}x{}", clip.width, clip.height);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:16} {:>7} {size:>9} {seconds:>8.2} {:>8.1}",
            run.program,
            clip.frames,
            clip.frames as f64 / seconds
        );
    }
    let input = &measured.input;
    let _ = writeln!(
        text,
        "\nReduced to {}x{} and enlarged again, luma against the original, {} frames:\n{:16} {:>8} {:>7} {:>12}",
        input.width, input.height, measured.frames, "model", "PSNR dB", "SSIM", "ms a frame"
    );
    for row in &measured.rows {
        let _ = writeln!(text, "{:16} {:>8.2} {:>7.4} {:>12.2}", row.model, row.psnr, row.ssim, row.ms);
    }
    text
}
