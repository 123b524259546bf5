//! Checks golden vectors: networks and operators against the outputs that their authors' code gives.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use srup_engine::backend::{self, Backend};
use srup_engine::golden::Golden;
use srup_engine::{BackendKind, Error, Precision};
use srup_examples::{print, tell};

const EXAMPLES: &str = "\
Example:
  golden vectors/ --backend cpu

A golden vector is a safetensors file: `input` and `output`, f32 of the shape [C, H, W], and the network's tensors under the
names that they have in a weights file, with `weights.` before each. Its metadata are those of the weights file: `network`,
`preset` and `scale`. In a vector of one operator `network` is `op`, and `op` and `preset` say which.
`output` is what the authors' code computes in f32; no vectors come with srupscale. With PyTorch, in the folder training/:
  import torch, safetensors.torch, weights
  state, metadata = weights.load('../models/luma-s-x2.safetensors')
  network, _ = weights.load_network('../models/luma-s-x2.safetensors')
  x = torch.rand(1, 24, 32)
  tensors = {'input': x, 'output': network(x[None])[0].detach()} | {'weights.' + name: t for name, t in state.items()}
  safetensors.torch.save_file(tensors, 'luma-s-x2.golden.safetensors', metadata)
training/check_golden.py runs vectors through PyTorch.

Exit codes: 0 all are within tolerance, 1 one is not or cannot be read, 2 wrong arguments.";

/// Runs golden vectors through a backend and compares with the outputs stored in them.
///
/// Errors are relative to the range of the stored output, largest minus smallest value; the PSNR takes that range as its peak.
/// How large an error may be depends on the backend, the precision and the network.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Vectors, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What computes: reference (the formulas, slowly), cpu, cuda, or auto (cuda where it can, else cpu)
    #[arg(long, default_value = "reference")]
    backend: BackendKind,
    /// In which numbers: auto, f32, f16 (cuda), bf16 or int8 (cpu; vectors of luma networks lack what it needs)
    #[arg(long, default_value = "auto")]
    precision: Precision,
    /// CPU threads; 0 takes all
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            tell(format_args!("error: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    let files = collect(&args.files)?;
    let backend = backend::open(args.backend, args.threads).map_err(|e| e.to_string())?;
    print(format_args!("{} vectors on {}", files.len(), backend.describe()));
    print(format_args!("{:<28} {:>10} {:>10} {:>9}", "vector", "max error", "allowed", "PSNR dB"));
    let mut failed = 0;
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        match check(file, args, backend.as_ref()) {
            Ok((line, passed)) => {
                failed += usize::from(!passed);
                print(format_args!("{name:<28} {line} {}", if passed { "ok" } else { "OUT OF TOLERANCE" }));
            }
            Err(e) => {
                failed += 1;
                print(format_args!("{name:<28} {e}"));
            }
        }
    }
    print(format_args!("{} of {} vectors within tolerance", files.len() - failed, files.len()));
    Ok(failed == 0)
}

fn check(file: &Path, args: &Args, backend: &dyn Backend) -> Result<(String, bool), Error> {
    let golden = Golden::open(file)?;
    let tolerance = golden.tolerance(backend, args.precision)?;
    let found = golden.check(backend, args.precision)?;
    let line = format!("{:>10.2e} {:>10.0e} {:>9.2}", found.max_error, tolerance.max_error, found.psnr);
    Ok((line, found.passes(tolerance)))
}

/// The files named, and every .safetensors file of the folders named, in order.
fn collect(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |e: std::io::Error| format!("folder {}: {e}", path.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            found.push(entry.map_err(unreadable)?.path());
        }
        found.retain(|f| f.is_dir() || f.extension().is_some_and(|e| e == "safetensors"));
        found.sort();
        files.extend(collect(&found)?);
    }
    if files.is_empty() {
        return Err("no .safetensors file was found; name vectors or folders that hold some".into());
    }
    Ok(files)
}
