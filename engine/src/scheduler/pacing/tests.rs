//! One rule at a time; [`super::scenarios`] tries them together.

use std::collections::HashSet;

use super::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// 25 frames a second, one lane, three rungs: 60 ms do not fit, 30 do, 2 are bicubic.
fn setup() -> Setup {
    Setup {
        lanes: 1,
        window: 3,
        interval: Some(ms(40)),
        latency: None,
        services: vec![ms(60), ms(30), ms(2)],
        alone: vec![],
        rescue: ms(2),
    }
}

fn live() -> Setup {
    Setup { latency: Some(ms(100)), ..setup() }
}

/// One frame, alone in the house, that comes at `now` and takes so long; gives its choice and outcome.
fn frame(pacer: &mut Pacer, now: Duration, service: Duration) -> (Choice, Outcome) {
    let ticket = pacer.arrived(now, false);
    let choice = pacer.choose(now, &ticket, 0, None);
    let end = now + service;
    let how = match choice.rung {
        Some(rung) => {
            pacer.served(end, &ticket, rung, service, 1.0);
            Left::Lane
        }
        None => Left::Rescued(ms(2)),
    };
    (choice, pacer.left(end, &ticket, now, how))
}

#[test]
fn starts_with_the_best_rung_that_fits() {
    let mut pacer = Pacer::new(setup());
    assert_eq!(pacer.rung(), 1);
    assert_eq!(frame(&mut pacer, ms(0), ms(30)).0, Choice { rung: Some(1), change: Some(Reason::Start) });
    assert_eq!(frame(&mut pacer, ms(40), ms(30)).0, Choice { rung: Some(1), change: None });
    assert_eq!(pacer.switches(), 0);
}

#[test]
fn a_frame_that_fails_is_not_inside_for_ever() {
    let mut pacer = Pacer::new(setup());
    frame(&mut pacer, ms(0), ms(30));
    let ticket = pacer.arrived(ms(40), false);
    pacer.choose(ms(40), &ticket, 0, None);
    pacer.served(ms(50), &ticket, 1, ms(0), 0.0);
    pacer.failed();
    // Nothing comes for two seconds: the next frame finds a lane that has waited, and its time begins anew.
    assert_eq!(
        frame(&mut pacer, ms(2000), ms(30)),
        (Choice { rung: Some(1), change: None }, Outcome { late: false, deadline_bicubic: false },)
    );
}

#[test]
fn a_target_that_changes_before_the_first_frame_is_no_switch() {
    let mut pacer = Pacer::new(setup());
    pacer.set_interval(Some(ms(80)));
    assert_eq!(pacer.rung(), 0);
    assert_eq!(frame(&mut pacer, ms(0), ms(60)).0, Choice { rung: Some(0), change: Some(Reason::Start) });
}

#[test]
fn nothing_fits() {
    let pacer = Pacer::new(Setup { services: vec![ms(90), ms(80), ms(70)], ..setup() });
    assert_eq!(pacer.rung(), 2);
    // Live with no time for anything but the rescue.
    assert_eq!(Pacer::new(Setup { latency: Some(ms(3)), ..setup() }).rung(), 2);
}

#[test]
fn without_a_target_every_frame_gets_the_best_rung() {
    let mut pacer = Pacer::new(Setup { interval: None, ..live() });
    for n in 0..100 {
        let (choice, outcome) = frame(&mut pacer, ms(n * 40), ms(500));
        assert_eq!(choice.rung, Some(0));
        assert_eq!(outcome, Outcome { late: false, deadline_bicubic: false });
    }
    let ticket = pacer.arrived(ms(9000), false);
    assert_eq!(pacer.rescue_at(&ticket, None), None);
}

#[test]
fn live_frames_are_due_at_their_arrival_plus_the_latency() {
    let mut pacer = Pacer::new(live());
    let ticket = pacer.arrived(ms(7), false);
    // 1.5 x 2 ms to make it, and 1 ms to wake.
    assert_eq!(pacer.rescue_at(&ticket, None), Some(ms(107 - 4)));
    pacer.choose(ms(7), &ticket, 0, None);
    assert!(!pacer.left(ms(107), &ticket, ms(7), Left::Lane).late);
    let ticket = pacer.arrived(ms(47), false);
    pacer.choose(ms(47), &ticket, 0, None);
    assert!(pacer.left(ms(148), &ticket, ms(108), Left::Lane).late);
}

#[test]
fn live_frames_that_downstream_takes_later_are_due_later() {
    let mut pacer = Pacer::new(live());
    let tickets: Vec<_> = (0..5).map(|n| pacer.arrived(ms(n * 40), false)).collect();
    assert!(!pacer.left(ms(30), &tickets[0], ms(0), Left::Lane).late);
    // Promised for 140; the sink held the one before until 200, and needs a millisecond.
    assert!(!pacer.left(ms(201), &tickets[1], ms(200), Left::Lane).late);
    assert_eq!(pacer.rescue_at(&tickets[2], None), Some(ms(180 + 61 - 4)));
    assert!(pacer.left(ms(250), &tickets[2], ms(240), Left::Lane).late, "asked for at 240, and not ready");
    // At once after it, and early: nobody holds anything any more.
    assert!(!pacer.left(ms(251), &tickets[3], ms(250), Left::Lane).late);
    assert_eq!(pacer.rescue_at(&tickets[4], None), Some(ms(260 + 31 - 4)));
    assert!(!pacer.left(ms(252), &tickets[4], ms(251), Left::Lane).late);
    let next = pacer.arrived(ms(300), false);
    assert_eq!(pacer.rescue_at(&next, None), Some(ms(400 - 4)));
}

#[test]
fn what_a_lane_makes_by_the_last_rung_is_not_made_twice() {
    let mut pacer = Pacer::new(live());
    let ticket = pacer.arrived(ms(0), false);
    assert_eq!(pacer.rescue_at(&ticket, Some(1)), Some(ms(100 - 4)));
    assert_eq!(pacer.rescue_at(&ticket, Some(2)), Some(ms(100 + 4)), "but for a lane that hangs");
}

#[test]
fn rescues_are_begun_as_early_as_they_take() {
    let mut pacer = Pacer::new(live());
    let ticket = pacer.arrived(ms(0), false);
    let outcome = pacer.left(ms(100), &ticket, ms(0), Left::Rescued(ms(20)));
    assert_eq!(outcome, Outcome { late: false, deadline_bicubic: true });
    let next = pacer.arrived(ms(100), false);
    assert_eq!(pacer.rescue_at(&next, None), Some(ms(200 - 31)));
}

#[test]
fn rescues_are_begun_earlier_where_threads_wake_late() {
    let mut pacer = Pacer::new(live());
    let ticket = pacer.arrived(ms(0), false);
    // Three in sixty-four may be later than what is reckoned with.
    for (late, reserve) in [(3, 4), (3, 4), (3, 4), (3, 6), (2, 6), (9, 6), (9, 6), (9, 6), (9, 8)] {
        pacer.woke(ms(late));
        assert_eq!(pacer.rescue_at(&ticket, None), Some(ms(100 - reserve)), "{late}");
    }
    for _ in 0..64 {
        pacer.woke(Duration::ZERO);
    }
    assert_eq!(pacer.rescue_at(&ticket, None), Some(ms(96)), "it is forgotten");
}

#[test]
fn otherwise_frame_n_is_due_n_intervals_after_the_first_output() {
    let mut pacer = Pacer::new(setup());
    let tickets: Vec<_> = (0..3).map(|_| pacer.arrived(ms(0), false)).collect();
    assert!(tickets.iter().all(|t| pacer.rescue_at(t, None).is_none()), "no deadline before the first output");
    assert!(!pacer.left(ms(500), &tickets[0], ms(0), Left::Lane).late);
    assert_eq!(pacer.rescue_at(&tickets[2], None), Some(ms(580 - 4)));
    assert!(!pacer.left(ms(540), &tickets[1], ms(500), Left::Lane).late);
    assert!(pacer.left(ms(581), &tickets[2], ms(540), Left::Lane).late);
}

#[test]
fn a_source_that_starves_us_moves_the_schedule_on_and_we_do_not() {
    let mut pacer = Pacer::new(setup());
    frame(&mut pacer, ms(0), ms(30));
    // Nobody is inside, and it comes after it was due: it gets the three intervals of a full window.
    let starved = pacer.arrived(ms(1000), false);
    assert_eq!(pacer.rescue_at(&starved, None), Some(ms(1120 - 4)));
    // These find the lane busy.
    let next = pacer.arrived(ms(1100), false);
    assert_eq!(pacer.rescue_at(&next, None), Some(ms(1160 - 4)));
    pacer.left(ms(1400), &starved, ms(1000), Left::Lane);
    pacer.left(ms(1500), &next, ms(1400), Left::Lane);
    // This one stood at the door while we were full.
    let waited = pacer.arrived(ms(1450), false);
    assert_eq!(pacer.rescue_at(&waited, None), Some(ms(1200 - 4)));
    assert!(pacer.left(ms(1510), &waited, ms(1500), Left::Lane).late);
}

#[test]
fn time_that_downstream_takes_is_not_ours() {
    let mut pacer = Pacer::new(setup());
    let tickets: Vec<_> = (0..3).map(|_| pacer.arrived(ms(0), false)).collect();
    pacer.left(ms(30), &tickets[0], ms(0), Left::Lane);
    // Paused for five seconds.
    assert!(!pacer.left(ms(5030), &tickets[1], ms(5030), Left::Lane).late);
    assert!(!pacer.left(ms(5070), &tickets[2], ms(5031), Left::Lane).late);
    let slow = pacer.arrived(ms(5000), false);
    assert!(pacer.left(ms(5200), &slow, ms(5071), Left::Lane).late, "asked for in time, and not ready");
}

#[test]
fn a_new_target_counts_from_the_newest_output() {
    let mut pacer = Pacer::new(setup());
    let tickets: Vec<_> = (0..3).map(|_| pacer.arrived(ms(0), false)).collect();
    pacer.left(ms(30), &tickets[0], ms(0), Left::Lane);
    pacer.left(ms(60), &tickets[1], ms(30), Left::Lane);
    pacer.set_interval(Some(ms(20)));
    assert_eq!(pacer.rescue_at(&tickets[2], None), Some(ms(70 + 20 - 4)));
    pacer.restart();
    assert_eq!(pacer.rescue_at(&tickets[2], None), None, "after a seek the next output is the first");
}

#[test]
fn a_frame_whose_picture_is_at_hand_is_in_time() {
    let mut pacer = Pacer::new(live());
    frame(&mut pacer, ms(0), ms(30));
    let ticket = pacer.arrived(ms(40), false);
    // 16 ms are left, and 30 are needed.
    assert_eq!(pacer.choose(ms(120), &ticket, 0, Some(0)).rung, None, "another rung's is no help");
    assert_eq!(pacer.choose(ms(120), &ticket, 0, Some(1)).rung, Some(1));
}

#[test]
fn a_frame_that_cannot_be_in_time_is_left_to_the_rescue() {
    let mut pacer = Pacer::new(live());
    frame(&mut pacer, ms(0), ms(30));
    let ticket = pacer.arrived(ms(100), false);
    assert_eq!(pacer.choose(ms(170), &ticket, 0, None).rung, None);
    assert_eq!(pacer.choose(ms(160), &ticket, 0, None).rung, Some(1));
    // Where the rung is bicubic itself, a lane does it, and nothing counts as missed but lateness.
    let mut pacer = Pacer::new(Setup { services: vec![ms(90), ms(2)], ..live() });
    let ticket = pacer.arrived(ms(0), false);
    assert_eq!(pacer.choose(ms(99), &ticket, 0, None).rung, Some(1));
    let outcome = pacer.left(ms(99), &ticket, ms(0), Left::Rescued(ms(2)));
    assert_eq!(outcome, Outcome { late: false, deadline_bicubic: false });
}

#[test]
fn one_slow_frame_in_ten_changes_nothing_and_three_in_a_row_do() {
    let mut pacer = Pacer::new(live());
    for n in 0..400 {
        let service = if n % 11 == 0 { ms(70) } else { ms(30) };
        assert_eq!(frame(&mut pacer, ms(n * 200), service).0.rung, Some(1), "{n}");
    }
    assert_eq!(pacer.expected(1), ms(30));
    let start = 400 * 200;
    let rungs: Vec<_> = (0..4).map(|n| frame(&mut pacer, ms(start + n * 200), ms(70)).0).collect();
    assert!(rungs[..3].iter().all(|c| c.rung == Some(1)), "{rungs:?}");
    assert!(pacer.expected(1) >= ms(69));
    // Each frame alone is in time at 70 ms, so the switch is not urgent: it waits for a cut, a second at the longest.
    let later = (4..20).map(|n| frame(&mut pacer, ms(start + n * 200), ms(70)).0).find(|c| c.change.is_some());
    assert_eq!(later, Some(Choice { rung: Some(2), change: Some(Reason::Slower) }));
}

#[test]
fn what_a_part_of_a_picture_took_is_forgotten() {
    let mut pacer = Pacer::new(live());
    let mut part = |at: u64, service| {
        let ticket = pacer.arrived(ms(at), false);
        pacer.choose(ms(at), &ticket, 0, None);
        pacer.served(ms(at + 40), &ticket, 1, service, 0.1);
        pacer.left(ms(at + 40), &ticket, ms(at), Left::Lane);
        pacer.expected(0)
    };
    for n in 0..4 {
        part(n * 200, ms(45));
    }
    assert!(part(25_000, ms(3)) > ms(60), "it is news");
    assert_eq!(part(31_000, ms(3)), ms(60), "but not for ever: frames as quick as before would never outweigh it");
}

#[test]
fn a_part_of_a_picture_does_not_make_the_machine_look_fast() {
    let mut pacer = Pacer::new(live());
    let part = |pacer: &mut Pacer, n: u64, service, share| {
        let ticket = pacer.arrived(ms(n * 200), false);
        pacer.choose(ms(n * 200), &ticket, 0, None);
        pacer.served(ms(n * 200 + 40), &ticket, 1, service, share);
        pacer.left(ms(n * 200 + 40), &ticket, ms(n * 200), Left::Lane);
    };
    for n in 0..50 {
        part(&mut pacer, n, ms(3), 0.1);
    }
    assert_eq!(pacer.expected(0), ms(60));
    for n in 50..100 {
        part(&mut pacer, n, ms(15), 0.5);
        part(&mut pacer, n, Duration::ZERO, f64::NAN);
    }
    assert_eq!(pacer.expected(0), ms(60));
    for n in 100..110 {
        part(&mut pacer, n, ms(45), 0.1);
    }
    let news = pacer.expected(0);
    assert!(news > ms(89) && news <= ms(90), "a part that takes longer than the whole should is news");
    // A frame that failed says nothing.
    for n in 110..200 {
        part(&mut pacer, n, Duration::ZERO, 0.0);
    }
    assert_eq!(pacer.expected(0), news);
}

#[test]
fn a_lane_alone_does_not_make_the_device_look_fast() {
    let services = vec![ms(200), ms(60), ms(6)];
    let alone = services.iter().map(|s| *s / 3).collect();
    let mut pacer = Pacer::new(Setup { lanes: 3, window: 5, services, alone, ..setup() });
    assert_eq!(pacer.rung(), 1);
    for n in 0..100 {
        frame(&mut pacer, ms(n * 40), ms(20));
    }
    assert_eq!((pacer.rung(), pacer.expected(0)), (1, ms(200)));
}

/// On bicubic with a rung that takes 30 ms above it; `frame`s come every 40 ms.
fn on_bicubic() -> Pacer {
    let mut pacer = Pacer::new(Setup { services: vec![ms(30), ms(2)], ..live() });
    frame(&mut pacer, ms(0), ms(30));
    // It takes four times as long.
    for n in 1..30 {
        if frame(&mut pacer, ms(n * 200), ms(120)).0.change == Some(Reason::Slower) {
            return pacer;
        }
    }
    panic!("it should fall");
}

/// So many frames from `start` on, a probe after each if one is wanted, that takes so long; the probes, and the first change.
fn probed(pacer: &mut Pacer, start: u64, frames: u64, takes: Duration) -> (Vec<u64>, Option<(u64, Choice)>) {
    let (mut probes, mut change) = (Vec::new(), None);
    for at in (0..frames).map(|n| start + 40 * n) {
        let choice = frame(pacer, ms(at), ms(2)).0;
        change = change.or(choice.change.map(|_| (at - start, choice)));
        if let Some(rung) = pacer.probe(ms(at + 2)) {
            assert_eq!((rung, pacer.probe(ms(at + 3))), (0, None), "one at a time");
            pacer.probed(ms(at + 2) + takes, takes);
            probes.push(at - start);
        }
    }
    (probes, change)
}

#[test]
fn probes_that_fit_lead_up_after_a_second() {
    let mut pacer = on_bicubic();
    // The first begins behind a frame, 2 ms after it came.
    let (probes, change) = probed(&mut pacer, 10_000, 40, ms(30));
    assert_eq!(change, Some((1040, Choice { rung: Some(0), change: Some(Reason::Faster) })));
    assert_eq!(probes[..4], [0, 280, 560, 840]);
    assert!(pacer.expected(0) == ms(30), "what was measured counts, not the load that bicubic shows");
}

#[test]
fn probes_that_do_not_fit_forbid_a_climb_and_are_rarer() {
    let mut pacer = on_bicubic();
    let (probes, change) = probed(&mut pacer, 10_000, 250, ms(39));
    assert_eq!(change, None, "by the load it should fit");
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] == 520), "{probes:?}");
    // A scene cut is not waited for, nor is a climb begun, by one good probe.
    let (_, change) = probed(&mut pacer, 20_000, 40, ms(30));
    assert!(change.is_some_and(|(at, _)| (1000..=1520).contains(&at)), "{change:?}");
}

#[test]
fn without_room_there_is_no_probe() {
    let mut pacer = Pacer::new(Setup { window: 1, latency: Some(ms(40)), services: vec![ms(36), ms(2)], ..live() });
    frame(&mut pacer, ms(0), ms(2));
    assert_eq!((pacer.rung(), pacer.probe(ms(2))), (1, None), "36 ms, 2 for the frame, 4 for its rescue: more than 40");
    for setup in [Setup { interval: None, ..live() }, live(), Setup { services: vec![ms(2)], ..live() }] {
        let mut pacer = Pacer::new(setup);
        frame(&mut pacer, ms(0), ms(2));
        assert_eq!(pacer.probe(ms(2)), None, "no target, a network in use, nothing above");
    }
    // One that failed is not followed by others.
    let mut pacer = on_bicubic();
    assert_eq!(pacer.probe(ms(10_000)), Some(0));
    pacer.probed(ms(10_001), Duration::MAX);
    assert_eq!((pacer.probe(ms(1_000_000_000)), pacer.probes()), (None, 1));
}

#[test]
fn late_frames_downstream_lower_the_rung() {
    let mut pacer = Pacer::new(live());
    frame(&mut pacer, ms(0), ms(30));
    for n in 1..50 {
        pacer.qos(ms(n * 40), Duration::ZERO);
        assert_eq!(frame(&mut pacer, ms(n * 40), ms(30)).0.change, None);
    }
    for _ in 0..3 {
        pacer.qos(ms(2000), ms(5));
    }
    let choice = frame(&mut pacer, ms(2000), ms(30)).0;
    assert_eq!(choice, Choice { rung: Some(2), change: Some(Reason::Qos) });
    // It is not tried again at once.
    for n in 1..150 {
        assert_eq!(frame(&mut pacer, ms(2000 + n * 40), ms(2)).0.change, None, "{n}");
    }
    let back = (150..250).find(|n| frame(&mut pacer, ms(2000 + n * 40), ms(2)).0.change == Some(Reason::Faster));
    assert_eq!(back, Some(200), "after eight seconds");
}

#[test]
fn a_new_target_lifts_what_barred_a_rung() {
    let mut pacer = Pacer::new(live());
    frame(&mut pacer, ms(0), ms(30));
    (0..3).for_each(|_| pacer.qos(ms(10), ms(5)));
    assert_eq!(frame(&mut pacer, ms(40), ms(2)).0.change, Some(Reason::Qos));
    pacer.set_interval(Some(ms(100)));
    let back = (2..100).map(|n| frame(&mut pacer, ms(n * 40), ms(2)).0).position(|c| c.change == Some(Reason::Target));
    assert_eq!(back, Some(25), "a second after it was wanted");
}

#[test]
fn a_scene_cut_is_taken_for_a_switch_that_is_not_urgent() {
    let mut pacer = Pacer::new(live());
    frame(&mut pacer, ms(0), ms(30));
    pacer.set_interval(Some(ms(70)));
    assert_eq!(frame(&mut pacer, ms(70), ms(30)).0.change, None);
    let cut = pacer.arrived(ms(140), true);
    assert_eq!(pacer.choose(ms(140), &cut, 0, None), Choice { rung: Some(0), change: Some(Reason::Target) });
    assert_eq!(pacer.switches(), 1);
}

#[test]
fn numbers_at_the_edge_of_their_range() {
    let edge = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];
    for (a, b) in edge.iter().flat_map(|a| edge.map(|b| (*a, b))) {
        for services in [vec![], vec![a], vec![a, b], vec![b, a, b]] {
            let mut pacer = Pacer::new(Setup {
                lanes: 0,
                window: 0,
                interval: Some(a),
                latency: (a == b).then_some(b),
                alone: vec![b; 7],
                rescue: b,
                services,
            });
            for now in [ms(0), ms(0), a, b, Duration::MAX] {
                let ticket = pacer.arrived(now, true);
                let rung = pacer.choose(now, &ticket, usize::MAX, None).rung.unwrap_or(99);
                pacer.served(now, &ticket, rung, a, f64::INFINITY);
                pacer.left(now, &ticket, b, Left::Rescued(b));
                pacer.woke(b);
                let _ = pacer.probe(now);
                pacer.probed(now, a);
                pacer.qos(now, a);
                pacer.set_interval(Some(b));
                pacer.set_latency(Some(a));
                assert!(
                    pacer.rung() < 3 && pacer.rescue_at(&ticket, None).is_some() && pacer.expected(99) <= Duration::MAX
                );
            }
        }
    }
}

#[test]
fn reasons_have_words_of_their_own() {
    use Reason::*;
    let words: HashSet<_> = [Start, Slower, Faster, Missed, Target, Qos].iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), 6);
}
