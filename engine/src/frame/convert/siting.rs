//! Where chroma samples lie on one another and on luma. Positions are in samples from the middle of the first one.

use super::super::resample::{Kernel, Mapping, Resampler};
use super::super::{Site, VideoInfo};

/// The place of chroma along both axes; None where an axis is not subsampled.
fn sites(info: &VideoInfo) -> [Option<Site>; 2] {
    let (horizontal, vertical) = info.format.subsampling();
    let siting = info.colour.siting;
    [(horizontal > 0).then_some(siting.horizontal), (vertical > 0).then_some(siting.vertical)]
}

fn chroma_size(info: &VideoInfo) -> [usize; 2] {
    [info.format.chroma_width(info.width), info.format.chroma_height(info.height)]
}

fn pair(kernel: Kernel, mapping: impl Fn(usize) -> Mapping) -> Resampler {
    Resampler::new(kernel, &mapping(0), &mapping(1))
}

/// Y, RGB or alpha of the input to the output: the outer edges coincide.
pub(crate) fn luma(kernel: Kernel, input: &VideoInfo, output: &VideoInfo) -> Resampler {
    Resampler::new(kernel, &Mapping::fit(input.width, output.width), &Mapping::fit(input.height, output.height))
}

/// Chroma of the input to chroma of the output.
pub(crate) fn chroma(kernel: Kernel, input: &VideoInfo, output: &VideoInfo) -> Resampler {
    let (from, to) = (chroma_size(input), chroma_size(output));
    let steps = [input.width as f64 / output.width as f64, input.height as f64 / output.height as f64];
    pair(kernel, |axis| {
        let step = steps[axis];
        // Output chroma j lies on output luma 2j, which lies on input luma (2j + 0.5) step - 0.5, which lies on input
        // chroma half of that. In the middle of its luma samples, or alone, the halves cancel.
        let offset = match sites(input)[axis] {
            Some(Site::Cosited) => (0.5 * step - 0.5) / 2.0,
            Some(Site::Centered) | None => 0.5 * step - 0.5,
        };
        Mapping { input: from[axis], output: to[axis], step, offset }
    })
}

/// Chroma to the place of every luma sample of the same picture.
pub(crate) fn chroma_to_luma(kernel: Kernel, info: &VideoInfo) -> Resampler {
    let (from, to) = (chroma_size(info), [info.width, info.height]);
    pair(kernel, |axis| match sites(info)[axis] {
        None => Mapping::identity(to[axis]),
        Some(site) => {
            let offset = if site == Site::Cosited { 0.0 } else { -0.25 };
            Mapping { input: from[axis], output: to[axis], step: 0.5, offset }
        }
    })
}

/// The reverse of [`chroma_to_luma`], antialiased.
pub(crate) fn luma_to_chroma(kernel: Kernel, info: &VideoInfo) -> Resampler {
    let (from, to) = ([info.width, info.height], chroma_size(info));
    pair(kernel, |axis| match sites(info)[axis] {
        None => Mapping::identity(from[axis]),
        Some(site) => {
            let offset = if site == Site::Cosited { 0.0 } else { 0.5 };
            Mapping { input: from[axis], output: to[axis], step: 2.0, offset }
        }
    })
}
