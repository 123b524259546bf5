//! Frames of every format at every scale: those of the device against those of the reference.

use srup_benches::network;
use srup_engine::Error;
use srup_engine::backend::{Backend, Plan, reference::Reference};
use srup_engine::frame::{Colour, Frame, PixelFormat, VideoInfo};
use srup_engine::model::Model;

/// Odd, and no multiple of any tile.
const SIZE: (usize, usize) = (45, 22);

/// How far frames may be from the reference's.
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

/// Prints a line for each model and scale; whether all frames are within their bounds.
///
/// # Errors
/// Those of the backends.
pub fn run(device: &dyn Backend) -> Result<bool, Error> {
    println!("{:<12} {:>5} {:>7} {:>13} {:>10}", "against f32", "scale", "formats", "largest", "least dB");
    let mut well = true;
    for scale in 2..=4 {
        // Formats do not depend on the width of a network.
        for (name, bounds, formats) in [
            ("lanczos", ONE_CODE, &PixelFormat::ALL[..]),
            ("bicubic", ONE_CODE, &PixelFormat::ALL[..]),
            ("luma-s", ONE_CODE, &PixelFormat::ALL[..]),
            ("luma-m", ONE_CODE, &[PixelFormat::I420][..]),
            ("luma-l", ONE_CODE, &[PixelFormat::I420][..]),
            ("sdan-small", HALF, &PixelFormat::ALL[..]),
        ] {
            let model = if bounds.psnr == HALF.psnr { network(name, scale)? } else { Model::open(name, scale)? };
            well &= formats_of(device, &model, scale, bounds, formats)?;
        }
    }
    Ok(well)
}

fn formats_of(
    device: &dyn Backend,
    model: &Model,
    scale: usize,
    bounds: Bounds,
    formats: &[PixelFormat],
) -> Result<bool, Error> {
    let (mut largest, mut psnr, mut wrong) = (0.0_f64, f64::INFINITY, Vec::new());
    for &format in formats {
        let input = VideoInfo::new(format, SIZE.0, SIZE.1, Colour::default())?;
        let plan = Plan::new(model.clone(), scale, &input)?;
        let frame = picture(&input);
        let found = difference(&upscaled(device, &plan, &frame)?, &upscaled(&Reference, &plan, &frame)?);
        let max = f64::from(format.max_code());
        if f64::from(found.0) > (max * bounds.largest).ceil() || found.1 < bounds.psnr {
            wrong.push(format!("{format}: {} codes of {max}, {:.2} dB", found.0, found.1));
        }
        (largest, psnr) = (largest.max(f64::from(found.0) / max), psnr.min(found.1));
    }
    println!("{:<12} {scale:>5} {:>7} {:>10.3} % {psnr:>10.2}", model.name(), formats.len(), 100.0 * largest);
    wrong.iter().for_each(|line| println!("  WRONG {line}"));
    Ok(wrong.is_empty())
}

fn upscaled(backend: &dyn Backend, plan: &Plan, frame: &Frame) -> Result<Frame, Error> {
    let mut output = Frame::new(&plan.output);
    backend.lane(plan)?.process(0, &frame.view(), &mut output.view_mut())?;
    Ok(output)
}

/// Slopes with edges, of valid codes.
fn picture(info: &VideoInfo) -> Frame {
    let mut frame = Frame::new(info);
    let (bytes, max) = (info.format.sample_bytes(), info.format.max_code() as usize);
    for plane in 0..info.format.planes() {
        let (data, stride) = frame.plane_mut(plane);
        for (i, sample) in data.chunks_exact_mut(bytes).enumerate() {
            let (x, y) = (i * bytes % stride, i * bytes / stride);
            let edge = if (x / 13 + y / 7).is_multiple_of(3) { max / 2 } else { 0 };
            let word = ((edge + (3 * x + 5 * y) * max / 1024).min(max) as u16) << info.format.shift();
            sample.copy_from_slice(&word.to_le_bytes()[..bytes]);
        }
    }
    frame
}

/// The largest difference of any sample in codes, and PSNR in dB over all.
fn difference(a: &Frame, b: &Frame) -> (u32, f64) {
    let (info, bytes) = (*a.info(), a.info().format.sample_bytes());
    let (mut largest, mut squares, mut count) = (0, 0.0, 0_usize);
    for plane in 0..info.format.planes() {
        let row = info.format.row_bytes(plane, info.width);
        let rows = |frame: &Frame| {
            let (data, stride) = frame.plane(plane);
            let rows = data.chunks(stride).take(info.format.rows(plane, info.height));
            rows.flat_map(|line| line[..row].to_vec()).collect::<Vec<u8>>()
        };
        for (a, b) in rows(a).chunks_exact(bytes).zip(rows(b).chunks_exact(bytes)) {
            let code =
                |s: &[u8]| s.iter().rev().fold(0, |code, &byte| code << 8 | u32::from(byte)) >> info.format.shift();
            let d = code(a).abs_diff(code(b));
            (largest, squares, count) = (largest.max(d), squares + f64::from(d).powi(2), count + 1);
        }
    }
    let peak = f64::from(info.format.max_code());
    (largest, 10.0 * (peak * peak * count as f64 / squares).log10())
}
