//! Plays a live source, upscales it and sends it on: cameras, RTSP, SRT, RTMP, RTP and HLS in; SRT, RTMP, HLS, files and the
//! screen out.
//!
//! Two pipelines: one for each connection to the source (`ingest`), one for the output, which stays open (`output`). Between
//! them lies the `feed`. `--help` shows how it is called.

mod address;
mod args;
mod container;
mod elements;
mod encoder;
mod feed;
mod hold;
mod ingest;
mod meter;
mod metrics;
mod output;
mod rebase;
mod reconnect;
mod relay;
mod status;
mod stop;
mod upscaler;

use std::process::ExitCode;

use clap::Parser;
use srup_examples::{Ending, Failure, finish};

use args::Args;
use relay::Relay;
use status::{Board, Screen};

fn main() -> ExitCode {
    finish(run(&Args::parse()))
}

fn run(args: &Args) -> Result<Ending, Failure> {
    gst::init().map_err(|error| Failure::new(format!("GStreamer cannot be started: {error}")))?;
    gstsrupscale::plugin_register_static()
        .map_err(|error| Failure::new(format!("srupscale cannot be registered: {error}")))?;
    upscaler::check(&args.upscaling)?;
    let input = address::Input::parse(&args.input)?;
    let output = address::Output::parse(&args.output, input.file().as_deref(), args.yes)?;
    let board = Board::default();
    let screen = Screen::new(args.json, board.clone());
    if let Some(address) = args.metrics {
        let bound = metrics::serve(address, board)?;
        screen.tell(&format!("metrics: http://{bound}/metrics"));
    }
    stop::listen();
    Relay::start(args, input, output, screen)?.run()
}
