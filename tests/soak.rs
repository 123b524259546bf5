//! A minute of live video on this machine, with a network at the top of the ladder that is too dear to hold: `make soak`.
//!
//! SRUP_SOAK_CLIP names a clip, else FFmpeg's moving test pattern is taken; SRUP_SOAK_SIZE is another size than 640x360, for a
//! machine on which only bicubic would fit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;
use srup_engine::Upscaler;
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};

const RATE: u64 = 30;
const SECONDS: u64 = 60;

/// Frames that are kept in memory and shown again and again.
const LOOP: usize = 300;

/// Best first; the first is far too dear for two cores.
const LADDER: [&str; 3] = ["luma-m", "luma-s", "bicubic"];

/// What is known of one frame.
#[derive(Clone, Debug)]
struct Seen {
    pts: Duration,
    model: String,
    time: Duration,
    late: bool,
    bicubic: bool,
}

/// Width and height of the input.
fn size() -> (usize, usize) {
    let text = std::env::var("SRUP_SOAK_SIZE").unwrap_or_else(|_| "640x360".into());
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.expect("SRUP_SOAK_SIZE is a size such as 480x270")
}

/// Raw frames of the clip, scaled to the size.
fn clip((width, height): (usize, usize)) -> Option<Vec<gst::Buffer>> {
    let mut ffmpeg = srup_tests::ffmpeg_tool("ffmpeg")?;
    match std::env::var_os("SRUP_SOAK_CLIP") {
        Some(path) => ffmpeg.args(["-stream_loop", "-1"]).arg("-i").arg(Path::new(&path)),
        None => ffmpeg.args(["-f", "lavfi", "-i", &format!("testsrc2=s={width}x{height}:r={RATE}")]),
    };
    let filter =
        format!("fps={RATE},scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height}");
    let frames = LOOP.to_string();
    ffmpeg.args(["-vf", &filter, "-frames:v", &frames, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]);
    let output = ffmpeg.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the clip must decode");
    let size = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    Some(output.stdout.chunks_exact(size).map(|frame| gst::Buffer::from_slice(frame.to_vec())).collect())
}

/// The dearest model that one frame after another takes less than its time with, and what each took.
fn dearest_that_fits((width, height): (usize, usize)) -> (&'static str, Vec<(&'static str, Duration)>) {
    let info = VideoInfo::new(PixelFormat::I420, width, height, Colour::default()).unwrap();
    let times: Vec<_> = LADDER
        .into_iter()
        .map(|model| {
            let mut upscaler = Upscaler::builder().model(model).build(&info).unwrap();
            let (input, mut output) = (Frame::new(&info), Frame::new(upscaler.output_info()));
            let mut times: Vec<_> =
                (0..12).map(|_| upscaler.process(&input.view(), &mut output.view_mut()).unwrap().elapsed).collect();
            times.sort_unstable();
            (model, times[times.len() * 9 / 10])
        })
        .collect();
    let frame = Duration::from_secs(1) / RATE as u32;
    let fits = times.iter().find(|(_, time)| *time < frame.mul_f64(0.85)).expect("bicubic fits").0;
    (fits, times)
}

/// Keeps a core busy while it is told to.
fn neighbour(from: Duration, to: Duration, start: Instant, stop: &AtomicBool) {
    thread::sleep(from);
    let mut sum = 0_u64;
    while start.elapsed() < to && !stop.load(Ordering::Relaxed) {
        sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
}

/// Plays live; every frame that came out.
fn play(
    (width, height): (usize, usize),
    frames: &[gst::Buffer],
    burden: Option<(Duration, Duration)>,
) -> (Vec<Seen>, gst::Structure) {
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=source is-live=true format=time block=true max-buffers=8 ! \
         srupscale name=up backend=cpu ladder={} target-fps=-1 reuse=false ! fakesink name=sink sync=true qos=false",
        LADDER.join(",")
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let source = pipeline.by_name("source").unwrap();
    let caps: gst::Caps =
        format!("video/x-raw, format=I420, width={width}, height={height}, framerate={RATE}/1").parse().unwrap();
    source.set_property("caps", &caps);
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let log = seen.clone();
    pipeline.by_name("sink").unwrap().static_pad("sink").unwrap().add_probe(
        gst::PadProbeType::BUFFER,
        move |_, info| {
            let buffer = info.buffer().expect("a probe for buffers");
            let meta =
                gst::meta::CustomMeta::from_buffer(buffer, "SrUpscaleMeta").expect("every frame says how it was made");
            let told = meta.structure();
            log.lock().unwrap().push(Seen {
                pts: buffer.pts().unwrap().into(),
                model: told.get::<String>("model").unwrap(),
                time: Duration::from_nanos(told.get("time").unwrap()),
                late: told.get("late").unwrap(),
                bicubic: told.get("bicubic").unwrap(),
            });
            gst::PadProbeReturn::Ok
        },
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    let start = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        if let Some((from, to)) = burden {
            let stop = stop.clone();
            scope.spawn(move || neighbour(from, to, start, &stop));
        }
        let base = pipeline.current_running_time().unwrap_or_default();
        for n in 0..SECONDS * RATE {
            let due = Duration::from_secs(n) / RATE as u32;
            thread::sleep(due.saturating_sub(start.elapsed()));
            let mut buffer = frames[n as usize % frames.len()].copy();
            let buffer_mut = buffer.get_mut().unwrap();
            buffer_mut.set_pts(base + gst::ClockTime::try_from(due).unwrap());
            buffer_mut.set_duration(gst::ClockTime::SECOND / RATE);
            let flow = source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]);
            assert_eq!(flow, gst::FlowReturn::Ok);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let flow = source.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]);
    assert_eq!(flow, gst::FlowReturn::Ok);
    let bus = pipeline.bus().unwrap();
    let end =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert!(matches!(end.unwrap().view(), gst::MessageView::Eos(_)), "the stream must come to its end");
    let stats = pipeline.by_name("up").unwrap().property("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    let seen = seen.lock().unwrap().clone();
    (seen, stats)
}

fn judge(seen: &[Seen], fits: &str, quiet: impl Fn(Duration) -> bool, stats: &gst::Structure) {
    assert_eq!(seen.len() as u64, SECONDS * RATE, "every frame that went in came out");
    assert!(seen.windows(2).all(|pair| pair[0].pts < pair[1].pts), "in order");
    let first = seen[0].pts;
    let counted: Vec<_> =
        seen.iter().filter(|s| s.pts >= first + Duration::from_secs(1) && quiet(s.pts - first)).collect();
    let mut histogram = BTreeMap::<&str, usize>::new();
    for s in seen {
        *histogram.entry(if s.bicubic { "bicubic for a deadline" } else { &s.model }).or_default() += 1;
    }
    for model in LADDER {
        let mut times: Vec<_> = seen.iter().filter(|s| s.model == model).map(|s| s.time).collect();
        times.sort_unstable();
        if let (Some(middle), Some(high)) = (times.get(times.len() / 2), times.get(times.len() * 9 / 10)) {
            println!("{model}: {middle:?}, nine of ten below {high:?}");
        }
    }
    let missed = counted.iter().filter(|s| s.late || s.bicubic).count();
    let place = |model: &str| LADDER.iter().position(|m| *m == model);
    let top = counted.iter().filter(|s| place(&s.model) <= place(fits)).count();
    println!("{histogram:?}; of {} counted frames {missed} missed, {top} of {fits} or better; {stats}", counted.len());
    assert!(
        missed * 100 <= counted.len(),
        "{missed} of {} frames were late or bicubic for their deadline",
        counted.len()
    );
    assert!(top * 100 >= counted.len() * 95, "only {top} of {} frames were made by {fits}", counted.len());
}

fn soak(burden: Option<(u64, u64)>) {
    gst::init().unwrap();
    let _ = gstsrupscale::plugin_register_static();
    let size = size();
    let Some(frames) = clip(size) else { return };
    let (fits, times) = dearest_that_fits(size);
    println!("alone, nine of ten frames take less than {times:?}: {fits} is the dearest that fits");
    let burden = burden.map(|(from, to)| (Duration::from_secs(from), Duration::from_secs(to)));
    let (seen, stats) = play(size, &frames, burden);
    let quiet = |at| burden.is_none_or(|(from, to)| at < from || at > to);
    judge(&seen, fits, quiet, &stats);
}

#[test]
#[ignore = "takes a minute of a quiet machine: make soak"]
fn a_minute_live_alone() {
    soak(None);
}

#[test]
#[ignore = "takes a minute of a quiet machine: make soak"]
fn a_minute_live_with_a_neighbour_for_ten_seconds() {
    soak(Some((25, 35)));
}
