//! In which numbers networks are computed: what is asked for is taken or refused, `auto` takes what is as good, and `stats`
//! tells which it was.

use gst::prelude::*;
use srup_engine::frame::PixelFormat;
use srup_tests::weights;

use crate::support::{caps, element, harness, info, noise, output_caps, play, visible};

/// What comes out for one buffer on the CPU, and what `stats` says of it.
fn upscaled(model: &str, precision: &str, input: &gst::Caps, buffer: &gst::Buffer) -> (Vec<u8>, String) {
    let element = element(model, 2);
    element.set_property_from_str("backend", "cpu");
    element.set_property_from_str("precision", precision);
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(input.clone());
    let output = harness.push_and_pull(buffer.clone()).unwrap();
    let stats = element.property::<gst::Structure>("stats");
    (visible(&output, &info(&output_caps(&element))), stats.get("engine").unwrap())
}

/// A grey picture with what pictures have: shades, edges, lines, some grain.
fn picture(input: &gst::Caps) -> gst::Buffer {
    let info = info(input);
    let mut buffer = noise(input, 4);
    let mut bytes = buffer.get_mut().unwrap().map_writable().unwrap();
    for (y, row) in bytes.chunks_exact_mut(info.stride()[0] as usize).enumerate() {
        for (x, byte) in row.iter_mut().enumerate() {
            let disc = if (x as i32 - 40).pow(2) + (y as i32 - 30).pow(2) < 400 { 90 } else { 0 };
            let line = if (x + 2 * y) % 29 == 0 { 60 } else { 0 };
            *byte = (20 + x as i32 / 2 + disc + line) as u8 + *byte % 4;
        }
    }
    drop(bytes);
    buffer
}

/// Of photographs 99.4 % of all pixels are within one code; here it is lines of one pixel that are farther off.
#[test]
fn integers_are_mostly_within_one_code_of_floats() {
    let input = caps(PixelFormat::Gray8, 128, 64);
    let buffer = picture(&input);
    for model in ["luma-s", "luma-m"] {
        let (floats, engine) = upscaled(model, "f32", &input, &buffer);
        assert!(engine.contains(&format!("{model} (f32) x2 on cpu (")), "{engine}");
        let (integers, engine) = upscaled(model, "int8", &input, &buffer);
        assert!(engine.contains(&format!("{model} (int8) x2 on cpu (")), "{engine}");
        let apart: Vec<u8> = floats.iter().zip(&integers).map(|(a, b)| a.abs_diff(*b)).collect();
        let (most, far) = (apart.iter().max().unwrap(), apart.iter().filter(|apart| **apart > 1).count());
        assert!((1..=4).contains(most) && far * 50 <= apart.len(), "{model}: {most}, {far} of {}", apart.len());
        // Which is f32 there.
        let (halves, engine) = upscaled(model, "bf16", &input, &buffer);
        assert!(engine.contains("(f32)") && halves == floats, "{engine}");
    }
}

#[test]
fn auto_takes_integers_for_eight_bits_where_the_file_says_that_they_are_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let with = |loss: Option<&str>| {
        let path = weights(folder.path(), "luma-s-x2.safetensors", |metadata| {
            metadata.remove("int8_loss");
            metadata.extend(loss.map(|loss| ("int8_loss".to_owned(), loss.into())));
        });
        path.to_str().unwrap().to_owned()
    };
    let taken = |model: &str, format| {
        let input = caps(format, 48, 32);
        let buffer = noise(&input, 6);
        let (made, engine) = upscaled(model, "auto", &input, &buffer);
        let asked = ["f32", "int8"].map(|precision| upscaled(model, precision, &input, &buffer).0 == made);
        match asked {
            [true, false] if engine.contains("(f32)") => "f32",
            [false, true] if engine.contains("(int8)") => "int8",
            other => panic!("{format}: {engine}, but like f32 and int8: {other:?}"),
        }
    };
    for format in [PixelFormat::I420, PixelFormat::Rgb] {
        assert_eq!(taken("luma-s", format), "int8");
        assert_eq!(taken(&with(Some("0.05")), format), "int8");
        assert_eq!(taken(&with(Some("0.051")), format), "f32");
        assert_eq!(taken(&with(None), format), "f32");
    }
    for format in [PixelFormat::I420_10Le, PixelFormat::P010Le] {
        assert_eq!(taken("luma-s", format), "f32");
    }
}

#[test]
fn a_precision_that_cannot_be_had_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = weights(folder.path(), "luma-s-x2.safetensors", |metadata| {
        metadata.remove("activations");
    });
    for (model, precision, reason) in
        [(unknown.to_str().unwrap(), "int8", "training/calibrate.py"), ("luma-s", "f16", "does not compute in f16")]
    {
        // Both as soon as there are caps, and in the middle of a stream.
        let error = play(&pipeline(model, precision)).unwrap_err();
        assert!(error.contains(reason) && !error.contains('\n'), "{error}");
        let pipeline = pipeline(model, "auto");
        let up = pipeline.clone().downcast::<gst::Bin>().unwrap().by_name("up").unwrap();
        let pad = up.static_pad("src").unwrap();
        let precision = precision.to_owned();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            up.set_property_from_str("precision", &precision);
            gst::PadProbeReturn::Remove
        });
        let error = play(&pipeline).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

/// A pipeline of many small frames on the CPU.
fn pipeline(model: &str, precision: &str) -> gst::Element {
    crate::support::init();
    let text = format!(
        "videotestsrc num-buffers=200 ! video/x-raw,format=I420,width=32,height=32 ! \
         srupscale name=up backend=cpu model={model} precision={precision} ! fakesink"
    );
    gst::parse::launch(&text).unwrap()
}
