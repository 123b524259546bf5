//! How a run ends that is stopped, or that nobody listens to.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// Asks it to stop. As Ctrl-C does, which shells have what runs in the background ignore.
#[track_caller]
fn interrupt(child: &Child) {
    signal(child, "-TERM");
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
    interrupt(&child);
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
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!((1..2000).contains(&frames(&folder.join("out.mkv")).len()));
    assert_eq!(listing(folder), ["done.mkv", "in.mkv", "out.mkv", "short.mkv"]);
}

#[test]
fn a_signal_that_is_to_be_ignored_is_ignored() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(folder, "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -c:v libx264 -preset ultrafast in.mkv");
    // As `nohup` starts it, and a shell what runs in the background.
    let script = "trap '' HUP INT; exec \"$0\" in.mkv out.mkv --model bicubic";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(example("transcode")).current_dir(folder);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    // By then it listens.
    assert!(lines.any(|line| line.contains("320x180 to 640x360")));
    signal(&child, "-HUP");
    signal(&child, "-INT");
    let rest: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert_eq!(frames(&folder.join("out.mkv")).len(), 100);
}

#[test]
fn an_interrupt_does_not_wait_for_a_pipe_that_is_silent() {
    let Some(folder) = workshop() else { return };
    let folder = folder.path();
    ffmpeg(
        folder,
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=8 -f lavfi -i sine=duration=8 -c:v libx264 -c:a aac in.mkv",
    );
    assert!(Command::new("mkfifo").arg(folder.join("pipe.mkv")).status().unwrap().success());
    let mut child = start(folder, "pipe.mkv out.mkv");
    let bytes = std::fs::read(folder.join("in.mkv")).unwrap();
    let mut pipe = std::fs::File::options().write(true).open(folder.join("pipe.mkv")).unwrap();
    pipe.write_all(&bytes[..bytes.len() * 3 / 4]).unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("frames, ")), "no progress was shown");
    interrupt(&child);
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it waits for the pipe");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!frames(&folder.join("out.mkv")).is_empty());
    drop(pipe);
}
