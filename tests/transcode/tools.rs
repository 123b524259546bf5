//! The program under test, clips made with FFmpeg, and what ffprobe says of a file.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use srup_tests::example;

/// A folder for a test's clips; None, said aloud, without FFmpeg.
pub fn workshop() -> Option<tempfile::TempDir> {
    srup_tests::ffmpeg_tool("ffmpeg")?;
    srup_tests::ffmpeg_tool("ffprobe")?;
    Some(tempfile::tempdir().expect("a temporary folder"))
}

/// Runs ffmpeg in `folder` with arguments divided by spaces; '␣' within one stands for a space.
#[track_caller]
pub fn ffmpeg(folder: &Path, arguments: &str) {
    let mut command = srup_tests::ffmpeg_tool("ffmpeg").expect("asked for before");
    let arguments = arguments.split_whitespace().map(|argument| argument.replace('␣', " "));
    let output = command.args(["-nostdin", "-y"]).args(arguments).current_dir(folder).output().expect("ffmpeg runs");
    assert!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: Option<i32>,
    /// Its summary.
    pub stdout: String,
    /// Its progress, warnings and errors.
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program in `folder` with arguments divided by spaces.
pub fn run(folder: &Path, arguments: &str) -> Run {
    let output = Command::new(example("transcode")).args(arguments.split_whitespace()).current_dir(folder).output();
    output.expect("the program runs").into()
}

/// Runs it with plain resampling, the fastest model, and asserts success.
#[track_caller]
pub fn transcode(folder: &Path, arguments: &str) -> Run {
    let run = run(folder, &format!("{arguments} --model bicubic"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("done: "), "{run:?}");
    run
}

/// Streams, chapters and container of a file, as ffprobe says.
#[track_caller]
pub fn probe(path: &Path) -> Value {
    json(path, &["-show_streams", "-show_chapters", "-show_format"])
}

/// The frames of a file's first video stream.
#[track_caller]
pub fn frames(path: &Path) -> Vec<Value> {
    let value = json(path, &["-select_streams", "v:0", "-show_frames"]);
    value["frames"].as_array().cloned().unwrap_or_default()
}

/// The times at which the packets of the first stream of a kind are shown (`v`, `a` or `s`), in seconds, sorted.
#[track_caller]
pub fn packet_times(path: &Path, kind: &str) -> Vec<f64> {
    let value = json(path, &["-select_streams", &format!("{kind}:0"), "-show_packets"]);
    let packets = value["packets"].as_array().expect("packets");
    let time =
        |packet: &Value| packet["pts_time"].as_str().and_then(|text| text.parse().ok()).expect("a packet's time");
    let mut times: Vec<f64> = packets.iter().map(time).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[track_caller]
fn json(path: &Path, arguments: &[&str]) -> Value {
    let mut command = srup_tests::ffmpeg_tool("ffprobe").expect("asked for before");
    let output = command.args(["-of", "json"]).args(arguments).arg(path).output().expect("ffprobe runs");
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON")
}

/// The first stream of a kind, `video` for example, that is no cover art.
#[track_caller]
pub fn stream<'a>(file: &'a Value, kind: &str) -> &'a Value {
    let cover = |stream: &Value| stream["disposition"]["attached_pic"] == 1;
    let streams = file["streams"].as_array().expect("streams");
    streams.iter().find(|stream| stream["codec_type"] == kind && !cover(stream)).expect(kind)
}

/// An entry of a list of side data by its kind.
pub fn side_data<'a>(owner: &'a Value, kind: &str) -> Option<&'a Value> {
    owner["side_data_list"].as_array()?.iter().find(|data| data["side_data_type"] == kind)
}

/// A frame's time in seconds.
pub fn time(frame: &Value) -> f64 {
    frame["best_effort_timestamp_time"].as_str().and_then(|text| text.parse().ok()).expect("a frame's time")
}

/// The value of a fraction that ffprobe writes, `1/25` for example.
#[track_caller]
pub fn number(fraction: &Value) -> f64 {
    let (numerator, denominator) = fraction.as_str().and_then(|text| text.split_once('/')).expect("a fraction");
    numerator.parse::<f64>().expect("a number") / denominator.parse::<f64>().expect("a number")
}

/// Asserts that two files have the same number of frames at the same times, to one tick of the second's time base; those of an
/// MPEG-TS count from its start. Returns the number.
#[track_caller]
pub fn assert_same_times(from: &Path, to: &Path) -> usize {
    let (before, after) = (frames(from), frames(to));
    assert_eq!(before.len(), after.len(), "frames of {} and {}", from.display(), to.display());
    let tick = number(&stream(&probe(to), "video")["time_base"]);
    let start = match from.extension() {
        Some(extension) if extension == "ts" => {
            let stated = &probe(from)["format"]["start_time"];
            stated.as_str().and_then(|text| text.parse().ok()).expect("a time")
        }
        _ => 0.0,
    };
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        let (before, after) = (time(before) - start, time(after));
        assert!((before - after).abs() <= tick * 1.001, "frame {number}: {before} became {after}, a tick is {tick}");
    }
    after.len()
}

/// Asserts that the tags that say what the codes mean, and the shape of a pixel, are the same in both files; but for the matrix
/// that goes without saying, which is said once players would take another for the size.
#[track_caller]
pub fn assert_same_colour(from: &Path, to: &Path) {
    let (before, after) = (probe(from), probe(to));
    let (before, after) = (stream(&before, "video"), stream(&after, "video"));
    let standard = |stream: &Value| stream["width"].as_u64() <= Some(1024) && stream["height"].as_u64() <= Some(576);
    let implied = before["color_space"].is_null() && standard(before) && !standard(after);
    for key in ["color_range", "color_space", "color_transfer", "color_primaries", "sample_aspect_ratio"] {
        match key {
            "color_space" if implied => assert_eq!(after[key], "smpte170m"),
            // Streams that say the one say the other.
            "color_range" if implied && before[key].is_null() => assert_eq!(after[key], "tv"),
            _ => assert_eq!(before[key], after[key], "{key} of {}", to.display()),
        }
    }
    // FFmpeg's decoders of H.264 and HEVC say "left" where the stream says nothing, as their standards do; others say nothing.
    let siting = |stream: &Value| stream["chroma_location"].as_str().unwrap_or("left").to_owned();
    assert_eq!(siting(before), siting(after), "chroma location of {}", to.display());
}

/// The names in a folder, sorted.
pub fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// How near the frames of `to` are to those of `from`, enlarged by FFmpeg's own bicubic filter: PSNR in dB over all of RGB.
#[track_caller]
pub fn likeness(from: &Path, to: &Path) -> f64 {
    let file = probe(to);
    let video = stream(&file, "video");
    let size = format!("{}:{}", video["width"], video["height"]);
    let graph = format!("[0]scale={size}:flags=bicubic,format=gbrp[a];[1]format=gbrp[b];[a][b]psnr");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(from)
        .arg("-i")
        .arg(to)
        .args(["-lavfi", &graph, "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let value = text.rsplit_once("average:").and_then(|(_, rest)| rest.split_whitespace().next()).expect(&text);
    if value == "inf" { f64::INFINITY } else { value.parse().expect(&text) }
}
