//! Errors stop the stream with one line that says what to do; none is a warning with rubbish behind it.

use std::path::{Path, PathBuf};

use gst::prelude::*;
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};
use srup_engine::BackendKind;
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, element, harness, info, noise, watch_errors};
use srup_tests::weights;

fn built_in_weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/luma-s-x2.safetensors")
}

/// The state change fails and the bus says why.
#[track_caller]
fn refused(element: &gst::Element) -> String {
    let error = watch_errors(element);
    assert!(element.set_state(gst::State::Paused).is_err(), "the state change should fail");
    let text = error().expect("an error on the bus");
    element.set_state(gst::State::Null).unwrap();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn an_unknown_model_is_told_with_the_names_that_exist() {
    let text = refused(&element("luma-xxl", 2));
    assert!(text.contains("unknown model 'luma-xxl'"), "{text}");
    for name in ["luma-s", "bicubic", "lanczos", ".safetensors"] {
        assert!(text.contains(name), "{name} is missing in: {text}");
    }
}

#[test]
fn a_missing_or_damaged_file_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.safetensors");
    assert!(refused(&element(missing.to_str().unwrap(), 2)).contains("none.safetensors"));
    let damaged = folder.path().join("damaged.safetensors");
    std::fs::write(&damaged, b"not weights at all").unwrap();
    assert!(refused(&element(damaged.to_str().unwrap(), 2)).contains("damaged.safetensors"));
}

#[test]
fn missing_weights_for_a_scale_are_told_with_those_that_exist() {
    let text = refused(&element(built_in_weights().to_str().unwrap(), 3));
    assert!(text.contains("has no weights for scale 3: it has 2"), "{text}");
}

#[test]
fn a_missing_backend_is_told_and_auto_does_without() {
    let Err(reason) = srup_engine::backend::open(BackendKind::Cuda, 0) else {
        eprintln!("skipped: this machine has a CUDA device");
        return;
    };
    let cuda = bicubic();
    cuda.set_property_from_str("backend", "cuda");
    assert_eq!(refused(&cuda), reason.to_string());
    let auto = bicubic();
    auto.set_state(gst::State::Paused).unwrap();
    auto.set_state(gst::State::Null).unwrap();
}

#[test]
fn after_a_refusal_a_right_setting_works() {
    let element = element("luma-xxl", 2);
    refused(&element);
    element.set_property("model", "bicubic");
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
}

/// Pushes a buffer that is to be refused; the error's text.
#[track_caller]
fn bad_buffer(input: &gst::Caps, buffer: gst::Buffer) -> String {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(input.clone());
    let error = watch_errors(&element);
    assert_eq!(harness.push(buffer), Err(gst::FlowError::Error));
    assert!(harness.try_pull().is_none(), "rubbish came out");
    error().expect("an error on the bus")
}

#[test]
fn a_short_buffer_is_an_error_with_the_sizes() {
    let input = caps(PixelFormat::I420, 64, 32);
    for size in [0, 1, 2047, 64 * 32, 3071] {
        let text = bad_buffer(&input, gst::Buffer::with_size(size).unwrap());
        assert!(text.contains(&format!("a buffer of {size} bytes")) && text.contains("is needed"), "{text}");
    }
}

#[test]
fn a_layout_that_leaves_the_buffer_or_does_not_fit_the_caps_is_an_error() {
    let input = caps(PixelFormat::Gray8, 64, 32);
    let with = |format, width, height, offset: usize, stride: i32| {
        let mut buffer = gst::Buffer::with_size(64 * 64).unwrap();
        let flags = VideoFrameFlags::empty();
        VideoMeta::add_full(buffer.get_mut().unwrap(), flags, format, width, height, &[offset], &[stride]).unwrap();
        buffer
    };
    let gray = VideoFormat::Gray8;
    assert!(bad_buffer(&input, with(gray, 64, 32, 3000, 64)).contains("size is"));
    assert!(bad_buffer(&input, with(gray, 64, 32, 1 << 40, 64)).contains("size is"));
    assert!(bad_buffer(&input, with(gray, 64, 32, 0, 63)).contains("stride is 63"));
    assert!(bad_buffer(&input, with(gray, 64, 32, 2048, -64)).contains("backwards"));
    assert!(bad_buffer(&input, with(gray, 63, 32, 0, 64)).contains("GRAY8 63x32"));
    assert!(bad_buffer(&input, with(gray, 64, 16, 0, 64)).contains("GRAY8 64x16"));
    assert!(bad_buffer(&input, with(VideoFormat::Rgb, 64, 32, 0, 64)).contains("RGB 64x32"));
}

/// The last row of a plane need not be padded.
#[test]
fn a_buffer_that_ends_with_its_last_pixel_is_enough() {
    let input = caps(PixelFormat::Gray8, 62, 4);
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(input.clone());
    assert_eq!(info(&input).stride()[0], 64);
    harness.push_and_pull(gst::Buffer::from_slice(vec![7_u8; 64 * 3 + 62])).unwrap();
}

/// The largest halves in all weights of a file.
fn poisoned(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for value in bytes[8 + header..].chunks_exact_mut(2) {
        value.copy_from_slice(&0x7bff_u16.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

/// Each of the weights is a number, what a network of seven layers makes of them is not.
#[test]
fn weights_that_give_no_number_stop_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    // Integers would be held where they end.
    let path = weights(folder.path(), "luma-m-x2.safetensors", |metadata| drop(metadata.remove("activations")));
    poisoned(&path);
    let element = element(path.to_str().unwrap(), 2);
    let mut harness = harness(&element);
    let error = watch_errors(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 32, 32);
    harness.set_src_caps(input.clone());
    // The frame is on its way when it is found out.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while harness.push(noise(&input, 1)).is_ok() && std::time::Instant::now() < end {}
    assert!(harness.try_pull().is_none(), "rubbish came out");
    let text = error().expect("an error on the bus");
    assert!(text.contains("not a number"), "{text}");
}

#[test]
fn weights_that_no_integers_can_stand_for_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = weights(folder.path(), "luma-s-x2.safetensors", |_| {});
    poisoned(&path);
    let element = element(path.to_str().unwrap(), 2);
    let error = watch_errors(&element);
    assert!(element.set_state(gst::State::Paused).is_err());
    let text = error().expect("an error on the bus");
    assert!(text.contains("luma-s-x2.safetensors") && text.contains("training/calibrate.py"), "{text}");
    element.set_state(gst::State::Null).unwrap();
}

#[test]
fn a_model_that_becomes_unknown_while_playing_is_an_error_not_a_wrong_picture() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    let error = watch_errors(&element);
    element.set_property("model", "luma-xxl");
    assert_eq!(harness.push(noise(&input, 2)), Err(gst::FlowError::Error));
    assert!(error().unwrap().contains("unknown model"));
}
