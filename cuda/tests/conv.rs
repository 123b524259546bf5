//! Dense convolutions against plain loops in f64.

use half::f16;
use ptx_standin::harness;
use srup_cuda::kernels::conv::{Activation, Conv, Input, Output, Shape};
use srup_cuda::{Buffer, Device, Image, Launch, Map, run};

#[test]
fn under_the_stand_in() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_ORDER", "shuffled:5")]) {
        outcome.assert_clean();
        for (name, counters) in &outcome.report.kernels {
            assert_eq!(counters.shared.conflicts, 0, "{name}: {:?}", counters.shared);
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

/// From -1 to 1, evenly spread.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&v| f16::from_f32(v).to_f32()).collect()
}

/// Planar values `[channels][height][width]`.
#[derive(Clone)]
struct Planar {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Planar {
    fn noise(seed: u64, channels: usize, (height, width): (usize, usize)) -> Self {
        let values = rounded(&noise(seed, channels * height * width)).into_iter().map(f64::from).collect();
        Self { channels, height, width, values }
    }

    /// The value at a place, or 0 outside.
    fn at(&self, c: usize, y: isize, x: isize) -> f64 {
        let inside = (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        if inside { self.values[(c * self.height + y as usize) * self.width + x as usize] } else { 0.0 }
    }

    fn map(&self, device: &Device) -> Map {
        let map = Map::allocate(device, self.height, self.width, self.channels).unwrap();
        let padded = map.shape().2;
        let mut values = vec![f16::ZERO; self.height * self.width * padded];
        for (i, &v) in self.values.iter().enumerate() {
            let (c, pixel) = (i / (self.height * self.width), i % (self.height * self.width));
            values[pixel * padded + c] = f16::from_f64(v);
        }
        map.buffer().write(bytemuck::cast_slice(&values)).unwrap();
        map
    }

    fn image(&self, device: &Device) -> Image {
        let image = Image::allocate(device, self.channels, self.height, self.width).unwrap();
        let values: Vec<f32> = self.values.iter().map(|&v| v as f32).collect();
        image.buffer().write(bytemuck::cast_slice(&values)).unwrap();
        image
    }

    /// Inputs one after another.
    fn join(parts: &[Self]) -> Self {
        let values = parts.iter().flat_map(|part| part.values.iter().copied()).collect();
        Self { channels: parts.iter().map(|part| part.channels).sum(), values, ..parts[0] }
    }

    fn shuffle(&self, s: usize) -> Self {
        let (height, width) = (self.height * s, self.width * s);
        let channels = self.channels / (s * s);
        let mut values = Vec::with_capacity(self.values.len());
        for (c, y, x) in places(channels, height, width) {
            values.push(self.at(c * s * s + y % s * s + x % s, (y / s) as isize, (x / s) as isize));
        }
        Self { channels, height, width, values }
    }
}

fn places(channels: usize, height: usize, width: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..channels).flat_map(move |c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))))
}

struct Weights {
    shape: Shape,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Weights {
    fn noise(kernel: usize, inputs: &[usize], outputs: usize, shuffle: usize) -> Self {
        let count = inputs.iter().sum::<usize>() * kernel * kernel;
        let gain = 2.0 / (count as f32).sqrt();
        let weight = noise(7, count * outputs).iter().map(|v| v * gain).collect::<Vec<_>>();
        let shape = Shape { kernel, inputs: inputs.to_vec(), outputs, shuffle };
        Self { shape, weight: rounded(&weight), bias: noise(8, outputs) }
    }

    fn conv(&self, device: &Device) -> Conv {
        Conv::new(device, &self.shape, &self.weight, &self.bias).unwrap()
    }

    fn apply(&self, input: &Planar, activation: Activation) -> Planar {
        let (k, reach) = (self.shape.kernel, self.shape.kernel as isize / 2);
        let mut values = Vec::new();
        for (o, y, x) in places(self.shape.outputs, input.height, input.width) {
            let mut sum = f64::from(self.bias[o]);
            for (c, dy, dx) in places(input.channels, k, k) {
                let weight = self.weight[((o * input.channels + c) * k + dy) * k + dx];
                let (y, x) = (y as isize + dy as isize - reach, x as isize + dx as isize - reach);
                sum += f64::from(weight) * input.at(c, y, x);
            }
            values.push(match activation {
                Activation::None => sum,
                Activation::Relu => sum.max(0.0),
                Activation::Gelu => gelu(sum),
            });
        }
        Planar { channels: self.shape.outputs, values, ..*input }
    }
}

/// `x / 2 (1 + erf(x / sqrt 2))` by the series of erf.
fn gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    let mut term = z;
    let mut sum = z;
    for n in 1..80 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x / 2.0 * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

/// What a result may differ from the truth by: the rounding of f16, and of the sums.
const MAP: f64 = 1.0 / 2048.0 + 1e-5;
const IMAGE: f64 = 1e-5;

#[track_caller]
fn compare(found: impl Fn(usize, usize, usize) -> f64, truth: &Planar, bound: f64) {
    for (c, y, x) in places(truth.channels, truth.height, truth.width) {
        let (found, truth) = (found(c, y, x), truth.at(c, y as isize, x as isize));
        let error = (found - truth).abs();
        assert!(error <= bound * truth.abs().max(1.0), "channel {c} at ({y}, {x}): {found}, expected {truth}");
    }
}

/// Runs a launch and compares channels `first..` of a map; the others are to be as they were, padding is to be 0.
#[track_caller]
fn check_map(device: &Device, launch: Launch, map: &Map, first: usize, truth: &Planar) {
    run(device, &[launch]).unwrap();
    let channels = map.shape().2;
    let mut values = vec![f16::ZERO; truth.height * truth.width * channels];
    map.buffer().read(bytemuck::cast_slice_mut(&mut values)).unwrap();
    let at = |c: usize, y: usize, x: usize| values[(y * truth.width + x) * channels + c].to_f64();
    compare(|c, y, x| at(first + c, y, x), truth, MAP);
    let end = first + truth.channels.next_multiple_of(16);
    for (c, y, x) in places(channels, truth.height, truth.width) {
        if c >= first + truth.channels && c < end {
            assert_eq!(at(c, y, x), 0.0, "padding {c} at ({y}, {x})");
        } else if c < first || c >= end {
            assert_eq!(at(c, y, x), FILLING, "channel {c} at ({y}, {x}) was written");
        }
    }
}

const FILLING: f64 = 7.0;

fn filled_map(device: &Device, (height, width): (usize, usize), channels: usize) -> Map {
    let values = vec![f16::from_f64(FILLING); Map::bytes(height, width, channels) / 2];
    Map::new(&Buffer::from_slice(device, &values).unwrap(), height, width, channels)
}

#[track_caller]
fn check_image(device: &Device, launch: Launch, image: &Image, truth: &Planar) {
    run(device, &[launch]).unwrap();
    let mut values = vec![0f32; truth.values.len()];
    image.buffer().read(bytemuck::cast_slice_mut(&mut values)).unwrap();
    let at = |c: usize, y: usize, x: usize| f64::from(values[(c * truth.height + y) * truth.width + x]);
    compare(at, truth, IMAGE);
}

#[test]
fn from_map_to_map() {
    let Some(device) = device() else { return };
    let cases = [
        (3, vec![16], 16, (1, 1), Activation::None),
        (3, vec![48], 48, (17, 33), Activation::Relu),
        (3, vec![32], 64, (16, 16), Activation::Gelu),
        (3, vec![12], 80, (5, 40), Activation::None),
        (3, vec![256], 256, (3, 4), Activation::Relu),
        (1, vec![48], 12, (9, 31), Activation::None),
        (1, vec![16], 192, (33, 3), Activation::Gelu),
        (1, vec![48, 16, 48], 112, (16, 17), Activation::None),
        (1, vec![32; 16], 32, (2, 15), Activation::Gelu),
        (3, vec![16, 5], 16, (4, 18), Activation::None),
    ];
    for (kernel, inputs, outputs, size, activation) in cases {
        let weights = Weights::noise(kernel, &inputs, outputs, 1);
        let parts: Vec<_> = inputs.iter().zip(1..).map(|(&c, seed)| Planar::noise(seed, c, size)).collect();
        let maps: Vec<_> = parts.iter().map(|part| part.map(&device)).collect();
        let all: Vec<_> = maps.iter().map(Map::all).collect();
        let map = filled_map(&device, size, outputs);
        let launch = weights.conv(&device).launch(Input::Maps(&all), activation, None, Output::Map(map.all()));
        check_map(&device, launch.unwrap(), &map, 0, &weights.apply(&Planar::join(&parts), activation));
    }
}

#[test]
fn between_ranges_with_a_residual() {
    let Some(device) = device() else { return };
    let size = (18, 21);
    for (kernel, scale) in [(1, 1.0), (3, 0.1)] {
        let (input, residual) = (Planar::noise(1, 48, size), Planar::noise(2, 64, size));
        let (from, added) = (input.map(&device), residual.map(&device));
        let map = filled_map(&device, size, 80);
        let weights = Weights::noise(kernel, &[24], 32, 1);
        let launch = weights.conv(&device).launch(
            Input::Maps(&[from.range(8, 24)]),
            Activation::Relu,
            Some((added.range(16, 32), scale)),
            Output::Map(map.range(24, 32)),
        );
        let area = size.0 * size.1;
        let part = Planar { channels: 24, values: input.values[8 * area..32 * area].to_vec(), ..input };
        let mut truth = weights.apply(&part, Activation::Relu);
        let added = &residual.values[16 * area..48 * area];
        truth.values.iter_mut().zip(added).for_each(|(v, r)| *v += f64::from(scale) * r);
        check_map(&device, launch.unwrap(), &map, 24, &truth);
    }
}

#[test]
fn in_place_on_the_residual() {
    let Some(device) = device() else { return };
    let (input, residual) = (Planar::noise(1, 16, (7, 20)), Planar::noise(2, 48, (7, 20)));
    let (from, map) = (input.map(&device), residual.map(&device));
    let weights = Weights::noise(3, &[16], 48, 1);
    let inputs = [from.all()];
    let conv = weights.conv(&device);
    let launch = conv.launch(Input::Maps(&inputs), Activation::None, Some((map.all(), 1.0)), Output::Map(map.all()));
    let mut truth = weights.apply(&input, Activation::None);
    truth.values.iter_mut().zip(&residual.values).for_each(|(v, r)| *v += r);
    check_map(&device, launch.unwrap(), &map, 0, &truth);
}

#[test]
fn from_an_image_and_to_one() {
    let Some(device) = device() else { return };
    for (channels, size) in [(1, (5, 9)), (3, (17, 37)), (4, (16, 16))] {
        let input = Planar::noise(1, channels, size);
        let image = input.image(&device);
        let weights = Weights::noise(3, &[channels], 48, 1);
        let map = filled_map(&device, size, 48);
        let conv = weights.conv(&device);
        let launch = conv.launch(Input::Image(&image), Activation::None, None, Output::Map(map.all()));
        check_map(&device, launch.unwrap(), &map, 0, &weights.apply(&input, Activation::None));
    }
    for (shuffle, channels, size) in
        [(1, 3, (17, 20)), (2, 3, (9, 33)), (3, 3, (16, 16)), (4, 3, (3, 17)), (2, 1, (1, 1))]
    {
        let (input, skip) = (Planar::noise(1, 48, size), Planar::noise(2, channels, size));
        let (map, nearest) = (input.map(&device), skip.image(&device));
        let weights = Weights::noise(3, &[48], channels * shuffle * shuffle, 1);
        let image = Image::allocate(&device, channels, size.0 * shuffle, size.1 * shuffle).unwrap();
        let (conv, from) = (weights.conv(&device), [map.all()]);
        for with_skip in [false, true] {
            let output = Output::Image { image: &image, shuffle, nearest: with_skip.then_some(&nearest) };
            let launch = conv.launch(Input::Maps(&from), Activation::None, None, output).unwrap();
            let mut truth = weights.apply(&input, Activation::None).shuffle(shuffle);
            if with_skip {
                let repeated = places(truth.channels, truth.height, truth.width)
                    .map(|(c, y, x)| skip.at(c, (y / shuffle) as isize, (x / shuffle) as isize));
                truth.values.iter_mut().zip(repeated).for_each(|(v, s)| *v += s);
            }
            check_image(&device, launch, &image, &truth);
        }
    }
}

#[test]
fn to_a_shuffled_map() {
    let Some(device) = device() else { return };
    for (shuffle, channels) in [(2, 48), (3, 16)] {
        let size = (5, 18);
        let input = Planar::noise(1, 48, size);
        let weights = Weights::noise(3, &[48], channels * shuffle * shuffle, shuffle);
        let map = filled_map(&device, (size.0 * shuffle, size.1 * shuffle), channels);
        let (from, conv) = (input.map(&device), weights.conv(&device));
        let launch = conv.launch(Input::Maps(&[from.all()]), Activation::None, None, Output::Map(map.all()));
        let truth = weights.apply(&input, Activation::None).shuffle(shuffle);
        check_map(&device, launch.unwrap(), &map, 0, &truth);
    }
}

#[test]
fn not_a_number_stays_one() {
    let Some(device) = device() else { return };
    let mut input = Planar::noise(1, 16, (3, 3));
    input.values[4] = f64::NAN;
    let (from, map) = (input.map(&device), filled_map(&device, (3, 3), 16));
    let conv = Weights::noise(1, &[16], 16, 1).conv(&device);
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        let launch = conv.launch(Input::Maps(&[from.all()]), activation, None, Output::Map(map.all())).unwrap();
        run(&device, &[launch]).unwrap();
        let mut values = [f16::ZERO; 144];
        map.buffer().read(bytemuck::cast_slice_mut(&mut values)).unwrap();
        let bad: Vec<_> = values.iter().enumerate().filter(|(_, v)| v.is_nan()).map(|(i, _)| i / 16).collect();
        assert_eq!(bad, [4; 16], "{activation:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let [a, b] = [(3, 5), (5, 3)].map(|size| Planar::noise(1, 16, size).map(&device));
    let conv = Weights::noise(3, &[16], 16, 1).conv(&device);
    let launch = |inputs: &[_], output| conv.launch(Input::Maps(inputs), Activation::None, None, output);
    let reason = |result: Result<Launch, srup_cuda::Error>| result.unwrap_err().to_string();
    assert!(reason(launch(&[a.all()], Output::Map(b.all()))).contains("(16, 5, 3)"));
    assert!(reason(launch(&[a.all(), b.all()], Output::Map(a.all()))).contains("[16, 16] channels for [16]"));
    assert!(reason(launch(&[a.range(0, 8)], Output::Map(a.all()))).contains("[8] channels for [16]"));
    assert!(reason(launch(&[a.all()], Output::Map(a.all()))).contains("it writes what it reads"));
    let image = Image::allocate(&device, 3, 3, 5).unwrap();
    let output = Output::Image { image: &image, shuffle: 1, nearest: None };
    assert!(reason(launch(&[a.all()], output)).contains("(3, 3, 5)"));
    assert!(
        reason(conv.launch(Input::Image(&image), Activation::None, None, Output::Map(a.all()))).contains("3 channels")
    );
}
