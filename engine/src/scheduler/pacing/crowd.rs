//! How many lanes are busy at a time. Lanes that share a device are faster the fewer they are, and a cheap rung keeps few busy;
//! without knowing that, every dearer rung would look as cheap until it is tried.

#[derive(Clone, Copy, Debug)]
struct Running {
    number: u64,
    started: f64,
    /// Busy seconds of all lanes together up to its start.
    before: f64,
}

#[derive(Debug)]
pub(super) struct Crowd {
    lanes: usize,
    running: Vec<Running>,
    /// Busy seconds of all lanes together up to `at`.
    total: f64,
    at: f64,
}

impl Crowd {
    pub(super) fn new(lanes: usize) -> Self {
        Self { lanes, running: Vec::with_capacity(lanes), total: 0.0, at: 0.0 }
    }

    /// A lane takes that frame.
    pub(super) fn enter(&mut self, now: f64, number: u64) {
        self.advance(now);
        if self.running.len() == self.lanes {
            self.running.remove(0);
        }
        self.running.push(Running { number, started: now, before: self.total });
    }

    /// A lane has finished it; gives how full the other lanes were meanwhile, from 0 to 1.
    pub(super) fn leave(&mut self, now: f64, number: u64) -> f64 {
        self.advance(now);
        let Some(place) = self.running.iter().position(|r| r.number == number) else { return 1.0 };
        let Running { started, before, .. } = self.running.remove(place);
        let others = (self.total - before) / (now - started) - 1.0;
        let full = others / (self.lanes as f64 - 1.0);
        // One lane has no others, and no time passed tells nothing.
        if full.is_finite() { full.clamp(0.0, 1.0) } else { 1.0 }
    }

    fn advance(&mut self, now: f64) {
        self.total += (now - self.at).max(0.0) * self.running.len() as f64;
        self.at = self.at.max(now);
    }
}
