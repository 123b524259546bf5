//! Quality of service: what is dropped before it is computed, for how long, and what that does not mean.

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, harness, noise, watch_errors};

fn ms(milliseconds: u64) -> gst::ClockTime {
    gst::ClockTime::from_mseconds(milliseconds)
}

/// Downstream says that a frame at `at` ms came `late` ms late, and for what reason it tells.
fn complaint(kind: gst::QOSType, at: u64, late: i64) -> gst::Event {
    gst::event::Qos::builder(kind, 2.0, 1_000_000 * late).timestamp(ms(at)).build()
}

fn dropped(element: &gst::Element) -> u64 {
    element.property::<gst::Structure>("stats").get("dropped").unwrap()
}

#[test]
fn what_downstream_would_drop_is_dropped_with_a_message() {
    let element = bicubic();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    let buffer = |n: u64| {
        let mut buffer = noise(&input, n);
        buffer.get_mut().unwrap().set_duration(ms(40));
        buffer
    };
    harness.push_and_pull(buffer(0)).unwrap();
    // 100 ms late at 40 ms: of use again from 240 ms on.
    assert!(harness.push_upstream_event(complaint(gst::QOSType::Underflow, 40, 100)));
    for n in 1..=4 {
        harness.push(buffer(n)).unwrap();
    }
    let output = harness.push_and_pull(buffer(5)).unwrap();
    assert_eq!(output.pts(), Some(ms(200)), "it ends in time");
    assert!(output.flags().contains(gst::BufferFlags::DISCONT));
    assert_eq!(dropped(&element), 4);
    let told: Vec<_> = std::iter::from_fn(|| bus.pop_filtered(&[gst::MessageType::Qos])).collect();
    assert_eq!(told.len(), 4);
    let gst::MessageView::Qos(qos) = told[3].view() else { unreachable!("only these were asked for") };
    let (live, running, _, stamp, duration) = qos.get();
    assert_eq!((live, running, stamp, duration), (false, Some(ms(160)), Some(ms(160)), Some(ms(40))));
    assert_eq!(qos.values().0, 80_000_000);

    element.set_property("qos", false);
    let output = harness.push_and_pull(buffer(1)).unwrap();
    assert_eq!(output.pts(), Some(ms(40)), "without qos everything is made");
}

/// The first frame, of those 40 ms apart, that is made after such a complaint about the second.
fn first_after(kind: gst::QOSType, late: i64) -> u64 {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 0)).unwrap();
    assert!(harness.push_upstream_event(complaint(kind, 40, late)));
    let is_made = |n: &u64| {
        harness.push(noise(&input, *n)).unwrap();
        dropped(&element) < *n
    };
    (1..).find(is_made).unwrap()
}

#[test]
fn a_long_stall_is_not_followed_by_as_long_a_freeze() {
    // 10 s late: a second more, in which it may catch up, and not 10.
    assert_eq!(first_after(gst::QOSType::Underflow, 10_000), (40 + 10_000 + 1_000) / 40);
    assert_eq!(first_after(gst::QOSType::Underflow, 400), (40 + 2 * 400) / 40);
}

#[test]
fn a_sink_that_throttles_gets_the_frame_that_it_asks_for() {
    assert_eq!(first_after(gst::QOSType::Throttle, 400), (40 + 400) / 40);
}

#[test]
fn a_target_that_follows_a_stream_without_a_rate_is_told_to_have_no_effect() {
    for (target, told) in [(-1.0, true), (25.0, false), (0.0, false)] {
        let element = bicubic();
        element.set_property("target-fps", target);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = harness(&element);
        harness.play();
        harness.set_src_caps("video/x-raw, format=I420, width=20, height=10".parse().unwrap());
        let warning = bus.pop_filtered(&[gst::MessageType::Warning]);
        assert_eq!(warning.is_some(), told, "{target}");
    }
}

#[test]
fn pictures_that_downstream_does_not_take_are_told_with_their_size() {
    let element = bicubic();
    let error = watch_errors(&element);
    let mut harness = harness(&element);
    harness.set_sink_caps_str("video/x-raw, width=640");
    harness.play();
    let event = gst::event::Caps::new(&caps(PixelFormat::I420, 100, 50));
    harness.push_event(event);
    let text = error().expect("an error on the bus");
    assert!(text.contains("200x100") && text.contains("scale-factor"), "{text}");
}

#[test]
fn a_target_that_no_clock_can_tell_is_an_error_that_says_so_while_playing_too() {
    for before in [1e-20, 25.0] {
        let element = bicubic();
        let error = watch_errors(&element);
        element.set_property("target-fps", before);
        let mut harness = harness(&element);
        harness.play();
        let input = caps(PixelFormat::I420, 16, 16);
        harness.push_event(gst::event::StreamStart::new("test"));
        harness.push_event(gst::event::Caps::new(&input));
        harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        let text = error().unwrap_or_else(|| {
            element.set_property("target-fps", 1e-20);
            assert_eq!(harness.push(noise(&input, 1)), Err(gst::FlowError::Error));
            error().unwrap()
        });
        assert!(text.contains("give a target of at least"), "{before}: {text}");
    }
}

#[test]
fn a_frame_that_plays_backwards_ends_where_it_begins() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(ms(400));
    harness.push_event(gst::event::Segment::new(&segment));
    // Of use again from 180 ms on; the frame is shown from 160 to 200.
    assert!(harness.push_upstream_event(complaint(gst::QOSType::Underflow, 0, 90)));
    let mut buffer = noise(&input, 5);
    buffer.get_mut().unwrap().set_duration(ms(40));
    harness.push(buffer).unwrap();
    assert_eq!(dropped(&element), 0);
}
