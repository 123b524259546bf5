//! From the bytes of a frame to planes.

use rayon::prelude::*;

use super::samples::{self, Layout, transform};
use super::{Aside, Domain, matrices, siting};
use crate::frame::bands::Bands;
use crate::frame::resample::{Kernel, Resampler};
use crate::frame::simd::Isa;
use crate::frame::{Family, FrameRef, VideoInfo, room};
use crate::tensor::Tensor;

/// Turns frames of one description into the input of a model. Allocates nothing after it is made.
#[derive(Clone, Debug)]
pub struct Unpacker {
    isa: Isa,
    info: VideoInfo,
    domain: Domain,
    bands: Bands,
    /// From codes to what the model takes.
    matrix: [[f32; 4]; 3],
    /// Chroma for [`Domain::Rgb`]: in codes, and the way to the resolution of luma.
    chroma: Option<(Resampler, [Vec<f32>; 2])>,
}

impl Unpacker {
    /// For frames of that description.
    pub fn new(input: &VideoInfo, domain: Domain) -> Self {
        let matrix = matrices::to_model(input, domain);
        let (chroma, row) = Self::sizes(input, domain);
        let chroma = chroma.map(|planes| (siting::chroma_to_luma(Kernel::Bicubic, input), planes.map(room::zeros)));
        Self { isa: Isa::detect(), info: *input, domain, bands: Bands::new(input.height, row), matrix, chroma }
    }

    /// Bytes of one, but for the tables of the resampler.
    pub(crate) fn bytes(input: &VideoInfo, domain: Domain) -> usize {
        let (chroma, row) = Self::sizes(input, domain);
        chroma.into_iter().flatten().map(room::bytes).sum::<usize>() + Bands::bytes(input.height, row)
    }

    /// Values of chroma, where it is resampled, and of a band.
    fn sizes(input: &VideoInfo, domain: Domain) -> (Option<[usize; 2]>, usize) {
        let format = input.format;
        let width = format.chroma_width(input.width);
        let resampled = domain == Domain::Rgb && format.family() == Family::Yuv;
        (resampled.then(|| [width * format.chroma_height(input.height); 2]), width + 3 * input.width)
    }

    /// Fills the model's input, `[channels, height, width]` of the domain and frame (empty for [`Domain::Each`]), and
    /// what goes round the model.
    ///
    /// # Panics
    /// If frame, tensor or aside are not of the description that this was made for.
    pub fn run(&mut self, frame: &FrameRef<'_>, tensor: &mut Tensor, aside: &mut Aside) {
        assert_eq!(*frame.info(), self.info, "an unpacker takes the frames that it was made for");
        let channels = self.domain.channels();
        assert_eq!(tensor.data.len(), channels * self.info.width * self.info.height, "the tensor must fit the frame");
        match (self.domain, self.info.format.family()) {
            (Domain::Luma, Family::Rgb) => self.rgb_to_luma(frame, tensor, aside),
            (Domain::Luma, _) => {
                self.part(frame, 0, 0, 1.0 / self.info.format.max_code() as f32, &mut tensor.data);
                self.chroma_codes(frame, &mut aside.planes);
            }
            (Domain::Rgb, Family::Rgb) => {
                for (channel, plane) in tensor.data.chunks_exact_mut(self.info.width * self.info.height).enumerate() {
                    self.packed(frame, channel, 1.0 / 255.0, plane);
                }
                self.alpha(frame, &mut aside.planes);
            }
            (Domain::Rgb, _) => self.yuv_to_rgb(frame, tensor),
            (Domain::Each(_), Family::Rgb) => {
                for (channel, plane) in aside.planes.iter_mut().take(3).enumerate() {
                    self.packed(frame, channel, 1.0, plane);
                }
                self.alpha(frame, &mut aside.planes);
            }
            (Domain::Each(_), _) => {
                self.part(frame, 0, 0, 1.0, &mut aside.planes[0]);
                self.chroma_codes(frame, &mut aside.planes[1..]);
            }
        }
    }

    /// Component `part` of memory plane `plane` as `code * gain`.
    fn part(&self, frame: &FrameRef<'_>, plane: usize, part: usize, gain: f32, out: &mut [f32]) {
        let format = self.info.format;
        let width = if plane == 0 { self.info.width } else { format.chroma_width(self.info.width) };
        let bytes = format.row_bytes(plane, self.info.width);
        let layout = Layout::new(format, plane);
        let source = frame.plane(plane);
        let rows = self.bands.rows();
        out.par_chunks_mut(rows * width).enumerate().for_each(|(band, chunk)| {
            for (i, row) in chunk.chunks_exact_mut(width).enumerate() {
                samples::read(self.isa, source.row(band * rows + i, bytes), layout, part, gain, row);
            }
        });
    }

    /// Red, green or blue of a packed format.
    fn packed(&self, frame: &FrameRef<'_>, channel: usize, gain: f32, out: &mut [f32]) {
        if let Some(packed) = self.info.format.packed_rgb() {
            self.part(frame, 0, packed.order[channel], gain, out);
        }
    }

    /// Alpha, which is the last of what goes round the model.
    fn alpha(&self, frame: &FrameRef<'_>, planes: &mut [Vec<f32>]) {
        if let (true, Some(plane)) = (self.info.format.has_alpha(), planes.last_mut()) {
            self.part(frame, 0, 3, 1.0, plane);
        }
    }

    /// U and V, if there are any.
    fn chroma_codes(&self, frame: &FrameRef<'_>, planes: &mut [Vec<f32>]) {
        for (i, plane) in planes.iter_mut().enumerate() {
            let (memory, part) = if self.info.format.is_semi_planar() { (1, i) } else { (1 + i, 0) };
            self.part(frame, memory, part, 1.0, plane);
        }
    }

    fn rgb_to_luma(&mut self, frame: &FrameRef<'_>, tensor: &mut Tensor, aside: &mut Aside) {
        self.alpha(frame, &mut aside.planes);
        let Some(packed) = self.info.format.packed_rgb() else { return };
        let (isa, width, matrix) = (self.isa, self.info.width, self.matrix);
        let bytes = self.info.format.row_bytes(0, width);
        let layout = Layout::new(self.info.format, 0);
        let source = frame.plane(0);
        let rows = self.bands.rows();
        let size = rows * width;
        let [cb, cr, ..] = aside.planes.as_mut_slice() else { return };
        let targets = tensor.data.par_chunks_mut(size).zip(cb.par_chunks_mut(size)).zip(cr.par_chunks_mut(size));
        targets.zip(self.bands.scratch()).enumerate().for_each(|(band, (((y, cb), cr), scratch))| {
            let outs = y.chunks_exact_mut(width).zip(cb.chunks_exact_mut(width)).zip(cr.chunks_exact_mut(width));
            for (i, ((y, cb), cr)) in outs.enumerate() {
                let row = source.row(band * rows + i, bytes);
                let [r, g, b] = three(scratch, width);
                samples::read(isa, row, layout, packed.order[0], 1.0, r);
                samples::read(isa, row, layout, packed.order[1], 1.0, g);
                samples::read(isa, row, layout, packed.order[2], 1.0, b);
                transform(isa, &matrix, (f32::MIN, f32::MAX), [r, g, b], [y, cb, cr]);
            }
        });
    }

    fn yuv_to_rgb(&mut self, frame: &FrameRef<'_>, tensor: &mut Tensor) {
        let mut chroma = self.chroma.take();
        if let Some((_, planes)) = &mut chroma {
            self.chroma_codes(frame, planes);
        }
        let (isa, width, matrix) = (self.isa, self.info.width, self.matrix);
        let bytes = self.info.format.row_bytes(0, width);
        let layout = Layout::new(self.info.format, 0);
        let source = frame.plane(0);
        let rows = self.bands.rows();
        let (red, rest) = tensor.data.split_at_mut(width * self.info.height);
        let (green, blue) = rest.split_at_mut(width * self.info.height);
        let size = rows * width;
        let targets = red.par_chunks_mut(size).zip(green.par_chunks_mut(size)).zip(blue.par_chunks_mut(size));
        targets.zip(self.bands.scratch()).enumerate().for_each(|(band, (((r, g), b), scratch))| {
            let outs = r.chunks_exact_mut(width).zip(g.chunks_exact_mut(width)).zip(b.chunks_exact_mut(width));
            for (i, ((r, g), b)) in outs.enumerate() {
                let line = band * rows + i;
                let (rows, column) = scratch.split_at_mut(3 * width);
                let [y, u, v] = three(rows, width);
                samples::read(isa, source.row(line, bytes), layout, 0, 1.0, y);
                let (y, u, v) = match &chroma {
                    Some((resampler, planes)) => {
                        resampler.row(&planes[0], line, column, u);
                        resampler.row(&planes[1], line, column, v);
                        (&*y, &*u, &*v)
                    }
                    None => (&*y, &*y, &*y),
                };
                transform(isa, &matrix, (0.0, 1.0), [y, u, v], [r, g, b]);
            }
        });
        self.chroma = chroma;
    }
}

/// The first three rows of a buffer.
pub(super) fn three(buffer: &mut [f32], width: usize) -> [&mut [f32]; 3] {
    let (a, rest) = buffer.split_at_mut(width);
    let (b, rest) = rest.split_at_mut(width);
    [a, b, &mut rest[..width]]
}
