//! How fast frames come out, and how long each took.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// The time that a rate is taken over.
const WINDOW: Duration = Duration::from_secs(2);

/// Watches frames pass.
#[derive(Default)]
pub struct Meter(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    frames: u64,
    /// Frames inside: their times on the output's time line, and when they came.
    inside: VecDeque<(gst::ClockTime, Instant)>,
    /// When each frame of the last seconds passed, and how long it had been here.
    recent: VecDeque<(Instant, Duration)>,
}

/// What has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// All frames so far.
    pub frames: u64,
    /// Frames a second, over the last two seconds.
    pub fps: f64,
    /// The longest time that one of them took from the source to the encoder's end.
    pub latency: Duration,
}

/// More than ever wait for the upscaler: bounds what an output forgets that passes no frames on.
const MOST_INSIDE: usize = 1024;

impl Meter {
    /// A frame of that time has come.
    pub fn enter(&self, time: gst::ClockTime, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.inside.push_back((time, now));
        if seen.inside.len() > MOST_INSIDE {
            seen.inside.pop_front();
        }
    }

    /// Counts what passes a pad. Its time tells which frame it is.
    pub fn watch(self: &Arc<Self>, pad: &gst::Pad) {
        let meter = Arc::downgrade(self);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let (Some(meter), Some(buffer)) = (meter.upgrade(), info.buffer()) else { return gst::PadProbeReturn::Ok };
            meter.leave(running_time(pad, buffer).unwrap_or_default(), Instant::now());
            gst::PadProbeReturn::Ok
        });
    }

    fn leave(&self, time: gst::ClockTime, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.frames += 1;
        let mut came = now;
        // Earlier ones were left out on the way; a deinterlacer makes some that lie between two that came.
        while seen.inside.front().is_some_and(|&(entered, _)| entered <= time) {
            came = seen.inside.pop_front().map_or(came, |(_, instant)| instant);
        }
        seen.recent.push_back((now, now.duration_since(came)));
        seen.forget(now);
    }

    /// What has been seen until now.
    pub fn read(&self, now: Instant) -> Reading {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        Reading {
            frames: seen.frames,
            fps: seen.recent.len() as f64 / WINDOW.as_secs_f64(),
            latency: seen.recent.iter().map(|&(_, age)| age).max().unwrap_or_default(),
        }
    }
}

impl Seen {
    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|&(time, _)| now.duration_since(time) >= WINDOW) {
            self.recent.pop_front();
        }
    }
}

/// A buffer's time on the output's time line.
fn running_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    // Encoders shift time stamps and segment alike; only both together mean a time.
    segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_latency_are_those_of_the_last_two_seconds() {
        let meter = Meter::default();
        let begun = Instant::now();
        for n in 0..100 {
            let (time, came) = (gst::ClockTime::from_mseconds(40 * n), begun + Duration::from_millis(40 * n));
            meter.enter(time, came);
            let age = Duration::from_millis(n);
            // Every seventh is left out on the way.
            if n % 7 != 3 {
                meter.leave(time, came + age);
            }
        }
        // The last left at 4059 ms; from 2059 ms on there were 49, and 7 of them were left out.
        let reading = meter.read(begun + Duration::from_millis(4059));
        assert_eq!(reading, Reading { frames: 86, fps: 21.0, latency: Duration::from_millis(99) });
        assert_eq!(meter.read(begun + Duration::from_secs(9)).fps, 0.0);
    }
}
