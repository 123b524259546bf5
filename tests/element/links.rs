//! A source pad that is not linked, is linked again, or leads to one who has had enough.

use std::time::{Duration, Instant};

use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, noise, watch_errors};

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
