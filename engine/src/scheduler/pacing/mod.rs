//! The pacing: which rung of the ladder each frame gets, so that frames leave in time and as good as they can be.
//!
//! Pure logic. It has no thread and reads no clock: every call says what time it is. Times count from any one start, never go
//! back, and are the same for all calls. Each call is O(rungs) and allocates nothing.
//!
//! Life of a frame: [`Pacer::arrived`] when it is accepted, [`Pacer::choose`] when a free lane takes it, [`Pacer::served`] when
//! the lane has finished, [`Pacer::left`] when it leaves, in order. Whoever takes frames out waits for a lane's result until
//! [`Pacer::rescue_at`], then makes the frame bicubic by itself. A lane that finds no frame asks [`Pacer::probe`] for something to
//! measure, and tells [`Pacer::probed`] what it took.
//!
//! A ladder is from best to cheapest. Each rung should take two thirds of the time of the one above or less: load is met within
//! one rung, so rungs that lie close together would only be more steps on the way.

mod crowd;
mod load;
mod probes;
#[cfg(test)]
mod scenarios;
mod schedule;
#[cfg(test)]
mod simulation;
mod switching;
#[cfg(test)]
mod tests;
mod waking;

use std::fmt;
use std::time::Duration;

use crowd::Crowd;
use load::Load;
use probes::{Probes, Shows};
use schedule::Schedule;
use switching::{Better, CLIMB_BELOW, FALL_ABOVE, FALL_TO, PROVEN_BELOW, Situation, Switching};
use waking::Waking;

/// Seconds that sums of times may be off.
const ROUNDING: f64 = 1e-6;
/// Frames after which a lane has caught up that was late for them because of a probe.
const MADE_UP: f64 = 2.0;
/// Lanes without one manage where frames take less than this part of the time that they then have.
const OTHERS: f64 = 0.5;
/// Stands for a probe where frames have their numbers.
const PROBE: u64 = u64::MAX;
/// Part of the estimate of a rescue's time that a faster one replaces; a slower one replaces all of it.
const RESCUE_SINKS: f64 = 0.1;

/// What the pacer is told at the start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Frames that are computed side by side, from 1.
    pub lanes: usize,
    /// Frames accepted and not yet taken out, at most; from 1, and `lanes` or more to be of use.
    pub window: usize,
    /// 1 / target rate. None: no pacing, every frame gets the best rung and none is late.
    pub interval: Option<Duration>,
    /// Live: a frame is due at its arrival plus this. None: frame n is due at first output + n x interval.
    pub latency: Option<Duration>,
    /// Calibrated service time of each rung with all lanes busy, best first, bicubic last; at least one. Kernels are loaded.
    pub services: Vec<Duration>,
    /// The same with one lane busy. Lanes that share a device are faster alone; the same as `services` where they are not, or
    /// empty if that is not known.
    pub alone: Vec<Duration>,
    /// Time that making a frame bicubic apart takes.
    pub rescue: Duration,
}

/// A frame that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Frames accepted before this one.
    pub number: u64,
    /// When it came.
    pub came: Duration,
    /// It is the first of a new scene.
    pub scene_cut: bool,
}

/// What a lane does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Compute it with that rung of the ladder, 0 the best. None: it cannot be in time, so a lane leaves it alone. It is made
    /// bicubic apart, by whoever takes it out, who need not wait for it.
    pub rung: Option<usize>,
    /// Why [`Pacer::rung`] is another one than for the last frame, if it is; [`Reason::Start`] for the first of all.
    pub change: Option<Reason>,
}

/// Why the rung changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The first frame: the best rung that fits by calibration.
    Start,
    /// Frames take longer than before.
    Slower,
    /// A better rung fits.
    Faster,
    /// Too many frames were not in time although the rung should fit.
    Missed,
    /// The target or the latency was changed.
    Target,
    /// Downstream reported frames that came too late.
    Qos,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Slower => "slower",
            Self::Faster => "faster",
            Self::Missed => "missed frames",
            Self::Target => "target changed",
            Self::Qos => "late downstream",
        })
    }
}

/// How a frame was made that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By a lane, with the rung that was chosen.
    Lane,
    /// Bicubic, by whoever took it out, in that time.
    Rescued(Duration),
}

/// How a frame left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// After it was due.
    pub late: bool,
    /// Bicubic for its deadline's sake, where the rung would have been a better one.
    pub deadline_bicubic: bool,
}

/// Chooses rungs. See the [module](self).
#[derive(Debug)]
pub struct Pacer {
    load: Load,
    crowd: Crowd,
    schedule: Schedule,
    switching: Switching,
    probes: Probes,
    rungs: usize,
    /// Frames that count as side by side: more lanes than the window has frames are never busy.
    lanes: usize,
    /// Seconds that a rescue is expected to take.
    rescue: f64,
    waking: Waking,
    switches: u64,
    probed: u64,
}

impl Pacer {
    /// A pacer that has seen no frame. It starts with the best rung that fits by calibration. Numbers out of range are taken
    /// as the nearest that are in range; an empty ladder as one rung that takes no time.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { lanes, window, interval, latency, services, alone, rescue } = setup;
        let (window, seconds) = (window.max(1), |d: Duration| d.as_secs_f64());
        let lanes = lanes.clamp(1, window);
        let services = if services.is_empty() { vec![0.0] } else { services.into_iter().map(seconds).collect() };
        let rungs = services.len();
        let mut alone: Vec<_> = alone.into_iter().map(seconds).take(rungs).collect();
        alone.extend_from_slice(&services[alone.len()..]);
        let rescue = rescue.as_secs_f64();
        let mut pacer = Self {
            load: Load::new(services, alone, lanes),
            crowd: Crowd::new(lanes),
            schedule: Schedule::new(interval.map(seconds), latency.map(seconds), lanes, window),
            switching: Switching::new(0, rungs),
            probes: Probes::new(),
            rungs,
            lanes,
            rescue,
            waking: Waking::new(),
            switches: 0,
            probed: 0,
        };
        pacer.retarget();
        pacer
    }

    /// A frame that came at `came` has been accepted, however long it stood at the door.
    pub fn arrived(&mut self, came: Duration, scene_cut: bool) -> Ticket {
        Ticket { number: self.schedule.arrived(came.as_secs_f64()), came, scene_cut }
    }

    /// A free lane takes the oldest waiting frame; `waiting` more are queued behind it. `held`: the rung whose output is at hand
    /// because nothing has changed since.
    pub fn choose(&mut self, now: Duration, ticket: &Ticket, waiting: usize, held: Option<usize>) -> Choice {
        let now = now.as_secs_f64();
        let situation = self.situation(now, ticket, waiting);
        let change = self.switching.decide(&situation);
        let rung = self.switching.rung();
        if change.is_some_and(|c| c != Reason::Start) {
            if let Some(proof) = self.probes.proof(now).filter(|proof| proof.rung == rung) {
                self.load.renew(now, rung, proof.slowest);
            }
            self.load.switched(rung, self.switching.calm());
            self.switches += 1;
        }
        let likely = if held == Some(rung) { 0.0 } else { self.load.likely(rung) };
        let hopeless = self.time_left(now, ticket).is_some_and(|left| likely > left);
        // The last rung is bicubic itself, and something must go on telling what the machine can do.
        let apart = hopeless && rung + 1 < self.rungs;
        if !apart {
            self.crowd.enter(now, ticket.number);
        }
        Choice { rung: (!apart).then_some(rung), change }
    }

    /// A lane has finished a frame that was chosen for `rung`, in `service` from start to end.
    ///
    /// `share` is the part of the picture that was computed, 0 to 1; the rest was taken from an earlier frame. Small parts are
    /// not taken for a fast machine. To be called for each frame that got a rung, those that were rescued meanwhile too; for
    /// one that failed with no service and no share.
    pub fn served(&mut self, now: Duration, ticket: &Ticket, rung: usize, service: Duration, share: f64) {
        let (now, rung) = (now.as_secs_f64(), rung.min(self.rungs - 1));
        let crowd = self.crowd.leave(now, ticket.number);
        self.load.sample(now, rung, service.as_secs_f64(), share, crowd);
    }

    /// A lane that has just become idle finds no frame. Gives a rung to compute any picture with, for nothing but to see what it
    /// takes; [`Pacer::probed`] must follow. None, as mostly: it is not time for that, or a frame that comes meanwhile and waits
    /// for this lane might be late.
    pub fn probe(&mut self, now: Duration) -> Option<usize> {
        let now = now.as_secs_f64();
        let last = self.rungs - 1;
        let rung = last.checked_sub(1).filter(|_| self.switching.rung() == last && self.probes.due(now))?;
        let due = self.schedule.next_due(now)?;
        (self.probe_takes(now, rung) < self.room(now, due)).then(|| {
            self.probes.begin(now, rung);
            self.crowd.enter(now, PROBE);
            rung
        })
    }

    /// The picture that [`Pacer::probe`] asked for has been computed. One that failed took for ever, and none follows.
    pub fn probed(&mut self, now: Duration, service: Duration) {
        let (now, service) = (now.as_secs_f64(), service.as_secs_f64());
        let crowd = self.crowd.leave(now, PROBE);
        self.probed += 1;
        let Some(rung) = self.probes.running() else { return };
        let took = self.load.full(rung, service, crowd);
        let budget = self.budget();
        let shows = match took {
            _ if took < PROVEN_BELOW * budget => Shows::Fits,
            _ if took < FALL_ABOVE * budget => Shows::Nothing,
            _ => Shows::TooSlow,
        };
        self.probes.end(now, took, shows);
    }

    /// When to give up waiting for a lane and make the frame bicubic. None: never. It may move while the frame is inside.
    ///
    /// `rung`: the one that a lane computes it with, if one does. The same by the last would only be the same work twice, as
    /// long as that lane does not hang.
    #[must_use]
    pub fn rescue_at(&self, ticket: &Ticket, rung: Option<usize>) -> Option<Duration> {
        let reserve = if rung.is_some_and(|rung| rung + 1 == self.rungs) { -self.reserve() } else { self.reserve() };
        self.schedule.due(ticket).map(|due| duration(due - reserve))
    }

    /// Whoever takes frames out waited for something, and went on so much later than it came.
    pub fn woke(&mut self, late: Duration) {
        self.waking.woke(late.as_secs_f64());
    }

    /// A frame leaves at `now`. `asked` is when downstream was ready for it: time that downstream took is not ours.
    pub fn left(&mut self, now: Duration, ticket: &Ticket, asked: Duration, how: Left) -> Outcome {
        if let Left::Rescued(took) = how {
            let took = took.as_secs_f64();
            self.rescue = took.max(self.rescue + RESCUE_SINKS * (took - self.rescue));
        }
        let late = self.schedule.left(now.as_secs_f64(), ticket, asked.as_secs_f64()) > ROUNDING;
        let (rescued, rung) = (matches!(how, Left::Rescued(_)), self.switching.rung_of(ticket.number));
        let outcome = Outcome { late, deadline_bicubic: rescued && rung + 1 < self.rungs };
        if late || outcome.deadline_bicubic {
            self.switching.missed(now.as_secs_f64());
        } else {
            self.switching.in_time();
        }
        outcome
    }

    /// A frame leaves without a picture: nobody can say when it was due.
    pub fn failed(&mut self) {
        self.schedule.failed();
    }

    /// Another target: 1 / rate, None for no pacing.
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.schedule.set_interval(interval.map(|d| d.as_secs_f64()));
        self.retarget();
    }

    /// Another latency, None when not live.
    pub fn set_latency(&mut self, latency: Option<Duration>) {
        self.schedule.set_latency(latency.map(|d| d.as_secs_f64()));
        self.retarget();
    }

    /// Downstream says that a frame came too late by that much. It counts like a frame that was missed.
    pub fn qos(&mut self, now: Duration, lateness: Duration) {
        if !lateness.is_zero() {
            self.switching.missed(now.as_secs_f64());
            self.switching.complaint();
        }
    }

    /// Forgets the frames inside and the schedule, as after a seek; keeps what is known of the machine, and the rung.
    pub fn restart(&mut self) {
        self.schedule.restart();
    }

    /// The rung of the frame that was chosen last, or that the first will get.
    #[must_use]
    pub fn rung(&self) -> usize {
        self.switching.rung()
    }

    /// Service time that nine of ten frames of that rung stay below.
    #[must_use]
    pub fn expected(&self, rung: usize) -> Duration {
        duration(self.load.expected(rung.min(self.rungs - 1)))
    }

    /// How often the rung has changed.
    #[must_use]
    pub fn switches(&self) -> u64 {
        self.switches
    }

    /// How many probes have ended.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.probed
    }

    /// The rung follows the target frame by frame; before the first it is chosen anew.
    fn retarget(&mut self) {
        self.probes.forget();
        if self.switching.started() {
            self.switching.retargeted();
        } else {
            self.switching = Switching::new(self.best_that_fits(0, Load::expected), self.rungs);
        }
    }

    /// Seconds before a frame is due that are kept for making it bicubic: half as much again as it takes, and for waking late.
    fn reserve(&self) -> f64 {
        1.5 * self.rescue + self.waking.lateness()
    }

    /// Seconds that a lane has for a frame which it takes now.
    fn time_left(&self, now: f64, ticket: &Ticket) -> Option<f64> {
        self.schedule.due(ticket).map(|due| due - self.reserve() - now)
    }

    /// Seconds that a frame may take again and again: its lane's turn comes round, and live it must not be later than promised.
    fn budget(&self) -> f64 {
        let turn = self.turn();
        self.schedule
            .latency
            .filter(|_| turn.is_finite())
            .map_or(turn, |latency| turn.min(latency - self.reserve()).max(0.0))
    }

    /// Seconds from one frame of a lane to its next.
    fn turn(&self) -> f64 {
        self.schedule.interval.map_or(f64::INFINITY, |interval| interval * self.lanes as f64)
    }

    /// The best rung from `first` on whose service fits, else the last.
    fn best_that_fits(&self, first: usize, service: fn(&Load, usize) -> f64) -> usize {
        let budget = FALL_TO * self.budget();
        (first..self.rungs).find(|&rung| service(&self.load, rung) < budget).unwrap_or(self.rungs - 1)
    }

    fn situation(&self, now: f64, ticket: &Ticket, waiting: usize) -> Situation {
        let rung = self.switching.rung();
        Situation {
            now,
            number: ticket.number,
            scene_cut: ticket.scene_cut,
            over: self.load.expected(rung) > FALL_ABOVE * self.budget(),
            late: self.would_be_late(self.load.expected(rung), now, ticket, waiting),
            fits: self.best_that_fits(rung, Load::expected),
            feared: self.best_that_fits(rung, Load::feared),
            better: self.better(now, ticket, waiting),
        }
    }

    /// A better rung that may be taken, fits, and would not make frames late: by the load, or by probes, which know better.
    fn better(&self, now: f64, ticket: &Ticket, waiting: usize) -> Option<Better> {
        let (rung, climb) = (self.switching.rung(), CLIMB_BELOW * self.budget());
        let in_time = |service| !self.would_be_late(service, now, ticket, waiting);
        let by_load = (self.switching.ceiling(now)..rung).find(|&r| {
            let service = self.load.expected(r);
            service < climb && in_time(service) && !self.probes.refute(now, r)
        });
        let proof = self
            .probes
            .proof(now)
            .filter(|proof| proof.rung < rung && self.switching.opened(now, proof) && in_time(proof.slowest));
        match (by_load, proof) {
            (Some(rung), proof) if proof.is_none_or(|proof| rung < proof.rung) => {
                Some(Better { rung, since: now, sure: true })
            }
            (_, Some(proof)) => {
                let sure = proof.enough && !self.load.rises();
                Some(Better { rung: proof.rung, since: proof.since, sure })
            }
            _ => None,
        }
    }

    /// Seconds that a probe is thought to take. Live, what would be late is rescued in time, so that the first may be a surprise.
    fn probe_takes(&self, now: f64, rung: usize) -> f64 {
        let guess = if self.schedule.latency.is_some() { Load::unloaded } else { Load::likely };
        self.probes.latest(now, rung).unwrap_or_else(|| guess(&self.load, rung))
    }

    /// Seconds that a lane has for a probe, when the next frame will be due then.
    fn room(&self, now: f64, due: f64) -> f64 {
        let (own, turn) = (self.load.expected(self.rungs - 1), self.turn());
        if own <= OTHERS * (turn - turn / self.lanes as f64) {
            return f64::INFINITY;
        }
        (due - self.reserve() - now - own).min(MADE_UP * (turn - own))
    }

    /// Whether this frame, or the last that waits behind it, would be late if each took so long.
    fn would_be_late(&self, service: f64, now: f64, ticket: &Ticket, waiting: usize) -> bool {
        let (Some(left), Some(interval)) = (self.time_left(now, ticket), self.schedule.interval) else { return false };
        let turns = (waiting / self.lanes) as f64;
        service > left || service * (1.0 + turns) > left + waiting as f64 * interval
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}
