//! A picture as a stream of one frame.

use srup_engine::frame::{Colour, Frame, Matrix, PixelFormat, VideoInfo};
use srup_examples::Failure;
use srup_examples::picture::Picture;
use srup_examples::video::convert::Converter;

use super::{ASSUMED_RATE, Degradation, Degrader};
use crate::pixels;

/// A reduced picture as it is given to models.
pub struct Reduced {
    /// For those that read RGB.
    pub picture: Picture,
    /// Its rounded luma in codes of BT.601, limited range, for those that read luma.
    pub luma: Vec<u8>,
}

impl Reduced {
    /// As it was reduced.
    pub fn clean(picture: Picture) -> Self {
        let luma = picture.luma().data.iter().map(|y| y.round() as u8).collect();
        Self { picture, luma }
    }

    /// Spoiled, as 4:2:0 in BT.601. Luma is that of the decoder, as it would be of a video.
    ///
    /// # Errors
    /// [`Degrader`]'s.
    pub fn degraded(picture: &Picture, degradation: Degradation) -> Result<Self, Failure> {
        let (width, height) = (picture.width, picture.height);
        // Encoders want even sides.
        let even = padded(picture, width.next_multiple_of(2), height.next_multiple_of(2));
        let rgb = VideoInfo::new(PixelFormat::Rgb, even.width, even.height, Colour::default())?;
        let yuv = VideoInfo { format: PixelFormat::I420, ..rgb };
        let mut frame = Frame::new(&rgb);
        frame.plane_mut(0).0.copy_from_slice(&even.rgb);
        let mut degrader = Degrader::new(degradation, &yuv, ASSUMED_RATE)?;
        let mut frames = degrader.push(convert(&frame, &yuv)?)?;
        frames.extend(degrader.finish()?);
        let spoiled =
            frames.pop().ok_or_else(|| Failure::new("compression gave no picture back; take another codec"))?;
        let whole = Picture { rgb: convert(&spoiled, &rgb)?.plane(0).0.to_vec(), ..even };
        let rows = spoiled.plane(0).0.chunks_exact(whole.width).take(height);
        let luma = rows.flat_map(|row| &row[..width]).copied().collect();
        Ok(Self { picture: whole.crop(0, 0, width, height), luma })
    }
}

/// The picture with its last column and row repeated up to that size.
fn padded(picture: &Picture, width: usize, height: usize) -> Picture {
    let mut out = Picture::new(width, height);
    for y in 0..height {
        for x in 0..width {
            let from = 3 * (y.min(picture.height - 1) * picture.width + x.min(picture.width - 1));
            out.rgb[3 * (y * width + x)..][..3].copy_from_slice(&picture.rgb[from..][..3]);
        }
    }
    out
}

fn convert(frame: &Frame, to: &VideoInfo) -> Result<Frame, Failure> {
    let (from, shape) = (pixels::shape(frame.info()), pixels::shape(to));
    let converted = Converter::new(shape, Matrix::Bt601).run(&pixels::to_ffmpeg(frame)?, from)?;
    pixels::from_ffmpeg(&converted, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_keep_their_pixels_through_a_fine_codec() {
        let rgb = (0..33 * 21).flat_map(|i| [(40 + 4 * (i % 33)) as u8, (50 + 5 * (i / 33)) as u8, 90]).collect();
        let picture = Picture { width: 33, height: 21, rgb };
        let back = Reduced::degraded(&picture, "crf=4".parse().unwrap()).unwrap();
        assert_eq!((back.picture.width, back.picture.height, back.luma.len()), (33, 21, 33 * 21));
        let clean = Reduced::clean(picture.clone());
        let near = |a: &[u8], b: &[u8], bound| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= bound);
        assert!(near(&back.luma, &clean.luma, 3));
        // Chroma has been halved, and comes back softer.
        assert!(near(&back.picture.rgb, &picture.rgb, 12));
    }
}
