//! The device against the host, for every format, domain, matrix, range and siting.

use ptx_standin::harness;

use super::super::frame::sample;
use super::*;
use crate::frame::convert::{Aside, NotFinite, Packer, Unpacker};
use crate::frame::{Colour, Frame as HostFrame, Matrix, Range, Siting};
use crate::tensor::Tensor;
use srup_cuda::Sample;

const SIZES: [(usize, usize); 6] = [(1, 1), (1, 2), (3, 5), (17, 9), (71, 6), (36, 20)];
const SITINGS: [Siting; 4] = [Siting::LEFT, Siting::CENTER, Siting::TOP_LEFT, Siting::TOP];

/// The device, where there is one; else the test of that name runs again where the stand-in is one.
fn device(test: &str) -> Option<Device> {
    let name = format!("backend::cuda::conversion::tests::{test}");
    match harness::rerun(&name, &[("SRUP_STANDIN_ORDER", "shuffled:9")]) {
        None => Some(Device::open(0).unwrap()),
        Some(outcome) => {
            outcome.assert_clean();
            None
        }
    }
}

fn random(i: usize, seed: usize) -> u32 {
    ((i * 16 + seed) as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(2_246_822_519) >> 8
}

/// Random codes in every component.
fn noisy(info: &VideoInfo, padding: usize) -> HostFrame {
    let mut frame = HostFrame::with_padding(info, padding);
    let format = info.format;
    for plane in 0..format.planes() {
        let bytes = format.row_bytes(plane, info.width);
        let (data, stride) = frame.plane_mut(plane);
        for (y, row) in data.chunks_mut(stride).enumerate() {
            for (i, sample) in row[..bytes].chunks_exact_mut(format.sample_bytes()).enumerate() {
                let code = (random(y * 65_537 + i, plane) % (format.max_code() + 1)) << format.shift();
                sample.copy_from_slice(&code.to_le_bytes()[..format.sample_bytes()]);
            }
        }
    }
    frame
}

/// What a model might give: random, a little outside of 0 to 1.
fn model_output(channels: usize, output: &VideoInfo) -> Tensor {
    let count = channels * output.width * output.height;
    let values = (0..count).map(|i| (random(i, 7) % 1000) as f32 / 900.0 - 0.05).collect();
    Tensor::from_vec(channels, output.height, output.width, values)
}

/// Codes that differ, of all, and the largest difference. Bytes between them are not looked at.
fn compare(a: &HostFrame, b: &HostFrame) -> (usize, usize, u32) {
    let info = a.info();
    let bytes = info.format.sample_bytes();
    let (mut all, mut differ, mut most) = (0, 0, 0);
    for plane in 0..info.format.planes() {
        let row = info.format.row_bytes(plane, info.width);
        let ((a, stride), (b, _)) = (a.plane(plane), b.plane(plane));
        for (a, b) in a.chunks(stride).zip(b.chunks(stride)) {
            for (a, b) in a[..row].chunks_exact(bytes).zip(b[..row].chunks_exact(bytes)) {
                let code =
                    |s: &[u8]| s.iter().rev().fold(0, |c, &byte| c << 8 | u32::from(byte)) >> info.format.shift();
                let difference = code(a).abs_diff(code(b));
                all += 1;
                differ += usize::from(difference > 0);
                most = most.max(difference);
            }
        }
    }
    (differ, all, most)
}

/// A frame in flight and its way round a model.
fn on_the_way(
    device: &Device,
    input: &VideoInfo,
    output: &VideoInfo,
    domain: Domain,
    images: bool,
) -> (Frame, Passage) {
    let conversion = Conversion::new(device, input, output, domain).unwrap();
    let frame = Frame::new(device, input, output).unwrap();
    let room = Buffer::new(device, conversion.room(images)).unwrap();
    let passage = conversion.passage(&frame, images, &room).unwrap();
    (frame, passage)
}

struct Case {
    input: VideoInfo,
    domain: Domain,
    scale: usize,
    padding: usize,
}

/// One frame through both; gives how many codes differ, of how many.
fn check(device: &Device, case: &Case) -> (usize, usize) {
    let Case { input, domain, scale, padding } = *case;
    let what = format!("{} {}x{} {:?} {domain:?} x{scale}", input.format, input.width, input.height, input.colour);
    let output = input.scaled(scale).unwrap();
    let source = noisy(&input, padding);

    let channels = domain.channels();
    let mut tensor = Tensor::zeros(channels, input.height, input.width);
    let mut aside = Aside::new(&input, domain);
    Unpacker::new(&input, domain).run(&source.view(), &mut tensor, &mut aside);
    let model = model_output(channels, &output);
    let mut expected = HostFrame::with_padding(&output, padding);
    Packer::new(&input, &output, domain).run(&model, &aside, &mut expected.view_mut()).unwrap();

    let (frame, passage) = on_the_way(device, &input, &output, domain, true);
    let mut up = vec![0xff; frame.upload().bytes()];
    frame.gather(&source.view(), &mut up);
    frame.upload().write(&up).unwrap();
    srup_cuda::run(device, &passage.before).unwrap();
    match &passage.ends {
        None => assert!(matches!(domain, Domain::Each(_)), "{what}"),
        Some(Ends::Planes { .. }) => panic!("{what}: images were asked for"),
        Some(Ends::Images { input, output }) => {
            assert_eq!(input.shape(), (channels, tensor.height, tensor.width), "{what}");
            let mut bytes = vec![0; input.buffer().bytes()];
            input.buffer().read(&mut bytes).unwrap();
            for (found, expected) in bytes.as_chunks().0.iter().zip(&tensor.data) {
                let found = f32::from_le_bytes(*found);
                assert!((found - expected).abs() <= 2e-6, "{what}: input {found}, not {expected}");
            }
            output.buffer().write(bytemuck::cast_slice(&model.data)).unwrap();
        }
    }
    srup_cuda::run(device, &passage.after).unwrap();
    let mut down = vec![0; frame.download().bytes()];
    frame.download().read(&mut down).unwrap();
    let mut found = HostFrame::with_padding(&output, padding);
    frame.scatter(&down, &mut found.view_mut()).unwrap();
    let (differ, all, most) = compare(&found, &expected);
    assert!(most <= 1, "{what}: a code is {most} off");
    (differ, all)
}

/// All sizes with that domain; matrices, ranges, sitings, scales and strides take turns.
fn check_all(device: &Device, domain: Domain) {
    let (mut differ, mut all) = (0, 0);
    for (i, format) in PixelFormat::ALL.into_iter().enumerate() {
        for (j, (width, height)) in SIZES.into_iter().enumerate() {
            let turn = i + j;
            let colour = Colour {
                matrix: [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][turn % 3],
                range: [Range::Limited, Range::Full][turn % 2],
                siting: SITINGS[(turn + i / 4) % 4],
            };
            let input = VideoInfo::new(format, width, height, colour).unwrap();
            let padding = [0, 2, 6][turn % 3];
            let counts = check(device, &Case { input, domain, scale: 2 + turn % 3, padding });
            differ += counts.0;
            all += counts.1;
        }
    }
    assert!(100 * differ <= all, "{differ} of {all} codes differ");
}

#[test]
fn luma_is_taken_and_the_rest_goes_round() {
    let Some(device) = device("luma_is_taken_and_the_rest_goes_round") else { return };
    check_all(&device, Domain::Luma);
}

#[test]
fn colours_are_taken() {
    let Some(device) = device("colours_are_taken") else { return };
    check_all(&device, Domain::Rgb);
}

#[test]
fn every_component_is_resampled() {
    let Some(device) = device("every_component_is_resampled") else { return };
    check_all(&device, Domain::Each(Kernel::Lanczos));
    check_all(&device, Domain::Each(Kernel::Bicubic));
}

#[test]
fn every_matrix_range_and_siting_is_the_hosts() {
    let Some(device) = device("every_matrix_range_and_siting_is_the_hosts") else { return };
    for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020] {
        for range in [Range::Limited, Range::Full] {
            for siting in SITINGS {
                for format in [PixelFormat::Nv12, PixelFormat::I422_10Le] {
                    let input = VideoInfo::new(format, 19, 7, Colour { matrix, range, siting }).unwrap();
                    let (differ, all) = check(&device, &Case { input, domain: Domain::Rgb, scale: 2, padding: 0 });
                    assert!(100 * differ <= all, "{format} {:?}: {differ} of {all} codes differ", input.colour);
                }
            }
        }
    }
}

#[test]
fn a_luma_network_works_in_the_frame_itself() {
    let Some(device) = device("a_luma_network_works_in_the_frame_itself") else { return };
    for format in [PixelFormat::P010Le, PixelFormat::Gray8, PixelFormat::Bgra] {
        let input = VideoInfo::new(format, 18, 5, Colour::default()).unwrap();
        let output = input.scaled(2).unwrap();
        let (_, passage) = on_the_way(&device, &input, &output, Domain::Luma, false);
        let Some(Ends::Planes { input: from, output: to }) = passage.ends else { panic!("{format}: planes") };
        assert_eq!((from.size(), to.size()), ((5, 18), (10, 36)));
        let packed = format.family() == Family::Rgb;
        assert_eq!(from.sample(), if packed { Sample::F32 } else { sample(format, 0, 0) });
        assert_eq!(passage.after.len(), usize::from(packed));
        // Nothing goes round the network with grey.
        assert_eq!(passage.before.is_empty(), format == PixelFormat::Gray8);
    }
}

#[test]
fn a_value_that_is_no_number_comes_down_as_an_error_once() {
    let Some(device) = device("a_value_that_is_no_number_comes_down_as_an_error_once") else { return };
    let input = VideoInfo::new(PixelFormat::I420, 6, 4, Colour::default()).unwrap();
    let output = input.scaled(2).unwrap();
    let (frame, passage) = on_the_way(&device, &input, &output, Domain::Rgb, true);
    let source = noisy(&input, 0);
    let Some(Ends::Images { output: image, .. }) = &passage.ends else { panic!("images") };
    let pass = |value: f32| {
        let mut up = vec![0; frame.upload().bytes()];
        frame.gather(&source.view(), &mut up);
        frame.upload().write(&up).unwrap();
        srup_cuda::run(&device, &passage.before).unwrap();
        let mut model = model_output(3, &output);
        model.data[200] = value;
        image.buffer().write(bytemuck::cast_slice(&model.data)).unwrap();
        srup_cuda::run(&device, &passage.after).unwrap();
        let mut down = vec![0; frame.download().bytes()];
        frame.download().read(&mut down).unwrap();
        frame.scatter(&down, &mut HostFrame::new(&output).view_mut())
    };
    assert_eq!(pass(f32::INFINITY), Err(NotFinite));
    assert_eq!(pass(0.5), Ok(()));
}
