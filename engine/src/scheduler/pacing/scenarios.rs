//! Loads, machines, and what the pacer must make of them.
//!
//! Counted as missed: frames that left late, and frames made bicubic for their deadline's sake while the rung was a better one.

use super::simulation::{Downstream, Machine, Random, Run, Source};

/// 2 intervals... services in milliseconds at 30 frames a second.
fn machine(kind: Kind, lanes: usize, window: usize) -> Machine {
    let turn = lanes as f64 / 30.0;
    Machine {
        lanes,
        window,
        rates: vec![(0.0, 30.0)],
        latency: (kind == Kind::Live).then_some(window as f64),
        ladder: vec![1.6 * turn, 0.8 * turn, 0.4 * turn, 0.18 * turn, 0.02 * turn],
        load: Box::new(|_| 1.0),
        jitter: 0.08,
        shared: false,
        source: match kind {
            Kind::Live => Source::Paced { jitter: 0.2, pauses: vec![] },
            Kind::Shown | Kind::File => Source::File,
            Kind::Paced => Source::Paced { jitter: 0.0, pauses: vec![] },
        },
        downstream: if kind == Kind::Shown { Downstream::Shows } else { Downstream::Ready },
        scene: 97,
        seconds: 60.0,
        seed: 1,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Live,
    Shown,
    File,
    Paced,
}

/// Figures of a run.
#[derive(Debug)]
struct Figures {
    missed: f64,
    count: usize,
    distance: f64,
    within: f64,
    switches: usize,
    closest: f64,
}

fn figures(run: &Run, changes: &[f64]) -> Figures {
    let counted: Vec<_> = run.shown.iter().filter(|f| f.left >= 1.0).collect();
    let missed = counted.iter().filter(|f| f.late || f.deadline_bicubic).count();
    let settled = |t: f64| t >= 3.0 && changes.iter().all(|c| !(*c..*c + 3.0).contains(&t));
    let calm: Vec<_> = counted.iter().filter(|f| settled(f.left)).collect();
    let near = calm.iter().filter(|f| f.rung.abs_diff(f.oracle) <= 1).count();
    Figures {
        missed: missed as f64 / counted.len() as f64,
        count: missed,
        distance: counted.iter().map(|f| f.rung.abs_diff(f.oracle) as f64).sum::<f64>() / counted.len() as f64,
        within: near as f64 / calm.len().max(1) as f64,
        switches: run.switches.len(),
        closest: run.switches.windows(2).map(|w| w[1].at - w[0].at).fold(f64::INFINITY, f64::min),
    }
}

#[test]
fn explore() {
    let loads: Vec<(&str, Vec<f64>, fn(f64) -> f64)> = vec![
        ("none", vec![], |_| 1.0),
        ("x2", vec![20.0, 40.0], |t| if (20.0..40.0).contains(&t) { 2.0 } else { 1.0 }),
        ("x4", vec![20.0, 40.0], |t| if (20.0..40.0).contains(&t) { 4.0 } else { 1.0 }),
        ("ramp", vec![], |t| 1.0 + 3.0 * (1.0 - (t / 30.0 - 1.0).abs())),
        ("fastramp", vec![20.0, 24.0, 40.0], |t| 1.0 + 3.0 * ((t - 20.0) / 4.0).clamp(0.0, 1.0) * (if t < 40.0 { 1.0 } else { 0.0 })),
        ("twice", vec![], |_| 2.0),
        ("bursts", vec![], |t| if t % 5.0 > 4.5 { 1.8 } else { 1.0 }),
        ("hits", vec![], |t| if (t * 1.618).fract() < 0.03 { 3.0 } else { 1.0 }),
        ("neigh", vec![20.0, 30.0], |t| if (20.0..30.0).contains(&t) { 1.5 } else { 1.0 }),
    ];
    for kind in [Kind::Live, Kind::Shown, Kind::File, Kind::Paced] {
        for (name, changes, load) in &loads {
            for (lanes, window) in [(1, 2), (1, 3), (2, 3), (2, 4), (3, 5)] {
                let mut m = machine(kind, lanes, window);
                m.load = Box::new(*load);
                let run = m.run();
                let f = figures(&run, changes);
                let bad = f.missed > 0.01 || f.distance > 1.0 || f.within < 0.95 || f.closest < 0.999;
                println!("{} {kind:?} {name} {lanes}/{window} missed {:.2}% ({}) dist {:.2} within {:.3} switches {} closest {:.2} n {}", if bad {"BAD"} else {"ok "}, 100.0 * f.missed, f.count, f.distance, f.within, f.switches, f.closest, run.shown.len());
            }
        }
    }
    let _ = Random::new(1);
}
