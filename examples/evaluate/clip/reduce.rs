//! Frames of video made smaller.

use srup_engine::frame::convert::{Aside, Domain, Packer, Unpacker};
use srup_engine::frame::{Frame, Kernel, VideoInfo};
use srup_engine::tensor::Tensor;

/// Reduces frames by antialiased bicubic (Pillow's kernel), each plane in its own codes and chroma at its own sites.
pub struct Reducer {
    output: VideoInfo,
    unpacker: Unpacker,
    packer: Packer,
    /// Between the two. No network runs, so the tensor is empty.
    planes: (Tensor, Aside),
}

impl Reducer {
    /// For frames like `input`, whose sides are multiples of `scale`.
    pub fn new(input: &VideoInfo, scale: usize) -> Self {
        let output = VideoInfo { width: input.width / scale, height: input.height / scale, ..*input };
        let domain = Domain::Each(Kernel::Bicubic);
        let planes = (Tensor::zeros(0, input.height, input.width), Aside::new(input, domain));
        Self { output, unpacker: Unpacker::new(input, domain), packer: Packer::new(input, &output, domain), planes }
    }

    /// What comes out.
    pub fn output(&self) -> &VideoInfo {
        &self.output
    }

    /// A frame, reduced.
    pub fn run(&mut self, frame: &Frame) -> Frame {
        let (tensor, aside) = &mut self.planes;
        self.unpacker.run(&frame.view(), tensor, aside);
        let mut reduced = Frame::new(&self.output);
        // Sums of codes are numbers: what the packer could complain of cannot be.
        let _ = self.packer.run(tensor, aside, &mut reduced.view_mut());
        reduced
    }
}

#[cfg(test)]
mod tests {
    use srup_engine::frame::resample::reduce_rgb8;
    use srup_engine::frame::{Colour, PixelFormat};

    use super::*;
    use crate::pixels;

    /// Luma as `reduce_rgb8` has it, which is checked against Pillow; that rounds between its passes, and so do not these.
    #[test]
    fn luma_is_reduced_as_pictures_are_and_chroma_stays_at_its_place() {
        for scale in 2..=4 {
            let (width, height) = (24 * scale, 24 * scale);
            let info = VideoInfo::new(PixelFormat::I420, width, height, Colour::default()).unwrap();
            let mut frame = Frame::new(&info);
            let luma: Vec<u8> = (0..width * height).map(|i| (i * i % 157 + 40) as u8).collect();
            frame.plane_mut(0).0.copy_from_slice(&luma);
            // A ramp along the rows, whose value is the place of its luma sample (cosited), and one down the columns (centered).
            let chroma = width / 2;
            pixels::set_codes(
                &mut frame,
                1,
                &(0..chroma * height / 2).map(|i| (2 * (i % chroma)) as f32).collect::<Vec<_>>(),
            );
            pixels::set_codes(
                &mut frame,
                2,
                &(0..chroma * height / 2).map(|i| (4 * (i / chroma)) as f32).collect::<Vec<_>>(),
            );

            let reduced = Reducer::new(&info, scale).run(&frame);
            let rgb: Vec<u8> = luma.iter().flat_map(|&y| [y; 3]).collect();
            let expected = reduce_rgb8(&rgb, width, height, scale);
            let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 1;
            assert!(reduced.plane(0).0.iter().zip(expected.iter().step_by(3)).all(near), "scale {scale}");
            let step = scale as f32;
            for row in 3..9 {
                for column in 3..9 {
                    let at = |plane| pixels::codes(&reduced, plane)[row * 12 + column];
                    // Output luma 2 * column lies on input luma (2 * column + 0.5) * scale - 0.5.
                    let u = (2.0 * column as f32 + 0.5) * step - 0.5;
                    let v = 4.0 * ((row as f32 + 0.5) * step - 0.5);
                    assert!(
                        (at(1) - u).abs() <= 0.51 && (at(2) - v).abs() <= 0.51,
                        "scale {scale}: {} {u}, {} {v}",
                        at(1),
                        at(2)
                    );
                }
            }
        }
    }
}
