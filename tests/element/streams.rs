//! Streams that change, end, seek, fail and start again: in order, none lost, nothing hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{
    LIMIT, bicubic, caps, element, engine, harness, info, init, noise, output_caps, play, reach, visible, within_limit,
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
    // The harness is live: a slow machine would drop what comes too fast.
    element.set_property("qos", false);
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
    let mut marks = Vec::new();
    loop {
        let event = harness.pull_event().unwrap();
        match event.view() {
            gst::EventView::CustomDownstream(custom) => {
                marks.push(custom.structure().unwrap().get::<u64>("n").unwrap());
            }
            gst::EventView::Eos(_) => break,
            _ => {}
        }
    }
    assert_eq!(marks, (1..=10).collect::<Vec<_>>());
    assert_eq!(harness.buffers_received(), 10);
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
fn two_hundred_times_up_and_down() {
    within_limit(|| {
        let pipeline = seeking_pipeline();
        for n in 0..200 {
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

/// Elements that say no to an allocation query, have needs of their own, or put things onto frames.
#[test]
fn usual_neighbours_get_along() {
    init();
    for (before, after) in [
        ("queue", "queue"),
        ("identity", "tee ! queue"),
        ("videoscale ! video/x-raw,width=40", "videoscale ! video/x-raw,width=60"),
        ("timeoverlay", "videoconvert ! video/x-raw,format=RGB16"),
        ("videorate ! video/x-raw,framerate=50/1 ! videorate", "srupscale model=lanczos scale-factor=3"),
        ("videocrop left=3 top=1 right=5", "videocrop left=3 top=1"),
        ("videoconvert ! video/x-raw,format=I420", "x264enc ! h264parse"),
        ("alpha method=green ! videoconvert", "videoflip method=clockwise"),
    ] {
        let text = format!(
            "videotestsrc num-buffers=6 ! video/x-raw,width=48,height=32,framerate=25/1 ! {before} ! \
             srupscale name=up model=bicubic ! {after} ! fakesink"
        );
        let pipeline = match gst::parse::launch(&text) {
            Ok(pipeline) => pipeline,
            Err(error) if error.matches(gst::ParseError::NoSuchElement) => {
                eprintln!("skipped: {error}");
                continue;
            }
            Err(error) => panic!("{text}: {error}"),
        };
        let up = pipeline.downcast_ref::<gst::Bin>().unwrap().by_name("up").unwrap();
        let [taken, given] = ["sink", "src"].map(|name| {
            let count = Arc::new(AtomicUsize::new(0));
            let counter = count.clone();
            up.static_pad(name).unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
            count
        });
        play(&pipeline).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (taken, given) = (taken.load(Ordering::Relaxed), given.load(Ordering::Relaxed));
        assert!(taken >= 6 && given == taken, "{text}: {given} of {taken} frames");
    }
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

/// Downstream holds the first frame until upstream waits for a place in the window, and then wants no more.
#[test]
fn upstream_does_not_wait_for_a_place_that_will_never_be_free() {
    within_limit(|| {
        for wanted in [gst::FlowError::Eos, gst::FlowError::Error] {
            let element = bicubic();
            element.set_property("max-in-flight", 1_u32);
            let mut harness = harness(&element);
            harness.play();
            let input = caps(PixelFormat::I420, 16, 16);
            harness.set_src_caps(input.clone());
            element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                std::thread::sleep(std::time::Duration::from_millis(300));
                info.flow_res = Err(wanted);
                gst::PadProbeReturn::Handled
            });
            let told = (0..9).find_map(|n| harness.push(noise(&input, n)).err());
            assert_eq!(told, Some(wanted));
        }
    });
}

#[test]
fn the_latency_is_that_of_upstream_and_of_the_frames_in_flight() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.set_upstream_latency(gst::ClockTime::from_mseconds(30));
    harness.play();
    harness.set_src_caps(caps(PixelFormat::I420, 16, 16));
    // Two frames of 40 ms.
    assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(30 + 80)));
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
