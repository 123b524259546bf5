//! Where a new scene begins: the moment at which another network is least seen.

use crate::frame::FrameRef;

/// Samples of a signature along each axis.
const GRID: usize = 48;

/// Mean difference of two signatures, over the largest code, from which on it may be a cut.
const LEAST: f64 = 0.08;

/// A cut differs so many times as much as frames did lately: fast motion is none.
const AGAINST_MOTION: f64 = 3.0;

/// Part of a new difference in the mean of the last ones.
const FORGETS: f64 = 0.2;

/// Compares each frame with the one before it, on a coarse grid of samples.
#[derive(Debug, Default)]
pub struct Scenes {
    last: Vec<u16>,
    next: Vec<u16>,
    motion: f64,
}

impl Scenes {
    /// Whether this frame begins a new scene. The first frame of all does not.
    pub fn is_cut(&mut self, frame: &FrameRef<'_>) -> bool {
        self.sample(frame);
        std::mem::swap(&mut self.last, &mut self.next);
        if self.last.len() != self.next.len() {
            return false;
        }
        let sum: u64 = self.last.iter().zip(&self.next).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let max = f64::from(frame.info().format.max_code());
        let change = sum as f64 / (self.last.len() as f64 * max);
        let cut = change > LEAST && change > AGAINST_MOTION * self.motion;
        if !cut {
            self.motion += FORGETS * (change - self.motion);
        }
        cut
    }

    /// The first component of plane 0 (Y, or a colour of packed pixels) on the grid.
    fn sample(&mut self, frame: &FrameRef<'_>) {
        let info = frame.info();
        let (bytes, shift) = (info.format.sample_bytes(), info.format.shift());
        let row_bytes = info.format.row_bytes(0, info.width);
        let pixel = row_bytes / info.width;
        let plane = frame.plane(0);
        self.next.clear();
        for i in 0..GRID {
            let row = plane.row((2 * i + 1) * info.height / (2 * GRID), row_bytes);
            for j in 0..GRID {
                let at = (2 * j + 1) * info.width / (2 * GRID) * pixel;
                let code = match bytes {
                    1 => u16::from(row[at]),
                    _ => u16::from_le_bytes([row[at], row[at + 1]]) >> shift,
                };
                self.next.push(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, Frame, PixelFormat, VideoInfo};

    fn frame(format: PixelFormat, shade: impl Fn(usize, usize) -> u8) -> Frame {
        let mut frame = Frame::new(&VideoInfo::new(format, 64, 40, Colour::default()).unwrap());
        let (bytes, stride) = frame.plane_mut(0);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = shade(i % stride, i / stride);
        }
        frame
    }

    #[test]
    fn a_cut_is_found_and_motion_is_not() {
        for format in [PixelFormat::I420, PixelFormat::Rgb, PixelFormat::P010Le] {
            let mut scenes = Scenes::default();
            let moving = |n: usize| frame(format, move |x, y| (4 * (x + n) + 3 * y) as u8 & 0x7f);
            let other = frame(format, |_, _| 230);
            assert!(!scenes.is_cut(&other.view()), "the first frame is no cut");
            assert!(scenes.is_cut(&moving(0).view()), "{format}");
            for n in 1..20 {
                assert!(!scenes.is_cut(&moving(n).view()), "{format}: frame {n}");
            }
            assert!(scenes.is_cut(&other.view()), "{format}");
        }
    }

    #[test]
    fn one_pixel_is_a_picture() {
        let info = VideoInfo::new(PixelFormat::Gray8, 1, 1, Colour::default()).unwrap();
        let mut scenes = Scenes::default();
        assert!(!scenes.is_cut(&Frame::new(&info).view()));
        assert!(!scenes.is_cut(&Frame::new(&info).view()));
    }
}
