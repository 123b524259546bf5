//! `--clip`: models on a video.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use srup_tests::{example, ffmpeg_tool};

use super::{check_failure, row};

/// Frames of 132x100 that move, so that 128x96 is what is left at scale 4. None, said aloud, without FFmpeg.
fn clip(folder: &Path, frames: usize) -> Option<PathBuf> {
    let path = folder.join("clip.mkv");
    make(&path, &format!("testsrc2=size=132x100:rate=24,trim=end_frame={frames}")).then_some(path)
}

/// Has FFmpeg make a file, lossless. False, said aloud, without FFmpeg.
fn make(path: &Path, source: &str) -> bool {
    let Some(mut command) = ffmpeg_tool("ffmpeg") else { return false };
    command.args(["-y", "-f", "lavfi", "-i", source, "-c:v", "ffv1"]).arg(path);
    assert!(command.status().unwrap().success(), "{source}");
    true
}

/// A program that says it has libvmaf, and gives as the score the bytes that came for each of `frames` frames.
fn scorer(folder: &Path, frames: usize) -> PathBuf {
    let path = folder.join("scorer");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\ncase \"$*\" in *-filters) echo ' .. libvmaf VV->V'; exit;; esac\n\
         echo \"[Parsed_libvmaf_3 @ 0x1] VMAF score: $(($(wc -c) / {frames}))\" >&2\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn evaluate(clip: &Path, arguments: &str) -> Command {
    let mut command = Command::new(example("evaluate"));
    // Whatever FFmpeg lies on the path of this machine is not what is tested.
    command
        .env_remove("SRUP_FFMPEG")
        .env("PATH", "/nowhere")
        .arg("--clip")
        .arg(clip)
        .args(arguments.split_whitespace());
    command
}

#[track_caller]
fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The document of `--json` for the arguments.
#[track_caller]
fn document(clip: &Path, arguments: &str) -> Value {
    let json = clip.with_extension("json");
    let mut command = evaluate(clip, arguments);
    command.arg("--json").arg(&json);
    succeed(command);
    serde_json::from_slice(&fs::read(&json).unwrap()).unwrap()
}

#[test]
fn every_method_is_measured_on_the_frames_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = clip(folder.path(), 12) else { return };
    let plot = folder.path().join("plot.svg");
    let (frames, scorer) = (8, scorer(folder.path(), 8));
    let arguments = format!("--scale 4 --frames {frames} --ffmpeg {} --plot {}", scorer.display(), plot.display());
    let document = document(&clip, &arguments);
    let rows = document["results"].as_array().unwrap();
    for name in ["luma-s", "lanczos", "bicubic"] {
        let row = row(rows, name);
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"));
        assert!(number("psnr") > 10.0 && (0.0..=1.0).contains(&number("ssim")) && number("fps") > 0.0, "{row}");
        let megapixels = 128.0 * 96.0 / 1e6;
        assert!((number("fps") * number("ms_per_mp") * megapixels / 1e3 - 1.0).abs() < 1e-6, "{row}");
        // Truth and result of each frame, in 4:2:0: each as many bytes as it has pixels, and half of that.
        assert_eq!(number("vmaf"), f64::from(2 * 128 * 96 * 3 / 2), "{row}");
        assert!(row.get("degrade").is_none(), "{row}");
    }
    assert!(row(rows, "luma-s")["psnr"].as_f64() > row(rows, "bicubic")["psnr"].as_f64());
    let said = document["measured"].as_str().unwrap();
    assert!(said.starts_with("8 frames of ") && said.ends_with("128x96 at 24 fps, reduced to 32x24"), "{said}");
    assert!(!document["advice"].as_str().unwrap().is_empty());
    let plot = fs::read_to_string(plot).unwrap();
    for word in ["luma-s", "lanczos", "bicubic", "real time"] {
        assert!(plot.contains(word), "{word}");
    }
}

/// Black frames come out as they were, whoever enlarges them.
#[test]
fn of_a_long_clip_the_middle_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fades.mkv");
    let part = |source: &str| format!("{source}:size=64x64:rate=24,trim=end_frame=12,format=yuv420p");
    let (black, moving) = (part("color=black"), part("testsrc2=alpha=255"));
    if !make(&path, &format!("{black}[a];{moving}[b];{black}[c];[a][b][c]concat=n=3")) {
        return;
    }
    let psnr = |frames: usize| {
        let document = document(&path, &format!("--scale 2 --model bicubic --frames {frames}"));
        row(document["results"].as_array().unwrap(), "bicubic")["psnr"].as_f64().unwrap()
    };
    let (middle, all) = (psnr(8), psnr(36));
    // A third of the frames with the same error: 10 log10(3) dB.
    assert!((all - middle - 4.77).abs() < 0.5, "{middle} {all}");
}

#[test]
fn compression_that_presses_harder_makes_every_method_worse() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = clip(folder.path(), 12) else { return };
    let quality = |degrade: &str| {
        let document = document(&clip, &format!("--scale 2 --model luma-s {degrade}"));
        let rows = document["results"].as_array().unwrap();
        ["luma-s", "lanczos"].map(|name| row(rows, name)["psnr"].as_f64().unwrap())
    };
    let [clean, fine, coarse] = ["", "--degrade crf=12", "--degrade crf=44"].map(quality);
    for method in 0..2 {
        assert!(clean[method] > fine[method] && fine[method] > coarse[method] + 2.0, "{clean:?} {fine:?} {coarse:?}");
    }
}

#[test]
fn without_libvmaf_the_rest_is_measured_and_the_note_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = clip(folder.path(), 2) else { return };
    let output = evaluate(&clip, "--scale 2 --model bicubic").output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && noted.contains("make vmaf") && noted.lines().count() == 1, "{noted}");
    assert!(!said.contains("VMAF") && said.contains("advice: no network was measured"), "{said}");
}

/// The real thing, where `SRUP_FFMPEG` names an FFmpeg with libvmaf: what is enlarged better is scored higher, and nothing
/// scores above the truth.
#[test]
fn vmaf_is_that_of_libvmaf() {
    let Some(program) = std::env::var_os("SRUP_FFMPEG") else {
        return eprintln!("skipped: no FFmpeg with libvmaf; set SRUP_FFMPEG to what `make vmaf` prints");
    };
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = clip(folder.path(), 4) else { return };
    let document = document(&clip, &format!("--scale 2 --model luma-s --ffmpeg {}", program.display()));
    let rows = document["results"].as_array().unwrap();
    let vmaf = ["luma-s", "lanczos", "bicubic"].map(|name| row(rows, name)["vmaf"].as_f64().unwrap());
    assert!(vmaf[0] > vmaf[2] && vmaf.iter().all(|vmaf| (1.0..100.0).contains(vmaf)), "{vmaf:?}");
}

#[test]
fn what_is_wrong_with_a_clip_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clip) = clip(folder.path(), 2) else { return };
    let rubbish = folder.path().join("rubbish.mp4");
    fs::write(&rubbish, b"no video").unwrap();
    let fail = |clip: &Path, arguments: &str, expected: &str| {
        let output: Output = evaluate(clip, arguments).output().unwrap();
        check_failure(&output, expected);
    };
    fail(&folder.path().join("nowhere.mp4"), "--scale 2", "no such file");
    fail(folder.path(), "--scale 2", "is a folder");
    fail(&rubbish, "--scale 2", "it is no video file");
    let (sound, small) = (folder.path().join("sound.wav"), folder.path().join("small.mkv"));
    assert!(make(&sound, "sine=duration=0.1") && make(&small, "testsrc2=size=40x17:duration=0.1"));
    fail(&sound, "--scale 2", "has no video stream");
    fail(&small, "--scale 3", "too small: at scale 3 each side must have 18");
    fail(&clip, "--scale 2 --ffmpeg /nowhere/ffmpeg", "/nowhere/ffmpeg cannot be started");
    fail(&clip, "--scale 2 --ffmpeg /bin/true", "/bin/true has no filter libvmaf");
    fail(&clip, "--scale 2 --ffmpeg /bin/false", "/bin/false has no filter libvmaf");
}
