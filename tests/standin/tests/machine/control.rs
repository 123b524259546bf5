//! Branches, divergence, barriers, the order of blocks and warps.

use ptx_standin::fault::Fault;
use ptx_standin::launch::Order;

use crate::common::{Bench, map, one};

fn numbers() -> Vec<[u32; 1]> {
    (0..32).map(|lane| [lane]).collect()
}

#[test]
fn lanes_take_both_sides_and_meet_again() {
    // The mask after the branch is whole again, or the ballot would fail.
    let body = "and.b32 %r1, %r0, 1; setp.eq.u32 %p0, %r1, 0; @%p0 bra EVEN;\n\
                mul.lo.u32 %r10, %r0, 3; bra.uni JOIN;\nEVEN: add.u32 %r10, %r0, 1000;\n\
                JOIN: vote.sync.ballot.b32 %r11, %p0, -1;";
    for (lane, found) in map::<1, 2>(&numbers(), body).into_iter().enumerate() {
        let lane = lane as u32;
        assert_eq!(found, [if lane.is_multiple_of(2) { lane + 1000 } else { lane * 3 }, 0x5555_5555]);
    }
}

#[test]
fn a_loop_runs_as_often_as_each_lane_wants() {
    // Steps of the Collatz sequence from lane + 1.
    let body = "add.u32 %r1, %r0, 1; mov.u32 %r10, 0;\nLOOP: setp.eq.u32 %p0, %r1, 1; @%p0 bra DONE;\n\
                add.u32 %r10, %r10, 1; and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0; shr.u32 %r3, %r1, 1;\n\
                mad.lo.u32 %r4, %r1, 3, 1; selp.u32 %r1, %r3, %r4, %p1; bra LOOP;\n\
                DONE: activemask.b32 %r11;";
    for (lane, found) in map::<1, 2>(&numbers(), body).into_iter().enumerate() {
        let (mut n, mut steps) = (lane + 1, 0);
        while n != 1 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        assert_eq!(found, [steps, u32::MAX], "lane {lane}");
    }
}

#[test]
fn guards_leave_registers_of_other_lanes() {
    let body = "setp.lt.u32 %p0, %r0, 4; mov.u32 %r10, 5; @%p0 mov.u32 %r10, 6; @!%p0 add.u32 %r10, %r10, 1;";
    let expected: Vec<_> = (0..32).map(|_| [6]).collect();
    assert_eq!(map::<1, 1>(&numbers(), body), expected);
}

#[test]
fn predicates_of_logic() {
    let body = "setp.eq.u32 %p0, %r0, %r0; mov.pred %p1, 0; and.pred %p2, %p0, %p1; or.pred %p3, %p0, %p1;\n\
                xor.pred %p4, %p0, -1; not.pred %p5, %p1; selp.u32 %r1, 1, 0, %p2; selp.u32 %r2, 2, 0, %p3;\n\
                selp.u32 %r3, 4, 0, %p4; selp.u32 %r4, 8, 0, %p5; add.u32 %r1, %r1, %r2; add.u32 %r3, %r3, %r4;\n\
                add.u32 %r10, %r1, %r3;";
    assert_eq!(one([0], body), 10);
}

#[test]
fn scopes_have_registers_and_labels_of_their_own() {
    let twice = "{ .reg .b32 t; .reg .pred p; mov.u32 t, 0; AGAIN: add.u32 t, t, 1; setp.lt.u32 p, t, 5; @p bra AGAIN;\n\
                 add.u32 %r10, %r10, t; }";
    assert_eq!(one([0], &format!("mov.u32 %r10, 0; {twice} {twice}")), 10);
}

#[test]
fn special_registers() {
    let body = "mov.u32 %r0, %tid.x; mov.u32 %r1, %ntid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x;\n\
                mov.u32 %r4, %laneid; mov.u32 %r5, %warpid; mov.u32 %r6, %lanemask_lt; mov.u32 %r7, %lanemask_ge;\n\
                mad.wide.u32 %d0, %r99, 32, %d98; st.global.v4.u32 [%d0], {%r0, %r1, %r2, %r3};\n\
                st.global.v4.u32 [%d0+16], {%r4, %r5, %r6, %r7};";
    let words = Bench::new(body).threads(64).blocks(3).run(&[], 64 * 3 * 8).expect("it runs").words;
    for (n, found) in words.as_chunks::<8>().0.iter().enumerate() {
        let (thread, block) = (n as u32 % 64, n as u32 / 64);
        let bit = 1u32 << (thread % 32);
        assert_eq!(*found, [thread, 64, block, 3, thread % 32, thread / 32, bit - 1, !(bit - 1)]);
    }
}

/// Each warp writes its number to shared memory and reads that of the next after the barrier.
const NEIGHBOUR: &str = ".shared .align 4 .b8 mine[512];\n\
    mov.u32 %r0, mine; shl.b32 %r1, %r96, 2; add.u32 %r2, %r0, %r1; st.shared.u32 [%r2], %r96;\n\
    bar.sync 0;\n\
    add.u32 %r3, %r96, 32; and.b32 %r3, %r3, 127; shl.b32 %r3, %r3, 2; add.u32 %r3, %r0, %r3;\n\
    ld.shared.u32 %r4, [%r3]; mad.wide.u32 %d0, %r99, 4, %d98; st.global.u32 [%d0], %r4;";

#[test]
fn a_barrier_orders_warps_in_any_order() {
    for order in [Order::Eager, Order::Lazy, Order::Shuffled(3), Order::Shuffled(4)] {
        let words = Bench::new(NEIGHBOUR).threads(128).blocks(5).order(order).run(&[], 640).expect("no race").words;
        let expected: Vec<u32> = (0..640).map(|n| (n % 128 + 32) % 128).collect();
        assert_eq!(words, expected);
    }
}

#[test]
fn barriers_of_some_warps() {
    // Warps 0 and 1 meet at barrier 1, warps 2 and 3 at barrier 2: each pair exchanges its numbers.
    let body = ".shared .align 4 .b8 mine[512];\n\
        mov.u32 %r0, mine; shl.b32 %r1, %r96, 2; add.u32 %r2, %r0, %r1; st.shared.u32 [%r2], %r96;\n\
        shr.u32 %r5, %r96, 6; add.u32 %r5, %r5, 1; bar.sync %r5, 64;\n\
        xor.b32 %r3, %r96, 32; shl.b32 %r3, %r3, 2; add.u32 %r3, %r0, %r3;\n\
        ld.shared.u32 %r4, [%r3]; mad.wide.u32 %d0, %r99, 4, %d98; st.global.u32 [%d0], %r4;";
    let words = Bench::new(body).threads(128).run(&[], 128).expect("no race").words;
    assert_eq!(words, (0..128).map(|n| n ^ 32).collect::<Vec<u32>>());
    // Warp 3 is not in the pair of warp 0.
    let astray = body.replace("xor.b32 %r3, %r96, 32", "xor.b32 %r3, %r96, 96");
    let fault = Bench::new(&astray).threads(128).fault(&[], 128);
    assert!(matches!(fault.cause(), Fault::SharedRace { .. }), "{fault}");
}

#[test]
fn blocks_run_in_the_order_asked_for() {
    // A counter gives each block its turn.
    let body = "atom.global.add.u32 %r0, [%d99], 1; mad.wide.u32 %d0, %r98, 4, %d98; st.global.u32 [%d0], %r0;";
    let turns = |order| {
        let bench = Bench::new(body).threads(1).blocks(6).order(order);
        bench.run(&[0], 6).expect("it runs").words
    };
    assert_eq!(turns(Order::Eager), [0, 1, 2, 3, 4, 5]);
    assert_eq!(turns(Order::Lazy), [5, 4, 3, 2, 1, 0]);
    let shuffled = turns(Order::Shuffled(1));
    let mut sorted = shuffled.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
    assert!((2..20).any(|seed| turns(Order::Shuffled(seed)) != shuffled), "the seed matters");
}
