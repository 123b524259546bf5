//! What the benches share: the cases, and how to make a lane or a frame for them.

use std::sync::Arc;

use srup_engine::Error;
use srup_engine::backend::{Backend as _, Lane, Plan, cpu::Cpu};
use srup_engine::frame::{Colour, Frame, Kernel, PixelFormat, VideoInfo};
use srup_engine::model::Model;
use srup_engine::network::{Network, Preset};

/// A named preset with random weights: speed does not depend on them.
///
/// # Errors
/// [`Error::UnknownModel`] if there is no such preset.
pub fn network(name: &str, scale: usize) -> Result<Model, Error> {
    let presets = Preset::named(scale);
    let known = || presets.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    match presets.iter().find(|(n, _)| *n == name) {
        Some((_, preset)) => Ok(Model::Network(Arc::new(Network::random(preset.clone(), scale, 1)))),
        None => Err(Error::UnknownModel { name: name.into(), known: known() }),
    }
}

/// Plain resampling.
pub fn lanczos() -> Model {
    Model::Resample(Kernel::Lanczos)
}

/// A lane of the CPU backend, and a frame of each side of it.
///
/// # Errors
/// Too little memory, or a size out of range.
pub fn lane(
    model: Model,
    scale: usize,
    format: PixelFormat,
    (width, height): (usize, usize),
    threads: usize,
) -> Result<(Box<dyn Lane>, Frame, Frame), Error> {
    let input = VideoInfo::new(format, width, height, Colour::default())?;
    let plan = Plan::new(model, scale, &input)?;
    let lane = Cpu::new(threads)?.lane(&plan)?;
    Ok((lane, pattern(&input), Frame::new(&plan.output)))
}

/// A frame of a pattern that no row or column repeats.
pub fn pattern(info: &VideoInfo) -> Frame {
    let mut frame = Frame::new(info);
    for plane in 0..info.format.planes() {
        let (bytes, stride) = frame.plane_mut(plane);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = ((i % stride) * 7 + i / stride * 13 + i * i % 11) as u8;
        }
    }
    frame
}
