//! Devices, memory, modules and launches: limits, refusals, leaks.

mod driver;

use driver::*;
use ptx_standin::code::CUresult;
use ptx_standin::exports::*;

#[test]
fn memory_ends_where_the_settings_say() {
    let run = isolated("memory_ends_where_the_settings_say", &[("MEMORY", "1000"), ("ORDER", "lazy")], || {
        start(0);
        let stream = stream();
        let at = memory(600);
        let mut place = 0;
        // SAFETY: pointers to local variables.
        unsafe {
            assert_eq!(cuMemAlloc_v2(&mut place, 500), CUresult::OUT_OF_MEMORY);
            assert_eq!(cuMemAlloc_v2(&mut place, 0), CUresult::INVALID_VALUE);
            let (mut free, mut total) = (0, 0);
            ok(cuMemGetInfo_v2(&mut free, &mut total));
            assert_eq!((free, total), (400, 1000));
            // The free is pending, and runs when the memory is needed.
            ok(cuMemFreeAsync(at, stream));
            ok(cuMemAllocAsync(&mut place, 1000, stream));
        }
        release(&[place], &[stream], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
    assert_eq!(run.report.peak_memory, [1000]);
}

#[test]
fn what_is_not_released_is_a_leak() {
    let run = isolated("what_is_not_released_is_a_leak", &[], || {
        start(0);
        let stream = stream();
        event();
        memory(100);
        pinned(200);
        load(ADD_ONE).unwrap();
        begin_capture(stream);
        instantiate(end_capture(stream).unwrap());
        stop(0);
    });
    let Some(run) = run else { return };
    let leaks: Vec<_> = run.report.leaks.iter().map(|leak| (leak.kind.as_str(), leak.bytes)).collect();
    let expected = [
        ("stream", 0),
        ("memory", 100),
        ("pinned memory", 200),
        ("event", 0),
        ("graph", 0),
        ("executable graph", 0),
        ("module", 0),
    ];
    assert_eq!(leaks, expected);
    assert!(run.errors.contains("ptx-standin: leak on device 0: memory"), "{}", run.errors);
}

#[test]
fn what_is_released_twice_is_refused_and_found() {
    let run = isolated("what_is_released_twice_is_refused_and_found", &[("ORDER", "lazy")], || {
        start(0);
        let (stream, event, at, other) = (stream(), event(), memory(64), memory(64));
        let module = load(ADD_ONE).unwrap();
        // SAFETY: no pointers.
        unsafe {
            ok(cuMemFreeAsync(at, stream));
            assert_eq!(cuMemFreeAsync(at, stream), CUresult::INVALID_VALUE);
            assert_eq!(cuMemFree_v2(at), CUresult::INVALID_VALUE);
            assert_eq!(cuMemFree_v2(other + 16), CUresult::INVALID_VALUE);
            ok(cuMemFree_v2(0));
            release(&[other], &[stream], &[event], &[module]);
            assert_eq!(cuMemFree_v2(other), CUresult::INVALID_VALUE);
            assert_eq!(cuStreamDestroy_v2(stream), CUresult::INVALID_HANDLE);
            assert_eq!(cuEventDestroy_v2(event), CUresult::INVALID_HANDLE);
            assert_eq!(cuModuleUnload(module), CUresult::INVALID_HANDLE);
            assert_eq!(cuGraphDestroy(event), CUresult::INVALID_HANDLE);
            assert_eq!(cuStreamSynchronize(stream), CUresult::INVALID_HANDLE);
        }
        stop(0);
    });
    let Some(run) = run else { return };
    assert_eq!(run.report.findings.len(), 8, "{:#?}", run.report.findings);
    assert!(run.report.leaks.is_empty());
}

#[test]
fn memory_freed_in_stream_order_while_another_stream_uses_it_is_a_race() {
    let name = "memory_freed_in_stream_order_while_another_stream_uses_it_is_a_race";
    let run = isolated(name, &[], || {
        start(0);
        let (one, two) = (stream(), stream());
        let at = memory(64);
        // SAFETY: no pointers.
        unsafe {
            ok(cuMemsetD8Async(at, 1, 64, one));
            ok(cuMemFreeAsync(at, two));
            assert_eq!(cuCtxSynchronize(), CUresult::LAUNCH_FAILED);
        }
    });
    let Some(run) = run else { return };
    run.found("race");
}

#[test]
fn no_device_is_an_error_of_the_start() {
    let run = isolated("no_device_is_an_error_of_the_start", &[("DEVICES", "0")], || {
        let mut count = 7;
        // SAFETY: a pointer to a local variable.
        unsafe {
            assert_eq!(cuInit(0), CUresult::NO_DEVICE);
            assert_eq!(cuDeviceGetCount(&mut count), CUresult::NOT_INITIALIZED);
        }
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn two_devices_have_contexts_and_memory_of_their_own() {
    let run = isolated("two_devices_have_contexts_and_memory_of_their_own", &[("DEVICES", "2")], || {
        // SAFETY: pointers to local variables.
        unsafe {
            ok(cuInit(0));
            assert_eq!(get(|count| cuDeviceGetCount(count)), 2);
            assert_eq!(cuDeviceGet(&mut 0, 2), CUresult::INVALID_DEVICE);
            assert_eq!(cuMemAlloc_v2(&mut 0, 4), CUresult::INVALID_CONTEXT);
        }
        let mut places = Vec::new();
        for device in 0..2 {
            start(device);
            let (stream, at) = (stream(), memory(4));
            ok(upload(at, &[device as u8; 4], stream));
            places.push((stream, at));
        }
        // The second device's context is current.
        let mut result = [9; 4];
        ok(download(&mut result, places[0].1, places[0].0));
        assert_eq!(result, [0; 4]);
        assert_eq!(upload(places[0].1, &[1; 4], places[1].0), CUresult::INVALID_VALUE);
        for (device, (stream, at)) in places.iter().enumerate() {
            release(&[*at], &[*stream], &[], &[]);
            stop(device as i32);
        }
        // SAFETY: a pointer to a local variable.
        assert_eq!(unsafe { cuMemAlloc_v2(&mut 0, 4) }, CUresult::CONTEXT_IS_DESTROYED);
    });
    let Some(run) = run else { return };
    run.found("not within an allocation of device 1");
    assert!(run.report.leaks.is_empty());
}

#[test]
fn modules_newer_than_device_or_driver_are_refused_with_the_reason() {
    let name = "modules_newer_than_device_or_driver_are_refused_with_the_reason";
    let run = isolated(name, &[("CC", "75"), ("DRIVER", "11080")], || {
        start(0);
        let newer = ADD_ONE.replace("sm_75", "sm_80");
        assert_eq!(load(&newer), Err(CUresult::NO_BINARY_FOR_GPU));
        assert_eq!(load(&ADD_ONE.replace("7.0", "8.0")), Err(CUresult::UNSUPPORTED_PTX_VERSION));
        assert_eq!(load("\x7fELF"), Err(CUresult::NO_BINARY_FOR_GPU));
        let module = load(ADD_ONE).unwrap();
        release(&[], &[], &[], &[module]);
        stop(0);
    });
    let Some(run) = run else { return };
    assert!(run.errors.contains("PTX for sm_80: the device is sm_75"), "{}", run.errors);
    assert!(run.errors.contains("PTX 8.0: driver 11080 reads PTX up to 7.8"), "{}", run.errors);
}

#[test]
fn a_module_that_does_not_parse_leaves_its_reason_in_the_log() {
    let run = isolated("a_module_that_does_not_parse_leaves_its_reason_in_the_log", &[], || {
        start(0);
        let text = std::ffi::CString::new(ADD_ONE.replace("mad.lo.s32", "mad.what.s32")).unwrap();
        let mut log = [0_u8; 200];
        let mut options = [5, 6];
        let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
        // SAFETY: a text with its end, two options with two values, a buffer as long as they say.
        let code = unsafe {
            let options = options.as_mut_ptr();
            cuModuleLoadDataEx(&mut 0, text.as_ptr().cast(), 2, options, values.as_mut_ptr())
        };
        assert_eq!(code, CUresult::INVALID_PTX);
        let length = values[1].addr() - 1;
        let log = std::str::from_utf8(&log[..length]).unwrap();
        assert!(log.contains("mad.what.s32"), "{log}");
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn variables_of_modules_have_addresses() {
    let run = isolated("variables_of_modules_have_addresses", &[], || {
        start(0);
        let module = load(ADD_ONE).unwrap();
        let (mut at, mut bytes) = (0, 0);
        let mut value = [0; 4];
        // SAFETY: pointers to local variables, and texts with their ends.
        unsafe {
            ok(cuModuleGetGlobal_v2(&mut at, &mut bytes, module, c"initial".as_ptr()));
            assert_eq!(cuModuleGetGlobal_v2(&mut 0, &mut 0, module, c"other".as_ptr()), CUresult::NOT_FOUND);
            assert_eq!(cuModuleGetFunction(&mut 0, module, c"other".as_ptr()), CUresult::NOT_FOUND);
            ok(cuMemcpyDtoH_v2(value.as_mut_ptr().cast(), at, bytes));
        }
        assert_eq!(value, [5, 0, 0, 0]);
        release(&[], &[], &[], &[module]);
        stop(0);
    });
    let Some(run) = run else { return };
    run.clean();
}

#[test]
fn launches_that_no_device_can_run_are_refused() {
    let run = isolated("launches_that_no_device_can_run_are_refused", &[], || {
        start(0);
        let module = load(ADD_ONE).unwrap();
        let kernel = function(module, "add_one");
        let stream = stream();
        let launch = |grid: [u32; 3], block: [u32; 3], shared| {
            let (mut at, mut count) = (0_u64, 0_u32);
            let mut parameters = [(&raw mut at).cast(), (&raw mut count).cast()];
            let ([x, y, z], [bx, by, bz]) = (grid, block);
            // SAFETY: as many parameters as the kernel has.
            unsafe {
                let nothing = std::ptr::null_mut();
                cuLaunchKernel(kernel, x, y, z, bx, by, bz, shared, stream, parameters.as_mut_ptr(), nothing)
            }
        };
        let refused = CUresult::INVALID_VALUE;
        assert_eq!(launch([0, 1, 1], [32, 1, 1], 0), refused);
        assert_eq!(launch([1, 65536, 1], [32, 1, 1], 0), refused);
        assert_eq!(launch([1, 1, 1], [2048, 1, 1], 0), refused);
        assert_eq!(launch([1, 1, 1], [32, 32, 2], 0), refused);
        assert_eq!(launch([1, 1, 1], [32, 1, 1], 49153), refused);
        // SAFETY: pointers to local variables.
        unsafe {
            assert_eq!(cuFuncSetAttribute(kernel, 8, 101_377), refused);
            ok(cuFuncSetAttribute(kernel, 8, 101_376));
            assert_eq!(get(|value| cuFuncGetAttribute(value, 8, kernel)), 101_376);
            let blocks = get(|blocks| cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, 128, 0));
            assert_eq!(blocks, 12);
        }
        ok(launch([1, 1, 1], [32, 1, 1], 101_376));
        ok(launch([65536, 1, 1], [1, 1, 1], 0));
        release(&[], &[stream], &[], &[module]);
        stop(0);
    });
    let Some(run) = run else { return };
    assert_eq!(run.report.findings.len(), 5);
    run.found("49153 bytes of dynamic shared memory, 49152 at most: set the attribute first");
}

#[test]
fn a_kernel_out_of_bounds_breaks_the_context_until_it_is_reset() {
    let run = isolated("a_kernel_out_of_bounds_breaks_the_context_until_it_is_reset", &[], || {
        start(0);
        let module = load(ADD_ONE).unwrap();
        let kernel = function(module, "add_one");
        let (stream, at) = (stream(), memory(128));
        ok(upload(at, &[0; 128], stream));
        ok(add_one(kernel, at, 64, stream));
        assert_eq!(synchronise(stream), CUresult::ILLEGAL_ADDRESS);
        // SAFETY: no pointers but to local variables.
        unsafe {
            assert_eq!(cuMemAlloc_v2(&mut 0, 4), CUresult::ILLEGAL_ADDRESS);
            assert_eq!(cuMemFree_v2(at), CUresult::ILLEGAL_ADDRESS);
            assert_eq!(cuStreamDestroy_v2(stream), CUresult::ILLEGAL_ADDRESS);
            assert_eq!(cuModuleUnload(module), CUresult::ILLEGAL_ADDRESS);
            ok(cuDevicePrimaryCtxReset_v2(0));
        }
        release(&[memory(4)], &[], &[], &[]);
        stop(0);
    });
    let Some(run) = run else { return };
    assert_eq!(run.report.findings.len(), 1, "{:#?}", run.report.findings);
    run.found("out of bounds");
    assert_eq!(run.report.findings[0].result, "CUDA_ERROR_ILLEGAL_ADDRESS");
    assert!(run.report.leaks.is_empty(), "broken, and yet released");
}

#[test]
fn codes_have_the_driver_s_names_and_texts() {
    let (mut name, mut text) = (std::ptr::null(), std::ptr::null());
    // SAFETY: pointers to local variables, and the texts given have their ends.
    unsafe {
        ok(cuGetErrorName(CUresult::OUT_OF_MEMORY, &mut name));
        ok(cuGetErrorString(CUresult::OUT_OF_MEMORY, &mut text));
        assert_eq!(std::ffi::CStr::from_ptr(name), c"CUDA_ERROR_OUT_OF_MEMORY");
        assert_eq!(std::ffi::CStr::from_ptr(text), c"out of memory");
        assert_eq!(cuGetErrorName(CUresult(12345), &mut name), CUresult::INVALID_VALUE);
        assert!(name.is_null());
    }
}
