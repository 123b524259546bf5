//! What the whole-system tests share: where the tools and the development data are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The development data (`clips`, `eval`, `golden`): the folder that the environment variable `SRUP_SHARED` names, else
/// `shared` beside the repository. None, said aloud, where there is none; the test is then to return.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("SRUP_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no development data at {}; set SRUP_SHARED to its folder", folder.display());
    None
}

/// A command for a tool of FFmpeg, `ffmpeg` or `ffprobe`, found on the path and silent but for errors. None, said
/// aloud, where it is not installed; the test is then to return.
pub fn ffmpeg_tool(name: &str) -> Option<Command> {
    let probe = Command::new(name).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no {name} on the path; install the package ffmpeg");
        return None;
    }
    let mut command = Command::new(name);
    command.args(["-hide_banner", "-loglevel", "error"]);
    Some(command)
}
