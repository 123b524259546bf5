//! Pinned memory: too early a free, and copies that nothing orders.

mod driver;

use driver::*;
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;

#[test]
fn pinned_memory_freed_under_a_copy_is_found_in_every_order() {
    for order in ORDERS {
        let run = isolated("pinned_memory_freed_under_a_copy_is_found_in_every_order", &[("ORDER", order)], || {
            start(0);
            let stream = stream();
            let at = memory(64);
            let buffer = pinned(64);
            ok(upload(at, buffer, stream));
            assert_eq!(free_pinned(buffer), CUresult::ILLEGAL_ADDRESS);
            assert_eq!(synchronise(stream), CUresult::ILLEGAL_ADDRESS);
        });
        let Some(run) = run else { return };
        run.found("nothing says that a copy has ended: command 1: upload (64 bytes) on stream 1");
    }
}

#[test]
fn pinned_memory_may_go_when_an_event_has_told_the_end() {
    let name = "pinned_memory_may_go_when_an_event_has_told_the_end";
    for order in ORDERS {
        let run = isolated(name, &[("ORDER", order)], || {
            start(0);
            let stream = stream();
            let done = event();
            let at = memory(64);
            let buffer = pinned(64);
            ok(upload(at, buffer, stream));
            record(done, stream);
            // SAFETY: no pointers.
            ok(unsafe { cuEventSynchronize(done) });
            ok(free_pinned(buffer));
            release(&[at], &[stream], &[done], &[]);
            stop(0);
        });
        let Some(run) = run else { return };
        run.clean();
    }
}

#[test]
fn two_copies_that_nothing_orders_race_on_pinned_memory() {
    let run = isolated("two_copies_that_nothing_orders_race_on_pinned_memory", &[], || {
        start(0);
        let (one, two) = (stream(), stream());
        let at = memory(64);
        let buffer = pinned(64);
        ok(upload(at, &[1; 64], one));
        ok(synchronise(one));
        ok(download(&mut buffer[..32], at, one));
        ok(download(&mut buffer[32..], at, two));
        ok(download(&mut buffer[16..48], at, two));
        assert_eq!(synchronise(two), CUresult::LAUNCH_FAILED);
    });
    let Some(run) = run else { return };
    run.found("race on pinned host memory");
    run.found("command 2: download (32 bytes) on stream 1; command 4: download (32 bytes) on stream 2");
}

#[test]
fn a_copy_beyond_pinned_memory_is_found() {
    let run = isolated("a_copy_beyond_pinned_memory_is_found", &[], || {
        start(0);
        let stream = stream();
        let at = memory(64);
        let buffer = pinned(32);
        // SAFETY: the copy is stopped before it reads.
        let _ = unsafe { cuMemcpyHtoDAsync_v2(at, buffer.as_ptr().cast(), 64, stream) };
        assert_eq!(synchronise(stream), CUresult::ILLEGAL_ADDRESS);
    });
    let Some(run) = run else { return };
    run.found("32 bytes of pinned memory");
}

#[test]
fn registered_memory_is_pinned_memory_of_the_user() {
    let run = isolated("registered_memory_is_pinned_memory_of_the_user", &[("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let at = memory(4);
        let mut mine = vec![1_u8; 4];
        let mut result = [0; 4];
        // SAFETY: the vector lives until it is not registered any more.
        unsafe {
            ok(cuMemHostRegister_v2(mine.as_mut_ptr().cast(), 4, 0));
            let again = cuMemHostRegister_v2(mine.as_mut_ptr().cast(), 4, 0);
            assert_eq!(again, CUresult::HOST_MEMORY_ALREADY_REGISTERED);
            ok(upload(at, &mine, stream));
            mine.fill(2);
            ok(download(&mut result, at, stream));
            assert_eq!(result, [2; 4]);
            assert_eq!(cuMemFreeHost(mine.as_mut_ptr().cast()), CUresult::INVALID_VALUE);
            ok(cuMemHostUnregister(mine.as_mut_ptr().cast()));
            assert_eq!(cuMemHostUnregister(mine.as_mut_ptr().cast()), CUresult::HOST_MEMORY_NOT_REGISTERED);
        }
        release(&[at], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    assert_eq!(run.report.findings.len(), 2);
    assert!(run.report.leaks.is_empty());
}
