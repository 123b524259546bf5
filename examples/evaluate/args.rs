//! The command line.

use std::path::PathBuf;

use clap::Parser;
use srup_engine::{BackendKind, Precision};

use crate::degrade::Degradation;

const EXAMPLES: &str = "\
Examples:
  evaluate Set5 --scale 2
      Every built-in model on Set5, a folder of pictures, beside Lanczos and bicubic.
  evaluate Set5 --scale 2 --degrade crf=28 --model luma-s my.safetensors
      Two models on pictures that were compressed first, as what people enhance mostly is.
  evaluate --clip holiday.mp4 --scale 2
      Which network is worth its time on this clip and this machine.
  evaluate --clip holiday.mp4 --scale 2 --frames 300 --degrade codec=hevc,crf=32 --plot holiday.svg --json holiday.json

--degrade takes what was done to the reduced picture, joined by commas:
  crf=0..51           compressed as H.264, or with codec=hevc as HEVC; 18 is fine, 28 is common on the web, 38 is coarse
  codec=jpeg,q=2..31  compressed as JPEG: 2 is fine, 31 is coarse, as FFmpeg's -q:v counts
  blur=0.1..5         blurred before, by a Gaussian of that many pixels (sigma)
  noise=0.1..50       made noisy before, by Gaussian noise of that many 8-bit codes (sigma)
Compressed or not, it becomes 4:2:0. Pictures are compressed one by one, a clip as a stream with all its kinds of frames.

VMAF needs an FFmpeg with libvmaf, which Debian's lacks; `make vmaf` fetches one. Without it VMAF is left out.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong arguments.";

/// Reduces pictures or a clip, enlarges them with each model, and says how close they come and how long it takes
#[derive(Debug, Parser)]
#[command(name = "evaluate", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Folder of .png, .jpg or .jpeg pictures
    #[arg(required_unless_present = "clip", conflicts_with = "clip")]
    pub folder: Option<PathBuf>,

    /// A video in place of pictures: its frames are reduced, enlarged and compared with what they were
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,

    /// Output size over input size: 2, 3 or 4
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=4))]
    pub scale: u8,

    /// Built-in models or .safetensors files, put last or before another option; Lanczos and bicubic are always measured
    /// [default: every built-in model for that scale, backend and precision]
    #[arg(long, num_args = 1..)]
    pub model: Vec<String>,

    /// Where networks run: auto, cpu, cuda or reference
    #[arg(long, default_value = "auto")]
    pub backend: BackendKind,

    /// Numbers they compute in: auto, f32, f16 (on a GPU), bf16 or int8 (on the CPU)
    #[arg(long, default_value = "auto")]
    pub precision: Precision,

    /// What the reduced picture goes through before it is enlarged, as in crf=28 or blur=0.8,noise=3,crf=32,codec=hevc; see below
    #[arg(long, value_name = "WHAT")]
    pub degrade: Option<Degradation>,

    /// How many frames of the clip to measure at most, taken from its middle [default: 120]
    #[arg(long, value_name = "N", conflicts_with = "folder", value_parser = clap::value_parser!(u32).range(1..))]
    pub frames: Option<u32>,

    /// An FFmpeg that has libvmaf, for VMAF of the clip [default: the one on the path, if it has]
    #[arg(long, value_name = "PROGRAM", env = "SRUP_FFMPEG")]
    pub ffmpeg: Option<PathBuf>,

    /// Draws quality against cost into this file, which ends in .svg
    #[arg(long, value_name = "FILE", value_parser = svg)]
    pub plot: Option<PathBuf>,

    /// Writes the figures to this file as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// PNG is not offered: its letters would have to come from fonts of the system, and a picture would look, or fail, after
/// what is installed.
fn svg(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    match path.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("svg") => Ok(path),
        _ => Err("plots are SVG: end the name in .svg".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn there_is_one_material_and_its_options_go_with_it() {
        let parses = |arguments: &str| Arguments::try_parse_from(arguments.split(' ')).is_ok();
        assert!(parses("evaluate folder --scale 2") && parses("evaluate --clip a.mp4 --scale 2 --frames 9"));
        for wrong in
            ["", " folder --clip a.mp4", " folder --frames 9", " --clip a.mp4 --frames 0", " folder --plot a.png"]
        {
            assert!(!parses(&format!("evaluate --scale 2{wrong}")), "{wrong}");
        }
    }
}
