//! Whole luma networks against plain loops in f64.

use ptx_standin::harness;
use srup_cuda::kernels::luma::{Layer, Luma, Sums};
use srup_cuda::{Buffer, Device, Kind, Map, Plane, Sample, run};

#[test]
fn under_the_stand_in() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_ORDER", "shuffled:5")]) {
        outcome.assert_clean();
        for (name, counters) in &outcome.report.kernels {
            // The three by three outputs of a pixel cannot be stored without a few.
            assert!(counters.shared.conflicts * 20 < counters.shared.waves, "{name}: {:?}", counters.shared);
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
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn values(&mut self, count: usize, gain: f32) -> Vec<f32> {
        (0..count).map(|_| gain * self.next()).collect()
    }
}

struct Conv {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Conv {
    /// Weights that keep the size of what goes through them, times `gain`.
    fn noise(noise: &mut Noise, inputs: usize, outputs: usize, gain: f32) -> Self {
        let spread = (6.0 / (9 * inputs) as f32).sqrt() * gain;
        Self { weight: noise.values(9 * inputs * outputs, spread), bias: noise.values(outputs, 0.1 * gain) }
    }

    fn layer(&self) -> Layer<'_> {
        Layer { weight: &self.weight, bias: &self.bias }
    }

    /// Of `[inputs][height][width]`.
    fn apply(&self, input: &[f64], (height, width): (usize, usize)) -> Vec<f64> {
        let (area, outputs) = (height * width, self.bias.len());
        let inputs = input.len() / area;
        let mut result = Vec::with_capacity(outputs * area);
        for bias in &self.bias {
            result.resize(result.len() + area, f64::from(*bias));
        }
        for (i, &w) in self.weight.iter().enumerate() {
            let (output, channel, dy, dx) = (i / 9 / inputs, i / 9 % inputs, i % 9 / 3, i % 3);
            for y in 1usize.saturating_sub(dy)..height.min(height + 1 - dy) {
                let (first, last) = (1usize.saturating_sub(dx), width.min(width + 1 - dx));
                let from = channel * area + (y + dy - 1) * width + dx;
                let to = output * area + y * width;
                let sums = &mut result[to + first..to + last];
                sums.iter_mut().zip(&input[from + first - 1..]).for_each(|(sum, v)| *sum += f64::from(w) * v);
            }
        }
        result
    }
}

struct Network {
    head: Conv,
    body: Vec<Conv>,
    tail: Conv,
    scale: usize,
    skip: bool,
}

impl Network {
    fn noise(width: usize, depth: usize, scale: usize, skip: bool) -> Self {
        let mut noise = Noise((width + depth + scale) as u64);
        let head = Conv::noise(&mut noise, 1, width, 1.0);
        let body = (0..depth).map(|_| Conv::noise(&mut noise, width, width, 1.0)).collect();
        let tail = Conv::noise(&mut noise, width, scale * scale, 0.1);
        Self { head, body, tail, scale, skip }
    }

    fn on(&self, device: &Device) -> Luma {
        let body: Vec<_> = self.body.iter().map(Conv::layer).collect();
        Luma::new(device, self.head.layer(), &body, self.tail.layer(), self.scale, self.skip).unwrap()
    }

    fn apply(&self, input: &[f64], size: (usize, usize)) -> Vec<f64> {
        let (s, (height, width)) = (self.scale, size);
        let relu = |mut values: Vec<f64>| {
            values.iter_mut().for_each(|v| *v = v.max(0.0));
            values
        };
        let first = relu(self.head.apply(input, size));
        let mut x = self.body.iter().fold(first.clone(), |x, conv| relu(conv.apply(&x, size)));
        if self.skip {
            x.iter_mut().zip(&first).for_each(|(x, f)| *x += f);
        }
        let outputs = self.tail.apply(&x, size);
        let place = |i: usize| {
            let (y, x) = (i / (width * s), i % (width * s));
            let pixel = y / s * width + x / s;
            outputs[(y % s * s + x % s) * height * width + pixel] + input[pixel]
        };
        (0..height * width * s * s).map(place).collect()
    }
}

/// How samples lie in memory, and how far apart rows are beyond what they hold.
#[derive(Clone, Copy, Debug)]
struct Format {
    sample: Sample,
    spare: usize,
}

const U8: Format = Format { sample: Sample::U8, spare: 0 };
const F32: Format = Format { sample: Sample::F32, spare: 0 };

impl Format {
    const fn u16(max: u32, shift: u32) -> Self {
        Self { sample: Sample { kind: Kind::U16, shift, group: 1, part: 0, max }, spare: 0 }
    }

    const fn spare(self, spare: usize) -> Self {
        Self { spare, ..self }
    }

    fn pitch(&self, width: usize) -> usize {
        width * self.sample.pixel_bytes() + self.spare
    }

    /// Bytes of a plane of codes; what lies between rows is 0x5a.
    fn encode(&self, values: &[f64], width: usize) -> Vec<u8> {
        let bytes = self.sample.kind.bytes();
        let mut all = vec![0x5a; self.pitch(width) * (values.len() / width)];
        for (i, &value) in values.iter().enumerate() {
            let code = (value * f64::from(self.sample.max)).round() as u32;
            let word = match self.sample.kind {
                Kind::F32 => (value as f32).to_bits(),
                _ => code << self.sample.shift,
            };
            let at = i / width * self.pitch(width) + i % width * bytes;
            all[at..at + bytes].copy_from_slice(&word.to_le_bytes()[..bytes]);
        }
        all
    }

    fn decode(&self, all: &[u8], width: usize) -> Vec<f64> {
        let bytes = self.sample.kind.bytes();
        let rows = all.chunks(self.pitch(width));
        let decode = |sample: &[u8]| {
            let mut word = [0; 4];
            word[..bytes].copy_from_slice(sample);
            let word = u32::from_le_bytes(word);
            match self.sample.kind {
                Kind::F32 => f64::from(f32::from_bits(word)),
                _ => f64::from(word >> self.sample.shift) / f64::from(self.sample.max),
            }
        };
        rows.flat_map(|row| row[..width * bytes].chunks(bytes).map(decode)).collect()
    }

    fn plane(&self, device: &Device, bytes: &[u8], (height, width): (usize, usize)) -> Plane {
        let buffer = Buffer::from_slice(device, bytes).unwrap();
        Plane::new(&buffer, self.pitch(width), height, width, self.sample)
    }

    /// Half a code.
    fn rounding(&self) -> f64 {
        if self.sample.kind == Kind::F32 { 0.0 } else { 0.5 / f64::from(self.sample.max) }
    }
}

/// The output plane's values, and the flag.
fn upscale(
    device: &Device,
    network: &Network,
    bytes: &[u8],
    format: Format,
    (height, width): (usize, usize),
    sums: Sums,
) -> (Vec<f64>, u32) {
    let (s, luma) = (network.scale, network.on(device));
    let input = format.plane(device, bytes, (height, width));
    let large = (height * s, width * s);
    let before = vec![0x5a; format.pitch(large.1) * large.0];
    let buffer = Buffer::from_slice(device, &before).unwrap();
    let output = Plane::new(&buffer, format.pitch(large.1), large.0, large.1, format.sample);
    let maps: Vec<_> = (0..luma.maps()).map(|_| Map::allocate(device, height, width, luma.width()).unwrap()).collect();
    let flag = Buffer::zeroed(device, 4).unwrap();
    run(device, &luma.launches(&input, &output, &maps, &flag, sums).unwrap()).unwrap();
    let mut after = before;
    buffer.read(&mut after).unwrap();
    let own = large.1 * format.sample.pixel_bytes();
    let spared = after.chunks(format.pitch(large.1)).all(|row| row[own..].iter().all(|&b| b == 0x5a));
    assert!(spared, "{format:?}: what lies between rows was written");
    let mut word = [0];
    flag.read(bytemuck::cast_slice_mut(&mut word)).unwrap();
    (format.decode(&after, large.1), word[0])
}

/// What the largest error may be beyond the rounding of codes, and the least ratio in dB without it.
fn bound(sums: Sums) -> (f64, f64) {
    match sums {
        Sums::F32 => (1e-3, 75.0),
        Sums::F16 => (2e-3, 70.0),
    }
}

/// Compares what comes of a picture in several formats with the truth. Codes of 8 bits are in all of them.
#[track_caller]
fn check(device: &Device, network: &Network, cases: &[(Format, Sums)], size: (usize, usize), picture: &[f64]) {
    let picture = U8.decode(&U8.encode(picture, size.1), size.1);
    let truth = network.apply(&picture, size);
    for &(format, sums) in cases {
        let codes = format.sample.kind != Kind::F32;
        let exact = |&v: &f64| if codes { v.clamp(0.0, 1.0) } else { v };
        let rounded = format.encode(&picture, size.1);
        let (found, flag) = upscale(device, network, &rounded, format, size, sums);
        let case = format!("width {}, {} layers, x{}", network.head.bias.len(), network.body.len(), network.scale);
        let case = format!("{size:?}, {format:?}, {sums:?}, {case}");
        // Inputs of other codes than 8 bits are up to half a code off.
        let own = if codes && 255 % format.sample.max != 0 { 3.0 } else { 1.0 } * format.rounding();
        let (largest, ratio) = bound(sums);
        let mut square = 0.0;
        for (i, (found, truth)) in found.iter().zip(truth.iter().map(exact)).enumerate() {
            let error = (found - truth).abs();
            let (y, x) = (i / (size.1 * network.scale), i % (size.1 * network.scale));
            assert!(error <= own + largest, "{found}, expected {truth} at ({y}, {x}) of {case}");
            square += (error - own).max(0.0).powi(2);
        }
        let measured = -10.0 * (square / truth.len() as f64).max(1e-30).log10();
        assert!(measured >= ratio, "{measured:.1} dB: {case}");
        assert_eq!(flag, 0, "{case}");
    }
}

fn noise_picture((height, width): (usize, usize)) -> Vec<f64> {
    let mut noise = Noise(1);
    (0..height * width).map(|_| f64::from(noise.next()).mul_add(0.5, 0.5)).collect()
}

/// Every width with every scale, launches of all kinds, at sizes around those of strips.
#[test]
fn networks() {
    let Some(device) = device() else { return };
    let cases = [
        (16, 3, 2, false, (45, 57)),
        (16, 3, 3, false, (12, 56)),
        (16, 3, 4, false, (7, 113)),
        (16, 1, 2, false, (9, 20)),
        (16, 2, 3, false, (5, 7)),
        (32, 5, 2, true, (35, 7)),
        (32, 5, 3, true, (3, 45)),
        (32, 4, 4, false, (5, 93)),
        (32, 2, 2, true, (3, 47)),
        (48, 8, 2, true, (2, 65)),
        (48, 2, 3, false, (5, 61)),
        (48, 3, 4, true, (34, 3)),
    ];
    for (width, depth, scale, skip, size) in cases {
        let network = Network::noise(width, depth, scale, skip);
        let formats = [(F32, Sums::F32), (F32, Sums::F16), (U8, Sums::F32)];
        check(&device, &network, &formats, size, &noise_picture(size));
    }
}

#[test]
fn sizes_and_formats() {
    let Some(device) = device() else { return };
    let network = Network::noise(16, 3, 2, false);
    let formats = [
        U8.spare(3),
        U8.spare(64),
        Format::u16(1023, 6),
        Format::u16(1023, 0).spare(2),
        Format::u16(65535, 0).spare(4),
        F32.spare(4),
    ];
    for size in [(1, 1), (1, 4), (3, 2), (4, 55), (33, 58)] {
        check(&device, &network, &formats.map(|format| (format, Sums::F32)), size, &noise_picture(size));
    }
}

#[test]
fn edges_of_the_range() {
    let Some(device) = device() else { return };
    let size = (6, 60);
    let ramp = |i: usize| (i % size.1 + i / size.1) as f64 / (size.0 + size.1 - 2) as f64;
    let area = size.0 * size.1;
    for network in [Network::noise(16, 3, 3, false), Network::noise(32, 3, 2, true), Network::noise(48, 2, 2, true)] {
        for picture in [vec![0.0; area], vec![1.0; area], (0..area).map(ramp).collect()] {
            check(&device, &network, &[(U8, Sums::F32), (F32, Sums::F16)], size, &picture);
        }
    }
}

/// Where strips begin must not show: rows of a picture that starts further up are the same, bit for bit.
#[test]
fn strips_do_not_show() {
    let Some(device) = device() else { return };
    for network in [Network::noise(16, 3, 2, false), Network::noise(32, 3, 2, true), Network::noise(48, 2, 2, true)] {
        let (size, cut, reach) = ((36, 70), 13, network.body.len() + 2);
        let picture = noise_picture(size);
        let whole = upscale(&device, &network, &F32.encode(&picture, size.1), F32, size, Sums::F32).0;
        let lower = &picture[cut * size.1..];
        let part = upscale(&device, &network, &F32.encode(lower, size.1), F32, (size.0 - cut, size.1), Sums::F32).0;
        let line = 2 * size.1;
        assert!(part[2 * reach * line..] == whole[2 * (cut + reach) * line..]);
    }
}

#[test]
fn an_overflow_raises_the_flag() {
    let Some(device) = device() else { return };
    for (width, depth) in [(16, 3), (32, 3), (48, 2)] {
        let mut network = Network::noise(width, depth, 2, false);
        for conv in &mut network.body[..2] {
            conv.weight.iter_mut().for_each(|w| *w *= 3e5);
        }
        let size = (5, 30);
        for (format, sums) in [(U8, Sums::F32), (F32, Sums::F32), (U8, Sums::F16)] {
            let bytes = format.encode(&noise_picture(size), size.1);
            assert_eq!(upscale(&device, &network, &bytes, format, size, sums).1, 1, "width {width}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let network = Network::noise(48, 3, 2, true);
    let luma = network.on(&device);
    let plane = |size: (usize, usize)| U8.plane(&device, &vec![0; size.0 * size.1], size);
    let flag = Buffer::zeroed(&device, 4).unwrap();
    let maps: Vec<_> = (0..2).map(|_| Map::allocate(&device, 4, 5, 48).unwrap()).collect();
    let refused = |size, maps: &[Map]| luma.launches(&plane((4, 5)), &plane(size), maps, &flag, Sums::F32).is_err();
    assert!(!refused((8, 10), &maps));
    assert!(refused((8, 11), &maps));
    assert!(refused((8, 10), &maps[..1]));
    let narrow = vec![Map::allocate(&device, 4, 5, 32).unwrap(); 2];
    assert!(refused((8, 10), &narrow));
}
