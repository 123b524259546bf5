//! Streams: orders, waits, races between them, the default stream.

mod driver;

use driver::*;
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;

/// Uploads on one stream, adds one on a second, downloads on a third; a wait between them may be left out.
fn pipeline(wait_for_upload: bool, wait_for_kernel: bool) -> (Vec<u8>, [CUresult; 3]) {
    start(0);
    let (down, run, up) = (stream(), stream(), stream());
    let (uploaded, done) = (event(), event());
    let (input, output) = (pinned(256), pinned(256));
    input.fill(1);
    output.fill(0);
    let at = memory(256);
    let module = load(ADD_ONE).unwrap();
    let kernel = function(module, "add_one");
    ok(upload(at, input, up));
    // Where the context is broken already, that shows at the end.
    // SAFETY: no pointers.
    let _ = unsafe { cuEventRecord(uploaded, up) };
    if wait_for_upload {
        let _ = wait(run, uploaded);
    }
    let _ = add_one(kernel, at, 64, run);
    // SAFETY: no pointers.
    let _ = unsafe { cuEventRecord(done, run) };
    if wait_for_kernel {
        let _ = wait(down, done);
    }
    let _ = download(output, at, down);
    let ended = [down, run, up].map(synchronise);
    let result = output.to_vec();
    if ended == [CUresult::SUCCESS; 3] {
        ok(free_pinned(input));
        ok(free_pinned(output));
        release(&[at], &[up, run, down], &[uploaded, done], &[module]);
        stop(0);
    }
    (result, ended)
}

fn right() -> Vec<u8> {
    [2, 1, 1, 1].repeat(64)
}

#[test]
fn a_pipeline_with_all_waits_is_right_in_every_order() {
    for order in ORDERS {
        let name = "a_pipeline_with_all_waits_is_right_in_every_order";
        let run = isolated(name, &[("ORDER", order)], || assert_eq!(pipeline(true, true).0, right()));
        let Some(run) = run else { return };
        run.clean();
        assert_eq!(run.report.kernels["add_one"].launches, 1);
    }
}

#[test]
fn a_missing_wait_for_an_upload_is_a_race_though_the_result_is_right() {
    let name = "a_missing_wait_for_an_upload_is_a_race_though_the_result_is_right";
    let run = isolated(name, &[], || {
        let (_, ended) = pipeline(false, true);
        assert_eq!(ended[0], CUresult::LAUNCH_FAILED);
    });
    let Some(run) = run else { return };
    run.found("race");
    run.found(": kernel (add_one) on stream 2");
    run.found(": upload (256 bytes) on stream 3");
    assert!(run.errors.contains("ptx-standin: race"), "{}", run.errors);
}

#[test]
fn a_missing_wait_for_a_kernel_is_a_race() {
    let run = isolated("a_missing_wait_for_a_kernel_is_a_race", &[], || {
        let (_, ended) = pipeline(true, false);
        assert_eq!(ended, [CUresult::LAUNCH_FAILED; 3]);
    });
    let Some(run) = run else { return };
    run.found("race");
}

#[test]
fn without_checks_a_missing_wait_shows_as_wrong_data_when_work_runs_late() {
    // The stream that downloads is the oldest: what it should wait for runs after it.
    let name = "without_checks_a_missing_wait_shows_as_wrong_data_when_work_runs_late";
    let run = isolated(name, &[("ORDER", "lazy"), ("CHECKS", "none")], || {
        assert_ne!(pipeline(true, false).0, right());
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn without_checks_a_missing_wait_shows_as_wrong_data_under_most_seeds() {
    let name = "without_checks_a_missing_wait_shows_as_wrong_data_under_most_seeds";
    let (mut wrong, mut orders) = (0, Vec::new());
    for seed in [0, 1, 2, 3, 4, 5, 6, 7, 7] {
        let order = format!("shuffled:{seed}");
        let run = isolated(name, &[("ORDER", &order), ("CHECKS", "none")], || {
            println!("right: {}", pipeline(true, false).0 == right());
        });
        let Some(run) = run else { return };
        wrong += u32::from(run.printed.contains("right: false"));
        orders.push(run.report.operations.iter().map(|o| o.ran).collect::<Vec<_>>());
    }
    assert!(wrong >= 5, "{wrong} of 9");
    assert_eq!(orders[7], orders[8], "a seed gives one order");
    assert!(orders.iter().any(|order| *order != orders[0]), "seeds give different orders");
}

#[test]
fn waits_of_the_host_order_what_is_issued_later() {
    let run = isolated("waits_of_the_host_order_what_is_issued_later", &[("ORDER", "shuffled:5")], || {
        start(0);
        let (one, two) = (stream(), stream());
        let done = event();
        let at = memory(64);
        let mut result = [0; 64];
        ok(upload(at, &[7; 64], one));
        ok(synchronise(one));
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 9, 32, two) });
        record(done, two);
        // SAFETY: no pointers.
        while unsafe { cuEventQuery(done) } == CUresult::NOT_READY {}
        ok(download(&mut result, at, one));
        assert_eq!(result, *[[9; 32], [7; 32]].as_flattened());
        release(&[at], &[one, two], &[done], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
    let ids: Vec<_> = run.report.operations.iter().map(|o| o.id).collect();
    assert!(run.report.is_ordered(ids[0], ids[1]) && run.report.is_ordered(ids[1], ids[3]));
    assert!(!run.report.is_ordered(ids[1], ids[0]));
}

#[test]
fn pageable_memory_is_staged_when_the_copy_is_asked_for_and_pinned_memory_read_when_it_runs() {
    let name = "pageable_memory_is_staged_when_the_copy_is_asked_for_and_pinned_memory_read_when_it_runs";
    let run = isolated(name, &[("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let at = memory(8);
        let mut pageable = [1; 4];
        let fixed = pinned(4);
        fixed.fill(1);
        ok(upload(at, &pageable, stream));
        ok(upload(at + 4, fixed, stream));
        pageable.fill(2);
        fixed.fill(2);
        let mut result = [0; 8];
        ok(download(&mut result, at, stream));
        assert_eq!((result, pageable), ([1, 1, 1, 1, 2, 2, 2, 2], [2; 4]));
        ok(free_pinned(fixed));
        release(&[at], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn the_default_stream_waits_for_blocking_streams_and_they_for_it() {
    for order in ["lazy", "lazy:last", "shuffled:3"] {
        let name = "the_default_stream_waits_for_blocking_streams_and_they_for_it";
        let run = isolated(name, &[("ORDER", order)], || {
            start(0);
            // SAFETY: a pointer to a local variable.
            let blocking = unsafe { get(|stream| cuStreamCreate(stream, 0)) };
            let at = memory(16);
            let mut result = [0; 16];
            ok(upload(at, &[1; 16], blocking));
            // SAFETY: no pointers.
            ok(unsafe { cuMemsetD8Async(at, 2, 8, 0) });
            ok(upload(at, &[3; 4], blocking));
            ok(download(&mut result, at, 0));
            assert_eq!(result, [3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
            release(&[at], &[blocking], &[], &[]);
            stop(0);
        });
        let Some(run) = run else { return };
        run.clean();
    }
}

#[test]
fn a_stream_that_does_not_block_races_with_the_default_stream() {
    let run = isolated("a_stream_that_does_not_block_races_with_the_default_stream", &[], || {
        start(0);
        let other = stream();
        let at = memory(16);
        // SAFETY: no pointers.
        unsafe {
            ok(cuMemsetD8Async(at, 1, 16, 0));
            ok(cuMemsetD8Async(at, 2, 16, other));
            assert_eq!(cuCtxSynchronize(), CUresult::LAUNCH_FAILED);
        }
    });
    let Some(run) = run else { return };
    run.found("race");
}

#[test]
fn rows_are_copied_with_their_pitches() {
    let run = isolated("rows_are_copied_with_their_pitches", &[("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let at = memory(64);
        let source: Vec<u8> = (0..30).collect();
        let mut copy = ptx_standin::abi::CUDA_MEMCPY2D {
            srcXInBytes: 1,
            srcY: 1,
            srcMemoryType: 1,
            srcHost: source.as_ptr().cast(),
            srcDevice: 0,
            srcArray: std::ptr::null_mut(),
            srcPitch: 10,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: 2,
            dstHost: std::ptr::null_mut(),
            dstDevice: at,
            dstArray: std::ptr::null_mut(),
            dstPitch: 16,
            WidthInBytes: 4,
            Height: 2,
        };
        let mut row = [0; 4];
        // SAFETY: two rows of ten bytes are behind the source's first.
        unsafe { ok(cuMemcpy2DAsync_v2(&copy, stream)) };
        ok(download(&mut row, at + 16, stream));
        assert_eq!(row, [21, 22, 23, 24]);
        copy.Height = 9;
        // SAFETY: refused for the destination, before the source is read.
        assert_eq!(unsafe { cuMemcpy2DAsync_v2(&copy, stream) }, CUresult::INVALID_VALUE);
        release(&[at], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.found("not within an allocation");
}

#[test]
fn functions_are_called_in_stream_order_and_may_not_call_the_driver() {
    use std::ffi::c_void;
    unsafe extern "C" fn note(data: *mut c_void) {
        let mut free = 0;
        // SAFETY: a pointer to a local variable; `data` is the test's list, which nobody uses meanwhile.
        unsafe {
            assert_eq!(cuMemGetInfo_v2(&mut free, &mut 0), CUresult::NOT_PERMITTED);
            (*data.cast::<Vec<u8>>()).push(1);
        }
    }
    let name = "functions_are_called_in_stream_order_and_may_not_call_the_driver";
    let run = isolated(name, &[("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let list = Box::into_raw(Box::new(Vec::<u8>::new()));
        // SAFETY: the list lives to the end of the test, and is looked at when nothing runs.
        unsafe {
            ok(cuLaunchHostFunc(stream, Some(note), list.cast()));
            ok(cuLaunchHostFunc(stream, Some(note), list.cast()));
            assert!((*list).is_empty());
            ok(synchronise(stream));
            assert_eq!(*Box::from_raw(list), [1, 1]);
        }
        release(&[], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn elapsed_time_is_that_of_the_ideal_device() {
    let run = isolated("elapsed_time_is_that_of_the_ideal_device", &[("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let (before, after) = (event(), event());
        let at = memory(25_000_000);
        record(before, stream);
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 0, 25_000_000, stream) });
        record(after, stream);
        let mut time = 0.0;
        // SAFETY: a pointer to a local variable.
        assert_eq!(unsafe { cuEventElapsedTime(&mut time, before, after) }, CUresult::NOT_READY);
        ok(synchronise(stream));
        // SAFETY: a pointer to a local variable.
        ok(unsafe { cuEventElapsedTime(&mut time, before, after) });
        assert_eq!(time, 1.0);
        release(&[at], &[stream], &[before, after], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn a_query_lets_one_more_operation_run() {
    let run = isolated("a_query_lets_one_more_operation_run", &[("ORDER", "lazy")], || {
        start(0);
        // SAFETY: a pointer to a local variable.
        let stream = unsafe { get(|stream| cuStreamCreateWithPriority(stream, 1, -9)) };
        // SAFETY: a pointer to a local variable.
        assert_eq!(unsafe { get(|priority| cuStreamGetPriority(stream, priority)) }, -5);
        let at = memory(64);
        // SAFETY: no pointers.
        unsafe {
            (1..4).for_each(|byte| ok(cuMemsetD8Async(at, byte, 64, stream)));
            let answers = [(); 3].map(|()| cuStreamQuery(stream));
            assert_eq!(answers, [CUresult::NOT_READY, CUresult::NOT_READY, CUresult::SUCCESS]);
        }
        release(&[at], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn each_thread_has_a_default_stream_of_its_own() {
    let run = isolated("each_thread_has_a_default_stream_of_its_own", &[("ORDER", "lazy")], || {
        start(0);
        let (one, two) = (memory(64), memory(64));
        let fill = move |at| {
            start(0);
            // SAFETY: no pointers.
            ok(unsafe { cuMemsetD8Async(at, 1, 64, 2) });
        };
        fill(one);
        std::thread::spawn(move || fill(two)).join().unwrap();
        // SAFETY: no pointers.
        ok(unsafe { cuStreamSynchronize(2) });
        release(&[one, two], &[], &[], &[]);
        (0..3).for_each(|_| stop(0));
    });
    let Some(run) = run else { return };
    run.clean();
    let streams: Vec<_> = run.report.operations.iter().map(|o| o.stream).collect();
    assert_eq!(streams, [1, 2]);
}
