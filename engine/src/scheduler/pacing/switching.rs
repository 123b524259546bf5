//! When the rung changes: fall for need, climb with care, once a second at most.

use super::Reason;
use super::probes::Proof;

/// Seconds between two switches, and the longest that a switch without urgency waits for a scene cut.
const APART: f64 = 1.0;
/// A rung is left when its expected service is above this part of what the target leaves for it, ...
pub(super) const FALL_ABOVE: f64 = 0.95;
/// ... taken in a fall, or at the start, when it is below this part, ...
pub(super) const FALL_TO: f64 = 0.9;
/// ... and climbed to below this one.
pub(super) const CLIMB_BELOW: f64 = 0.9;
/// The slowest of a few probes speaks for a rung when it is below this part: one frame in ten will be slower.
pub(super) const PROVEN_BELOW: f64 = 0.85;
/// Frames that may be missed before the rung is given up although it should fit, and how many of them each frame gives back.
const MISSES: f64 = 2.0;
const FORGIVEN: f64 = 0.005;
/// A climb has failed if the rung is given up within this time, or within twice what it waited: falls further apart than that cost
/// less than a frame in a hundred.
const TRIAL: f64 = 16.0;
/// A rung that was given up is not taken again for this time; if it was climbed to in vain, or frames were missed that no load
/// explains, for the second, and twice as long each time up to the third.
const WAIT: f64 = 1.0;
const WAIT_AFTER_FAILURE: f64 = 8.0;
const LONGEST_WAIT: f64 = 64.0;
/// Probes end such a time where they show that what lasted is over: they were too slow for this part of it, and fit since.
/// What comes and goes does not last so long.
const LASTED: f64 = 0.25;

/// What is known as a lane takes a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) now: f64,
    /// The frame's number.
    pub(super) number: u64,
    pub(super) scene_cut: bool,
    /// The present rung takes more than the target leaves for it.
    pub(super) over: bool,
    /// With it this frame, or one that waits behind it, would be late.
    pub(super) late: bool,
    /// The best rung from the present one on that fits.
    pub(super) fits: usize,
    /// The same if the latest frames are believed at once.
    pub(super) feared: usize,
    /// A better one that may be taken.
    pub(super) better: Option<Better>,
}

/// A better rung that may be taken: it fits, and would not make frames late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Better {
    pub(super) rung: usize,
    /// Since when it has been known to fit.
    pub(super) since: f64,
    /// Enough is known to take it.
    pub(super) sure: bool,
}

#[derive(Debug)]
pub(super) struct Switching {
    rung: usize,
    last: usize,
    started: bool,
    switched: Option<f64>,
    /// The first frame of the present rung, and the rung of those before.
    first: u64,
    before: usize,
    /// The last switch was without urgency.
    calm: bool,
    /// Since when a better (true) or cheaper (false) rung has been wanted.
    wanted: Option<(bool, f64)>,
    climbed: Option<f64>,
    /// The rung that was given up last, and when.
    given_up: Option<(usize, f64)>,
    /// It was given up because frames took too long.
    loaded: bool,
    wait: f64,
    misses_left: f64,
    /// What came from outside since the last switch and may be its reason.
    told: Option<Reason>,
}

impl Switching {
    pub(super) fn new(rung: usize, rungs: usize) -> Self {
        Self {
            rung,
            last: rungs - 1,
            started: false,
            switched: None,
            first: 0,
            before: rung,
            calm: true,
            wanted: None,
            climbed: None,
            given_up: None,
            loaded: false,
            wait: WAIT,
            misses_left: MISSES,
            told: None,
        }
    }

    pub(super) fn rung(&self) -> usize {
        self.rung
    }

    /// Whether a frame has been given a rung.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// The rung of a frame that is inside: no frame stays for as long as two switches are apart.
    pub(super) fn rung_of(&self, number: u64) -> usize {
        if number < self.first { self.before } else { self.rung }
    }

    /// Whether the load had settled as the rung changed last.
    pub(super) fn calm(&self) -> bool {
        self.calm
    }

    /// Downstream complained.
    pub(super) fn complaint(&mut self) {
        self.told = Some(Reason::Qos);
    }

    /// Another target: what was in vain with the old one may not be with this one.
    pub(super) fn retargeted(&mut self) {
        self.told = Some(Reason::Target);
        self.given_up = None;
        self.climbed = None;
        self.wait = WAIT;
    }

    pub(super) fn in_time(&mut self) {
        self.misses_left = (self.misses_left + FORGIVEN).min(MISSES);
    }

    /// A frame was missed. What is missed in the second after a fall was queued up before it, and says nothing of the new rung.
    pub(super) fn missed(&mut self, now: f64) {
        if self.given_up.is_none_or(|(_, t)| self.climbed.is_some() || now - t >= APART) {
            self.misses_left -= 1.0;
        }
    }

    /// How far a climb may go: back to the rung that was given up last, once it is no longer barred, beyond it by one at a time.
    pub(super) fn ceiling(&self, now: f64) -> usize {
        let next = self.rung.saturating_sub(1);
        match self.given_up {
            // What is wanted is waited for as well.
            Some((from, t)) if now - t < self.wait - APART => next.max(from + 1),
            Some((from, _)) => next.min(from),
            None => next,
        }
    }

    /// Whether a rung may be climbed to by what probes say. Where load was why it was given up, they would have shown it.
    pub(super) fn opened(&self, now: f64, proof: &Proof) -> bool {
        match self.given_up {
            Some((from, t)) if proof.rung <= from && now - t < self.wait - APART => {
                self.loaded && proof.slow_for >= LASTED * self.wait
            }
            _ => true,
        }
    }

    /// The rung for this frame, and why if it is another one than before.
    pub(super) fn decide(&mut self, at: &Situation) -> Option<Reason> {
        if !std::mem::replace(&mut self.started, true) {
            self.told = None;
            return Some(Reason::Start);
        }
        let Some((to, urgent, reason)) = self.wish(at) else {
            (self.wanted, self.told) = (None, None);
            return None;
        };
        let better = at.better.filter(|_| to < self.rung);
        let since = match self.wanted {
            Some((same, since)) if same == better.is_some() => since,
            _ => at.now,
        };
        let since = better.map_or(since, |better| since.min(better.since));
        self.wanted = Some((better.is_some(), since));
        let rested = self.switched.is_none_or(|t| at.now - t >= APART);
        let sure = better.is_none_or(|better| better.sure);
        let ready = urgent || sure && (at.scene_cut || at.now - since >= APART);
        self.calm = !urgent;
        (rested && ready).then(|| self.switch(at, to, reason))
    }

    /// Where to, whether at once, and why.
    fn wish(&self, at: &Situation) -> Option<(usize, bool, Reason)> {
        let Self { rung, last, .. } = *self;
        if at.over && rung < last {
            // In need there is no time to see how far the load goes.
            let to = if at.late { at.feared } else { at.fits };
            return Some((to.max(rung + 1), at.late, self.told.unwrap_or(Reason::Slower)));
        }
        if self.misses_left < 0.0 && rung < last {
            // Enough was missed not to wait for proof of a load that the latest frames show.
            let cause = if at.feared > rung { Reason::Slower } else { Reason::Missed };
            return Some((at.feared.max(rung + 1), true, self.told.unwrap_or(cause)));
        }
        at.better.map(|better| (better.rung, false, self.told.unwrap_or(Reason::Faster)))
    }

    fn switch(&mut self, at: &Situation, to: usize, reason: Reason) -> Reason {
        if to < self.rung {
            self.climbed = Some(at.now);
        } else {
            self.fall(at.now, reason);
        }
        // A climb after one that failed is on its guard: the first missed frame ends it.
        self.misses_left = if to < self.rung && self.wait > WAIT { 0.0 } else { MISSES };
        (self.before, self.rung) = (self.rung, to);
        self.switched = Some(at.now);
        self.first = at.number;
        (self.wanted, self.told) = (None, None);
        reason
    }

    fn fall(&mut self, now: f64, reason: Reason) {
        let failed = self.climbed.is_some_and(|t| now - t < TRIAL.max(2.0 * self.wait));
        self.wait = match reason {
            _ if failed => (2.0 * self.wait).clamp(WAIT_AFTER_FAILURE, LONGEST_WAIT),
            Reason::Missed | Reason::Qos => WAIT_AFTER_FAILURE,
            _ => WAIT,
        };
        self.loaded = reason == Reason::Slower;
        self.given_up = Some((self.rung, now));
        self.climbed = None;
    }
}
