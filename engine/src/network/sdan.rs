//! SDAN: a chain of residual modules, each a star distillation and a large-kernel attention, fused at the end.

use super::{
    Activation, Block, Builder, LargeKernelAttention, LargeKernelGroup, Sdan, StarDistillation, StarStep, ValueId,
};
use crate::Error;

pub(super) fn build(b: &mut Builder<'_>, p: &Sdan) -> Result<ValueId, Error> {
    let (c, s, input) = (p.dim, b.scale, Builder::INPUT);
    let head = b.conv("head", 3, c, 3)?;
    let shallow = b.push(Block::Conv(head), &[input]);
    let mut x = shallow;
    let mut features = Vec::with_capacity(p.blocks);
    for i in 0..p.blocks {
        let name = format!("blocks.{i}");
        x = residual(b, x, &format!("{name}.norm1"), c, |b| star_distillation(b, &format!("{name}.sdm."), p))?;
        x = residual(b, x, &format!("{name}.norm2"), c, |b| large_kernel_attention(b, &format!("{name}.lka."), p))?;
        features.push(x);
    }
    let fuse = b.conv_then("fuse", p.blocks * c, c, 1, Activation::Gelu)?;
    x = b.push(Block::Conv(fuse), &features);
    let body_tail = b.conv("body_tail", c, c, 3)?;
    x = b.push(Block::Conv(body_tail), &[x]);
    x = b.add(x, 1.0, shallow);
    let tail = b.conv("tail", c, 3 * s * s, 3)?;
    x = b.push(Block::Conv(tail), &[x]);
    x = b.push(Block::PixelShuffle { factor: s }, &[x]);
    let nearest = b.push(Block::Nearest { factor: s }, &[input]);
    Ok(b.add(x, 1.0, nearest))
}

/// `x + block(LN(x))`.
fn residual(
    b: &mut Builder<'_>,
    x: ValueId,
    norm: &str,
    channels: usize,
    block: impl FnOnce(&mut Builder<'_>) -> Result<Block, Error>,
) -> Result<ValueId, Error> {
    let norm = b.layer_norm(norm, channels)?;
    let normed = b.push(norm, &[x]);
    let block = block(b)?;
    let y = b.push(block, &[normed]);
    Ok(b.add(x, 1.0, y))
}

/// SDM; `prefix` ends in a dot or is empty.
pub(crate) fn star_distillation(b: &mut Builder<'_>, prefix: &str, p: &Sdan) -> Result<Block, Error> {
    let (c, d) = (p.dim, p.distill);
    let steps = (1..=p.steps)
        .map(|k| {
            Ok(StarStep {
                pointwise: b.conv(&format!("{prefix}step{k}.pw"), c, d + 2 * c, 1)?,
                depthwise: b.depthwise(&format!("{prefix}step{k}.dw"), c, (3, 3), 1)?,
            })
        })
        .collect::<Result<_, Error>>()?;
    let out = b.conv(&format!("{prefix}out"), p.steps * d + c, c, 1)?;
    Ok(Block::StarDistillation(StarDistillation { steps, distill: d, out }))
}

/// MM-LKA; `prefix` ends in a dot or is empty.
pub(crate) fn large_kernel_attention(b: &mut Builder<'_>, prefix: &str, p: &Sdan) -> Result<Block, Error> {
    let (c, width) = (p.dim, p.dim / p.lka.len());
    let project_in = b.conv_then(&format!("{prefix}proj_in"), c, c, 1, Activation::Gelu)?;
    let groups = p
        .lka
        .iter()
        .enumerate()
        .map(|(j, k)| {
            let group = format!("{prefix}g{j}");
            Ok(LargeKernelGroup {
                square: b.depthwise(&format!("{group}.sq"), width, (k.square, k.square), 1)?,
                horizontal: b.depthwise(&format!("{group}.h"), width, (1, k.strip), k.dilation)?,
                vertical: b.depthwise(&format!("{group}.v"), width, (k.strip, 1), k.dilation)?,
            })
        })
        .collect::<Result<_, Error>>()?;
    let mix = b.conv(&format!("{prefix}mix"), c, c, 1)?;
    let project_out = b.conv(&format!("{prefix}proj_out"), c, c, 1)?;
    Ok(Block::LargeKernelAttention(LargeKernelAttention { project_in, groups, mix, project_out }))
}
