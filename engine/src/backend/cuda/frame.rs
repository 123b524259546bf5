//! A frame's way through the device: up in one block, to what the network reads; from what it writes, down in one block.
//!
//! Both blocks and the word between them lie in one allocation: input, word, output. The word goes up with the input as 0,
//! becomes 1 on the device where a value is infinite or not a number, and comes down with the output.

use srup_cuda::kernels::pack::{self, Alpha, Packed, Raised};
use srup_cuda::kernels::video::{Affine, Scaling, Taps};
use srup_cuda::kernels::{resample, unpack};
use srup_cuda::{ALIGNMENT, Buffer, Device, Image, Kind, Launch, Plane, Sample};

use crate::Error;
use crate::frame::convert::{Domain, NotFinite, matrices, siting};
use crate::frame::resample::{Kernel, Resampler};
use crate::frame::{Family, FrameMut, FrameRef, PixelFormat, VideoInfo};

/// How the planes of a frame lie in a block of memory: planes at multiples of [`ALIGNMENT`], rows at multiples of four
/// bytes. So kernels move words whatever the width, and planes of GStreamer's usual strides go up in one piece.
#[derive(Clone, Copy, Debug)]
struct Layout {
    info: VideoInfo,
    offsets: [usize; 3],
    bytes: usize,
}

impl Layout {
    fn new(info: &VideoInfo) -> Self {
        let mut layout = Self { info: *info, offsets: [0; 3], bytes: 0 };
        for plane in 0..info.format.planes() {
            layout.offsets[plane] = layout.bytes;
            layout.bytes = (layout.bytes + layout.plane_bytes(plane)).next_multiple_of(ALIGNMENT);
        }
        layout
    }

    fn row_bytes(&self, plane: usize) -> usize {
        self.info.format.row_bytes(plane, self.info.width)
    }

    fn pitch(&self, plane: usize) -> usize {
        self.row_bytes(plane).next_multiple_of(4)
    }

    fn plane_bytes(&self, plane: usize) -> usize {
        self.pitch(plane) * self.info.format.rows(plane, self.info.height)
    }

    fn gather(&self, frame: &FrameRef<'_>, block: &mut [u8]) {
        for plane in 0..self.info.format.planes() {
            let (bytes, pitch) = (self.row_bytes(plane), self.pitch(plane));
            let source = frame.plane(plane);
            let target = &mut block[self.offsets[plane]..][..self.plane_bytes(plane)];
            if source.stride == pitch && source.data.len() >= target.len() {
                target.copy_from_slice(&source.data[..target.len()]);
                continue;
            }
            for (y, row) in target.chunks_exact_mut(pitch).enumerate() {
                row[..bytes].copy_from_slice(source.row(y, bytes));
            }
        }
    }

    fn scatter(&self, block: &[u8], frame: &mut FrameMut<'_>) {
        for plane in 0..self.info.format.planes() {
            let (bytes, pitch) = (self.row_bytes(plane), self.pitch(plane));
            let source = &block[self.offsets[plane]..][..self.plane_bytes(plane)];
            let target = frame.plane_mut(plane);
            if target.stride == bytes && bytes == pitch {
                target.data[..source.len()].copy_from_slice(source);
                continue;
            }
            let rows = self.info.format.rows(plane, self.info.height);
            for (row, source) in target.rows(rows, bytes).zip(source.chunks_exact(pitch)) {
                row.copy_from_slice(&source[..bytes]);
            }
        }
    }

    /// A component in a block on the device: Y, U or V, or part 0 or 3 of packed pixels.
    fn component(&self, block: &Buffer, number: usize) -> Plane {
        let format = self.info.format;
        let (plane, part) = match format.family() {
            Family::Rgb => (0, number),
            _ if number > 0 && format.is_semi_planar() => (1, number - 1),
            _ => (number, 0),
        };
        let (height, width) = match plane {
            0 => (self.info.height, self.info.width),
            _ => (format.chroma_height(self.info.height), format.chroma_width(self.info.width)),
        };
        let memory = block.part(self.offsets[plane], self.plane_bytes(plane));
        Plane::new(&memory, self.pitch(plane), height, width, sample(format, plane, part))
    }
}

/// How component `part` of plane `plane` lies there.
fn sample(format: PixelFormat, plane: usize, part: usize) -> Sample {
    let group = match format.packed_rgb() {
        Some(packed) => packed.size,
        None if plane > 0 && format.is_semi_planar() => 2,
        None => 1,
    };
    let kind = if format.sample_bytes() == 2 { Kind::U16 } else { Kind::U8 };
    Sample { kind, shift: format.shift(), group, part, max: format.max_code() }
}

/// What a network reads and writes.
#[derive(Clone, Debug)]
pub enum Ends {
    /// One component, as codes in the frame or as f32.
    Planes {
        /// Values of 0 to 1 are codes of 0 to the largest.
        input: Plane,
        /// The same at the size of the output.
        output: Plane,
    },
    /// f32, one channel or three.
    Images {
        /// 0 to 1.
        input: Image,
        /// The same at the size of the output; may go beyond.
        output: Image,
    },
}

/// What is common to all frames of one description: tables on the device.
#[derive(Clone, Debug)]
pub struct Conversion {
    device: Device,
    input: VideoInfo,
    output: VideoInfo,
    domain: Domain,
    /// From the input to the output, for what the network does not see.
    size: Option<Scaling>,
    /// The same for chroma.
    chroma: Option<Scaling>,
    /// Chroma of the input to the places of luma.
    raise: Option<Scaling>,
    /// Chroma of the output from the places of luma.
    lower: Option<Scaling>,
}

impl Conversion {
    /// For a model that takes frames like `input` to frames like `output`, which differ in size alone.
    ///
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Device, input: &VideoInfo, output: &VideoInfo, domain: Domain) -> Result<Self, Error> {
        let format = input.format;
        let upload =
            |needed: bool, resampler: &dyn Fn() -> Resampler| needed.then(|| scaling(device, &resampler())).transpose();
        let (rgb, yuv) = (format.family() == Family::Rgb, format.family() == Family::Yuv);
        let (each, kernel) = (matches!(domain, Domain::Each(_)), domain.kernel());
        let apart = domain == Domain::Rgb && yuv && format.subsampling() != (0, 0);
        let size = each || (rgb && (domain == Domain::Luma || format.has_alpha()));
        Ok(Self {
            device: device.clone(),
            input: *input,
            output: *output,
            domain,
            size: upload(size, &|| siting::luma(kernel, input, output))?,
            chroma: upload(yuv && domain != Domain::Rgb, &|| siting::chroma(kernel, input, output))?,
            raise: upload(apart, &|| siting::chroma_to_luma(Kernel::Bicubic, input))?,
            lower: upload(apart, &|| siting::luma_to_chroma(Kernel::Bicubic, output))?,
        })
    }

    /// Memory and launches for one frame in flight. With `images`, a luma network reads and writes f32 images even where it
    /// could do so in the frame.
    ///
    /// # Errors
    /// Too little memory.
    pub fn frame(&self, images: bool) -> Result<Frame, Error> {
        Frame::new(self, images)
    }
}

/// The tables of a resampler on the device.
fn scaling(device: &Device, resampler: &Resampler) -> Result<Scaling, Error> {
    let [across, down] = resampler.taps().map(|taps| {
        let starts: Vec<u32> = taps.starts.iter().map(|&start| start as u32).collect();
        Taps::new(device, taps.inputs, &starts, taps.weights)
    });
    Ok(Scaling { across: across?, down: down? })
}

/// One frame in flight.
#[derive(Debug)]
pub struct Frame {
    input: Layout,
    output: Layout,
    block: Buffer,
    ends: Option<Ends>,
    before: Vec<Launch>,
    after: Vec<Launch>,
}

impl Frame {
    fn new(conversion: &Conversion, images: bool) -> Result<Self, Error> {
        let (input, output) = (Layout::new(&conversion.input), Layout::new(&conversion.output));
        // Nobody writes what lies between planes, and the download takes it along.
        let block = Buffer::zeroed(&conversion.device, input.bytes + ALIGNMENT + output.bytes)?;
        let mut frame = Self { input, output, block, ends: None, before: Vec::new(), after: Vec::new() };
        match (conversion.domain, conversion.input.format.family()) {
            (Domain::Each(_), Family::Rgb) => frame.resample_packed(conversion)?,
            (Domain::Each(_), _) => {
                frame.resample_luma(conversion)?;
                frame.resample_chroma(conversion)?;
            }
            (Domain::Luma, Family::Rgb) => frame.luma_of_rgb(conversion, images)?,
            (Domain::Luma, _) => {
                frame.resample_chroma(conversion)?;
                frame.luma(conversion, images)?;
            }
            (Domain::Rgb, Family::Rgb) => frame.rgb(conversion)?,
            (Domain::Rgb, _) => frame.rgb_of_yuv(conversion)?,
        }
        Ok(frame)
    }

    /// The block that goes up, for [`Frame::gather`].
    pub fn upload(&self) -> Buffer {
        self.block.part(0, self.input.bytes + FLAG)
    }

    /// The block that comes down, for [`Frame::scatter`].
    pub fn download(&self) -> Buffer {
        self.block.part(self.input.bytes, ALIGNMENT + self.output.bytes)
    }

    /// The word that a network sets to 1 where a value is infinite or not a number.
    pub fn flag(&self) -> Buffer {
        self.block.part(self.input.bytes, FLAG)
    }

    /// What the network reads and writes; None where there is no network.
    pub fn ends(&self) -> Option<&Ends> {
        self.ends.as_ref()
    }

    /// What runs before the network.
    pub fn before(&self) -> &[Launch] {
        &self.before
    }

    /// What runs after the network.
    pub fn after(&self) -> &[Launch] {
        &self.after
    }

    /// Lays a frame out as it goes up.
    pub fn gather(&self, frame: &FrameRef<'_>, block: &mut [u8]) {
        self.input.gather(frame, block);
        block[self.input.bytes..][..FLAG].fill(0);
    }

    /// Takes a frame from what came down.
    ///
    /// # Errors
    /// [`NotFinite`]; the frame is filled nevertheless.
    pub fn scatter(&self, block: &[u8], frame: &mut FrameMut<'_>) -> Result<(), NotFinite> {
        let (flag, planes) = block.split_at(ALIGNMENT);
        self.output.scatter(planes, frame);
        if flag[..FLAG] == [0; FLAG] { Ok(()) } else { Err(NotFinite) }
    }

    fn source(&self, component: usize) -> Plane {
        self.input.component(&self.block, component)
    }

    fn target(&self, component: usize) -> Plane {
        let planes = self.block.part(self.input.bytes + ALIGNMENT, self.output.bytes);
        self.output.component(&planes, component)
    }

    /// Makes the network's images.
    fn images(&mut self, conversion: &Conversion, channels: usize) -> Result<(Image, Image), Error> {
        let image = |info: &VideoInfo| Image::allocate(&conversion.device, channels, info.height, info.width);
        let (input, output) = (image(&conversion.input)?, image(&conversion.output)?);
        self.ends = Some(Ends::Images { input: input.clone(), output: output.clone() });
        Ok((input, output))
    }

    fn resample_luma(&mut self, conversion: &Conversion) -> Result<(), Error> {
        let Some(size) = &conversion.size else { return Ok(()) };
        let planes = [(self.source(0), self.target(0))];
        self.before.push(resample::resample(&conversion.device, 1, &planes, size)?);
        Ok(())
    }

    fn resample_chroma(&mut self, conversion: &Conversion) -> Result<(), Error> {
        let Some(chroma) = &conversion.chroma else { return Ok(()) };
        let [u, v] = [1, 2].map(|component| (self.source(component), self.target(component)));
        let launch = if conversion.input.format.is_semi_planar() {
            resample::resample(&conversion.device, 2, &[u], chroma)
        } else {
            resample::resample(&conversion.device, 1, &[u, v], chroma)
        };
        self.before.push(launch?);
        Ok(())
    }

    fn resample_packed(&mut self, conversion: &Conversion) -> Result<(), Error> {
        let Some(size) = &conversion.size else { return Ok(()) };
        let components = if conversion.input.format.has_alpha() { 4 } else { 3 };
        let planes = [(self.source(0), self.target(0))];
        self.before.push(resample::resample(&conversion.device, components, &planes, size)?);
        Ok(())
    }

    /// Y of YUV and grey.
    fn luma(&mut self, conversion: &Conversion, images: bool) -> Result<(), Error> {
        let (source, target) = (self.source(0), self.target(0));
        if !images {
            self.ends = Some(Ends::Planes { input: source, output: target });
            return Ok(());
        }
        let (input, output) = self.images(conversion, 1)?;
        self.before.push(unpack::unpack_y(&conversion.device, &source, &input)?);
        self.after.push(pack::pack_y(&conversion.device, &output, &target, &self.flag())?);
        Ok(())
    }

    fn luma_of_rgb(&mut self, conversion: &Conversion, images: bool) -> Result<(), Error> {
        let Some(scaling) = &conversion.size else { return Ok(()) };
        let Conversion { device, input, output, domain, .. } = conversion;
        let components = Image::allocate(device, 3, input.height, input.width)?;
        let large = Image::allocate(device, 1, output.height, output.width)?;
        let luma = components.buffer().part(0, Image::bytes(1, input.height, input.width));
        self.ends = Some(if images {
            Ends::Images { input: Image::new(&luma, 1, input.height, input.width), output: large.clone() }
        } else {
            Ends::Planes { input: components.plane(0), output: large.plane(0) }
        });
        let alpha = input.format.has_alpha().then(|| self.source(3));
        let raised = Raised { chroma: [&components.plane(1), &components.plane(2)], alpha: alpha.as_ref(), scaling };
        let (to, from) = (Affine(matrices::to_model(input, *domain)), Affine(matrices::from_model(output, *domain)));
        let (reversed, target) = (reversed(input.format), self.target(0));
        self.before.push(unpack::unpack_rgb(device, &self.source(0), reversed, &to, &components)?);
        let packed = Packed { plane: &target, reversed };
        self.after.push(pack::pack_luma(device, &large, raised, &from, packed, &self.flag())?);
        Ok(())
    }

    fn rgb(&mut self, conversion: &Conversion) -> Result<(), Error> {
        let (input, output) = self.images(conversion, 3)?;
        let device = &conversion.device;
        let matrix = Affine(matrices::to_model(&conversion.input, conversion.domain));
        let (reversed, target) = (reversed(conversion.input.format), self.target(0));
        self.before.push(unpack::unpack_rgb(device, &self.source(0), reversed, &matrix, &input)?);
        let plane = self.source(3);
        let alpha = conversion.size.as_ref().map(|scaling| Alpha { plane: &plane, scaling });
        let packed = Packed { plane: &target, reversed };
        self.after.push(pack::pack_rgb(device, &output, packed, alpha, &self.flag())?);
        Ok(())
    }

    fn rgb_of_yuv(&mut self, conversion: &Conversion) -> Result<(), Error> {
        let (input, output) = self.images(conversion, 3)?;
        let device = &conversion.device;
        let to = Affine(matrices::to_model(&conversion.input, conversion.domain));
        let from = Affine(matrices::from_model(&conversion.output, conversion.domain));
        let (flag, source, target) = (self.flag(), self.source(0), self.target(0));
        if conversion.input.format.family() == Family::Gray {
            self.before.push(unpack::unpack_gray(device, &source, &to, &input)?);
            self.after.push(pack::pack_gray(device, &output, &target, &from, &flag)?);
            return Ok(());
        }
        let [raise, lower] = [&conversion.raise, &conversion.lower].map(Option::as_ref);
        let (u, v) = (self.source(1), self.source(2));
        self.before.push(unpack::unpack_yuv(device, &source, [&u, &v], raise, &to, &input)?);
        let (u, v) = (self.target(1), self.target(2));
        self.after.push(pack::pack_yuv(device, &output, &target, [&u, &v], lower, &from, &flag)?);
        Ok(())
    }
}

/// Bytes of the word that says that a value was infinite or not a number.
const FLAG: usize = 4;

/// Whether blue comes first.
fn reversed(format: PixelFormat) -> bool {
    format.packed_rgb().is_some_and(|packed| packed.order[0] > 0)
}

#[cfg(test)]
mod tests;
