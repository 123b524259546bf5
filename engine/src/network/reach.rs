//! How far a pixel of the output looks around itself in the input.

use super::{Block, DepthwiseConv, Network};

/// A value's resolution over the input's, and how far it looks, in pixels of the input.
#[derive(Clone, Copy, Debug)]
struct View {
    scale: f64,
    reach: f64,
}

impl Network {
    /// Pixels of the input, to each side, that a pixel of the output depends on beside its own. None where that is the
    /// whole picture: attention over all of it, or sizes that depend on it. If `grid` is not 1, convolutions are taken to
    /// compute whole tiles of that side, in which every pixel depends on all that one of them does.
    pub fn reach(&self, grid: usize) -> Option<usize> {
        let mut views = vec![View { scale: 1.0, reach: 0.0 }; self.values];
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|&value| views[value]);
            let widest = inputs
                .fold(View { scale: 1.0, reach: 0.0 }, |a, b| View { scale: b.scale, reach: a.reach.max(b.reach) });
            let own = step.block.reach()?;
            let own = if matches!(step.block, Block::Conv(_)) { own.next_multiple_of(grid) } else { own };
            let own = own as f64 / widest.scale;
            views[step.output] = View { scale: widest.scale * step.block.factor() as f64, reach: widest.reach + own };
        }
        Some(views[self.output].reach.ceil() as usize)
    }
}

impl Block {
    /// Pixels of its input that a pixel looks to each side; None for the whole picture.
    fn reach(&self) -> Option<usize> {
        match self {
            Self::Conv(conv) => Some(conv.kernel / 2),
            Self::GatedFfn(p) => Some(depthwise(&p.depthwise)),
            Self::DynamicLocalAttention(p) => Some(depthwise(&p.depthwise).max(p.window / 2) + p.window / 2),
            Self::StarDistillation(p) => Some(p.steps.iter().map(|step| depthwise(&step.depthwise)).sum()),
            Self::LargeKernelAttention(p) => {
                let group = |g: &super::LargeKernelGroup| {
                    depthwise(&g.square) + depthwise(&g.horizontal).max(depthwise(&g.vertical))
                };
                p.groups.iter().map(group).max()
            }
            Self::LayerNorm(_)
            | Self::PixelShuffle { .. }
            | Self::Nearest { .. }
            | Self::Add { .. }
            | Self::Shift { .. } => Some(0),
            Self::SparseGlobalAttention(_)
            | Self::GlobalLearnableAttention(_)
            | Self::Extend { .. }
            | Self::CropLike { .. } => None,
        }
    }

    /// Output size over input size.
    fn factor(&self) -> usize {
        match self {
            Self::PixelShuffle { factor } | Self::Nearest { factor } => *factor,
            _ => 1,
        }
    }
}

fn depthwise(conv: &DepthwiseConv) -> usize {
    (conv.kernel_h / 2).max(conv.kernel_w / 2) * conv.dilation
}
