//! Every golden vector of the development data, on every backend that this machine has.

use srup_engine::backend;
use srup_engine::golden::Golden;
use srup_engine::{BackendKind, Precision};

fn all_pass_on(kind: BackendKind, precision: Precision) {
    some_pass_on(kind, precision, |_| true);
}

fn some_pass_on(kind: BackendKind, precision: Precision, which: impl Fn(&Golden) -> bool) {
    let Some(vectors) = srup_tests::shared("golden") else { return };
    let backend = backend::open(kind, 2).unwrap();
    let mut checked = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(vectors).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "safetensors") {
            continue;
        }
        let golden = Golden::open(&path).unwrap();
        if !which(&golden) {
            continue;
        }
        checked += 1;
        let tolerance = golden.tolerance(backend.as_ref(), precision).unwrap();
        match golden.check(backend.as_ref(), precision) {
            Ok(found) if found.passes(tolerance) => {}
            other => failures.push(format!("{}: {other:?}, allowed {tolerance:?}", path.display())),
        }
    }
    assert!(failures.is_empty(), "{} of {checked} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > 0, "the development data hold no golden vectors");
}

#[test]
fn reference() {
    all_pass_on(BackendKind::Reference, Precision::F32);
}

#[test]
fn cpu() {
    all_pass_on(BackendKind::Cpu, Precision::F32);
}

#[test]
fn cpu_in_bf16() {
    all_pass_on(BackendKind::Cpu, Precision::Bf16);
}

/// Vectors of luma do not say how large its layers' results become.
#[test]
fn cpu_in_int8() {
    some_pass_on(BackendKind::Cpu, Precision::Int8, |golden| golden.family != "luma");
}
