//! A decoded frame in, an enlarged one out: conversion to a format that the engine has, then the engine.

use ffmpeg_next::frame::Video;
use ffmpeg_next::picture;
use srup_engine::Upscaler;
use srup_engine::frame::{FrameMut, FrameRef, VideoInfo};
use srup_examples::{EngineArgs, Failure};

use crate::colour::Tags;
use crate::convert::{Converter, Shape};
use crate::{ffi, formats};

/// The engine, made for the first frame's format, size and colour; later frames are brought to these.
pub struct Upscaling {
    upscaler: Upscaler,
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
        let upscaler = arguments.builder().build(&info)?;
        Ok(Self { upscaler, input: Shape { pixel: formats::pixel(format), width, height, full: tags.is_full() }, tags })
    }

    /// The tags of what comes out.
    pub fn tags(&self) -> Tags {
        self.tags
    }

    /// What comes in and out of the engine.
    pub fn infos(&self) -> (&VideoInfo, &VideoInfo) {
        (self.upscaler.input_info(), self.upscaler.output_info())
    }

    /// Model, scale and backend in words.
    pub fn describe(&self) -> &str {
        self.upscaler.describe()
    }

    /// Ready to work, on the thread that calls this.
    pub fn start(self) -> Worker {
        let converter = Converter::new(self.input, self.tags.engine(self.input.width, self.input.height).matrix);
        Worker { converter, upscaling: self, warned: false }
    }
}

/// The engine at work.
pub struct Worker {
    upscaling: Upscaling,
    converter: Converter,
    warned: bool,
}

impl Worker {
    /// Enlarges one frame. `warn` hears, once, of a stream that changes on its way.
    pub fn run(&mut self, frame: Video, warn: impl FnOnce(String)) -> Result<Video, Failure> {
        let (input, output) = (*self.upscaling.upscaler.input_info(), *self.upscaling.upscaler.output_info());
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
        let mut enlarged =
            ffi::new_frame(expected.pixel, output.width as u32, output.height as u32).map_err(|error| {
                Failure::new(format!("a frame of {}x{} cannot be had: {error}", output.width, output.height))
            })?;
        // Only what is not already in the engine's format, of the first size and right side up is converted.
        let same = (from.width, from.height, from.full) == (expected.width, expected.height, expected.full);
        let converted = match ffi::planes(&frame, &input) {
            Some(_) if same => frame,
            _ => self.converter.run(&frame, from)?,
        };
        self.process(&converted, &mut enlarged)?;
        ffi::copy_properties(&mut enlarged, &converted)
            .map_err(|error| Failure::new(format!("cannot copy a frame's properties: {error}")))?;
        // The input's kinds of picture would force their choice on the encoder.
        enlarged.set_kind(picture::Type::None);
        Ok(enlarged)
    }

    fn process(&mut self, from: &Video, to: &mut Video) -> Result<(), Failure> {
        let upscaler = &mut self.upscaling.upscaler;
        let (input, output) = (*upscaler.input_info(), *upscaler.output_info());
        let lost = || Failure::new("a frame's memory is not as announced; convert the video with ffmpeg first");
        let planes = ffi::planes(from, &input).ok_or_else(lost)?;
        let source = FrameRef::new(&input, &planes)?;
        let mut target = FrameMut::new(&output, ffi::planes_mut(to, &output).ok_or_else(lost)?)?;
        upscaler.process(&source, &mut target)?;
        Ok(())
    }
}
