//! The scheduler on the device: what it reuses is the same to the bit, and a lost device means slower, not gone.

use std::thread;

use ptx_standin::harness;
use srup_engine::frame::{Colour, Frame, FrameRef, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::scheduler::{Job, Options, Report, Scheduler};
use srup_engine::{BackendKind, Error};

use crate::support::{difference, is_real, picture, truth, upscaled};

struct Picture(Frame);

impl Job for Picture {
    type Target = Frame;

    fn input(&self) -> Result<FrameRef<'_>, Error> {
        Ok(self.0.view())
    }

    fn spare(&self) -> Result<Frame, Error> {
        Ok(Frame::new(&self.0.info().scaled(2)?))
    }
}

/// Frames through a scheduler, with what it says of each.
fn through(frames: &[Frame], options: &Options) -> Vec<(Frame, Report)> {
    let scheduler = Scheduler::new(frames[0].info(), options).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for frame in frames {
                let job = Picture(frame.clone());
                let target = job.spare().unwrap();
                assert!(scheduler.submit(job, target).unwrap());
            }
            scheduler.finish();
        });
        std::iter::from_fn(|| scheduler.next()).map(|done| done.result.unwrap()).collect()
    })
}

/// A frame, the same again and again, and small changes at several places.
fn sequence(info: &VideoInfo) -> Vec<Frame> {
    let mut frames = vec![picture(info, 1); 3];
    for (plane, at) in [(0, 5), (0, 40 * 450 + 13), (1, 30), (2, 20 * 120)] {
        let mut next = frames[frames.len() - 1].clone();
        let (bytes, _) = next.plane_mut(plane);
        let at = at % bytes.len();
        bytes[at] ^= 0x55;
        frames.extend([next.clone(), next]);
    }
    frames
}

#[test]
fn what_is_reused_is_the_same_to_the_bit() {
    for order in ["eager", "lazy", "shuffled:5"] {
        let test = "flights::what_is_reused_is_the_same_to_the_bit";
        if let Some(outcome) = harness::rerun(test, &[("SRUP_STANDIN_ORDER", order)]) {
            outcome.assert_clean();
            continue;
        }
        let info = VideoInfo::new(PixelFormat::I420, 40, 700, Colour::default()).unwrap();
        let model = Model::open("luma-s", 2).unwrap();
        let frames = sequence(&info);
        let options = Options { backend: BackendKind::Cuda, ..Options::new(vec![model.clone()], 2) };
        let made = through(&frames, &options);
        assert_eq!(made.len(), frames.len());
        for (n, (frame, (picture, report))) in frames.iter().zip(&made).enumerate() {
            assert!(*picture == upscaled(frame, BackendKind::Cuda, &model, 2), "frame {n}: {report:?}");
            let held = n > 1 && frames[n] == frames[n - 1];
            assert!(!held || report.reused == 1.0, "frame {n} is held: {report:?}");
        }
        assert!(made.iter().any(|(_, report)| report.reused > 0.2 && report.reused < 1.0), "no frame was made in part");
        return;
    }
}

#[test]
fn when_the_device_is_lost_the_cpu_goes_on() {
    const TEST: &str = "flights::when_the_device_is_lost_the_cpu_goes_on";
    // While lanes are opened, between two frames, and in the middle of one.
    for call in ["150", "250", "300", "301", "302", "303"] {
        if let Some(outcome) = harness::rerun(TEST, &[("SRUP_STANDIN_LOST", call)]) {
            outcome.assert_passed();
            assert_eq!(outcome.report.injected.len(), 1, "call {call} came");
            continue;
        }
        if is_real("it is not lost") {
            return;
        }
        let info = VideoInfo::new(PixelFormat::I420, 48, 26, Colour::default()).unwrap();
        let model = Model::open("luma-s", 2).unwrap();
        let frames: Vec<Frame> = (0..40).map(|seed| picture(&info, seed)).collect();
        let options = Options { reuse: false, ..Options::new(vec![model.clone()], 2) };
        let made = through(&frames, &options);
        assert_eq!(made.len(), frames.len(), "no frame is lost");
        let exact = |n: usize| made[n].0 == upscaled(&frames[n], BackendKind::Cpu, &model, 2);
        for (n, (made, _)) in made.iter().enumerate() {
            let off = difference(made, &truth(&frames[n], &model, 2));
            assert!(exact(n) || off.largest <= 1, "frame {n}: {off:?}");
        }
        assert!(exact(frames.len() - 1), "the last frame is the CPU's");
        return;
    }
}

/// In the lane for tiles, and while rungs are measured.
#[test]
fn when_the_device_fails_before_the_first_frame_the_cpu_is_taken() {
    const TEST: &str = "flights::when_the_device_fails_before_the_first_frame_the_cpu_is_taken";
    for fail in ["instantiate:2=999", "graph:1", "graph:3"] {
        if let Some(outcome) = harness::rerun(TEST, &[("SRUP_STANDIN_FAIL", fail)]) {
            outcome.assert_passed();
            assert_eq!(outcome.report.injected.len(), 1, "{fail} came");
            assert!(outcome.report.leaks.is_empty(), "{fail}: {:#?}", outcome.report.leaks);
            continue;
        }
        if is_real("it does not fail") {
            return;
        }
        let info = VideoInfo::new(PixelFormat::I420, 40, 140, Colour::default()).unwrap();
        let model = Model::open("luma-s", 2).unwrap();
        let ladder = vec![model.clone(), Model::open("bicubic", 2).unwrap()];
        let options = Options { target: Some(0.5), ..Options::new(ladder, 2) };
        let scheduler = Scheduler::<Picture>::new(&info, &options).unwrap();
        assert!(scheduler.describe().contains("cpu"), "{}", scheduler.describe());
        return;
    }
}
