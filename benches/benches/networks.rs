//! Whole frames through each network: `cargo bench -p srup-benches --bench networks -- luma`.
//!
//! The rate that is printed counts multiply-adds of the network (`networks.md`, section 7), so `Gelem/s` reads as GMAC/s.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use srup_benches::{lane, network};
use srup_engine::frame::PixelFormat;

/// Network, scale, width, height, multiply-adds an input pixel.
const CASES: [(&str, usize, usize, usize, u64); 8] = [
    ("luma-s", 2, 640, 360, 7_632),
    ("luma-s", 2, 1280, 720, 7_632),
    ("luma-m", 2, 640, 360, 47_520),
    ("luma-l", 2, 640, 360, 168_048),
    ("sdan-small", 2, 320, 180, 80_560),
    ("sdan", 2, 320, 180, 267_000),
    ("dlgsanet-tiny", 2, 160, 90, 586_000),
    ("dlsn-light", 2, 160, 90, 918_000),
];

fn networks(c: &mut Criterion) {
    for (name, scale, width, height, macs) in CASES {
        let mut group = c.benchmark_group(format!("{name} x{scale} {width}x{height}"));
        group.sample_size(10).throughput(Throughput::Elements(macs * (width * height) as u64));
        for threads in [1, 2] {
            let model = network(name, scale).expect("the cases name presets");
            let (mut lane, input, mut output) =
                lane(model, scale, PixelFormat::I420, (width, height), threads).expect("the cases fit any machine");
            let label = if threads == 1 { "1 thread" } else { "2 threads" };
            group.bench_function(label, |b| b.iter(|| lane.process(0, &input.view(), &mut output.view_mut())));
        }
        group.finish();
    }
}

criterion_group!(benches, networks);
criterion_main!(benches);
