//! How good and how fast the models are, on a folder of pictures or on a clip.

mod args;
mod clip;
mod degrade;
mod method;
mod pictures;
mod pixels;
mod plot;
mod progress;
mod report;
mod results;

use std::process::ExitCode;

use clap::Parser;
use ffmpeg_next::util::log;
use srup_examples::{Ending, Failure, finish, print};

use args::Arguments;
use method::BASELINES;

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<Ending, Failure> {
    ffmpeg_next::init().map_err(|error| Failure::new(format!("FFmpeg cannot be started: {error}")))?;
    // What libraries print would break the progress bar; what matters comes back as an error.
    log::set_level(log::Level::Fatal);
    let methods = method::methods(arguments)?;
    for path in arguments.json.iter().chain(&arguments.plot) {
        results::check(path)?;
    }
    let mut measured = match (&arguments.clip, &arguments.folder) {
        (Some(file), _) => clip::measure(arguments, file, &methods)?,
        (None, Some(folder)) => pictures::measure(arguments, folder, &methods)?,
        (None, None) => return Err(Failure::new("name a folder of pictures, or a clip with --clip")),
    };
    if let Some(degradation) = arguments.degrade {
        measured.what += &format!(", degraded by {degradation}");
    }
    measured.rows.rotate_left(BASELINES.len());
    if let Some(path) = &arguments.json {
        results::write(path, &(serde_json::to_string_pretty(&measured).map_err(Failure::new)? + "\n"))?;
    }
    if let Some(path) = &arguments.plot {
        results::write(path, &plot::svg(&measured)?)?;
    }
    print(format_args!("{}, backend {}", measured.what, arguments.backend.name()));
    print(report::table(&measured.rows).trim_end());
    if let Some(advice) = &measured.advice {
        print(format_args!("advice: {advice}"));
    }
    Ok(Ending::Done)
}
