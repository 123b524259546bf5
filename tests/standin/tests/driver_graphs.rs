//! Graphs: captures with forks and joins, launches, what a capture refuses.

mod driver;

use driver::*;
use ptx_standin::abi::Handle;
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;
use ptx_standin::report::OperationKind;

/// Captures a fork and its join: a fill, then two fills of a half each on two streams, then a download.
fn fork_and_join(origin: Handle, side: Handle, at: u64, output: &mut [u8]) -> Handle {
    let (forked, joined) = (event(), event());
    let half = output.len() / 2;
    begin_capture(origin);
    // SAFETY: no pointers.
    unsafe {
        ok(cuMemsetD8Async(at, 1, output.len(), origin));
        record(forked, origin);
        ok(wait(side, forked));
        ok(cuMemsetD8Async(at, 2, half, origin));
        ok(cuMemsetD8Async(at + half as u64, 3, half, side));
        record(joined, side);
        ok(wait(origin, joined));
    }
    ok(download(output, at, origin));
    let graph = end_capture(origin).unwrap();
    release(&[], &[], &[forked, joined], &[]);
    graph
}

#[test]
fn a_graph_with_a_fork_runs_in_every_order() {
    for order in ORDERS {
        let run = isolated("a_graph_with_a_fork_runs_in_every_order", &[("ORDER", order)], || {
            start(0);
            let (origin, side) = (stream(), stream());
            let at = memory(64);
            let output = pinned(64);
            let graph = fork_and_join(origin, side, at, output);
            let executable = instantiate(graph);
            assert_eq!(output[0], 0xcd, "a captured operation does not run");
            for _ in 0..3 {
                output.fill(0);
                ok(launch(executable, origin));
                ok(synchronise(origin));
                assert_eq!(output, [[2; 32], [3; 32]].as_flattened());
            }
            // SAFETY: no pointers.
            unsafe {
                ok(cuGraphDestroy(graph));
                ok(cuGraphExecDestroy(executable));
            }
            ok(free_pinned(output));
            release(&[at], &[origin, side], &[], &[]);
            stop(0);
        });
        let Some(run) = run else { return };
        run.clean();
        let launches: Vec<_> = run.report.operations.iter().map(|o| o.graph_launch).collect();
        assert_eq!(launches, [[Some(1); 4], [Some(2); 4], [Some(3); 4]].as_flattened());
        let ids: Vec<_> = run.report.operations.iter().map(|o| o.id).collect();
        assert!(run.report.is_ordered(ids[0], ids[2]) && run.report.is_ordered(ids[2], ids[3]));
        assert!(!run.report.is_ordered(ids[1], ids[2]) && !run.report.is_ordered(ids[2], ids[1]));
    }
}

#[test]
fn launches_of_one_graph_follow_each_other_on_any_stream() {
    let run = isolated("launches_of_one_graph_follow_each_other_on_any_stream", &[("ORDER", "shuffled:2")], || {
        start(0);
        let (one, two) = (stream(), stream());
        let at = memory(64);
        let output = pinned(64);
        let graph = fork_and_join(one, two, at, output);
        let executable = instantiate(graph);
        ok(launch(executable, one));
        ok(launch(executable, two));
        // SAFETY: no pointers.
        unsafe { ok(cuCtxSynchronize()) };
    });
    let Some(run) = run else { return };
    assert!(run.report.findings.is_empty(), "{:?}", run.report.findings);
    let ids: Vec<_> = run.report.operations.iter().map(|o| o.id).collect();
    assert!(run.report.is_ordered(ids[3], ids[4]));
    let kinds: Vec<_> = run.report.leaks.iter().map(|leak| leak.kind.as_str()).collect();
    assert_eq!(kinds, ["stream", "stream", "memory", "pinned memory", "graph", "executable graph", "context"]);
}

#[test]
fn a_missing_join_within_a_graph_is_a_race() {
    let run = isolated("a_missing_join_within_a_graph_is_a_race", &[("ORDER", "lazy")], || {
        start(0);
        let (origin, side) = (stream(), stream());
        let (forked, joined) = (event(), event());
        let at = memory(64);
        begin_capture(origin);
        record(forked, origin);
        ok(wait(side, forked));
        // SAFETY: no pointers.
        unsafe {
            ok(cuMemsetD8Async(at, 1, 64, origin));
            ok(cuMemsetD8Async(at, 2, 64, side));
            record(joined, side);
            ok(wait(origin, joined));
        }
        let executable = instantiate(end_capture(origin).unwrap());
        ok(launch(executable, origin));
        assert_eq!(synchronise(origin), CUresult::LAUNCH_FAILED);
    });
    let Some(run) = run else { return };
    run.found("race");
}

#[test]
fn unjoined_work_ends_a_capture_without_a_graph() {
    let run = isolated("unjoined_work_ends_a_capture_without_a_graph", &[], || {
        start(0);
        let (origin, side) = (stream(), stream());
        let forked = event();
        let at = memory(64);
        begin_capture(origin);
        record(forked, origin);
        ok(wait(side, forked));
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 1, 64, side) });
        assert_eq!(end_capture(origin), Err(CUresult::STREAM_CAPTURE_UNJOINED));
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 1, 64, side) });
        release(&[at], &[origin, side], &[forked], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn what_a_capture_refuses_invalidates_it() {
    let run = isolated("what_a_capture_refuses_invalidates_it", &[], || {
        start(0);
        let (origin, other) = (stream(), stream());
        let (outside, inside) = (event(), event());
        let at = memory(64);
        record(outside, other);
        let mut place = 0;
        // SAFETY: no pointers but to local variables.
        let refused: [(&dyn Fn() -> CUresult, CUresult); 6] = unsafe {
            [
                (&|| wait(origin, outside), CUresult::STREAM_CAPTURE_ISOLATION),
                (&|| synchronise(origin), CUresult::STREAM_CAPTURE_UNSUPPORTED),
                (&|| cuCtxSynchronize(), CUresult::STREAM_CAPTURE_UNSUPPORTED),
                (&|| cuStreamQuery(origin), CUresult::STREAM_CAPTURE_UNSUPPORTED),
                (&|| cuMemFree_v2(at), CUresult::STREAM_CAPTURE_UNSUPPORTED),
                (&|| cuEventSynchronize(outside), CUresult::STREAM_CAPTURE_UNSUPPORTED),
            ]
        };
        for (call, code) in refused {
            begin_capture(origin);
            // SAFETY: no pointers.
            ok(unsafe { cuMemsetD8Async(at, 1, 64, origin) });
            assert_eq!(call(), code);
            // SAFETY: no pointers.
            let next = unsafe { cuMemsetD8Async(at, 1, 64, origin) };
            assert_eq!(next, CUresult::STREAM_CAPTURE_INVALIDATED);
            // SAFETY: a pointer to a local variable.
            assert_eq!(unsafe { get(|status| cuStreamIsCapturing(origin, status)) }, 2);
            assert_eq!(end_capture(origin), Err(CUresult::STREAM_CAPTURE_INVALIDATED));
        }
        begin_capture(origin);
        record(inside, origin);
        // SAFETY: a pointer to a local variable.
        unsafe {
            assert_eq!(cuEventQuery(inside), CUresult::CAPTURED_EVENT);
            assert_eq!(cuMemAlloc_v2(&mut place, 64), CUresult::STREAM_CAPTURE_UNSUPPORTED);
        }
        assert_eq!(end_capture(origin), Err(CUresult::STREAM_CAPTURE_INVALIDATED));
        assert_eq!(end_capture(origin), Err(CUresult::ILLEGAL_STATE));
        assert_eq!(wait(other, inside), CUresult::CAPTURED_EVENT);
        // SAFETY: no pointers.
        assert_eq!(unsafe { cuStreamBeginCapture_v2(0, 1) }, CUresult::STREAM_CAPTURE_UNSUPPORTED);
        release(&[at], &[origin, other], &[outside, inside], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn a_graph_that_copies_to_freed_pinned_memory_is_found() {
    let run = isolated("a_graph_that_copies_to_freed_pinned_memory_is_found", &[], || {
        start(0);
        let (origin, side) = (stream(), stream());
        let at = memory(64);
        let output = pinned(64);
        let executable = instantiate(fork_and_join(origin, side, at, output));
        ok(free_pinned(output));
        assert_eq!(launch(executable, origin), CUresult::ILLEGAL_ADDRESS);
    });
    let Some(run) = run else { return };
    run.found("pinned memory that was freed");
}

#[test]
fn a_captured_pipeline_lets_the_next_upload_start_before_the_kernel_ends() {
    let name = "a_captured_pipeline_lets_the_next_upload_start_before_the_kernel_ends";
    let run = isolated(name, &[], || {
        start(0);
        let module = load(ADD_ONE).unwrap();
        let kernel = function(module, "add_one");
        let count = 1 << 14;
        let slots: Vec<_> = (0..2)
            .map(|_| {
                let (stream, at, buffer) = (stream(), memory(count * 4), pinned(count * 4));
                buffer.fill(0);
                begin_capture(stream);
                ok(upload(at, buffer, stream));
                ok(add_one(kernel, at, count as u32, stream));
                ok(download(buffer, at, stream));
                let graph = end_capture(stream).unwrap();
                let executable = instantiate(graph);
                (stream, at, buffer, graph, executable)
            })
            .collect();
        for (stream, _, _, _, executable) in &slots {
            ok(launch(*executable, *stream));
        }
        for (stream, at, buffer, graph, executable) in slots {
            ok(synchronise(stream));
            assert_eq!(buffer, [1, 0, 0, 0].repeat(count));
            ok(free_pinned(buffer));
            // SAFETY: no pointers.
            unsafe {
                ok(cuGraphDestroy(graph));
                ok(cuGraphExecDestroy(executable));
            }
            release(&[at], &[stream], &[], &[]);
        }
        release(&[], &[], &[], &[module]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
    let uploads: Vec<_> = run.report.of_kind(OperationKind::Upload).collect();
    let kernels: Vec<_> = run.report.launches_of("add_one").collect();
    assert!(!run.report.is_ordered(kernels[0].id, uploads[1].id));
    assert!(uploads[1].overlaps(kernels[0]), "{uploads:?} {kernels:?}");
    assert!(!uploads[0].overlaps(kernels[0]) && !uploads[0].overlaps(uploads[1]));
}

#[test]
fn captures_do_not_mix_and_end_where_and_by_whom_they_began() {
    let run = isolated("captures_do_not_mix_and_end_where_and_by_whom_they_began", &[], || {
        start(0);
        let (one, two) = (stream(), stream());
        let (first, second) = (event(), event());
        begin_capture(one);
        begin_capture(two);
        record(first, one);
        assert_eq!(wait(two, first), CUresult::STREAM_CAPTURE_MERGE);
        assert_eq!(end_capture(one), Err(CUresult::STREAM_CAPTURE_INVALIDATED));
        assert_eq!(end_capture(two), Err(CUresult::STREAM_CAPTURE_INVALIDATED));

        begin_capture(one);
        record(second, one);
        ok(wait(two, second));
        let elsewhere = std::thread::spawn(move || end_capture(one)).join().unwrap();
        assert_eq!(elsewhere, Err(CUresult::STREAM_CAPTURE_WRONG_THREAD));
        assert_eq!(end_capture(two), Err(CUresult::STREAM_CAPTURE_UNMATCHED));
        assert_eq!(end_capture(one), Err(CUresult::STREAM_CAPTURE_INVALIDATED));
        release(&[], &[one, two], &[first, second], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn the_default_stream_may_not_wait_for_a_captured_one() {
    let run = isolated("the_default_stream_may_not_wait_for_a_captured_one", &[], || {
        start(0);
        let at = memory(64);
        // SAFETY: a pointer to a local variable.
        let blocking = unsafe { get(|stream| cuStreamCreate(stream, 0)) };
        begin_capture(blocking);
        // SAFETY: no pointers.
        assert_eq!(unsafe { cuMemsetD8Async(at, 0, 64, 0) }, CUresult::STREAM_CAPTURE_IMPLICIT);
        assert_eq!(end_capture(blocking), Err(CUresult::STREAM_CAPTURE_INVALIDATED));
        release(&[at], &[blocking], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn a_graph_launched_into_a_capture_becomes_part_of_it() {
    let run = isolated("a_graph_launched_into_a_capture_becomes_part_of_it", &[("ORDER", "lazy:last")], || {
        start(0);
        let (origin, side) = (stream(), stream());
        let (at, output) = (memory(64), pinned(64));
        let inner = fork_and_join(origin, side, at, output);
        let executable = instantiate(inner);
        begin_capture(origin);
        ok(launch(executable, origin));
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 9, 64, origin) });
        ok(download(&mut output[..8], at, origin));
        let outer = end_capture(origin).unwrap();
        let outer_executable = instantiate(outer);
        ok(launch(outer_executable, origin));
        ok(synchronise(origin));
        assert_eq!((output[0], output[8], output[63]), (9, 2, 3));
        // SAFETY: no pointers.
        unsafe {
            [inner, outer].iter().for_each(|graph| ok(cuGraphDestroy(*graph)));
            [executable, outer_executable].iter().for_each(|graph| ok(cuGraphExecDestroy(*graph)));
        }
        ok(free_pinned(output));
        release(&[at], &[origin, side], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}
