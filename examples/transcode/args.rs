//! The command line.

use std::path::PathBuf;

use srup_examples::EngineArgs;

const EXAMPLES: &str = "\
Examples:
  transcode film.mp4 film-2x.mkv
      Twice the size, with the default model. Sound, subtitles, chapters, fonts, colour and HDR tags are kept;
      what OUT cannot hold is named (fonts in an MP4, for example). Text subtitles take the form that OUT holds.
  transcode film.mkv film-3x.mp4 --scale 3 --model luma-m --crf 20 --preset fast
      Three times the size, a larger model, a smaller file.
  transcode tape.vob tape-2x.mkv --deinterlace
      Interlaced material must be deinterlaced before it can be enlarged.
  transcode film.mkv film-2x.mkv --codec libx265 --encoder-option x265-params=aq-mode=3
      Another encoder, with an option of its own (`ffmpeg -h encoder=libx265` lists them).
  transcode film.mkv quick.mkv --model bicubic -y
      Plain resampling, to compare with; replaces quick.mkv.

Ctrl-C stops early and leaves a playable file with what is done so far; a second Ctrl-C leaves nothing.
Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong arguments, 130 stopped by Ctrl-C.";

/// Upscales the video of a file and copies everything else
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "transcode", version, after_help = EXAMPLES)]
pub struct Args {
    /// File to read: anything that FFmpeg reads
    #[arg(value_name = "IN")]
    pub input: PathBuf,

    /// File to write; its ending chooses the container: .mkv, .mp4, .mov, .webm ...
    #[arg(value_name = "OUT")]
    pub output: PathBuf,

    /// What the engine does.
    #[command(flatten)]
    pub engine: EngineArgs,

    /// Video encoder [default: libx264 for 8 bits, libx265 for 10 bits or HEVC input; what OUT can hold, if neither]
    #[arg(long, value_name = "ENCODER", help_heading = "Encoding")]
    pub codec: Option<String>,

    /// Quality, lower is better and larger [default: 17 for libx264 and libx265 where --encoder-option gives neither b nor qp,
    /// else the encoder's own]
    #[arg(long, value_name = "N", help_heading = "Encoding")]
    pub crf: Option<f32>,

    /// Speed of the encoder, from ultrafast to veryslow for libx264 and libx265 [default: the encoder's own]
    #[arg(long, value_name = "NAME", help_heading = "Encoding")]
    pub preset: Option<String>,

    /// Any option of the encoder; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, help_heading = "Encoding")]
    pub encoder_option: Vec<(String, String)>,

    /// Write what every lane did, and when, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE", help_heading = "Upscaling")]
    pub trace: Option<PathBuf>,

    /// Deinterlace what is marked as interlaced (FFmpeg's bwdif, one frame for each frame); needed where the video begins so
    #[arg(long)]
    pub deinterlace: bool,

    /// Replace OUT if it exists
    #[arg(long, short = 'y')]
    pub yes: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as KEY=VALUE, for example tune=grain".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_encoder_option_may_hold_equals_signs() {
        let args =
            ["transcode", "a", "b", "--encoder-option", "x265-params=aq-mode=3", "--encoder-option", "tune=grain"];
        let options = Args::parse_from(args).encoder_option;
        assert_eq!(options[0], ("x265-params".into(), "aq-mode=3".into()));
        assert_eq!(options[1], ("tune".into(), "grain".into()));
        assert!(Args::try_parse_from(["transcode", "a", "b", "--encoder-option", "tune"]).is_err());
    }
}
