//! Caps: what is taken, what is refused and when, and that nothing but the size changes.

use gst::prelude::*;
use srup_engine::frame::PixelFormat;

use crate::support::{bicubic, caps, element, harness, info, init, noise, output_caps};

fn parse(text: &str) -> gst::Caps {
    init();
    text.parse().unwrap()
}

#[test]
fn every_field_but_the_size_goes_through() {
    let input = parse(
        "video/x-raw, format=P010_10LE, width=64, height=36, framerate=30000/1001, pixel-aspect-ratio=64/45, \
         interlace-mode=progressive, colorimetry=bt2100-pq, chroma-site=mpeg2, multiview-mode=mono, \
         mastering-display-info=(string)34000:16000:13250:34500:7500:3000:15635:16450:10000000:1, \
         content-light-level=(string)1000:400",
    );
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    let mut expected = input;
    expected.make_mut().set("width", 128);
    expected.make_mut().set("height", 72);
    assert_eq!(output_caps(&element), expected);
}

#[test]
fn an_unlinked_element_tells_its_templates() {
    let element = bicubic();
    for name in ["sink", "src"] {
        let pad = element.static_pad(name).unwrap();
        let known = pad.query_caps(None);
        assert!(!known.is_any() && !known.is_empty(), "{name}: {known}");
        assert!(known.is_subset(&pad.pad_template_caps()), "{name}: {known}");
        let filtered = pad.query_caps(Some(&parse("video/x-raw, format=NV12, width=640")));
        assert_eq!(filtered.structure(0).unwrap().get::<i32>("width"), Ok(640));
        assert!(pad.query_caps(Some(&parse("video/x-raw, format=YUY2"))).is_empty());
    }
}

/// What the sink tells when downstream takes `downstream`.
fn sink_caps(downstream: &str, factor: u32) -> gst::Caps {
    let element = element("bicubic", factor);
    let mut harness = harness(&element);
    harness.set_sink_caps_str(downstream);
    harness.play();
    element.static_pad("sink").unwrap().query_caps(None)
}

#[test]
fn downstream_sizes_come_back_divided() {
    for (downstream, factor, taken, refused) in [
        ("640", 2, &[320][..], &[319, 321, 640][..]),
        ("641", 2, &[], &[1, 320, 321, 641]),
        ("{ 641, 1280, 1920 }", 2, &[640, 960], &[320, 641, 1280]),
        ("[ 100, 1001 ]", 4, &[25, 249, 250], &[24, 251]),
        ("[ 1, 2147483647 ]", 3, &[1, 5461], &[5462]),
    ] {
        let known = sink_caps(&format!("video/x-raw, width={downstream}"), factor);
        let takes = |width| known.can_intersect(&parse(&format!("video/x-raw, width={width}")));
        assert!(taken.iter().all(takes) && !refused.iter().any(takes), "{downstream} by {factor}: {known}");
    }
}

#[test]
fn downstreams_choice_reaches_a_flexible_source() {
    init();
    let pipeline = gst::parse::launch(
        "videotestsrc num-buffers=2 ! srupscale model=bicubic name=up ! \
         video/x-raw, format=Y444, width=200, height=120 ! fakesink",
    )
    .unwrap();
    let up = pipeline.clone().downcast::<gst::Bin>().unwrap().by_name("up").unwrap();
    crate::support::reach(&pipeline, gst::State::Paused);
    let input = info(&up.static_pad("sink").unwrap().current_caps().unwrap());
    assert_eq!((input.width(), input.height(), input.name()), (100, 60, "Y444"));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn what_cannot_work_is_refused_when_linked() {
    init();
    for caps in [
        "video/x-raw, interlace-mode=interleaved",
        "video/x-raw, interlace-mode=mixed",
        "video/x-raw, format=YUY2",
        "video/x-raw(memory:GLMemory), format=RGBA",
        "video/x-raw, width=8193",
    ] {
        let text = format!("videotestsrc ! capsfilter caps=\"{caps}\" ! srupscale model=bicubic ! fakesink");
        assert!(gst::parse::launch(&text).is_err(), "{caps} was linked");
    }
    let text = "videotestsrc ! srupscale model=bicubic ! capsfilter caps=video/x-raw,width=641 ! fakesink";
    assert!(gst::parse::launch(text).is_err(), "an odd width was linked behind a factor of two");
}

#[test]
fn caps_that_are_pushed_all_the_same_are_not_negotiated() {
    for input in [
        "video/x-raw, format=I420, width=16, height=16, framerate=25/1, interlace-mode=interleaved",
        "video/x-raw, format=I420, width=16, height=16, framerate=25/1, multiview-mode=separated, views=2",
        "video/x-raw, format=YUY2, width=16, height=16, framerate=25/1",
        "video/x-raw, format=I420, width=9000, height=16, framerate=25/1",
        "video/x-raw, format=I420, width=0, height=16, framerate=25/1",
    ] {
        let element = bicubic();
        let mut harness = harness(&element);
        harness.play();
        assert!(!element.static_pad("sink").unwrap().query_accept_caps(&parse(input)), "{input}");
        let before = caps(PixelFormat::I420, 16, 16);
        harness.set_src_caps(before.clone());
        harness.push_event(gst::event::Caps::new(&parse(input)));
        assert_eq!(harness.push(noise(&before, 1)), Err(gst::FlowError::NotNegotiated), "{input}");
    }
}

#[test]
fn little_said_is_enough() {
    // No framerate, no interlace mode, no pixel aspect ratio, no time stamps.
    for input in [
        "video/x-raw, format=I420, width=20, height=10",
        "video/x-raw, format=I420, width=20, height=10, framerate=0/1",
    ] {
        let element = bicubic();
        let mut harness = harness(&element);
        harness.play();
        harness.set_src_caps(parse(input));
        let mut buffer = noise(&caps(PixelFormat::I420, 20, 10), 1);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::NONE);
        let output = harness.push_and_pull(buffer).unwrap();
        assert_eq!(output.pts(), None);
        let mut expected = parse(input);
        expected.make_mut().set("width", 40);
        expected.make_mut().set("height", 20);
        // Said or not, it is progressive: the base class writes down what the template says.
        let mut output = output_caps(&element);
        output.make_mut().structure_mut(0).unwrap().remove_field("interlace-mode");
        assert_eq!(output, expected);
    }
}

#[test]
fn colours_do_not_change_by_crossing_from_sd_to_hd() {
    let input = parse("video/x-raw, format=I420, width=64, height=360, framerate=25/1");
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    let (before, after) = (info(&input), info(&output_caps(&element)));
    assert_eq!(before.colorimetry(), after.colorimetry());
    assert_eq!(before.chroma_site(), after.chroma_site());
}

#[test]
fn what_downstream_would_rather_have_is_not_what_the_input_meant() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.set_sink_caps_str(
        "video/x-raw, colorimetry={bt709,bt601}, chroma-site={mpeg2,jpeg}, interlace-mode={interleaved,progressive}",
    );
    harness.play();
    let input = parse("video/x-raw, format=I420, width=320, height=240, framerate=25/1");
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    let output = output_caps(&element);
    let said = ["colorimetry", "chroma-site", "interlace-mode"].map(|f| output.structure(0).unwrap().get(f));
    assert_eq!(said, [Ok("bt601"), Ok("jpeg"), Ok("progressive")]);
}

#[test]
fn upstream_learns_of_video_meta_and_gets_a_pool() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::Nv12, 33, 17);
    harness.set_src_caps(input.clone());
    let mut query = gst::query::Allocation::new(Some(&input), true);
    assert!(harness.srcpad().unwrap().peer_query(&mut query));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
    let (pool, size, min, _) = query.allocation_pools().next().unwrap();
    assert!(size as usize >= info(&input).size() && min >= 2);
    let pool = pool.unwrap();
    pool.set_active(true).unwrap();
    let buffer = pool.acquire_buffer(None).unwrap();
    assert!(buffer.size() >= info(&input).size());
    harness.push_and_pull(buffer).unwrap();
    pool.set_active(false).unwrap();
}

#[test]
fn a_pointer_is_told_in_pixels_of_the_input() {
    let element = element("bicubic", 3);
    let mut harness = harness(&element);
    harness.play();
    harness.set_src_caps(caps(PixelFormat::I420, 32, 24));
    while harness.try_pull_upstream_event().is_some() {}
    let structure = gst::Structure::builder("application/x-gst-navigation")
        .field("event", "mouse-button-press")
        .field("button", 1)
        .field("pointer_x", 30.0)
        .field("pointer_y", 45.0)
        .build();
    let event = gst::event::Navigation::new(structure);
    let seqnum = event.seqnum();
    harness.push_upstream_event(event);
    let received = harness.pull_upstream_event().unwrap();
    let gst::EventView::Navigation(navigation) = received.view() else { panic!("{received:?}") };
    let structure = navigation.structure().unwrap();
    assert_eq!(structure.get::<f64>("pointer_x"), Ok(10.0));
    assert_eq!(structure.get::<f64>("pointer_y"), Ok(15.0));
    assert_eq!(structure.get::<i32>("button"), Ok(1));
    assert_eq!(received.seqnum(), seqnum);
}

/// A live source plays; `change` is made behind its first frame, and frames of that width are to come.
#[track_caller]
fn live_source_follows(between: &str, change: impl FnOnce(&gst::Bin), width: i32) {
    init();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc is-live=true {between} ! srupscale model=bicubic name=up ! \
         capsfilter name=wanted caps=video/x-raw,width=640,height=480 ! fakesink"
    ))
    .unwrap();
    let bin = pipeline.clone().downcast::<gst::Bin>().unwrap();
    let (sender, widths) = std::sync::mpsc::channel();
    let pad = bin.by_name("up").unwrap().static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        let discont = probe.buffer().unwrap().flags().contains(gst::BufferFlags::DISCONT);
        let _ = sender.send((info(&pad.current_caps().unwrap()).width() as i32, discont));
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let next = || {
        widths.recv_timeout(std::time::Duration::from_secs(20)).unwrap_or_else(|_| {
            panic!("no more frames: {:?}", pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]))
        })
    };
    next();
    change(&bin);
    let (_, discont) = std::iter::repeat_with(next).find(|&(found, _)| found == width).unwrap();
    assert!(discont, "the frame before it is lost");
    let error = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn a_live_source_goes_on_in_the_size_that_downstream_asks_for_meanwhile() {
    let wanted = parse("video/x-raw, width=800, height=600");
    for between in ["", "! video/x-raw,framerate=20/1"] {
        let change = |bin: &gst::Bin| bin.by_name("wanted").unwrap().set_property("caps", &wanted);
        live_source_follows(between, change, 800);
    }
}

#[test]
fn a_frame_that_fits_no_more_and_that_nobody_asked_to_change_is_an_error() {
    let element = bicubic();
    let mut harness = harness(&element);
    harness.play();
    let input = caps(PixelFormat::I420, 16, 16);
    harness.set_src_caps(input.clone());
    harness.push_and_pull(noise(&input, 1)).unwrap();
    let error = crate::support::watch_errors(&element);
    harness.set_sink_caps_str("video/x-raw, width=64");
    let _ = harness.push_upstream_event(gst::event::Reconfigure::new());
    let upstream = harness.srcpad().unwrap();
    assert!(upstream.needs_reconfigure());
    assert_eq!(harness.push(noise(&input, 2)), Err(gst::FlowError::NotNegotiated));
    assert_eq!(error(), None, "upstream may have another size");
    upstream.check_reconfigure();
    assert_eq!(harness.push(noise(&input, 3)), Err(gst::FlowError::Error));
    assert!(error().unwrap().contains("32x32"), "upstream has none");
}
