//! How good and how fast the models are on a folder of pictures.
//!
//! Every picture is cut to a multiple of the scale, reduced by antialiased bicubic (Pillow's kernel), enlarged again by each
//! model, and compared with what it was: PSNR and SSIM of BT.601 limited-range luma, without `scale` pixels at each side.
//! Networks for luma get the rounded luma codes of the reduced picture; networks for RGB, bicubic and Lanczos get its RGB,
//! and luma is taken of the RGB that comes out.

mod method;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use srup_engine::{BackendKind, Precision, model};
use srup_examples::metrics::{self, SSIM_WINDOW};
use srup_examples::picture::{Picture, pictures_in};
use srup_examples::{Ending, Failure, finish};

use method::Method;
use report::{Document, Row, Score};

/// Reduces the pictures of a folder, enlarges them with each model, and says how close they come and how long it takes.
#[derive(Debug, Parser)]
#[command(name = "evaluate")]
struct Arguments {
    /// Folder of .png, .jpg or .jpeg pictures
    folder: PathBuf,
    /// Output size over input size: 2, 3 or 4
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=4))]
    scale: u8,
    /// Built-in models or .safetensors files [default: every built-in model that has that scale]
    #[arg(long, num_args = 1..)]
    model: Vec<String>,
    /// Where networks run: auto, cpu, cuda or reference
    #[arg(long, default_value = "auto")]
    backend: BackendKind,
    /// In which numbers: auto, f32, f16, bf16 or int8
    #[arg(long, default_value = "auto")]
    precision: Precision,
    /// Writes the figures to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Plain resampling, always there to compare with. Lanczos comes first: the others are held against it.
const BASELINES: [&str; 2] = ["lanczos", "bicubic"];

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<Ending, Failure> {
    let scale = usize::from(arguments.scale);
    let paths = pictures_in(&arguments.folder)?;
    let methods = methods(arguments, scale)?;
    if methods.len() == BASELINES.len() && arguments.model.is_empty() {
        eprintln!("note: no built-in model has scale {scale}: plain resampling alone is measured");
    }
    let scores = scores(&paths, &methods, scale)?;
    let mut rows: Vec<Row> = methods
        .iter()
        .zip(&scores)
        .map(|(method, own)| Row::new(method, scale, arguments.precision, own, &scores[0]))
        .collect();
    rows.rotate_left(BASELINES.len());
    let count = paths.len();
    let what = if count == 1 { "picture" } else { "pictures" };
    println!("{count} {what} of {}, backend {}", arguments.folder.display(), arguments.backend.name());
    print!("{}", report::table(&rows));
    arguments.json.as_deref().map_or(Ok(()), |path| write_json(path, &rows))?;
    Ok(Ending::Done)
}

/// The baselines, then the models asked for.
fn methods(arguments: &Arguments, scale: usize) -> Result<Vec<Method>, Failure> {
    let builtin = model::builtin();
    let mut names = BASELINES.to_vec();
    if arguments.model.is_empty() {
        names.extend(builtin.iter().filter(|model| model.scale == scale).map(|model| model.name));
    } else {
        names.extend(arguments.model.iter().map(String::as_str).filter(|name| !BASELINES.contains(name)));
    }
    names.iter().map(|name| Method::open(name, scale, arguments.backend, arguments.precision)).collect()
}

/// For each method its scores, picture by picture.
fn scores(paths: &[PathBuf], methods: &[Method], scale: usize) -> Result<Vec<Vec<Score>>, Failure> {
    let bar = ProgressBar::new((paths.len() * methods.len()) as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg} {elapsed} (left: {eta})")
            .map_err(Failure::new)?,
    );
    let mut scores = vec![Vec::with_capacity(paths.len()); methods.len()];
    for path in paths {
        let original = Picture::open(path)?.multiple_of(scale);
        let least = SSIM_WINDOW + 2 * scale;
        if original.width < least || original.height < least {
            let path = path.display();
            return Err(Failure::new(format_args!(
                "{path}: at scale {scale} each side must have {least} pixels or more"
            )));
        }
        let reduced = original.reduced(scale);
        let truth = original.luma().without_border(scale);
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        for (method, scores) in methods.iter().zip(&mut scores) {
            bar.set_message(format!("{file}, {}", method.name));
            let outcome = method.run(&reduced)?;
            let luma = outcome.luma.without_border(scale);
            let (psnr, ssim) = (metrics::psnr(&truth, &luma), metrics::ssim(&truth, &luma));
            scores.push(Score { psnr, ssim, ms_per_mp: outcome.ms_per_mp });
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(scores)
}

fn write_json(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&Document { results: rows }).map_err(Failure::new)?;
    std::fs::write(path, text + "\n")
        .map_err(|e| Failure::new(format_args!("{} cannot be written: {e}", path.display())))
}
