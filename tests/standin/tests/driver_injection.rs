//! Failures on request.

mod driver;

use driver::*;
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;

#[test]
fn the_nth_call_of_each_kind_fails_once_with_its_code() {
    let fail = "alloc:2,host:1,module:1,stream:2,event:1,instantiate:1,cuStreamQuery:2=702";
    let run = isolated("the_nth_call_of_each_kind_fails_once_with_its_code", &[("FAIL", fail)], || {
        start(0);
        let at = memory(64);
        let mut place = 0;
        let mut host = std::ptr::null_mut();
        let stream = stream();
        // SAFETY: pointers to local variables.
        unsafe {
            assert_eq!(cuMemAllocAsync(&mut place, 64, stream), CUresult::OUT_OF_MEMORY);
            assert_eq!(cuMemHostAlloc(&mut host, 64, 0), CUresult::OUT_OF_MEMORY);
            assert_eq!(cuStreamCreate(&mut place, 0), CUresult::OUT_OF_MEMORY);
            assert_eq!(cuEventCreate(&mut place, 0), CUresult::OUT_OF_MEMORY);
            assert_eq!(load(ADD_ONE), Err(CUresult::INVALID_PTX));
            begin_capture(stream);
            let graph = end_capture(stream).unwrap();
            assert_eq!(cuGraphInstantiateWithFlags(&mut place, graph, 0), CUresult::OUT_OF_MEMORY);
            ok(cuGraphExecDestroy(instantiate(graph)));
            ok(cuGraphDestroy(graph));
            ok(cuStreamQuery(stream));
            assert_eq!(cuStreamQuery(stream), CUresult::LAUNCH_TIMEOUT);
            ok(cuStreamQuery(stream));
        }
        ok(free_pinned(pinned(64)));
        release(&[at, memory(64)], &[stream], &[event()], &[load(ADD_ONE).unwrap()]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
    assert_eq!(run.report.injected.len(), 7, "{:?}", run.report.injected);
}

/// Something that fails on the device: the call succeeds, later ones give the code, all can be released.
fn fails_on_the_device(test: &str, fail: &str, code: CUresult, call: impl Fn(u64, u64) -> CUresult) {
    for order in ["eager", "lazy"] {
        let run = isolated(test, &[("FAIL", fail), ("ORDER", order)], || {
            start(0);
            let (stream, at) = (stream(), memory(64));
            // SAFETY: no pointers.
            ok(unsafe { cuMemsetD8Async(at, 0, 64, stream) });
            ok(call(stream, at));
            assert_eq!(synchronise(stream), code);
            // SAFETY: no pointers.
            unsafe {
                assert_eq!(cuCtxSynchronize(), code);
                assert_eq!(cuMemFree_v2(at), code);
                assert_eq!(cuStreamDestroy_v2(stream), code);
                ok(cuDevicePrimaryCtxReset_v2(0));
            }
            stop(0);
        });
        let Some(run) = run else { return };
        run.found("injected failure");
        assert_eq!(run.report.findings.len(), 1);
    }
}

#[test]
fn a_copy_can_fail() {
    let call = |stream, at| upload(at, &[1; 64], stream);
    fails_on_the_device("a_copy_can_fail", "copy:1", CUresult::ILLEGAL_ADDRESS, call);
}

#[test]
fn a_launch_can_fail() {
    fails_on_the_device("a_launch_can_fail", "launch:1", CUresult::LAUNCH_FAILED, |stream, at| {
        let module = load(ADD_ONE).unwrap();
        add_one(function(module, "add_one"), at, 16, stream)
    });
}

#[test]
fn the_launch_of_a_graph_can_fail() {
    fails_on_the_device("the_launch_of_a_graph_can_fail", "graph:1=702", CUresult::LAUNCH_TIMEOUT, |stream, at| {
        begin_capture(stream);
        // SAFETY: no pointers.
        ok(unsafe { cuMemsetD8Async(at, 0, 64, stream) });
        let graph = end_capture(stream).unwrap();
        launch(instantiate(graph), stream)
    });
}

#[test]
fn a_lost_device_gives_its_code_for_ever_and_yet_lets_go() {
    for (setting, code) in [("9", CUresult::DEVICE_UNAVAILABLE), ("9=700", CUresult::ILLEGAL_ADDRESS)] {
        let name = "a_lost_device_gives_its_code_for_ever_and_yet_lets_go";
        let run = isolated(name, &[("LOST", setting), ("ORDER", "lazy")], || {
            let given = std::env::var("SRUP_STANDIN_LOST").unwrap();
            let code = if given == "9" { CUresult::DEVICE_UNAVAILABLE } else { CUresult::ILLEGAL_ADDRESS };
            start(0);
            let (stream, event, at, buffer) = (stream(), event(), memory(64), pinned(64));
            ok(upload(at, buffer, stream));
            // The ninth call.
            assert_eq!(synchronise(stream), code);
            // SAFETY: no pointers but to local variables.
            unsafe {
                assert_eq!(cuInit(0), code);
                assert_eq!(cuMemAlloc_v2(&mut 0, 4), code);
                assert_eq!(cuMemFree_v2(at), code);
                assert_eq!(free_pinned(buffer), code);
                assert_eq!(cuEventDestroy_v2(event), code);
                assert_eq!(cuStreamDestroy_v2(stream), code);
                assert_eq!(cuDevicePrimaryCtxRelease_v2(0), code);
                assert_eq!(cuDevicePrimaryCtxRetain(&mut 0, 0), code);
            }
        });
        let Some(run) = run else { return };
        run.clean();
        assert_eq!(run.report.injected, [format!("lost: {code}")]);
    }
}

#[test]
fn settings_that_are_not_understood_end_the_process() {
    if std::env::var_os("PTX_STANDIN_TEST_BAD").is_some() {
        // SAFETY: no pointers.
        let _ = unsafe { cuInit(0) };
        unreachable!("the process has ended");
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "settings_that_are_not_understood_end_the_process", "--nocapture"]);
    let output = command.env("PTX_STANDIN_TEST_BAD", "1").env("SRUP_STANDIN_ORDER", "random").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ptx-standin: SRUP_STANDIN_ORDER=random: not eager"), "{errors}");
}
