//! The frames of a clip, cut so that they can be reduced, from its middle.

use std::path::Path;

use ffmpeg_next::Rational;
use ffmpeg_next::frame::Video;
use srup_engine::frame::{Frame, PixelFormat, VideoInfo};
use srup_examples::Failure;
use srup_examples::metrics::SSIM_WINDOW;
use srup_examples::video::colour::Tags;
use srup_examples::video::convert::{Converter, Shape};
use srup_examples::video::input::{Item, Source, plausible};
use srup_examples::video::{ffi, file, formats};

use crate::pixels;

/// The frames of an open clip. They come as planar 4:2:0 with the depth of the file, which every network and codec here takes.
pub struct Frames {
    source: Source,
    converter: Converter,
    /// The frame that was read to see what they are like.
    first: Option<Video>,
    info: VideoInfo,
    rate: Option<Rational>,
    left: u64,
}

impl Frames {
    /// Opens a file for `frames` frames at most, from its middle if it is longer: it may begin in black. What is interlaced
    /// is deinterlaced.
    ///
    /// # Errors
    /// One line: no such file, no video in it, or too small.
    pub fn open(path: &Path, scale: usize, frames: u64) -> Result<Self, Failure> {
        file::check(path)?;
        let mut source = Source::open(path, true)?;
        let (video, total) = (source.video(), source.expected_frames());
        for other in (0..source.input().streams().len()).filter(|&other| other != video) {
            ffi::discard(source.input_mut(), other);
        }
        let rate = source.input().stream(video).and_then(|stream| plausible(stream.avg_frame_rate()));
        if let Some(rate) = rate.filter(|_| total > frames) {
            let seconds = (total - frames) as f64 / 2.0 / f64::from(rate);
            let time = ffi::start_time(source.input()) + (1e6 * seconds) as i64;
            // Where a file cannot be searched, its beginning must do.
            let _ = source.input_mut().seek(time, ..time);
        }
        let first = next(&mut source)?
            .ok_or_else(|| Failure::new(format!("no frame of {} can be decoded; it is damaged", path.display())))?;
        let info = described(path, &first, scale)?;
        let whole = Shape { width: first.width(), height: first.height(), ..pixels::shape(&info) };
        let converter = Converter::new(whole, info.colour.matrix);
        let left = if total > 0 { frames.min(total) } else { frames };
        Ok(Self { source, converter, first: Some(first), info, rate, left })
    }

    /// What the frames are.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Frames a second; None if unknown.
    pub fn rate(&self) -> Option<Rational> {
        self.rate
    }

    /// How many frames are still to come, if the file has as many as it says.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next frame; None after the last one.
    ///
    /// # Errors
    /// The decoder's.
    pub fn next(&mut self) -> Result<Option<Frame>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let video = match self.first.take() {
            Some(video) => Some(video),
            None => next(&mut self.source)?,
        };
        let Some(video) = video else { return Ok(None) };
        self.left -= 1;
        let from = Shape::of(&video, Tags::of(&video).is_full());
        pixels::from_ffmpeg(&self.converter.run(&video, from)?, &self.info).map(Some)
    }
}

fn next(source: &mut Source) -> Result<Option<Video>, Failure> {
    loop {
        match source.next_item()? {
            Some(Item::Frame(video)) => return Ok(Some(video)),
            Some(Item::Packet(_) | Item::Notice(_)) => {}
            None => return Ok(None),
        }
    }
}

/// Frames like `first`, cut to multiples of twice the scale: reduced, they still have a chroma sample for every four pixels.
fn described(path: &Path, first: &Video, scale: usize) -> Result<VideoInfo, Failure> {
    let (pixel, width, height) = (first.format(), first.width(), first.height());
    let nearest = formats::nearest(pixel).ok_or_else(|| {
        Failure::new(format!("pixel format {} cannot be measured; convert the video first", formats::name(pixel)))
    })?;
    let format = if nearest.bits() > 8 { PixelFormat::I420_10Le } else { PixelFormat::I420 };
    let stated = Tags::of(first);
    let tags = stated.converted(pixel, formats::pixel(format), stated.matrix(width, height));
    let multiple = |side: u32| side as usize / (2 * scale) * (2 * scale);
    let least = (SSIM_WINDOW + 2 * scale).next_multiple_of(2 * scale);
    if multiple(width) < least || multiple(height) < least {
        let path = path.display();
        return Err(Failure::new(format!(
            "{path}: {width}x{height} is too small: at scale {scale} each side must have {least} pixels or more"
        )));
    }
    Ok(VideoInfo::new(format, multiple(width), multiple(height), tags.engine(width, height))?)
}
