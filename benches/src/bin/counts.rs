//! Counts what the networks' kernels do for a frame, under the stand-in driver: no GPU is needed, and none is timed.

use std::process::{Command, ExitCode};

use clap::Parser;
use ptx_standin::counters::KernelCounters;
use ptx_standin::report::Report;
use ptx_standin::{harness, install};
use srup_benches::network;
use srup_engine::Precision;
use srup_engine::backend::{Backend, cuda::Cuda};
use srup_engine::model::Model;
use srup_engine::tensor::Tensor;

/// Counts mma instructions, memory traffic and launches of networks at scale 2, and prints them as a Markdown table.
#[derive(Parser)]
#[command(after_help = "Example:\n  cargo run --release -p srup-benches --bin counts -- --size 240x136")]
struct Args {
    /// Input size, WIDTHxHEIGHT; figures are per pixel of it and scaled to whole frames
    #[arg(long, default_value = "240x136", value_parser = size)]
    size: (usize, usize),
    /// Compute capability of the device, as the stand-in knows it: on the number of its processors it depends how much a
    /// block does, and so how often weights are loaded and borders computed
    #[arg(long, default_value = "90")]
    capability: String,
    /// Networks
    #[arg(long, num_args = 1.., default_values = ["luma-s", "luma-m", "luma-l", "sdan-small", "sdan"])]
    networks: Vec<String>,
    /// Only runs this network, on whatever driver there is
    #[arg(long, hide = true)]
    inside: Option<String>,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| format!("'{text}' is no size: write it as 240x136"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.inside {
        Some(name) => run(name, args.size),
        None => table(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

/// One frame through a network's kernels.
fn run(name: &str, (width, height): (usize, usize)) -> Result<(), Failure> {
    let Model::Network(network) = network(name, 2)? else { return Err("no network".into()) };
    Cuda::new(None)?.run(&network, Precision::F16, &Tensor::zeros(network.channels, height, width))?;
    Ok(())
}

/// Bytes of the input that [`run`] gives a network.
fn input_bytes(name: &str, (width, height): (usize, usize)) -> Result<usize, Failure> {
    let Model::Network(network) = network(name, 2)? else { return Err("no network".into()) };
    Ok(network.channels * width * height * size_of::<f32>())
}

/// What the stand-in counted for one frame through a network, all kernels together.
fn counted(name: &str, args: &Args) -> Result<KernelCounters, Failure> {
    let folder = std::env::temp_dir().join(format!("srup-counts-{}", std::process::id()));
    let report = folder.join("report.json");
    let drivers = install(&folder)?;
    let (width, height) = args.size;
    let status = Command::new(std::env::current_exe()?)
        .args(["--inside", name, "--size", &format!("{width}x{height}")])
        .env("LD_LIBRARY_PATH", harness::library_path(&drivers))
        .env("SRUP_STANDIN_REPORT", &report)
        .env("SRUP_STANDIN_CHECKS", "none")
        .env("SRUP_STANDIN_CC", &args.capability)
        .status()?;
    let found = Report::read(&report);
    std::fs::remove_dir_all(&folder)?;
    if !status.success() {
        return Err(format!("{name} did not run under the stand-in").into());
    }
    let mut sum = KernelCounters::default();
    for kernel in found?.kernels.values() {
        sum.launches += kernel.launches;
        for (shape, count) in &kernel.mma {
            *sum.mma.entry(shape.clone()).or_default() += count;
        }
        sum.shared.waves += kernel.shared.waves;
        sum.shared.conflicts += kernel.shared.conflicts;
        for (sum, own) in [(&mut sum.loads, &kernel.loads), (&mut sum.stores, &kernel.stores)] {
            sum.requested += own.requested;
            sum.sectors += own.sectors;
        }
        for (bytes, requested) in &kernel.constants {
            *sum.constants.entry(*bytes).or_default() += requested;
        }
    }
    Ok(sum)
}

fn table(args: &Args) -> Result<(), Failure> {
    const FRAMES: [(&str, f64); 2] = [("960x540", 960.0 * 540.0), ("1920x1080", 1920.0 * 1080.0)];
    println!(
        "| network | frame | launches | mma, millions | GFLOP in mma | loads of values, MB | of weights, MB | stores, MB \
         | sectors, MB | conflicts a pixel |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let pixels = (args.size.0 * args.size.1) as f64;
    for name in &args.networks {
        let c = counted(name, args)?;
        let mma = c.mma.values().sum::<u64>() as f64 / pixels;
        // 16 x 8 x 16 multiply-adds an instruction.
        let flops = mma * 4096.0;
        // What no kernel writes is weights, but for the input.
        let input = input_bytes(name, args.size)?;
        let weights: u64 = c.constants.iter().filter(|(bytes, _)| **bytes != input).map(|(_, n)| n).sum();
        let traffic = [c.loads.requested - weights, weights, c.stores.requested, c.loads.sectors + c.stores.sectors]
            .map(|sectors| 32.0 * sectors as f64 / pixels);
        let conflicts = c.shared.conflicts as f64 / pixels;
        for (frame, count) in FRAMES {
            let (mma, flops) = (mma * count / 1e6, flops * count / 1e9);
            let [values, weights, stores, sectors] = traffic.map(|bytes| bytes * count / 1e6);
            println!(
                "| {name} | {frame} | {} | {mma:.1} | {flops:.1} | {values:.1} | {weights:.1} | {stores:.1} \
                 | {sectors:.1} | {conflicts:.2} |",
                c.launches
            );
        }
    }
    Ok(())
}
