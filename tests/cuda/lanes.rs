//! Lanes side by side: the copies of one run beside the kernels of another. Lanes of several rungs: one memory for all.

use std::sync::Arc;

use ptx_standin::harness::{self, Outcome};
use ptx_standin::report::{Operation, OperationKind};
use srup_engine::backend::{self, Lane, Plan};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::network::{Network, Preset};
use srup_engine::{BackendKind, Precision};

use crate::support::{picture, upscaled};

/// How many frames a run takes; a test sets it for its own process.
const FRAMES: &str = "SRUP_TEST_FRAMES";

/// Frames through two lanes by turns, each started before the one before it is finished; the frames.
fn two_lanes() -> Vec<Frame> {
    let input = VideoInfo::new(PixelFormat::Nv12, 96, 54, Colour::default()).unwrap();
    let output = input.scaled(2).unwrap();
    let model = Model::open("luma-s", 2).unwrap();
    let plan = Plan::new(model, 2, &input).unwrap();
    let backend = backend::open(BackendKind::Cuda, 0).unwrap();
    let mut lanes = [backend.lane(&plan).unwrap(), backend.lane(&plan).unwrap()];
    let mut frames = Vec::new();
    let count = std::env::var(FRAMES).map_or(4, |n| n.parse().unwrap());
    for n in 0..=count {
        if n < count {
            lanes[n as usize % 2].start(0, &picture(&input, n).view()).unwrap();
        }
        if n > 0 {
            let mut frame = Frame::new(&output);
            lanes[(n as usize - 1) % 2].finish(&mut frame.view_mut()).unwrap();
            frames.push(frame);
        }
    }
    frames
}

/// The operations of each frame: those of one launch of a graph.
fn frames_of(outcome: &Outcome) -> Vec<Vec<&Operation>> {
    let mut frames: Vec<Vec<&Operation>> = Vec::new();
    for operation in &outcome.report.operations {
        if let Some(launch) = operation.graph_launch {
            frames.resize(frames.len().max(launch as usize), Vec::new());
            frames[launch as usize - 1].push(operation);
        }
    }
    frames
}

fn of_kind<'a>(frame: &[&'a Operation], kind: OperationKind) -> Vec<&'a Operation> {
    frame.iter().copied().filter(|o| o.kind == kind).collect()
}

#[test]
fn copies_run_beside_kernels() {
    let Some(outcome) = harness::rerun("lanes::copies_run_beside_kernels", &[]) else {
        two_lanes();
        return;
    };
    outcome.assert_clean();
    let frames = frames_of(&outcome);
    assert_eq!(frames.len(), 4);
    for pair in frames.windows(2) {
        let end = |frame| of_kind(frame, OperationKind::Kernel).iter().map(|k| k.end_ns).max().expect("kernels ran");
        let (up, down) = (of_kind(&pair[1], OperationKind::Upload)[0], of_kind(&pair[0], OperationKind::Download)[0]);
        assert!(up.begin_ns < end(&pair[0]), "an upload waits for the kernels of the frame before");
        assert!(down.begin_ns < end(&pair[1]), "a download waits for the kernels of the next frame");
        assert!(!pair[0].iter().any(|a| outcome.report.is_ordered(a.id, up.id)), "the upload waits for another lane");
    }
}

#[test]
fn the_frames_are_those_of_one_lane() {
    for order in ["eager", "lazy", "shuffled:3"] {
        let variables = [("SRUP_STANDIN_ORDER", order)];
        if let Some(outcome) = harness::rerun("lanes::the_frames_are_those_of_one_lane", &variables) {
            outcome.assert_clean();
            continue;
        }
        let model = Model::open("luma-s", 2).unwrap();
        for (n, frame) in two_lanes().iter().enumerate() {
            let info = VideoInfo::new(PixelFormat::Nv12, 96, 54, Colour::default()).unwrap();
            let alone = upscaled(&picture(&info, n as u64), BackendKind::Cuda, &model, 2);
            assert_eq!(*frame, alone, "frame {n}");
        }
        return;
    }
}

#[test]
fn threads_may_open_lanes_at_once() {
    if let Some(outcome) = harness::rerun("lanes::threads_may_open_lanes_at_once", &[]) {
        return outcome.assert_clean();
    }
    let input = VideoInfo::new(PixelFormat::Nv12, 32, 18, Colour::default()).unwrap();
    let model = Model::open("luma-s", 2).unwrap();
    let frame = picture(&input, 1);
    let expected = upscaled(&frame, BackendKind::Cuda, &model, 2);
    let barrier = std::sync::Barrier::new(2);
    // As two elements do: each has a backend of its own on the one device.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..20 {
                    assert_eq!(upscaled(&frame, BackendKind::Cuda, &model, 2), expected);
                }
            });
        }
    });
}

#[test]
fn a_frame_allocates_nothing_and_is_one_graph() {
    const TEST: &str = "lanes::a_frame_allocates_nothing_and_is_one_graph";
    let Some(few) = harness::rerun(TEST, &[(FRAMES, "4")]) else {
        two_lanes();
        return;
    };
    let many = harness::rerun(TEST, &[(FRAMES, "9")]).expect("this is not the inner process");
    few.assert_clean();
    many.assert_clean();
    let more: Vec<(&str, u64)> = many
        .report
        .calls
        .iter()
        .map(|(name, &n)| (name.as_str(), n - few.report.calls.get(name).copied().unwrap_or(0)))
        // Which context a thread's calls go to, and what an application's capture forbids it, is the host's business alone.
        .filter(|&(name, n)| {
            n > 0 && !["cuCtxGetCurrent", "cuCtxSetCurrent", "cuThreadExchangeStreamCaptureMode"].contains(&name)
        })
        .collect();
    assert_eq!(more, [("cuEventRecord", 5), ("cuEventSynchronize", 5), ("cuGraphLaunch", 5)]);
}

/// A named preset at scale 2 with random weights.
fn random(name: &str, seed: u64) -> Model {
    let (_, preset) = Preset::named(2).into_iter().find(|(n, _)| *n == name).unwrap();
    Model::Network(Arc::new(Network::random(preset, 2, seed)))
}

fn plan(ladder: &[Model], input: &VideoInfo) -> Plan {
    let output = input.scaled(2).unwrap();
    Plan { ladder: ladder.to_vec(), input: *input, output, precision: Precision::Auto }
}

fn through(lane: &mut dyn Lane, rung: usize, frame: &Frame) -> Frame {
    let mut output = Frame::new(&frame.info().scaled(2).unwrap());
    lane.start(rung, &frame.view()).unwrap();
    lane.finish(&mut output.view_mut()).unwrap();
    output
}

#[test]
fn a_ladder_gives_the_pictures_of_its_rungs() {
    const TEST: &str = "lanes::a_ladder_gives_the_pictures_of_its_rungs";
    for order in ["eager", "shuffled:5"] {
        if let Some(outcome) = harness::rerun(TEST, &[("SRUP_STANDIN_ORDER", order)]) {
            outcome.assert_clean();
            continue;
        }
        let models = [Model::open("luma-s", 2).unwrap(), random("sdan-small", 5), Model::open("bicubic", 2).unwrap()];
        let backend = backend::open(BackendKind::Cuda, 0).unwrap();
        for format in [PixelFormat::Nv12, PixelFormat::Bgra] {
            let info = VideoInfo::new(format, 45, 22, Colour::default()).unwrap();
            let mut ladder = backend.lane(&plan(&models, &info)).unwrap();
            let mut alone = models.each_ref().map(|m| backend.lane(&plan(std::slice::from_ref(m), &info)).unwrap());
            // Every rung after every other one, and after itself.
            for (n, rung) in [1, 0, 2, 1, 1, 2, 0, 0, 1, 2, 2].into_iter().enumerate() {
                let frame = picture(&info, n as u64);
                let found = through(&mut *ladder, rung, &frame);
                assert_eq!(found, through(&mut *alone[rung], 0, &frame), "frame {n} of {format} by rung {rung}");
            }
        }
        return;
    }
}

/// Which rungs the lanes of a run have and how many lanes there are, a digit each rung, a word each lane.
const LADDERS: &str = "SRUP_TEST_LADDERS";

/// The most device memory in use with lanes for those ladders, of these models, for NV12 of 320x180.
fn memory(test: &str, models: &[Model], ladders: &str) -> Option<usize> {
    if let Some(outcome) = harness::rerun(test, &[(LADDERS, ladders)]) {
        outcome.assert_clean();
        return Some(outcome.report.peak_memory[0]);
    }
    let info = VideoInfo::new(PixelFormat::Nv12, 320, 180, Colour::default()).unwrap();
    let backend = backend::open(BackendKind::Cuda, 0).unwrap();
    let ladders = std::env::var(LADDERS).unwrap_or_else(|_| ladders.to_owned());
    let model = |digit: u8| models[usize::from(digit - b'0')].clone();
    let ladder = |word: &str| plan(&word.bytes().map(model).collect::<Vec<_>>(), &info);
    let lanes: Vec<_> = ladders.split(' ').map(|word| backend.lane(&ladder(word)).unwrap()).collect();
    assert!(!lanes.is_empty());
    None
}

#[test]
fn a_ladder_takes_the_memory_of_its_dearest_rung() {
    const TEST: &str = "lanes::a_ladder_takes_the_memory_of_its_dearest_rung";
    let models =
        [random("luma-m", 3), random("sdan-small", 5), random("sdan-small", 6), Model::open("bicubic", 2).unwrap()];
    let Some(all) = memory(TEST, &models, "0123") else { return };
    let alone = ["0", "1", "2", "3"].map(|rung| memory(TEST, &models, rung).expect("this is not the inner process"));
    let dearest = *alone.iter().max().expect("there are rungs");
    // Weights are f16 or f32 with some padding; the rest is for tables of resampling.
    let weights: usize = models.iter().map(|m| 4 * m.parameters()).sum();
    let least = dearest + 2 * models[2].parameters();
    let most = dearest + weights + (64 << 10);
    println!("{alone:?} together {all}, between {least} and {most}");
    assert!((least..=most).contains(&all), "{alone:?} together {all}, not between {least} and {most}");
}

#[test]
fn lanes_of_one_backend_share_weights() {
    const TEST: &str = "lanes::lanes_of_one_backend_share_weights";
    let models = [random("sdan-small", 5)];
    let Some(two) = memory(TEST, &models, "0 0") else { return };
    let one = memory(TEST, &models, "0").expect("this is not the inner process");
    let saved = 2 * one - two;
    assert!(saved >= 2 * models[0].parameters(), "two lanes take {two} bytes, one takes {one}");
}
