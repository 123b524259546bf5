//! The fused kernels of SDAN against plain loops in f64.

mod large_kernel;
mod reference;
mod star;

use half::f16;
use ptx_standin::harness;
use srup_cuda::{Buffer, Device, Launch, Map, run};

use reference::{Operation, Planar};

#[test]
fn under_the_stand_in() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_ORDER", "shuffled:5")]) {
        outcome.assert_clean();
        for name in ["star_c32_f16", "star_c48_f16", "large_kernel_c32_f16", "large_kernel_c48_f16"] {
            assert_eq!(outcome.report.kernels[name].shared.conflicts, 0, "{name}");
        }
    }
}

#[test]
fn under_the_stand_in_before_ampere() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_CC", "75")]) {
        outcome.assert_clean();
    }
}

fn device() -> Option<Device> {
    harness::is_inside().then(|| Device::open(0).unwrap())
}

/// From -1 to 1, evenly spread, as f16 has it.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f16::from_f32((state >> 40) as f32 / 8_388_608.0 - 1.0).to_f32()
    };
    (0..count).map(|_| next()).collect()
}

/// A convolution whose outputs are about as large as its inputs.
fn convolution(seed: u64, outputs: usize, weights: usize) -> Operation {
    let gain = (3.0 / weights as f32).sqrt();
    let weight = noise(seed, outputs * weights).iter().map(|v| f16::from_f32(v * gain).to_f32()).collect();
    let bias = noise(seed + 1, outputs).iter().map(|v| v / 2.0).collect();
    Operation { weight, bias }
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug)]
enum Class {
    Noise,
    Zero,
    Ramp,
    Huge,
}

const CLASSES: [Class; 4] = [Class::Noise, Class::Zero, Class::Ramp, Class::Huge];

fn picture(class: Class, seed: u64, channels: usize, (height, width): (usize, usize)) -> Planar {
    let noise = noise(seed, channels * height * width);
    let value = |i: usize| match class {
        Class::Noise => 2.0 * f64::from(noise[i]),
        Class::Zero => 0.0,
        Class::Ramp => ((i % width) as f64 + (i / width) as f64) / 64.0 - 1.0,
        Class::Huge => f64::from(noise[i]).signum() * 1000.0,
    };
    let values = (0..noise.len()).map(|i| f16::from_f64(value(i)).to_f64()).collect();
    Planar { channels, height, width, values }
}

fn upload(device: &Device, planar: &Planar) -> Map {
    let Planar { channels, height, width, .. } = *planar;
    let map = Map::allocate(device, height, width, channels).unwrap();
    let pixels = height * width;
    let values: Vec<f16> =
        (0..channels * pixels).map(|i| f16::from_f64(planar.values[i % channels * pixels + i / channels])).collect();
    map.buffer().write(bytemuck::cast_slice(&values)).unwrap();
    map
}

fn empty(device: &Device, like: &Planar) -> Map {
    Map::allocate(device, like.height, like.width, like.channels).unwrap()
}

fn download(map: &Map) -> Planar {
    let (height, width, channels) = map.shape();
    let (pixels, mut values) = (height * width, vec![f16::ZERO; height * width * channels]);
    map.buffer().read(bytemuck::cast_slice_mut(&mut values)).unwrap();
    let values = (0..values.len()).map(|i| values[i % pixels * channels + i / pixels].to_f64()).collect();
    Planar { channels, height, width, values }
}

fn run_one(device: &Device, launch: Launch) {
    run(device, &[launch]).unwrap();
}

/// The largest error, relative to the largest value.
#[track_caller]
fn assert_close(found: &Planar, truth: &Planar, bound: f64, what: &str) {
    let largest = truth.values.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
    for (i, (found, truth)) in found.values.iter().zip(&truth.values).enumerate() {
        let error = (found - truth).abs() / largest;
        assert!(error <= bound, "{what}, value {i}: {found}, expected {truth}: error {error:.2e}");
    }
}

/// That the results of a part of a picture, from (top, left) to its end, are those of the whole, bit by bit, from
/// `reach` pixels after the cuts on.
#[track_caller]
fn assert_same_part(part: &Planar, whole: &Planar, (top, left): (usize, usize), reach: usize) {
    for c in 0..whole.channels {
        for y in reach..part.height {
            for x in reach..part.width {
                let at = |p: &Planar, y: usize, x: usize| p.values[(c * p.height + y) * p.width + x];
                assert_eq!(at(part, y, x), at(whole, y + top, x + left), "channel {c} of ({y}, {x})");
            }
        }
    }
}

/// A map that holds no numbers, so that what is left out shows.
fn poisoned(device: &Device, like: &Planar) -> Map {
    let map = empty(device, like);
    map.buffer().write(&vec![0xff; map.buffer().bytes()]).unwrap();
    map
}

/// The bytes of a buffer.
fn bytes(buffer: &Buffer) -> Vec<u8> {
    let mut bytes = vec![0; buffer.bytes()];
    buffer.read(&mut bytes).unwrap();
    bytes
}
