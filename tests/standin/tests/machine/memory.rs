//! Loads, stores, atomic operations, asynchronous copies, variables.

use half::f16;
use ptx_standin::fault::Fault;

use crate::common::{Bench, map, one};

#[test]
fn every_width_is_extended_as_its_type_says() {
    let body = "ld.global.u8 %r10, [%d99]; ld.global.s8 %r11, [%d99+1]; ld.global.u16 %r12, [%d99+2];\n\
                ld.global.s16 %r13, [%d99+2]; ld.global.s8 %h0, [%d99+3]; cvt.u32.u16 %r14, %h0;\n\
                ld.global.s32 %d0, [%d99]; mov.b64 {%r1, %r15}, %d0;";
    assert_eq!(map::<1, 6>(&[[0xffee_8001]], body), [[1, 0xffff_ff80, 0xffee, 0xffff_ffee, 0xffff, u32::MAX]]);
}

#[test]
fn vectors() {
    let body = "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d99]; st.global.v4.f32 [%d98], {%r4, %r3, %r2, %r1};\n\
                ld.global.nc.v2.u64 {%d0, %d1}, [%d99]; st.global.v2.b64 [%d98+16], {%d1, %d0};\n\
                ld.global.v4.u8 {%h0, %h1, %h2, %h3}, [%d99]; st.global.v4.u8 [%d98+32], {%h3, %h2, %h1, %h0};\n\
                ld.global.v2.u16 {%h4, %h5}, [%d99]; st.global.v2.b16 [%d98+36], {%h5, %h4};";
    let input = [0x0403_0201, 2, 3, 4];
    let words = Bench::new(body).threads(1).run(&input, 10).expect("it runs").words;
    assert_eq!(words, [4, 3, 2, 0x0403_0201, 3, 4, 0x0403_0201, 2, 0x0102_0304, 0x0201_0403]);
}

#[test]
fn hints_to_the_caches_change_nothing() {
    let loads = [
        "ld.global.ca",
        "ld.global.cg",
        "ld.global.cs",
        "ld.global.lu",
        "ld.global.cv",
        "ld.volatile.global",
        "ld.global.nc",
        "ld.weak.global",
        "ld.global.nc.L1::no_allocate",
        "ld.global.nc.L2::128B",
        "ld.global.L1::evict_last.L2::256B",
        "ld",
    ];
    for load in loads {
        assert_eq!(one([0], &format!("{load}.u32 %r10, [%d99]; add.u32 %r10, %r10, 1;")), 1, "{load}");
    }
    for store in
        ["st.global.wb", "st.global.cg", "st.global.cs", "st.volatile.global", "st", "st.global.L1::no_allocate"]
    {
        let words = Bench::new(&format!("{store}.u32 [%d98], 9;")).threads(1).run(&[], 1).expect("it runs").words;
        assert_eq!(words, [9], "{store}");
    }
}

#[test]
fn generic_addresses_reach_every_space() {
    // Odd lanes go to shared memory, even ones to global memory, with one instruction; then all to local memory.
    let body = ".shared .align 8 .b8 tile[256]; .local .align 8 .b8 own[16];\n\
        mov.u32 %r1, tile; shl.b32 %r2, %r99, 3; add.u32 %r1, %r1, %r2; add.u32 %r3, %r99, 500; st.shared.u32 [%r1], %r3;\n\
        cvt.u64.u32 %d0, %r1; cvta.shared.u64 %d0, %d0; and.b32 %r4, %r99, 1; setp.eq.u32 %p0, %r4, 1;\n\
        selp.b64 %d1, %d0, %d99, %p0; ld.u32 %r5, [%d1];\n\
        mov.u64 %d2, own; cvta.local.u64 %d2, %d2; st.u32 [%d2+8], %r5; ld.local.u32 %r10, [own+8];\n\
        cvta.to.shared.u64 %d3, %d0; cvt.u32.u64 %r6, %d3; sub.u32 %r11, %r6, %r1;";
    let inputs: Vec<[u32; 1]> = (0..32).map(|lane| [lane * 10]).collect();
    for (lane, found) in map::<1, 2>(&inputs, body).into_iter().enumerate() {
        let lane = lane as u32;
        assert_eq!(found, [if lane % 2 == 1 { lane + 500 } else { lane * 10 }, 0]);
    }
}

#[test]
fn dynamic_shared_memory_follows_the_static() {
    let bench = Bench::with(
        ".extern .shared .align 16 .b8 more[];",
        ".shared .align 4 .b8 few[20]; mov.u32 %r0, few; mov.u32 %r1, more; sub.u32 %r2, %r1, %r0;\n\
         st.shared.u32 [more+28], 5; ld.shared.u32 %r3, [%r1+28]; mov.u32 %r4, %dynamic_smem_size;\n\
         st.global.v4.u32 [%d98], {%r2, %r3, %r4, %r4};",
    );
    assert_eq!(bench.dynamic(32).threads(1).run(&[], 4).expect("it runs").words, [32, 5, 32, 32]);
}

#[test]
fn variables_of_a_module() {
    let bench = Bench::with(
        ".const .align 4 .f32 table[3] = {0f3F800000, 0f40000000, 2.5};\n.global .align 8 .b8 bytes[8] = {1, 2, 0xff};",
        "ld.const.u32 %r0, [table+4]; mov.u64 %d0, table; ld.const.u32 %r1, [%d0+8]; ld.global.u32 %r2, [bytes];\n\
         st.global.u32 [bytes+4], 77; mov.u64 %d1, bytes; ld.global.u32 %r3, [%d1+4];\n\
         st.global.v4.u32 [%d98], {%r0, %r1, %r2, %r3};",
    );
    let words = bench.threads(1).run(&[], 4).expect("it runs").words;
    assert_eq!(words, [2f32.to_bits(), 2.5f32.to_bits(), 0x00ff_0201, 77]);
    let write = Bench::with(".const .align 4 .u32 one = 1;", "mov.u64 %d0, one; st.global.u32 [%d0], 2;").fault(&[], 0);
    assert!(matches!(write.cause(), Fault::Constant { .. }), "{write}");
}

#[test]
fn atomic_operations_give_the_old_value() {
    for (operation, start, operand, expected) in [
        ("add.u32", 5, 7, 12),
        ("min.s32", 5, -7i32 as u32, -7i32 as u32),
        ("max.u32", 5, 7, 7),
        ("and.b32", 12, 10, 8),
        ("or.b32", 12, 10, 14),
        ("xor.b32", 12, 10, 6),
        ("exch.b32", 5, 9, 9),
        ("inc.u32", 5, 5, 0),
        ("dec.u32", 0, 5, 5),
        ("add.f32", 1f32.to_bits(), 2f32.to_bits(), 3f32.to_bits()),
        ("add.noftz.f16x2", 0x3c00_3c00, 0x3c00_4000, 0x4000_4200),
    ] {
        let body = format!(
            "ld.global.v2.u32 {{%r0, %r1}}, [%d99]; st.global.u32 [%d98], %r0;\n\
             atom.global.{operation} %r2, [%d98], %r1; st.global.u32 [%d98+4], %r2;"
        );
        let words = Bench::new(&body).threads(1).run(&[start, operand], 2).expect("it runs").words;
        assert_eq!(words, [expected, start], "{operation}");
    }
}

#[test]
fn atomic_operations_of_all_lanes_add_up() {
    let body = "red.relaxed.gpu.global.add.u32 [%d99], %r99; fence.acq_rel.gpu; bar.warp.sync -1;\n\
                atom.global.add.u32 %r1, [%d99], 0; setp.eq.u32 %p0, %r99, 0; @%p0 st.global.u32 [%d98], %r1;";
    assert_eq!(Bench::new(body).run(&[4], 1).expect("it runs").words, [500]);
    let swap = "mov.u32 %r0, 3; st.global.u32 [%d98], %r0; atom.cas.b32 %r1, [%d98], 3, 8; atom.cas.b32 %r2, [%d98], 3, 9;\n\
                st.global.v2.u32 [%d98+8], {%r1, %r2}; st.global.u32 [%d98+4], 0;";
    assert_eq!(Bench::new(swap).threads(1).run(&[], 4).expect("it runs").words, [8, 0, 3, 8]);
}

/// Copies 16 bytes a lane; `options` follow the size. The words of lane 0 come out.
fn copy(kind: &str, options: &str, wait: &str) -> Bench {
    Bench::new(&format!(
        ".shared .align 16 .b8 tile[512]; mov.u32 %r0, tile; mad.lo.u32 %r1, %r99, 16, %r0;\n\
         mad.wide.u32 %d0, %r99, 16, %d99; mov.u32 %r2, 6; setp.eq.u32 %p0, %r2, 6;\n\
         cp.async.{kind}.shared.global [%r1], [%d0], {options}; {wait}\n\
         ld.shared.v4.u32 {{%r10, %r11, %r12, %r13}}, [%r1];\n\
         mad.wide.u32 %d98, %r99, 16, %d98; st.global.v4.u32 [%d98], {{%r10, %r11, %r12, %r13}};"
    ))
}

const WAIT: &str = "cp.async.commit_group; cp.async.wait_group 0;";

#[test]
fn asynchronous_copies() {
    let input: Vec<u32> = (0..128).map(|n| 0x0101_0101 * (n + 1)).collect();
    let run = |bench: Bench| bench.run(&input, 128).expect("it runs").words;
    assert_eq!(run(copy("cg", "16", WAIT)), input);
    assert_eq!(run(copy("ca", "16", "cp.async.wait_all;")), input);
    // Six bytes of sixteen, the rest zero; by a register, and by a predicate that ignores the source.
    let part = run(copy("cg", "16, %r2", WAIT));
    assert_eq!(part[..8], [0x0101_0101, 0x0202, 0, 0, 0x0505_0505, 0x0606, 0, 0]);
    assert_eq!(run(copy("cg", "16, %p0", WAIT)), [0; 128]);
    assert_eq!(run(copy("cg", "16, !%p0", WAIT)), input);
}

#[test]
fn a_copy_that_is_not_waited_for_has_not_arrived() {
    let input = [7; 128];
    for wait in
        ["", "cp.async.commit_group;", "cp.async.commit_group; cp.async.wait_group 1;", "cp.async.wait_group 0;"]
    {
        let fault = copy("cg", "16", wait).fault(&input, 128);
        assert!(matches!(fault.cause(), Fault::Pending { .. }), "{wait}: {fault}");
    }
}

#[test]
fn groups_arrive_in_order() {
    // Three groups of four bytes; two may be on their way.
    let body = |read: u32| {
        format!(
            ".shared .align 16 .b8 tile[16]; mov.u32 %r0, tile;\n\
             cp.async.ca.shared.global [%r0], [%d99], 4; cp.async.commit_group;\n\
             cp.async.ca.shared.global [%r0+4], [%d99+4], 4; cp.async.commit_group;\n\
             cp.async.ca.shared.global [%r0+8], [%d99+8], 4; cp.async.commit_group;\n\
             cp.async.wait_group 2; ld.shared.u32 %r1, [%r0+{read}]; st.global.u32 [%d98], %r1;"
        )
    };
    assert_eq!(Bench::new(&body(0)).threads(1).run(&[5, 6, 7], 1).expect("the first has arrived").words, [5]);
    let fault = Bench::new(&body(4)).threads(1).fault(&[5, 6, 7], 1);
    assert!(matches!(fault.cause(), Fault::Pending { .. }), "{fault}");
}

#[test]
fn local_arrays_are_of_each_thread() {
    let body = ".local .align 4 .b8 own[16]; mov.u64 %d0, own; and.b32 %r1, %r0, 3; mad.wide.u32 %d1, %r1, 4, %d0;\n\
                st.local.u32 [%d1], %r0; ld.local.u32 %r10, [%d1];";
    let inputs: Vec<[u32; 1]> = (0..64).map(|n| [n]).collect();
    assert_eq!(map::<1, 1>(&inputs, body), inputs);
}

#[test]
fn halves_in_sixteen_bit_registers() {
    let body =
        "mov.b32 {%h0, %h1}, %r0; add.f16 %h2, %h0, %h1; fma.rn.f16 %h3, %h0, %h1, %h0; mov.b32 %r10, {%h2, %h3};";
    let word =
        |low: f32, high: f32| u32::from(f16::from_f32(high).to_bits()) << 16 | u32::from(f16::from_f32(low).to_bits());
    assert_eq!(one([word(1.5, 2.0)], body), word(3.5, 4.5));
}
