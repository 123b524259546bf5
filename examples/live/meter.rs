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

impl Meter {
    /// Counts what passes a pad. A frame's time stamp says when it was due to go in.
    pub fn watch(self: &Arc<Self>, pad: &gst::Pad) {
        let meter = Arc::downgrade(self);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let (Some(meter), Some(buffer)) = (meter.upgrade(), info.buffer()) else { return gst::PadProbeReturn::Ok };
            meter.count(Instant::now(), age(pad, buffer).unwrap_or_default());
            gst::PadProbeReturn::Ok
        });
    }

    fn count(&self, now: Instant, age: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.frames += 1;
        seen.recent.push_back((now, age));
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

/// How far the clock is past a buffer's time.
fn age(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<Duration> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    // Encoders shift time stamps and segment alike; only both together mean a time.
    let due = segment.segment().downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts())?;
    let now = pad.parent_element()?.current_running_time()?;
    Some(now.saturating_sub(due).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_latency_are_those_of_the_last_two_seconds() {
        let meter = Meter::default();
        let begun = Instant::now();
        for n in 0..100 {
            let age = Duration::from_millis(if n == 10 { 900 } else { n });
            meter.count(begun + Duration::from_millis(40 * n), age);
        }
        let reading = meter.read(begun + Duration::from_millis(3999));
        assert_eq!(reading, Reading { frames: 100, fps: 25.0, latency: Duration::from_millis(99) });
        assert_eq!(meter.read(begun + Duration::from_secs(9)).fps, 0.0);
    }
}
