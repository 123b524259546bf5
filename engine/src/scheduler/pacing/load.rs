//! How busy the machine is: what frames take, over what they took at calibration.
//!
//! `expected service = calibrated x correction of the rung x load`. The load is common to all rungs, so that what one rung takes
//! tells what the others would take. It is the 90th percentile of recent frames, not their mean: a mean is met by half of them.

/// Frames that are remembered.
const RECENT: usize = 32;
/// Place of the 90th percentile among them in rising order: three frames may be slower.
const HIGH: usize = 28;
/// Seconds after which they are forgotten: where little of the picture changes, few frames say anything of the load.
const MEMORY: f64 = 30.0;
/// Frames after a switch from which the correction of the new rung is learned.
const PROBATION: usize = 8;
/// Slowest over fastest of frames that count as steady; others teach nothing about a rung.
const STEADY: f64 = 1.5;
/// A correction is believed up to here, and half of it is forgotten in that many seconds.
const MOST_CORRECTION: f64 = 3.0;
const CORRECTION_HALF_LIFE: f64 = 120.0;
/// Frames that met a rise on their way show less than all of it.
const RISING: f64 = 1.1;
/// Calibrated times below a microsecond are not believed; nor are frames that took a thousandth, or thousands, of them.
const LEAST_SERVICE: f64 = 1e-6;
const LOAD_RANGE: (f64, f64) = (1e-3, 1e4);
/// So many seconds over what is usual are no load: threads that wake late, memory that has gone cold. On a quick rung they would
/// look like a heavy one, and dearer rungs would seem out of reach for ever.
const FIXED: f64 = 3e-4;
/// Frames of which less was computed say little of the whole.
const LEAST_SHARE: f64 = 0.5;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    rung: usize,
    /// Measured over calibrated with as many lanes busy.
    ratio: f64,
}

/// Where nothing was measured: the load is that of the calibration.
const NONE: Sample = Sample { at: f64::INFINITY, rung: 0, ratio: 1.0 };

/// What is learned about a rung that has just been taken.
#[derive(Debug)]
struct Probation {
    rung: usize,
    /// The load just before.
    before: f64,
    ratios: [f64; PROBATION],
    seen: usize,
}

#[derive(Debug)]
pub(super) struct Load {
    calibrated: Vec<f64>,
    /// The same with the other lanes idle.
    alone: Vec<f64>,
    corrections: Vec<f64>,
    recent: [Sample; RECENT],
    /// Samples so far; the oldest of `recent` is at `seen % RECENT`.
    seen: usize,
    /// Frames in a row that prove a load without waiting for the percentile. One disturbance meets every lane once.
    proof: usize,
    lanes: usize,
    corrected_at: f64,
    probation: Option<Probation>,
    high: f64,
    middle: f64,
    proven: f64,
    latest: f64,
}

impl Load {
    /// Seconds for each rung, best first, with all lanes busy and with one.
    pub(super) fn new(calibrated: Vec<f64>, alone: Vec<f64>, lanes: usize) -> Self {
        let sane = |seconds: Vec<f64>| seconds.into_iter().map(|s| s.max(LEAST_SERVICE)).collect::<Vec<_>>();
        Self {
            corrections: vec![1.0; calibrated.len()],
            calibrated: sane(calibrated),
            alone: sane(alone),
            recent: [NONE; RECENT],
            seen: 0,
            proof: (lanes + 2).min(RECENT),
            lanes: lanes.min(RECENT),
            corrected_at: 0.0,
            probation: None,
            high: 1.0,
            middle: 1.0,
            proven: 1.0,
            latest: 1.0,
        }
    }

    /// Seconds that nine of ten frames stay below.
    pub(super) fn expected(&self, rung: usize) -> f64 {
        self.unloaded(rung) * self.high.max(self.proven)
    }

    /// Seconds, as at calibration.
    pub(super) fn unloaded(&self, rung: usize) -> f64 {
        self.calibrated[rung] * self.corrections[rung]
    }

    /// Seconds that every other frame stays below.
    pub(super) fn likely(&self, rung: usize) -> f64 {
        self.unloaded(rung) * self.middle.max(self.proven)
    }

    /// Seconds, if the worst of the lanes' latest frames is believed at once, and shows a load that is still rising.
    pub(super) fn feared(&self, rung: usize) -> f64 {
        self.unloaded(rung) * self.high.max(self.latest * RISING)
    }

    /// A frame has been computed; `share` of it really, the rest was there already. `crowd`: how full the other lanes were.
    pub(super) fn sample(&mut self, now: f64, rung: usize, seconds: f64, share: f64, crowd: f64) {
        self.forget(now);
        let usual = self.usual(rung, crowd);
        let computed = if share >= LEAST_SHARE { share.min(1.0) } else { 1.0 };
        let excess = seconds - usual * computed;
        let seconds = if excess > 0.0 { seconds - excess.min(FIXED) } else { seconds };
        let part = seconds / usual;
        let ratio = match share {
            _ if share >= LEAST_SHARE => part / computed,
            // A small part that takes longer than the whole should is news all the same.
            _ if part > self.high * self.corrections[rung] => part,
            _ => return,
        };
        let ratio = ratio.clamp(LOAD_RANGE.0, LOAD_RANGE.1);
        self.recent[self.seen % RECENT] = Sample { at: now, rung, ratio };
        self.seen += 1;
        self.learn(rung, ratio);
        self.summarise();
    }

    /// Whether something has just begun that older frames, and probes, know nothing of.
    pub(super) fn rises(&self) -> bool {
        self.latest > STEADY * self.middle
    }

    /// What a picture would take with all lanes busy that took so many seconds with the other lanes as full as that.
    pub(super) fn full(&self, rung: usize, seconds: f64, crowd: f64) -> f64 {
        seconds * self.calibrated[rung] / self.usual(rung, crowd)
    }

    /// That rung is going to be taken and is known to take so many seconds: what a cheaper one made of the load is forgotten.
    pub(super) fn renew(&mut self, now: f64, rung: usize, seconds: f64) {
        let ratio = (seconds / self.calibrated[rung]).clamp(LOAD_RANGE.0, LOAD_RANGE.1);
        self.recent = [Sample { at: now, rung, ratio }; RECENT];
        self.summarise();
    }

    fn usual(&self, rung: usize, crowd: f64) -> f64 {
        self.alone[rung] + (self.calibrated[rung] - self.alone[rung]) * crowd
    }

    /// From now on frames take that rung. Nothing is learned of it if it was taken in need, before the load had settled.
    pub(super) fn switched(&mut self, rung: usize, settled: bool) {
        let before = self.newest(self.proof);
        self.probation = (settled && self.seen >= self.proof && steady(before.clone())).then(|| Probation {
            rung,
            before: mean(before),
            ratios: [0.0; PROBATION],
            seen: 0,
        });
    }

    /// The loads of the latest frames, newest first.
    fn newest(&self, count: usize) -> impl Iterator<Item = f64> + Clone + '_ {
        (1..=count).map(move |back| self.load_of(self.recent[(self.seen + RECENT - back) % RECENT]))
    }

    fn load_of(&self, sample: Sample) -> f64 {
        sample.ratio / self.corrections[sample.rung]
    }

    /// Lets go of what is too old to say anything of now.
    fn forget(&mut self, now: f64) {
        let mut forgotten = false;
        for sample in &mut self.recent {
            if now - sample.at > MEMORY {
                (*sample, forgotten) = (NONE, true);
            }
        }
        if forgotten {
            self.summarise();
        }
        self.forget_corrections(now);
    }

    fn forget_corrections(&mut self, now: f64) {
        let kept = 0.5f64.powf((now - self.corrected_at).max(0.0) / CORRECTION_HALF_LIFE);
        self.corrections.iter_mut().for_each(|c| *c = 1.0 + (*c - 1.0) * kept);
        self.corrected_at = now;
    }

    /// A rung may be dearer, against the others, than it was at calibration: then the load seems to jump as it is taken.
    ///
    /// Corrections only grow. One that is too high lets dearer rungs look cheap, which the next climb puts right; one that is
    /// too low would keep them out for good.
    fn learn(&mut self, rung: usize, ratio: f64) {
        let Some(probation) = self.probation.as_mut().filter(|p| p.rung == rung) else { return };
        probation.ratios[probation.seen] = ratio;
        probation.seen += 1;
        if probation.seen < PROBATION {
            return;
        }
        let ratios = probation.ratios.into_iter();
        if steady(ratios.clone()) {
            let correction = mean(ratios) / probation.before;
            self.corrections[rung] = self.corrections[rung].max(correction).min(MOST_CORRECTION);
        }
        self.probation = None;
    }

    fn summarise(&mut self) {
        let mut loads = self.recent.map(|sample| self.load_of(sample));
        loads.sort_unstable_by(f64::total_cmp);
        self.high = loads[HIGH];
        self.middle = loads[RECENT / 2];
        self.proven = self.newest(self.proof).fold(f64::INFINITY, f64::min);
        self.latest = self.newest(self.lanes).fold(0.0, f64::max);
    }
}

fn steady(values: impl Iterator<Item = f64>) -> bool {
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    high <= low * STEADY
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count().max(1) as f64
}
