//! Frames of noise and how near two frames are.

use ptx_standin::harness;
use srup_engine::backend::{self, Plan};
use srup_engine::frame::{Frame, VideoInfo};
use srup_engine::model::Model;
use srup_engine::{BackendKind, Precision};

/// Whether the tests run on a real device, where no fault can be planted; says what is missing.
pub fn is_real(missing: &str) -> bool {
    let real = harness::is_real();
    if real {
        println!("skipped on a real device: {missing}");
    }
    real
}

/// A smooth picture with edges and a little noise, the same for the same seed.
pub fn picture(info: &VideoInfo, seed: u64) -> Frame {
    let mut frame = Frame::with_padding(info, 3 * usize::from(info.format.sample_bytes() == 1));
    let (bytes, shift, max) = (info.format.sample_bytes(), info.format.shift(), u64::from(info.format.max_code()));
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for plane in 0..info.format.planes() {
        let (data, stride) = frame.plane_mut(plane);
        for (i, sample) in data.chunks_exact_mut(bytes).enumerate() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let (x, y) = ((i * bytes % stride) as u64, (i * bytes / stride) as u64);
            let edge = if (x / 13 + y / 7 + seed).is_multiple_of(3) { max / 2 } else { 0 };
            let code = (edge + (3 * x + 5 * y) * max / 1024 + (state >> 40) % (max / 16 + 1)).min(max);
            let word = (code as u16) << shift;
            sample.copy_from_slice(&word.to_le_bytes()[..bytes]);
        }
    }
    frame
}

/// A frame through a backend.
pub fn upscaled(frame: &Frame, backend: BackendKind, model: &Model, scale: usize) -> Frame {
    computed(frame, backend, Precision::Auto, model, scale)
}

/// What the device's frame is to be near: the CPU's in f32.
pub fn truth(frame: &Frame, model: &Model, scale: usize) -> Frame {
    computed(frame, BackendKind::Cpu, Precision::F32, model, scale)
}

fn computed(frame: &Frame, backend: BackendKind, precision: Precision, model: &Model, scale: usize) -> Frame {
    let plan = Plan { precision, ..Plan::new(model.clone(), scale, frame.info()).unwrap() };
    let (_, mut lane) = backend::lane(backend, 0, None, &plan).unwrap();
    let mut output = Frame::new(&plan.output);
    lane.process(0, &frame.view(), &mut output.view_mut()).unwrap();
    output
}

/// How two frames of one description differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Difference {
    /// Of any sample, in codes.
    pub largest: u32,
    /// In dB over all samples.
    pub psnr: f64,
}

/// Compares sample by sample.
pub fn difference(a: &Frame, b: &Frame) -> Difference {
    assert_eq!(a.info(), b.info());
    let (format, bytes) = (a.info().format, a.info().format.sample_bytes());
    let (mut largest, mut squares, mut count) = (0, 0.0, 0);
    for plane in 0..format.planes() {
        let row = format.row_bytes(plane, a.info().width);
        for y in 0..format.rows(plane, a.info().height) {
            let code = |frame: &Frame, x: usize| {
                let (data, stride) = frame.plane(plane);
                let at = y * stride + x * bytes;
                let word = if bytes == 2 { u16::from_le_bytes([data[at], data[at + 1]]) } else { data[at].into() };
                u32::from(word >> format.shift())
            };
            for x in 0..row / bytes {
                let d = code(a, x).abs_diff(code(b, x));
                largest = largest.max(d);
                squares += f64::from(d * d);
                count += 1;
            }
        }
    }
    let peak = f64::from(format.max_code());
    let mean = squares / count as f64;
    Difference { largest, psnr: 10.0 * (peak * peak / mean).log10() }
}
