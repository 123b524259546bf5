//! DLSN: modules of residual blocks and global learnable attention.

use super::builder::RGB_MEAN;
use super::{Activation, Block, Builder, Dlsn, GlobalLearnableAttention, ValueId};
use crate::Error;

/// Frames are extended to this side, so that they fill a chunk of up to 256 tokens.
const MIN_SIDE: usize = 16;
/// Columns of the stored rotations: the most buckets that there can be.
pub(crate) const MAX_BUCKETS: usize = 128;

pub(super) fn build(b: &mut Builder<'_>, p: &Dlsn) -> Result<ValueId, Error> {
    let (c, input) = (p.n_feats, Builder::INPUT);
    let extended = b.push(Block::Extend { side: MIN_SIDE }, &[input]);
    let centred = b.push(Block::Shift { offset: RGB_MEAN.map(|m| -m).to_vec() }, &[extended]);
    let head = b.conv("head.0", 3, c, 3)?;
    let shallow = b.push(Block::Conv(head), &[centred]);
    let mut x = shallow;
    for m in 0..p.n_modules {
        x = module(b, x, &format!("body.{m}.body"), p)?;
    }
    let conv = b.conv(&format!("body.{}", p.n_modules), c, c, 3)?;
    let deep = b.push(Block::Conv(conv), &[x]);
    x = b.add(shallow, 1.0, deep);
    x = upsample(b, x, c)?;
    let tail = b.conv("tail.1", c, 3, 3)?;
    x = b.push(Block::Conv(tail), &[x]);
    x = b.push(Block::Shift { offset: RGB_MEAN.to_vec() }, &[x]);
    // Left over in the authors' files: an unused scalar, and the mean shifts as convolutions.
    for name in ["a", "sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"] {
        b.ignore(name);
    }
    Ok(b.push(Block::CropLike { factor: b.scale }, &[x, input]))
}

fn module(b: &mut Builder<'_>, input: ValueId, name: &str, p: &Dlsn) -> Result<ValueId, Error> {
    let c = p.n_feats;
    let mut x = input;
    for i in 0..p.n_resblocks {
        let first = b.conv_then(&format!("{name}.{i}.body.0"), c, c, 3, Activation::Relu)?;
        let y = b.push(Block::Conv(first), &[x]);
        let second = b.conv(&format!("{name}.{i}.body.2"), c, c, 3)?;
        let y = b.push(Block::Conv(second), &[y]);
        x = b.add(x, 1.0, y);
    }
    let attention = global_learnable_attention(b, &format!("{name}.{}.", p.n_resblocks), p)?;
    x = b.push(attention, &[x]);
    let conv = b.conv(&format!("{name}.{}", p.n_resblocks + 1), c, c, 3)?;
    x = b.push(Block::Conv(conv), &[x]);
    Ok(b.add(input, p.res_scale, x))
}

/// One step for x2 and x3, two steps of 2 for x4.
fn upsample(b: &mut Builder<'_>, mut x: ValueId, c: usize) -> Result<ValueId, Error> {
    let steps: &[(&str, usize)] = match b.scale {
        4 => &[("tail.0.0", 2), ("tail.0.2", 2)],
        3 => &[("tail.0.0", 3)],
        _ => &[("tail.0.0", 2)],
    };
    for &(name, factor) in steps {
        let conv = b.conv(name, c, factor * factor * c, 3)?;
        x = b.push(Block::Conv(conv), &[x]);
        x = b.push(Block::PixelShuffle { factor }, &[x]);
    }
    Ok(x)
}

/// GLA; `prefix` ends in a dot or is empty.
pub(crate) fn global_learnable_attention(b: &mut Builder<'_>, prefix: &str, p: &Dlsn) -> Result<Block, Error> {
    let (c, reduced, chunk) = (p.n_feats, p.n_feats / p.reduction, p.chunk_size);
    let relu = Activation::Relu;
    Ok(Block::GlobalLearnableAttention(Box::new(GlobalLearnableAttention {
        matching: b.conv_then(&format!("{prefix}conv_match.0"), c, reduced, 3, relu)?,
        assembly: b.conv_then(&format!("{prefix}conv_assembly.0"), c, c, 3, relu)?,
        assembly_fc: b.conv_then(&format!("{prefix}conv_assembly_fc.0"), c, c, 3, relu)?,
        fc0: b.linear(&format!("{prefix}fc.0"), c, chunk, relu)?,
        fc2: b.linear(&format!("{prefix}fc.2"), chunk, chunk, Activation::None)?,
        rotations: b.constant(&format!("{prefix}rotations"), &[p.n_hashes, reduced, MAX_BUCKETS])?,
        rounds: p.n_hashes,
        chunk,
    })))
}
