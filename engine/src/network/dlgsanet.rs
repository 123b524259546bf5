//! DLGSANet: residual groups of alternating dynamic local and sparse global attention.

use super::builder::RGB_MEAN;
use super::{Block, Builder, Dlgsanet, DynamicLocalAttention, GatedFfn, SparseGlobalAttention, ValueId};
use crate::Error;

pub(super) fn build(b: &mut Builder<'_>, p: &Dlgsanet) -> Result<ValueId, Error> {
    let (c, s) = (p.dim, b.scale);
    let centred = b.push(Block::Shift { offset: RGB_MEAN.map(|m| -m).to_vec() }, &[Builder::INPUT]);
    let embed = b.conv_without_bias("overlap_embed.0.proj", 3, c, 3)?;
    let shallow = b.push(Block::Conv(embed), &[centred]);
    let mut features = shallow;
    for g in 0..p.groups {
        let group = format!("deep_feature_extraction.{g}.body");
        let mut x = features;
        for i in 0..p.blocks {
            x = local_layer(b, x, &format!("{group}.{}.", 2 * i), p)?;
            x = global_layer(b, x, &format!("{group}.{}.", 2 * i + 1), p)?;
        }
        let conv = b.conv(&format!("{group}.{}", 2 * p.blocks), c, c, 3)?;
        x = b.push(Block::Conv(conv), &[x]);
        features = b.add(x, 1.0, features);
    }
    let conv = b.conv(&format!("deep_feature_extraction.{}", p.groups), c, c, 3)?;
    let mut x = b.push(Block::Conv(conv), &[features]);
    x = b.add(x, 1.0, shallow);
    let upsample = b.conv("upsample.0", c, 3 * s * s, 3)?;
    x = b.push(Block::Conv(upsample), &[x]);
    x = b.push(Block::PixelShuffle { factor: s }, &[x]);
    Ok(b.push(Block::Shift { offset: RGB_MEAN.to_vec() }, &[x]))
}

fn local_layer(b: &mut Builder<'_>, x: ValueId, name: &str, p: &Dlgsanet) -> Result<ValueId, Error> {
    let attention = dynamic_local_attention(b, &format!("{name}IDynamicDWConv."), p)?;
    let x = normed_residual(b, x, &format!("{name}norm1.body"), p.dim, attention)?;
    let ffn = gated_ffn(b, &format!("{name}IDynamic_ffn."), p.dim)?;
    normed_residual(b, x, &format!("{name}norm2.body"), p.dim, ffn)
}

fn global_layer(b: &mut Builder<'_>, x: ValueId, name: &str, p: &Dlgsanet) -> Result<ValueId, Error> {
    let attention = sparse_global_attention(b, &format!("{name}restormer_attn."), p.dim, p.heads, p.tlc_kernel)?;
    let x = normed_residual(b, x, &format!("{name}norm3.body"), p.dim, attention)?;
    let ffn = gated_ffn(b, &format!("{name}restormer_ffn."), p.dim)?;
    normed_residual(b, x, &format!("{name}norm4.body"), p.dim, ffn)
}

fn normed_residual(
    b: &mut Builder<'_>,
    x: ValueId,
    norm: &str,
    channels: usize,
    block: Block,
) -> Result<ValueId, Error> {
    let norm = b.layer_norm(norm, channels)?;
    let normed = b.push(norm, &[x]);
    let y = b.push(block, &[normed]);
    Ok(b.add(x, 1.0, y))
}

/// MHDLSA; `prefix` ends in a dot or is empty.
pub(crate) fn dynamic_local_attention(b: &mut Builder<'_>, prefix: &str, p: &Dlgsanet) -> Result<Block, Error> {
    let (c, window) = (p.dim, p.window_size);
    let (reduced, kernels) = (c / 4, c / p.group_channels * window * window);
    Ok(Block::DynamicLocalAttention(DynamicLocalAttention {
        project_in: b.conv_without_bias(&format!("{prefix}conv0"), c, c, 1)?,
        reduce: b.conv(&format!("{prefix}conv.conv1.0"), c, reduced, 1)?,
        depthwise: b.depthwise(&format!("{prefix}conv.conv1.1"), reduced, (window, window), 1)?,
        expand: b.conv(&format!("{prefix}conv.conv2.0"), reduced, kernels, 1)?,
        window,
        group_channels: p.group_channels,
        project_out: b.conv_without_bias(&format!("{prefix}conv1"), c, c, 1)?,
    }))
}

/// SparseGSA; `prefix` ends in a dot or is empty.
pub(crate) fn sparse_global_attention(
    b: &mut Builder<'_>,
    prefix: &str,
    dim: usize,
    heads: usize,
    window: usize,
) -> Result<Block, Error> {
    Ok(Block::SparseGlobalAttention(SparseGlobalAttention {
        qkv: b.conv_without_bias(&format!("{prefix}qkv"), dim, 3 * dim, 1)?,
        depthwise: b.depthwise_without_bias(&format!("{prefix}qkv_dwconv"), 3 * dim, (3, 3))?,
        temperature: b.tensor(&format!("{prefix}temperature"), &[heads, 1, 1])?,
        window,
        project_out: b.conv_without_bias(&format!("{prefix}project_out"), dim, dim, 1)?,
    }))
}

/// GDFN with two hidden channels a channel; `prefix` ends in a dot or is empty.
pub(crate) fn gated_ffn(b: &mut Builder<'_>, prefix: &str, dim: usize) -> Result<Block, Error> {
    let hidden = 2 * dim;
    Ok(Block::GatedFfn(GatedFfn {
        project_in: b.conv_without_bias(&format!("{prefix}project_in"), dim, 2 * hidden, 1)?,
        depthwise: b.depthwise_without_bias(&format!("{prefix}dwconv"), 2 * hidden, (3, 3))?,
        project_out: b.conv_without_bias(&format!("{prefix}project_out"), hidden, dim, 1)?,
    }))
}
