//! How far apart frames leave, where making them takes longer than they are apart.

use std::time::Duration;

/// Reported over measured time: what varies by less does not move the latency again.
const HEADROOM: f64 = 1.25;

/// The time between frames that lanes need. It only grows, in steps: each makes the whole pipeline wait anew.
#[derive(Debug, Default)]
pub struct Pace {
    last: Duration,
    interval: Duration,
}

impl Pace {
    /// The time between frames, with headroom; zero before anything was measured.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// One more frame was so long in one of `lanes`. A slow frame by itself is chance, two in a row are not.
    pub fn measured(&mut self, service: Duration, lanes: usize) {
        let steady = service.min(std::mem::replace(&mut self.last, service)) / lanes.max(1) as u32;
        if steady > self.interval {
            self.interval = steady.mul_f64(HEADROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(services: &[u64], lanes: usize) -> u128 {
        let mut pace = Pace::default();
        services.iter().for_each(|&ms| pace.measured(Duration::from_millis(ms), lanes));
        pace.interval().as_millis()
    }

    #[test]
    fn one_slow_frame_is_chance() {
        assert_eq!(after(&[400], 1), 0);
        assert_eq!(after(&[400, 80, 400, 80], 1), 100);
        assert_eq!(after(&[80, 400, 400], 1), 500);
    }

    #[test]
    fn it_grows_in_steps_and_never_falls() {
        assert_eq!(after(&[80, 80, 99, 99], 1), 100);
        assert_eq!(after(&[80, 80, 104, 104], 1), 130);
        assert_eq!(after(&[80, 80, 8, 8, 8], 1), 100);
    }

    #[test]
    fn lanes_share_the_frames() {
        assert_eq!(after(&[160, 160], 2), 100);
    }
}
