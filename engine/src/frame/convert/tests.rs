//! Every format, domain and siting against formulas evaluated pixel by pixel in f64.

use super::*;
use crate::frame::resample::{Mapping, tests::naive_axis};
use crate::frame::{Colour, Frame, Matrix, Range, Site, Siting};
use crate::tensor::Tensor;

const SIZES: [(usize, usize); 7] = [(1, 1), (1, 2), (2, 1), (3, 5), (17, 9), (32, 4), (71, 6)];
const DOMAINS: [Domain; 4] = [Domain::Luma, Domain::Rgb, Domain::Each(Kernel::Bicubic), Domain::Each(Kernel::Lanczos)];
const SITINGS: [Siting; 4] = [Siting::LEFT, Siting::CENTER, Siting::TOP_LEFT, Siting::TOP];

/// A plane of f64 with its size.
#[derive(Clone)]
struct Grid {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Grid {
    fn new(width: usize, height: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..width * height).map(|i| value(i % width, i / width)).collect();
        Self { width, height, values }
    }

    fn at(&self, x: usize, y: usize) -> f64 {
        self.values[y * self.width + x]
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|&v| f(v)).collect(), ..*self }
    }

    fn resampled(&self, kernel: Kernel, [across, down]: [Mapping; 2]) -> Self {
        let along: Vec<_> = (0..across.output).map(|x| naive_axis(kernel, &across, x)).collect();
        let half =
            Self::new(across.output, self.height, |x, y| (0..self.width).map(|i| along[x][i] * self.at(i, y)).sum());
        let down_taps: Vec<_> = (0..down.output).map(|y| naive_axis(kernel, &down, y)).collect();
        Self::new(across.output, down.output, |x, y| (0..self.height).map(|i| down_taps[y][i] * half.at(x, i)).sum())
    }
}

fn random(i: usize, seed: usize) -> u32 {
    ((i * 16 + seed) as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(2_246_822_519) >> 8
}

/// Random codes in every component; unused bytes and padding are random too.
fn noisy(info: &VideoInfo, padding: usize) -> Frame {
    let mut frame = Frame::with_padding(info, padding);
    let format = info.format;
    for plane in 0..format.planes() {
        let bytes = format.row_bytes(plane, info.width);
        let (data, stride) = frame.plane_mut(plane);
        data.fill(0xa5);
        for (y, row) in data.chunks_mut(stride).enumerate() {
            for (i, sample) in row[..bytes].chunks_exact_mut(format.sample_bytes()).enumerate() {
                let code = (random(y * 65_537 + i, plane) % (format.max_code() + 1)) << format.shift();
                sample.copy_from_slice(&code.to_le_bytes()[..format.sample_bytes()]);
            }
        }
    }
    frame
}

/// The codes of a component: Y, U, V or R, G, B, A.
fn component(frame: &Frame, number: usize) -> Grid {
    let info = frame.info();
    let format = info.format;
    let (plane, offset, step) = match format.packed_rgb() {
        Some(packed) => (0, packed.order.get(number).copied().unwrap_or(3), packed.size),
        None if number > 0 && format.is_semi_planar() => (1, number - 1, 2),
        None => (number, 0, 1),
    };
    let chroma = number > 0 && format.family() == Family::Yuv;
    let width = if chroma { format.chroma_width(info.width) } else { info.width };
    let height = if chroma { format.chroma_height(info.height) } else { info.height };
    let (data, stride) = frame.plane(plane);
    Grid::new(width, height, |x, y| {
        let at = y * stride + (x * step + offset) * format.sample_bytes();
        let code = if format.bits() == 8 { u16::from(data[at]) } else { u16::from_le_bytes([data[at], data[at + 1]]) };
        f64::from(code >> format.shift())
    })
}

/// Where output samples of chroma (or of luma, if `site` is None) lie on the input's, for a scale.
fn enlarge(input: usize, output: usize, site: Option<Site>, scale: usize) -> Mapping {
    let s = scale as f64;
    let offset = match site {
        Some(Site::Cosited) => (0.5 / s - 0.5) / 2.0,
        _ => 0.5 / s - 0.5,
    };
    Mapping { input, output, step: 1.0 / s, offset }
}

fn sites(info: &VideoInfo) -> [Option<Site>; 2] {
    let (h, v) = info.format.subsampling();
    [(h == 1).then_some(info.colour.siting.horizontal), (v == 1).then_some(info.colour.siting.vertical)]
}

/// From the resolution of chroma to that of luma: a luma sample at x lies on chroma x/2 or (x - 1/2)/2.
fn chroma_to_luma(from: usize, to: usize, site: Option<Site>) -> Mapping {
    match site {
        None => Mapping::identity(from),
        Some(Site::Cosited) => Mapping { input: from, output: to, step: 0.5, offset: 0.0 },
        Some(Site::Centered) => Mapping { input: from, output: to, step: 0.5, offset: -0.25 },
    }
}

fn luma_to_chroma(from: usize, to: usize, site: Option<Site>) -> Mapping {
    match site {
        None => Mapping::identity(from),
        Some(Site::Cosited) => Mapping { input: from, output: to, step: 2.0, offset: 0.0 },
        Some(Site::Centered) => Mapping { input: from, output: to, step: 2.0, offset: 0.5 },
    }
}

fn matrixed(affine: crate::frame::Affine, planes: [&Grid; 3]) -> [Grid; 3] {
    [0, 1, 2].map(|k| Grid::new(planes[0].width, planes[0].height, |x, y| affine.apply(planes.map(|p| p.at(x, y)))[k]))
}

/// What a model must be given of a frame.
fn expected_input(frame: &Frame, domain: Domain) -> Vec<Grid> {
    let info = frame.info();
    let max = f64::from(info.format.max_code());
    let part = |i| component(frame, i);
    match (domain, info.format.family()) {
        (Domain::Each(_), _) => vec![],
        (Domain::Luma, Family::Rgb) => {
            let rgb = [part(0), part(1), part(2)].map(|p| p.map(|v| v / 255.0));
            let [y, _, _] = matrixed(bt601().rgb_to_yuv(8), [&rgb[0], &rgb[1], &rgb[2]]);
            vec![y.map(|v| v / 255.0)]
        }
        (Domain::Luma, _) => vec![part(0).map(|v| v / max)],
        (Domain::Rgb, Family::Rgb) => [0, 1, 2].map(|i| part(i).map(|v| v / 255.0)).to_vec(),
        (Domain::Rgb, Family::Gray) => {
            let [black, white] = if info.colour.range == Range::Full { [0.0, 255.0] } else { [16.0, 235.0] };
            vec![part(0).map(|v| ((v - black) / (white - black)).clamp(0.0, 1.0)); 3]
        }
        (Domain::Rgb, Family::Yuv) => {
            let [h, v] = sites(info);
            let wide = [1, 2].map(|i| {
                let plane = part(i);
                let mappings =
                    [chroma_to_luma(plane.width, info.width, h), chroma_to_luma(plane.height, info.height, v)];
                plane.resampled(Kernel::Bicubic, mappings)
            });
            let rgb = matrixed(info.colour.yuv_to_rgb(info.format.bits()), [&part(0), &wide[0], &wide[1]]);
            rgb.map(|plane| plane.map(|v| v.clamp(0.0, 1.0))).to_vec()
        }
    }
}

fn bt601() -> Colour {
    Colour { matrix: Matrix::Bt601, range: Range::Limited, siting: Siting::LEFT }
}

/// The components of the output before rounding, from the input frame and what the model gave.
fn expected_output(frame: &Frame, output: &VideoInfo, domain: Domain, model: &[Grid], scale: usize) -> Vec<Grid> {
    let info = frame.info();
    let format = info.format;
    let kernel = if let Domain::Each(kernel) = domain { kernel } else { Kernel::Lanczos };
    let full = |plane: &Grid| {
        let mappings =
            [enlarge(info.width, output.width, None, scale), enlarge(info.height, output.height, None, scale)];
        plane.resampled(kernel, mappings)
    };
    let [h, v] = sites(info);
    let (cw, ch) = (format.chroma_width(output.width), format.chroma_height(output.height));
    let chroma = |plane: &Grid| {
        plane.resampled(kernel, [enlarge(plane.width, cw, h, scale), enlarge(plane.height, ch, v, scale)])
    };
    let part = |i| component(frame, i);
    let alpha = || format.has_alpha().then(|| full(&part(3)));
    let model: Vec<Grid> = match domain {
        Domain::Rgb => model.iter().map(|p| p.map(|v| v.clamp(0.0, 1.0))).collect(),
        _ => model.to_vec(),
    };
    match (domain, format.family()) {
        (Domain::Each(_), Family::Yuv) => vec![full(&part(0)), chroma(&part(1)), chroma(&part(2))],
        (Domain::Each(_), Family::Gray) => vec![full(&part(0))],
        (Domain::Each(_), Family::Rgb) => (0..3).map(|i| full(&part(i))).chain(alpha()).collect(),
        (Domain::Luma, Family::Rgb) => {
            let rgb = [part(0), part(1), part(2)].map(|p| p.map(|v| v / 255.0));
            let [_, cb, cr] = matrixed(bt601().rgb_to_yuv(8), [&rgb[0], &rgb[1], &rgb[2]]);
            let y = model[0].map(|v| v * 255.0);
            let rgb = matrixed(bt601().yuv_to_rgb(8), [&y, &full(&cb), &full(&cr)]);
            rgb.into_iter().map(|p| p.map(|v| v * 255.0)).chain(alpha()).collect()
        }
        (Domain::Luma, family) => {
            let y = model[0].map(|v| v * f64::from(format.max_code()));
            if family == Family::Gray { vec![y] } else { vec![y, chroma(&part(1)), chroma(&part(2))] }
        }
        (Domain::Rgb, Family::Rgb) => model.iter().map(|p| p.map(|v| v * 255.0)).chain(alpha()).collect(),
        (Domain::Rgb, family) => {
            let [y, u, v_plane] = matrixed(info.colour.rgb_to_yuv(format.bits()), [&model[0], &model[1], &model[2]]);
            if family == Family::Gray {
                return vec![y];
            }
            let narrow = |p: &Grid| {
                p.resampled(Kernel::Bicubic, [luma_to_chroma(p.width, cw, h), luma_to_chroma(p.height, ch, v)])
            };
            vec![y, narrow(&u), narrow(&v_plane)]
        }
    }
}

/// What a model might give: random, a little outside 0..=1.
fn model_output(domain: Domain, output: &VideoInfo) -> Tensor {
    let count = domain.channels() * output.width * output.height;
    let values = (0..count).map(|i| (random(i, 7) % 1000) as f32 / 900.0 - 0.05).collect();
    Tensor::from_vec(domain.channels(), output.height, output.width, values)
}

fn grids(tensor: &Tensor) -> Vec<Grid> {
    let plane = |c| Grid::new(tensor.width, tensor.height, |x, y| f64::from(tensor.plane(c)[y * tensor.width + x]));
    (0..tensor.channels).map(plane).collect()
}

struct Case {
    info: VideoInfo,
    domain: Domain,
    scale: usize,
    padding: usize,
}

/// Unpacks and packs, checks both against the formulas, and gives the output.
fn check(case: &Case) -> Frame {
    let Case { info, domain, scale, padding } = *case;
    let what = format!("{} {}x{} {:?} {domain:?} x{scale}", info.format, info.width, info.height, info.colour);
    let output = info.scaled(scale).unwrap();
    let frame = noisy(&info, padding);
    let mut input = Tensor::zeros(domain.channels(), info.height, info.width);
    let mut aside = Aside::new(&info, domain);
    Unpacker::new(&info, domain).run(&frame.view(), &mut input, &mut aside);
    for (found, expected) in grids(&input).iter().zip(&expected_input(&frame, domain)) {
        for (a, b) in found.values.iter().zip(&expected.values) {
            assert!((a - b).abs() < 1e-5, "{what}: input {a}, expected {b}");
        }
    }
    let model = model_output(domain, &output);
    let mut found = Frame::with_padding(&output, padding);
    for plane in 0..output.format.planes() {
        found.plane_mut(plane).0.fill(0xa5);
    }
    Packer::new(&info, &output, domain).run(&model, &aside, &mut found.view_mut()).unwrap();
    let max = f64::from(info.format.max_code());
    for (number, expected) in expected_output(&frame, &output, domain, &grids(&model), scale).iter().enumerate() {
        let component = component(&found, number);
        assert_eq!((component.width, component.height), (expected.width, expected.height), "{what}");
        for (i, (code, value)) in component.values.iter().zip(&expected.values).enumerate() {
            let value = value.clamp(0.0, max);
            assert!((code - value).abs() < 0.51, "{what}: component {number}, sample {i}: {code}, expected {value}");
        }
    }
    check_bytes_beside_pixels(&found, padding, &what);
    found
}

/// Padding is untouched, unused bytes are full, low bits of P010 are zero.
fn check_bytes_beside_pixels(frame: &Frame, padding: usize, what: &str) {
    let info = frame.info();
    for plane in 0..info.format.planes() {
        let bytes = info.format.row_bytes(plane, info.width);
        let (data, stride) = frame.plane(plane);
        assert_eq!(stride, bytes + padding);
        for row in data.chunks(stride) {
            assert!(row[bytes..].iter().all(|&b| b == 0xa5), "{what}: padding of plane {plane} was written");
            if matches!(info.format, PixelFormat::Rgbx | PixelFormat::Bgrx) {
                assert!(row[..bytes].iter().skip(3).step_by(4).all(|&b| b == 255), "{what}: the fourth byte");
            }
            if info.format == PixelFormat::P010Le {
                assert!(row[..bytes].iter().step_by(2).all(|&b| b & 0x3f == 0), "{what}: low bits");
            }
        }
    }
}

fn colours() -> impl Iterator<Item = Colour> {
    let matrices = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020];
    (0..8).map(move |i| Colour {
        matrix: matrices[i % 3],
        range: if i % 2 == 0 { Range::Limited } else { Range::Full },
        siting: SITINGS[i % 4],
    })
}

#[test]
fn all_formats_sizes_and_domains_equal_the_formulas() {
    for format in PixelFormat::ALL {
        for (n, (width, height)) in SIZES.into_iter().enumerate() {
            for domain in DOMAINS {
                let colour = colours().nth(n).unwrap();
                let info = VideoInfo::new(format, width, height, colour).unwrap();
                let scale = 2 + n % 3;
                let tight = check(&Case { info, domain, scale, padding: 0 });
                let padded = check(&Case { info, domain, scale, padding: 13 });
                for plane in 0..format.planes() {
                    let bytes = format.row_bytes(plane, scale * width);
                    let rows = |frame: &Frame| -> Vec<Vec<u8>> {
                        let (data, stride) = frame.plane(plane);
                        data.chunks(stride).map(|row| row[..bytes].to_vec()).collect()
                    };
                    assert_eq!(rows(&tight), rows(&padded), "{format} {width}x{height} {domain:?}");
                }
            }
        }
    }
}

#[test]
fn all_colours_equal_the_formulas() {
    for format in [PixelFormat::I420, PixelFormat::P010Le, PixelFormat::I422_10Le, PixelFormat::Gray8] {
        for colour in colours() {
            for scale in [2, 3, 4] {
                for domain in DOMAINS {
                    let info = VideoInfo::new(format, 23, 11, colour).unwrap();
                    check(&Case { info, domain, scale, padding: 3 });
                }
            }
        }
    }
}

/// A model that changes nothing, on 4:4:4 and grey, gives every code back that stands for a colour.
#[test]
fn rgb_round_trip_gives_the_codes_back() {
    for format in [PixelFormat::Y444, PixelFormat::Y444_10Le, PixelFormat::Gray8] {
        for colour in colours() {
            let info = VideoInfo::new(format, 64, 16, colour).unwrap();
            let mut frame = noisy(&info, 0);
            put_into_gamut(&mut frame);
            let mut tensor = Tensor::zeros(3, 16, 64);
            let mut aside = Aside::new(&info, Domain::Rgb);
            Unpacker::new(&info, Domain::Rgb).run(&frame.view(), &mut tensor, &mut aside);
            let mut back = Frame::new(&info);
            Packer::new(&info, &info, Domain::Rgb).run(&tensor, &aside, &mut back.view_mut()).unwrap();
            assert!(frame == back, "{format} {colour:?}");
        }
    }
}

/// Halves the distance of chroma from grey, and brings luma to the middle, so that every pixel is a colour.
fn put_into_gamut(frame: &mut Frame) {
    let format = frame.info().format;
    let middle = 1i32 << (format.bits() - 1);
    for plane in 0..format.planes() {
        let quotient = if plane == 0 { 4 } else { 8 };
        for sample in frame.plane_mut(plane).0.chunks_exact_mut(format.sample_bytes()) {
            let code = i32::from(sample[0]) + if format.bits() > 8 { 256 * i32::from(sample[1]) } else { 0 };
            let code = middle + (code - middle) / quotient;
            sample.copy_from_slice(&code.to_le_bytes()[..format.sample_bytes()]);
        }
    }
}

#[test]
fn values_that_are_no_numbers_are_reported_wherever_they_are() {
    for format in PixelFormat::ALL {
        for domain in [Domain::Luma, Domain::Rgb] {
            let info = VideoInfo::new(format, 13, 9, Colour::default()).unwrap();
            let output = info.scaled(2).unwrap();
            let aside = Aside::new(&info, domain);
            let mut packer = Packer::new(&info, &output, domain);
            let mut frame = Frame::new(&output);
            let good = model_output(domain, &output);
            assert_eq!(packer.run(&good, &aside, &mut frame.view_mut()), Ok(()));
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, good.data.len() / 2, good.data.len() - 1] {
                    let mut tensor = good.clone();
                    tensor.data[place] = bad;
                    let result = packer.run(&tensor, &aside, &mut frame.view_mut());
                    assert_eq!(result, Err(NotFinite), "{format} {domain:?} {bad} at {place}");
                }
            }
        }
    }
}

/// Buffers that end with the last pixel, and buffers with rows to spare, as decoders hand them over.
#[test]
fn last_rows_may_be_short_and_buffers_long() {
    for format in PixelFormat::ALL {
        let info = VideoInfo::new(format, 13, 9, Colour::default()).unwrap();
        let output = info.scaled(2).unwrap();
        let frame = noisy(&info, 5);
        let domain = Domain::Each(Kernel::Bicubic);
        let mut aside = Aside::new(&info, domain);
        Unpacker::new(&info, domain).run(&frame.view(), &mut Tensor::default(), &mut aside);
        let mut packer = Packer::new(&info, &output, domain);
        let mut expected = Frame::with_padding(&output, 5);
        packer.run(&Tensor::default(), &aside, &mut expected.view_mut()).unwrap();
        for surplus in [-5, 200] {
            let sizes = (0..format.planes()).map(|plane| expected.plane(plane).0.len());
            let mut planes: Vec<Vec<u8>> = sizes.map(|n| vec![0; n.strict_add_signed(surplus)]).collect();
            let strides = (0..format.planes()).map(|plane| expected.plane(plane).1);
            let views = planes.iter_mut().map(Vec::as_mut_slice).zip(strides);
            let mut found = crate::frame::FrameMut::new(&output, views).unwrap();
            packer.run(&Tensor::default(), &aside, &mut found).unwrap();
            for (plane, found) in planes.iter().enumerate() {
                let expected = expected.plane(plane).0;
                let common = found.len().min(expected.len());
                assert_eq!(found[..common], expected[..common], "{format} plane {plane}");
                assert!(found[common..].iter().all(|&b| b == 0), "{format}: written past the last row");
            }
        }
    }
}
