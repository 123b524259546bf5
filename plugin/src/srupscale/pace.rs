//! How far apart frames leave, where making them takes longer than they are apart.

use std::time::Duration;

/// Reported over measured time: what varies by less does not move the latency again.
const HEADROOM: f64 = 1.25;

/// The time between frames that leave. It only grows, in steps: each makes the whole pipeline wait anew.
#[derive(Debug)]
pub struct Pace {
    last: Duration,
    interval: Duration,
    /// They are farther apart than when they came.
    behind: bool,
}

impl Pace {
    /// Of frames that come so far apart.
    pub fn new(interval: Duration) -> Self {
        Self { last: Duration::ZERO, interval, behind: false }
    }

    /// One more frame was so long in one of `lanes`. A slow frame by itself is chance, two in a row are not.
    pub fn measured(&mut self, service: Duration, lanes: usize) {
        let steady = service.min(std::mem::replace(&mut self.last, service)) / lanes.max(1) as u32;
        if steady > self.interval {
            self.interval = steady.mul_f64(HEADROOM);
            self.behind = true;
        }
    }

    /// The time between frames, with headroom where it was measured.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether more frames come than can leave.
    pub fn is_behind(&self) -> bool {
        self.behind
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
        assert_eq!(after(&[80, 80, 8, 8, 8], 1), (100, true));
    }

    #[test]
    fn lanes_share_the_frames() {
        assert_eq!(after(&[160, 160], 2), (100, true));
        assert_eq!(after(&[60, 60], 2), (40, false));
    }
}
