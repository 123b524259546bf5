//! Probes: a lane that has nothing to do computes a picture that nobody wants, to see what the rung above bicubic would take now.
//!
//! What a network takes tells what another one would; what bicubic takes does not: it waits for memory and for threads to wake,
//! and hardly notices a neighbour that halves the speed of a network. So the climb from it is decided by what was measured of the
//! rung itself, where there is time to measure, and no frame has to be risked for it.

/// Seconds from one probe's start to the next, after one that may fit: four in the second that a climb waits for a scene cut.
const PERIOD: f64 = 0.25;
/// The same after one that did not fit: what ends is noticed half a second later at the most, and until then not much is lost.
const PERIOD_IN_VAIN: f64 = 0.5;
/// A lane rests for so many times what a probe took: a fifth of its time, at the most, goes into them.
const REST: f64 = 4.0;
/// Seconds for which a probe is believed after the next could have begun: there may not always be room for it.
const FRESH: f64 = 2.0;
/// Seconds, counted likewise, after which one is begun although the last took more time than there is for it.
const RETRY: f64 = 1.0;
/// Probes that must fit, with none too slow between them.
const ROW: usize = 3;

/// What a probe shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shows {
    Fits,
    /// It is too close to call, and what was known remains.
    Nothing,
    TooSlow,
}

/// What probes say of a rung that may be climbed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) rung: usize,
    /// When the first probe that fitted since one was too slow was begun.
    pub(super) since: f64,
    /// The slowest of the latest, in seconds, as with all lanes busy.
    pub(super) slowest: f64,
    /// For how long all were too slow before those that fitted.
    pub(super) slow_for: f64,
    /// They are as many as it takes.
    pub(super) enough: bool,
}

#[derive(Debug)]
pub(super) struct Probes {
    rung: usize,
    /// One is under way, since then.
    running: Option<f64>,
    /// When the next may begin.
    next: f64,
    /// Nothing is known of the latest if this has passed.
    stale: f64,
    /// The latest, newest last, as with all lanes busy.
    took: [f64; ROW],
    /// How many have fitted since one was too slow, and when the first of them was begun.
    row: usize,
    since: f64,
    /// None has fitted since one was too slow.
    slow_now: bool,
    /// When the first and the last began and ended that were too slow, with none that fitted between them.
    slow: (f64, f64),
}

impl Probes {
    pub(super) fn new() -> Self {
        Self {
            rung: usize::MAX,
            running: None,
            next: 0.0,
            stale: f64::NEG_INFINITY,
            took: [0.0; ROW],
            row: 0,
            since: 0.0,
            slow_now: false,
            slow: (0.0, 0.0),
        }
    }

    /// Whether it is time for one.
    pub(super) fn due(&self, now: f64) -> bool {
        self.running.is_none() && now >= self.next
    }

    /// One of that rung begins.
    pub(super) fn begin(&mut self, now: f64, rung: usize) {
        if self.rung != rung || now > self.stale {
            self.forget();
        }
        self.rung = rung;
        self.running = Some(now);
        self.since = if self.row == 0 { now } else { self.since };
    }

    /// The rung of the one that is under way.
    pub(super) fn running(&self) -> Option<usize> {
        self.running.map(|_| self.rung)
    }

    /// It has ended. `took` is what it would have taken with all lanes busy.
    pub(super) fn end(&mut self, now: f64, took: f64, shows: Shows) {
        let Some(began) = self.running.take() else { return };
        self.took.rotate_left(1);
        self.took[ROW - 1] = took;
        match shows {
            Shows::Fits => (self.row, self.slow_now) = (self.row + 1, false),
            Shows::Nothing => {}
            Shows::TooSlow => {
                self.slow = (if self.slow_now { self.slow.0 } else { began }, now);
                (self.row, self.slow_now) = (0, true);
            }
        }
        let period = if shows == Shows::TooSlow { PERIOD_IN_VAIN } else { PERIOD };
        self.next = (began + period).max(now + REST * took);
        self.stale = self.next + FRESH;
    }

    /// What is known no longer holds: there is another target.
    pub(super) fn forget(&mut self) {
        (self.stale, self.row, self.slow) = (f64::NEG_INFINITY, 0, (0.0, 0.0));
        self.slow_now = false;
    }

    /// What that rung took in the latest probe, if that was lately.
    pub(super) fn latest(&self, now: f64, rung: usize) -> Option<f64> {
        (self.rung == rung && now <= self.next + RETRY).then_some(self.took[ROW - 1])
    }

    /// Whether probes speak against that rung: it, or a cheaper one, was too slow.
    pub(super) fn refute(&self, now: f64, rung: usize) -> bool {
        rung <= self.rung && self.slow_now && now <= self.stale
    }

    /// What speaks for a rung, if anything does.
    pub(super) fn proof(&self, now: f64) -> Option<Proof> {
        let Self { rung, row, since, slow: (from, to), .. } = *self;
        let newest = &self.took[ROW - row.min(ROW)..];
        let slowest = newest.iter().copied().fold(0.0, f64::max);
        (row > 0 && now <= self.stale).then_some(Proof {
            rung,
            since,
            slowest,
            slow_for: to - from,
            enough: row >= ROW,
        })
    }
}
