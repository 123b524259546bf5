//! The luma networks: a chain of 3x3 convolutions on Y, and the nearest picture as a skip.

use super::{Activation, Block, Builder, Conv, Luma, Network, Preset, ValueId};
use crate::Error;

/// The convolutions of a luma network. The first layer's result is added to the last of the body's if `skip`.
pub(crate) struct Layers<'a> {
    pub head: &'a Conv,
    pub body: Vec<&'a Conv>,
    pub tail: &'a Conv,
    pub skip: bool,
}

impl Network {
    /// The network as a chain of convolutions, if it is one.
    pub(crate) fn luma(&self) -> Option<Layers<'_>> {
        let Preset::Luma(Luma { depth, head_skip: skip, .. }) = self.preset else { return None };
        let mut convs = self.steps.iter().filter_map(|step| match &step.block {
            Block::Conv(conv) => Some(conv),
            _ => None,
        });
        let (head, mut body) = (convs.next()?, convs.collect::<Vec<_>>());
        let tail = body.pop()?;
        (body.len() == depth).then_some(Layers { head, body, tail, skip })
    }
}

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
