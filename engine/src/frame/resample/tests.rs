use proptest::prelude::*;

use super::*;

/// The definition, one output at a time, in f64: a window cut off at the border and normalised.
pub(crate) fn naive_axis(kernel: Kernel, mapping: &Mapping, j: usize) -> Vec<f64> {
    let position = j as f64 * mapping.step + mapping.offset;
    let widen = mapping.step.max(1.0);
    let weights: Vec<f64> = (0..mapping.input).map(|i| kernel.weight((i as f64 - position) / widen)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

fn naive(kernel: Kernel, horizontal: &Mapping, vertical: &Mapping, source: &[f32]) -> Vec<f64> {
    let columns: Vec<_> = (0..horizontal.output).map(|x| naive_axis(kernel, horizontal, x)).collect();
    let mut out = Vec::new();
    for y in 0..vertical.output {
        let down = naive_axis(kernel, vertical, y);
        for along in &columns {
            let row = |i: usize| -> f64 {
                let row = &source[i * horizontal.input..][..horizontal.input];
                row.iter().zip(along).map(|(&v, w)| f64::from(v) * w).sum()
            };
            out.push(down.iter().enumerate().map(|(i, w)| if *w == 0.0 { 0.0 } else { w * row(i) }).sum());
        }
    }
    out
}

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let code =
        |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 24;
    (0..count).map(|i| code(i) as f32).collect()
}

fn run(resampler: &Resampler, source: &[f32]) -> Vec<f32> {
    let (width, height) = resampler.output_size();
    let mut target = vec![f32::NAN; width * height];
    resampler.run(source, &mut target);
    target
}

const KERNELS: [Kernel; 2] = [Kernel::Bicubic, Kernel::Lanczos];

/// Mappings that a video meets: enlargement with each siting, chroma to luma and back, and reduction.
fn mapping(kind: usize, input: usize) -> Mapping {
    let enlarge = |scale: usize, cosited: bool| {
        let offset = 0.5 / scale as f64 - 0.5;
        let offset = if cosited { offset / 2.0 } else { offset };
        Mapping { input, output: input * scale, step: 1.0 / scale as f64, offset }
    };
    match kind {
        0..=2 => enlarge(kind + 2, false),
        3..=5 => enlarge(kind - 1, true),
        6 => Mapping { input, output: 2 * input, step: 0.5, offset: 0.0 },
        7 => Mapping { input, output: 2 * input, step: 0.5, offset: -0.25 },
        8 => Mapping { input, output: input.div_ceil(2), step: 2.0, offset: 0.0 },
        9 => Mapping { input, output: input.div_ceil(2), step: 2.0, offset: 0.5 },
        10 => Mapping::identity(input),
        11 => Mapping { input, output: input, step: 1.0, offset: 0.25 },
        _ => Mapping::fit(input, (input * 3).div_ceil(7)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_mapping_equals_the_definition(
        width in 1usize..90, height in 1usize..24, h in 0usize..13, v in 0usize..13, lanczos: bool, seed: u32, portable: bool,
    ) {
        let kernel = KERNELS[usize::from(lanczos)];
        let (horizontal, vertical) = (mapping(h, width), mapping(v, height));
        let source = noise(width * height, seed);
        let mut resampler = Resampler::new(kernel, &horizontal, &vertical);
        if portable {
            resampler.isa = Isa::PORTABLE;
        }
        let expected = naive(kernel, &horizontal, &vertical, &source);
        for (i, (found, expected)) in run(&resampler, &source).iter().zip(&expected).enumerate() {
            prop_assert!((f64::from(*found) - expected).abs() < 2e-3, "value {}: {} for {}", i, found, expected);
        }
    }
}

#[test]
fn a_constant_stays_that_code() {
    for kernel in KERNELS {
        for kind in 0..13 {
            let resampler = Resampler::new(kernel, &mapping(kind, 19), &mapping(kind, 7));
            for code in [0.0f32, 1.0, 127.0, 255.0, 511.0, 1023.0] {
                for value in run(&resampler, &[code; 19 * 7]) {
                    assert!((value - code).abs() <= code * 1e-6, "{kernel:?}, mapping {kind}: {value} for {code}");
                }
            }
        }
    }
}

#[test]
fn a_ramp_stays_straight_away_from_the_borders() {
    // Keys' cubic keeps polynomials of second degree, if it is not widened by a fraction; Lanczos ripples by some per
    // cent of the slope, which is 3.
    for (kernel, bound) in [(Kernel::Bicubic, 1e-4), (Kernel::Lanczos, 0.1)] {
        for kind in 0..12 {
            let mapping = mapping(kind, 64);
            let resampler = Resampler::new(kernel, &mapping, &Mapping::identity(1));
            let ramp: Vec<f32> = (0..64).map(|x| 3.0 * x as f32 + 10.0).collect();
            for (j, value) in run(&resampler, &ramp).into_iter().enumerate() {
                let position = mapping.position(j);
                if (7.0..56.0).contains(&position) {
                    let expected = 3.0 * position + 10.0;
                    assert!((f64::from(value) - expected).abs() < bound, "{kernel:?} {kind} {j}: {value} {expected}");
                }
            }
        }
    }
}

#[test]
fn one_pixel_fills_everything() {
    for kernel in KERNELS {
        for kind in 0..13 {
            let resampler = Resampler::new(kernel, &mapping(kind, 1), &mapping(kind, 1));
            let out = run(&resampler, &[93.0]);
            assert!(!out.is_empty() && out.iter().all(|&v| v == 93.0), "{kernel:?} {kind}: {out:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let resampler = Resampler::new(Kernel::Lanczos, &mapping(2, 61), &mapping(2, 47));
    let source = noise(61 * 47, 5);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        pool.install(|| run(&resampler, &source))
    };
    assert_eq!(with(1), with(5));
}

/// The picture of `fixtures/make.py`.
fn picture() -> Vec<u8> {
    let sample = |x: u32, y: u32, c: u32| {
        if x > 18 && y > 14 {
            return if (x / (3 + c) + y / 5) % 2 == 1 { 255 } else { 0 };
        }
        let mixed = (x * 7919 + y * 104_729 + c * 1_299_709) ^ (x * y * 31);
        (mixed.wrapping_mul(2_654_435_761) >> 24) as u8
    };
    (0..29).flat_map(|y| (0..37).flat_map(move |x| (0..3).map(move |c| sample(x, y, c)))).collect()
}

/// Size and bytes of a line of `fixtures/pillow.txt`.
fn fixture(name: &str) -> (usize, usize, Vec<u8>) {
    let line = include_str!("fixtures/pillow.txt").lines().find(|line| line.split(' ').next() == Some(name));
    let fields: Vec<&str> = line.expect("the fixture has the line").split(' ').collect();
    let bytes = fields[3].as_bytes().as_chunks::<2>().0.iter();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    (fields[1].parse().unwrap(), fields[2].parse().unwrap(), bytes.map(byte).collect())
}

#[track_caller]
fn within_one(found: &[u8], expected: &[u8], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(a.abs_diff(*b) <= 1, "{what}, byte {i}: {a}, Pillow {b}");
    }
}

#[test]
fn reduction_equals_pillow_to_one_code() {
    for factor in 2..=4 {
        let (width, height, expected) = fixture(&format!("reduce{factor}"));
        assert_eq!((width, height), (37 / factor, 29 / factor));
        within_one(&reduce_rgb8(&picture(), 37, 29, factor), &expected, &format!("factor {factor}"));
    }
}

#[test]
fn enlargement_equals_pillow_to_one_code() {
    let picture = picture();
    let grey: Vec<f32> =
        (0..7).flat_map(|y| (0..9).map(move |x| 3 * (37 * y + x))).map(|i| f32::from(64 + picture[i] / 2)).collect();
    for kernel in KERNELS {
        for factor in 2..=3 {
            let name = format!("{}{factor}", kernel.name());
            let (width, height, expected) = fixture(&name);
            let resampler = Resampler::new(kernel, &Mapping::fit(9, width), &Mapping::fit(7, height));
            let found: Vec<u8> = run(&resampler, &grey).iter().map(|v| v.round() as u8).collect();
            within_one(&found, &expected, &name);
        }
    }
}
