//! Weights in the order in which lanes hold them: B fragments of `mma.m16n8k16` (PTX ISA, "Warp-level matrix
//! instructions").

use half::f16;

/// Rows of a fragment: inputs of the product.
pub(super) const DEPTH: usize = 16;

/// Columns of a fragment: outputs.
pub(super) const OUTPUTS: usize = 8;

/// One fragment, four values a lane: of column lane / 4, rows 2t, 2t + 1, 2t + 8, 2t + 9 with t = lane % 4.
/// `weight(row, column)` gives the matrix.
pub(super) fn fragment(weight: impl Fn(usize, usize) -> f32) -> impl Iterator<Item = f16> {
    (0..32).flat_map(move |lane| {
        let (column, row) = (lane / 4, 2 * (lane % 4));
        [row, row + 1, row + 8, row + 9].map(|row| f16::from_f32(weight(row, column)))
    })
}
