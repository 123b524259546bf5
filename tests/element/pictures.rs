//! The pictures are those of the engine, whatever the format, size, stride and memory.

use gst::prelude::*;
use gst_video::prelude::*;
use gst_video::{VideoCropMeta, VideoMeta};
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, element, engine, fill, harness, info, noise, output_caps, visible};

/// One stream through all formats and sizes: also a change of caps at every frame.
#[track_caller]
fn all_formats(model: &str, factor: u32) {
    let element = element(model, factor);
    let mut harness = harness(&element);
    harness.play();
    let mut wrong = Vec::new();
    for format in PixelFormat::ALL {
        for size in 1..=34 {
            let input = caps(format, size, 35 - size);
            let buffer = noise(&input, size as u64);
            harness.set_src_caps(input.clone());
            let output = harness.push_and_pull(buffer.clone()).unwrap();
            let out = info(&output_caps(&element));
            assert_eq!((out.width(), out.height()), (factor * size as u32, factor * (35 - size as u32)));
            let expected = engine(&visible(&buffer, &info(&input)), &info(&input), model, factor);
            if visible(&output, &out) != expected {
                wrong.push(format!("{format} {size}x{}", 35 - size));
            }
        }
    }
    assert!(wrong.is_empty(), "{model} x{factor} differs from the engine: {wrong:?}");
}

#[test]
fn bicubic_equals_the_engine_in_every_format_and_size() {
    all_formats("bicubic", 2);
    all_formats("bicubic", 3);
}

#[test]
fn luma_s_equals_the_engine_in_every_format_and_size() {
    all_formats("luma-s", 2);
}

/// A buffer whose planes start late and whose rows are `padding` bytes too long, filled with noise and, around it, 0xee.
fn padded(input: &gst::Caps, padding: usize, seed: u64) -> gst::Buffer {
    let info = info(input);
    let format = PixelFormat::from_name(info.format().to_str()).unwrap();
    let (mut offsets, mut strides, mut end) = (Vec::new(), Vec::new(), padding);
    for plane in 0..format.planes() {
        let stride = format.row_bytes(plane, info.width() as usize) + padding;
        offsets.push(end);
        strides.push(stride as i32);
        end += stride * format.rows(plane, info.height() as usize) + padding;
    }
    let mut buffer = gst::Buffer::from_mut_slice(vec![0xee_u8; end]);
    let writable = buffer.get_mut().unwrap();
    let flags = gst_video::VideoFrameFlags::empty();
    VideoMeta::add_full(writable, flags, info.format(), info.width(), info.height(), &offsets, &strides).unwrap();
    fill(writable, &info, seed);
    buffer
}

/// Downstream offers a pool with odd strides and borders.
fn offer_padded_pool(harness: &gst_check::Harness) {
    harness.sinkpad().unwrap().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        let Some(gst::QueryViewMut::Allocation(query)) = info.query_mut().map(|query| query.view_mut()) else {
            return gst::PadProbeReturn::Ok;
        };
        let caps = query.get_owned().0.unwrap();
        let pool = gst_video::VideoBufferPool::new();
        let mut config = pool.config();
        let size = gst_video::VideoInfo::from_caps(&caps).unwrap().size() as u32;
        config.set_params(Some(&caps), size, 1, 4);
        config.add_option("GstBufferPoolOptionVideoMeta");
        config.add_option("GstBufferPoolOptionVideoAlignment");
        config.set_video_alignment(&gst_video::VideoAlignment::new(2, 4, 6, 10, &[0; 4]));
        pool.set_config(config).unwrap();
        query.add_allocation_pool(Some(&pool), size, 1, 4);
        query.add_allocation_meta::<VideoMeta>(None);
        gst::PadProbeReturn::Handled
    });
}

#[test]
fn odd_strides_go_in_and_come_out() {
    let mut wrong = Vec::new();
    for format in PixelFormat::ALL {
        for padding in [2, 14, 64] {
            let element = bicubic();
            let mut harness = harness(&element);
            offer_padded_pool(&harness);
            harness.play();
            let input = caps(format, 33, 17);
            harness.set_src_caps(input.clone());
            let buffer = padded(&input, padding, 5);
            let output = harness.push_and_pull(buffer.clone()).unwrap();
            let meta = output.meta::<VideoMeta>().unwrap();
            let tight = format.row_bytes(0, 66) as i32;
            assert!(meta.stride()[0] > tight && meta.offset()[0] > 0, "{format}: downstream's pool was not used");
            let expected = engine(&visible(&buffer, &info(&input)), &info(&input), "bicubic", 2);
            if visible(&output, &info(&output_caps(&element))) != expected {
                wrong.push(format!("{format} padded by {padding}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn downstream_that_knows_no_video_meta_gets_plain_rows() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 33, 17);
    harness.set_src_caps(input.clone());
    let buffer = noise(&input, 1);
    let output = harness.push_and_pull(buffer.clone()).unwrap();
    let plain = info(&output_caps(&element));
    assert_eq!(output.size(), plain.size());
    if let Some(meta) = output.meta::<VideoMeta>() {
        assert_eq!((meta.offset(), meta.stride()), (plain.offset(), plain.stride()));
    }
}

#[test]
fn planes_in_separate_memories_are_read() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 32, 16);
    harness.set_src_caps(input.clone());
    let whole = noise(&input, 9);
    let bytes = whole.map_readable().unwrap().to_vec();
    let mut split = gst::Buffer::new();
    for part in [&bytes[..512], &bytes[512..640], &bytes[640..]] {
        split.get_mut().unwrap().append_memory(gst::Memory::from_slice(part.to_vec()));
    }
    assert_eq!(split.n_memory(), 3);
    let output = harness.push_and_pull(split).unwrap();
    let expected = engine(&bytes, &info(&input), "bicubic", 2);
    assert_eq!(visible(&output, &info(&output_caps(&element))), expected);
}

/// A decoder's frame of 48x32 of which the caps show 30x20 from (6, 4) on.
#[test]
fn a_crop_rectangle_of_the_size_of_the_caps_is_applied() {
    for format in PixelFormat::ALL {
        let (full, shown) = (caps(format, 48, 32), caps(format, 30, 20));
        let mut buffer = padded(&full, 8, 3);
        VideoCropMeta::add(buffer.get_mut().unwrap(), (6, 4, 30, 20));
        let element = bicubic();
        let mut harness = harness(&element);
        harness.play();
        harness.set_src_caps(shown.clone());
        let whole = visible(&buffer, &info(&full));
        let output = harness.push_and_pull(buffer).unwrap();
        assert!(output.meta::<VideoCropMeta>().is_none(), "{format}: an applied crop went on");
        let expected = engine(&cut(&whole, format), &info(&shown), "bicubic", 2);
        assert!(visible(&output, &info(&output_caps(&element))) == expected, "{format}");
    }
}

/// 30x20 from (6, 4) on, out of the tight planes of 48x32.
fn cut(whole: &[u8], format: PixelFormat) -> Vec<u8> {
    let (mut rest, mut result) = (whole, Vec::new());
    for plane in 0..format.planes() {
        let (row, rows) = (format.row_bytes(plane, 48), format.rows(plane, 32));
        let (data, tail) = rest.split_at(row * rows);
        let (left, top) = (format.row_bytes(plane, 6), format.rows(plane, 4));
        for line in data.chunks(row).skip(top).take(format.rows(plane, 20)) {
            result.extend_from_slice(&line[left..][..format.row_bytes(plane, 30)]);
        }
        rest = tail;
    }
    result
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let input = caps(PixelFormat::Nv12, 40, 24);
    let buffer = noise(&input, 2);
    let pictures: Vec<_> = [0_u32, 1, 3]
        .into_iter()
        .map(|threads| {
            let element = element("luma-s", 2);
            element.set_property("threads", threads);
            element.set_property_from_str("backend", "cpu");
            let mut harness = harness(&element);
            harness.play();
            harness.set_src_caps(input.clone());
            let output = harness.push_and_pull(buffer.clone()).unwrap();
            visible(&output, &info(&output_caps(&element)))
        })
        .collect();
    assert!(pictures.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Range and siting come from the caps, by themselves and together.
#[test]
fn named_colours_reach_the_engine() {
    for (colorimetry, site) in [
        ("", "mpeg2"),
        ("", "cosited"),
        ("", "jpeg"),
        ("bt709", "mpeg2"),
        ("bt2020", "cosited"),
        ("1:4:0:0", "jpeg"),
        ("2:3:5:1", "mpeg2"),
    ] {
        let mut input = caps(PixelFormat::I420, 24, 18);
        if !colorimetry.is_empty() {
            input.make_mut().set("colorimetry", colorimetry);
        }
        input.make_mut().set("chroma-site", site);
        let buffer = noise(&input, 8);
        let element = element("luma-s", 2);
        let mut harness = harness(&element);
        harness.play();
        harness.set_src_caps(input.clone());
        let output = harness.push_and_pull(buffer.clone()).unwrap();
        let expected = engine(&visible(&buffer, &info(&input)), &info(&input), "luma-s", 2);
        assert!(visible(&output, &info(&output_caps(&element))) == expected, "{colorimetry} {site}");
    }
}
