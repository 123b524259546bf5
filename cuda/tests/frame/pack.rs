//! Planes of f32 to frames.

use srup_cuda::kernels::pack::{Alpha, Packed, Raised, pack_gray, pack_luma, pack_rgb, pack_y, pack_yuv};
use srup_cuda::kernels::video::Affine;
use srup_cuda::{Buffer, Device, Kind, Sample, run};

use crate::picture::{Grid, Host, device, image, matrixed, random, sample};
use crate::taps::{Axis, lanczos, lower, resampled, scaling};

const SIZES: [(usize, usize); 9] = [(1, 1), (1, 2), (2, 1), (3, 5), (4, 8), (17, 66), (16, 64), (35, 260), (6, 516)];

/// BT.709 in limited range, for codes up to `max`.
fn to_yuv(max: u32) -> Affine {
    let unit = (max + 1) as f32 / 256.0;
    Affine([
        [0.2126 * 219.0 * unit, 0.7152 * 219.0 * unit, 0.0722 * 219.0 * unit, 16.0 * unit],
        [-0.1146 * 224.0 * unit, -0.3854 * 224.0 * unit, 0.5 * 224.0 * unit, 128.0 * unit],
        [0.5 * 224.0 * unit, -0.4542 * 224.0 * unit, -0.0458 * 224.0 * unit, 128.0 * unit],
    ])
}

/// Values from -0.1 to 1.1 in f32, with flat parts.
fn colours(height: usize, width: usize, count: usize) -> Vec<Grid> {
    let value = |c: usize, i: usize| match random(c, i / 5) % 4 {
        0 => f64::from(random(c, i / 40) % 2),
        _ => f64::from((random(c, i) % 1200) as f32 / 1000.0 - 0.1),
    };
    (0..count).map(|c| Grid::new(height, width, |y, x| value(c, y * width + x))).collect()
}

fn clamped(planes: &[Grid]) -> [Grid; 3] {
    [0, 1, 2].map(|c| {
        let plane = &planes[c];
        Grid::new(plane.height, plane.width, |y, x| plane.at(y, x).clamp(0.0, 1.0))
    })
}

fn flag(device: &Device) -> Buffer {
    Buffer::from_slice(device, &[0u32]).unwrap()
}

fn raised(flag: &Buffer) -> bool {
    let mut bytes = [0; 4];
    flag.read(&mut bytes).unwrap();
    u32::from_le_bytes(bytes) == 1
}

fn check_yuv(kind: Kind, shift: u32, group: usize, (down, across): (usize, usize), cosited: bool) {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for padding in [0, 1] {
            let what = format!("{kind:?} group {group} {height}x{width} by {down}x{across}, padding {padding}");
            let size = (height.div_ceil(down), width.div_ceil(across));
            let mut luma = Host::filled(height, width, sample(kind, shift, 1), padding, 0xc3);
            let mut chroma = vec![Host::filled(size.0, size.1, sample(kind, shift, group), padding, 0xc3); 3 - group];
            let places = if group == 2 { [(0, 0), (0, 1)] } else { [(0, 0), (1, 0)] };
            let luma_buffer = luma.upload(&device);
            let buffers: Vec<_> = chroma.iter().map(|plane| plane.upload(&device)).collect();
            let [u, v] = places.map(|(plane, part)| chroma[plane].view(&buffers[plane], part));
            let axis = |size, by| if by == 2 { lower(size, cosited) } else { Axis::identity(size) };
            let axes = (axis(width, across), axis(height, down));
            let tables = scaling(&device, &axes.0, &axes.1);
            let planes = colours(height, width, 3);
            let (matrix, flag) = (to_yuv(luma.sample.max), flag(&device));
            let lowered = (down, across) != (1, 1);
            let (picture, y) = (image(&device, &planes), luma.view(&luma_buffer, 0));
            let launch = pack_yuv(&device, &picture, &y, [&u, &v], lowered.then_some(&tables), &matrix, &flag);
            run(&device, &[launch.unwrap()]).unwrap();
            let [r, g, b] = clamped(&planes);
            let [y, u, v] = matrixed(&matrix.0, [&r, &g, &b]);
            luma.download(&luma_buffer);
            luma.assert_near(&[y], 0xc3, &what);
            let [u, v] = [u, v].map(|plane| resampled(&plane, &axes.0, &axes.1));
            let expected = if group == 2 { vec![vec![u, v]] } else { vec![vec![u], vec![v]] };
            for ((plane, buffer), expected) in chroma.iter_mut().zip(&buffers).zip(expected) {
                plane.download(buffer);
                plane.assert_near(&expected, 0xc3, &what);
            }
            assert!(!raised(&flag), "{what}: all was finite");
        }
    }
}

#[test]
fn planar_420_of_bytes() {
    check_yuv(Kind::U8, 0, 1, (2, 2), false);
}

#[test]
fn semi_planar_420_of_bytes() {
    check_yuv(Kind::U8, 0, 2, (2, 2), true);
}

#[test]
fn semi_planar_420_of_words_in_the_high_bits() {
    check_yuv(Kind::U16, 6, 2, (2, 2), true);
}

#[test]
fn planar_422_of_bytes_and_words() {
    check_yuv(Kind::U8, 0, 1, (1, 2), true);
    check_yuv(Kind::U16, 0, 1, (1, 2), false);
}

#[test]
fn planar_444_of_bytes_and_words() {
    check_yuv(Kind::U8, 0, 1, (1, 1), true);
    check_yuv(Kind::U16, 0, 1, (1, 1), true);
}

#[test]
fn grey_is_the_first_sum() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        let mut luma = Host::filled(height, width, Sample::U8, 1, 0xc3);
        let (buffer, flag, matrix) = (luma.upload(&device), flag(&device), to_yuv(255));
        let planes = colours(height, width, 3);
        let launch = pack_gray(&device, &image(&device, &planes), &luma.view(&buffer, 0), &matrix, &flag);
        run(&device, &[launch.unwrap()]).unwrap();
        luma.download(&buffer);
        let [r, g, b] = clamped(&planes);
        luma.assert_near(&matrixed(&matrix.0, [&r, &g, &b])[..1], 0xc3, &format!("grey {height}x{width}"));
    }
}

#[test]
fn luma_alone_is_multiplied_by_its_largest_code() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for layout in [Sample::U8, sample(Kind::U16, 0, 1), sample(Kind::U16, 6, 1)] {
            let mut luma = Host::filled(height, width, layout, width % 2, 0xc3);
            let (buffer, word) = (luma.upload(&device), flag(&device));
            let mut planes = colours(height, width, 1);
            let launch = pack_y(&device, &image(&device, &planes), &luma.view(&buffer, 0), &word);
            run(&device, &[launch.unwrap()]).unwrap();
            luma.download(&buffer);
            let scaled = Grid::new(height, width, |y, x| planes[0].at(y, x) * f64::from(layout.max));
            luma.assert_near(&[scaled], 0xc3, &format!("luma {height}x{width}"));
            assert!(!raised(&word));
            planes[0].values[height * width - 1] = f64::NAN;
            let launch = pack_y(&device, &image(&device, &planes), &luma.view(&buffer, 0), &word);
            run(&device, &[launch.unwrap()]).unwrap();
            assert!(raised(&word));
        }
    }
}

/// Three components times 255, in the order of the target, then `last`.
fn packed(planes: [&Grid; 3], reversed: bool, last: Option<Grid>) -> Vec<Grid> {
    let [r, g, b] = planes.map(|plane| Grid::new(plane.height, plane.width, |y, x| plane.at(y, x) * 255.0));
    let colours = if reversed { [b, g, r] } else { [r, g, b] };
    colours.into_iter().chain(last).collect()
}

#[test]
fn colours_are_packed_with_the_largest_code_in_unused_bytes() {
    let Some(device) = device() else { return };
    for (height, width) in SIZES {
        for (group, padding) in [(3, 0), (3, 5), (4, 0), (4, 3)] {
            for reversed in [false, true] {
                let mut target = Host::filled(height, width, sample(Kind::U8, 0, group), padding, 0xc3);
                let (buffer, flag) = (target.upload(&device), flag(&device));
                let planes = colours(height, width, 3);
                let plane = Packed { plane: &target.view(&buffer, 0), reversed };
                run(&device, &[pack_rgb(&device, &image(&device, &planes), plane, None, &flag).unwrap()]).unwrap();
                target.download(&buffer);
                let expected = packed([&planes[0], &planes[1], &planes[2]], reversed, None);
                target.assert_near(&expected, 0xc3, &format!("packed {group} {height}x{width} padding {padding}"));
                assert!(!raised(&flag));
            }
        }
    }
}

#[test]
fn alpha_of_the_input_goes_with_the_colours() {
    let Some(device) = device() else { return };
    for (height, width) in [(1, 1), (3, 5), (9, 40)] {
        for padding in [0, 3] {
            let input = Host::noise(height, width, sample(Kind::U8, 0, 4), padding, 3);
            let (across, down) =
                (Axis::fit((lanczos, 3.0), width, 2 * width), Axis::fit((lanczos, 3.0), height, 2 * height));
            let tables = scaling(&device, &across, &down);
            let mut target = Host::filled(2 * height, 2 * width, input.sample, padding, 0xc3);
            let (buffer, flag) = (target.upload(&device), flag(&device));
            let planes = colours(2 * height, 2 * width, 3);
            let alpha = Alpha { plane: &input.view(&input.upload(&device), 3), scaling: &tables };
            let plane = Packed { plane: &target.view(&buffer, 0), reversed: true };
            run(&device, &[pack_rgb(&device, &image(&device, &planes), plane, Some(alpha), &flag).unwrap()]).unwrap();
            target.download(&buffer);
            let last = resampled(&input.grid(3), &across, &down);
            let expected = packed([&planes[0], &planes[1], &planes[2]], true, Some(last));
            target.assert_near(&expected, 0xc3, &format!("alpha {height}x{width} padding {padding}"));
            assert!(!raised(&flag));
        }
    }
}

/// Y times 255, Cb and Cr, BT.601 in limited range.
const FROM_LUMA: Affine = Affine([
    [255.0 / 219.0, 0.0, 0.006_258, -0.874_2],
    [255.0 / 219.0, -0.001_536, -0.003_188, 0.531_7],
    [255.0 / 219.0, 0.007_911, 0.0, -1.085_6],
]);

#[test]
fn luma_and_raised_chroma_become_packed_pixels() {
    let Some(device) = device() else { return };
    for (height, width) in [(1, 1), (3, 5), (9, 40), (16, 32)] {
        for (group, has_alpha, padding) in [(3, false, 0), (3, false, 1), (4, false, 0), (4, true, 0), (4, true, 3)] {
            let input = Host::noise(height, width, sample(Kind::U8, 0, 4), padding, 3);
            let (across, down) =
                (Axis::fit((lanczos, 3.0), width, 3 * width), Axis::fit((lanczos, 3.0), height, 3 * height));
            let tables = scaling(&device, &across, &down);
            let mut target = Host::filled(3 * height, 3 * width, sample(Kind::U8, 0, group), padding, 0xc3);
            let (buffer, flag) = (target.upload(&device), flag(&device));
            let luma = colours(3 * height, 3 * width, 1);
            let chroma = [0, 1].map(|part| input.grid(part));
            let low = image(&device, &chroma);
            let alpha = input.view(&input.upload(&device), 3);
            let raise =
                Raised { chroma: [&low.plane(0), &low.plane(1)], alpha: has_alpha.then_some(&alpha), scaling: &tables };
            let plane = Packed { plane: &target.view(&buffer, 0), reversed: false };
            let launch = pack_luma(&device, &image(&device, &luma), raise, &FROM_LUMA, plane, &flag).unwrap();
            run(&device, &[launch]).unwrap();
            target.download(&buffer);
            let [cb, cr] = chroma.map(|plane| resampled(&plane, &across, &down));
            let [r, g, b] = matrixed(&FROM_LUMA.0, [&luma[0], &cb, &cr]);
            let last = has_alpha.then(|| resampled(&input.grid(3), &across, &down));
            let what = format!("luma {group} {height}x{width} alpha {has_alpha} padding {padding}");
            target.assert_near(&packed([&r, &g, &b], false, last), 0xc3, &what);
            assert!(!raised(&flag));
        }
    }
}

#[test]
fn a_value_that_is_no_number_raises_the_flag_wherever_it_is() {
    let Some(device) = device() else { return };
    let (height, width) = (18, 68);
    let mut target = Host::filled(height, width, sample(Kind::U8, 0, 3), 0, 0);
    let [mut u, v] = [0, 1].map(|_| Host::filled(height / 2, width / 2, Sample::U8, 0, 0));
    let mut luma = Host::filled(height, width, Sample::U8, 0, 0);
    let axes = (lower(width, true), lower(height, true));
    let tables = scaling(&device, &axes.0, &axes.1);
    for (i, bad) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().enumerate() {
        for (y, x) in [(0, 0), (17, 67), (5, 64), (16, 3)] {
            let mut planes = colours(height, width, 3);
            planes[i].values[y * width + x] = bad;
            let picture = image(&device, &planes);
            let code = if bad == f64::INFINITY { 255.0 } else { 0.0 };

            let (buffer, word) = (target.upload(&device), flag(&device));
            let plane = Packed { plane: &target.view(&buffer, 0), reversed: false };
            run(&device, &[pack_rgb(&device, &picture, plane, None, &word).unwrap()]).unwrap();
            target.download(&buffer);
            assert!(raised(&word), "{bad} at ({y}, {x})");
            assert_eq!(target.get(y, x, i), code);

            let (buffers, word) = ([&luma, &u, &v].map(|plane| plane.upload(&device)), flag(&device));
            let views = [luma.view(&buffers[0], 0), u.view(&buffers[1], 0), v.view(&buffers[2], 0)];
            let chroma = [&views[1], &views[2]];
            let launch = pack_yuv(&device, &picture, &views[0], chroma, Some(&tables), &to_yuv(255), &word).unwrap();
            run(&device, &[launch]).unwrap();
            luma.download(&buffers[0]);
            u.download(&buffers[1]);
            assert!(raised(&word), "{bad} at ({y}, {x})");
            let [r, g, b] = clamped(&planes).map(|mut plane| {
                plane.values.iter_mut().for_each(|v| *v = if v.is_nan() { 0.0 } else { *v });
                plane
            });
            let [y, low, _] = matrixed(&to_yuv(255).0, [&r, &g, &b]);
            luma.assert_near(&[y], 0, "luma");
            u.assert_near(&[resampled(&low, &axes.0, &axes.1)], 0, "chroma");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device() else { return };
    let plane = |height, width, group| {
        let host = Host::filled(height, width, sample(Kind::U8, 0, group), 0, 0);
        host.view(&host.upload(&device), 0)
    };
    let picture = image(&device, &colours(8, 8, 3));
    let (word, matrix) = (flag(&device), to_yuv(255));
    let tables = scaling(&device, &lower(8, true), &lower(8, true));
    let (y, half) = (plane(8, 8, 1), plane(4, 4, 1));
    assert!(pack_yuv(&device, &picture, &y, [&half, &half], Some(&tables), &matrix, &word).is_ok());
    assert!(pack_yuv(&device, &picture, &y, [&half, &half], None, &matrix, &word).is_err());
    assert!(
        pack_yuv(&device, &picture, &y, [&plane(8, 4, 1), &plane(8, 4, 1)], Some(&tables), &matrix, &word).is_err()
    );
    assert!(pack_gray(&device, &picture, &half, &matrix, &word).is_err());
    let packed = Packed { plane: &plane(8, 8, 3), reversed: false };
    let alpha = Alpha { plane: &plane(8, 8, 4), scaling: &tables };
    assert!(pack_rgb(&device, &picture, packed, None, &word).is_ok());
    assert!(pack_rgb(&device, &picture, packed, Some(alpha), &word).is_err());
    assert!(pack_rgb(&device, &picture, packed, None, &Buffer::from_slice(&device, &[0u64]).unwrap()).is_err());
}
