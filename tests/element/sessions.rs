//! When models are loaded and rungs measured anew, and when what is there goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, harness, info, noise, output_caps, watch_errors};

/// Counts the sessions of an element: it logs one line for each.
fn count_sessions(element: &gst::Element) -> impl Fn() -> usize + use<> {
    let (count, element) = (Arc::new(AtomicUsize::new(0)), element.as_ptr() as usize);
    let counter = count.clone();
    gst::log::set_threshold_for_name("srupscale", gst::DebugLevel::Info);
    gst::log::add_log_function(move |_, _, _, _, _, object, message| {
        let ours = object.is_some_and(|object| object.as_ptr() as usize == element);
        if ours && message.get().is_some_and(|text| text.contains("frames in flight: ")) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    move || count.load(Ordering::Relaxed)
}

#[test]
fn a_session_is_made_only_where_something_has_changed() {
    let element = bicubic();
    let sessions = count_sessions(&element);
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 0)).unwrap();
    assert_eq!(sessions(), 1, "the start");
    harness.push_event(gst::event::Caps::new(&input.copy()));
    harness.push_and_pull(noise(&input, 1)).unwrap();
    assert_eq!(sessions(), 1, "equal caps");
    harness.push_upstream_event(gst::event::Reconfigure::new());
    harness.push_and_pull(noise(&input, 2)).unwrap();
    assert_eq!(sessions(), 1, "downstream asked, and takes the same");
    element.set_property("model", "lanczos");
    harness.push_and_pull(noise(&input, 3)).unwrap();
    assert_eq!(sessions(), 2, "another model");
    let wider = caps(PixelFormat::I420, 32, 16);
    harness.set_src_caps(wider.clone());
    harness.push_and_pull(noise(&wider, 4)).unwrap();
    assert_eq!(sessions(), 3, "other caps");
}

/// Downstream may answer every time with the pool that is in use.
#[test]
fn a_pool_that_is_given_twice_stays_on() {
    let element = bicubic();
    let mut harness = harness(&element);
    let theirs: Arc<Mutex<Option<gst::BufferPool>>> = Arc::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let (offered, counter) = (theirs.clone(), asked.clone());
    harness.sinkpad().unwrap().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::QueryViewMut::Allocation(query)) = info.query_mut().map(|query| query.view_mut()) else {
            return gst::PadProbeReturn::Ok;
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let caps = query.get_owned().0.unwrap();
        let size = gst_video::VideoInfo::from_caps(&caps).unwrap().size() as u32;
        let mut pool = offered.lock().unwrap();
        let pool = pool.get_or_insert_with(|| gst_video::VideoBufferPool::new().upcast());
        query.add_allocation_pool(Some(pool), size, 1, 0);
        gst::PadProbeReturn::Handled
    });
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    for (n, model) in ["bicubic", "lanczos", "bicubic"].into_iter().enumerate() {
        element.set_property("model", model);
        harness.push_and_pull(noise(&input, n as u64)).unwrap();
        harness.push_upstream_event(gst::event::Reconfigure::new());
        harness.push_and_pull(noise(&input, n as u64)).unwrap();
        assert!(theirs.lock().unwrap().as_ref().unwrap().is_active(), "{model}");
    }
    assert!(asked.load(Ordering::Relaxed) >= 6, "each time it is asked again");
}

/// Memory that counts itself.
struct Counted {
    bytes: Vec<u8>,
    count: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn draining_gives_upstream_all_of_its_buffers_back() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(caps(PixelFormat::I420, 16, 16));
    let held = Arc::new(AtomicUsize::new(3));
    for n in 0..3 {
        let counted = Counted { bytes: vec![n; 16 * 16 * 3 / 2], count: held.clone() };
        harness.push_and_pull(gst::Buffer::from_slice(counted)).unwrap();
    }
    assert!(held.load(Ordering::Relaxed) > 0, "the last one is compared with the next");
    harness.srcpad().unwrap().peer_query(&mut gst::query::Drain::new());
    // A lane lets go of its frame a moment after it has left.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while held.load(Ordering::Relaxed) > 0 && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

/// As by a seek.
#[test]
fn after_a_flush_while_other_caps_are_told_these_are_told_again() {
    let element = bicubic();
    let error = watch_errors(&element);
    let mut harness = gst_check::Harness::with_element(&element, Some("sink"), None);
    let upstream = harness.srcpad().unwrap();
    let (seeking, counter) = (upstream.clone(), AtomicUsize::new(0));
    let (sender, frames) = std::sync::mpsc::channel();
    let anything = gst::Caps::new_any();
    let template = gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &anything).unwrap();
    let downstream = gst::Pad::builder_from_template(&template)
        .event_function(move |_, _, event| {
            if event.type_() != gst::EventType::Caps || counter.fetch_add(1, Ordering::Relaxed) != 1 {
                return true;
            }
            let seeking = seeking.clone();
            let told = std::thread::spawn(move || seeking.push_event(gst::event::FlushStart::new())).join();
            assert!(told.unwrap(), "a flush overtakes");
            false
        })
        .chain_function(move |_, _, buffer| {
            sender.send(buffer).unwrap();
            Ok(gst::FlowSuccess::Ok)
        })
        .build();
    downstream.set_active(true).unwrap();
    element.static_pad("src").unwrap().link(&downstream).unwrap();
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push(noise(&input, 0)).unwrap();
    frames.recv().unwrap();
    element.set_property("scale-factor", 3_u32);
    assert_eq!(harness.push(noise(&input, 1)), Err(gst::FlowError::Flushing));
    assert_eq!(error(), None);
    assert!(upstream.push_event(gst::event::FlushStop::new(true)));
    harness.push_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
    harness.push(noise(&input, 2)).unwrap();
    assert_eq!(frames.recv().unwrap().pts(), Some(gst::ClockTime::from_mseconds(80)));
    assert_eq!(info(&output_caps(&element)).width(), 48);
}
