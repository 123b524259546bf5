//! Still pictures: from a file, in parts, reduced, and into a file again.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::metrics::Luma;

/// A picture of tightly packed R, G, B bytes; grey is expanded, alpha is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a row, 1 or more.
    pub width: usize,
    /// Rows, 1 or more.
    pub height: usize,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A black picture.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; 3 * width * height] }
    }

    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let image = image::ImageReader::open(path)
            .and_then(image::ImageReader::with_guessed_format)
            .map_err(image::ImageError::IoError)
            .and_then(image::ImageReader::decode)
            .map_err(|e| Failure::new(format_args!("{} cannot be read as a picture: {e}", path.display())))?
            .into_rgb8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        Ok(Self { width, height, rgb: image.into_raw() })
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let (width, height) = (self.width as u32, self.height as u32);
        image::save_buffer_with_format(path, &self.rgb, width, height, image::ColorType::Rgb8, image::ImageFormat::Png)
            .map_err(|e| Failure::new(format_args!("{} cannot be written: {e}", path.display())))
    }

    /// The part whose top left pixel is `(x, y)`, cut off at the right and bottom sides of the picture.
    #[must_use]
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let (x, y) = (x.min(self.width), y.min(self.height));
        let (width, height) = (width.min(self.width - x), height.min(self.height - y));
        let row = |line: usize| &self.rgb[3 * ((y + line) * self.width + x)..][..3 * width];
        Self { width, height, rgb: (0..height).flat_map(row).copied().collect() }
    }

    /// The largest part at the top left whose sides are multiples of `scale`; empty if a side is under `scale`.
    #[must_use]
    pub fn multiple_of(&self, scale: usize) -> Self {
        self.crop(0, 0, self.width / scale * scale, self.height / scale * scale)
    }

    /// Each pixel repeated `factor` times along both axes.
    #[must_use]
    pub fn repeated(&self, factor: usize) -> Self {
        let mut out = Self::new(self.width * factor, self.height * factor);
        for (y, row) in out.rgb.chunks_exact_mut(3 * self.width * factor).enumerate() {
            let source = &self.rgb[3 * (y / factor) * self.width..][..3 * self.width];
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&source[3 * (x / factor)..][..3]);
            }
        }
        out
    }

    /// Lays another picture over this one, its top left pixel on `(x, y)`; what does not fit is left out.
    pub fn paste(&mut self, other: &Self, x: usize, y: usize) {
        let width = other.width.min(self.width.saturating_sub(x));
        let height = other.height.min(self.height.saturating_sub(y));
        for line in 0..height {
            let source = &other.rgb[3 * line * other.width..][..3 * width];
            self.rgb[3 * ((y + line) * self.width + x)..][..3 * width].copy_from_slice(source);
        }
    }

    /// A `scale`th of the size, by antialiased bicubic with Pillow's kernel (a = -0.5).
    #[must_use]
    pub fn reduced(&self, scale: usize) -> Self {
        let rgb = srup_engine::frame::resample::reduce_rgb8(&self.rgb, self.width, self.height, scale);
        Self { width: self.width / scale, height: self.height / scale, rgb }
    }

    /// Its luma.
    pub fn luma(&self) -> Luma {
        Luma::from_rgb8(self.width, self.height, &self.rgb)
    }
}

/// The pictures of a folder, PNG and JPEG by the file's ending, in the order of their names; folders within are left out.
///
/// # Errors
/// One line: the folder cannot be read, or holds no picture.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e: std::io::Error| Failure::new(format_args!("folder {} cannot be read: {e}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if matches!(ending.as_str(), "png" | "jpg" | "jpeg") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(format_args!(
            "folder {folder} holds no picture: put .png, .jpg or .jpeg files there"
        )));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: (0..3 * width * height).map(|i| i as u8).collect() }
    }

    #[test]
    fn parts_are_cut_where_they_lie() {
        let part = numbered(4, 3).crop(1, 1, 2, 9);
        assert_eq!((part.width, part.height), (2, 2));
        assert_eq!(part.rgb, [15, 16, 17, 18, 19, 20, 27, 28, 29, 30, 31, 32]);
        let cut = numbered(7, 5).multiple_of(3);
        assert_eq!((cut.width, cut.height), (6, 3));
        assert!(numbered(2, 2).multiple_of(3).rgb.is_empty());
    }

    #[test]
    fn pasting_stays_inside() {
        let mut picture = Picture::new(3, 2);
        picture.paste(&Picture { width: 2, height: 2, rgb: vec![9; 12] }, 2, 1);
        assert_eq!(picture.rgb.iter().filter(|&&v| v == 9).count(), 3);
        assert_eq!(&picture.rgb[15..], [9, 9, 9]);
        picture.paste(&Picture::new(1, 1), 30, 30);
    }

    #[test]
    fn repeating_keeps_the_pixels() {
        let twice = numbered(2, 1).repeated(2);
        assert_eq!((twice.width, twice.height), (4, 2));
        assert_eq!(twice.rgb[..12], [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]);
        assert_eq!(twice.rgb[..12], twice.rgb[12..]);
    }

    #[test]
    fn a_file_comes_back_as_it_was_and_rubbish_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        numbered(5, 4).save(&path).unwrap();
        assert_eq!(Picture::open(&path).unwrap(), numbered(5, 4));
        let bad = folder.path().join("b.PNG");
        std::fs::write(&bad, b"no picture").unwrap();
        let error = Picture::open(&bad).unwrap_err().to_string();
        assert!(error.contains("b.PNG") && !error.contains('\n'), "{error}");
        assert_eq!(pictures_in(folder.path()).unwrap(), [path, bad]);
    }

    #[test]
    fn a_folder_without_pictures_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = |path: &Path| pictures_in(path).unwrap_err().to_string();
        assert!(text(folder.path()).contains("holds no picture"));
        assert!(text(&folder.path().join("none")).contains("cannot be read"));
    }
}
