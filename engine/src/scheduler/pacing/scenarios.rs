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
        ("fastramp", vec![20.0, 24.0, 40.0], |t| {
            1.0 + 3.0 * ((t - 20.0) / 4.0).clamp(0.0, 1.0) * (if t < 40.0 { 1.0 } else { 0.0 })
        }),
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
                println!(
                    "{} {kind:?} {name} {lanes}/{window} missed {:.2}% ({}) dist {:.2} within {:.3} switches {} closest {:.2} n {}",
                    if bad { "BAD" } else { "ok " },
                    100.0 * f.missed,
                    f.count,
                    f.distance,
                    f.within,
                    f.switches,
                    f.closest,
                    run.shown.len()
                );
            }
        }
    }
    let _ = Random::new(1);
}

fn random_machine(seed: u64) -> (Machine, Vec<f64>, String) {
    let mut r = Random::new(seed);
    let mut pick = |n: usize| (r.next() * n as f64) as usize;
    let kind = [Kind::Live, Kind::Shown, Kind::File, Kind::Paced][pick(4)];
    let lanes = 1 + pick(3);
    let window = lanes + 1 + pick(3);
    let mut m = machine(kind, lanes, window);
    let rate = [24.0, 25.0, 30.0, 50.0, 60.0][pick(5)];
    let turn = lanes as f64 / rate;
    let rungs = 2 + pick(4);
    let mut service = turn * (0.3 + 0.1 * pick(28) as f64);
    m.ladder = (0..rungs - 1)
        .map(|_| {
            let s = service;
            service *= 0.36 + 0.03 * pick(10) as f64;
            s
        })
        .collect();
    m.ladder.push(0.02 * turn);
    if kind == Kind::Live {
        m.latency = Some([window as f64, lanes as f64 + 1.0, lanes as f64 + 0.5, 1.5][pick(4)]);
        m.source = Source::Paced { jitter: 0.1 * pick(5) as f64, pauses: vec![] };
    }
    m.rates = vec![(0.0, rate)];
    m.jitter = 0.04 * pick(4) as f64;
    m.shared = pick(4) == 0;
    m.scene = 20 + pick(200) as u64;
    let mut changes = vec![0.0];
    let mut loads = vec![[1.0, 1.0, 2.0][pick(3)]];
    let mut t = 0.0;
    loop {
        t += 8.0 + pick(20) as f64;
        if t > 60.0 {
            break;
        }
        changes.push(t);
        loads.push([1.0, 1.3, 1.6, 2.0, 3.0, 4.0][pick(6)]);
    }
    let text = format!(
        "{kind:?} {lanes}/{window} {rate} lat {:?} ladder {:?} jit {} shared {} changes {changes:?} loads {loads:?}",
        m.latency,
        m.ladder.iter().map(|s| (s / turn * 100.0).round() / 100.0).collect::<Vec<_>>(),
        m.jitter,
        m.shared
    );
    let (c, l) = (changes.clone(), loads);
    m.load = Box::new(move |t| l[c.iter().rposition(|c| t >= *c).unwrap_or(0)]);
    m.seed = seed;
    (m, changes, text)
}

#[test]
fn fuzz() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    for seed in 1..=n {
        let (m, changes, text) = random_machine(seed);
        let run = m.run();
        let f = figures(&run, &changes);
        let bad = f.missed > 0.01 || f.distance > 1.0 || f.within < 0.95 || f.closest < 0.999;
        println!(
            "{} {seed} {text} missed {:.2}% ({}) dist {:.2} within {:.3} switches {} closest {:.2} n {}",
            if bad { "BAD" } else { "ok " },
            100.0 * f.missed,
            f.count,
            f.distance,
            f.within,
            f.switches,
            f.closest,
            run.shown.len()
        );
    }
}

#[test]
fn trace() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let (m, _, text) = random_machine(seed);
    println!("T {text}");
    let run = m.run();
    for f in run.shown.iter().filter(|f| f.late || f.deadline_bicubic) {
        println!(
            "T {} came {:.3} left {:.3} {}{} rung {} oracle {}",
            f.number,
            f.came,
            f.left,
            if f.late { "late " } else { "" },
            if f.deadline_bicubic { "dl" } else { "" },
            f.rung,
            f.oracle
        );
    }
    for s in &run.switches {
        println!("T {s:?}");
    }
}
