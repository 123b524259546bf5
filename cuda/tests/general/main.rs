//! The general kernels of feature maps against plain loops in f64.

use half::f16;
use ptx_standin::harness;
use srup_cuda::kernels::depthwise::{Depthwise, Window};
use srup_cuda::kernels::elementwise::{add, product, star_product};
use srup_cuda::kernels::norm::Norm;
use srup_cuda::kernels::shuffle::pixel_shuffle;
use srup_cuda::{Device, Image, Launch, Map, run};

/// Odd ones, and around the sizes of blocks.
const SIZES: [(usize, usize); 6] = [(1, 1), (1, 37), (5, 1), (4, 16), (9, 17), (13, 33)];

#[test]
fn under_the_stand_in() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_ORDER", "shuffled:5")]) {
        outcome.assert_clean();
    }
}

fn device() -> Option<Device> {
    harness::is_inside().then(|| Device::open(0).unwrap())
}

/// From -1 to 1 in f16, the extremes among them.
fn noise(seed: usize, count: usize) -> Vec<f16> {
    let number =
        |i: usize| ((i * 64 + seed) as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503) >> 9;
    let value = |i| match number(3 * i) % 9 {
        0 => 0.0,
        1 => 1.0,
        2 => -1.0,
        _ => number(i) as f32 / 4_194_304.0 - 1.0,
    };
    (0..count).map(|i| f16::from_f32(value(i))).collect()
}

fn wide(values: &[f16]) -> Vec<f32> {
    values.iter().map(|v| v.to_f32()).collect()
}

/// A map on both sides; `real` channels, then zeros.
struct Side {
    map: Map,
    values: Vec<f16>,
    channels: usize,
    width: usize,
    height: usize,
}

impl Side {
    fn new(device: &Device, (height, width): (usize, usize), real: usize, seed: usize) -> Self {
        let map = Map::allocate(device, height, width, real).unwrap();
        let channels = map.shape().2;
        let mut values = noise(seed, height * width * channels);
        values.iter_mut().enumerate().filter(|(i, _)| i % channels >= real).for_each(|(_, v)| *v = f16::ZERO);
        map.buffer().write(bytemuck::cast_slice(&values)).unwrap();
        Self { map, values, channels, width, height }
    }

    /// The value at a place, or 0 outside.
    fn at(&self, y: isize, x: isize, channel: usize) -> f64 {
        if y < 0 || x < 0 || y >= self.height as isize || x >= self.width as isize {
            return 0.0;
        }
        self.values[(y as usize * self.width + x as usize) * self.channels + channel].to_f64()
    }
}

/// Runs a launch and compares a map with what `expected` says of (y, x, channel); None: that it is as it was.
#[track_caller]
fn check(
    device: &Device,
    launch: Launch,
    output: &Side,
    bound: f64,
    expected: impl Fn(isize, isize, usize) -> Option<f64>,
) {
    run(device, &[launch]).unwrap();
    let mut found = vec![f16::ZERO; output.values.len()];
    output.map.buffer().read(bytemuck::cast_slice_mut(&mut found)).unwrap();
    for (i, found) in found.iter().enumerate() {
        let (pixel, channel) = (i / output.channels, i % output.channels);
        let (y, x) = ((pixel / output.width) as isize, (pixel % output.width) as isize);
        let (truth, bound) = match expected(y, x, channel) {
            Some(truth) => (truth, bound * truth.abs().max(1.0)),
            None => (output.values[i].to_f64(), 0.0),
        };
        let error = (found.to_f64() - truth).abs();
        assert!(error <= bound, "({y}, {x}) channel {channel}: {found}, expected {truth}");
    }
}

/// Half a unit in the last place of 1 in f16.
const ROUNDING: f64 = 1.0 / 2048.0;

#[test]
fn layer_norm() {
    let Some(device) = device() else { return };
    for size in SIZES {
        for channels in [5, 16, 48] {
            let (input, output) = (Side::new(&device, size, channels, 1), Side::new(&device, size, channels, 2));
            let (weight, bias) = (wide(&noise(3, channels)), wide(&noise(4, channels)));
            let launch = Norm::new(&device, &weight, &bias).unwrap().launch(&input.map, &output.map).unwrap();
            check(&device, launch, &output, 2.0 * ROUNDING, |y, x, c| {
                if c >= channels {
                    return Some(0.0);
                }
                let values: Vec<f64> = (0..channels).map(|c| input.at(y, x, c)).collect();
                let mean = values.iter().sum::<f64>() / channels as f64;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / channels as f64;
                Some((values[c] - mean) / (variance + 1e-5).sqrt() * f64::from(weight[c]) + f64::from(bias[c]))
            });
        }
    }
}

#[test]
fn depthwise_of_any_window_and_range() {
    let Some(device) = device() else { return };
    let windows = [(3, 3, 1), (1, 7, 3), (9, 1, 2), (5, 5, 1), (1, 1, 1)];
    for size in SIZES {
        for (rows, columns, dilation) in windows {
            for (from, to, count, with_residual) in [(0, 0, 16, false), (16, 8, 12, true), (8, 16, 24, true)] {
                let input = Side::new(&device, size, 48, 5);
                let (residual, output) = (Side::new(&device, size, 48, 6), Side::new(&device, size, 48, 7));
                let weight = wide(&noise(8, count * rows * columns));
                let bias = wide(&noise(9, count));
                let window = Window { rows, columns, dilation };
                let depthwise = Depthwise::new(&device, window, &weight, &bias).unwrap();
                let added = with_residual.then(|| residual.map.range(to, count));
                let launch = depthwise.launch(input.map.range(from, count), added, output.map.range(to, count));
                check(&device, launch.unwrap(), &output, 2.0 * ROUNDING, |y, x, c| {
                    let channel = c.checked_sub(to).filter(|&c| c < count)?;
                    let mut sum = f64::from(bias[channel]) + if with_residual { residual.at(y, x, c) } else { 0.0 };
                    for (i, row) in weight[channel * rows * columns..][..rows * columns].chunks(columns).enumerate() {
                        for (j, &w) in row.iter().enumerate() {
                            let dy = (i as isize - rows as isize / 2) * dilation as isize;
                            let dx = (j as isize - columns as isize / 2) * dilation as isize;
                            sum += f64::from(w) * input.at(y + dy, x + dx, from + channel);
                        }
                    }
                    Some(sum)
                });
            }
        }
    }
}

#[test]
fn sums_and_products() {
    let Some(device) = device() else { return };
    for size in SIZES {
        let [a, mut b, c] = [10, 11, 12].map(|seed| Side::new(&device, size, 48, seed));
        // Beyond both ends of the gate.
        b.values.iter_mut().for_each(|v| *v = f16::from_f32(9.0 * v.to_f32()));
        b.map.buffer().write(bytemuck::cast_slice(&b.values)).unwrap();
        let output = Side::new(&device, size, 48, 13);
        let (all, part) = (output.map.all(), output.map.range(16, 24));
        let launch = star_product(a.map.range(0, 24), b.map.range(8, 24), c.map.range(24, 24), part).unwrap();
        check(&device, launch, &output, ROUNDING, |y, x, o| {
            let i = o.checked_sub(16).filter(|&i| i < 24)?;
            Some(a.at(y, x, i) + b.at(y, x, 8 + i).clamp(0.0, 6.0) * c.at(y, x, 24 + i))
        });
        let launch = product(a.map.all(), b.map.all(), all).unwrap();
        check(&device, launch, &output, ROUNDING, |y, x, o| Some(a.at(y, x, o) * b.at(y, x, o)));
        let launch = add(a.map.all(), b.map.all(), -0.3, all).unwrap();
        check(&device, launch, &output, ROUNDING, |y, x, o| Some(a.at(y, x, o) - 0.3 * b.at(y, x, o)));
    }
}

#[test]
fn pixel_shuffles() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for (factor, planes) in [(1, 5), (2, 3), (3, 2), (4, 1)] {
            let channels = planes * factor * factor;
            let input = Side::new(&device, (height, width), channels, 14);
            let (tall, wide) = (factor * height, factor * width);
            let output = Image::allocate(&device, planes, tall, wide).unwrap();
            let launch = pixel_shuffle(input.map.range(0, channels), factor, &output).unwrap();
            run(&device, &[launch]).unwrap();
            let mut found = vec![0.0f32; planes * tall * wide];
            output.buffer().read(bytemuck::cast_slice_mut(&mut found)).unwrap();
            for (i, &found) in found.iter().enumerate() {
                let (c, y, x) = (i / (tall * wide), i / wide % tall, i % wide);
                let channel = (c * factor + y % factor) * factor + x % factor;
                let expected = input.at((y / factor) as isize, (x / factor) as isize, channel);
                assert_eq!(f64::from(found), expected, "plane {c} ({y}, {x}) of factor {factor}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let [a, b] = [(3, 5), (5, 3)].map(|size| Side::new(&device, size, 16, 1));
    assert!(add(a.map.all(), b.map.all(), 1.0, a.map.all()).is_err());
    let norm = Norm::new(&device, &[1.0; 48], &[0.0; 48]).unwrap();
    assert!(norm.launch(&a.map, &a.map).unwrap_err().to_string().contains("16 channels for a norm of 48"));
    let window = Window { rows: 3, columns: 3, dilation: 1 };
    let depthwise = Depthwise::new(&device, window, &[0.0; 144], &[0.0; 16]).unwrap();
    let image = Image::allocate(&device, 4, 6, 10).unwrap();
    assert!(pixel_shuffle(a.map.range(0, 12), 2, &image).unwrap_err().to_string().contains("12 channels of 5x3"));
    let (all, error) = (a.map.all(), "in place");
    assert!(depthwise.launch(all, None, all).unwrap_err().to_string().contains(error));
}
