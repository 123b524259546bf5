//! The example `demo`, run as `make demo` runs it.

use std::path::Path;
use std::process::Command;

use srup_tests::{example, ffmpeg_tool, plugin};

/// Frames of the clip.
const FRAMES: usize = 10;

/// An interlaced clip as DVDs have it, of 96x72 pixels. False, said aloud, where something is missing.
fn make(path: &Path) -> bool {
    let Some(mut command) = ffmpeg_tool("ffmpeg") else { return false };
    if ffmpeg_tool("ffprobe").is_none() {
        return false;
    }
    gst::init().expect("GStreamer starts");
    for name in ["mpegpsdemux", "avdec_mpeg2video", "deinterlace", "x264enc", "matroskamux", "progressreport"] {
        if gst::ElementFactory::find(name).is_none() {
            eprintln!("skipped: GStreamer has no {name}; install its good, bad, ugly and libav plugins");
            return false;
        }
    }
    if Command::new("gst-launch-1.0").arg("--version").output().is_err() {
        eprintln!("skipped: no gst-launch-1.0 on the path; install the package gstreamer1.0-tools");
        return false;
    }
    let source = format!("testsrc2=size=96x72:rate=50,trim=end_frame={},interlace", 2 * FRAMES);
    command.args(["-f", "lavfi", "-i", &source, "-c:v", "mpeg2video", "-flags", "+ilme+ildct"]).arg(path);
    assert!(command.status().unwrap().success());
    true
}

/// `width,height,frames` of a video that is not interlaced.
fn describe(path: &Path) -> String {
    let mut command = ffmpeg_tool("ffprobe").expect("asked for before");
    command.args(["-select_streams", "V:0", "-count_frames", "-of", "csv=p=0", "-show_entries"]);
    let output = command.arg("stream=width,height,field_order,nb_read_frames").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_interlaced_clip_becomes_progressive_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.vob");
    if !make(&clip) {
        return;
    }
    // Which of several plugins GStreamer finds is not left to chance.
    let library = plugin();
    std::fs::copy(&library, folder.path().join(library.file_name().unwrap())).unwrap();
    // It runs `transcode`, which lies beside it.
    example("transcode");
    let out = folder.path().join("out");
    let output = Command::new(example("demo"))
        .args(["--model", "bicubic", "--out"])
        .args([&out, &clip])
        .env("GST_PLUGIN_PATH", folder.path())
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("clip.vob: 96x72, interlaced, 10 frames; "), "{said}");
    for name in ["clip-gstreamer.mkv", "clip-transcode.mkv"] {
        assert_eq!(describe(&out.join(name)), format!("192,144,progressive,{FRAMES}"), "{name}");
    }
    assert!(out.join("clip-restored.png").is_file() && out.join("clip-report.txt").is_file(), "{said}");
}
