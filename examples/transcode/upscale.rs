//! Decoded frames in, enlarged ones out: conversion to a format that the engine has, then the engine's lanes.

use std::sync::Arc;

use ffmpeg_next::frame::Video;
use ffmpeg_next::picture;
use srup_engine::Error;
use srup_engine::frame::{FrameMut, FrameRef, VideoInfo};
use srup_engine::scheduler::{Job, Scheduler, Target};
use srup_examples::video::colour::Tags;
use srup_examples::video::convert::{Converter, Shape};
use srup_examples::video::{ffi, formats};
use srup_examples::{EngineArgs, Failure};

/// The engine, made for the first frame's format, size and colour; later frames are brought to these.
pub struct Upscaling {
    scheduler: Arc<Scheduler<Picture>>,
    input: Shape,
    tags: Tags,
}

impl Upscaling {
    /// Loads the model for frames like `first`.
    pub fn new(arguments: &EngineArgs, first: &Video) -> Result<Self, Failure> {
        let (pixel, width, height) = (first.format(), first.width(), first.height());
        let format = formats::nearest(pixel).ok_or_else(|| {
            Failure::new(format!("pixel format {} cannot be upscaled; convert the video first", formats::name(pixel)))
        })?;
        let stated = Tags::of(first);
        let tags = stated.converted(pixel, formats::pixel(format), stated.matrix(width, height));
        let info = VideoInfo::new(format, width as usize, height as usize, tags.engine(width, height))?;
        let scheduler = Arc::new(Scheduler::new(&info, &arguments.options()?)?);
        let pixel = formats::pixel(format);
        let output = scheduler.output_info();
        // At most MAX_SIZE, far within 32 bits.
        let tags = tags.resized(pixel, (width, height), (output.width as u32, output.height as u32));
        let input = Shape { pixel, width, height, full: tags.is_full() };
        Ok(Self { scheduler, input, tags })
    }

    /// The tags of what comes out.
    pub fn tags(&self) -> Tags {
        self.tags
    }

    /// What comes in and out of the engine.
    pub fn infos(&self) -> (&VideoInfo, &VideoInfo) {
        (self.scheduler.input_info(), self.scheduler.output_info())
    }

    /// Model, scale, backend and lanes in words.
    pub fn describe(&self) -> &str {
        self.scheduler.describe()
    }

    /// Where frames come out.
    pub fn taker(&self) -> Taker {
        Taker { scheduler: self.scheduler.clone() }
    }

    /// Where frames go in, on the thread that calls this.
    pub fn feeder(self) -> Feeder {
        let converter = Converter::new(self.input, self.tags.engine(self.input.width, self.input.height).matrix);
        Feeder { converter, upscaling: self, warned: false }
    }
}

/// Where frames go in. When it is dropped, none will come any more.
pub struct Feeder {
    upscaling: Upscaling,
    converter: Converter,
    warned: bool,
}

impl Feeder {
    /// Gives a frame to the lanes; waits while as many as can be are in work. False if nobody takes frames any more.
    /// `warn` hears, once, of a stream that changes on its way.
    pub fn run(&mut self, frame: Video, warn: impl FnOnce(String)) -> Result<bool, Failure> {
        let scheduler = &self.upscaling.scheduler;
        let (input, output) = (*scheduler.input_info(), *scheduler.output_info());
        let from = Shape::of(&frame, Tags::of(&frame).is_full());
        let expected = self.upscaling.input;
        if !self.warned && (from.width, from.height) != (expected.width, expected.height) {
            self.warned = true;
            let (old, new) = ((expected.width, expected.height), (from.width, from.height));
            warn(format!(
                "the picture changes from {}x{} to {}x{} on the way; it is scaled to the first size, as a file has one",
                old.0, old.1, new.0, new.1
            ));
        }
        // Only what is not already in the engine's format, of the first size and right side up is converted.
        let same = (from.width, from.height, from.full) == (expected.width, expected.height, expected.full);
        let frame = match ffi::planes(&frame, &input) {
            Some(_) if same => frame,
            _ => self.converter.run(&frame, from)?,
        };
        let picture = Picture { frame, input, output, shape: expected };
        let place = picture.spare()?;
        Ok(scheduler.submit(picture, place)?)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.upscaling.scheduler.finish();
    }
}

/// Where enlarged frames come out, in order. When it is dropped, nobody takes frames any more.
pub struct Taker {
    scheduler: Arc<Scheduler<Picture>>,
}

impl Iterator for Taker {
    type Item = Result<Video, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let done = self.scheduler.next()?;
        Some(done.result.map_err(Failure::from).and_then(|(place, _)| {
            let mut enlarged = place.frame;
            ffi::copy_properties(&mut enlarged, &done.job.frame)
                .map_err(|error| Failure::new(format!("cannot copy a frame's properties: {error}")))?;
            // The input's kinds of picture would force their choice on the encoder.
            enlarged.set_kind(picture::Type::None);
            Ok(enlarged)
        }))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.scheduler.abort();
    }
}

/// A frame in the engine's format.
pub struct Picture {
    frame: Video,
    input: VideoInfo,
    output: VideoInfo,
    /// Of the frame.
    shape: Shape,
}

/// Where an enlarged frame goes.
pub struct Place {
    frame: Video,
    info: VideoInfo,
}

impl Job for Picture {
    type Target = Place;

    fn input(&self) -> Result<FrameRef<'_>, Error> {
        FrameRef::new(&self.input, &ffi::planes(&self.frame, &self.input).unwrap_or_default())
    }

    fn spare(&self) -> Result<Place, Error> {
        let VideoInfo { width, height, .. } = self.output;
        let frame = ffi::new_frame(self.shape.pixel, width as u32, height as u32).map_err(|error| Error::Backend {
            backend: "ffmpeg",
            reason: format!("a frame of {width}x{height} cannot be had: {error}"),
        })?;
        Ok(Place { frame, info: self.output })
    }
}

impl Target for Place {
    fn frame(&mut self) -> Result<FrameMut<'_>, Error> {
        FrameMut::new(&self.info, ffi::planes_mut(&mut self.frame, &self.info).unwrap_or_default())
    }
}
