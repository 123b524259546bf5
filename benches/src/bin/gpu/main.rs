//! Times networks on a CUDA device: kernels alone, and whole frames from pinned memory and back through 1, 2 and 3 lanes.
//! With `--check`, compares its frames with the reference's.
//!
//! Weights are random where none are built in: speed does not depend on them.

mod check;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use serde::Serialize;
use srup_benches::{network, pattern};
use srup_engine::Error;
use srup_engine::backend::cuda::Cuda;
use srup_engine::backend::{Backend, Plan};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;

/// Times networks at scale 2 on a CUDA device, NV12 in and out, and writes the medians as JSON; or checks frames.
#[derive(Parser)]
#[command(
    after_help = "Example:\n  gpu --out gpu.json --networks luma-s sdan --sizes 960x540 1920x1080\n  gpu --check"
)]
struct Args {
    /// File to write
    #[arg(long, required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Compare frames of every pixel format at scales 2 to 4 with those of the reference, instead of timing
    #[arg(long, conflicts_with_all = ["out", "networks", "sizes", "runs"])]
    check: bool,
    /// Networks
    #[arg(long, num_args = 1.., default_values = ["luma-s", "luma-m", "luma-l", "sdan-small", "sdan"])]
    networks: Vec<String>,
    /// Input sizes, WIDTHxHEIGHT
    #[arg(long, num_args = 1.., default_values = ["640x360", "960x540", "1280x720", "1920x1080"], value_parser = size)]
    sizes: Vec<(usize, usize)>,
    /// Runs of each measurement
    #[arg(long, default_value_t = 200)]
    runs: usize,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("'{text}' is no size: write it as 960x540"))
}

#[derive(Serialize)]
struct Report {
    device: String,
    times: Vec<Times>,
}

/// Medians in milliseconds a frame.
#[derive(Serialize)]
struct Times {
    network: String,
    size: String,
    /// The network's kernels alone, by the device's clock.
    kernels: f64,
    /// Whole frames in 1, 2 and 3 lanes, by the host's clock: time over frames.
    lanes: [f64; 3],
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    let backend = Cuda::new(None)?;
    let mut report = Report { device: backend.describe(), times: Vec::new() };
    println!("{}", report.device);
    if args.check {
        let well = check::run(&backend)?;
        return if well { Ok(()) } else { Err("frames are not the reference's; the lines above say which".into()) };
    }
    println!(
        "{:<12} {:>9} {:>10} {:>10} {:>10} {:>10}",
        "ms a frame", "size", "kernels", "1 lane", "2 lanes", "3 lanes"
    );
    for name in &args.networks {
        let model = network(name, 2)?;
        for &(width, height) in &args.sizes {
            let Model::Network(network) = &model else { continue };
            let kernels = median(backend.time(network, (width, height), args.runs)?);
            let mut lanes = [0.0; 3];
            for (i, time) in lanes.iter_mut().enumerate() {
                *time = in_lanes(&backend, &model, (width, height), i + 1, args.runs)?;
            }
            let size = format!("{width}x{height}");
            let [one, two, three] = lanes;
            println!("{name:<12} {size:>9} {kernels:>10.3} {one:>10.3} {two:>10.3} {three:>10.3}");
            report.times.push(Times { network: name.clone(), size, kernels, lanes });
        }
    }
    if let Some(out) = &args.out {
        std::fs::write(out, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

fn median(mut times: Vec<f32>) -> f64 {
    times.sort_by(f32::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f32::NAN).into()
}

/// Milliseconds a frame with `count` frames in flight, each in a lane of its own.
fn in_lanes(
    backend: &Cuda,
    model: &Model,
    (width, height): (usize, usize),
    count: usize,
    runs: usize,
) -> Result<f64, Error> {
    let input = VideoInfo::new(PixelFormat::Nv12, width, height, Colour::default())?;
    let plan = Plan::new(model.clone(), 2, &input)?;
    let mut lanes: VecDeque<_> = (0..count).map(|_| backend.lane(&plan)).collect::<Result<_, _>>()?;
    let (frame, mut output) = (pattern(&input), Frame::new(&plan.output));
    let mut rounds = Vec::with_capacity(runs);
    for round in 0..runs + count {
        let start = Instant::now();
        if round >= count {
            lanes[0].finish(&mut output.view_mut())?;
        }
        lanes[0].start(0, &frame.view())?;
        lanes.rotate_left(1);
        if round >= count {
            rounds.push(start.elapsed().as_secs_f32() * 1e3);
        }
    }
    for lane in &mut lanes {
        lane.finish(&mut output.view_mut())?;
    }
    Ok(median(rounds))
}
