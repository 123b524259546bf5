//! How late threads wake. A machine with nothing else to do wakes them in a tenth of a millisecond, one whose cores are all taken
//! when the scheduler of the system comes to it.

/// Wakings that are remembered: two seconds of them.
const RECENT: usize = 64;
/// Place in rising order of the one that is reckoned with: one in twenty may be later.
const HIGH: usize = 60;
/// Seconds that are reckoned with at the least, and at the most: waits may have other reasons.
const RANGE: (f64, f64) = (1e-3, 5e-3);

#[derive(Debug)]
pub(super) struct Waking {
    recent: [f64; RECENT],
    /// The oldest of them.
    next: usize,
    high: f64,
}

impl Waking {
    pub(super) fn new() -> Self {
        Self { recent: [0.0; RECENT], next: 0, high: RANGE.0 }
    }

    /// Seconds to reckon with.
    pub(super) fn lateness(&self) -> f64 {
        self.high
    }

    /// A thread woke so many seconds after it was to.
    pub(super) fn woke(&mut self, late: f64) {
        self.recent[self.next] = late;
        self.next = (self.next + 1) % RECENT;
        let mut sorted = self.recent;
        sorted.sort_unstable_by(f64::total_cmp);
        self.high = sorted[HIGH].clamp(RANGE.0, RANGE.1);
    }
}
