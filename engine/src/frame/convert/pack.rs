//! From planes to the bytes of a frame.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::rows::LumaRows;
use super::samples::{self, Layout, all_finite, clamped, transform};
use super::unpack::three;
use super::{Aside, Domain, matrices, siting};
use crate::frame::bands::Bands;
use crate::frame::resample::{Kernel, Resampler};
use crate::frame::simd::Isa;
use crate::frame::{Family, FrameMut, PlaneMut, VideoInfo, room};
use crate::shared::Shared;
use crate::tensor::Tensor;

/// The model's output holds a value that is infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

/// Turns the output of a model into frames of one description. Allocates nothing after it is made.
#[derive(Clone, Debug)]
pub struct Packer {
    isa: Isa,
    info: VideoInfo,
    domain: Domain,
    bands: Bands,
    /// From what the model gives to RGB or codes.
    matrix: [[f32; 4]; 3],
    /// For components of the input at the resolution of luma.
    luma: Resampler,
    /// For chroma: from the input, or from the output at the resolution of luma.
    chroma: Resampler,
    /// Chroma at the resolution of luma, in codes.
    wide: [Vec<f32>; 2],
}

/// Where the rows of a component come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Plane(&'a [f32]),
    Resampled(&'a [f32], &'a Resampler),
}

impl Source<'_> {
    /// Row `y`; `column` and `buffer` are room to make it in.
    fn row<'b>(&'b self, y: usize, width: usize, column: &mut [f32], buffer: &'b mut [f32]) -> &'b [f32] {
        match self {
            Self::Plane(plane) => &plane[y * width..][..width],
            Self::Resampled(plane, resampler) => {
                resampler.row(plane, y, column, buffer);
                buffer
            }
        }
    }
}

impl Packer {
    /// From a model that takes frames like `input` to frames like `output`, which have the same format and colour.
    ///
    /// # Panics
    /// If format or colour differ.
    pub fn new(input: &VideoInfo, output: &VideoInfo, domain: Domain) -> Self {
        assert_eq!((input.format, input.colour), (output.format, output.colour), "a packer changes only the size");
        let chroma = if splits(output, domain) {
            siting::luma_to_chroma(Kernel::Bicubic, output)
        } else {
            siting::chroma(domain.kernel(), input, output)
        };
        let (wide, scratch) = Self::sizes(input, output, domain);
        Self {
            isa: Isa::detect(),
            info: *output,
            domain,
            bands: Bands::new(output.height, scratch),
            matrix: matrices::from_model(output, domain),
            luma: siting::luma(domain.kernel(), input, output),
            chroma,
            wide: wide.map(room::zeros),
        }
    }

    /// Bytes of one, but for the tables of the resamplers.
    pub(crate) fn bytes(input: &VideoInfo, output: &VideoInfo, domain: Domain) -> usize {
        let (wide, scratch) = Self::sizes(input, output, domain);
        wide.map(room::bytes).iter().sum::<usize>() + Bands::bytes(output.height, scratch)
    }

    /// Values of chroma at the resolution of luma, and of a band.
    fn sizes(input: &VideoInfo, output: &VideoInfo, domain: Domain) -> ([usize; 2], usize) {
        let wide = if splits(output, domain) { output.width * output.height } else { 0 };
        ([wide; 2], output.width.max(input.width) + 8 * output.width)
    }

    /// Fills the frame from the model's output, `[channels, height, width]` of the domain and frame, and from what went
    /// round the model. Bytes that pad rows are left alone.
    ///
    /// # Errors
    /// [`NotFinite`]; the frame is filled nevertheless, with nonsense.
    ///
    /// # Panics
    /// If frame, tensor or aside are not of the description that this was made for.
    pub fn run(&mut self, tensor: &Tensor, aside: &Aside, frame: &mut FrameMut<'_>) -> Result<(), NotFinite> {
        assert_eq!(*frame.info(), self.info, "a packer fills the frames that it was made for");
        let channels = self.domain.channels();
        assert_eq!(tensor.data.len(), channels * self.info.width * self.info.height, "the tensor must fit the frame");
        let mut bands = std::mem::take(&mut self.bands);
        let finite = match (self.domain, self.info.format.family()) {
            (Domain::Rgb, Family::Yuv) => {
                let mut wide = std::mem::take(&mut self.wide);
                let finite = self.rgb_to_luma(&mut bands, tensor, frame);
                self.rgb_to_chroma(&mut bands, tensor, &mut wide);
                self.pack_chroma(&mut bands, [&wide[0], &wide[1]], frame);
                self.wide = wide;
                finite
            }
            (Domain::Rgb, Family::Gray) => self.rgb_to_luma(&mut bands, tensor, frame),
            (_, Family::Rgb) => self.pack_rgb(&mut bands, tensor, aside, frame),
            (domain, family) => {
                let (luma, chroma, gain) = match domain {
                    Domain::Each(_) => (Source::Resampled(&aside.planes[0], &self.luma), &aside.planes[1..], 1.0),
                    _ => (Source::Plane(&tensor.data), &aside.planes[..], self.info.format.max_code() as f32),
                };
                let finite = self.pack_luma(&mut bands, luma, gain, frame);
                if family == Family::Yuv {
                    self.pack_chroma(&mut bands, [&chroma[0], &chroma[1]], frame);
                }
                finite
            }
        };
        self.bands = bands;
        if finite { Ok(()) } else { Err(NotFinite) }
    }

    /// What takes the rows of the model's output for a frame, and then [`Packer::finish_rows`]; None where a row is not
    /// packed by itself.
    ///
    /// # Panics
    /// If the frame is not of the description that this was made for.
    pub fn luma_rows<'a>(&self, frame: &'a mut FrameMut<'_>) -> Option<LumaRows<'a>> {
        assert_eq!(*frame.info(), self.info, "a packer fills the frames that it was made for");
        if self.domain != Domain::Luma || self.info.format.family() == Family::Rgb {
            return None;
        }
        let (plane, finite) = (frame.plane_mut(0), AtomicBool::new(true));
        assert!(plane.stride >= self.info.format.row_bytes(0, self.info.width), "rows do not share bytes");
        let (stride, plane) = (plane.stride, Shared::new(&mut *plane.data));
        let layout = Layout::new(self.info.format, 0);
        Some(LumaRows { isa: self.isa, plane, stride, width: self.info.width, layout, finite })
    }

    /// Fills what is left of a frame whose rows of luma are there.
    ///
    /// # Panics
    /// As [`Packer::run`].
    pub fn finish_rows(&mut self, aside: &Aside, frame: &mut FrameMut<'_>) {
        if let [u, v] = aside.planes.as_slice() {
            let mut bands = std::mem::take(&mut self.bands);
            self.pack_chroma(&mut bands, [u, v], frame);
            self.bands = bands;
        }
    }

    /// Fills memory plane `plane`, row by row, from components of the same size. `fill` gets a row of each, room for
    /// four more to work in, and the bytes; it says whether all was finite.
    fn weave<const N: usize>(
        &self,
        bands: &mut Bands,
        target: &mut PlaneMut<'_>,
        plane: usize,
        sources: [Source<'_>; N],
        fill: impl Fn([&[f32]; N], &mut [f32], &mut [u8]) -> bool + Sync,
    ) -> bool {
        let format = self.info.format;
        let bytes = format.row_bytes(plane, self.info.width);
        let height = format.rows(plane, self.info.height);
        let width = if plane == 0 { self.info.width } else { format.chroma_width(self.info.width) };
        let (rows, stride) = (bands.rows(), target.stride);
        let chunks = target.data.par_chunks_mut(rows * stride).zip(bands.scratch()).take(height.div_ceil(rows));
        let run = |(band, (chunk, scratch)): (usize, (&mut [u8], &mut Vec<f32>))| {
            let first = band * rows;
            let own = scratch.len() - 8 * self.info.width;
            let (column, rest) = scratch.split_at_mut(own);
            let (spare, buffers) = rest.split_at_mut(4 * width);
            let mut finite = true;
            for (i, row) in chunk.chunks_mut(stride).take(rows.min(height - first)).enumerate() {
                let mut buffers = buffers.chunks_exact_mut(width);
                let components = sources.each_ref().map(|source| match buffers.next() {
                    Some(buffer) => source.row(first + i, width, column, buffer),
                    None => &[],
                });
                finite &= fill(components, spare, &mut row[..bytes]);
            }
            finite
        };
        chunks.enumerate().map(run).reduce(|| true, |a, b| a & b)
    }

    fn pack_luma(&self, bands: &mut Bands, luma: Source<'_>, gain: f32, frame: &mut FrameMut<'_>) -> bool {
        let layout = Layout::new(self.info.format, 0);
        self.weave(bands, frame.plane_mut(0), 0, [luma], |[y], _, row| {
            samples::write(self.isa, [y], [gain], layout, [0], row);
            all_finite(self.isa, y)
        })
    }

    fn pack_chroma(&self, bands: &mut Bands, planes: [&[f32]; 2], frame: &mut FrameMut<'_>) {
        let layout = Layout::new(self.info.format, 1);
        let [u, v] = planes.map(|plane| Source::Resampled(plane, &self.chroma));
        if self.info.format.is_semi_planar() {
            self.weave(bands, frame.plane_mut(1), 1, [u, v], |rows, _, row| {
                samples::write(self.isa, rows, [1.0; 2], layout, [0, 1], row);
                true
            });
            return;
        }
        for (plane, source) in [(1, u), (2, v)] {
            self.weave(bands, frame.plane_mut(plane), plane, [source], |rows, _, row| {
                samples::write(self.isa, rows, [1.0], layout, [0], row);
                true
            });
        }
    }

    fn pack_rgb(&self, bands: &mut Bands, tensor: &Tensor, aside: &Aside, frame: &mut FrameMut<'_>) -> bool {
        let resampled = |i: usize| Source::Resampled(&aside.planes[i], &self.luma);
        let colours = match self.domain {
            Domain::Luma => [Source::Plane(&tensor.data), resampled(0), resampled(1)],
            Domain::Rgb => rgb(tensor).map(Source::Plane),
            Domain::Each(_) => [0, 1, 2].map(resampled),
        };
        let target = frame.plane_mut(0);
        if !self.info.format.has_alpha() {
            return self.weave(bands, target, 0, colours, |rows, spare, row| self.write_rgb(rows, None, spare, row));
        }
        let [a, b, c] = colours;
        let alpha = resampled(aside.planes.len() - 1);
        self.weave(bands, target, 0, [a, b, c, alpha], |[a, b, c, alpha], spare, row| {
            self.write_rgb([a, b, c], Some(alpha), spare, row)
        })
    }

    fn write_rgb(&self, rows: [&[f32]; 3], alpha: Option<&[f32]>, spare: &mut [f32], row: &mut [u8]) -> bool {
        let Some(packed) = self.info.format.packed_rgb() else { return true };
        let layout = Layout::new(self.info.format, 0);
        let [r, g, b] = three(spare, self.info.width);
        let (finite, [r, g, b], gain) = match self.domain {
            Domain::Luma => {
                transform(self.isa, &self.matrix, UNBOUNDED, rows, [&mut *r, &mut *g, &mut *b]);
                (all_finite(self.isa, rows[0]), [&*r, &*g, &*b], 255.0)
            }
            Domain::Rgb => (rows.iter().all(|row| all_finite(self.isa, row)), rows, 255.0),
            Domain::Each(_) => (true, rows, 1.0),
        };
        let [x, y, z] = packed.order;
        match alpha {
            None => samples::write(self.isa, [r, g, b], [gain; 3], layout, [x, y, z], row),
            Some(a) => samples::write(self.isa, [r, g, b, a], [gain, gain, gain, 1.0], layout, [x, y, z, 3], row),
        }
        finite
    }

    /// Y of the model's RGB.
    fn rgb_to_luma(&self, bands: &mut Bands, tensor: &Tensor, frame: &mut FrameMut<'_>) -> bool {
        let (isa, width, matrix) = (self.isa, self.info.width, [self.matrix[0]]);
        let layout = Layout::new(self.info.format, 0);
        self.weave(bands, frame.plane_mut(0), 0, rgb(tensor).map(Source::Plane), |rgb, spare, row| {
            let (colours, luma) = spare.split_at_mut(3 * width);
            let [r, g, b] = three(colours, width);
            clamped(isa, rgb, [&mut *r, &mut *g, &mut *b]);
            let luma = &mut luma[..width];
            transform(isa, &matrix, UNBOUNDED, [r, g, b], [&mut *luma]);
            samples::write(isa, [&*luma], [1.0], layout, [0], row);
            rgb.iter().all(|row| all_finite(isa, row))
        })
    }

    /// U and V of the model's RGB, at the resolution of luma.
    fn rgb_to_chroma(&self, bands: &mut Bands, tensor: &Tensor, wide: &mut [Vec<f32>; 2]) {
        let (isa, width, matrix) = (self.isa, self.info.width, [self.matrix[1], self.matrix[2]]);
        let rgb = rgb(tensor);
        let rows = bands.rows();
        let [u, v] = wide;
        let targets = u.par_chunks_mut(rows * width).zip(v.par_chunks_mut(rows * width));
        targets.zip(bands.scratch()).enumerate().for_each(|(band, ((u, v), scratch))| {
            for (i, (u, v)) in u.chunks_exact_mut(width).zip(v.chunks_exact_mut(width)).enumerate() {
                let start = (band * rows + i) * width;
                let [r, g, b] = three(scratch, width);
                clamped(isa, rgb.map(|plane| &plane[start..][..width]), [&mut *r, &mut *g, &mut *b]);
                transform(isa, &matrix, UNBOUNDED, [r, g, b], [u, v]);
            }
        });
    }
}

/// Whether Y, U and V are made of the model's RGB.
fn splits(output: &VideoInfo, domain: Domain) -> bool {
    domain == Domain::Rgb && output.format.family() == Family::Yuv
}

/// No limits for [`transform`].
const UNBOUNDED: (f32, f32) = (f32::MIN, f32::MAX);

fn rgb(tensor: &Tensor) -> [&[f32]; 3] {
    let pixels = tensor.data.len() / 3;
    [0, 1, 2].map(|channel| &tensor.data[channel * pixels..][..pixels])
}
