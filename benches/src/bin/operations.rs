//! Where the time of each network goes on the CPU, operation by operation: `operations --network sdan --size 640x360`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use srup_benches::network;
use srup_engine::backend::cpu::{Cpu, Profile};
use srup_engine::model::Model;
use srup_engine::network::{Network, Preset};
use srup_engine::tensor::Tensor;
use srup_engine::{Error, Precision};

/// Shows which operations of a network take how long, how many multiply-adds they do in that time, and which share that is of
/// what the processor can do in f32.
#[derive(Parser)]
#[command(after_help = "Example:\n  operations --network sdan --network sdan-small --size 640x360 --precision bf16")]
struct Args {
    /// A preset, with random weights; may be given several times [default: all but the largest]
    #[arg(long)]
    network: Vec<String>,
    /// Output size over input size
    #[arg(long, default_value_t = 2, value_parser = scale)]
    scale: usize,
    /// Input size, WIDTHxHEIGHT
    #[arg(long, value_parser = size, default_value = "320x180")]
    size: (usize, usize),
    /// Threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Frames that are timed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// In which numbers: f32, bf16 or int8, where those are taken
    #[arg(long, default_value = "f32")]
    precision: Precision,
}

fn scale(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|scale| (2..=4).contains(scale)).ok_or_else(|| "a scale is 2, 3 or 4".into())
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.filter(|(w, h)| *w > 0 && *h > 0).ok_or_else(|| format!("'{text}' is no size: write it as 640x360"))
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<(), Error> {
    if args.network.is_empty() {
        let small = |name: &&str| *name != "dlsn";
        args.network =
            Preset::named(args.scale).into_iter().map(|(name, _)| name).filter(small).map(Into::into).collect();
    }
    let cpu = Cpu::new(args.threads)?;
    for name in &args.network {
        let Model::Network(network) = network(name, args.scale)? else { continue };
        let profile = cpu.profile(&network, args.precision, &picture(&network, args.size), args.frames.into())?;
        print(&network, &args, &profile);
    }
    Ok(())
}

/// A pattern that no row or column repeats.
fn picture(network: &Arc<Network>, (width, height): (usize, usize)) -> Tensor {
    let value = |i: usize| ((i * 7 + i / width * 13 + i * i % 11) % 256) as f32 / 255.0;
    let data = (0..network.channels * width * height).map(value).collect();
    Tensor::from_vec(network.channels, height, width, data)
}

fn print(network: &Network, args: &Args, profile: &Profile) {
    let (width, height) = args.size;
    let all: f64 = profile.costs.iter().map(|cost| cost.seconds).sum();
    println!(
        "{} x{} {width}x{height} in {}: {:.1} ms a frame, threads: {}; a thread does at most {:.1} GMAC/s in f32",
        network.name,
        args.scale,
        args.precision.name(),
        1e3 * profile.seconds,
        args.threads,
        profile.peak / 1e9
    );
    println!("{:>9} {:>6} {:>8} {:>8}  operations", "ms", "share", "GMAC/s", "of peak");
    for cost in &profile.costs {
        let rate = cost.macs / cost.seconds.max(1e-9);
        let (rate, peak) = match cost.macs > 0.0 {
            true => (format!("{:.1}", rate / 1e9), format!("{:.0} %", 100.0 * rate / profile.peak)),
            false => (String::new(), String::new()),
        };
        let share = 100.0 * cost.seconds / all;
        println!("{:9.3} {share:4.1} % {rate:>8} {peak:>8}  {} x {}", 1e3 * cost.seconds, cost.count, cost.name);
    }
    println!();
}
