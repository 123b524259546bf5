//! Resampling.

use srup_cuda::kernels::resample::resample;
use srup_cuda::{Kind, Sample, run};

use crate::picture::{Grid, Host, device, sample};
use crate::taps::{Axis, bicubic, lanczos, resampled, scaling};

/// Below, at and above a tile of 64x16 outputs for the scales used, and a strip of 112 or 120 inputs.
const SIZES: [(usize, usize); 8] = [(1, 1), (2, 1), (1, 3), (5, 3), (8, 32), (9, 33), (21, 70), (34, 141)];

/// One or two planes from `from` to `to`, against sums in f64.
fn check(components: usize, from: Sample, to: Sample, size: (usize, usize), scale: f64, planes: usize) {
    let Some(device) = device() else { return };
    let (height, width) = size;
    let target = |n: usize| ((n as f64 * scale).round() as usize).max(1);
    let kernel: (fn(f64) -> f64, f64) = if scale == 3.0 { (bicubic, 2.0) } else { (lanczos, 3.0) };
    let across = Axis::fit(kernel, width, target(width));
    let down = Axis::fit(kernel, height, target(height));
    for padding in [0, 3] {
        let what = format!("{components} of {from:?} to {to:?}, {height}x{width}, scale {scale}, padding {padding}");
        let sources: Vec<_> = (0..planes).map(|i| Host::noise(height, width, from, padding, i)).collect();
        let mut targets = vec![Host::filled(target(height), target(width), to, padding, 0xc3); planes];
        let buffers: Vec<_> =
            sources.iter().zip(&targets).map(|(s, t)| (s.upload(&device), t.upload(&device))).collect();
        let pairs: Vec<_> = buffers
            .iter()
            .zip(sources.iter().zip(&targets))
            .map(|((a, b), (s, t))| (s.view(a, from.part), t.view(b, 0)))
            .collect();
        let tables = scaling(&device, &across, &down);
        run(&device, &[resample(&device, components, &pairs, &tables).unwrap()]).unwrap();
        for ((source, target), (_, buffer)) in sources.iter().zip(&mut targets).zip(&buffers) {
            target.download(buffer);
            let expected: Vec<Grid> =
                (0..components).map(|i| resampled(&source.grid(from.part + i), &across, &down)).collect();
            target.assert_near(&expected, 0xc3, &what);
        }
    }
}

#[test]
fn a_plane_of_bytes_is_enlarged() {
    for size in SIZES {
        for scale in [2.0, 3.0, 4.0] {
            check(1, sample(Kind::U8, 0, 1), sample(Kind::U8, 0, 1), size, scale, 1);
        }
    }
}

#[test]
fn two_planes_of_words_go_at_once() {
    for size in SIZES {
        for scale in [2.0, 3.0, 4.0] {
            check(1, sample(Kind::U16, 0, 1), sample(Kind::U16, 0, 1), size, scale, 2);
        }
    }
}

#[test]
fn interleaved_chroma_stays_interleaved() {
    for size in SIZES {
        for scale in [2.0, 3.0, 4.0] {
            check(2, sample(Kind::U8, 0, 2), sample(Kind::U8, 0, 2), size, scale, 1);
            check(2, sample(Kind::U16, 6, 2), sample(Kind::U16, 6, 2), size, scale, 1);
        }
    }
}

#[test]
fn packed_pixels_stay_packed_and_an_unused_byte_is_the_largest_code() {
    for size in SIZES {
        check(3, sample(Kind::U8, 0, 3), sample(Kind::U8, 0, 3), size, 2.0, 1);
        check(3, sample(Kind::U8, 0, 4), sample(Kind::U8, 0, 4), size, 3.0, 1);
        check(4, sample(Kind::U8, 0, 4), sample(Kind::U8, 0, 4), size, 2.0, 1);
    }
}

#[test]
fn floats_are_neither_rounded_nor_clamped() {
    for size in SIZES {
        check(1, Sample::F32, Sample::F32, size, 2.0, 1);
        check(1, Sample { part: 3, ..sample(Kind::U8, 0, 4) }, Sample { max: 255, ..Sample::F32 }, size, 4.0, 1);
    }
}

/// Chroma of pictures of odd size, with samples on luma's or between them.
#[test]
fn chroma_of_odd_sizes_loses_its_last_sample() {
    let Some(device) = device() else { return };
    for (factor, cosited) in [(2usize, true), (2, false), (3, true), (4, true)] {
        for group in [1, 2] {
            // Of pictures of 17x247, and those enlarged.
            let ((height, width), (tall, wide)) =
                ((9, 124), ((17 * factor).div_ceil(2), 247 * factor / 2 + factor % 2));
            let step = 1.0 / factor as f64;
            let axis = |inputs, outputs| {
                let offset = if cosited { (0.5 * step - 0.5) / 2.0 } else { 0.5 * step - 0.5 };
                Axis::new((lanczos, 3.0), (inputs, outputs), step, offset)
            };
            let (across, down) = (axis(width, wide), axis(height, tall));
            let source = Host::noise(height, width, sample(Kind::U8, 0, group), 0, 1);
            let mut target = Host::filled(tall, wide, sample(Kind::U8, 0, group), 0, 0xc3);
            let (from, to) = (source.upload(&device), target.upload(&device));
            let tables = scaling(&device, &across, &down);
            let pair = (source.view(&from, 0), target.view(&to, 0));
            let launch = resample(&device, group, &[pair], &tables).unwrap();
            assert!(launch.name().starts_with("enlarge"), "{}", launch.name());
            run(&device, &[launch]).unwrap();
            target.download(&to);
            let expected: Vec<Grid> = (0..group).map(|part| resampled(&source.grid(part), &across, &down)).collect();
            target.assert_near(&expected, 0xc3, &format!("factor {factor}, group {group}, cosited {cosited}"));
        }
    }
}

#[test]
fn sizes_may_be_alike_or_near() {
    for scale in [1.0, 1.25] {
        check(1, sample(Kind::U8, 0, 1), sample(Kind::U8, 0, 1), (40, 131), scale, 1);
        check(2, sample(Kind::U16, 6, 2), sample(Kind::U16, 6, 2), (40, 131), scale, 1);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let tables = scaling(&device, &Axis::fit((lanczos, 3.0), 8, 16), &Axis::fit((lanczos, 3.0), 8, 16));
    let plane = |size, group| {
        let host = Host::filled(size, size, sample(Kind::U8, 0, group), 0, 0);
        host.view(&host.upload(&device), 0)
    };
    assert!(resample(&device, 1, &[(plane(8, 1), plane(16, 1))], &tables).is_ok());
    assert!(resample(&device, 1, &[(plane(8, 1), plane(15, 1))], &tables).is_err());
    assert!(resample(&device, 2, &[(plane(8, 1), plane(16, 2))], &tables).is_err());
    assert!(resample(&device, 1, &[(plane(8, 1), plane(16, 2))], &tables).is_err());
    assert!(resample(&device, 1, &[], &tables).is_err());
    let wide = scaling(&device, &Axis::fit((lanczos, 3.0), 128, 64), &Axis::identity(16));
    let [from, to] = [128, 64].map(|width| Host::filled(16, width, Sample::U8, 0, 0));
    let pair = (from.view(&from.upload(&device), 0), to.view(&to.upload(&device), 0));
    assert!(resample(&device, 1, &[pair], &wide).unwrap_err().to_string().contains("columns"));
}
