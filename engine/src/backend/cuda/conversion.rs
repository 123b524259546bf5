//! What surrounds a model on the device: from the block that went up to what the network reads, from what it writes to the
//! block that comes down, and what the network does not see on its way round it.

use srup_cuda::kernels::pack::{self, Alpha, Packed, Raised};
use srup_cuda::kernels::video::{Affine, Scaling, Taps};
use srup_cuda::kernels::{resample, unpack};
use srup_cuda::{ALIGNMENT, Buffer, Device, Image, Launch, Plane};

use super::frame::Frame;
use crate::Error;
use crate::frame::convert::{Domain, matrices, siting};
use crate::frame::resample::{Kernel, Resampler};
use crate::frame::{Family, PixelFormat, VideoInfo};

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

    /// What the model sees of a frame.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Bytes that [`Conversion::passage`] needs for images.
    pub fn room(&self, images: bool) -> usize {
        self.places(images).map_or(0, |[_, output]| output.offset + output.bytes())
    }

    /// The way of a frame in flight, with its images in `room`. With `images`, a luma network reads and writes f32 images
    /// even where it could do so in the frame.
    ///
    /// # Errors
    /// What the device says.
    ///
    /// # Panics
    /// If the room is less than [`Conversion::room`].
    pub fn passage(&self, frame: &Frame, images: bool, room: &Buffer) -> Result<Passage, Error> {
        let places = self.places(images).map(|places| places.map(|place| place.image(room)));
        let mut way = Way { conversion: self, frame, passage: Passage::default() };
        match (self.domain, self.input.format.family(), places) {
            (Domain::Each(_), Family::Rgb, _) => way.resample_packed()?,
            (Domain::Each(_), ..) => {
                way.resample_luma()?;
                way.resample_chroma()?;
            }
            (Domain::Luma, Family::Rgb, Some(places)) => way.luma_of_rgb(places, images)?,
            (Domain::Luma, _, places) => {
                way.resample_chroma()?;
                way.luma(places)?;
            }
            (Domain::Rgb, Family::Rgb, Some(places)) => way.rgb(places)?,
            (Domain::Rgb, _, Some(places)) => way.rgb_of_yuv(places)?,
            (Domain::Rgb, _, None) => unreachable!("networks on colours have images"),
        }
        Ok(way.passage)
    }

    /// Where the images lie, of what the network sees and of what it makes.
    fn places(&self, images: bool) -> Option<[Place; 2]> {
        let [input, output] = match (self.domain, self.input.format.family()) {
            (Domain::Each(_), _) => return None,
            (Domain::Luma, Family::Rgb) => [3, 1],
            (Domain::Luma, _) if images => [1, 1],
            (Domain::Luma, _) => return None,
            (Domain::Rgb, _) => [3, 3],
        };
        let place = |offset, channels, info: &VideoInfo| Place { offset, channels, size: (info.height, info.width) };
        let input = place(0, input, &self.input);
        Some([input, place(input.bytes().next_multiple_of(ALIGNMENT), output, &self.output)])
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

/// An image's place in a buffer.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    channels: usize,
    /// Height and width.
    size: (usize, usize),
}

impl Place {
    fn bytes(&self) -> usize {
        Image::bytes(self.channels, self.size.0, self.size.1)
    }

    fn image(&self, room: &Buffer) -> Image {
        Image::new(&room.part(self.offset, self.bytes()), self.channels, self.size.0, self.size.1)
    }
}

/// A frame's way round one model.
#[derive(Debug, Default)]
pub struct Passage {
    /// What the network reads and writes; None where there is no network.
    pub ends: Option<Ends>,
    /// What runs before the network.
    pub before: Vec<Launch>,
    /// What runs after the network.
    pub after: Vec<Launch>,
}

/// A passage in the making.
struct Way<'a> {
    conversion: &'a Conversion,
    frame: &'a Frame,
    passage: Passage,
}

impl Way<'_> {
    fn before(&mut self, launch: Result<Launch, srup_cuda::Error>) -> Result<(), Error> {
        self.passage.before.push(launch?);
        Ok(())
    }

    fn after(&mut self, launch: Result<Launch, srup_cuda::Error>) -> Result<(), Error> {
        self.passage.after.push(launch?);
        Ok(())
    }

    fn resample_luma(&mut self) -> Result<(), Error> {
        let Some(size) = &self.conversion.size else { return Ok(()) };
        let planes = [(self.frame.source(0), self.frame.target(0))];
        self.before(resample::resample(&self.conversion.device, 1, &planes, size))
    }

    fn resample_chroma(&mut self) -> Result<(), Error> {
        let Conversion { device, input, chroma: Some(chroma), .. } = self.conversion else { return Ok(()) };
        let [u, v] = [1, 2].map(|component| (self.frame.source(component), self.frame.target(component)));
        self.before(if input.format.is_semi_planar() {
            resample::resample(device, 2, &[u], chroma)
        } else {
            resample::resample(device, 1, &[u, v], chroma)
        })
    }

    fn resample_packed(&mut self) -> Result<(), Error> {
        let Conversion { device, input, size: Some(size), .. } = self.conversion else { return Ok(()) };
        let components = if input.format.has_alpha() { 4 } else { 3 };
        let planes = [(self.frame.source(0), self.frame.target(0))];
        self.before(resample::resample(device, components, &planes, size))
    }

    /// Y of YUV and grey.
    fn luma(&mut self, images: Option<[Image; 2]>) -> Result<(), Error> {
        let device = &self.conversion.device;
        let (source, target) = (self.frame.source(0), self.frame.target(0));
        let Some([input, output]) = images else {
            self.passage.ends = Some(Ends::Planes { input: source, output: target });
            return Ok(());
        };
        self.before(unpack::unpack_y(device, &source, &input))?;
        self.after(pack::pack_y(device, &output, &target, &self.frame.flag()))?;
        self.passage.ends = Some(Ends::Images { input, output });
        Ok(())
    }

    /// Y of packed RGB; the colours beside it wait in the other two planes of the first image.
    fn luma_of_rgb(&mut self, [components, large]: [Image; 2], as_images: bool) -> Result<(), Error> {
        let Conversion { device, input, output, domain, size: Some(scaling), .. } = self.conversion else {
            return Ok(());
        };
        let frame = self.frame;
        self.passage.ends = Some(if as_images {
            Ends::Images { input: Image::new(components.buffer(), 1, input.height, input.width), output: large.clone() }
        } else {
            Ends::Planes { input: components.plane(0), output: large.plane(0) }
        });
        let alpha = input.format.has_alpha().then(|| frame.source(3));
        let raised = Raised { chroma: [&components.plane(1), &components.plane(2)], alpha: alpha.as_ref(), scaling };
        let (to, from) = (Affine(matrices::to_model(input, *domain)), Affine(matrices::from_model(output, *domain)));
        let (reversed, target) = (reversed(input.format), frame.target(0));
        self.before(unpack::unpack_rgb(device, &frame.source(0), reversed, &to, &components))?;
        let packed = Packed { plane: &target, reversed };
        self.after(pack::pack_luma(device, &large, raised, &from, packed, &frame.flag()))
    }

    fn rgb(&mut self, [input, output]: [Image; 2]) -> Result<(), Error> {
        let (conversion, frame) = (self.conversion, self.frame);
        let (device, reversed) = (&conversion.device, reversed(conversion.input.format));
        let matrix = Affine(matrices::to_model(&conversion.input, conversion.domain));
        self.before(unpack::unpack_rgb(device, &frame.source(0), reversed, &matrix, &input))?;
        let (plane, target) = (frame.source(3), frame.target(0));
        let alpha = conversion.size.as_ref().map(|scaling| Alpha { plane: &plane, scaling });
        let packed = Packed { plane: &target, reversed };
        self.after(pack::pack_rgb(device, &output, packed, alpha, &frame.flag()))?;
        self.passage.ends = Some(Ends::Images { input, output });
        Ok(())
    }

    fn rgb_of_yuv(&mut self, [input, output]: [Image; 2]) -> Result<(), Error> {
        let (conversion, frame) = (self.conversion, self.frame);
        let device = &conversion.device;
        let to = Affine(matrices::to_model(&conversion.input, conversion.domain));
        let from = Affine(matrices::from_model(&conversion.output, conversion.domain));
        let (flag, source, target) = (frame.flag(), frame.source(0), frame.target(0));
        if conversion.input.format.family() == Family::Gray {
            self.before(unpack::unpack_gray(device, &source, &to, &input))?;
            self.after(pack::pack_gray(device, &output, &target, &from, &flag))?;
        } else {
            let [raise, lower] = [&conversion.raise, &conversion.lower].map(Option::as_ref);
            let [u, v] = [1, 2].map(|component| frame.source(component));
            self.before(unpack::unpack_yuv(device, &source, [&u, &v], raise, &to, &input))?;
            let [u, v] = [1, 2].map(|component| frame.target(component));
            self.after(pack::pack_yuv(device, &output, &target, [&u, &v], lower, &from, &flag))?;
        }
        self.passage.ends = Some(Ends::Images { input, output });
        Ok(())
    }
}

/// Whether blue comes first.
fn reversed(format: PixelFormat) -> bool {
    format.packed_rgb().is_some_and(|packed| packed.order[0] > 0)
}

#[cfg(test)]
mod tests;
