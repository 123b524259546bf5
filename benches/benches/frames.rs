//! Frames without a network, by format: unpacking, Lanczos and packing. `cargo bench -p srup-benches --bench frames`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use srup_benches::{lanczos, lane};
use srup_engine::frame::PixelFormat;

const FORMATS: [PixelFormat; 4] = [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Y444, PixelFormat::I420_10Le];

fn frames(c: &mut Criterion) {
    let (width, height, scale) = (640, 360, 2);
    for format in FORMATS {
        let mut group = c.benchmark_group(format!("lanczos x{scale} {width}x{height} {format}"));
        group.sample_size(20).throughput(Throughput::Elements((scale * scale * width * height) as u64));
        for threads in [1, 2] {
            let (mut lane, input, mut output) =
                lane(lanczos(), scale, format, (width, height), threads).expect("the cases fit any machine");
            let label = if threads == 1 { "1 thread" } else { "2 threads" };
            group.bench_function(label, |b| b.iter(|| lane.process(0, &input.view(), &mut output.view_mut())));
        }
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
