//! Kernels of frames against plain loops in f64.

mod pack;
mod picture;
mod resample;
mod taps;
mod unpack;

use ptx_standin::harness;

#[test]
fn under_the_stand_in() {
    if let Some(outcome) = harness::rerun_all(&[("SRUP_STANDIN_ORDER", "shuffled:3")]) {
        outcome.assert_clean();
    }
}
