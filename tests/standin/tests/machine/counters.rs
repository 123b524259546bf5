//! Bank conflicts, sectors, constants, instruction classes.

use ptx_standin::counters::{Shared, Traffic};

use crate::common::{Bench, Outcome};

/// Fills shared memory, then makes one request; the address, without the base, is to be in %r2.
fn shared_loads(address: &str, request: &str) -> Shared {
    let body = format!(
        ".shared .align 16 .b8 tile[8192]; mov.u32 %r0, tile; mov.u32 %r9, 0;\n\
         FILL: mad.lo.u32 %r1, %r9, 512, %r0; mad.lo.u32 %r1, %r99, 16, %r1; st.shared.v4.u32 [%r1], {{%r9, %r9, %r9, %r9}};\n\
         add.u32 %r9, %r9, 1; setp.lt.u32 %p0, %r9, 16; @%p0 bra FILL;\n\
         {address} add.u32 %r2, %r2, %r0; {request}"
    );
    let Outcome { counters, .. } = Bench::new(&body).run(&[], 0).expect("it runs");
    // The sixteen stores of 512 bytes have four waves each.
    Shared {
        requests: counters.shared.requests - 16,
        waves: counters.shared.waves - 64,
        conflicts: counters.shared.conflicts,
    }
}

#[test]
fn bank_conflicts_of_known_patterns() {
    let word = "ld.shared.u32 %r3, [%r2];";
    for (stride, waves) in [(4, 1), (8, 2), (12, 1), (16, 4), (32, 8), (128, 32), (132, 1), (0, 1)] {
        let found = shared_loads(&format!("mul.lo.u32 %r2, %r99, {stride};"), word);
        assert_eq!(found, Shared { requests: 1, waves, conflicts: waves - 1 }, "stride {stride}");
    }
    // Lanes that share a word, or the bytes of one, cause no conflict.
    let broadcast = shared_loads("shr.u32 %r2, %r99, 1; shl.b32 %r2, %r2, 2;", word);
    assert_eq!(broadcast, Shared { requests: 1, waves: 1, conflicts: 0 });
    let bytes = shared_loads("mov.u32 %r2, %r99;", "ld.shared.u8 %r3, [%r2];");
    assert_eq!(bytes, Shared { requests: 1, waves: 1, conflicts: 0 });
    // 8 and 16 bytes a lane need two and four waves.
    let pairs = shared_loads("shl.b32 %r2, %r99, 3;", "ld.shared.v2.u32 {%r3, %r4}, [%r2];");
    assert_eq!(pairs, Shared { requests: 1, waves: 2, conflicts: 0 });
    let fours =
        shared_loads("xor.b32 %r2, %r99, 5; shl.b32 %r2, %r2, 4;", "ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r2];");
    assert_eq!(fours, Shared { requests: 1, waves: 4, conflicts: 0 });
    let rows = shared_loads("shl.b32 %r2, %r99, 7;", "ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r2];");
    assert_eq!(rows, Shared { requests: 1, waves: 32, conflicts: 28 });
}

#[test]
fn bank_conflicts_of_ldmatrix() {
    let load = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r3, %r4, %r5, %r6}, [%r2];";
    // Rows of 16 bytes one after the other; rows 64 bytes apart; the same with the usual swizzle of chunks.
    let dense = shared_loads("shl.b32 %r2, %r99, 4;", load);
    assert_eq!(dense, Shared { requests: 1, waves: 4, conflicts: 0 });
    let apart = shared_loads("shl.b32 %r2, %r99, 6;", load);
    assert_eq!(apart, Shared { requests: 1, waves: 16, conflicts: 12 });
    let swizzled = shared_loads(
        "shl.b32 %r2, %r99, 6; shr.u32 %r1, %r99, 1; and.b32 %r1, %r1, 3; shl.b32 %r1, %r1, 4; or.b32 %r2, %r2, %r1;",
        load,
    );
    assert_eq!(swizzled, Shared { requests: 1, waves: 4, conflicts: 0 });
}

#[test]
fn sectors_count_once_a_launch() {
    let traffic = |body: &str, threads, blocks| {
        let counters = Bench::new(body).threads(threads).blocks(blocks).run(&[1; 4096], 0).expect("it runs").counters;
        counters.loads
    };
    let load = "ld.global.u32 %r0, [%d0];";
    let dense = traffic(&format!("mad.wide.u32 %d0, %r99, 4, %d99; {load}"), 64, 4);
    assert_eq!(dense, Traffic { requests: 8, requested: 32, sectors: 32 });
    let again = traffic(&format!("mad.wide.u32 %d0, %r96, 4, %d99; {load}"), 64, 4);
    assert_eq!(again, Traffic { requests: 8, requested: 32, sectors: 8 });
    let scattered = traffic(&format!("mad.wide.u32 %d0, %r99, 64, %d99; {load}"), 64, 4);
    assert_eq!(scattered, Traffic { requests: 8, requested: 256, sectors: 256 });
    let straddling = traffic(&format!("mad.wide.u32 %d0, %r99, 4, %d99; add.s64 %d0, %d0, 16; {load}"), 32, 1);
    assert_eq!(straddling, Traffic { requests: 1, requested: 5, sectors: 5 });
    // Lanes that want the same ask once, an instruction later they ask again.
    let shared = traffic(&format!("shr.u32 %r1, %r96, 3; mad.wide.u32 %d0, %r1, 32, %d99; {load} {load}"), 32, 2);
    assert_eq!(shared, Traffic { requests: 4, requested: 16, sectors: 4 });
    let copied = ".shared .align 16 .b8 tile[512]; mov.u32 %r0, tile; mad.lo.u32 %r0, %r96, 16, %r0;\n\
                  mad.wide.u32 %d0, %r96, 16, %d99; cp.async.cg.shared.global [%r0], [%d0], 16; cp.async.wait_all;";
    assert_eq!(traffic(copied, 32, 2), Traffic { requests: 2, requested: 32, sectors: 16 });
}

#[test]
fn constants_are_what_no_kernel_writes() {
    let constants = |body: &str| {
        let load = "mad.wide.u32 %d0, %r99, 4, %d99; ld.global.u32 %r0, [%d0];";
        Bench::new(&format!("{load} {body}")).run(&[1; 32], 0).expect("it runs").counters.constants
    };
    assert_eq!(constants("").into_iter().collect::<Vec<_>>(), [(128, 4)]);
    assert!(constants("st.global.u32 [%d0], %r0;").is_empty());
}

#[test]
fn instructions_by_class() {
    let empty = Bench::new("").threads(64).run(&[], 0).expect("it runs").counters;
    let body = "add.f32 %r1, %r99, %r99; mul.f16x2 %r2, %r1, %r1; mad.wide.u32 %d0, %r99, 4, %d98;\n\
                st.global.u32 [%d0], %r1; bar.sync 0; shfl.sync.bfly.b32 %r3, %r1, 1, 31, -1; xor.b32 %r4, %r3, %r1;";
    let counters = Bench::new(body).threads(64).run(&[], 64).expect("it runs").counters;
    let (a, b) = (counters.instructions, empty.instructions);
    let more = [
        a.integer - b.integer,
        a.float - b.float,
        a.half - b.half,
        a.memory - b.memory,
        a.control - b.control,
        a.collective - b.collective,
    ];
    assert_eq!(more, [4, 2, 2, 2, 2, 2]);
    assert_eq!((counters.launches, counters.blocks), (1, 1));
}
