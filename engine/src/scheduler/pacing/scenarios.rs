//! Loads, machines, and what the pacer must make of them.
//!
//! Counted as missed: frames that left late, and frames made bicubic for their deadline's sake while the rung was a better one.
//! Distance is between the rung that made a frame, rescues included, and the one the oracle would have taken as it left. The oracle
//! knows the load; it takes the best rung whose mean service fits to the last millisecond, and may switch with every frame.
//! Each scenario is a minute long.

use proptest::prelude::*;

use super::Reason;
use super::simulation::{Downstream, Machine, Random, Run, Source};

const SECONDS: f64 = 60.0;

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A camera: a frame is due at its arrival plus the latency.
    Live,
    /// A file that is shown.
    Shown,
    /// A file that is written as fast as can be, but not below the target rate.
    File,
    /// Not live, yet frames come no faster than the target.
    Paced,
}

const KINDS: [Kind; 4] = [Kind::Live, Kind::Shown, Kind::File, Kind::Paced];

/// Services over what the target leaves for them, at load 1.
const LADDER: [f64; 5] = [1.6, 0.8, 0.4, 0.18, 0.02];

/// Lanes, window, and rungs of `LADDER` that there are; bicubic always.
const SIZES: [(usize, usize, &[usize]); 6] = [
    (1, 2, &[0, 1, 2, 3, 4]),
    (1, 3, &[1, 2, 3, 4]),
    (1, 5, &[1, 4]),
    (2, 3, &[0, 1, 2, 3, 4]),
    (2, 4, &[1, 3, 4]),
    (3, 5, &[0, 1, 2, 3, 4]),
];

fn machine(kind: Kind, (lanes, window, rungs): (usize, usize, &[usize])) -> Machine {
    let turn = lanes as f64 / 30.0;
    Machine {
        lanes,
        window,
        rates: vec![(0.0, 30.0)],
        latency: (kind == Kind::Live).then_some(window as f64),
        ladder: rungs.iter().map(|&r| LADDER[r] * turn).collect(),
        dearer: vec![],
        load: Box::new(|_| 1.0),
        blind: false,
        jitter: 0.08,
        shared: lanes == 3,
        source: match kind {
            Kind::Live => Source::Paced { jitter: 0.2, pauses: vec![] },
            Kind::Paced => Source::Paced { jitter: 0.0, pauses: vec![] },
            Kind::Shown | Kind::File => Source::File,
        },
        downstream: if kind == Kind::Shown { Downstream::Shows } else { Downstream::Ready },
        scene: 97,
        seconds: SECONDS,
        seed: 1,
    }
}

/// What holds whatever happens.
fn check_order(machine: &Machine, run: &Run) {
    assert!(run.shown.iter().enumerate().all(|(i, f)| f.number == i as u64), "frames leave in order, each once");
    assert!(run.accepted - run.shown.len() as u64 <= machine.window as u64, "no frame is lost");
    assert!(run.most_inside <= machine.window);
    let closest = run.switches.windows(2).map(|w| w[1].at - w[0].at).fold(f64::INFINITY, f64::min);
    assert!(closest > 1.0 - 1e-6, "one switch a second at most: {:?}", run.switches);
}

/// Late is what the definition says, computed here again, where nobody but us can make a frame wait.
fn check_lateness(kind: Kind, machine: &Machine, run: &Run) {
    let [(_, rate)] = machine.rates[..] else { return };
    for frame in &run.shown {
        let due = match (kind, machine.latency) {
            (_, Some(latency)) => frame.came + latency / rate,
            (Kind::File, None) => run.shown[0].left + frame.number as f64 / rate,
            _ => return,
        };
        // Times go through whole nanoseconds.
        assert!((frame.left - due).abs() < 1e-8 || frame.late == (frame.left > due), "{kind:?} {frame:?} due {due}");
    }
}

/// Distance is in rungs, weighed with the time that each frame took to leave after the one before: a file without a sink runs
/// through hundreds of frames in a second of bicubic.
struct Distance {
    mean: f64,
    /// Part of the settled time that was spent within one rung.
    near: f64,
    /// What the mean may be. Where the oracle's rung fills its time to more than the pacer goes up to, one rung below is all
    /// there is to have, and the seconds around a switch come on top.
    most: f64,
}

fn distance(machine: &Machine, run: &Run, changes: &[f64]) -> Distance {
    let settled = |t: f64| t >= 3.0 && changes.iter().all(|c| !(*c..*c + 3.0).contains(&t));
    let (mut total, mut sum, mut most, mut calm, mut near) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for pair in run.shown.windows(2).filter(|pair| pair[1].left >= 1.0) {
        let (frame, time) = (pair[1], pair[1].left - pair[0].left);
        let rungs = frame.rung.abs_diff(frame.oracle);
        total += time;
        sum += time * rungs as f64;
        most += time * if machine.occupancy(frame.oracle, frame.left) > 0.85 { 1.15 } else { 1.0 };
        if settled(frame.left) {
            calm += time;
            near += if rungs <= 1 { time } else { 0.0 };
        }
    }
    Distance { mean: sum / total, near: near / calm, most: most / total }
}

/// The promises: `changes` are when the load or the target jumps; three seconds after each the rung must have followed.
fn check_promises(name: &str, machine: &Machine, run: &Run, changes: &[f64]) {
    let counted = run.shown.iter().filter(|f| f.left >= 1.0).count();
    let missed = run.shown.iter().filter(|f| f.left >= 1.0 && (f.late || f.deadline_bicubic)).count();
    let Distance { mean, near, most } = distance(machine, run, changes);
    let figures = format!(
        "{name}, {} lanes, window {}, {} rungs: missed {missed} of {counted}, mean distance {mean:.2}, near {near:.3}, {} switches",
        machine.lanes,
        machine.window,
        machine.ladder.len(),
        run.switches.len()
    );
    println!("{figures}");
    assert!(missed as f64 <= 0.01 * counted as f64, "{figures}");
    assert!(near >= 0.95, "{figures}");
    assert!(mean <= most, "{figures}, at most {most}");
}

/// Runs machines of all kinds and sizes under a load.
fn everywhere(changes: &[f64], load: impl Fn(f64) -> f64 + Copy + 'static) {
    everywhere_with(changes, |m| m.load = Box::new(load));
}

fn everywhere_with(changes: &[f64], change: impl Fn(&mut Machine)) {
    for kind in KINDS {
        for size in SIZES {
            let mut machine = machine(kind, size);
            change(&mut machine);
            let run = machine.run();
            check_order(&machine, &run);
            check_lateness(kind, &machine, &run);
            check_promises(&format!("{kind:?}"), &machine, &run, changes);
        }
    }
}

fn within(from: f64, to: f64, inside: f64) -> impl Fn(f64) -> f64 + Copy {
    move |t| if (from..to).contains(&t) { inside } else { 1.0 }
}

#[test]
fn without_load_the_rung_that_fits_is_kept() {
    everywhere_with(&[], |m| m.jitter = 0.1);
    for kind in KINDS {
        let run = machine(kind, SIZES[0]).run();
        assert!(run.switches.is_empty(), "{kind:?}: {:?}", run.switches);
        assert!(run.shown.iter().skip(30).all(|f| f.rung == 1), "{kind:?}");
    }
}

#[test]
fn steps_to_twice_and_four_times_the_load_and_back() {
    for load in [2.0, 4.0] {
        everywhere(&[20.0, 40.0], within(20.0, 40.0, load));
    }
    let mut machine = machine(Kind::Live, SIZES[0]);
    machine.load = Box::new(within(20.0, 40.0, 4.0));
    let run = machine.run();
    assert_eq!(run.shown.last().map(|f| f.rung), Some(1), "it has climbed again: {:?}", run.switches);
    // A launched frame cannot be called back: the one under way takes 3.2 intervals, and so does the next, since one slow frame
    // proves nothing. With two intervals of latency at least 2 x 3.2 - 2 frames are missed, and as many more until the second
    // one's end is seen.
    let missed = run.shown.iter().filter(|f| f.late || f.deadline_bicubic).count();
    assert!((4..=9).contains(&missed), "{missed}");
}

#[test]
fn ramps_up_and_down() {
    everywhere(&[], |t| 1.0 + 3.0 * (1.0 - (t / 30.0 - 1.0).abs()));
    everywhere(&[20.0, 22.0, 24.0, 40.0, 42.0, 44.0], |t| {
        1.0 + 2.5 * ((t - 20.0) / 4.0).clamp(0.0, 1.0) * (1.0 - ((t - 40.0) / 4.0).clamp(0.0, 1.0))
    });
}

#[test]
fn bursts_are_learned() {
    everywhere(&[], |t| if t % 5.0 > 4.5 { 1.8 } else { 1.0 });
    // Too short to follow and, with a window of two, too long to bear.
    let short: Vec<f64> = (0..10).map(|n| 6.0 * f64::from(n) + 5.9).collect();
    everywhere(&short, |t| if t % 6.0 > 5.9 { 3.0 } else { 1.0 });
}

#[test]
fn a_noisy_neighbour_does_not_make_it_flap() {
    everywhere(&[20.0, 30.0], within(20.0, 30.0, 1.5));
    let mut random = Random::new(7);
    // Hits of 10 to 50 ms, once a second or two: what a window can take.
    let mut hits = vec![(0.0, 0.0)];
    while hits[hits.len() - 1].0 < SECONDS {
        let from = hits[hits.len() - 1].1 + 1.0 + random.next();
        hits.push((from, from + 0.01 + 0.04 * random.next()));
    }
    for kind in KINDS {
        for size in SIZES {
            let (mut machine, hits) = (machine(kind, size), hits.clone());
            machine.load = Box::new(move |t| if hits.iter().any(|h| (h.0..h.1).contains(&t)) { 3.0 } else { 1.0 });
            let run = machine.run();
            check_order(&machine, &run);
            check_promises(&format!("{kind:?} hit"), &machine, &run, &[]);
            assert!(run.switches.len() <= 6, "{kind:?} {size:?}: {:?}", run.switches);
        }
    }
}

/// Live with a neighbour that takes half the machine for ten seconds. Bicubic does not notice it, and takes thrice as long in the
/// stream as at calibration besides: nothing but probes can tell that the neighbour has left.
#[test]
fn after_a_neighbour_the_rung_is_back_soon() {
    let sizes: [(_, _, &[usize]); 5] =
        [(1, 2, &[0, 1, 4]), (1, 3, &[1, 4]), (1, 5, &[1, 4]), (2, 3, &[0, 1, 4]), (3, 5, &[1, 4])];
    for (size, neighbour) in sizes.into_iter().flat_map(|size| [(size, 1.5), (size, 2.0)]) {
        let mut machine = machine(Kind::Live, size);
        machine.blind = true;
        machine.dearer = size.2.iter().map(|&rung| if rung == 4 { 3.0 } else { 1.0 }).collect();
        machine.load = Box::new(within(20.0, 30.0, neighbour));
        let run = machine.run();
        check_order(&machine, &run);
        check_lateness(Kind::Live, &machine, &run);
        let figures = format!("{size:?}, load {neighbour}: {:?}", run.switches);
        let outside: Vec<_> = run.shown.iter().filter(|f| f.came >= 1.0 && !(20.0..30.0).contains(&f.came)).collect();
        let missed = outside.iter().filter(|f| f.late || f.deadline_bicubic).count();
        let best = outside.iter().filter(|f| f.rung <= f.oracle).count();
        assert_eq!(missed, 0, "{figures}");
        assert!(best as f64 >= 0.965 * outside.len() as f64, "{best} of {}, {figures}", outside.len());
        // Half a second until it is noticed, a little more where probes take long, and a second for a scene cut.
        let back = outside.iter().rev().find(|f| f.rung > f.oracle).map_or(0.0, |f| f.came);
        assert!(back <= 31.7, "the last below it came at {back}, {figures}");
    }
}

#[test]
fn probes_are_few_and_make_no_frame_late() {
    for (kind, size) in KINDS.into_iter().flat_map(|kind| SIZES.map(|size| (kind, size))) {
        let mut machine = machine(kind, size);
        // Soon nothing but bicubic fits, so that there is always something to look for.
        machine.load = Box::new(|t| if t < 1.0 { 1.0 } else { 6.0 });
        machine.blind = true;
        let run = machine.run();
        check_order(&machine, &run);
        let figures = format!("{kind:?} {size:?}: {} probes, {:?}", run.probes.len(), run.switches);
        let missed = run.shown.iter().filter(|f| f.came >= 5.0 && (f.late || f.deadline_bicubic)).count();
        assert_eq!(missed, 0, "{figures}");
        assert!(kind != Kind::Live || run.probes.len() > 20, "{figures}");
        for pair in run.probes.windows(2) {
            let ((from, took), (next, _)) = (pair[0], pair[1]);
            assert!(next - from >= 0.25 - 1e-6 && next - from >= 5.0 * took - 1e-6, "{pair:?}, {figures}");
        }
    }
}

#[test]
fn a_device_that_is_half_or_twice_as_fast_as_calibrated() {
    everywhere(&[0.0], |_| 2.0);
    everywhere(&[0.0], |_| 0.5);
}

#[test]
fn one_rung_dearer_than_calibrated() {
    for kind in KINDS {
        for size in [SIZES[0], SIZES[3], SIZES[5]] {
            let mut machine = machine(kind, size);
            machine.dearer = vec![1.0, 1.6, 1.0, 1.0, 1.0];
            let run = machine.run();
            check_order(&machine, &run);
            check_promises(&format!("{kind:?} dearer"), &machine, &run, &[]);
        }
    }
}

#[test]
fn targets_change() {
    let changes = [20.0, 40.0];
    everywhere_with(&changes, |m| m.rates = vec![(0.0, 30.0), (20.0, 60.0), (40.0, 25.0)]);
    let mut machine = machine(Kind::Shown, SIZES[0]);
    machine.rates = vec![(0.0, 30.0), (20.0, 60.0), (40.0, 25.0)];
    let run = machine.run();
    let reasons: Vec<_> = run.switches.iter().map(|s| (s.reason, s.from < s.to)).collect();
    assert_eq!(reasons, [(Reason::Target, true), (Reason::Target, false)], "{:?}", run.switches);
}

#[test]
fn a_source_that_stutters_and_pauses() {
    let pauses = vec![(10.0, 10.4), (20.0, 25.0), (40.0, 41.0)];
    for kind in [Kind::Live, Kind::Paced] {
        for size in SIZES {
            let mut machine = machine(kind, size);
            machine.source = Source::Paced { jitter: 0.5, pauses: pauses.clone() };
            let run = machine.run();
            check_order(&machine, &run);
            check_lateness(kind, &machine, &run);
            check_promises(&format!("{kind:?} stutters"), &machine, &run, &[]);
        }
    }
}

/// What upstream and the sink say that they may take is waited for by the sink, with the next frames behind it. A window that is
/// full, and a frame at the door, are then no sign of a machine that is too slow.
#[test]
fn a_sink_that_waits_is_not_our_lateness() {
    for (size, more) in SIZES.into_iter().flat_map(|size| [0.0, 0.5, 0.9, 1.6, 60.0].map(|more| (size, more))) {
        for source in [Source::Paced { jitter: 0.2, pauses: vec![] }, Source::Stream] {
            let mut machine = machine(Kind::Live, size);
            machine.source = source;
            machine.downstream = Downstream::Clock(size.1 as f64 + more);
            let run = machine.run();
            check_order(&machine, &run);
            let figures = format!("{size:?}, {more} more, {:?}: {:?}", machine.source, run.switches);
            let missed = run.shown.iter().filter(|f| f.late || f.deadline_bicubic).count();
            assert_eq!((missed, run.switches.len()), (0, 0), "{figures}");
            assert!(run.shown.iter().all(|f| f.rung == f.oracle), "{figures}");
        }
    }
}

/// The same when the machine becomes too slow, and fast again.
#[test]
fn behind_a_sink_that_waits_load_is_seen() {
    for (size, more) in SIZES.into_iter().flat_map(|size| [0.0, 0.9, 1.6].map(|more| (size, more))) {
        let mut machine = machine(Kind::Live, size);
        machine.downstream = Downstream::Clock(size.1 as f64 + more);
        machine.load = Box::new(within(20.0, 40.0, 2.0));
        let run = machine.run();
        check_order(&machine, &run);
        check_promises(&format!("shown {more} later"), &machine, &run, &[20.0, 40.0]);
    }
}

#[test]
fn switches_wait_for_a_scene_cut_when_nothing_is_urgent() {
    let mut machine = machine(Kind::Shown, SIZES[1]);
    // A cut in each second, so that one is always near.
    machine.scene = 23;
    machine.load = Box::new(|t| 1.0 + 2.0 * (1.0 - (t / 30.0 - 1.0).abs()));
    let run = machine.run();
    assert!(run.switches.len() >= 4, "{:?}", run.switches);
    assert!(run.switches.iter().all(|s| s.cut), "{:?}", run.switches);
}

/// Any machine, with a load that jumps every eight seconds or more.
fn any_machine(seed: u64) -> (Kind, Machine, Vec<f64>) {
    let mut random = Random::new(seed);
    let mut pick = |n: usize| (random.next() * n as f64) as usize;
    let kind = KINDS[pick(4)];
    let lanes = 1 + pick(3);
    let window = lanes + 1 + pick(3);
    let rate = [24.0, 25.0, 30.0, 50.0, 60.0][pick(5)];
    let mut machine = machine(kind, (lanes, window, &[]));
    let turn = lanes as f64 / rate;
    let (first, step, rungs) = (turn * (0.3 + 0.1 * pick(28) as f64), 0.36 + 0.03 * pick(10) as f64, 1 + pick(4));
    machine.ladder = (0..rungs).map(|r| first * step.powi(r as i32)).chain([0.02 * turn]).collect();
    machine.rates = vec![(0.0, rate)];
    if kind == Kind::Live {
        let lanes = lanes as f64;
        machine.latency = Some([window as f64, lanes + 1.0, lanes + 0.5, 1.5][pick(4)]);
        machine.source = Source::Paced { jitter: 0.1 * pick(5) as f64, pauses: vec![] };
    }
    machine.jitter = 0.04 * pick(4) as f64;
    machine.shared = pick(4) == 0;
    machine.scene = 20 + pick(200) as u64;
    machine.seed = seed;
    let mut changes = vec![0.0];
    while changes[changes.len() - 1] < SECONDS - 20.0 {
        changes.push(changes[changes.len() - 1] + 8.0 + pick(20) as f64);
    }
    let loads: Vec<f64> = changes.iter().map(|_| [1.0, 1.3, 1.6, 2.0, 3.0, 4.0][pick(6)]).collect();
    let at = changes.clone();
    machine.load = Box::new(move |t| loads[at.iter().rposition(|c| t >= *c).unwrap_or(0)]);
    (kind, machine, changes)
}

/// `SRUP_PACING_MACHINES=n` tries more of them.
#[test]
fn a_hundred_machines() {
    let count = std::env::var("SRUP_PACING_MACHINES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    for seed in 1..=count {
        let (kind, machine, changes) = any_machine(seed);
        let run = machine.run();
        check_order(&machine, &run);
        check_lateness(kind, &machine, &run);
        check_promises(&format!("machine {seed}, {kind:?}"), &machine, &run, &changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Loads that no rung fits, that change with every frame, targets that jump: promises may break, order may not.
    #[test]
    fn whatever_the_load(
        seed in any::<u64>(),
        kind in 0..4usize,
        lanes in 1..4usize,
        window in 1..6usize,
        services in prop::collection::vec(0.0..0.2f64, 1..6),
        loads in prop::collection::vec(prop_oneof![0.01..1.0f64, 1.0..10.0f64, 10.0..100.0f64], 1..40),
        rates in prop::collection::vec((0.0..8.0f64, 1.0..200.0f64), 1..4),
        latency in 0.0..5.0f64,
        jitter in 0.0..1.0f64,
        cut in 1..50u64,
    ) {
        let mut machine = machine(KINDS[kind], (lanes, window, &[]));
        machine.seconds = 8.0;
        machine.ladder = services;
        machine.rates = rates;
        machine.latency = machine.latency.map(|_| latency);
        machine.jitter = jitter;
        machine.scene = cut;
        machine.seed = seed;
        machine.load = Box::new(move |t| loads[(t * 5.0) as usize % loads.len()]);
        check_order(&machine, &machine.run());
    }
}
