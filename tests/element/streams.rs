//! Streams that change, end, seek, fail and start again: in order, none lost, nothing hangs.

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{
    LIMIT, bicubic, caps, element, engine, harness, info, init, noise, output_caps, reach, visible, within_limit,
};

#[test]
fn caps_may_change_every_four_frames() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let mut stamp = 0;
    for round in 0..12 {
        let format = PixelFormat::ALL[(round * 4) % PixelFormat::ALL.len()];
        let input = caps(format, 16 + 3 * round, 40 - 2 * round);
        harness.set_src_caps(input.clone());
        for _ in 0..4 {
            stamp += 1;
            let buffer = noise(&input, stamp);
            let output = harness.push_and_pull(buffer.clone()).unwrap();
            assert_eq!(output.pts(), buffer.pts());
            let out = info(&output_caps(&element));
            assert_eq!((out.width() as usize, out.name()), (2 * (16 + 3 * round), format.name()));
            assert!(visible(&output, &out) == engine(&visible(&buffer, &info(&input)), &info(&input), "bicubic", 2));
        }
    }
}

#[test]
fn events_keep_their_place_and_eos_comes_last() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    for n in 1..=10 {
        harness.push(noise(&input, n)).unwrap();
        let custom = gst::event::CustomDownstream::new(gst::Structure::builder("mark").field("n", n).build());
        assert!(harness.push_event(custom));
    }
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(harness.buffers_received(), 10);
    let mut marks = Vec::new();
    let mut last = None;
    while let Some(event) = harness.try_pull_event() {
        last = Some(event.type_());
        if let gst::EventView::CustomDownstream(custom) = event.view() {
            marks.push(custom.structure().unwrap().get::<u64>("n").unwrap());
        }
    }
    assert_eq!(marks, (1..=10).collect::<Vec<_>>());
    assert_eq!(last, Some(gst::EventType::Eos));
    assert_eq!(harness.push(noise(&input, 11)), Err(gst::FlowError::Eos));
}

fn seeking_pipeline() -> gst::Element {
    init();
    gst::parse::launch(
        "videotestsrc ! video/x-raw, format=I420, width=48, height=32, framerate=25/1 ! \
         srupscale model=bicubic ! fakesink sync=true",
    )
    .unwrap()
}

#[test]
fn a_storm_of_flushing_seeks_ends_playing() {
    within_limit(|| {
        let pipeline = seeking_pipeline();
        for state in [gst::State::Paused, gst::State::Playing] {
            reach(&pipeline, state);
            for n in 0..60 {
                let place = gst::ClockTime::from_mseconds(n * 7919 % 100_000);
                pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, place).unwrap();
                if n % 10 == 0 {
                    pipeline.state(LIMIT).0.unwrap();
                }
            }
            pipeline.state(LIMIT).0.unwrap();
        }
        let bus = pipeline.bus().unwrap();
        assert!(bus.pop_filtered(&[gst::MessageType::Error]).is_none());
        pipeline.set_state(gst::State::Null).unwrap();
    });
}

#[test]
fn seeking_after_the_end_plays_again() {
    within_limit(|| {
        init();
        let pipeline = gst::parse::launch(
            "videotestsrc num-buffers=5 ! video/x-raw, width=48, height=32 ! srupscale model=bicubic ! fakesink",
        )
        .unwrap();
        let bus = pipeline.bus().unwrap();
        reach(&pipeline, gst::State::Playing);
        for _ in 0..3 {
            assert!(bus.timed_pop_filtered(LIMIT, &[gst::MessageType::Eos]).is_some());
            pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO).unwrap();
        }
        pipeline.set_state(gst::State::Null).unwrap();
    });
}

#[test]
fn a_hundred_times_up_and_down() {
    within_limit(|| {
        let pipeline = seeking_pipeline();
        for n in 0..100 {
            reach(&pipeline, gst::State::Playing);
            if n % 3 == 0 {
                reach(&pipeline, gst::State::Paused);
                reach(&pipeline, gst::State::Playing);
            }
            reach(&pipeline, if n % 2 == 0 { gst::State::Null } else { gst::State::Ready });
        }
        pipeline.set_state(gst::State::Null).unwrap();
    });
}

#[test]
fn an_error_downstream_stops_the_stream() {
    within_limit(|| {
        init();
        let pipeline = gst::parse::launch(
            "videotestsrc ! video/x-raw, width=48, height=32 ! srupscale model=bicubic ! \
             identity name=breaks error-after=3 ! fakesink",
        )
        .unwrap();
        let bus = pipeline.bus().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let message = bus.timed_pop_filtered(LIMIT, &[gst::MessageType::Error]).unwrap();
        assert_eq!(message.src().unwrap().name(), "breaks");
        pipeline.set_state(gst::State::Null).unwrap();
    });
}

#[test]
fn the_latency_is_that_of_upstream() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(30));
    harness.play();
    harness.set_src_caps(caps(PixelFormat::I420, 16, 16));
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(30)));
}

#[test]
fn model_and_factor_may_change_between_frames() {
    let element = element("bicubic", 2);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::Rgb, 21, 13);
    harness.set_src_caps(input.clone());
    for (n, (model, factor)) in
        [("bicubic", 2), ("lanczos", 2), ("luma-s", 2), ("bicubic", 4), ("bicubic", 3), ("lanczos", 2)]
            .into_iter()
            .enumerate()
    {
        // The model first: it must have weights for the factor that is in force.
        element.set_property("model", model);
        element.set_property("scale-factor", factor);
        let buffer = noise(&input, n as u64);
        let output = harness.push_and_pull(buffer.clone()).unwrap();
        let out = info(&output_caps(&element));
        assert_eq!((out.width(), out.height()), (21 * factor, 13 * factor));
        let expected = engine(&visible(&buffer, &info(&input)), &info(&input), model, factor);
        assert!(visible(&output, &out) == expected, "{model} x{factor}");
    }
}

/// Another thread turns the knobs: every picture is still a whole one of the size that its caps say.
#[test]
fn settings_from_another_thread_do_no_harm() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 24, 16);
    harness.set_src_caps(input.clone());
    let knobs = element.clone();
    let turner = std::thread::spawn(move || {
        for n in 0..300_u32 {
            knobs.set_property("scale-factor", 2 + n % 3);
            knobs.set_property("model", if n % 2 == 0 { "bicubic" } else { "lanczos" });
            knobs.set_property("threads", n % 3);
            std::thread::yield_now();
        }
    });
    for n in 0..100 {
        let output = harness.push_and_pull(noise(&input, n)).unwrap();
        let out = info(&output_caps(&element));
        assert_eq!(output.size(), out.size());
        assert_eq!(out.width() * 16, out.height() * 24);
    }
    turner.join().unwrap();
}
