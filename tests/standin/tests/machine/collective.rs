//! Shuffles, votes, reductions.

use ptx_standin::fault::Fault;

use crate::common::{Bench, map};

/// Lanes give 100 + their number.
fn lanes() -> Vec<[u32; 1]> {
    (0..32).map(|lane| [100 + lane]).collect()
}

/// The manual's pseudocode of `shfl.sync`: value and predicate of each lane.
fn expected(mode: &str, b: i32, c: i32) -> Vec<[u32; 2]> {
    let (bval, cval, mask) = (b & 31, c & 31, c >> 8 & 31);
    let lane = |lane: i32| {
        let max_lane = (lane & mask) | (cval & !mask);
        let min_lane = lane & mask;
        let (j, p) = match mode {
            "up" => (lane - bval, lane - bval >= max_lane),
            "down" => (lane + bval, lane + bval <= max_lane),
            "bfly" => (lane ^ bval, lane ^ bval <= max_lane),
            _ => {
                let j = min_lane | (bval & !mask);
                (j, j <= max_lane)
            }
        };
        [100 + if p { j } else { lane } as u32, u32::from(p)]
    };
    (0..32).map(lane).collect()
}

#[test]
fn shuffles() {
    // c as compilers make it for a width w: up has ((32 - w) << 8), the others that and 31.
    for width in [32, 16, 8, 4] {
        let segment = (32 - width) << 8;
        for mode in ["up", "down", "bfly", "idx"] {
            let c = if mode == "up" { segment } else { segment | 31 };
            for b in [0, 1, 3, 5, 8, 16, 31, 33] {
                let body = format!("shfl.sync.{mode}.b32 %r10|%p0, %r0, {b}, {c}, -1; selp.u32 %r11, 1, 0, %p0;");
                assert_eq!(map::<1, 2>(&lanes(), &body), expected(mode, b, c), "{mode} {b} {c:#x}");
            }
        }
    }
}

#[test]
fn a_shuffle_clamps_below_the_segment_end() {
    let body = "shfl.sync.down.b32 %r10|%p0, %r0, 2, 9, -1; selp.u32 %r11, 1, 0, %p0;";
    assert_eq!(map::<1, 2>(&lanes(), body), expected("down", 2, 9));
}

#[test]
fn a_shuffle_among_the_lanes_of_its_mask() {
    // The lower half shuffles while the upper half has gone elsewhere.
    let body = "setp.ge.u32 %p0, %r99, 16; mov.u32 %r10, 7; @%p0 bra DONE;\n\
                shfl.sync.bfly.b32 %r10, %r0, 1, 31, 0xffff; DONE:";
    let found = map::<1, 1>(&lanes(), body);
    for (lane, [value]) in found.into_iter().enumerate() {
        assert_eq!(value, if lane < 16 { 100 + (lane as u32 ^ 1) } else { 7 });
    }
}

#[test]
fn a_shuffle_without_all_its_lanes() {
    for body in [
        // Lanes that have gone elsewhere, that have ended, or that are read though no members.
        "setp.ge.u32 %p0, %r99, 16; @%p0 bra DONE; shfl.sync.bfly.b32 %r1, %r99, 1, 31, -1; DONE:",
        "setp.ge.u32 %p0, %r99, 16; @%p0 exit; shfl.sync.bfly.b32 %r1, %r99, 1, 31, -1;",
        "setp.ge.u32 %p0, %r99, 16; @%p0 bra DONE; shfl.sync.bfly.b32 %r1, %r99, 16, 31, 0xffff; DONE:",
    ] {
        assert!(matches!(Bench::new(body).fault(&[], 0).cause(), Fault::Divergent { .. }), "{body}");
    }
    let few = Bench::new("shfl.sync.bfly.b32 %r1, %r99, 1, 31, -1;").threads(48).fault(&[], 0);
    assert_eq!(few.site().map(|site| site.warp), Some(1));
    assert_eq!(few.cause(), &Fault::Divergent { expected: u32::MAX, active: 0xffff });
}

#[test]
fn votes() {
    let body = "setp.gt.u32 %p0, %r0, 129; vote.sync.ballot.b32 %r10, %p0, -1; vote.sync.ballot.b32 %r11, !%p0, -1;\n\
                vote.sync.any.pred %p1, %p0, -1; vote.sync.all.pred %p2, %p0, -1; vote.sync.uni.pred %p3, %p0, -1;\n\
                selp.u32 %r12, 1, 0, %p1; selp.u32 %r13, 1, 0, %p2; selp.u32 %r14, 1, 0, %p3; activemask.b32 %r15;";
    assert_eq!(map::<1, 6>(&lanes(), body), [[0xc000_0000, 0x3fff_ffff, 1, 0, 0, u32::MAX]; 32]);
}

#[test]
fn reductions() {
    let body = "redux.sync.add.s32 %r10, %r0, -1; redux.sync.max.u32 %r11, %r0, -1; redux.sync.min.s32 %r12, %r0, -1;\n\
                redux.sync.xor.b32 %r13, %r0, -1; and.b32 %r1, %r99, 3; match.any.sync.b32 %r14, %r1, -1;";
    let xor = (100..132).fold(0, |all, lane| all ^ lane);
    for (lane, found) in map::<1, 5>(&lanes(), body).into_iter().enumerate() {
        assert_eq!(found, [3696, 131, 100, xor, 0x1111_1111 << (lane % 4)]);
    }
}

#[test]
fn the_lowest_lane_of_the_mask_is_elected() {
    let body = "elect.sync %r10|%p0, -1; selp.u32 %r11, 1, 0, %p0;";
    for (lane, found) in map::<1, 2>(&lanes(), body).into_iter().enumerate() {
        assert_eq!(found, [0, u32::from(lane == 0)]);
    }
}
