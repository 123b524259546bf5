//! How a run ends that is stopped, or that nobody listens to.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use srup_tests::example;

use crate::tools::{ffmpeg, frames, listing, workshop};

/// A clip that takes some seconds, and is not done when its first frames are.
fn make_long_clip(folder: &Path) {
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=640x360:rate=25:duration=80 -f lavfi -i sine=duration=80 -c:v libx264 -preset ultrafast in.mkv",
    );
}

/// Starts the program with plain resampling and arguments divided by spaces.
fn start(folder: &Path, arguments: &str) -> Child {
    let mut command = Command::new(example("transcode"));
    command.args(arguments.split_whitespace()).args(["--model", "bicubic"]).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
}

#[track_caller]
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill sends a signal");
}

#[test]
fn an_interrupt_leaves_a_playable_file() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    make_long_clip(folder);
    let mut child = start(folder, "in.mkv out.mp4");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("frames, ")), "no progress was shown");
    signal(&child, "-INT");
    let rest: Vec<_> = lines.collect();
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("stopping: ")), "{rest:?}");
    let count = frames(&folder.join("out.mp4")).len();
    assert!((1..2000).contains(&count), "{count}");
    assert!(summary.starts_with(&format!("stopped early: {count} frame")), "{count}: {summary}");
    assert_eq!(listing(folder), ["in.mkv", "out.mp4"]);
    ffmpeg(folder, "-xerror -i out.mp4 -f null -");
}

#[test]
fn work_that_nobody_listens_to_any_more_is_kept() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2 -c:v libx264 short.mkv");
    // As `| head -0` leaves it.
    let mut child = start(folder, "short.mkv done.mkv");
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(frames(&folder.join("done.mkv")).len(), 50);
    // Ctrl-C ends a `tee` as well.
    make_long_clip(folder);
    let mut child = start(folder, "in.mkv out.mkv");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("frames, ")), "no progress was shown");
    drop((child.stdout.take(), lines));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!((1..2000).contains(&frames(&folder.join("out.mkv")).len()));
    assert_eq!(listing(folder), ["done.mkv", "in.mkv", "out.mkv", "short.mkv"]);
}
