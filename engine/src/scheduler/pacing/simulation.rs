//! A machine made of time alone: source, window, lanes, the thread that takes frames out, downstream, and a pacer among them.
//!
//! Time goes in ticks. What happens within one tick happens in the order of the frame's way, backwards, as threads that were
//! woken would do it a moment later.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Left, Pacer, Reason, Setup, Ticket};

/// Seconds of a tick: what threads take to wake.
const TICK: f64 = 2e-4;

/// xorshift64*: the same numbers in every run.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How frames come.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// As fast as they are accepted.
    File,
    /// At the target's rate, each later by up to that part of the interval; nothing in the pauses (from, to), in seconds.
    Paced { jitter: f64, pauses: Vec<(f64, f64)> },
    /// At the target's rate, and those that must wait at the door pile up there, as from a network.
    Stream,
}

/// When downstream asks for the next frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Downstream {
    /// At once.
    Ready,
    /// At the target's rate, as a sink that shows frames.
    Shows,
    /// So long after the last frame was taken up, in intervals, as the sink of a live stream, which knows what latency there
    /// may be before us, and behind.
    Clock(f64),
}

/// What a run is made of. Times in seconds.
pub(super) struct Machine {
    pub(super) lanes: usize,
    pub(super) window: usize,
    /// Target rates, each from a time on.
    pub(super) rates: Vec<(f64, f64)>,
    /// Live: the latency, in intervals.
    pub(super) latency: Option<f64>,
    /// Calibrated service of each rung; the last is bicubic.
    pub(super) ladder: Vec<f64>,
    /// How much dearer each rung is than it was at calibration; empty for not at all.
    pub(super) dearer: Vec<f64>,
    /// How much longer than at calibration everything takes at a time.
    pub(super) load: Box<dyn Fn(f64) -> f64>,
    /// Bicubic does not notice the load: it waits for memory.
    pub(super) blind: bool,
    /// Services vary evenly by up to that part, up and down.
    pub(super) jitter: f64,
    /// Lanes share one device: a lane alone is as many times faster as there are lanes.
    pub(super) shared: bool,
    pub(super) source: Source,
    pub(super) downstream: Downstream,
    /// Every that many frames there is a scene cut.
    pub(super) scene: u64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

/// A frame that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) number: u64,
    pub(super) came: f64,
    pub(super) left: f64,
    pub(super) late: bool,
    pub(super) deadline_bicubic: bool,
    /// The rung that made it, and the one that perfect knowledge would have taken as it left.
    pub(super) rung: usize,
    pub(super) oracle: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) at: f64,
    pub(super) reason: Reason,
    pub(super) cut: bool,
    pub(super) from: usize,
    pub(super) to: usize,
}

#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) shown: Vec<Shown>,
    pub(super) switches: Vec<Switch>,
    pub(super) accepted: u64,
    pub(super) most_inside: usize,
    /// When probes began, and what they took.
    pub(super) probes: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    Computing(usize),
    Apart,
    Done(usize),
}

struct Busy {
    /// None for a probe.
    ticket: Option<Ticket>,
    rung: usize,
    started: f64,
    /// Seconds of work left, at load 1.
    work: f64,
}

struct World<'a> {
    machine: &'a Machine,
    pacer: Pacer,
    random: Random,
    now: f64,
    rate: f64,
    next_frame: f64,
    /// When the frame at the door came, and when it was taken up.
    door: Option<(f64, f64)>,
    inside: VecDeque<(Ticket, State)>,
    /// When those inside were taken up.
    taken_up: VecDeque<f64>,
    lanes: Vec<Option<Busy>>,
    /// That lane has just become idle.
    idle: Option<usize>,
    /// When downstream asks, and the end of a rescue under way with its time.
    asks: f64,
    rescue: Option<(f64, f64)>,
    run: Run,
}

fn time(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

impl Machine {
    pub(super) fn rate_at(&self, now: f64) -> f64 {
        self.rates.iter().rev().find(|(from, _)| now >= *from).map_or(self.rates[0].1, |r| r.1)
    }

    /// What the rung really takes at load 1, with all lanes busy.
    fn service(&self, rung: usize) -> f64 {
        self.ladder[rung] * self.dearer.get(rung).unwrap_or(&1.0)
    }

    /// How much longer it takes at that time.
    fn load_of(&self, rung: usize, now: f64) -> f64 {
        if self.blind && rung + 1 == self.ladder.len() { 1.0 } else { (self.load)(now) }
    }

    /// Service over what there is for it: a lane's turn, and live no more than the latency leaves.
    pub(super) fn occupancy(&self, rung: usize, now: f64) -> f64 {
        let (interval, last) = (1.0 / self.rate_at(now), self.ladder.len() - 1);
        let bicubic = self.service(last) * self.load_of(last, now);
        let turn = self.lanes as f64 * interval;
        let budget = self.latency.map_or(turn, |l| turn.min(l * interval - 1.5 * bicubic - 1e-3)).max(1e-9);
        self.service(rung) * self.load_of(rung, now) / budget
    }

    /// The best rung whose service fits, by what the machine really is now.
    pub(super) fn oracle(&self, now: f64) -> usize {
        let last = self.ladder.len() - 1;
        (0..last).find(|&rung| self.occupancy(rung, now) <= 1.0).unwrap_or(last)
    }

    pub(super) fn run(&self) -> Run {
        let rate = self.rate_at(0.0);
        let pacer = Pacer::new(Setup {
            lanes: self.lanes,
            window: self.window,
            interval: Some(time(1.0 / rate)),
            latency: self.latency.map(|l| time(l / rate)),
            services: self.ladder.iter().map(|s| time(*s)).collect(),
            alone: self.ladder.iter().map(|s| time(*s / if self.shared { self.lanes as f64 } else { 1.0 })).collect(),
            rescue: time(*self.ladder.last().unwrap_or(&0.0)),
        });
        let mut world = World {
            machine: self,
            pacer,
            random: Random::new(self.seed),
            now: 0.0,
            rate,
            next_frame: 0.0,
            door: None,
            inside: VecDeque::with_capacity(self.window),
            taken_up: VecDeque::with_capacity(self.window),
            lanes: (0..self.lanes).map(|_| None).collect(),
            idle: None,
            asks: 0.0,
            rescue: None,
            run: Run::default(),
        };
        let ticks = (self.seconds / TICK) as u64;
        for tick in 0..ticks {
            world.now = tick as f64 * TICK;
            world.tick();
        }
        world.run
    }
}

impl World<'_> {
    fn tick(&mut self) {
        self.retarget();
        self.work();
        self.take_out();
        self.accept();
        self.start();
    }

    fn retarget(&mut self) {
        let rate = self.machine.rate_at(self.now);
        if rate != self.rate {
            self.rate = rate;
            self.pacer.set_interval(Some(time(1.0 / rate)));
            if let Some(latency) = self.machine.latency {
                self.pacer.set_latency(Some(time(latency / rate)));
            }
        }
    }

    fn work(&mut self) {
        let busy = self.lanes.iter().flatten().count();
        let crowd = if self.machine.shared { busy as f64 / self.machine.lanes as f64 } else { 1.0 };
        self.idle = None;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let Some(job) = lane else { continue };
            job.work -= TICK / (self.machine.load_of(job.rung, self.now) * crowd.max(1e-9));
            if job.work > 0.0 {
                continue;
            }
            let took = self.now - job.started;
            if let Some(ticket) = job.ticket {
                self.pacer.served(time(self.now), &ticket, job.rung, time(took), 1.0);
                let waiting =
                    self.inside.iter_mut().find(|(t, s)| t.number == ticket.number && *s == State::Computing(job.rung));
                if let Some((_, state)) = waiting {
                    *state = State::Done(job.rung);
                }
            } else {
                self.pacer.probed(time(self.now), time(took));
                self.run.probes.push((job.started, took));
            }
            (*lane, self.idle) = (None, Some(number));
        }
    }

    /// The thread that takes frames out, in order.
    fn take_out(&mut self) {
        while self.now >= self.asks {
            let Some((ticket, state)) = self.inside.front().copied() else { return };
            if let Some((end, took)) = self.rescue {
                if self.now < end {
                    return;
                }
                self.rescue = None;
                self.leave(ticket, Left::Rescued(time(took)), self.machine.ladder.len() - 1);
            } else if let State::Done(rung) = state {
                self.leave(ticket, Left::Lane, rung);
            } else if state == State::Apart || self.is_overdue(&ticket, state) {
                let last = self.machine.ladder.len() - 1;
                let took = self.machine.ladder[last] * self.machine.load_of(last, self.now);
                self.rescue = Some((self.now + took, took));
                self.inside[0].1 = State::Apart;
                return;
            } else {
                return;
            }
        }
    }

    fn is_overdue(&self, ticket: &Ticket, state: State) -> bool {
        let rung = if let State::Computing(rung) = state { Some(rung) } else { None };
        self.pacer.rescue_at(ticket, rung).is_some_and(|at| time(self.now) >= at)
    }

    fn leave(&mut self, ticket: Ticket, how: Left, rung: usize) {
        let asked = self.asks.max(ticket.came.as_secs_f64());
        let outcome = self.pacer.left(time(self.now), &ticket, time(asked), how);
        self.run.shown.push(Shown {
            number: ticket.number,
            came: ticket.came.as_secs_f64(),
            left: self.now,
            late: outcome.late,
            deadline_bicubic: outcome.deadline_bicubic,
            rung,
            oracle: self.machine.oracle(self.now),
        });
        self.inside.pop_front();
        let taken_up = self.taken_up.pop_front().unwrap_or_default();
        self.asks = match self.machine.downstream {
            Downstream::Ready => self.now,
            // Half an interval after the last was asked for at the soonest: a sink that is behind hurries.
            Downstream::Shows => (self.asks.max(self.now - 0.5 / self.rate)) + 1.0 / self.rate,
            Downstream::Clock(after) => self.now.max(taken_up + after / self.rate),
        };
    }

    fn accept(&mut self) {
        loop {
            if self.door.is_none() && self.now >= self.next_frame {
                let interval = 1.0 / self.rate;
                let slot = if matches!(self.machine.source, Source::Stream) { self.next_frame } else { self.now };
                self.door = Some((self.now, (slot / interval + 1e-9).floor() * interval));
                self.next_frame = self.frame_after(slot);
            }
            let Some((came, taken_up)) = self.door.filter(|_| self.inside.len() < self.machine.window) else { return };
            self.door = None;
            let cut = self.run.accepted % self.machine.scene == self.machine.scene - 1;
            self.run.accepted += 1;
            self.inside.push_back((self.pacer.arrived(time(came), cut), State::Waiting));
            self.taken_up.push_back(taken_up);
            self.run.most_inside = self.run.most_inside.max(self.inside.len());
        }
    }

    fn frame_after(&mut self, now: f64) -> f64 {
        let interval = 1.0 / self.rate;
        let (jitter, pauses): (f64, &[_]) = match &self.machine.source {
            Source::File => return now,
            Source::Stream => (0.0, &[]),
            Source::Paced { jitter, pauses } => (*jitter, pauses),
        };
        let slot = ((now / interval + 1e-9).floor() + 1.0) * interval;
        let slot = pauses.iter().find(|(from, to)| (*from..*to).contains(&slot)).map_or(slot, |pause| pause.1);
        slot + self.random.next() * jitter.min(0.99) * interval
    }

    fn start(&mut self) {
        while let Some(lane) = self.lanes.iter().position(Option::is_none) {
            let Some(place) = self.inside.iter().position(|(_, s)| *s == State::Waiting) else { return self.probe() };
            let waiting = self.inside.iter().filter(|(_, s)| *s == State::Waiting).count() - 1;
            let (ticket, from) = (self.inside[place].0, self.pacer.rung());
            let choice = self.pacer.choose(time(self.now), &ticket, waiting, None);
            self.note(from, choice.change, ticket.scene_cut);
            let Some(rung) = choice.rung else {
                self.inside[place].1 = State::Apart;
                continue;
            };
            self.inside[place].1 = State::Computing(rung);
            self.lanes[lane] = Some(self.busy(Some(ticket), rung));
        }
    }

    /// Lanes ask for probes as they become idle and find no frame.
    fn probe(&mut self) {
        let Some(lane) = self.idle.filter(|&lane| self.lanes[lane].is_none()) else { return };
        if let Some(rung) = self.pacer.probe(time(self.now)) {
            self.lanes[lane] = Some(self.busy(None, rung));
        }
    }

    fn busy(&mut self, ticket: Option<Ticket>, rung: usize) -> Busy {
        let varied = 1.0 + self.machine.jitter * (2.0 * self.random.next() - 1.0);
        Busy { ticket, rung, started: self.now, work: self.machine.service(rung) * varied }
    }

    fn note(&mut self, from: usize, change: Option<Reason>, cut: bool) {
        let to = self.pacer.rung();
        assert_eq!(change.is_some_and(|c| c != Reason::Start), from != to, "a change and its reason go together");
        if let Some(reason) = change.filter(|_| from != to) {
            self.run.switches.push(Switch { at: self.now, reason, cut, from, to });
        }
    }
}
