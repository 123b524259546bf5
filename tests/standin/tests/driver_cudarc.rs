//! Through cudarc: the library is loaded as the driver, from the library path.

mod driver;

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;
use driver::{ADD_ONE, ORDERS, isolated};
use ptx_standin::report::OperationKind;

#[test]
fn cudarc_runs_a_kernel_on_two_streams() {
    for order in ORDERS {
        let run = isolated("cudarc_runs_a_kernel_on_two_streams", &[("ORDER", order)], || {
            let context = CudaContext::new(0).unwrap();
            assert_eq!(context.compute_capability().unwrap(), (8, 6));
            assert!(context.name().unwrap().contains("stand-in"));
            let kernel = context.load_module(Ptx::from_src(ADD_ONE)).unwrap().load_function("add_one").unwrap();
            let (one, two) = (context.new_stream().unwrap(), context.new_stream().unwrap());
            let mut numbers = one.clone_htod(&[41_u32; 100]).unwrap();
            two.join(&one).unwrap();
            let mut launch = two.launch_builder(&kernel);
            launch.arg(&mut numbers).arg(&100_u32);
            // SAFETY: the kernel's parameters, and as many numbers as it is told.
            unsafe { launch.launch(LaunchConfig::for_num_elems(100)) }.unwrap();
            assert_eq!(two.clone_dtoh(&numbers).unwrap(), [42; 100]);
        });
        let Some(run) = run else { return };
        run.clean();
        assert_eq!(run.report.kernels["add_one"].launches, 1);
        assert!(run.report.calls["cuLaunchKernel"] == 1);
    }
}

#[test]
fn cudarc_captures_and_launches_a_graph() {
    let run = isolated("cudarc_captures_and_launches_a_graph", &[("ORDER", "shuffled:11")], || {
        let context = CudaContext::new(0).unwrap();
        // SAFETY: one stream alone.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().unwrap();
        let kernel = context.load_module(Ptx::from_src(ADD_ONE)).unwrap().load_function("add_one").unwrap();
        let mut numbers = stream.alloc_zeros::<u32>(100).unwrap();
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&mut numbers).arg(&100_u32);
        // SAFETY: the kernel's parameters, and as many numbers as it is told.
        unsafe { launch.launch(LaunchConfig::for_num_elems(100)) }.unwrap();
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
        for _ in 0..5 {
            graph.launch().unwrap();
        }
        assert_eq!(stream.clone_dtoh(&numbers).unwrap(), [5; 100]);
    });
    let Some(run) = run else { return };
    run.clean();
    assert_eq!(run.report.of_kind(OperationKind::Kernel).count(), 5);
}

#[test]
fn cudarc_gets_the_driver_s_errors() {
    let run = isolated("cudarc_gets_the_driver_s_errors", &[("MEMORY", "4096")], || {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let error = stream.alloc_zeros::<u8>(5000).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(error.error_string().unwrap(), c"out of memory");
        let error = context.load_module(Ptx::from_src("no PTX")).unwrap_err();
        assert_eq!(error.0, sys::CUresult::CUDA_ERROR_INVALID_PTX);
    });
    let Some(run) = run else { return };
    run.clean();
}
