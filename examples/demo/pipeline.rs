//! The clip through the two programs that people use: a GStreamer pipeline, and `transcode`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use srup_examples::Failure;

use crate::clip::{Clip, missing};
use crate::{Arguments, SCALE};

/// What a program made of the clip.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name of the program.
    pub program: &'static str,
    /// The file that it wrote, as the clip that it is.
    pub clip: Clip,
    /// From start to end, decoding and encoding included.
    pub elapsed: Duration,
}

/// Upscales with `gst-launch-1.0` and the element `srupscale`.
///
/// # Errors
/// One line: the element is not found, or what GStreamer says.
pub fn gstreamer(clip: &Clip, arguments: &Arguments, bar: &ProgressBar) -> Result<Run, Failure> {
    let plugins = plugin_path();
    let mut inspect = Command::new("gst-inspect-1.0");
    inspect.arg("srupscale").env("GST_PLUGIN_PATH", &plugins).stdout(Stdio::null()).stderr(Stdio::null());
    // This also fills the registry, which is no part of the run that is timed.
    if !inspect.status().map_err(|e| missing("gst-inspect-1.0", &e))?.success() {
        let folder = plugins.display();
        return Err(Failure::new(format_args!(
            "GStreamer finds no element srupscale in {folder}: build it with 'make build', or set GST_PLUGIN_PATH"
        )));
    }
    let output = arguments.file(&clip.path, "gstreamer.mkv");
    let mut launch = Command::new("gst-launch-1.0");
    launch.arg("-q").arg("filesrc").arg(format!("location={}", clip.path.display()));
    launch.args(["!", "decodebin", "!", "queue", "!", "videoconvert"]);
    // Progressive frames pass through it as they are; of fields it makes a frame for each frame.
    launch.args(["!", "deinterlace", "fields=top", "!", "srupscale"]);
    launch.arg(format!("model={}", arguments.model)).arg(format!("scale-factor={SCALE}"));
    launch.arg(format!("backend={}", arguments.backend.name()));
    launch.args(["!", "progressreport", "update-freq=1", "!", "queue", "!", "videoconvert"]);
    launch.args(["!", "x264enc", "speed-preset=veryfast", "!", "matroskamux", "!", "filesink"]);
    launch.arg(format!("location={}", output.display())).env("GST_PLUGIN_PATH", &plugins);
    // These break off on files that announce transparency and have none; without them the picture decodes as it is.
    launch.env("GST_PLUGIN_FEATURE_RANK", "vp8alphadecodebin:NONE,vp9alphadecodebin:NONE");
    let frames = clip.frames as f64;
    let elapsed = run("gst-launch-1.0", launch, &output, |line| {
        if let Some(share) = progress(line) {
            bar.set_position((share * frames) as u64);
        }
    })?;
    Ok(Run { program: "gst-launch-1.0", clip: Clip::probe(&output)?, elapsed })
}

/// Upscales with the example `transcode`, which lies beside this program.
///
/// # Errors
/// One line: what `transcode` says.
pub fn transcode(clip: &Clip, arguments: &Arguments, bar: &ProgressBar) -> Result<Run, Failure> {
    let program = own_folder().join("transcode");
    let output = arguments.file(&clip.path, "transcode.mkv");
    let mut command = Command::new(&program);
    command.arg(&clip.path).arg(&output).args(["--model", &arguments.model, "--scale", &SCALE.to_string()]);
    command.args(["--backend", arguments.backend.name(), "--preset", "veryfast"]);
    if clip.interlaced {
        command.arg("--deinterlace");
    }
    let elapsed = run("transcode", command, &output, |line| {
        if let Some(done) = frames_done(line) {
            bar.set_position(done);
        }
    })?;
    Ok(Run { program: "transcode", clip: Clip::probe(&output)?, elapsed })
}

/// Runs a program to its end, handing over each line that it prints.
fn run(name: &str, mut command: Command, output: &Path, mut line: impl FnMut(&str)) -> Result<Duration, Failure> {
    // A file of an earlier run must not be taken for the result of this one.
    match std::fs::remove_file(output) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::new(format_args!("{} cannot be replaced: {e}", output.display())));
        }
        _ => {}
    }
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| missing(name, &e))?;
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender);
    }
    let mut said = Vec::new();
    for text in lines {
        line(&text);
        said.push(text);
    }
    let status = child.wait().map_err(|e| missing(name, &e))?;
    if !status.success() {
        return Err(Failure::new(format_args!("{name}: {}", reason(&said))));
    }
    Ok(start.elapsed())
}

/// Hands over the lines of a stream until it ends, on a thread of its own.
fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// The line of a program's output that says what is wrong: the first that names an error, else the last.
fn reason(said: &[String]) -> &str {
    let named = said.iter().find(|line| line.to_ascii_lowercase().contains("error"));
    named.or_else(|| said.last()).map_or("it failed without a word", String::as_str)
}

/// The share in a line of `progressreport`, 0 to 1: `progressreport0 (00:00:01): 3 / 10 seconds (30.0 %)`.
fn progress(line: &str) -> Option<f64> {
    let (_, share) = line.strip_suffix("%)").and_then(|line| line.rsplit_once('('))?;
    share.trim().parse::<f64>().ok().map(|percent| percent / 100.0)
}

/// The frames in a line of `transcode`: `50/200 frames, 5.0 fps, 0:30 left`.
fn frames_done(line: &str) -> Option<u64> {
    line.split_once(" frames, ").and_then(|(done, _)| done.split('/').next()?.parse().ok())
}

/// `GST_PLUGIN_PATH`, or the folder that Cargo builds the plugin into.
fn plugin_path() -> PathBuf {
    std::env::var_os("GST_PLUGIN_PATH").map_or_else(|| own_folder().join(".."), PathBuf::from)
}

fn own_folder() -> PathBuf {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_default()
}
