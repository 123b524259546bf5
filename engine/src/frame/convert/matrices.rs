//! From codes to what models take, and back, in the precision of the pixel loops.

use super::Domain;
use crate::frame::{Affine, Colour, Family, Matrix, Range, Siting, VideoInfo};

/// BT.601 in limited range at 8 bits, whatever the stream: what luma networks are trained on.
const TRAINED: Colour = Colour { matrix: Matrix::Bt601, range: Range::Limited, siting: Siting::LEFT };

fn narrow(affine: Affine) -> [[f32; 4]; 3] {
    affine.0.map(|row| row.map(|v| v as f32))
}

/// Components as they are, times `gain`.
fn diagonal(gain: f32) -> [[f32; 4]; 3] {
    [[gain, 0.0, 0.0, 0.0], [0.0, gain, 0.0, 0.0], [0.0, 0.0, gain, 0.0]]
}

/// From the codes of a frame to what a model of that domain works on: YUV, RGB or three times grey to RGB, or RGB to Y over
/// the largest code, Cb and Cr. What else there is stays as it is.
pub(crate) fn to_model(input: &VideoInfo, domain: Domain) -> [[f32; 4]; 3] {
    let colour = input.colour;
    let bits = input.format.bits();
    match (domain, input.format.family()) {
        (Domain::Rgb, Family::Yuv) => narrow(colour.yuv_to_rgb(bits)),
        (Domain::Rgb, Family::Gray) => {
            let [y, _, _, _] = colour.yuv_to_rgb(bits).0[0];
            let black = colour.rgb_to_yuv(bits).0[0][3];
            [[y as f32, 0.0, 0.0, (-black * y) as f32]; 3]
        }
        (Domain::Rgb, Family::Rgb) => diagonal(1.0 / 255.0),
        (Domain::Luma, Family::Rgb) => {
            let mut matrix = TRAINED.rgb_to_yuv(8);
            matrix.0[0] = matrix.0[0].map(|v| v / 255.0);
            let gain = 1.0 / 255.0;
            narrow(matrix).map(|[r, g, b, offset]| [r * gain, g * gain, b * gain, offset])
        }
        _ => diagonal(1.0),
    }
}

/// From what a model of that domain gives to what a frame is made of: RGB to the codes of YUV or grey, or Y over the largest
/// code, Cb and Cr to RGB. What else there is stays as it is.
pub(crate) fn from_model(output: &VideoInfo, domain: Domain) -> [[f32; 4]; 3] {
    match (domain, output.format.family()) {
        (Domain::Rgb, Family::Yuv | Family::Gray) => narrow(output.colour.rgb_to_yuv(output.format.bits())),
        (Domain::Luma, Family::Rgb) => {
            let mut matrix = TRAINED.yuv_to_rgb(8);
            for row in &mut matrix.0 {
                row[0] *= 255.0;
            }
            narrow(matrix)
        }
        _ => diagonal(1.0),
    }
}
