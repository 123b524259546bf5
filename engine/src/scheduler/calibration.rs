//! How long each rung takes, measured before the first frame.

use std::thread;
use std::time::{Duration, Instant};

use super::lanes::{Lanes, Rescuer};
use crate::backend::{Lane, Plan};
use crate::frame::Frame;
use crate::{BackendKind, Error};

/// Time for measuring all rungs.
const LIMIT: Duration = Duration::from_millis(700);

/// Times that a rung is measured, if there is time; the first is to warm caches up and does not count.
const RUNS: usize = 4;

/// From the start of one quick run to the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Multiplications a second that a network is thought to reach where measuring would take too long: on the CPU, and on a
/// device. On the CPU that is what the slowest networks reach on two cores with AVX2 (DLSN; luma is twice as fast). A rung
/// that is guessed too slow is never tried, so one is measured wherever the guess leaves time for a single run.
const GUESSED_RATE: [f64; 2] = [3e10, 1e12];

/// The service time of every rung, best first: with all lanes busy, and with one. Rungs that would take too long to measure
/// are guessed from those below them.
///
/// # Errors
/// Those of the lanes.
pub fn measure(plan: &Plan, lanes: &mut [Lanes], kind: BackendKind) -> Result<(Vec<Duration>, Vec<Duration>), Error> {
    let start = Instant::now();
    let mut services = vec![Duration::ZERO; plan.ladder.len()];
    let mut alone = services.clone();
    let mut below: Option<(f64, Duration)> = None;
    for (rung, model) in plan.ladder.iter().enumerate().rev() {
        let work = model.multiply_adds(plan.input.height, plan.input.width);
        let rate = GUESSED_RATE[usize::from(kind == BackendKind::Cuda)];
        let guess = match below {
            Some((less, took)) if less > 0.0 => took.mul_f64(work / less),
            _ => Duration::from_secs_f64(work / rate),
        };
        let left = LIMIT.saturating_sub(start.elapsed());
        (services[rung], alone[rung]) = if guess < left {
            let busy = at_once(plan, lanes, rung, left / 4)?;
            let single = if lanes.len() > 1 { at_once(plan, &mut lanes[..1], rung, left / 4)? } else { busy };
            (busy, single.min(busy))
        } else {
            (guess, guess)
        };
        below = Some((work, services[rung]));
        tracing::debug!("{}: {:?} a frame, {:?} alone", model.name(), services[rung], alone[rung]);
    }
    Ok((services, alone))
}

/// The middle one of the times of a rung on lanes that run at once.
fn at_once(plan: &Plan, lanes: &mut [Lanes], rung: usize, limit: Duration) -> Result<Duration, Error> {
    let times = thread::scope(|scope| {
        let threads: Vec<_> =
            lanes.iter_mut().map(|lanes| scope.spawn(move || one_lane(plan, &mut *lanes.whole, rung, limit))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(died()))).collect::<Result<Vec<_>, _>>()
    })?;
    let mut times: Vec<Duration> = times.concat();
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn died() -> Error {
    Error::Fault { text: "a lane died while it was measured".into() }
}

fn one_lane(plan: &Plan, lane: &mut dyn Lane, rung: usize, limit: Duration) -> Result<Vec<Duration>, Error> {
    let start = Instant::now();
    let (input, mut output) = (Frame::new(&plan.input), Frame::new(&plan.output));
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        // Frames of a stream find caches cold and threads asleep; after a long one that makes no difference.
        thread::sleep(PAUSE.saturating_sub(times.last().copied().unwrap_or(PAUSE)));
        let begin = Instant::now();
        lane.process(rung, &input.view(), &mut output.view_mut())?;
        times.push(begin.elapsed());
        if start.elapsed() > limit {
            break;
        }
    }
    if times.len() > 1 {
        times.remove(0);
    }
    Ok(times)
}

/// How long a frame takes that is made apart.
///
/// # Errors
/// None is known.
pub fn measure_rescue(plan: &Plan, rescuer: &mut Rescuer) -> Result<Duration, Error> {
    let (input, mut output) = (Frame::new(&plan.input), Frame::new(&plan.output));
    rescuer.run(&input.view(), &mut output.view_mut())?;
    let start = Instant::now();
    rescuer.run(&input.view(), &mut output.view_mut())?;
    Ok(start.elapsed())
}
