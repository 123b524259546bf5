//! Device memory as copies see it: bounds, lifetime, initialised bytes, order between stream operations.

use ptx_standin::counters::Counters;
use ptx_standin::fault::{Fault, Kind};
use ptx_standin::launch::{Globals, Launch, Order};
use ptx_standin::memory::{Access, Address, Checks, CommandId, Memory};
use ptx_standin::ptx;

use crate::common::module;

fn later(earlier: CommandId, later: CommandId) -> bool {
    earlier < later
}

fn by(command: CommandId) -> Access<'static> {
    Access { by: command, ordered: &later }
}

#[test]
fn allocations_are_counted_and_never_used_again() {
    let mut memory = Memory::new(Checks::default());
    let (a, b) = (memory.allocate(100), memory.allocate(50));
    assert!(a.is_multiple_of(256) && b.is_multiple_of(256) && a != b);
    assert_eq!((memory.used(), memory.live().collect::<Vec<_>>()), (150, vec![(a, 100), (b, 50)]));
    assert!(memory.contains(a + 40, 60) && !memory.contains(a + 41, 60) && !memory.contains(0, 1));
    memory.free(a).expect("it is live");
    assert_eq!(memory.free(a), Err(Fault::BadFree { address: a, again: true }));
    assert_eq!(memory.free(b + 8), Err(Fault::BadFree { address: b + 8, again: false }));
    assert_eq!(memory.free(0), Err(Fault::BadFree { address: 0, again: false }));
    assert_eq!(memory.used(), 50);
    assert_ne!(memory.allocate(100), a);
    let freed = memory.write(a, &[1], &by(1));
    assert_eq!(freed, Err(Fault::Freed { kind: Kind::Write, address: a, bytes: 1 }));
}

#[test]
fn copies_within_bounds_of_what_was_written() {
    let mut memory = Memory::new(Checks::default());
    let (a, b) = (memory.allocate(16), memory.allocate(16));
    memory.write(a, &[1, 2, 3, 4], &by(1)).expect("in bounds");
    memory.fill(a + 4, 9, 4, &by(1)).expect("in bounds");
    memory.copy(b + 2, a, 8, &by(2)).expect("in bounds");
    let mut out = [0; 8];
    memory.read(b + 2, &mut out, &by(3)).expect("written");
    assert_eq!(out, [1, 2, 3, 4, 9, 9, 9, 9]);
    assert!(matches!(memory.read(b, &mut out, &by(3)), Err(Fault::Uninitialised { address, .. }) if address == b));
    assert!(matches!(memory.copy(b, a, 9, &by(4)), Err(Fault::Uninitialised { address, .. }) if address == a + 8));
    assert!(matches!(memory.write(b + 9, &[0; 8], &by(4)), Err(Fault::OutOfBounds { limit: 16, .. })));
}

#[test]
fn stream_operations_that_nothing_orders_race() {
    let pairs = [(Kind::Write, Kind::Read), (Kind::Write, Kind::Write), (Kind::Read, Kind::Write)];
    for (earlier_kind, kind) in pairs {
        let mut memory = Memory::new(Checks::default());
        let a = memory.allocate(64);
        memory.write(a, &[0; 64], &by(1)).expect("fresh");
        let unordered = |earlier: CommandId, later: CommandId| (earlier, later) != (2, 3);
        let operate = |kind, by, at: Address| match kind {
            Kind::Read => memory.read(at, &mut [0; 4], &Access { by, ordered: &unordered }),
            Kind::Write => memory.write(at, &[0; 4], &Access { by, ordered: &unordered }),
        };
        operate(earlier_kind, 2, a + 8).expect("ordered");
        let race = Fault::Race { kind, address: a + 8, earlier_kind, earlier: 2, later: 3 };
        assert_eq!(operate(kind, 3, a + 8), Err(race));
    }
}

#[test]
fn what_is_ordered_or_apart_is_no_race() {
    let mut memory = Memory::new(Checks::default());
    let a = memory.allocate(64);
    let never = |_: CommandId, _: CommandId| false;
    let alone = |by| Access { by, ordered: &never };
    memory.write(a, &[1; 2], &alone(1)).expect("fresh");
    memory.write(a + 2, &[1; 2], &alone(2)).expect("other bytes of the word");
    memory.write(a + 32, &[1; 4], &alone(0)).expect("fresh");
    memory.read(a + 32, &mut [0; 4], &alone(3)).expect("the host comes before");
    memory.read(a + 32, &mut [0; 4], &alone(4)).expect("two readers");
    let unchecked = Checks { races: false, ..Checks::default() };
    let mut memory = Memory::new(unchecked);
    let a = memory.allocate(4);
    memory.write(a, &[1; 4], &alone(1)).expect("fresh");
    memory.write(a, &[1; 4], &alone(2)).expect("not checked");
}

#[test]
fn a_kernel_races_with_a_copy() {
    let text = module("", "ld.global.u32 %r0, [%d99]; st.global.u32 [%d98], %r0;");
    let module = ptx::parse(&text).expect("it is right");
    let mut memory = Memory::new(Checks::default());
    let (to, from) = (memory.allocate(4), memory.allocate(4));
    memory.write(from, &[7; 4], &by(1)).expect("fresh");
    let parameters = [to.to_le_bytes(), from.to_le_bytes()].concat();
    let run = |access: &Access<'_>| {
        Launch {
            kernel: &module.kernels[0],
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
            parameters: &parameters,
            memory: &memory,
            globals: &Globals::default(),
            order: Order::Eager,
            checks: Checks::default(),
            access,
        }
        .run(&mut Counters::default())
    };
    run(&by(2)).expect("ordered after the copy");
    let fault = run(&Access { by: 3, ordered: &|earlier, _| earlier != 1 }).expect_err("not ordered after the copy");
    assert!(matches!(fault.cause(), Fault::Race { earlier: 1, later: 3, kind: Kind::Read, .. }), "{fault}");
    let wrong = Launch {
        kernel: &module.kernels[0],
        grid: [1; 3],
        block: [1; 3],
        dynamic_shared: 0,
        parameters: &parameters[..12],
        memory: &memory,
        globals: &Globals::default(),
        order: Order::Eager,
        checks: Checks::default(),
        access: &by(4),
    };
    let fault = wrong.run(&mut Counters::default()).expect_err("a parameter is missing");
    assert!(matches!(fault, Fault::Parameters { expected: 16, given: 12, .. }), "{fault}");
}
