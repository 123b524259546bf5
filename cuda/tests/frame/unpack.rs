//! Frames to planes of f32.

use srup_cuda::kernels::unpack::{unpack_gray, unpack_rgb, unpack_y, unpack_yuv};
use srup_cuda::kernels::video::Affine;
use srup_cuda::{Image, Kind, Sample, run};

use crate::picture::{Grid, Host, device, matrixed, sample, values};
use crate::taps::{Axis, raise, resampled, scaling};

/// Heights and widths: with rows that words can be taken of and others, below and above a block.
const SIZES: [(usize, usize); 9] = [(1, 1), (1, 2), (2, 1), (3, 5), (4, 8), (17, 66), (16, 64), (9, 263), (6, 516)];

/// BT.709 in limited range, for codes up to `max`.
pub fn to_rgb(max: u32) -> Affine {
    let unit = (max + 1) as f32 / 256.0;
    let (y, span) = (1.0 / (219.0 * unit), 1.0 / (224.0 * unit));
    let row = |u: f32, v: f32| [y, u * span, v * span, -(y * 16.0 * unit + (u + v) * span * 128.0 * unit)];
    Affine([row(0.0, 1.5748), row(-0.1873, -0.4681), row(1.8556, 0.0)])
}

fn assert_close(image: &Image, expected: &[Grid], limits: (f64, f64), what: &str) {
    let found = values(image);
    for (i, (&found, &value)) in found.iter().zip(expected.iter().flat_map(|plane| &plane.values)).enumerate() {
        let value = value.clamp(limits.0, limits.1);
        let allowed = 1e-5 * limits.1.clamp(1.0, 255.0);
        assert!((f64::from(found) - value).abs() < allowed, "{what}: value {i}: {found}, not {value}");
    }
}

/// Y, U and V of `kind`, chroma lowered by those factors, down and across, in one plane or two.
fn check_yuv(kind: Kind, shift: u32, group: usize, (down, across): (usize, usize), cosited: bool) {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for padding in [0, 1] {
            let what = format!("{kind:?} group {group} {height}x{width} by {down}x{across}, padding {padding}");
            let size = (height.div_ceil(down), width.div_ceil(across));
            let luma = Host::noise(height, width, sample(kind, shift, 1), padding, 1);
            let chroma: Vec<_> = (0..3 - group)
                .map(|i| Host::noise(size.0, size.1, sample(kind, shift, group), group * padding, 2 + i))
                .collect();
            let places = if group == 2 { [(0, 0), (0, 1)] } else { [(0, 0), (1, 0)] };
            let buffers: Vec<_> = chroma.iter().map(|plane| plane.upload(&device)).collect();
            let [u, v] = places.map(|(plane, part)| chroma[plane].view(&buffers[plane], part));
            let axis = |size, by| if by == 2 { raise(size, cosited) } else { Axis::identity(size) };
            let axes = (axis(width, across), axis(height, down));
            let tables = scaling(&device, &axes.0, &axes.1);
            let image = Image::allocate(&device, 3, height, width).unwrap();
            let matrix = to_rgb(luma.sample.max);
            let raised = (down, across) != (1, 1);
            let y = luma.view(&luma.upload(&device), 0);
            let launch = unpack_yuv(&device, &y, [&u, &v], raised.then_some(&tables), &matrix, &image).unwrap();
            run(&device, &[launch]).unwrap();
            let [u, v] = places.map(|(plane, part)| resampled(&chroma[plane].grid(part), &axes.0, &axes.1));
            let expected = matrixed(&matrix.0, [&luma.grid(0), &u, &v]);
            assert_close(&image, &expected, (0.0, 1.0), &what);
        }
    }
}

#[test]
fn planar_420_of_bytes() {
    check_yuv(Kind::U8, 0, 1, (2, 2), true);
}

#[test]
fn semi_planar_420_of_bytes() {
    check_yuv(Kind::U8, 0, 2, (2, 2), false);
}

#[test]
fn semi_planar_420_of_words_in_the_high_bits() {
    check_yuv(Kind::U16, 6, 2, (2, 2), true);
}

#[test]
fn planar_422_of_words() {
    check_yuv(Kind::U16, 0, 1, (1, 2), true);
}

#[test]
fn planar_444_of_bytes_and_words() {
    check_yuv(Kind::U8, 0, 1, (1, 1), true);
    check_yuv(Kind::U16, 0, 1, (1, 1), true);
}

#[test]
fn grey_becomes_three_equal_planes() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        let luma = Host::noise(height, width, Sample::U8, 2, 5);
        let image = Image::allocate(&device, 3, height, width).unwrap();
        let matrix = Affine([[1.0 / 219.0, 0.0, 0.0, -16.0 / 219.0]; 3]);
        let view = luma.view(&luma.upload(&device), 0);
        run(&device, &[unpack_gray(&device, &view, &matrix, &image).unwrap()]).unwrap();
        let grid = luma.grid(0);
        let expected = matrixed(&matrix.0, [&grid, &grid, &grid]);
        assert_close(&image, &expected, (0.0, 1.0), &format!("grey {height}x{width}"));
    }
}

#[test]
fn luma_alone_is_divided_by_its_largest_code() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for layout in [Sample::U8, sample(Kind::U16, 0, 1), sample(Kind::U16, 6, 1)] {
            let luma = Host::noise(height, width, layout, width % 2, 5);
            let image = Image::allocate(&device, 1, height, width).unwrap();
            run(&device, &[unpack_y(&device, &luma.view(&luma.upload(&device), 0), &image).unwrap()]).unwrap();
            let expected = Grid::new(height, width, |y, x| luma.get(y, x, 0) / f64::from(layout.max));
            assert_close(&image, &[expected], (0.0, 1.0), &format!("luma {height}x{width}"));
        }
    }
}

#[test]
fn packed_pixels_become_colours_or_luma_and_chroma() {
    let Some(device) = device() else { return };
    let unit = Affine([0, 1, 2].map(|i| [0, 1, 2, 3].map(|j| if i == j { 1.0 / 255.0 } else { 0.0 })));
    let ycbcr = Affine([
        [0.001_007, 0.001_977, 0.000_384, 0.062_745],
        [-0.1482, -0.291, 0.4392, 128.0],
        [0.4392, -0.3678, -0.0714, 128.0],
    ]);
    for (height, width) in SIZES {
        for (group, padding) in [(3, 0), (3, 5), (4, 0), (4, 3)] {
            for (reversed, matrix) in [(false, unit), (true, unit), (true, ycbcr)] {
                let source = Host::noise(height, width, sample(Kind::U8, 0, group), padding, 9);
                let image = Image::allocate(&device, 3, height, width).unwrap();
                let view = source.view(&source.upload(&device), 0);
                run(&device, &[unpack_rgb(&device, &view, reversed, &matrix, &image).unwrap()]).unwrap();
                let [a, b, c] = [0, 1, 2].map(|part| source.grid(part));
                let colours = if reversed { [&c, &b, &a] } else { [&a, &b, &c] };
                let what = format!("packed {group} {height}x{width} reversed {reversed} padding {padding}");
                assert_close(&image, &matrixed(&matrix.0, colours), (f64::MIN, f64::MAX), &what);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let plane = |height, group| {
        let host = Host::filled(height, 8, sample(Kind::U8, 0, group), 0, 0);
        host.view(&host.upload(&device), 0)
    };
    let image = Image::allocate(&device, 3, 8, 8).unwrap();
    let matrix = to_rgb(255);
    let (y, half) = (plane(8, 1), plane(4, 1));
    assert!(unpack_yuv(&device, &y, [&y, &y], None, &matrix, &image).is_ok());
    assert!(unpack_yuv(&device, &y, [&half, &half], None, &matrix, &image).is_err());
    assert!(unpack_gray(&device, &half, &matrix, &image).is_err());
    assert!(unpack_rgb(&device, &y, false, &matrix, &image).is_err());
    assert!(unpack_rgb(&device, &plane(8, 3), false, &matrix, &image).is_ok());
}
