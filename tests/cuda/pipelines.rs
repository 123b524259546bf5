//! A pipeline with the element, and the example `transcode`, on the device.

use std::path::Path;
use std::process::Command;

use gst::prelude::*;
use ptx_standin::harness;
use srup_tests::{example, ffmpeg_tool};

/// The buffers that a pipeline's sink gets.
fn buffers(properties: &str) -> Vec<Vec<u8>> {
    gst::init().unwrap();
    let _ = gstsrupscale::plugin_register_static();
    let text = format!(
        "videotestsrc num-buffers=3 pattern=zone-plate kx2=20 ky2=20 ! video/x-raw,format=NV12,width=70,height=38 ! \
         srupscale {properties} ! fakesink name=sink signal-handoffs=true"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    sink.connect("handoff", false, move |values| {
        let buffer = values[1].get::<gst::Buffer>().unwrap();
        sender.send(buffer.map_readable().unwrap().to_vec()).unwrap();
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(message.expect("an end").type_(), gst::MessageType::Eos);
    drop((pipeline, sink));
    receiver.try_iter().collect()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares).log10()
}

#[test]
fn a_pipeline_gives_the_frames_of_the_cpu() {
    if let Some(outcome) = harness::rerun("pipelines::a_pipeline_gives_the_frames_of_the_cpu", &[]) {
        return outcome.assert_clean();
    }
    let (cuda, cpu) = (buffers("backend=cuda"), buffers("backend=cpu precision=f32"));
    assert_eq!((cuda.len(), cpu.len()), (3, 3));
    for (cuda, cpu) in cuda.iter().zip(&cpu) {
        assert!(psnr(cuda, cpu) >= 60.0, "{} dB", psnr(cuda, cpu));
    }
}

/// Runs the example; the stand-in is its driver, but where a real one is asked for.
fn transcode(folder: &Path, arguments: &str) {
    let mut command = Command::new(example("transcode"));
    if !harness::is_real() {
        let drivers = ptx_standin::install(&folder.join("driver")).unwrap();
        command.env("LD_LIBRARY_PATH", harness::library_path(&drivers));
    }
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn transcode_gives_the_frames_of_the_cpu() {
    let Some(mut ffmpeg) = ffmpeg_tool("ffmpeg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = ffmpeg
        .args("-f lavfi -i testsrc2=size=70x38:rate=25:duration=0.2 -pix_fmt yuv420p -c:v ffv1 in.mkv".split(' '))
        .current_dir(folder)
        .status();
    assert!(made.unwrap().success());
    let raw = |backend: &str, precision: &str| {
        let engine = format!("--backend {backend} --precision {precision}");
        transcode(folder, &format!("in.mkv {backend}.mkv --codec ffv1 {engine}"));
        let mut ffmpeg = ffmpeg_tool("ffmpeg").unwrap();
        let decode = format!("-i {backend}.mkv -f rawvideo -pix_fmt yuv420p -");
        let output = ffmpeg.args(decode.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let (cuda, cpu) = (raw("cuda", "auto"), raw("cpu", "f32"));
    assert_eq!(cuda.len(), 5 * 140 * 76 * 3 / 2);
    assert!(psnr(&cuda, &cpu) >= 60.0, "{} dB", psnr(&cuda, &cpu));
}
