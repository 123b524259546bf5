//! This engine as one contender of `benches/peers`: it loads a network, then does what lines of JSON on its input ask for.
//!
//! `{"frames": 3}` upscales three frames and answers `{"ms": [..]}`: from 8-bit frame to 8-bit frame, so that unpacking and
//! packing are counted. `{"output": "FILE"}` writes what the bare network makes of the input, as raw f32, in the same
//! precision. The first line that it says itself is `{"ready": "what it runs on"}`.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};
use srup_benches::{network, pattern};
use srup_engine::backend::{Backend as _, Lane, Plan, cpu::Cpu};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::network::Network;
use srup_engine::tensor::Tensor;
use srup_engine::{Error, Precision};

/// Upscales one picture on the CPU as often as lines of JSON on standard input say, and answers with the times.
#[derive(Parser)]
#[command(
    after_help = "Example:\n  head -c 921600 /dev/zero > black.f32\n  echo '{\"frames\": 5}' | contender --network luma-s --size 640x360 --input black.f32"
)]
struct Args {
    /// Weights file, built-in model, or a preset, which then has random weights
    #[arg(long)]
    network: String,
    /// Output size over input size
    #[arg(long, default_value_t = 2)]
    scale: usize,
    /// Input size, WIDTHxHEIGHT
    #[arg(long, value_parser = size)]
    size: (usize, usize),
    /// The network's input: planes of little-endian f32, values 0..1
    #[arg(long)]
    input: PathBuf,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// In which numbers the network is computed: auto, f32, bf16 or int8
    #[arg(long, default_value = "auto")]
    precision: String,
    /// Pixel format of the frames [default: GRAY8 for networks of luma, else RGB]
    #[arg(long, value_parser = format)]
    format: Option<PixelFormat>,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("'{text}' is no size: write it as 640x360"))
}

fn format(text: &str) -> Result<PixelFormat, String> {
    [PixelFormat::Gray8, PixelFormat::Rgb, PixelFormat::I420]
        .into_iter()
        .find(|format| format.name() == text)
        .ok_or_else(|| format!("unknown format '{text}': use GRAY8, RGB or I420"))
}

/// What can be asked for, a line each.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ask {
    Frames(usize),
    Output(PathBuf),
}

/// What is answered, a line each.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ready(String),
    Ms(Vec<f64>),
    Output(PathBuf),
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let mut contender = Contender::new(args)?;
    say(&Answer::Ready(contender.describe()?))?;
    for line in std::io::stdin().lock().lines() {
        say(&match serde_json::from_str(&line?)? {
            Ask::Frames(count) => Answer::Ms(contender.times(count)?),
            Ask::Output(path) => {
                contender.write(&path)?;
                Answer::Output(path)
            }
        })?;
    }
    Ok(())
}

fn say(answer: &Answer) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

/// A network that is ready, and its picture.
struct Contender {
    backend: Cpu,
    network: Arc<Network>,
    precision: Precision,
    lane: Box<dyn Lane>,
    planes: Tensor,
    input: Frame,
    output: Frame,
}

impl Contender {
    fn new(args: &Args) -> Result<Self, Failure> {
        let model = match Model::open(&args.network, args.scale) {
            Err(Error::UnknownModel { .. }) => network(&args.network, args.scale)?,
            opened => opened?,
        };
        let Model::Network(network) = &model else { return Err("a resampler is no network".into()) };
        let (width, height) = args.size;
        let planes = read(&args.input, (network.channels, height, width))?;
        let format = args.format.unwrap_or(if network.channels == 1 { PixelFormat::Gray8 } else { PixelFormat::Rgb });
        let info = VideoInfo::new(format, width, height, Colour::default())?;
        let precision = args.precision.parse()?;
        let plan = Plan { precision, ..Plan::new(model.clone(), args.scale, &info)? };
        let backend = Cpu::new(args.threads)?;
        let lane = backend.lane(&plan)?;
        let (input, output) = (frame(&info, &planes), Frame::new(&plan.output));
        Ok(Self { backend, network: network.clone(), precision, lane, planes, input, output })
    }

    /// What it runs on, and in which numbers.
    fn describe(&self) -> Result<String, Error> {
        let precision = self.backend.precision(&self.network, self.precision, self.input.info())?;
        Ok(format!("{}, {}", self.backend.describe(), precision.name()))
    }

    /// Milliseconds of each of so many frames.
    fn times(&mut self, frames: usize) -> Result<Vec<f64>, Error> {
        (0..frames)
            .map(|_| {
                let start = Instant::now();
                self.lane.process(0, &self.input.view(), &mut self.output.view_mut())?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            })
            .collect()
    }

    /// Writes the bare network's output.
    fn write(&self, path: &Path) -> Result<(), Failure> {
        let planes = self.backend.run(&self.network, self.precision, &self.planes)?;
        let bytes: Vec<u8> = planes.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(path, bytes).map_err(|e| format!("{} cannot be written: {e}", path.display()).into())
    }
}

fn read(path: &Path, (channels, height, width): (usize, usize, usize)) -> Result<Tensor, Failure> {
    let bytes = std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let (values, rest) = bytes.as_chunks();
    let needed = channels * height * width;
    if values.len() != needed || !rest.is_empty() {
        let found = bytes.len();
        let text =
            format!("{} has {found} bytes; {channels} planes of {width}x{height} are {}", path.display(), needed * 4);
        return Err(text.into());
    }
    let values = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
    Ok(Tensor::from_vec(channels, height, width, values))
}

/// The picture as a frame: R, G and B, of one plane grey; or the first plane as luma, and a pattern as chroma.
fn frame(info: &VideoInfo, planes: &Tensor) -> Frame {
    let code = |value: f32| (value * 255.0).round() as u8;
    let mut frame = pattern(info);
    let samples = if info.format == PixelFormat::Rgb { 3 } else { 1 };
    let (bytes, stride) = frame.plane_mut(0);
    for (y, row) in bytes.chunks_mut(stride).enumerate() {
        for (i, byte) in row.iter_mut().enumerate() {
            let channel = (i % samples).min(planes.channels - 1);
            *byte = code(planes.plane(channel)[y * info.width + i / samples]);
        }
    }
    frame
}
