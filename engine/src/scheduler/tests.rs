//! Frames through real lanes: their order, their bits, and what happens when something goes wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::BackendKind;
use crate::backend::{self, Lane, Plan};
use crate::frame::{Colour, Kernel, PixelFormat, VideoInfo};
use crate::model::Model;
use crate::network::{Luma, Network, Preset};

/// A frame, and what happens when a lane looks at it.
struct TestJob {
    number: usize,
    frame: Frame,
    scale: usize,
    trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// The lane is held up.
    Slow(Duration),
    /// The lane panics.
    Panic,
    /// It panics, and again when that is cleared away.
    Twice,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("planted behind");
    }
}

impl Job for TestJob {
    type Target = Frame;

    fn input(&self) -> Result<FrameRef<'_>, Error> {
        // Both ends of the scheduler look as well.
        if thread::current().name().is_some_and(|name| name.starts_with("srup-lane")) {
            match self.trouble {
                Trouble::None => {}
                Trouble::Slow(time) => thread::sleep(time),
                Trouble::Panic => panic!("planted"),
                Trouble::Twice => std::panic::panic_any(Bomb),
            }
        }
        Ok(self.frame.view())
    }

    fn spare(&self) -> Result<Frame, Error> {
        Ok(Frame::new(&self.frame.info().scaled(self.scale)?))
    }
}

fn job(number: usize, frame: Frame, trouble: Trouble) -> TestJob {
    TestJob { number, frame, scale: 2, trouble }
}

fn info(width: usize, height: usize) -> VideoInfo {
    VideoInfo::new(PixelFormat::I420, width, height, Colour::default()).unwrap()
}

fn picture(info: &VideoInfo, seed: usize) -> Frame {
    let mut frame = Frame::new(info);
    for plane in 0..info.format.planes() {
        let (bytes, stride) = frame.plane_mut(plane);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = (i % stride * 3 + i / stride * (5 + seed) + i * i % 17 + 40 * seed) as u8;
        }
    }
    frame
}

fn luma() -> Model {
    let preset = Preset::Luma(Luma { width: 8, depth: 2, head_skip: true });
    Model::Network(Arc::new(Network::random(preset, 2, 3)))
}

fn cpu(ladder: Vec<Model>) -> Options {
    Options { backend: BackendKind::Cpu, threads: 2, ..Options::new(ladder, 2) }
}

/// Everything through a scheduler, submitted by one thread and taken by another.
fn through(scheduler: &Scheduler<TestJob>, jobs: Vec<TestJob>) -> Vec<Done<TestJob>> {
    thread::scope(|scope| {
        scope.spawn(move || {
            for job in jobs {
                let target = job.spare().unwrap();
                assert!(scheduler.submit(job, target).unwrap());
            }
            scheduler.finish();
        });
        std::iter::from_fn(|| scheduler.next()).collect()
    })
}

fn lane(model: &Model, info: &VideoInfo) -> Box<dyn Lane> {
    let plan = Plan::new(model.clone(), 2, info).unwrap();
    backend::open(BackendKind::Cpu, 1).unwrap().lane(&plan).unwrap()
}

/// What one lane makes of a frame.
fn alone(model: Model, frame: &Frame) -> Frame {
    let mut output = Frame::new(&frame.info().scaled(2).unwrap());
    lane(&model, frame.info()).process(0, &frame.view(), &mut output.view_mut()).unwrap();
    output
}

#[test]
fn frames_come_back_in_order_and_the_same_for_any_window() {
    let info = info(50, 37);
    for (window, live, threads) in [(0, false, 0), (1, false, 2), (2, true, 2), (3, false, 3), (7, false, 1)] {
        let options = Options { window, live, threads, ..cpu(vec![luma()]) };
        let scheduler = Scheduler::new(&info, &options).unwrap();
        let jobs = (0..20).map(|n| job(n, picture(&info, n), Trouble::None)).collect();
        let done = through(&scheduler, jobs);
        assert_eq!(done.len(), 20);
        for (n, done) in done.into_iter().enumerate() {
            let (frame, report) = done.result.unwrap();
            assert_eq!(done.job.number, n);
            assert!(frame == alone(luma(), &picture(&info, n)), "frame {n} of window {window}");
            assert!(!report.late && report.rung == 0 && report.change.is_none() == (n > 0));
        }
        let stats = scheduler.stats();
        assert_eq!((stats.frames, stats.late, stats.rungs[0].1, stats.reused), (20, 0, 20, 0.0));
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let info = info(16, 16);
    let refused = |options: &Options| match Scheduler::<TestJob>::new(&info, options) {
        Err(Error::Plan { reason }) => reason,
        other => panic!("{:?}", other.err()),
    };
    assert!(refused(&cpu(vec![])).contains("no model"));
    let reason = refused(&Options { scale: 3, ..cpu(vec![luma()]) });
    assert!(reason.contains("enlarges 2 times") && reason.contains("16x16 to 48x48"), "{reason}");
    for target in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(
            refused(&Options { target: Some(target), ..cpu(vec![luma()]) }).contains("give a target of at least"),
            "{target}"
        );
    }
}

#[test]
fn a_lane_that_breaks_down_is_told_and_goes_on() {
    let info = info(16, 16);
    let scheduler = Scheduler::new(&info, &Options { window: 1, ..cpu(vec![luma()]) }).unwrap();
    let troubles = [Trouble::None, Trouble::Twice, Trouble::None];
    let jobs = troubles.iter().enumerate().map(|(n, &trouble)| job(n, picture(&info, n), trouble)).collect();
    let done = through(&scheduler, jobs);
    assert_eq!(done.iter().map(|done| done.result.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    assert!(matches!(done[1].result, Err(Error::Fault { .. })));
}

#[test]
fn a_rung_is_told_though_its_first_frame_is_made_bicubic() {
    let info = info(16, 16);
    let ladder = vec![luma(), Model::Resample(Kernel::Bicubic)];
    let options = Options { live: true, target: Some(10.0), window: 1, ..cpu(ladder) };
    let scheduler = Scheduler::new(&info, &options).unwrap();
    let done = through(&scheduler, vec![job(0, picture(&info, 0), Trouble::Slow(Duration::from_secs(1)))]);
    let (_, report) = done.into_iter().next().unwrap().result.unwrap();
    let change = report.change.unwrap();
    assert!(report.deadline_bicubic && change.reason == Reason::Start);
    assert_eq!((&*change.model, &*report.model), (luma().name(), "bicubic"));
}

#[test]
fn the_window_is_not_exceeded() {
    let info = info(16, 16);
    let options = Options { window: 3, ..cpu(vec![Model::Resample(Kernel::Bicubic)]) };
    let scheduler = Scheduler::new(&info, &options).unwrap();
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..40 {
                let job = job(n, picture(&info, n), Trouble::None);
                let target = job.spare().unwrap();
                scheduler.submit(job, target).unwrap();
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 4, "one more may just be leaving");
            }
            scheduler.finish();
        });
        while scheduler.next().is_some() {
            inside.fetch_sub(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn a_frame_that_is_held_up_comes_out_bicubic_in_time() {
    let info = info(64, 48);
    let options =
        Options { window: 3, live: true, target: Some(20.0), ..cpu(vec![luma(), Model::Resample(Kernel::Bicubic)]) };
    let scheduler = Scheduler::new(&info, &options).unwrap();
    assert_eq!(scheduler.latency(), Some(Duration::from_millis(150)));
    let mut done: Vec<Done<TestJob>> = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..16 {
                let trouble = if n == 5 { Trouble::Slow(Duration::from_millis(400)) } else { Trouble::None };
                let job = job(n, picture(&info, n), trouble);
                let target = job.spare().unwrap();
                assert!(scheduler.submit(job, target).unwrap());
                thread::sleep(Duration::from_millis(50));
            }
            scheduler.finish();
        });
        // Nothing else is done here: who asks late gets frames late.
        done = std::iter::from_fn(|| scheduler.next()).collect();
    });
    for (n, done) in done.into_iter().enumerate() {
        let (frame, report) = done.result.unwrap();
        assert_eq!(done.job.number, n);
        let model = if report.rung == 0 { luma() } else { Model::Resample(Kernel::Bicubic) };
        assert!(frame == alone(model, &picture(&info, n)), "frame {n}");
        assert!(report.rung == 0 || n >= 5, "frame {n}: {report:?}");
        assert!(report.inside < Duration::from_millis(200), "held up by the lane: {report:?}");
        if n == 5 {
            assert!(report.deadline_bicubic && &*report.model == "bicubic", "{report:?}");
        }
    }
    let stats = scheduler.stats();
    // A machine that is busy with other tests may wake a thread some milliseconds late, but not as a rule.
    assert!(stats.deadline_bicubic > 0 && stats.late < stats.deadline_bicubic, "{stats:?}");
}

#[test]
fn lanes_that_have_nothing_to_do_measure_what_a_better_rung_takes() {
    let info = info(64, 48);
    let ladder = vec![luma(), Model::Resample(Kernel::Bicubic)];
    let options = Options { live: true, target: Some(20.0), ..cpu(ladder) };
    let scheduler = Scheduler::new(&info, &options).unwrap();
    let send = |n| {
        let job = job(n, picture(&info, n), Trouble::None);
        let target = job.spare().unwrap();
        assert!(scheduler.submit(job, target).unwrap());
        scheduler.next().unwrap().result.unwrap()
    };
    send(0);
    (0..3).for_each(|_| scheduler.report_lateness(Duration::from_millis(5)));
    for n in 1..20 {
        let (frame, report) = send(n);
        assert_eq!((&*report.model, report.reused), ("bicubic", 0.0), "frame {n}");
        assert!(frame == alone(Model::Resample(Kernel::Bicubic), &picture(&info, n)), "frame {n}");
        thread::sleep(Duration::from_millis(50));
    }
    let stats = scheduler.stats();
    assert_eq!(stats.frames, 20, "probes are no frames");
    // In the second that this takes at the least, a machine that is busy with other tests may be late with some.
    assert!((1..=8).contains(&stats.probes), "{stats:?}");
}

#[test]
fn a_lane_that_panics_says_so_and_goes_on() {
    let info = info(16, 12);
    let scheduler = Scheduler::new(&info, &cpu(vec![Model::Resample(Kernel::Bicubic)])).unwrap();
    let trouble = |n| if n == 3 { Trouble::Panic } else { Trouble::None };
    let done = through(&scheduler, (0..8).map(|n| job(n, picture(&info, n), trouble(n))).collect());
    let failed: Vec<_> = done.iter().filter(|done| done.result.is_err()).map(|done| done.job.number).collect();
    assert_eq!((done.len(), failed), (8, vec![3]));
    let text = done[3].result.as_ref().err().unwrap().to_string();
    assert!(text.contains("planted"), "{text}");
}

#[test]
fn a_frame_of_another_description_is_refused_and_takes_no_place() {
    let scheduler = Scheduler::new(&info(16, 12), &Options { window: 1, ..cpu(vec![luma()]) }).unwrap();
    for _ in 0..3 {
        let job = job(0, picture(&info(18, 12), 0), Trouble::None);
        let target = job.spare().unwrap();
        assert!(matches!(scheduler.submit(job, target), Err(Error::FrameMismatch { .. })));
    }
    assert_eq!(through(&scheduler, vec![job(1, picture(&info(16, 12), 1), Trouble::None)]).len(), 1);
}

#[test]
fn abort_frees_both_ends_and_resume_begins_anew() {
    let info = info(32, 24);
    let scheduler = Scheduler::new(&info, &Options { window: 2, ..cpu(vec![luma()]) }).unwrap();
    for round in 0..20 {
        thread::scope(|scope| {
            let taken = scope.spawn(|| std::iter::from_fn(|| scheduler.next()).count());
            let given = scope.spawn(|| {
                let submit = |n| {
                    let job = job(n, picture(&info, n), Trouble::None);
                    let target = job.spare().unwrap();
                    scheduler.submit(job, target).unwrap()
                };
                (0..).take_while(|&n| submit(n)).count()
            });
            thread::sleep(Duration::from_millis(round % 5));
            scheduler.abort();
            let (given, taken) = (given.join().unwrap(), taken.join().unwrap());
            assert!(given >= taken && given - taken <= 3, "{given} in, {taken} out");
        });
        scheduler.resume();
    }
    let done = through(&scheduler, (0..5).map(|n| job(n, picture(&info, n), Trouble::None)).collect());
    let numbers: Vec<_> = done.iter().map(|done| done.job.number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "frames of before are gone");
}

/// A frame after an edit: where, how large, and by what; nothing at all where `by` is 0.
fn edited(frame: &Frame, plane: usize, at: usize, len: usize, by: u8) -> Frame {
    let mut frame = frame.clone();
    let (bytes, _) = frame.plane_mut(plane % 3);
    let at = at % bytes.len();
    for byte in bytes.iter_mut().skip(at).take(len) {
        *byte = byte.wrapping_add(by);
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Held frames, small edits and cuts, through lanes of any number: bit for bit what computing everything gives.
    #[test]
    fn reuse_changes_no_bit(
        edits in prop::collection::vec((0..3_usize, 0..100_000_usize, 1..400_usize, prop_oneof![3 => Just(0_u8), 3 => 1..255_u8]), 6..14),
        window in 1..4_usize,
        (width, height) in (220..300_usize, 200..240_usize),
        network in any::<bool>(),
    ) {
        let info = info(width, height);
        let model = if network { luma() } else { Model::Resample(Kernel::Lanczos) };
        let mut frames = vec![picture(&info, 0), picture(&info, 0)];
        for (plane, at, len, by) in edits {
            frames.push(edited(frames.last().unwrap(), plane, at, len, by));
        }
        // Held at the end, so that something can be reused whatever came before.
        frames.push(frames.last().unwrap().clone());
        let scheduler = Scheduler::new(&info, &Options { window, ..cpu(vec![model.clone()]) }).unwrap();
        let jobs = frames.iter().enumerate().map(|(n, frame)| job(n, frame.clone(), Trouble::None)).collect();
        let done = through(&scheduler, jobs);
        prop_assert_eq!(done.len(), frames.len());
        let mut lane = lane(&model, &info);
        for (n, done) in done.into_iter().enumerate() {
            let (frame, report) = done.result.unwrap();
            let mut expected = Frame::new(&info.scaled(2).unwrap());
            lane.process(0, &frames[n].view(), &mut expected.view_mut()).unwrap();
            prop_assert!(frame == expected, "frame {} with {:.2} reused", n, report.reused);
            prop_assert!(n < 2 || frames[n] != frames[n - 1] || report.reused == 1.0, "frame {n} is held");
        }
        prop_assert!(scheduler.stats().reused > 0.0);
    }
}
