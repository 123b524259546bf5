//! The scheduler itself: frames in, frames out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select, select_biased};

use super::changes::Changes;
use super::flight::{Desk, Flight, Made, Shared, Waiting};
use super::lanes::{self, Opened, Rescuer};
use super::pacing::{Left, Outcome, Pacer};
use super::probe::Blank;
use super::scene::Scenes;
use super::stats::{self, Counter, Stats};
use super::{Change, Done, Job, Options, Report, Target, lock, worker};
use crate::Error;
use crate::frame::VideoInfo;

/// See the [module](super). One thread submits and one takes; the other functions may be called from any.
pub struct Scheduler<J: Job> {
    shared: Arc<Shared<J>>,
    input: VideoInfo,
    output: VideoInfo,
    window: usize,
    latency: Mutex<Option<Duration>>,
    description: String,
    rescuer: Mutex<Rescuer>,
    entrance: Mutex<Entrance<J>>,
    places: (Sender<()>, Receiver<()>),
    order: Receiver<Waiting<J>>,
    abort: Mutex<(Option<Sender<Infallible>>, Receiver<Infallible>)>,
    lanes: Vec<JoinHandle<()>>,
}

/// What only the submitting thread uses.
struct Entrance<J: Job> {
    order: Option<Sender<Waiting<J>>>,
    /// The last frame, to compare the next one with; None where nothing is reused.
    last: Option<Arc<J>>,
    reuse: bool,
    scenes: Scenes,
}

impl<J: Job> Scheduler<J> {
    /// Loads and prepares everything, measures the rungs if there is a target, and starts the lanes.
    ///
    /// # Errors
    /// As [`Builder::build`](crate::Builder::build); threads cannot be started.
    pub fn new(input: &VideoInfo, options: &Options) -> Result<Self, Error> {
        let Opened { plan, lanes, chain, rescuer, setup, description, recovery } = lanes::open(input, options)?;
        let names: Vec<Arc<str>> = plan.ladder.iter().map(|model| Arc::from(model.name())).collect();
        let (window, latency) = (setup.window, setup.latency);
        let desk = Desk {
            waiting: VecDeque::with_capacity(window),
            pacer: Pacer::new(setup),
            chain,
            counter: Counter::new(names.iter().map(|name| &**name)),
            closed: false,
        };
        let (start, blank) = (Instant::now(), Blank::new(&plan));
        let shared = Arc::new(Shared { start, desk: Mutex::new(desk), work: Condvar::new(), names, blank });
        let lanes = worker::start(lanes, recovery.as_ref(), &shared)?;
        let (order_in, order) = bounded(window);
        let (abort, aborted) = bounded(0);
        let entrance = Entrance { order: Some(order_in), last: None, reuse: options.reuse, scenes: Scenes::default() };
        Ok(Self {
            shared,
            input: *input,
            output: plan.output,
            window,
            latency: Mutex::new(latency),
            description,
            rescuer: Mutex::new(rescuer),
            entrance: Mutex::new(entrance),
            places: bounded(window),
            order,
            abort: Mutex::new((Some(abort), aborted)),
            lanes,
        })
    }

    /// What goes in.
    pub fn input_info(&self) -> &VideoInfo {
        &self.input
    }

    /// What comes out: the same format and colour, `scale` times the size.
    pub fn output_info(&self) -> &VideoInfo {
        &self.output
    }

    /// Frames that are inside at once, at most.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Whether as many are inside now, so that [`Scheduler::submit`] would wait.
    pub fn is_full(&self) -> bool {
        self.places.0.is_full()
    }

    /// Frames that are computed side by side, at most.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Time after its coming at which a live frame is due; None without a target, and where frames need not be live.
    pub fn latency(&self) -> Option<Duration> {
        *lock(&self.latency)
    }

    /// Holds so many frames a second from now on; the latency of live frames follows. False where that cannot be a target, as
    /// [`Scheduler::new`] would tell: then nothing has changed. To be called only where there has been a target all along:
    /// without one no rung was measured.
    #[must_use]
    pub fn set_target(&self, rate: f64) -> bool {
        if !lanes::can_be_held(rate) {
            return false;
        }
        let interval = Duration::from_secs_f64(1.0 / rate);
        let mut latency = lock(&self.latency);
        *latency = latency.map(|_| interval * self.window as u32);
        let mut desk = lock(&self.shared.desk);
        desk.pacer.set_interval(Some(interval));
        desk.pacer.set_latency(*latency);
        true
    }

    /// Ladder, in which numbers each network is computed, backend, lanes and window in words.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        let now = self.shared.now();
        let desk = lock(&self.shared.desk);
        let counted = desk.counter.stats(now, desk.pacer.rung(), desk.pacer.switches());
        Stats { engine: self.description.clone(), probes: desk.pacer.probes(), ..counted }
    }

    /// Downstream had to wait so long for a frame after it was due: a cheaper rung may be needed than times tell.
    pub fn report_lateness(&self, lateness: Duration) {
        let now = self.shared.now();
        lock(&self.shared.desk).pacer.qos(now, lateness);
    }

    /// Accepts a frame and where its result goes; waits while the window is full. False if [`Scheduler::abort`] or
    /// [`Scheduler::finish`] was called: the frame is then not taken.
    ///
    /// # Errors
    /// [`Error::FrameMismatch`] if it is not what the scheduler was made for; what [`Job::input`] says.
    pub fn submit(&self, job: J, target: J::Target) -> Result<bool, Error> {
        let came = self.shared.now();
        let aborted = self.aborted();
        select_biased! {
            recv(aborted) -> _ => return Ok(false),
            send(self.places.0, ()) -> _ => {}
        }
        let entered = self.enter(job, target, came);
        if !matches!(entered, Ok(true)) {
            self.leave_place();
        }
        entered
    }

    fn enter(&self, job: J, target: J::Target, came: Duration) -> Result<bool, Error> {
        let mut entrance = lock(&self.entrance);
        let Some(order) = entrance.order.clone() else { return Ok(false) };
        let job = Arc::new(job);
        let looking = tracing::debug_span!("look").entered();
        let (changes, scene_cut) = entrance.look_at(&job, &self.input)?;
        drop(looking);
        let (done, result) = bounded(1);
        let mut desk = lock(&self.shared.desk);
        let ticket = desk.pacer.arrived(came, scene_cut);
        let flight = Arc::new(Flight::new(job, ticket, changes, (target, done)));
        desk.waiting.push_back(flight.clone());
        drop(desk);
        self.shared.work.notify_one();
        // There are as many places in the channel as in the window.
        Ok(order.send(Waiting { flight, result }).is_ok())
    }

    /// The next frame in order, once it is done or would else be late. None after [`Scheduler::abort`], or when
    /// [`Scheduler::finish`] was called and all frames are out.
    pub fn next(&self) -> Option<Done<J>> {
        let asked = self.shared.now();
        let aborted = self.aborted();
        let waiting = select_biased! {
            recv(aborted) -> _ => return None,
            recv(self.order) -> waiting => waiting.ok()?,
        };
        let made = self.await_result(&waiting, &aborted);
        let done = made.map(|made| self.take_out(waiting.flight, made, asked));
        // Last: what the next frame gets depends on how this one left.
        self.leave_place();
        done
    }

    /// The lane's result, or the frame made apart in time. None if aborted.
    fn await_result(&self, waiting: &Waiting<J>, aborted: &Receiver<Infallible>) -> Option<Made<J::Target>> {
        let made = loop {
            // It may move while the frame is inside.
            let at = lock(&self.shared.desk).pacer.rescue_at(&waiting.flight.ticket, waiting.flight.rung());
            let asleep = self.shared.now();
            let left = at.map(|at| at.saturating_sub(asleep));
            if left.is_some_and(|left| left.is_zero()) {
                // The result may have come this moment.
                break waiting.result.try_recv().unwrap_or(Made::Apart);
            }
            let alarm = left.map_or_else(never, after);
            select! {
                recv(waiting.result) -> made => {
                    let made = made.unwrap_or_else(|_| {
                        Made::Failed(Error::Fault { text: "a lane ended without a word".into() })
                    });
                    if let Made::Lane { at, .. } = made {
                        self.woke(asleep, at);
                    }
                    break made;
                }
                recv(alarm) -> _ => self.woke(asleep, at.unwrap_or(asleep)),
                recv(aborted) -> _ => {
                    lock(&self.shared.desk).withdraw(&waiting.flight);
                    return None;
                }
            }
        };
        Some(match made {
            Made::Apart => self.rescue(&waiting.flight),
            made => made,
        })
    }

    /// What was waited for came at that time.
    fn woke(&self, asleep: Duration, at: Duration) {
        if at >= asleep {
            let late = self.shared.now() - at;
            lock(&self.shared.desk).pacer.woke(late);
        }
    }

    /// Makes a frame bicubic, into a target of its own: a lane may still be writing to the first.
    fn rescue(&self, flight: &Arc<Flight<J>>) -> Made<J::Target> {
        let _span = tracing::debug_span!("rescue", number = flight.ticket.number).entered();
        lock(&self.shared.desk).withdraw(flight);
        let start = Instant::now();
        let work = || {
            let mut target = flight.job.spare()?;
            lock(&self.rescuer).run(&flight.job.input()?, &mut target.frame()?)?;
            Ok(target)
        };
        match work() {
            Ok(target) => Made::Rescued { target, took: start.elapsed() },
            Err(error) => Made::Failed(error),
        }
    }

    /// Counts a frame and puts its report together.
    fn take_out(&self, flight: Arc<Flight<J>>, made: Made<J::Target>, asked: Duration) -> Done<J> {
        let names = &self.shared.names;
        let (target, rung, service, reused, how) = match made {
            Made::Lane { target, rung, service, reused, .. } => (target, rung, service, reused, Left::Lane),
            Made::Rescued { target, took } => (target, names.len() - 1, took, 0.0, Left::Rescued(took)),
            Made::Failed(error) => return self.failed(&flight, error),
            Made::Apart => return self.failed(&flight, Error::Fault { text: "a frame was left alone".into() }),
        };
        let change = flight.change().map(|(reason, rung)| Change { reason, model: names[rung].clone() });
        let at = self.shared.now();
        let inside = at - flight.ticket.came;
        let mut desk = lock(&self.shared.desk);
        let Outcome { late, deadline_bicubic } = desk.pacer.left(at, &flight.ticket, asked, how);
        desk.counter.count(&stats::Left { at, inside, rung, reused, late, deadline_bicubic });
        drop(desk);
        let model = names[rung].clone();
        let report = Report { model, rung, service, inside, reused, late, deadline_bicubic, change };
        Done { job: flight.job.clone(), result: Ok((target, report)) }
    }

    fn failed(&self, flight: &Flight<J>, error: Error) -> Done<J> {
        lock(&self.shared.desk).pacer.failed();
        Done { job: flight.job.clone(), result: Err(error) }
    }

    /// No frame will be submitted any more: once those inside are out, [`Scheduler::next`] gives None.
    pub fn finish(&self) {
        lock(&self.entrance).order = None;
    }

    /// Makes [`Scheduler::submit`] and [`Scheduler::next`] return at once, now and until [`Scheduler::resume`].
    pub fn abort(&self) {
        lock(&self.abort).0 = None;
    }

    /// Throws away what is inside and begins anew, with all that is known of the machine. Neither
    /// [`Scheduler::submit`] nor [`Scheduler::next`] may be under way.
    pub fn resume(&self) {
        while let Ok(waiting) = self.order.try_recv() {
            lock(&self.shared.desk).withdraw(&waiting.flight);
            self.leave_place();
        }
        let (abort, aborted) = bounded(0);
        *lock(&self.abort) = (Some(abort), aborted);
        self.forget();
        lock(&self.shared.desk).pacer.restart();
    }

    /// Lets go of the last frame: nothing of the next will be taken from it. For when none may come for a while.
    pub fn forget(&self) {
        lock(&self.entrance).last = None;
    }

    fn aborted(&self) -> Receiver<Infallible> {
        lock(&self.abort).1.clone()
    }

    fn leave_place(&self) {
        let _ = self.places.1.try_recv();
    }
}

impl<J: Job> Entrance<J> {
    /// What has changed since the frame before, if that is known, and whether a new scene begins.
    fn look_at(&mut self, job: &Arc<J>, info: &VideoInfo) -> Result<(Option<Changes>, bool), Error> {
        let frame = job.input()?;
        crate::upscaler::check(info, frame.info())?;
        let scene_cut = self.scenes.is_cut(&frame);
        if !self.reuse {
            return Ok((None, scene_cut));
        }
        let changes = self.last.take().map(|last| {
            let mut changes = Changes::none(info);
            changes.compare(&last.input()?, &frame);
            Ok::<_, Error>(changes)
        });
        let changes = changes.transpose()?;
        self.last = Some(job.clone());
        Ok((changes, scene_cut))
    }
}

impl<J: Job> Drop for Scheduler<J> {
    fn drop(&mut self) {
        let mut desk = lock(&self.shared.desk);
        desk.closed = true;
        desk.waiting.clear();
        drop(desk);
        self.shared.work.notify_all();
        for lane in self.lanes.drain(..) {
            // It has told of its panic, if it had one.
            let _ = lane.join();
        }
    }
}
