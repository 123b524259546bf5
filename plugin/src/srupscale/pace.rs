//! How far apart frames leave, where making them takes longer than they are apart.

use std::time::Duration;

/// Reported over measured time: what varies by less does not move the latency again.
const HEADROOM: f64 = 1.25;

/// The time between frames that leave. It only grows, in steps: each makes the whole pipeline wait anew.
#[derive(Debug)]
pub struct Pace {
    /// Time between frames that come.
    coming: Duration,
    last: Duration,
    /// What lanes need for a frame now. A slow frame by itself is chance, two in a row are not.
    steady: Duration,
    interval: Duration,
}

impl Pace {
    /// Of frames that come so far apart.
    pub fn new(coming: Duration) -> Self {
        Self { coming, last: Duration::ZERO, steady: Duration::ZERO, interval: coming }
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
    fn lanes_share_the_frames() {
        assert_eq!(after(&[160, 160], 2), (100, true));
        assert_eq!(after(&[60, 60], 2), (40, false));
    }
}
