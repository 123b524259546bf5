//! Real clips, decoded by GStreamer: every frame comes out, when it came in, twice as large.

use std::path::Path;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use crate::support::{engine, info, init, play, visible};

/// What passed a pad.
#[derive(Default)]
struct Seen {
    times: Vec<(Option<gst::ClockTime>, Option<gst::ClockTime>)>,
    caps: Vec<gst::Caps>,
    pictures: Vec<Vec<u8>>,
}

/// Notes what passes a pad; with `pictures` every frame's visible bytes too.
fn watch(element: &gst::Element, pad: &str, pictures: bool) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let notes = seen.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    element.static_pad(pad).unwrap().add_probe(mask, move |_, probe| {
        let mut seen = notes.lock().unwrap();
        if let Some(gst::EventView::Caps(event)) = probe.event().map(|event| event.view()) {
            seen.caps.push(event.caps_owned());
        }
        if let Some(buffer) = probe.buffer() {
            seen.times.push((buffer.pts(), buffer.duration()));
            if pictures {
                let bytes = visible(buffer, &info(seen.caps.last().unwrap()));
                seen.pictures.push(bytes);
            }
        }
        gst::PadProbeReturn::Ok
    });
    seen
}

/// Plays a file; returns what went into the element and what came out.
fn upscale(path: &Path, decode: &str, model: &str, pictures: bool) -> (Seen, Seen) {
    init();
    // GStreamer 1.22 prefers this decoder for VP9 in WebM and then fails for want of an alpha stream, with any element.
    if let Some(alpha) = gst::Registry::get().lookup_feature("vp9alphadecodebin") {
        alpha.set_rank(gst::Rank::NONE);
    }
    let pipeline = gst::parse::launch(&format!(
        "filesrc name=file ! {decode} ! srupscale name=up model={model} ! fakesink sync=false"
    ))
    .unwrap();
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    bin.by_name("file").unwrap().set_property("location", path.to_str().unwrap());
    let up = bin.by_name("up").unwrap();
    let (before, after) = (watch(&up, "sink", pictures), watch(&up, "src", pictures));
    play(&pipeline).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let take = |seen: Arc<Mutex<Seen>>| std::mem::take(&mut *seen.lock().unwrap());
    (take(before), take(after))
}

/// Times are those that came in; caps are those that came in, with twice the size and the same colours.
#[track_caller]
fn check(path: &Path, frames: usize, before: &Seen, after: &Seen) {
    let path = path.display();
    assert_eq!(before.times.len(), frames, "{path}: frames decoded");
    assert_eq!(after.times, before.times, "{path}: times");
    assert!(!after.caps.is_empty() && after.caps.len() == before.caps.len(), "{path}: caps");
    for (small, large) in before.caps.iter().zip(&after.caps) {
        assert_eq!(info(large).colorimetry(), info(small).colorimetry(), "{path}");
        assert_eq!(info(large).chroma_site(), info(small).chroma_site(), "{path}");
        assert_eq!(without_named_defaults(large, small), doubled(small), "{path}");
    }
}

/// Colours that `small` leaves to the defaults of its size are named in `large`, where the defaults would be others.
fn without_named_defaults(large: &gst::Caps, small: &gst::Caps) -> gst::Caps {
    let mut caps = large.clone();
    for field in ["colorimetry", "chroma-site"] {
        if !small.structure(0).unwrap().has_field(field) {
            caps.make_mut().structure_mut(0).unwrap().remove_field(field);
        }
    }
    caps
}

fn doubled(small: &gst::Caps) -> gst::Caps {
    let mut caps = small.clone();
    let structure = caps.make_mut().structure_mut(0).unwrap();
    for field in ["width", "height"] {
        let size = structure.get::<i32>(field).unwrap();
        structure.set(field, 2 * size);
    }
    caps
}

#[test]
fn every_development_clip_keeps_frames_times_and_caps() {
    let Some(clips) = srup_tests::shared("clips") else { return };
    for (file, frames) in [
        ("bbb_nonsquare_pyramid.mp4", 120),
        ("hlg10_hevc.mp4", 9),
        ("ass_subtitles_ac3.mkv", 30),
        ("phone_rotated_vfr.mp4", 25),
        ("hls_cea608.ts", 58),
        ("no_duration.webm", 74),
    ] {
        let path = clips.join(file);
        let (before, after) = upscale(&path, "decodebin ! videoconvert", "bicubic", false);
        check(&path, frames, &before, &after);
    }
}

/// A clip of ten frames that FFmpeg makes; None, said aloud, without FFmpeg.
fn made(folder: &Path, size: &str, codec: &[&str]) -> Option<std::path::PathBuf> {
    let path = folder.join("clip.mkv");
    let source = format!("testsrc2=size={size}:rate=25:duration=0.4,setsar=4/3");
    let mut ffmpeg = srup_tests::ffmpeg_tool("ffmpeg")?;
    let status = ffmpeg.args(["-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p"]).args(codec).arg(&path).status();
    assert!(status.unwrap().success());
    Some(path)
}

#[track_caller]
fn as_the_engine_makes_it(path: &Path, decode: &str) {
    let (before, after) = upscale(path, decode, "luma-s", true);
    check(path, 10, &before, &after);
    let input = info(before.caps.last().unwrap());
    assert_eq!(info(after.caps.last().unwrap()).par(), gst::Fraction::new(4, 3));
    for (n, (small, large)) in before.pictures.iter().zip(&after.pictures).enumerate() {
        assert!(&engine(small, &input, "luma-s", 2) == large, "frame {n}");
    }
}

#[test]
fn a_lossless_clip_comes_out_as_the_engine_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "70x46", &["-c:v", "ffv1"]) else { return };
    as_the_engine_makes_it(&path, "decodebin ! videoconvert");
}

/// H.264 decoders pad their rows (176 pixels to 256 bytes) and hand frames out in another order than they came.
#[test]
fn frames_straight_from_the_decoder_come_out_as_the_engine_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "176x98", &["-c:v", "libx264", "-bf", "2"]) else { return };
    as_the_engine_makes_it(&path, "decodebin");
}
