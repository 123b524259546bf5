//! How far apart frames leave, where making them takes longer than they are apart.

use std::time::Duration;

/// Reported over measured time: what varies by less does not move the latency again.
const HEADROOM: f64 = 1.25;
/// Frames over which the time between them is averaged where it is learned; what is longer than the second is a pause.
const LEARNING: u32 = 8;
const PAUSE: Duration = Duration::from_secs(1);

/// The time between frames that leave. It only grows, in steps: each makes the whole pipeline wait anew.
#[derive(Debug)]
pub struct Pace {
    /// Time between frames that come.
    coming: Duration,
    /// The time stamp of the last, where that time is learned from them.
    stamp: Option<Duration>,
    last: Duration,
    /// What lanes need for a frame now. A slow frame by itself is chance, two in a row are not.
    steady: Duration,
    interval: Duration,
}

impl Pace {
    /// Of frames that come so far apart.
    pub fn new(coming: Duration) -> Self {
        Self { coming, stamp: None, last: Duration::ZERO, steady: Duration::ZERO, interval: coming }
    }

    /// A frame comes with that time stamp, in a stream that does not say how far they are apart.
    pub fn comes(&mut self, stamp: Duration) {
        let apart = self.stamp.replace(stamp).and_then(|before| stamp.checked_sub(before));
        if let Some(apart) = apart.filter(|apart| !apart.is_zero() && *apart < PAUSE) {
            self.coming = (LEARNING - 1) * self.coming / LEARNING + apart / LEARNING;
        }
    }

    /// One more frame was so long in one of `lanes`.
    pub fn measured(&mut self, service: Duration, lanes: usize) {
        self.steady = service.min(std::mem::replace(&mut self.last, service)) / lanes.max(1) as u32;
        if self.steady > self.interval {
            self.interval = self.steady.mul_f64(HEADROOM);
        }
    }

    /// The time between frames, with headroom where it was measured.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether more frames come than can leave now.
    pub fn is_behind(&self) -> bool {
        self.steady > self.coming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time between frames that come 40 ms apart, and whether they are behind.
    fn after(services: &[u64], lanes: usize) -> (u128, bool) {
        let mut pace = Pace::new(Duration::from_millis(40));
        services.iter().for_each(|&ms| pace.measured(Duration::from_millis(ms), lanes));
        (pace.interval().as_millis(), pace.is_behind())
    }

    #[test]
    fn frames_that_are_made_in_time_leave_as_they_come() {
        assert_eq!(after(&[], 1), (40, false));
        assert_eq!(after(&[39, 39, 39], 1), (40, false));
    }

    #[test]
    fn one_slow_frame_is_chance() {
        assert_eq!(after(&[400], 1), (40, false));
        assert_eq!(after(&[400, 80, 400, 80], 1), (100, true));
        assert_eq!(after(&[80, 400, 400], 1), (500, true));
    }

    #[test]
    fn it_grows_in_steps_and_never_falls() {
        assert_eq!(after(&[80, 80, 99, 99], 1), (100, true));
        assert_eq!(after(&[80, 80, 104, 104], 1), (130, true));
        assert_eq!(after(&[80, 80, 8, 8, 8], 1), (100, false));
    }

    #[test]
    fn how_far_frames_are_apart_can_be_learned() {
        let mut pace = Pace::new(Duration::from_millis(40));
        let mut stamps = (0..60).map(|n| Duration::from_millis(20 * n)).collect::<Vec<_>>();
        // A pause, a jump back, and the same again say nothing.
        stamps.extend([60, 3, 3, 3].map(Duration::from_secs));
        stamps.into_iter().for_each(|stamp| pace.comes(stamp));
        [30, 30].into_iter().for_each(|ms| pace.measured(Duration::from_millis(ms), 1));
        assert!(pace.is_behind());
        [19, 19].into_iter().for_each(|ms| pace.measured(Duration::from_millis(ms), 1));
        assert!(!pace.is_behind());
        assert_eq!(pace.interval().as_millis(), 40, "the latency is told once, and grows by what frames take");
    }

    #[test]
    fn lanes_share_the_frames() {
        assert_eq!(after(&[160, 160], 2), (100, true));
        assert_eq!(after(&[60, 60], 2), (40, false));
    }
}
