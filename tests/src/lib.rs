//! What the whole-system tests share: where the tools and the development data are, and weights with other metadata.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;
use std::{env, fs};

use serde_json::{Map, Value};

/// A part of the development data (`clips`, `eval` or `golden`), in the folder that the environment variable `SRUP_SHARED`
/// names, else in `shared` beside the repository. None, said aloud, where there is none; the test is then to return.
pub fn shared(part: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SRUP_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from)
        .join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no development data at {}; CONTRIBUTING.md says what SRUP_SHARED is", folder.display());
    None
}

/// A copy of built-in weights with other metadata.
pub fn weights(folder: &Path, name: &str, change: impl FnOnce(&mut Map<String, Value>)) -> PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name);
    let bytes = std::fs::read(built_in).unwrap();
    let (header, tensors) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    change(header["__metadata__"].as_object_mut().unwrap());
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let path = folder.join(name);
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), &header[..], tensors].concat()).unwrap();
    path
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

/// The built plugin, which lies beside the test's executable.
pub fn plugin() -> PathBuf {
    let program = env::current_exe().expect("the test knows its own path");
    let name = format!("{}gstsrupscale{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let path = program.with_file_name(name);
    assert!(path.is_file(), "{} was not built with the tests", path.display());
    path
}

/// The program of an example, beside the test's executable. Built first where it is missing or older than its source:
/// `cargo test` builds the unit tests of examples alone. Nobody holds cargo's lock while tests run.
pub fn example(name: &str) -> PathBuf {
    // Tests side by side would each find it missing.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock();
    let executable = env::current_exe().expect("the test knows its own path");
    let profile = executable.parent().and_then(Path::parent).expect("<target>/<profile>/deps/<test>");
    let program = profile.join("examples").join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = format!("examples/{name}");
    let sources =
        ["examples/src", &own, "engine/src", "plugin/src", "cuda/src", "cuda/ptx", "models", "examples/Cargo.toml"];
    let newest = sources.iter().map(|source| modified(&root.join(source))).max().expect("there are sources");
    if !program.is_file() || modified(&program) < newest {
        build(name, profile, &root);
    }
    program
}

fn build(example: &str, profile: &Path, root: &Path) {
    let folder = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let profile_name = if folder == "debug" { "dev" } else { folder };
    // With the whole workspace's features, as `cargo test --workspace` has built the libraries.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace", "--example", example, "--profile", profile_name])
        .arg("--target-dir")
        .arg(profile.parent().expect("a profile's folder lies in the target folder"))
        .current_dir(root)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the example {example} must build");
}

/// When the newest file under `path` was written.
fn modified(path: &Path) -> SystemTime {
    let own = fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| modified(&entry.path()));
    below.chain([own]).max().unwrap_or(own)
}
