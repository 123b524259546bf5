//! Frames in flight: what leaves, in which order, how soon, and what is told of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{
    LIMIT, caps, element, engine, harness, info, init, noise, output_caps, reach, visible, within_limit,
};

/// What leaves a pad, in words.
type Log = Arc<Mutex<Vec<String>>>;

fn log_of(element: &gst::Element) -> Log {
    let log = Log::default();
    let writer = log.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    element.static_pad("src").unwrap().add_probe(kinds, move |_, info| {
        let word = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => format!("frame {}", buffer.pts().unwrap().mseconds() / 40),
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::CustomDownstream(custom) => custom.structure().unwrap().name().to_string(),
                gst::EventView::Caps(caps) => {
                    let caps = caps.caps().structure(0).unwrap();
                    format!("caps {} {}", caps.get::<&str>("format").unwrap(), caps.get::<i32>("width").unwrap())
                }
                _ => event.type_().name().to_string(),
            },
            _ => return gst::PadProbeReturn::Ok,
        };
        writer.lock().unwrap().push(word);
        gst::PadProbeReturn::Ok
    });
    log
}

fn mark(name: &str) -> gst::Event {
    gst::event::CustomDownstream::new(gst::Structure::new_empty(name))
}

/// A message of that element's bus by its structure's name.
fn message(bus: &gst::Bus, name: &str) -> Option<gst::Message> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let message = bus.timed_pop(gst::ClockTime::from_seconds(1));
        if message.as_ref().is_some_and(|m| m.structure().is_some_and(|s| s.name() == name)) {
            return message;
        }
    }
    None
}

fn stats(element: &gst::Element) -> gst::Structure {
    element.property("stats")
}

#[test]
fn everything_leaves_in_the_order_in_which_it_came() {
    let element = element("luma-s", 2);
    element.set_property("max-in-flight", 5_u32);
    let log = log_of(&element);
    let mut harness = harness(&element);
    harness.play();
    let mut expected = vec!["stream-start".to_owned()];
    for (n, format) in [PixelFormat::I420, PixelFormat::Rgb, PixelFormat::Nv12].into_iter().enumerate() {
        let input = caps(format, 90 + n, 60);
        harness.set_src_caps(input.clone());
        // The harness sends its segment anew behind caps.
        expected.extend([format!("caps {format} {}", 2 * (90 + n)), "segment".into()]);
        for i in 0..5 {
            let number = (5 * n + i) as u64;
            harness.push(noise(&input, number)).unwrap();
            harness.push_event(mark(&format!("mark-{number}")));
            expected.extend([format!("frame {number}"), format!("mark-{number}")]);
        }
    }
    let gap = gst::event::Gap::builder(gst::ClockTime::from_seconds(1)).build();
    harness.push_event(gap);
    harness.push_event(gst::event::Eos::new());
    expected.extend(["gap".into(), "eos".into()]);
    for _ in 0..15 {
        harness.pull().unwrap();
    }
    while harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn a_source_that_pauses_gets_its_last_frame_out_within_the_latency() {
    let element = element("luma-s", 2);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 64, 48);
    harness.set_src_caps(input.clone());
    let latency = harness.query_latency().unwrap();
    for n in 0..4 {
        let start = Instant::now();
        harness.push(noise(&input, n)).unwrap();
        harness.pull().unwrap();
        let took = gst::ClockTime::try_from(start.elapsed()).unwrap();
        assert!(took <= latency, "frame {n} took {took}, of {latency}");
    }
}

#[test]
fn a_flush_throws_away_what_is_inside_and_nothing_else() {
    let element = element("luma-m", 2);
    element.set_property("max-in-flight", 4_u32);
    let log = log_of(&element);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 320, 180);
    harness.set_src_caps(input.clone());
    for round in 0..5 {
        for n in 0..4 {
            harness.push(noise(&input, 100 * round + n)).unwrap();
        }
        harness.push_event(mark("lost"));
        assert!(harness.push_event(gst::event::FlushStart::new()));
        assert!(harness.push_event(gst::event::FlushStop::new(true)));
        let after = log.lock().unwrap().len();
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
        harness.push(noise(&input, 100 * round + 50)).unwrap();
        harness.push_event(mark("kept"));
        let end = Instant::now() + Duration::from_secs(60);
        while log.lock().unwrap().last().unwrap() != "kept" && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        let expected = ["segment".to_owned(), format!("frame {}", 100 * round + 50), "kept".into()];
        assert_eq!(log.lock().unwrap()[after..], expected, "round {round}");
        let last = std::iter::from_fn(|| harness.try_pull()).last().unwrap();
        assert!(last.flags().contains(gst::BufferFlags::DISCONT), "a flush breaks the stream");
    }
}

/// An element with so many frames inside that take their time.
fn with_frames_inside(count: u64) -> gst_check::Harness {
    let element = element("luma-m", 2);
    element.set_property("max-in-flight", 6_u32);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 160, 90);
    harness.set_src_caps(input.clone());
    for n in 0..count {
        harness.push(noise(&input, n)).unwrap();
    }
    harness
}

#[test]
fn the_end_waits_for_the_frames_in_flight() {
    let mut harness = with_frames_inside(6);
    harness.push_event(gst::event::Eos::new());
    while harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
    assert_eq!(harness.buffers_received(), 6);
}

#[test]
fn a_drain_query_waits_for_the_frames_in_flight() {
    let harness = with_frames_inside(5);
    let mut drain = gst::query::Drain::new();
    harness.srcpad().unwrap().peer_query(&mut drain);
    assert_eq!(harness.buffers_received(), 5);
}

#[test]
fn the_latency_follows_target_and_window_and_is_told() {
    for (window, target, expected) in [(0, 0.0, 80), (5, 50.0, 100), (1, -1.0, 40), (3, 10.0, 300)] {
        let element = element("bicubic", 2);
        element.set_property("max-in-flight", window as u32);
        element.set_property("target-fps", target);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = harness(&element);
        harness.play();
        harness.set_src_caps(caps(PixelFormat::I420, 16, 16));
        assert_eq!(harness.query_latency(), Some(gst::ClockTime::from_mseconds(expected)), "{window} {target}");
        assert!(bus.pop_filtered(&[gst::MessageType::Latency]).is_some(), "the change is told");
    }
}

/// A thousand frames a second, which no network makes one by one: the latency is what the frames inside take, not what they
/// are apart.
#[test]
fn a_network_slower_than_a_live_stream_raises_the_latency_and_tells() {
    let element = element("luma-m", 2);
    element.set_property("reuse", false);
    element.set_property("max-in-flight", 2_u32);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element);
    harness.play();
    let input: gst::Caps = "video/x-raw, format=I420, width=320, height=180, framerate=1000/1".parse().unwrap();
    harness.set_src_caps(input.clone());
    let ms = gst::ClockTime::from_mseconds;
    assert_eq!(harness.query_latency(), Some(ms(2)), "nothing has been measured");
    while bus.pop().is_some() {}
    let services: Vec<_> = (0..12)
        .map(|n| {
            let output = harness.push_and_pull(noise(&input, n)).unwrap();
            let meta = gst::meta::CustomMeta::from_buffer(&output, "SrUpscaleMeta").unwrap();
            gst::ClockTime::from_nseconds(meta.structure().get("time").unwrap())
        })
        .collect();
    let latency = harness.query_latency().unwrap();
    let steady = services.windows(2).map(|pair| pair[0].min(pair[1])).max().unwrap();
    assert!(steady > ms(1) && latency >= 2 * steady && latency < 3 * steady, "{latency} of {services:?}");
    let told = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Latency])).count();
    assert!((1..6).contains(&told), "in steps, each of which is told: {told}");
    // What would wait until it is late is dropped.
    let (mut pushed, end) = (0, Instant::now() + Duration::from_secs(60));
    while stats(&element).get::<u64>("dropped").unwrap() == 0 && Instant::now() < end {
        harness.push(noise(&input, pushed)).unwrap();
        pushed += 1;
    }
    assert!(stats(&element).get::<u64>("dropped").unwrap() > 0, "none of {pushed}");

    element.set_property("max-in-flight", 3_u32);
    harness.push(noise(&input, 20)).unwrap();
    assert_eq!(harness.query_latency(), Some(ms(3)), "another session measures anew");
}

#[test]
fn every_frame_says_how_it_was_made() {
    let element = element("luma-s", 2);
    element.set_property("target-fps", -1.0);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 48, 32);
    harness.set_src_caps(input.clone());
    let output = harness.push_and_pull(noise(&input, 0)).unwrap();
    let meta = gst::meta::CustomMeta::from_buffer(&output, "SrUpscaleMeta").unwrap();
    let told = meta.structure();
    assert_eq!(told.get::<&str>("model").unwrap(), "luma-s");
    assert!(told.get::<u64>("time").unwrap() > 0 && !told.get::<bool>("late").unwrap());
    assert!(!told.get::<bool>("bicubic").unwrap() && told.get::<f64>("reused").unwrap() == 0.0);
    let message = message(&bus, "srupscale-model").expect("the first choice is told");
    let change = message.structure().unwrap();
    assert_eq!(change.get::<&str>("model").unwrap(), "luma-s");
    assert_eq!(change.get::<&str>("reason").unwrap(), "start");
    assert_eq!(change.get::<Option<gst::ClockTime>>("running-time").unwrap(), Some(gst::ClockTime::ZERO));
    let stats = stats(&element);
    assert_eq!((stats.get::<u64>("frames").unwrap(), stats.get::<u64>("late").unwrap()), (1, 0));
    assert_eq!(stats.get::<&str>("model").unwrap(), "luma-s");
    assert_eq!(stats.get::<gst::Structure>("models").unwrap().get::<u64>("luma-s").unwrap(), 1);
    for (field, _) in [("fps", 0), ("reused", 0)] {
        stats.get::<f64>(field).unwrap();
    }
    for field in ["bicubic", "dropped", "switches", "probes", "latency"] {
        stats.get::<u64>(field).unwrap();
    }
}

/// Far too dear for its target, even on a fast machine: the cheapest rung is taken from the first frame on.
#[test]
fn what_cannot_be_in_time_is_not_tried() {
    let element = element("luma-m", 2);
    element.set_property("target-fps", 1000.0);
    element.set_property("ladder", "luma-m");
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 320, 240);
    harness.set_src_caps(input.clone());
    let buffer = noise(&input, 3);
    let output = harness.push_and_pull(buffer.clone()).unwrap();
    let expected = engine(&visible(&buffer, &info(&input)), &info(&input), "bicubic", 2);
    assert!(visible(&output, &info(&output_caps(&element))) == expected);
}

#[test]
fn without_a_target_the_model_is_taken_and_a_bad_ladder_is_told() {
    let element = element("luma-s", 2);
    element.set_property("ladder", "luma-m, lanczos");
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 32, 24);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    assert_eq!(stats(&element).get::<&str>("model").unwrap(), "luma-s");
    element.set_property("ladder", "luma-m, lama");
    assert!(harness.push(noise(&input, 2)).is_err());
}

#[test]
fn held_frames_are_not_computed_again() {
    let element = element("luma-s", 2);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 64, 48);
    harness.set_src_caps(input.clone());
    let frame = noise(&input, 9);
    let expected = engine(&visible(&frame, &info(&input)), &info(&input), "luma-s", 2);
    let mut shares = Vec::new();
    for n in 0..5 {
        let mut again = frame.copy_deep().unwrap();
        again.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * n));
        let output = harness.push_and_pull(again).unwrap();
        assert!(visible(&output, &info(&output_caps(&element))) == expected);
        let meta = gst::meta::CustomMeta::from_buffer(&output, "SrUpscaleMeta").unwrap();
        shares.push(meta.structure().get::<f64>("reused").unwrap());
    }
    assert_eq!(shares, [0.0, 0.0, 1.0, 1.0, 1.0], "the second frame shows that it is worth while to keep outputs");
    element.set_property("reuse", false);
    harness.push_and_pull(frame.copy_deep().unwrap()).unwrap();
    let output = harness.push_and_pull(frame).unwrap();
    let meta = gst::meta::CustomMeta::from_buffer(&output, "SrUpscaleMeta").unwrap();
    assert_eq!(meta.structure().get::<f64>("reused").unwrap(), 0.0);
}

/// The output that is kept for held frames is of the scheduler: as long as it is used, there is no other one.
#[test]
fn another_target_needs_no_other_scheduler() {
    let element = element("luma-s", 2);
    element.set_property("target-fps", 50.0);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 64, 48);
    harness.set_src_caps(input.clone());
    let frame = noise(&input, 5);
    let mut reused = || {
        let output = harness.push_and_pull(frame.copy_deep().unwrap()).unwrap();
        let meta = gst::meta::CustomMeta::from_buffer(&output, "SrUpscaleMeta").unwrap();
        (meta.structure().get::<f64>("reused").unwrap(), harness.query_latency().unwrap().mseconds())
    };
    let first: Vec<_> = (0..3).map(|_| reused()).collect();
    assert_eq!(first, [(0.0, 40), (0.0, 40), (1.0, 40)]);
    while bus.pop().is_some() {}
    for (target, latency) in [(20.0, 100), (-1.0, 80), (25.0, 80)] {
        element.set_property("target-fps", target);
        assert_eq!(reused(), (1.0, latency), "{target}");
        let told = bus.pop_filtered(&[gst::MessageType::Latency]).is_some();
        assert_eq!(told, target != 25.0, "{target}: what changes is told");
    }
    element.set_property("qos", false);
    assert_eq!(reused(), (1.0, 80));
    element.set_property("target-fps", 0.0);
    assert_eq!(reused(), (0.0, 80), "without a target there is another ladder");
}

#[test]
fn a_sink_that_blocks_does_not_hold_up_the_end() {
    within_limit(|| {
        init();
        let pipeline = gst::parse::launch(
            "videotestsrc ! video/x-raw, width=48, height=32 ! srupscale name=up model=luma-s ! fakesink name=sink",
        )
        .unwrap();
        let bin = pipeline.clone().downcast::<gst::Bin>().unwrap();
        reach(&pipeline, gst::State::Playing);
        let pad = bin.by_name("sink").unwrap().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| gst::PadProbeReturn::Ok);
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    });
}

#[test]
fn statistics_outlive_a_change_of_settings_and_begin_anew_with_the_stream() {
    let element = element("bicubic", 2);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 24, 16);
    harness.set_src_caps(input.clone());
    for (n, model) in ["bicubic", "lanczos", "bicubic"].into_iter().enumerate() {
        element.set_property("model", model);
        harness.push_and_pull(noise(&input, n as u64)).unwrap();
    }
    let told = stats(&element);
    let models = told.get::<gst::Structure>("models").unwrap();
    assert_eq!(told.get::<u64>("frames").unwrap(), 3);
    assert_eq!((models.get::<u64>("bicubic").unwrap(), models.get::<u64>("lanczos").unwrap()), (2, 1));
    element.set_state(gst::State::Ready).unwrap();
    assert_eq!(stats(&element).get::<u64>("frames").unwrap(), 3, "they may be read after the end");
    element.set_state(gst::State::Playing).unwrap();
    element.state(LIMIT).0.unwrap();
    assert_eq!(stats(&element).get::<u64>("frames").unwrap(), 0);
}
