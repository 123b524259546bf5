//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use srup_engine::model;
use srup_engine::{BackendKind, Precision};
use srup_examples::model_help;

const EXAMPLES: &str = "\
Examples:
  live camera display
      The camera, enlarged, on the screen. `--microphone` adds sound.
  live rtsp://192.168.1.20/stream 'srt://0.0.0.0:7001?mode=listener'
      A network camera, for whoever calls: ffplay srt://this-host:7001
  live https://example.org/live.m3u8 /var/www/live/
      A broadcast, as another broadcast: playlist.m3u8 and its segments in that folder.
  live 'srt://0.0.0.0:7001?mode=listener' rtmp://example.org/app/key --model luma-s --bitrate 6000
      Waits for a sender and passes it on to a streaming service.
  live stream.sdp out.ts --metrics 9100
      RTP as an SDP file describes it, recorded; http://127.0.0.1:9100/metrics tells Prometheus how it goes.
  live test display
      No camera needed: a moving pattern with a tick every second.

INPUT  rtsp:// rtmp:// srt:// udp:// http:// https:// (HLS too), any other address that GStreamer plays, a file,
       an .sdp file for RTP, camera, /dev/videoN, test, test:640x360@30
OUTPUT srt:// rtmp:// udp://host:port (MPEG-TS), a folder for HLS (one that exists, or a name that ends in /; a playlist in
       it is replaced), a .ts .mkv .mp4 .flv file, display

Sound is passed on as it came, bit for bit, where OUTPUT can hold it, else as AAC. A source that drops out is tried again after
0.5 s, 1 s, 2 s ... 10 s, while the output stays open. Ctrl-C ends the output properly; a second Ctrl-C leaves at once.
Exit codes: 0 the source has ended, 1 failed (one line on stderr says why), 2 wrong arguments, 130 stopped by Ctrl-C.";

/// Plays a live source, upscales it and sends it on
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "live", version, after_help = EXAMPLES)]
pub struct Args {
    /// Where pictures and sound come from
    pub input: String,

    /// Where they go
    pub output: String,

    /// What the upscaler does.
    #[command(flatten)]
    pub upscaling: Upscaling,

    /// How the result is encoded.
    #[command(flatten)]
    pub encoding: Encoding,

    /// Milliseconds that data may take on their way: jitter of the network is smoothed out up to there
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=60_000), help_heading = "Source")]
    pub latency: u32,

    /// Seconds without data after which the source is taken for gone [default: 5, over HTTP 15]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Source")]
    pub stall: Option<Duration>,

    /// Try again also while nothing has come yet; without it a source that is not there at the start is an error
    #[arg(long, help_heading = "Source")]
    pub wait: bool,

    /// Sound of the default microphone, with a camera
    #[arg(long, help_heading = "Source")]
    pub microphone: bool,

    /// Status as JSON, one line a second on stdout
    #[arg(long, help_heading = "Status")]
    pub json: bool,

    /// Serve figures for Prometheus: a port (on this machine alone) or an address like 0.0.0.0:9100
    #[arg(long, value_name = "ADDR", value_parser = address, help_heading = "Status")]
    pub metrics: Option<SocketAddr>,

    /// Replace OUTPUT if it is a file that exists
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// What the upscaler does.
#[derive(Clone, Debug, clap::Args)]
pub struct Upscaling {
    /// Model
    #[arg(long, short, default_value = model::DEFAULT, help = model_help(), help_heading = "Upscaling")]
    pub model: String,

    /// Output size over input size: 2, 3 or 4
    #[arg(long, short, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=4), help_heading = "Upscaling")]
    pub scale: u8,

    /// Where the network runs: auto, cpu or cuda
    #[arg(long, default_value = "auto", help_heading = "Upscaling")]
    pub backend: BackendKind,

    /// Numbers it is computed in: f32, bf16 or int8 on the CPU, f16 on a GPU; auto is the fastest of them
    /// that costs no visible quality
    #[arg(long, default_value = "auto", help_heading = "Upscaling")]
    pub precision: Precision,

    /// CPU threads of the upscaler; 0 takes all
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1024), help_heading = "Upscaling")]
    pub threads: u32,

    /// Frames a second to hold by taking smaller networks where needed; -1 is the source's own rate, 0 never
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1.0,
        allow_negative_numbers = true,
        value_parser = rate,
        help_heading = "Upscaling"
    )]
    pub target_fps: f64,

    /// Networks to choose from, best first, divided by commas [default: the model and what is cheaper]
    #[arg(long, value_name = "MODELS", help_heading = "Upscaling")]
    pub ladder: Option<String>,

    /// Compute every part of every frame, changed or not
    #[arg(long, help_heading = "Upscaling")]
    pub no_reuse: bool,
}

/// How the result is encoded.
#[derive(Clone, Debug, clap::Args)]
pub struct Encoding {
    /// Video encoder: a GStreamer element for H.264 or H.265, nvh264enc for example [default: x264enc]
    #[arg(long, value_name = "ELEMENT", help_heading = "Encoding")]
    pub encoder: Option<String>,

    /// Speed of x264enc and x265enc, from ultrafast to veryslow
    #[arg(long, value_name = "NAME", default_value = "veryfast", help_heading = "Encoding")]
    pub preset: String,

    /// Bits a second of the picture, in thousands [default: by size and rate, 0.1 bits a pixel]
    #[arg(long, value_name = "KBITS", value_parser = clap::value_parser!(u32).range(10..=1_000_000), help_heading = "Encoding")]
    pub bitrate: Option<u32>,

    /// Seconds of a segment of HLS
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60), help_heading = "Encoding")]
    pub segment: u32,

    /// Segments that an HLS playlist names; older ones are deleted. 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 6, help_heading = "Encoding")]
    pub playlist: u32,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.5..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give seconds from 0.5 to 3600".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate == -1.0 || (0.0..=1000.0).contains(&rate) => Ok(rate),
        _ => Err("give frames a second up to 1000, 0 for no target, or -1 for the source's own rate".into()),
    }
}

/// A bare port means loopback: figures are nobody else's business unless the user says so.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| "give a port, or an address with a port like 0.0.0.0:9100".into())
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
    fn metrics_stay_on_this_machine_unless_told_otherwise() {
        assert!(address("9100").unwrap().ip().is_loopback());
        assert_eq!(address("0.0.0.0:9100").unwrap(), SocketAddr::from(([0, 0, 0, 0], 9100)));
        assert!(address("localhost").is_err());
    }

    #[test]
    fn a_rate_may_be_that_of_the_source() {
        let parse = |rate| Args::try_parse_from(["live", "test", "display", "--target-fps", rate]);
        assert_eq!(parse("-1").unwrap().upscaling.target_fps, -1.0);
        assert_eq!(parse("59.94").unwrap().upscaling.target_fps, 59.94);
        assert!(parse("-2").is_err() && parse("nan").is_err());
    }
}
