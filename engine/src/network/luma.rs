//! The luma networks: a chain of 3x3 convolutions on Y, and the nearest picture as a skip.

use super::{Activation, Block, Builder, Luma, ValueId};
use crate::Error;

pub(super) fn build(b: &mut Builder<'_>, p: &Luma) -> Result<ValueId, Error> {
    let input = Builder::INPUT;
    let head = b.conv_then("head", 1, p.width, 3, Activation::Relu)?;
    let first = b.push(Block::Conv(head), &[input]);
    let mut x = first;
    for i in 0..p.depth {
        let conv = b.conv_then(&format!("body.{i}"), p.width, p.width, 3, Activation::Relu)?;
        x = b.push(Block::Conv(conv), &[x]);
    }
    if p.head_skip {
        x = b.add(x, 1.0, first);
    }
    let s = b.scale;
    let tail = b.conv("tail", p.width, s * s, 3)?;
    x = b.push(Block::Conv(tail), &[x]);
    x = b.push(Block::PixelShuffle { factor: s }, &[x]);
    let nearest = b.push(Block::Nearest { factor: s }, &[input]);
    Ok(b.add(x, 1.0, nearest))
}
