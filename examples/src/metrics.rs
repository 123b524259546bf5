//! How far a picture is from another: PSNR and SSIM of luma, as papers on super-resolution count them.

use srup_engine::frame::Frame;

/// Luma of a picture in 8-bit codes of BT.601, limited range (16 to 235), not rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Luma {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values, row by row.
    pub data: Vec<f64>,
}

/// The least side of a picture that [`ssim`] can say something of: the side of its window.
pub const SSIM_WINDOW: usize = 11;

impl Luma {
    /// Of tightly packed R, G, B codes.
    pub fn from_rgb8(width: usize, height: usize, rgb: &[u8]) -> Self {
        let data = rgb.chunks_exact(3).map(|p| bt601(p[0], p[1], p[2])).collect::<Vec<_>>();
        assert_eq!(data.len(), width * height, "a pixel has three bytes");
        Self { width, height, data }
    }

    /// Of luma codes, `stride` bytes from one row to the next.
    pub fn from_codes(width: usize, height: usize, codes: &[u8], stride: usize) -> Self {
        let mut data = Vec::with_capacity(width * height);
        for row in codes.chunks(stride).take(height) {
            data.extend(row[..width].iter().map(|&code| f64::from(code)));
        }
        assert_eq!(data.len(), width * height, "every row is there");
        Self { width, height, data }
    }

    /// Y of a YUV or grey frame whose rows are tight; codes of 10 bits as quarters.
    pub fn of_frame(frame: &Frame) -> Self {
        let info = frame.info();
        let (bytes, stride) = frame.plane(0);
        if info.format.bits() == 8 {
            return Self::from_codes(info.width, info.height, bytes, stride);
        }
        let quarter = |code: &[u8; 2]| f64::from(u16::from_le_bytes(*code) >> info.format.shift()) / 4.0;
        Self { width: info.width, height: info.height, data: bytes.as_chunks().0.iter().map(quarter).collect() }
    }

    /// What is left without `border` pixels on each side; sides that are too short become 0.
    #[must_use]
    pub fn without_border(&self, border: usize) -> Self {
        let width = self.width.saturating_sub(2 * border);
        let height = self.height.saturating_sub(2 * border);
        let mut data = Vec::with_capacity(width * height);
        for y in border..border + height {
            data.extend_from_slice(&self.data[y * self.width + border..][..width]);
        }
        Self { width, height, data }
    }
}

/// Luma code of one pixel: 16 is black, 235 is white.
pub fn bt601(red: u8, green: u8, blue: u8) -> f64 {
    16.0 + (65.481 * f64::from(red) + 128.553 * f64::from(green) + 24.966 * f64::from(blue)) / 255.0
}

/// Peak signal-to-noise ratio in dB, with 255 as the peak; infinite where nothing differs.
pub fn psnr(a: &Luma, b: &Luma) -> f64 {
    decibels(squared_error(a, b))
}

/// Mean of the squared differences.
pub fn squared_error(a: &Luma, b: &Luma) -> f64 {
    check(a, b);
    mean(a.data.iter().zip(&b.data).map(|(x, y)| (x - y) * (x - y)))
}

/// The PSNR in dB that a mean squared error amounts to, with 255 as the peak.
pub fn decibels(squared_error: f64) -> f64 {
    10.0 * (255.0 * 255.0 / squared_error).log10()
}

/// Structural similarity, 1 where nothing differs: mean over all places where a Gaussian window of 11x11 pixels
/// (sigma 1.5) fits, K1 0.01, K2 0.03, L 255 (Wang et al. 2004, and the authors' MATLAB code).
///
/// Not a number where a side is under [`SSIM_WINDOW`].
pub fn ssim(a: &Luma, b: &Luma) -> f64 {
    check(a, b);
    if a.width < SSIM_WINDOW || a.height < SSIM_WINDOW {
        return f64::NAN;
    }
    let blur = |f: &dyn Fn(f64, f64) -> f64| {
        let data: Vec<f64> = a.data.iter().zip(&b.data).map(|(&x, &y)| f(x, y)).collect();
        gaussian_valid(&data, a.width)
    };
    let (mean_a, mean_b) = (blur(&|x, _| x), blur(&|_, y| y));
    let (square_a, square_b, product) = (blur(&|x, _| x * x), blur(&|_, y| y * y), blur(&|x, y| x * y));
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    let sum: f64 = (0..mean_a.len())
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let (va, vb, covariance) = (square_a[i] - ma * ma, square_b[i] - mb * mb, product[i] - ma * mb);
            (2.0 * ma * mb + c1) * (2.0 * covariance + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
        })
        .sum();
    sum / mean_a.len() as f64
}

fn check(a: &Luma, b: &Luma) {
    assert_eq!((a.width, a.height), (b.width, b.height), "only pictures of one size can be compared");
}

/// Separable Gaussian of [`SSIM_WINDOW`] taps at the places where it fits: `(w - 10) * (h - 10)` values.
fn gaussian_valid(data: &[f64], width: usize) -> Vec<f64> {
    let taps = gaussian_taps();
    let valid = width - SSIM_WINDOW + 1;
    let mut rows = vec![0.0; data.len() / width * valid];
    for (line, row) in rows.chunks_exact_mut(valid).zip(data.chunks_exact(width)) {
        for (tap, row) in taps.iter().zip(row.windows(valid)) {
            line.iter_mut().zip(row).for_each(|(sum, v)| *sum += tap * v);
        }
    }
    let mut out = vec![0.0; rows.len() - (SSIM_WINDOW - 1) * valid];
    for (y, line) in out.chunks_exact_mut(valid).enumerate() {
        for (tap, row) in taps.iter().zip(rows[y * valid..].chunks_exact(valid)) {
            line.iter_mut().zip(row).for_each(|(sum, v)| *sum += tap * v);
        }
    }
    out
}

fn gaussian_taps() -> [f64; SSIM_WINDOW] {
    let middle = (SSIM_WINDOW / 2) as f64;
    let taps: [f64; SSIM_WINDOW] = std::array::from_fn(|i| (-(i as f64 - middle).powi(2) / (2.0 * 1.5 * 1.5)).exp());
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

/// The middle of the values (the mean of the two in the middle of an even number); not a number without values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// The mean; not a number without values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(width: usize, height: usize, f: impl Fn(usize, usize) -> usize) -> Luma {
        let data = (0..width * height).map(|i| f(i % width, i / width) as f64).collect();
        Luma { width, height, data }
    }

    #[test]
    fn a_constant_difference_has_the_psnr_of_its_square() {
        let a = pattern(7, 5, |x, y| 10 + 3 * x + y);
        let b = pattern(7, 5, |x, y| 15 + 3 * x + y);
        assert!((psnr(&a, &b) - 10.0 * (65025.0_f64 / 25.0).log10()).abs() < 1e-12);
        assert_eq!(psnr(&a, &a), f64::INFINITY);
    }

    #[test]
    fn identical_pictures_have_an_ssim_of_one() {
        let a = pattern(24, 17, |x, y| (x * 7 + y * 13 + x * y) % 220);
        assert!((ssim(&a, &a) - 1.0).abs() < 1e-12);
    }

    /// `skimage.metrics.structural_similarity` 0.26 of the same arrays with `gaussian_weights=True, sigma=1.5,
    /// use_sample_covariance=False, data_range=255`.
    #[test]
    fn ssim_is_that_of_scikit_image() {
        let a = pattern(24, 17, |x, y| (x * 7 + y * 13 + x * y) % 220);
        let b = pattern(24, 17, |x, y| ((x * 7 + y * 13 + x * y) % 220 * 9 + (x * y * 5) % 90 * 3) / 10);
        assert!((ssim(&a, &b) - 0.982_743_878_079_306_5).abs() < 1e-9, "{}", ssim(&a, &b));
    }

    #[test]
    fn ssim_of_less_than_a_window_is_not_a_number() {
        let a = pattern(10, 30, |x, y| x + y);
        assert!(ssim(&a, &a).is_nan());
    }

    #[test]
    fn luma_is_that_of_bt601() {
        assert!((bt601(0, 0, 0) - 16.0).abs() < 1e-12);
        assert!((bt601(255, 255, 255) - 235.0).abs() < 1e-9);
        assert!((bt601(255, 0, 0) - 81.481).abs() < 1e-9);
    }

    #[test]
    fn a_border_comes_off_on_all_sides() {
        let a = pattern(5, 4, |x, y| 10 * y + x);
        assert_eq!(a.without_border(1), Luma { width: 3, height: 2, data: vec![11.0, 12.0, 13.0, 21.0, 22.0, 23.0] });
        assert!(a.without_border(3).data.is_empty());
        let codes = [1, 2, 99, 3, 4];
        assert_eq!(Luma::from_codes(2, 2, &codes, 3).data, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan() && mean([]).is_nan());
    }
}
