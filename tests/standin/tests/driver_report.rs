//! The report: what is in it, and what it says about order and time.

mod driver;

use driver::*;
use ptx_standin::code::CUresult;
use ptx_standin::report::OperationKind;

#[test]
fn the_report_tells_calls_operations_counters_and_findings() {
    let run = isolated("the_report_tells_calls_operations_counters_and_findings", &[("ORDER", "lazy:last")], || {
        start(0);
        let (up, run) = (stream(), stream());
        let uploaded = event();
        let module = load(ADD_ONE).unwrap();
        let (at, input) = (memory(256), pinned(250));
        ok(upload(at, input, up));
        record(uploaded, up);
        ok(wait(run, uploaded));
        ok(add_one(function(module, "add_one"), at, 64, run));
        // The last number is initialised by half.
        assert_eq!(synchronise(run), CUresult::LAUNCH_FAILED);
    });
    let Some(Run { report, .. }) = run else { return };
    assert_eq!((report.calls["cuInit"], report.calls["cuStreamCreate"], report.calls["cuLaunchKernel"]), (1, 2, 1));
    let kinds: Vec<_> = report.operations.iter().map(|o| o.kind).collect();
    use OperationKind::{Kernel, Record, Upload, Wait};
    assert_eq!(kinds, [Upload, Record, Wait, Kernel]);
    let dependencies: Vec<_> = report.operations.iter().map(|o| o.dependencies.clone()).collect();
    assert_eq!(dependencies, [vec![], vec![1], vec![2], vec![3]]);
    let [upload, _, _, kernel] = &report.operations[..] else { panic!("four operations") };
    assert_eq!((upload.stream, upload.bytes, upload.pinned, upload.ran), (1, 250, true, Some(1)));
    assert_eq!((upload.begin_ns, upload.end_ns), (0, 10));
    assert_eq!((kernel.stream, kernel.kernel.as_deref(), kernel.ran), (2, Some("add_one"), None));
    assert!(upload.issued < kernel.issued);
    assert!(report.is_ordered(upload.id, kernel.id) && !report.is_ordered(kernel.id, upload.id));
    assert_eq!(report.kernels["add_one"].launches, 1);
    assert_eq!(report.peak_memory, [256]);
    let [finding] = &report.findings[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((finding.operation, finding.result.as_str()), (Some(4), "CUDA_ERROR_LAUNCH_FAILED"));
    assert_eq!(finding.call, report.calls.values().sum::<u64>());
    for part in ["uninitialised", "add_one", "ld.global.u32", "command 4: kernel (add_one) on stream 2"] {
        assert!(finding.text.contains(part), "{part}: {}", finding.text);
    }
    let leaks: Vec<_> = report.leaks.iter().map(|leak| leak.kind.as_str()).collect();
    assert_eq!(leaks, ["stream", "stream", "memory", "pinned memory", "event", "module", "context"]);
}

#[test]
fn operations_beyond_the_trace_are_counted() {
    let run = isolated("operations_beyond_the_trace_are_counted", &[("TRACE", "2")], || {
        start(0);
        let (stream, at) = (stream(), memory(4));
        for _ in 0..5 {
            ok(upload(at, &[0; 4], stream));
        }
        release(&[at], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
    assert_eq!((run.report.operations.len(), run.report.operations_left_out), (2, 3));
}
