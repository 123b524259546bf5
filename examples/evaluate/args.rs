//! The command line.

use std::path::PathBuf;

use clap::Parser;
use srup_engine::{BackendKind, Precision};

use crate::degrade::Degradation;

const EXAMPLES: &str = "\
Examples:
  evaluate Set5 --scale 2
      Every built-in model on a folder of pictures, beside Lanczos and bicubic.
  evaluate Set5 --scale 2 --degrade crf=28 --model luma-s my.safetensors
      Two models on pictures that were compressed first, as what people enhance mostly is.

--degrade takes what was done to the reduced picture, joined by commas:
  crf=0..51           compressed as H.264, or with codec=hevc as HEVC; 18 is fine, 28 is common on the web, 38 is coarse
  codec=jpeg,q=2..31  compressed as JPEG: 2 is fine, 31 is coarse, as FFmpeg's -q:v counts
  blur=0.1..5         blurred before, by a Gaussian of that many pixels (sigma)
  noise=0.1..50       made noisy before, by Gaussian noise of that many 8-bit codes (sigma)
Compressed or not, it becomes 4:2:0. Pictures are compressed one by one.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong arguments.";

/// Reduces pictures, enlarges them with each model, and says how close they come and how long it takes
#[derive(Debug, Parser)]
#[command(name = "evaluate", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of .png, .jpg or .jpeg pictures
    pub folder: PathBuf,

    /// Output size over input size: 2, 3 or 4
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=4))]
    pub scale: u8,

    /// Built-in models or .safetensors files [default: every built-in model that has that scale]
    #[arg(long, num_args = 1..)]
    pub model: Vec<String>,

    /// Where networks run: auto, cpu, cuda or reference
    #[arg(long, default_value = "auto")]
    pub backend: BackendKind,

    /// In which numbers: auto, f32, f16, bf16 or int8
    #[arg(long, default_value = "auto")]
    pub precision: Precision,

    /// Spoils what was reduced before it is enlarged, as in crf=28 or blur=0.8,noise=3,crf=32,codec=hevc; see below
    #[arg(long, value_name = "WHAT")]
    pub degrade: Option<Degradation>,

    /// Writes the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
