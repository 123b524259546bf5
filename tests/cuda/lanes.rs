//! Lanes side by side: the copies of one run beside the kernels of another.

use ptx_standin::harness::{self, Outcome};
use ptx_standin::report::{Operation, OperationKind};
use srup_engine::BackendKind;
use srup_engine::backend::{self, Plan};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;

use crate::support::{picture, upscaled};

/// How many frames a run takes; a test sets it for its own process.
const FRAMES: &str = "SRUP_TEST_FRAMES";

/// Frames through two lanes by turns, each started before the one before it is finished; the frames.
fn two_lanes() -> Vec<Frame> {
    let input = VideoInfo::new(PixelFormat::Nv12, 96, 54, Colour::default()).unwrap();
    let plan = Plan::new(Model::open("luma-s", 2).unwrap(), 2, &input).unwrap();
    let backend = backend::open(BackendKind::Cuda, 0).unwrap();
    let mut lanes = [backend.lane(&plan).unwrap(), backend.lane(&plan).unwrap()];
    let mut frames = Vec::new();
    let count = std::env::var(FRAMES).map_or(4, |n| n.parse().unwrap());
    for n in 0..=count {
        if n < count {
            lanes[n as usize % 2].start(0, &picture(&input, n).view()).unwrap();
        }
        if n > 0 {
            let mut frame = Frame::new(&plan.output);
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
        // Which context a thread's calls go to is the host's business alone.
        .filter(|&(name, n)| n > 0 && name != "cuCtxGetCurrent" && name != "cuCtxSetCurrent")
        .collect();
    assert_eq!(more, [("cuEventRecord", 5), ("cuEventSynchronize", 5), ("cuGraphLaunch", 5)]);
}
