//! Blur and noise on the planes of a frame.

use srup_engine::frame::Frame;

use super::Degradation;
use crate::pixels;

/// Blurs a frame, then adds noise, the same to frame `number` in every run.
pub fn spoil(frame: &mut Frame, degradation: &Degradation, number: u64) {
    let Degradation { blur, noise, .. } = *degradation;
    if blur == 0.0 && noise == 0.0 {
        return;
    }
    let info = *frame.info();
    let unit = (info.format.max_code() + 1) as f32 / 256.0;
    let mut random = Random(number.wrapping_mul(0x5851_F42D_4C95_7F2D));
    for plane in 0..info.format.planes() {
        let (width, subsampling) = match plane {
            0 => (info.width, 1.0),
            _ => (info.format.chroma_width(info.width), 2.0),
        };
        let mut values = pixels::codes(frame, plane);
        if blur > 0.0 {
            values = blurred(&values, width, blur / subsampling);
        }
        if noise > 0.0 {
            values.iter_mut().for_each(|value| *value += noise * unit * random.gaussian());
        }
        pixels::set_codes(frame, plane, &values);
    }
}

/// A plane under a Gaussian; samples at its sides are repeated beyond them.
fn blurred(values: &[f32], width: usize, sigma: f32) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as isize;
    let taps: Vec<f32> = (-reach..=reach).map(|i| (-((i * i) as f32) / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f32 = taps.iter().sum();
    let height = values.len() / width;
    let pass = |from: &[f32], length: usize, at: &dyn Fn(usize, usize) -> usize| -> Vec<f32> {
        let mut out = vec![0.0; from.len()];
        for line in 0..from.len() / length {
            for i in 0..length {
                let tap = |(tap, weight): (usize, &f32)| {
                    let place = (i as isize + tap as isize - reach).clamp(0, length as isize - 1) as usize;
                    weight * from[at(line, place)]
                };
                out[at(line, i)] = taps.iter().enumerate().map(tap).sum::<f32>() / sum;
            }
        }
        out
    };
    let along = pass(values, width, &|line, i| line * width + i);
    pass(&along, height, &|line, i| i * width + line)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    fn uniform(&mut self) -> f32 {
        ((self.next() >> 40) + 1) as f32 / (1u64 << 24) as f32
    }

    /// Mean 0, sigma 1, by Box and Muller.
    fn gaussian(&mut self) -> f32 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f32::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use srup_engine::frame::{Colour, PixelFormat, VideoInfo};

    use super::*;

    fn frame(format: PixelFormat, code: impl Fn(usize) -> f32) -> Frame {
        let mut frame = Frame::new(&VideoInfo::new(format, 64, 48, Colour::default()).unwrap());
        for plane in 0..3 {
            let count = pixels::codes(&frame, plane).len();
            pixels::set_codes(&mut frame, plane, &(0..count).map(&code).collect::<Vec<_>>());
        }
        frame
    }

    fn mean_and_sigma(values: &[f32]) -> (f32, f32) {
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt())
    }

    #[test]
    fn noise_has_its_sigma_at_every_depth_and_differs_from_frame_to_frame() {
        for (format, unit) in [(PixelFormat::I420, 1.0), (PixelFormat::I420_10Le, 4.0)] {
            let noisy = |number| {
                let mut frame = frame(format, |_| 128.0 * unit);
                spoil(&mut frame, &Degradation { noise: 6.0, ..Degradation::default() }, number);
                frame
            };
            let (mean, sigma) = mean_and_sigma(&pixels::codes(&noisy(0), 0));
            assert!(
                (mean - 128.0 * unit).abs() < 0.5 * unit && (sigma - 6.0 * unit).abs() < 0.4 * unit,
                "{mean} {sigma}"
            );
            assert_eq!(noisy(1), noisy(1));
            assert_ne!(noisy(1), noisy(2));
        }
    }

    #[test]
    fn blur_keeps_flats_and_spreads_a_point_as_far_as_its_sigma() {
        let blur = Degradation { blur: 1.5, ..Degradation::default() };
        let mut flat = frame(PixelFormat::I420, |_| 77.0);
        spoil(&mut flat, &blur, 0);
        assert_eq!(flat, frame(PixelFormat::I420, |_| 77.0));

        let middle = 24 * 64 + 32;
        let point: Vec<f32> = (0..64 * 48).map(|i| f32::from(u8::from(i == middle))).collect();
        let spread = blurred(&point, 64, 1.5);
        let moment = |part: &dyn Fn(usize) -> f32| spread.iter().enumerate().map(|(i, v)| v * part(i)).sum::<f32>();
        assert!((moment(&|_| 1.0) - 1.0).abs() < 1e-4);
        assert!((moment(&|i| ((i % 64) as f32 - 32.0).powi(2)) - 2.25).abs() < 0.1);
        assert!((moment(&|i| ((i / 64) as f32 - 24.0).powi(2)) - 2.25).abs() < 0.1);
    }
}
