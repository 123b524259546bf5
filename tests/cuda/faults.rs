//! What fails is said, nothing hangs, and everything is given back.

use ptx_standin::harness::{self, Outcome};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::{BackendKind, Error, Upscaler};

use crate::support::{is_real, picture, upscaled};

/// Two frames; what came of them.
fn attempt(backend: BackendKind) -> Result<String, Error> {
    let info = VideoInfo::new(PixelFormat::I420, 40, 22, Colour::default())?;
    let mut upscaler = Upscaler::builder().backend(backend).build(&info)?;
    let mut output = Frame::new(upscaler.output_info());
    for seed in 0..2 {
        upscaler.process(&picture(&info, seed).view(), &mut output.view_mut())?;
    }
    Ok(upscaler.describe().to_owned())
}

/// Runs a test again with a fault planted; in the inner process prints what came of two frames.
fn planted(test: &str, variables: &[(&str, &str)]) -> Option<(Outcome, String)> {
    let Some(outcome) = harness::rerun(test, variables) else {
        match attempt(BackendKind::Cuda) {
            Ok(text) => println!("answer: all is well on {text}"),
            Err(e) => println!("answer: {e}"),
        }
        return None;
    };
    outcome.assert_passed();
    let text = String::from_utf8_lossy(&outcome.output.stdout).into_owned();
    let answer = text.lines().find_map(|line| Some(line.split_once("answer: ")?.1.to_owned()));
    let answer = answer.expect("the inner process answers");
    assert!(outcome.report.leaks.is_empty(), "{:#?}", outcome.report.leaks);
    Some((outcome, answer))
}

#[test]
fn no_device_is_told() {
    if let Some((_, answer)) = planted("faults::no_device_is_told", &[("SRUP_STANDIN_DEVICES", "0")]) {
        assert!(answer.contains("CUDA device") && answer.contains("CPU"), "{answer}");
    }
}

#[test]
fn an_old_driver_is_told() {
    // CUDA 11.3 and 11.4.
    for (driver, told) in [("11030", "R470"), ("11040", "all is well")] {
        let variables = [("SRUP_STANDIN_DRIVER", driver)];
        if let Some((_, answer)) = planted("faults::an_old_driver_is_told", &variables) {
            assert!(answer.contains(told), "{driver}: {answer}");
        }
    }
}

#[test]
fn memory_that_the_driver_lacks_for_itself_is_told_as_such() {
    // 2 is CUDA_ERROR_OUT_OF_MEMORY.
    for fail in ["module:1=2", "instantiate:1", "stream:1", "cuGraphUpload:1=2", "cuModuleGetFunction:1=2"] {
        let test = "faults::memory_that_the_driver_lacks_for_itself_is_told_as_such";
        if let Some((_, answer)) = planted(test, &[("SRUP_STANDIN_FAIL", fail)]) {
            assert!(answer.contains("KiB of device memory"), "{fail}: {answer}");
        }
    }
}

#[test]
fn too_little_memory_is_told_with_the_amount() {
    let variables = [("SRUP_STANDIN_MEMORY", "4096")];
    if let Some((_, answer)) = planted("faults::too_little_memory_is_told_with_the_amount", &variables) {
        assert!(answer.contains("KiB of device memory"), "{answer}");
    }
}

#[test]
fn every_allocation_may_fail() {
    for nth in ["1", "2", "3", "5"] {
        let fail = format!("alloc:{nth}");
        let Some((outcome, answer)) = planted("faults::every_allocation_may_fail", &[("SRUP_STANDIN_FAIL", &fail)])
        else {
            return;
        };
        assert_eq!(outcome.report.injected.len(), 1, "{fail}: {answer}");
        assert!(answer.contains("memory"), "{fail}: {answer}");
    }
}

#[test]
fn a_failed_copy_or_kernel_is_told() {
    for fail in ["graph:1", "graph:2", "copy:1", "module:1", "event:1", "stream:1", "instantiate:1", "host:1"] {
        let Some((outcome, answer)) =
            planted("faults::a_failed_copy_or_kernel_is_told", &[("SRUP_STANDIN_FAIL", fail)])
        else {
            return;
        };
        assert_eq!(outcome.report.injected.len(), 1, "{fail}: {answer}");
        assert!(!answer.contains("all is well"), "{fail}: {answer}");
    }
}

#[test]
fn a_lost_device_is_told_wherever_it_is_lost() {
    for call in ["20", "40", "60", "80", "100"] {
        let variables = [("SRUP_STANDIN_LOST", call)];
        let Some((_, answer)) = planted("faults::a_lost_device_is_told_wherever_it_is_lost", &variables) else {
            return;
        };
        assert!(answer.contains("all is well") || answer.contains("CUDA"), "call {call}: {answer}");
    }
}

#[test]
fn auto_takes_the_cpu_where_the_device_has_too_little_memory() {
    const TEST: &str = "faults::auto_takes_the_cpu_where_the_device_has_too_little_memory";
    let Some(outcome) = harness::rerun(TEST, &[("SRUP_STANDIN_MEMORY", "4096")]) else {
        if is_real("the device has enough") {
            return;
        }
        let text = attempt(BackendKind::Auto).unwrap();
        assert!(text.contains("cpu"), "{text}");
        return;
    };
    outcome.assert_clean();
}

#[test]
fn the_first_device_that_opens_is_taken() {
    const TEST: &str = "faults::the_first_device_that_opens_is_taken";
    let variables = [("SRUP_STANDIN_DEVICES", "2"), ("SRUP_STANDIN_FAIL", "cuDevicePrimaryCtxRetain:1")];
    let Some(outcome) = harness::rerun(TEST, &variables) else {
        if is_real("the first device opens") {
            return;
        }
        let text = attempt(BackendKind::Auto).unwrap();
        assert!(text.contains("stand-in 1"), "{text}");
        return;
    };
    outcome.assert_clean();
    assert_eq!(outcome.report.injected.len(), 1);
}

/// Enough for half a frame of luma-m, not for a whole one.
#[test]
fn short_of_memory_frames_are_computed_in_bands() {
    let info = VideoInfo::new(PixelFormat::I420, 48, 240, Colour::default()).unwrap();
    let model = Model::open("luma-m", 2).unwrap();
    let (frame, path) = (picture(&info, 3), std::env::var_os("SRUP_TEST_PICTURE"));
    if let Some(path) = path {
        let made = upscaled(&frame, BackendKind::Cuda, &model, 2);
        std::fs::write(path, (0..3).flat_map(|plane| made.plane(plane).0.to_vec()).collect::<Vec<u8>>()).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = ["3000000", "1300000"].map(|memory| {
        let path = folder.path().join(memory);
        let variables = [("SRUP_STANDIN_MEMORY", memory), ("SRUP_TEST_PICTURE", path.to_str().unwrap())];
        let outcome = harness::rerun("faults::short_of_memory_frames_are_computed_in_bands", &variables)?;
        outcome.assert_clean();
        let launches = outcome.report.calls.get("cuGraphLaunch").copied().unwrap_or(0);
        Some((std::fs::read(path).unwrap(), launches))
    });
    let [Some((whole, once)), Some((bands, more))] = made else { return };
    assert!(once == 1 && more > 1, "{once} and {more} launches");
    assert!(whole == bands, "bands are no other picture");
}
