//! Frames of every format through every kind of model: the device's are those of the CPU, to within a code.

use std::sync::Arc;

use ptx_standin::harness;
use srup_engine::BackendKind;
use srup_engine::frame::{Colour, Matrix, PixelFormat, Range, Siting, VideoInfo};
use srup_engine::model::Model;
use srup_engine::network::{Network, Preset};

use crate::support::{difference, picture, truth, upscaled};

/// Matrix, range and siting by turns.
fn colours(turn: usize) -> Colour {
    let matrix = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][turn % 3];
    let range = [Range::Limited, Range::Full][turn % 2];
    let siting = [Siting::LEFT, Siting::CENTER, Siting::TOP_LEFT, Siting::TOP][turn % 4];
    Colour { matrix, range, siting }
}

/// How far frames may be from the CPU's.
#[derive(Clone, Copy)]
struct Bounds {
    /// Of any sample, as a share of the largest code, rounded up to whole codes.
    largest: f64,
    /// In dB.
    psnr: f64,
}

/// One code of 8 bits.
const ONE_CODE: Bounds = Bounds { largest: 1.0 / 255.0, psnr: 60.0 };

/// What golden vectors of the larger networks are allowed in f16; random weights give twice the range of pictures.
const HALF: Bounds = Bounds { largest: 2e-2, psnr: 55.0 };

#[track_caller]
fn near_the_cpu(model: &Model, scale: usize, sizes: &[(usize, usize)], bounds: Bounds) {
    let mut wrong = Vec::new();
    for (turn, format) in PixelFormat::ALL.into_iter().enumerate() {
        for (i, &(width, height)) in sizes.iter().enumerate() {
            let info = VideoInfo::new(format, width, height, colours(turn + i)).unwrap();
            let frame = picture(&info, (turn + 17 * i) as u64);
            let cuda = upscaled(&frame, BackendKind::Cuda, model, scale);
            let found = difference(&cuda, &truth(&frame, model, scale));
            let allowed = (f64::from(format.max_code()) * bounds.largest).ceil();
            if f64::from(found.largest) > allowed || found.psnr < bounds.psnr {
                wrong.push(format!("{format} {width}x{height} {:?}: {found:?}", info.colour));
            }
        }
    }
    assert!(wrong.is_empty(), "{} x{scale}:\n{}", model.name(), wrong.join("\n"));
}

#[test]
fn lanczos_in_every_format() {
    if let Some(outcome) = harness::rerun("frames::lanczos_in_every_format", &[]) {
        return outcome.assert_clean();
    }
    near_the_cpu(&Model::open("lanczos", 2).unwrap(), 2, &[(1, 1), (2, 3), (33, 18), (70, 21)], ONE_CODE);
    near_the_cpu(&Model::open("bicubic", 3).unwrap(), 3, &[(35, 17)], ONE_CODE);
}

#[test]
fn luma_in_every_format() {
    if let Some(outcome) = harness::rerun("frames::luma_in_every_format", &[]) {
        return outcome.assert_clean();
    }
    near_the_cpu(&Model::open("luma-s", 2).unwrap(), 2, &[(1, 1), (35, 18), (70, 21)], ONE_CODE);
    near_the_cpu(&Model::open("luma-s", 3).unwrap(), 3, &[(33, 9)], ONE_CODE);
}

#[test]
fn a_network_on_rgb_in_every_format() {
    if let Some(outcome) = harness::rerun("frames::a_network_on_rgb_in_every_format", &[]) {
        return outcome.assert_clean();
    }
    let presets = Preset::named(2);
    let (_, preset) = presets.into_iter().find(|(name, _)| *name == "sdan-small").unwrap();
    let model = Model::Network(Arc::new(Network::random(preset, 2, 5)));
    near_the_cpu(&model, 2, &[(1, 1), (35, 18)], HALF);
}
