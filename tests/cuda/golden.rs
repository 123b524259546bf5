//! The authors' results, in each order of streams, blocks and warps. The sizes are odd and no multiple of any tile.

use std::path::Path;

use ptx_standin::harness;
use srup_engine::golden::Golden;
use srup_engine::{BackendKind, Precision, backend};

/// Those that the backend has kernels for.
const KINDS: [&str; 6] = ["luma-", "sdan-", "op-sdm", "op-mmlka", "op-layernorm", "op-pixelshuffle"];

fn check(folder: &Path) {
    let backend = backend::open(BackendKind::Cuda, 0).unwrap();
    let (mut checked, mut failures) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !KINDS.iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        let golden = Golden::open(&path).unwrap();
        for precision in [Precision::F16, Precision::Auto] {
            let tolerance = golden.tolerance(backend.as_ref(), precision).unwrap();
            checked += 1;
            match golden.check(backend.as_ref(), precision) {
                Ok(found) if found.passes(tolerance) => {
                    let (error, psnr) = (found.max_error, found.psnr);
                    println!("{name:<16} {:<5} {error:>9.2e} {psnr:>7.2} dB", precision.name());
                }
                other => failures.push(format!("{name} {}: {other:?}, allowed {tolerance:?}", precision.name())),
            }
        }
    }
    assert!(failures.is_empty(), "{} of {checked} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(checked >= 2 * 18, "only {checked} golden vectors were found");
}

fn all_pass(test: &str, variables: &[(&str, &str)]) {
    let Some(vectors) = srup_tests::shared("golden") else { return };
    if let Some(outcome) = harness::rerun(test, variables) {
        // Only the figures: the rest would count as results of this program's tests.
        let text = String::from_utf8_lossy(&outcome.output.stdout).into_owned();
        text.lines().filter(|line| line.ends_with(" dB")).for_each(|line| println!("{line}"));
        return outcome.assert_clean();
    }
    check(&vectors);
}

#[test]
fn in_eager_order() {
    all_pass("golden::in_eager_order", &[("SRUP_STANDIN_ORDER", "eager")]);
}

#[test]
fn in_lazy_order() {
    all_pass("golden::in_lazy_order", &[("SRUP_STANDIN_ORDER", "lazy")]);
}

#[test]
fn in_shuffled_order() {
    all_pass("golden::in_shuffled_order", &[("SRUP_STANDIN_ORDER", "shuffled:11")]);
}

#[test]
fn on_the_oldest_architecture() {
    all_pass("golden::on_the_oldest_architecture", &[("SRUP_STANDIN_CC", "75")]);
}
