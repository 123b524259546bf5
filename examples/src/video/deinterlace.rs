//! Deinterlacing by FFmpeg's bwdif: one frame for each frame, and only those that are marked as interlaced are touched.

use std::collections::VecDeque;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Error, Rational, Rescale, filter};

use super::formats;
use crate::Failure;

/// Takes decoded frames, gives progressive ones in the same number, order and times.
pub struct Deinterlacer {
    time_base: Rational,
    graph: Option<(Shape, filter::Graph)>,
    ready: VecDeque<Video>,
}

type Shape = (Pixel, u32, u32);

impl Deinterlacer {
    /// For frames whose times are in units of `time_base`.
    pub fn new(time_base: Rational) -> Self {
        Self { time_base, graph: None, ready: VecDeque::new() }
    }

    /// Takes a frame whose pts is set.
    pub fn push(&mut self, frame: &Video) -> Result<(), Failure> {
        let shape = (frame.format(), frame.width(), frame.height());
        if self.graph.as_ref().is_some_and(|graph| graph.0 != shape) {
            self.finish()?;
        }
        if self.graph.is_none() {
            self.graph = Some((shape, self.build(frame, shape).map_err(|error| failed(&error))?));
        }
        let Some((_, graph)) = &mut self.graph else { return Ok(()) };
        let mut source = graph.get("in").ok_or_else(|| failed(&Error::Bug))?;
        source.source().add(frame).map_err(|error| failed(&error))?;
        self.collect()
    }

    /// Has every frame come out that was taken; may be called twice.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let Some((_, graph)) = &mut self.graph else { return Ok(()) };
        let mut source = graph.get("in").ok_or_else(|| failed(&Error::Bug))?;
        source.source().flush().map_err(|error| failed(&error))?;
        self.collect()?;
        self.graph = None;
        Ok(())
    }

    /// The next frame that is ready.
    pub fn pop(&mut self) -> Option<Video> {
        self.ready.pop_front()
    }

    fn build(&self, frame: &Video, (pixel, width, height): Shape) -> Result<filter::Graph, Error> {
        let find = |name: &str| filter::find(name).ok_or(Error::FilterNotFound);
        let ratio = |ratio: Rational| format!("{}/{}", ratio.numerator(), ratio.denominator().max(1));
        let arguments = format!(
            "video_size={width}x{height}:pix_fmt={}:time_base={}:pixel_aspect={}",
            formats::name(pixel),
            ratio(self.time_base),
            ratio(frame.aspect_ratio()),
        );
        let mut graph = filter::Graph::new();
        graph.add(&find("buffer")?, "in", &arguments)?;
        graph.add(&find("buffersink")?, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse("bwdif=mode=send_frame:deint=interlaced")?;
        graph.validate()?;
        Ok(graph)
    }

    fn collect(&mut self) -> Result<(), Failure> {
        let Some((_, graph)) = &mut self.graph else { return Ok(()) };
        let mut sink = graph.get("out").ok_or_else(|| failed(&Error::Bug))?;
        // The filter counts in half units, for those who want a frame for each field.
        let time_base = sink.sink().time_base();
        loop {
            let mut frame = Video::empty();
            match sink.sink().frame(&mut frame) {
                Ok(()) => {
                    let time = frame.pts().map(|pts| pts.rescale(time_base, self.time_base));
                    frame.set_pts(time);
                    self.ready.push_back(frame);
                }
                Err(Error::Eof | Error::Other { errno: ffmpeg_next::error::EAGAIN }) => return Ok(()),
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

fn failed(error: &Error) -> Failure {
    Failure::new(format!(
        "cannot deinterlace: {error}; deinterlace with another program first, and leave --deinterlace out"
    ))
}
