//! A source pad that is not linked, is linked again, or leads to one who has had enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, harness, info, noise, output_caps, watch_errors};

/// Pushes frames until upstream is told that no more are wanted.
#[track_caller]
fn push_until_told(harness: &mut gst_check::Harness, input: &gst::Caps) -> gst::FlowError {
    let end = Instant::now() + Duration::from_secs(60);
    (0..)
        .take_while(|_| Instant::now() < end)
        .find_map(|n| harness.push(noise(input, n)).err())
        .expect("upstream is told that nothing leaves")
}

#[test]
fn an_end_that_comes_after_an_error_is_told() {
    let element = bicubic();
    let error = watch_errors(&element);
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), None);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    assert_eq!(push_until_told(&mut harness, &input), gst::FlowError::NotLinked);
    assert_eq!(error(), None, "a pad that is not linked may be meant, until the stream ends");
    harness.push_event(gst::event::Eos::new());
    assert!(error().is_some(), "nobody would hear of it else");
}

/// Upstream may go on all the while, as a demuxer does for its other streams.
#[test]
fn a_pad_that_is_linked_again_goes_on_with_what_it_was_told_meanwhile() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    let (pad, peer) = (element.static_pad("src").unwrap(), harness.sinkpad().unwrap());
    for (round, width) in [16, 20, 24].into_iter().enumerate() {
        harness.push_and_pull(noise(&input, 1)).unwrap();
        pad.unlink(&peer).unwrap();
        assert_eq!(push_until_told(&mut harness, &input), gst::FlowError::NotLinked);
        let input = caps(PixelFormat::I420, width, 16);
        harness.push_event(gst::event::Caps::new(&input));
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_base(gst::ClockTime::from_seconds(round as u64));
        harness.push_event(gst::event::Segment::new(&segment));
        assert_eq!(harness.push(noise(&input, 2)), Err(gst::FlowError::NotLinked));
        pad.link(&peer).unwrap();
        let output = harness.push_and_pull(noise(&input, 3)).unwrap();
        assert_eq!(output.pts(), Some(gst::ClockTime::from_mseconds(120)));
        assert!(output.flags().contains(gst::BufferFlags::DISCONT), "what came meanwhile is lost");
        assert_eq!(info(&output_caps(&element)).width() as usize, 2 * width);
        let told = peer.sticky_event::<gst::event::Segment>(0).unwrap();
        assert_eq!(told.segment().downcast_ref::<gst::ClockTime>().unwrap().base(), segment.base());
        harness.set_src_caps(caps(PixelFormat::I420, 16, 16));
    }
}

/// Downstream takes no frames while the flag is set.
fn full(element: &gst::Element) -> Arc<AtomicBool> {
    let full = Arc::new(AtomicBool::new(true));
    let flag = full.clone();
    element.static_pad("src").unwrap().add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        // Time for upstream to hand in what it has.
        std::thread::sleep(Duration::from_millis(100));
        if !flag.load(Ordering::Relaxed) {
            return gst::PadProbeReturn::Ok;
        }
        info.flow_res = Err(gst::FlowError::Eos);
        gst::PadProbeReturn::Handled
    });
    full
}

#[test]
fn after_the_end_of_a_segment_the_next_one_plays() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    let full = full(&element);
    assert_eq!(push_until_told(&mut harness, &input), gst::FlowError::Eos);
    assert_eq!(harness.push(noise(&input, 1)), Err(gst::FlowError::Eos));
    full.store(false, Ordering::Relaxed);
    let wider = caps(PixelFormat::I420, 32, 16);
    assert!(harness.push_event(gst::event::Caps::new(&wider)), "caps come before the segment");
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    let output = harness.push_and_pull(noise(&wider, 9)).unwrap();
    assert_eq!(output.pts(), Some(gst::ClockTime::from_mseconds(360)), "nothing of the segment before");
}

#[test]
fn the_end_leaves_after_downstream_has_had_enough() {
    for told in [true, false] {
        let element = bicubic();
        let error = watch_errors(&element);
        let mut harness = harness(&element);
        harness.play();
        let input = caps(PixelFormat::I420, 16, 16);
        harness.set_src_caps(input.clone());
        full(&element);
        if told {
            assert_eq!(push_until_told(&mut harness, &input), gst::FlowError::Eos);
        } else {
            harness.push(noise(&input, 1)).unwrap();
        }
        harness.push_event(gst::event::Eos::new());
        while harness.pull_event().unwrap().type_() != gst::EventType::Eos {}
        assert_eq!((harness.buffers_received(), error()), (0, None));
    }
}
