//! Each check, with a fault planted for it.

use ptx_standin::fault::{Fault, Kind, Site, Space};
use ptx_standin::launch::Order;

use crate::common::Bench;

fn cause(body: &str, input: &[u32], output: usize) -> Fault {
    Bench::new(body).fault(input, output).cause().clone()
}

#[test]
fn a_fault_names_its_place() {
    let body = "mad.wide.u32 %d0, %r99, 4, %d98;\n  st.global.u32 [%d0], %r99; // store";
    let fault = Bench::new(body).threads(64).blocks(3).fault(&[], 150);
    let line = Bench::new(body).text.lines().position(|l| l.contains("// store")).expect("it is there") as u32 + 1;
    let site = Site {
        kernel: "test".to_owned(),
        line,
        text: "st.global.u32 [%d0], %r99; // store".to_owned(),
        block: [2, 0, 0],
        warp: 0,
        lane: Some(22),
    };
    assert_eq!(fault.site(), Some(&site));
    let cause =
        Fault::OutOfBounds { kind: Kind::Write, space: Space::Global, address: (1 << 40) + 600, bytes: 4, limit: 600 };
    assert_eq!(fault.cause(), &cause);
    let text = fault.to_string();
    assert!(text.contains("PTX line") && text.contains("block (2, 0, 0), warp 0, lane 22"), "{text}");
}

#[test]
fn addresses_of_nothing() {
    assert!(matches!(
        cause("mov.u64 %d0, 0; ld.global.u32 %r0, [%d0];", &[], 0),
        Fault::NoAllocation { address: 0, .. }
    ));
    assert!(matches!(cause("ld.shared.u32 %r0, [0];", &[], 0), Fault::OutOfBounds { space: Space::Shared, .. }));
    let local = ".local .b8 own[4]; mov.u64 %d0, own; ld.local.u32 %r0, [%d0+4];";
    assert!(matches!(cause(local, &[], 0), Fault::OutOfBounds { space: Space::Local, limit: 4, .. }));
    assert!(matches!(cause("ld.param.u64 %d0, [in+8];", &[], 0), Fault::OutOfBounds { space: Space::Parameter, .. }));
}

#[test]
fn misaligned_addresses() {
    let global = cause("ld.global.v2.u32 {%r0, %r1}, [%d99+4];", &[1, 2, 3], 0);
    assert!(matches!(global, Fault::Misaligned { space: Space::Global, bytes: 8, .. }));
    let shared = cause(".shared .b8 tile[64]; mov.u32 %r0, tile; st.shared.u32 [%r0+2], %r0;", &[], 0);
    assert!(matches!(shared, Fault::Misaligned { space: Space::Shared, bytes: 4, .. }));
    let row = ".shared .align 16 .b8 tile[64]; mov.u32 %r0, tile;\n\
               ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r0+8];";
    assert!(matches!(cause(row, &[], 0), Fault::Misaligned { space: Space::Shared, bytes: 16, .. }));
    let copy = ".shared .align 16 .b8 tile[64]; mov.u32 %r0, tile;\n\
                cp.async.ca.shared.global [%r0], [%d99+4], 8;";
    assert!(matches!(cause(copy, &[1, 2, 3], 0), Fault::Misaligned { space: Space::Global, bytes: 8, .. }));
}

#[test]
fn bytes_that_nobody_wrote() {
    let global = cause("st.global.u16 [%d98], 1; ld.global.u32 %r0, [%d98];", &[], 1);
    assert_eq!(global, Fault::Uninitialised { space: Space::Global, address: (1 << 40) + 2 });
    let shared =
        cause(".shared .b8 tile[8]; mov.u32 %r0, tile; st.shared.u8 [%r0+1], 1; ld.shared.u16 %r1, [%r0];", &[], 0);
    assert!(matches!(shared, Fault::Uninitialised { space: Space::Shared, .. }));
    let local = cause(".local .b8 own[4]; mov.u64 %d0, own; ld.local.u32 %r0, [%d0];", &[], 0);
    assert!(matches!(local, Fault::Uninitialised { space: Space::Local, .. }));
    // Shared memory of a block does not pass to the next.
    let next = ".shared .b8 tile[4]; mov.u32 %r0, tile; setp.ne.u32 %p0, %r98, 0; @%p0 bra READ; st.shared.u32 [%r0], 1;\n\
                READ: ld.shared.u32 %r1, [%r0];";
    let fault = Bench::new(next).blocks(2).fault(&[], 0);
    assert_eq!(fault.site().map(|site| site.block), Some([1, 0, 0]));
}

/// Two warps access a word of shared memory: warp 0 first, with `first`, then warp 1 with `second`.
fn between_warps(first: &str, between: &str, second: &str) -> Result<(), Fault> {
    let body = format!(
        ".shared .align 4 .b8 tile[256]; mov.u32 %r0, tile; setp.ge.u32 %p0, %r96, 32; and.b32 %r1, %r96, 31;\n\
         shl.b32 %r1, %r1, 2; add.u32 %r1, %r1, %r0; @%p0 bra SETUP; st.shared.u32 [%r1], 1; SETUP: bar.sync 0;\n\
         @%p0 bra WAIT; {first} WAIT: {between} @!%p0 bra DONE; {second} DONE:"
    );
    Bench::new(&body).threads(64).run(&[], 0).map(|_| ())
}

#[test]
fn races_between_warps() {
    let (read, write) = ("ld.shared.u32 %r2, [%r1];", "st.shared.u32 [%r1], %r96;");
    let atomic = "red.shared.add.u32 [%r1], 1;";
    for (first, second, earlier_kind, kind) in [
        (write, read, Kind::Write, Kind::Read),
        (write, write, Kind::Write, Kind::Write),
        (read, write, Kind::Read, Kind::Write),
        (atomic, read, Kind::Write, Kind::Read),
        (write, atomic, Kind::Write, Kind::Write),
    ] {
        let fault = between_warps(first, "", second).expect_err("a race");
        match fault.cause() {
            Fault::SharedRace { kind: k, earlier_kind: e, warp: 0, .. } => assert_eq!((*k, *e), (kind, earlier_kind)),
            other => panic!("{other}"),
        }
        between_warps(first, "bar.sync 0;", second).expect("a barrier is between");
    }
    between_warps(read, "", read).expect("two readers are no race");
    between_warps(atomic, "", atomic).expect("two atomic operations are no race");
    // Neighbouring bytes of a word are different places.
    between_warps("st.shared.u8 [%r1], 1;", "", "st.shared.u8 [%r1+1], 2;").expect("different bytes");
    between_warps("st.shared.u16 [%r1], 1;", "", "st.shared.u8 [%r1+1], 2;").expect_err("one byte is in both");
    // Warp 0 reads, warp 1 reads, warp 0 writes: its barrier with warp 2 does not order it after warp 1.
    let pair = ".shared .align 4 .b8 tile[4]; mov.u32 %r0, tile; shr.u32 %r2, %r96, 5; setp.eq.u32 %p0, %r2, 0;\n\
                setp.eq.u32 %p1, %r2, 1; @%p0 st.shared.u32 [%r0], 1; bar.sync 0; setp.eq.u32 %p2, %r2, 2;\n\
                @%p2 bra MEET; ld.shared.u32 %r1, [%r0]; @%p1 bra DONE; MEET: bar.sync 1, 64; @%p2 bra DONE;\n\
                st.shared.u32 [%r0], 2; DONE:";
    let fault = Bench::new(pair).threads(96).fault(&[], 0);
    assert!(matches!(fault.cause(), Fault::SharedRace { earlier_kind: Kind::Read, warp: 1, .. }), "{fault}");
}

#[test]
fn an_asynchronous_copy_races_like_a_store() {
    let copy = "cp.async.ca.shared.global [%r1], [%d99], 4;";
    let body = |before: &str, after: &str| {
        format!(
            ".shared .align 4 .b8 tile[128]; mov.u32 %r0, tile; and.b32 %r2, %r96, 31; shl.b32 %r2, %r2, 2;\n\
             add.u32 %r1, %r0, %r2; setp.ge.u32 %p0, %r96, 32; @%p0 bra SECOND; {copy} {before} cp.async.wait_all; bra MEET;\n\
             SECOND: MEET: {after} @!%p0 bra DONE; ld.shared.u32 %r3, [%r1]; DONE:"
        )
    };
    let fault = Bench::new(&body("", "")).threads(64).fault(&[3], 0);
    assert!(matches!(fault.cause(), Fault::SharedRace { kind: Kind::Read, .. }), "{fault}");
    Bench::new(&body("", "bar.sync 0;")).threads(64).run(&[3], 0).expect("waited for, then a barrier");
}

#[test]
fn races_between_blocks() {
    let run = |body: &str| Bench::new(body).threads(1).blocks(2).run(&[5], 4).map(|_| ());
    for body in [
        "st.global.u32 [%d98], %r98;",
        "st.global.u32 [%d98], %r98; ld.global.u32 %r1, [%d98];",
        "setp.eq.u32 %p0, %r98, 0; @%p0 st.global.u32 [%d98], 1; @!%p0 ld.global.u32 %r1, [%d98];",
        "ld.global.u32 %r1, [%d99]; st.global.u32 [%d99], 1;",
    ] {
        let fault = run(body).expect_err("a race");
        assert!(matches!(fault.cause(), Fault::BlockRace { block: Some(0), .. }), "{fault}");
        assert_eq!(fault.site().map(|site| site.block), Some([1, 0, 0]));
    }
    // Each block its own half of a word, and atomic operations, are no races; an atomic operation and a store are.
    let own = "mad.wide.u32 %d0, %r98, 2, %d99; st.global.u16 [%d0], 1;";
    Bench::new(own).threads(1).blocks(2).run(&[5], 0).expect("different bytes");
    Bench::new("atom.global.add.u32 %r1, [%d99], 1;").blocks(8).run(&[5], 0).expect("atomic");
    let first = "setp.ne.u32 %p0, %r98, 0; @%p0 bra ADD; st.global.u32 [%d99], 0; ADD: red.global.add.u32 [%d99], 1;";
    run(first).expect_err("the second block may be faster");
}

#[test]
fn collectives_without_all_lanes() {
    for (threads, body) in [
        (32, "setp.lt.u32 %p0, %r99, 8; @%p0 bar.sync 0;"),
        (32, "setp.lt.u32 %p0, %r99, 8; @%p0 exit; bar.sync 0;"),
        (32, "setp.lt.u32 %p0, %r99, 8; @%p0 bra SKIP; bar.warp.sync -1; SKIP:"),
        (
            16,
            "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6}, {%r0,%r1,%r2,%r3};",
        ),
        (16, ".shared .b8 t[128]; mov.u32 %r0, t; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r0];"),
        (32, "setp.lt.u32 %p0, %r99, 8; @%p0 vote.sync.ballot.b32 %r1, %p0, -1;"),
    ] {
        let fault = Bench::new(body).threads(threads).fault(&[], 0);
        assert!(matches!(fault.cause(), Fault::Divergent { .. }), "{body}: {fault}");
    }
    // A warp of fewer threads has a barrier for those that it has, and a whole one after an exit of others.
    Bench::new("bar.sync 0; bar.warp.sync -1;").threads(40).run(&[], 0).expect("all that there are");
    Bench::new("setp.lt.u32 %p0, %r99, 8; @%p0 exit; bar.warp.sync -1;")
        .run(&[], 0)
        .expect("the ended are not waited for");
}

#[test]
fn barriers_that_not_all_warps_reach() {
    let fault = Bench::new("setp.lt.u32 %p0, %r96, 32; @%p0 exit; bar.sync 3;").threads(96).fault(&[], 0);
    assert_eq!(fault.cause(), &Fault::Deadlock { barrier: 3, arrived: 64, expected: 96 });
    assert_eq!(fault.site().map(|site| site.warp), Some(1));
    let apart = "setp.lt.u32 %p0, %r96, 32; @%p0 bra ONE; bar.sync 1; ret; ONE: bar.sync 2;";
    assert!(matches!(Bench::new(apart).threads(64).fault(&[], 0).cause(), Fault::Deadlock { .. }));
    for body in ["bar.sync 16;", "bar.sync 1, 33;", "bar.sync 1, 128;"] {
        assert!(matches!(Bench::new(body).threads(64).fault(&[], 0).cause(), Fault::Barrier { .. }), "{body}");
    }
}

#[test]
fn the_rest() {
    assert_eq!(cause("trap;", &[], 0), Fault::Trap);
    assert!(matches!(cause("WAIT: bra WAIT;", &[], 0), Fault::Endless { .. }));
    let size = ".shared .align 16 .b8 t[16]; mov.u32 %r0, t; mov.u32 %r1, 17; cp.async.cg.shared.global [%r0], [%d99], 16, %r1;";
    assert_eq!(cause(size, &[0; 8], 0), Fault::CopySize { size: 17, bytes: 16 });
    assert!(matches!(Bench::new("").threads(1025).fault(&[], 0), Fault::Shape { .. }));
    assert!(matches!(Bench::new("").blocks(0).fault(&[], 0), Fault::Shape { .. }));
}

#[test]
fn a_race_shows_in_every_order() {
    let body = "st.global.u32 [%d98], %r98;";
    for order in [Order::Eager, Order::Lazy, Order::Shuffled(1)] {
        let fault = Bench::new(body).threads(1).blocks(4).order(order).fault(&[], 1);
        assert!(matches!(fault.cause(), Fault::BlockRace { .. }), "{fault}");
    }
}
