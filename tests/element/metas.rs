//! What travels with a frame arrives with it, in the units of the larger frame.

use gst::prelude::*;
use gst_video::{
    VideoAffineTransformationMeta, VideoBarMeta, VideoCaptionMeta, VideoCaptionType, VideoCropMeta, VideoMeta,
    VideoOverlayComposition, VideoOverlayCompositionMeta, VideoOverlayFormatFlags, VideoOverlayRectangle,
    VideoRegionOfInterestMeta, VideoTimeCode, VideoTimeCodeFlags, VideoTimeCodeMeta,
};
use srup_engine::frame::PixelFormat;

use crate::support::{caps, element, harness, noise};

/// One frame of 32x24 through the element, three times as large.
fn through(prepare: impl FnOnce(&mut gst::BufferRef)) -> gst::Buffer {
    let element = element("bicubic", 3);
    let mut harness = harness(&element);
    harness.add_propose_allocation_meta(VideoMeta::meta_api(), None);
    harness.play();
    let input = caps(PixelFormat::I420, 32, 24);
    harness.set_src_caps(input.clone());
    let mut buffer = noise(&input, 1);
    prepare(buffer.get_mut().unwrap());
    harness.push_and_pull(buffer).unwrap()
}

#[test]
fn times_and_flags_are_kept() {
    let flags = gst::BufferFlags::DISCONT | gst::BufferFlags::MARKER | gst::BufferFlags::CORRUPTED;
    let output = through(|buffer| {
        buffer.set_pts(gst::ClockTime::from_mseconds(1234));
        buffer.set_dts(gst::ClockTime::from_mseconds(1230));
        buffer.set_duration(gst::ClockTime::from_mseconds(7));
        buffer.set_flags(flags);
    });
    assert_eq!(output.pts(), Some(gst::ClockTime::from_mseconds(1234)));
    assert_eq!(output.dts(), Some(gst::ClockTime::from_mseconds(1230)));
    assert_eq!(output.duration(), Some(gst::ClockTime::from_mseconds(7)));
    assert!(output.flags().contains(flags), "{:?}", output.flags());
    let plain = through(|buffer| buffer.set_pts(gst::ClockTime::NONE));
    assert_eq!((plain.pts(), plain.duration()), (None, None));
    assert!(!plain.flags().intersects(gst::BufferFlags::MARKER | gst::BufferFlags::CORRUPTED));
}

#[test]
fn captions_time_codes_and_reference_times_are_copied() {
    let reference: gst::Caps = "timestamp/x-ntp".parse().unwrap();
    let code = VideoTimeCode::new(gst::Fraction::new(25, 1), None, VideoTimeCodeFlags::empty(), 1, 2, 3, 4, 0);
    let output = through(|buffer| {
        VideoCaptionMeta::add(buffer, VideoCaptionType::Cea608S3341a, &[0x80, 0x94, 0x2c]);
        VideoTimeCodeMeta::add(buffer, &code.clone().try_into().unwrap());
        gst::ReferenceTimestampMeta::add(buffer, &reference, gst::ClockTime::from_seconds(9), gst::ClockTime::NONE);
    });
    let caption = output.meta::<VideoCaptionMeta>().unwrap();
    assert_eq!((caption.caption_type(), caption.data()), (VideoCaptionType::Cea608S3341a, &[0x80, 0x94, 0x2c][..]));
    assert_eq!(output.meta::<VideoTimeCodeMeta>().unwrap().tc().to_string(), "01:02:03:04");
    let time = output.meta::<gst::ReferenceTimestampMeta>().unwrap();
    assert_eq!((time.timestamp(), time.reference_owned()), (gst::ClockTime::from_seconds(9), reference));
}

#[test]
fn regions_of_interest_are_scaled_with_their_parameters() {
    let output = through(|buffer| {
        let mut face = VideoRegionOfInterestMeta::add(buffer, "face", (3, 4, 10, 12));
        face.set_id(5);
        face.add_param(gst::Structure::builder("detection").field("confidence", 0.5).build());
        VideoRegionOfInterestMeta::add(buffer, "eye", (5, 6, 2, 1)).set_parent_id(5);
    });
    let regions: Vec<_> = output.iter_meta::<VideoRegionOfInterestMeta>().collect();
    assert_eq!(regions.len(), 2);
    assert_eq!((regions[0].roi_type(), regions[0].rect(), regions[0].id()), ("face", (9, 12, 30, 36), 5));
    assert!(regions[0].param("detection").is_some());
    assert_eq!((regions[1].roi_type(), regions[1].rect(), regions[1].parent_id()), ("eye", (15, 18, 6, 3), 5));
}

#[test]
fn a_crop_rectangle_within_the_frame_is_scaled() {
    let output = through(|buffer| {
        VideoCropMeta::add(buffer, (2, 4, 20, 10));
    });
    assert_eq!(output.meta::<VideoCropMeta>().unwrap().rect(), (6, 12, 60, 30));
}

#[test]
fn bars_are_scaled_and_orientation_is_copied() {
    let turned = [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.5, 0.25, 0.0, 1.0]];
    let output = through(|buffer| {
        VideoBarMeta::add(buffer, 0, true, 3, 21);
        VideoAffineTransformationMeta::add(buffer, Some(&turned));
    });
    let bars = output.meta::<VideoBarMeta>().unwrap();
    assert_eq!((bars.is_letterbox(), bars.bar_data1(), bars.bar_data2()), (true, 9, 63));
    assert_eq!(output.meta::<VideoAffineTransformationMeta>().unwrap().matrix(), &turned);
}

#[test]
fn overlays_are_shown_at_the_scaled_place() {
    let output = through(|buffer| {
        let mut pixels = gst::Buffer::from_slice(vec![255_u8; 4 * 8 * 4]);
        VideoMeta::add(
            pixels.get_mut().unwrap(),
            gst_video::VideoFrameFlags::empty(),
            gst_video::VideoFormat::Bgra,
            8,
            4,
        )
        .unwrap();
        let rectangle = VideoOverlayRectangle::new_raw(&pixels, -2, 5, 8, 4, VideoOverlayFormatFlags::empty());
        VideoOverlayCompositionMeta::add(buffer, &VideoOverlayComposition::new([&rectangle]).unwrap());
    });
    let composition = output.meta::<VideoOverlayCompositionMeta>().unwrap().overlay_owned();
    assert_eq!(composition.n_rectangles(), 1);
    assert_eq!(composition.rectangle(0).unwrap().render_rectangle(), (-6, 15, 24, 12));
}

#[test]
fn what_is_of_the_memory_stays_behind() {
    let output = through(|buffer| {
        gst::meta::CustomMeta::register("srup-test-untagged", &[]);
        gst::meta::CustomMeta::register("srup-test-memory", &["memory"]);
        gst::meta::CustomMeta::add(buffer, "srup-test-untagged").unwrap().mut_structure().set("kept", 7);
        gst::meta::CustomMeta::add(buffer, "srup-test-memory").unwrap();
        gst::ParentBufferMeta::add(buffer, &gst::Buffer::new());
        let info = crate::support::info(&caps(PixelFormat::I420, 32, 24));
        VideoMeta::add_from_info(buffer, gst_video::VideoFrameFlags::empty(), &info).unwrap();
    });
    let kept = gst::meta::CustomMeta::from_buffer(&output, "srup-test-untagged").unwrap();
    assert_eq!(kept.structure().get::<i32>("kept"), Ok(7));
    assert!(gst::meta::CustomMeta::from_buffer(&output, "srup-test-memory").is_err());
    assert!(output.meta::<gst::ParentBufferMeta>().is_none());
    let layouts: Vec<_> = output.iter_meta::<VideoMeta>().map(|meta| (meta.width(), meta.height())).collect();
    assert_eq!(layouts, [(96, 72)]);
}

/// Who reads a buffer wants to know of its own picture.
#[test]
fn one_element_behind_another_tells_only_of_itself() {
    let output = through(|buffer| {
        let mut meta = gst::meta::CustomMeta::add(buffer, "SrUpscaleMeta").unwrap();
        meta.mut_structure().set("model", "luma-m");
    });
    let told: Vec<_> = output
        .iter_meta::<gst::Meta>()
        .filter_map(|meta| {
            meta.try_as_custom_meta()
                .filter(|meta| meta.has_name("SrUpscaleMeta"))
                .map(|meta| meta.structure().get::<String>("model").unwrap())
        })
        .collect();
    assert_eq!(told, ["bicubic"]);
}
