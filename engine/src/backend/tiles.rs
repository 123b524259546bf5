//! A picture in tiles, each computed from a crop that reaches so far beyond it that no difference can be seen.

use super::{Backend, Lane, Plan};
use crate::Error;
use crate::frame::region::{self, Region};
use crate::frame::{Frame, FrameMut, FrameRef, VideoInfo};
use crate::model::Model;

/// Pixels of luma that resampled chroma looks to each side: four samples, of which the last covers half a pixel more.
const CHROMA_REACH: usize = 8;

/// Pixels of luma that the conversion to RGB and back looks to each side: chroma is raised by bicubic and lowered again.
const RGB_REACH: usize = 12;

/// Tiles, and the crops that they are computed from, begin at multiples of this: chroma comes in pairs, and backends may
/// compute convolutions in tiles of their own that are as large, in whose last bits every pixel depends on the whole tile.
pub const GRID: usize = 4;

/// How far a pixel of a model's output looks into the input, to each side and with all conversions; a multiple of
/// [`GRID`]. None for the whole picture.
pub fn reach(model: &Model) -> Option<usize> {
    match model {
        Model::Resample(_) => Some(CHROMA_REACH),
        Model::Network(network) if network.channels == 1 => {
            network.reach(GRID).map(|reach| reach.max(CHROMA_REACH).next_multiple_of(GRID))
        }
        Model::Network(network) => network.reach(GRID).map(|reach| (reach + RGB_REACH).next_multiple_of(GRID)),
    }
}

/// Tiles of equal size, but for those at the right and the bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    frame: (usize, usize),
    tile: (usize, usize),
    halo: usize,
}

impl Tiling {
    /// Tiles of that size with `halo` pixels around. None if a number is no multiple of [`GRID`] or a tile has no pixels.
    /// A crop that would be larger than the frame is as large as the frame.
    pub fn new(input: &VideoInfo, (width, height): (usize, usize), halo: usize) -> Option<Self> {
        let fits = [width, height, halo].iter().all(|n| n.is_multiple_of(GRID)) && width > 0 && height > 0;
        fits.then_some(Self { frame: (input.width, input.height), tile: (width, height), halo })
    }

    /// Width and height of every crop. What is left over a multiple of [`GRID`] is as in the frame, so that a crop at the
    /// frame's end begins at one, too.
    pub fn crop_size(&self) -> (usize, usize) {
        let size = |tile: usize, frame: usize| (tile + 2 * self.halo + frame % GRID).min(frame);
        (size(self.tile.0, self.frame.0), size(self.tile.1, self.frame.1))
    }

    /// Pixels around a tile that its crop has too.
    pub fn halo(&self) -> usize {
        self.halo
    }

    /// The tiles, row by row.
    pub fn tiles(self) -> impl Iterator<Item = Region> {
        let Self { frame, tile, .. } = self;
        let columns = move |y| (0..frame.0).step_by(tile.0).map(move |x| (x, y));
        (0..frame.1).step_by(tile.1).flat_map(columns).map(move |(x, y)| Region {
            x,
            y,
            width: tile.0.min(frame.0 - x),
            height: tile.1.min(frame.1 - y),
        })
    }

    /// Where the crop of a tile lies.
    pub fn crop(&self, tile: Region) -> Region {
        let (width, height) = self.crop_size();
        let start = |at: usize, size: usize, frame: usize| at.saturating_sub(self.halo).min(frame - size);
        Region { x: start(tile.x, width, self.frame.0), y: start(tile.y, height, self.frame.1), width, height }
    }

    /// Pixels of the crops of that many tiles, over those of the frame.
    pub fn cost(&self, tiles: usize) -> f64 {
        let (width, height) = self.crop_size();
        (tiles * width * height) as f64 / (self.frame.0 * self.frame.1) as f64
    }
}

/// A lane for crops, and where it writes them.
pub struct TileLane {
    tiling: Tiling,
    lane: Box<dyn Lane>,
    scale: usize,
    made: Frame,
}

impl TileLane {
    /// A lane of the backend for the plan of whole frames, cut down to the crops of a tiling.
    ///
    /// # Errors
    /// As [`Backend::lane`].
    pub fn new(backend: &dyn Backend, plan: &Plan, tiling: Tiling) -> Result<Self, Error> {
        let scale = plan.output.width / plan.input.width;
        let (width, height) = tiling.crop_size();
        let input = VideoInfo { width, height, ..plan.input };
        let crop = Plan { input, output: input.scaled(scale)?, ..plan.clone() };
        Ok(Self { tiling, lane: backend.lane(&crop)?, scale, made: Frame::new(&crop.output) })
    }

    /// Where its tiles lie.
    pub fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// Computes one tile of a frame into its place.
    ///
    /// # Errors
    /// Those of the lane.
    pub fn run(
        &mut self,
        rung: usize,
        tile: Region,
        input: &FrameRef<'_>,
        output: &mut FrameMut<'_>,
    ) -> Result<(), Error> {
        let crop = self.tiling.crop(tile);
        self.lane.process(rung, &region::crop(input, crop), &mut self.made.view_mut())?;
        let within = Region { x: tile.x - crop.x, y: tile.y - crop.y, ..tile }.scaled(self.scale);
        let place = tile.scaled(self.scale);
        region::copy(&self.made.view(), within, output, (place.x, place.y));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::bands::Bands;
    use crate::backend::cpu::Cpu;
    use crate::frame::{Colour, Kernel, PixelFormat, Siting};
    use crate::network::{LargeKernel, Luma, Network, Preset, Sdan};
    use std::sync::Arc;

    fn noise(info: &VideoInfo) -> Frame {
        let mut frame = Frame::new(info);
        let mut state = 1_u64;
        for plane in 0..info.format.planes() {
            for byte in frame.plane_mut(plane).0 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Two bytes of a ten-bit sample stay within its range whichever they are.
                *byte = (state >> 33) as u8 & if info.format.sample_bytes() == 2 { 3 } else { 255 };
            }
        }
        frame
    }

    /// Every tile of a frame, against the frame in one piece, bit by bit.
    fn check(model: &Model, scale: usize, info: &VideoInfo, tile: (usize, usize)) {
        let cpu = Cpu::new(2).unwrap();
        let plan = Plan::new(model.clone(), scale, info).unwrap();
        let input = noise(info);
        let mut whole = Frame::new(&plan.output);
        cpu.lane(&plan).unwrap().process(0, &input.view(), &mut whole.view_mut()).unwrap();
        let tiling = Tiling::new(info, tile, reach(model).unwrap()).unwrap();
        let mut lane = TileLane::new(&cpu, &plan, tiling).unwrap();
        let mut tiled = Frame::new(&plan.output);
        for tile in tiling.tiles() {
            lane.run(0, tile, &input.view(), &mut tiled.view_mut()).unwrap();
        }
        assert!(tiled == whole, "{} x{scale} {} {}x{}", model.name(), info.format, info.width, info.height);
    }

    fn luma(scale: usize) -> Model {
        let preset = Preset::Luma(Luma { width: 8, depth: 2, head_skip: true });
        Model::Network(Arc::new(Network::random(preset, scale, 3)))
    }

    #[test]
    fn tiles_are_the_frame_for_every_format() {
        for format in PixelFormat::ALL {
            for (n, siting) in [Siting::LEFT, Siting::CENTER, Siting::TOP_LEFT, Siting::TOP].into_iter().enumerate() {
                let info =
                    VideoInfo::new(format, 82 + n % 2, 71 + n / 2, Colour { siting, ..Colour::default() }).unwrap();
                let models = [luma(2), Model::Resample(Kernel::Lanczos), Model::Resample(Kernel::Bicubic)];
                for model in models {
                    check(&model, 2, &info, (20, 12));
                }
            }
        }
    }

    #[test]
    fn tiles_are_the_frame_for_every_scale_and_kind_of_network() {
        let lka = vec![LargeKernel { square: 3, strip: 3, dilation: 1 }];
        let sdan = Preset::Sdan(Sdan { dim: 12, blocks: 1, distill: 2, steps: 2, lka });
        for scale in 2..=4 {
            for format in [PixelFormat::I420, PixelFormat::Rgb, PixelFormat::Y42b] {
                let info = VideoInfo::new(format, 95, 90, Colour::default()).unwrap();
                check(&luma(scale), scale, &info, (32, 16));
                let sdan = Model::Network(Arc::new(Network::random(sdan.clone(), scale, 5)));
                check(&sdan, scale, &info, (16, 24));
            }
        }
    }

    #[test]
    fn bands_are_the_frame() {
        let cpu = Cpu::new(2).unwrap();
        for (format, width, height) in
            [(PixelFormat::I420, 33, 131), (PixelFormat::Rgb, 20, 120), (PixelFormat::P010Le, 7, 142)]
        {
            let info = VideoInfo::new(format, width, height, Colour::default()).unwrap();
            let ladder = vec![luma(2), Model::Resample(Kernel::Bicubic)];
            let plan = Plan { ladder, ..Plan::new(luma(2), 2, &info).unwrap() };
            let (input, mut whole) = (noise(&info), Frame::new(&plan.output));
            let mut lane = cpu.lane(&plan).unwrap();
            for count in [2, 3, 4] {
                let mut bands = Bands::new(&cpu, &plan, count).unwrap().unwrap();
                for rung in [1, 0] {
                    lane.process(rung, &input.view(), &mut whole.view_mut()).unwrap();
                    let mut banded = Frame::new(&plan.output);
                    bands.process(rung, &input.view(), &mut banded.view_mut()).unwrap();
                    assert!(banded == whole, "{format} in {count} bands, rung {rung}");
                }
            }
            assert!(Bands::new(&cpu, &plan, 1).is_none());
        }
    }
}
