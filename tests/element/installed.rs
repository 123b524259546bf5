//! The plugin as a file, found and run by GStreamer's own tools.

use std::path::Path;
use std::process::{Command, Output};

use srup_tests::plugin;

/// Runs a tool of GStreamer that finds the plugin in `folder` alone, with a registry of its own. None, said aloud, where
/// the tool is not installed. Objects that are alive at the end are listed on its standard error.
fn tool(name: &str, folder: &Path, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(name)
        .args(arguments)
        .env("GST_PLUGIN_PATH", folder)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .env("GST_TRACERS", "leaks")
        .env("GST_DEBUG", "GST_TRACER:7")
        .env("GST_DEBUG_NO_COLOR", "1")
        .env("G_DEBUG", "fatal-warnings")
        .env("LC_ALL", "C")
        .output();
    output.inspect_err(|error| eprintln!("skipped: {name}: {error}; install gstreamer1.0-tools")).ok()
}

fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let library = plugin();
    std::fs::copy(&library, folder.path().join(library.file_name().unwrap())).unwrap();
    folder
}

#[test]
fn gst_inspect_teaches_what_the_properties_do() {
    let folder = installed();
    let Some(output) = tool("gst-inspect-1.0", folder.path(), &["srupscale"]) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let models = format!("one of {}, or the path of a .safetensors file", srup_engine::model::names().join(", "));
    for part in [
        models.as_str(),
        "Filter/Effect/Converter/Scaler/Video",
        "Super-resolution upscaler",
        "The srupscale authors",
        "bicubic and lanczos are plain resampling",
        "String. Default: \"luma-s\"",
        "2, 3 or 4, as far as the model has weights",
        "Unsigned Integer. Range: 2 - 4 Default: 2",
        "an error where there is no NVIDIA GPU",
        "(0): auto",
        "(1): cpu",
        "(2): cuda",
        "0 takes as many as the process may use",
        "interlace-mode: progressive",
        "width: [ 1, 8192 ]",
        "width: [ 2, 16384 ]",
    ] {
        assert!(text.contains(part), "'{part}' is missing in:\n{text}");
    }
    assert!(!text.contains("(null)"), "{text}");
}

#[test]
fn gst_launch_runs_it_and_tells_what_is_wrong() {
    let folder = installed();
    let launch = |line: &str| tool("gst-launch-1.0", folder.path(), &line.split(' ').collect::<Vec<_>>());
    let alive = |text: &str| text.lines().filter(|line| line.contains("object-alive, type-name=(string)Gst")).count();
    let source = "-v videotestsrc num-buffers=3 ! video/x-raw,format=I420,width=64,height=48 !";
    let Some(output) = launch(&format!("{source} srupscale ! video/x-raw,width=128 ! fakesink")) else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("Got EOS"), "{text}");
    assert!(text.contains("width=(int)128, height=(int)96"), "{text}");
    assert!(!text.contains("CRITICAL") && !text.contains("WARNING"), "{text}");
    assert_eq!(alive(&text), 0, "objects leaked: {text}");

    let output = launch(&format!("{source} srupscale model=lama ! fakesink")).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(alive(&text), 0, "objects leaked: {text}");
    let error = format!("unknown model 'lama': use one of {}", srup_engine::model::names().join(", "));
    assert!(!output.status.success() && text.contains(&error), "{text}");
}
