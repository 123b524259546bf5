//! A stretch of the stream with the same caps and settings: its scheduler, and where its pictures go.

use std::sync::Mutex;
use std::time::Duration;

use gst::prelude::*;
use srup_engine::Error;
use srup_engine::frame::{FrameMut, FrameRef};
use srup_engine::scheduler::{Job, Scheduler, Target};

use super::lock;
use super::pace::Pace;
use super::settings::Settings;
use crate::caps;
use crate::errors::Failure;
use crate::video::{Layout, engine_info, video_info};

/// How long a frame of a stream without a rate is thought to last, until that is learned.
const UNKNOWN_INTERVAL: Duration = Duration::from_millis(40);

/// What was negotiated, and what makes the frames.
pub struct Session {
    /// What was negotiated.
    terms: Terms,
    /// With these it works, the factor excepted: that follows from the caps.
    settings: Mutex<Settings>,
    /// Output size over input size.
    pub factor: u32,
    /// What comes in.
    pub input: gst_video::VideoInfo,
    /// What goes out.
    pub output: gst_video::VideoInfo,
    /// Where pictures go.
    pool: Mutex<Option<gst::BufferPool>>,
    /// What makes them.
    pub scheduler: Scheduler<Picture>,
    /// Of frames without a target; live ones with a target are in time.
    pace: Mutex<Pace>,
}

/// What upstream, downstream and the element have agreed upon.
#[derive(Clone, PartialEq)]
pub struct Terms {
    /// Upstream's caps.
    pub input: gst::Caps,
    /// Those of what goes out.
    pub output: gst::Caps,
    /// Upstream's time is the world's.
    pub live: bool,
}

impl Session {
    /// Loads the model and prepares everything for a stream, but for [`Session::set_pool`].
    pub fn new(settings: &Settings, terms: Terms) -> Result<Self, Failure> {
        let (input, output) = (video_info(&terms.input)?, video_info(&terms.output)?);
        let factor = caps::factor_between((input.width(), input.height()), (output.width(), output.height()))
            .filter(|_| input.format() == output.format())
            .ok_or_else(|| {
                Failure::Buffer(format!("{} and {} differ by more than a whole factor", terms.input, terms.output))
            })?;
        let settings = Settings { scale_factor: factor, ..settings.clone() };
        let scheduler = Scheduler::new(&engine_info(&terms.input)?, &settings.options(rate(&input), terms.live)?)?;
        let pace =
            Mutex::new(Pace::new(rate(&input).map_or(UNKNOWN_INTERVAL, |rate| Duration::from_secs_f64(1.0 / rate))));
        let (settings, pool) = (Mutex::new(settings), Mutex::default());
        Ok(Self { terms, settings, factor, input, output, pool, scheduler, pace })
    }

    /// Whether it can go on under these terms and with these settings; then it does.
    pub fn goes_on(&self, terms: &Terms, settings: &Settings) -> bool {
        self.terms == *terms && self.adopt(settings)
    }

    /// Pictures go there from now on: a pool that is switched on. The one before is switched off, if it is another: who is
    /// asked again may give what is in use.
    pub fn set_pool(&self, pool: Option<&gst::BufferPool>) {
        let before = std::mem::replace(&mut *lock(&self.pool), pool.cloned());
        if let Some(before) = before.filter(|before| Some(before) != pool) {
            let _ = before.set_active(false);
        }
    }

    /// Whether the caps say how many frames come in a second.
    pub fn has_rate(&self) -> bool {
        rate(&self.input).is_some()
    }

    /// A frame comes with that time stamp.
    pub fn comes(&self, stamp: Option<gst::ClockTime>) {
        if let Some(stamp) = stamp.filter(|_| !self.has_rate()) {
            lock(&self.pace).comes(stamp.into());
        }
    }

    /// One more frame has been made, in that time.
    pub fn measured(&self, service: Duration) {
        if self.terms.live && self.scheduler.latency().is_none() {
            lock(&self.pace).measured(service, self.scheduler.lanes());
        }
    }

    /// How much later than it came a frame leaves, at the most: as long as the window lasts.
    pub fn latency(&self) -> gst::ClockTime {
        let window = || lock(&self.pace).interval() * self.scheduler.window() as u32;
        self.scheduler.latency().unwrap_or_else(window).try_into().unwrap_or(gst::ClockTime::MAX)
    }

    /// Whether a frame that comes now would wait for others to leave where they never catch up: it or one behind it would be
    /// late.
    pub fn has_no_time(&self) -> bool {
        lock(&self.pace).is_behind() && self.scheduler.is_full()
    }

    /// Works with these settings from now on, if that needs no other scheduler; false if it does.
    pub fn adopt(&self, wanted: &Settings) -> bool {
        let mut settings = lock(&self.settings);
        if !settings.differ_in_pace_only(wanted) {
            return false;
        }
        let rate = rate(&self.input);
        match (settings.target(rate), wanted.target(rate)) {
            (before, after) if before == after => {}
            (Some(_), Some(target)) if self.scheduler.set_target(target) => {}
            // Without a target there is another ladder, and none of it is measured; one that cannot be is told anew.
            _ => return false,
        }
        *settings = wanted.clone();
        true
    }

    /// A frame that upstream gave, ready for the scheduler. Its memory is checked here, while upstream can be told.
    pub fn picture(&self, buffer: gst::Buffer) -> Result<Picture, Failure> {
        let info = *self.scheduler.input_info();
        let layout = Layout::of(&buffer, &self.input, info.format)?;
        let buffer = buffer.into_mapped_buffer_readable().map_err(|buffer| {
            Failure::Buffer(format!("a buffer of {} bytes from upstream cannot be read", buffer.size()))
        })?;
        layout.read(&info, &buffer).map_err(|error| Failure::of_buffer(buffer.size(), &error))?;
        Ok(Picture { buffer, layout, info, large: (self.output.clone(), *self.scheduler.output_info()) })
    }

    /// A place for a picture, of the pool. Waits until there is one.
    pub fn place(&self) -> Result<Result<Place, gst::FlowError>, Failure> {
        let Some(pool) = self.pool() else { return Ok(Err(gst::FlowError::NotNegotiated)) };
        match pool.acquire_buffer(None) {
            Ok(buffer) => Place::new(buffer, &self.output, self.scheduler.output_info()).map(Ok),
            Err(flow) => Ok(Err(flow)),
        }
    }

    fn pool(&self) -> Option<gst::BufferPool> {
        lock(&self.pool).clone()
    }

    /// Makes everybody return who waits for a frame or for memory.
    pub fn abort(&self) {
        self.scheduler.abort();
        if let Some(pool) = self.pool() {
            pool.set_flushing(true);
        }
    }

    /// After [`Session::abort`]: what was inside is gone, and the stream may begin anew.
    pub fn resume(&self) {
        if let Some(pool) = self.pool() {
            pool.set_flushing(false);
        }
        self.scheduler.resume();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.set_pool(None);
    }
}

/// Frames a second, where caps name them.
fn rate(info: &gst_video::VideoInfo) -> Option<f64> {
    let rate = info.fps();
    (rate.numer() > 0 && rate.denom() > 0).then(|| f64::from(rate.numer()) / f64::from(rate.denom()))
}

/// A frame of upstream's.
pub struct Picture {
    buffer: gst::MappedBuffer<gst::buffer::Readable>,
    layout: Layout,
    info: srup_engine::frame::VideoInfo,
    large: (gst_video::VideoInfo, srup_engine::frame::VideoInfo),
}

impl Picture {
    /// The buffer with its times, flags and metas.
    pub fn buffer(&self) -> &gst::BufferRef {
        self.buffer.buffer()
    }
}

impl Job for Picture {
    type Target = Place;

    fn input(&self) -> Result<FrameRef<'_>, Error> {
        self.layout.read(&self.info, &self.buffer)
    }

    /// In memory of its own: the pool may have no buffer left, and this one is due now.
    fn spare(&self) -> Result<Place, Error> {
        let (output, info) = &self.large;
        let place = gst::Buffer::with_size(output.size()).ok().and_then(|buffer| Place::new(buffer, output, info).ok());
        place.ok_or_else(|| {
            let (width, height) = (info.width, info.height);
            let needed_mib = output.size() >> 20;
            Error::Memory { model: "bicubic".into(), width, height, needed_mib, available_mib: 0 }
        })
    }
}

/// A buffer that a picture is written to.
pub struct Place {
    buffer: gst::MappedBuffer<gst::buffer::Writable>,
    layout: Layout,
    info: srup_engine::frame::VideoInfo,
}

impl Place {
    fn new(
        buffer: gst::Buffer,
        video: &gst_video::VideoInfo,
        info: &srup_engine::frame::VideoInfo,
    ) -> Result<Self, Failure> {
        let layout = Layout::of(&buffer, video, info.format)?;
        let mut buffer = buffer.into_mapped_buffer_writable().map_err(|buffer| {
            Failure::Buffer(format!("a buffer of {} bytes from downstream cannot be written to", buffer.size()))
        })?;
        let size = buffer.size();
        layout.write(info, &mut buffer).map_err(|error| Failure::of_buffer(size, &error))?;
        Ok(Self { buffer, layout, info: *info })
    }

    /// The buffer with the picture.
    pub fn into_buffer(self) -> gst::Buffer {
        self.buffer.into_buffer()
    }
}

impl Target for Place {
    fn frame(&mut self) -> Result<FrameMut<'_>, Error> {
        self.layout.write(&self.info, &mut self.buffer)
    }
}
