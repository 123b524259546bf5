//! What a network costs, as its formulas have it: no backend's shortcuts, no halos.

use super::{Block, Conv, DepthwiseConv, Network};

impl Network {
    /// Multiply-adds of a frame of that size. Norms, activations and sums count nothing.
    pub fn multiply_adds(&self, height: usize, width: usize) -> f64 {
        let shapes = self.shapes(height, width);
        let step = |step: &super::Step| {
            let (_, height, width) = shapes[step.inputs[0]];
            (step.block.multiply_adds() * height * width) as f64
        };
        self.steps.iter().map(step).sum()
    }
}

impl Block {
    /// Multiply-adds of one pixel of its input.
    fn multiply_adds(&self) -> usize {
        match self {
            Self::Conv(p) => dense(p),
            Self::GatedFfn(p) => dense(&p.project_in) + depthwise(&p.depthwise) + dense(&p.project_out),
            Self::DynamicLocalAttention(p) => {
                let made = dense(&p.reduce) + depthwise(&p.depthwise) + dense(&p.expand);
                let filtered = p.project_in.cout * p.window * p.window;
                dense(&p.project_in) + made + filtered + dense(&p.project_out)
            }
            Self::SparseGlobalAttention(p) => {
                let channels = p.project_out.cin;
                // A pixel is multiplied into its head's matrix, and the matrix with a pixel.
                let attention = 2 * channels * channels / p.temperature.len();
                dense(&p.qkv) + depthwise(&p.depthwise) + attention + dense(&p.project_out)
            }
            Self::GlobalLearnableAttention(p) => {
                let convs = [&p.matching, &p.assembly, &p.assembly_fc, &p.fc0, &p.fc2].map(dense).iter().sum::<usize>();
                let hash = p.rotations.len();
                // A token attends to its own chunk and to both neighbours, in every round.
                convs + hash + p.rounds * 3 * p.chunk * (p.matching.cout + p.assembly.cout)
            }
            Self::StarDistillation(p) => {
                let steps = p.steps.iter().map(|step| dense(&step.pointwise) + depthwise(&step.depthwise));
                steps.sum::<usize>() + dense(&p.out)
            }
            Self::LargeKernelAttention(p) => {
                let groups = p.groups.iter().flat_map(|group| [&group.square, &group.horizontal, &group.vertical]);
                let dense = dense(&p.project_in) + dense(&p.mix) + dense(&p.project_out);
                dense + groups.map(depthwise).sum::<usize>()
            }
            Self::LayerNorm(_)
            | Self::PixelShuffle { .. }
            | Self::Nearest { .. }
            | Self::Add { .. }
            | Self::Shift { .. }
            | Self::Extend { .. }
            | Self::CropLike { .. } => 0,
        }
    }
}

fn dense(conv: &Conv) -> usize {
    conv.weight.len()
}

fn depthwise(conv: &DepthwiseConv) -> usize {
    conv.weight.len()
}

#[cfg(test)]
mod tests {
    use crate::network::{Network, Preset};

    #[test]
    fn a_pixel_costs_what_the_formulas_sum_up_to() {
        // docs/networks.md, section 7.
        let expected = [
            ("luma-s", 7_632.0),
            ("luma-m", 47_520.0),
            ("sdan-small", 80_560.0),
            ("sdan", 267_000.0),
            ("dlgsanet-tiny", 586_000.0),
            ("dlsn-light", 918_000.0),
        ];
        for (name, macs) in expected {
            let preset = Preset::named(2).into_iter().find(|(n, _)| *n == name).expect("a preset has that name").1;
            let found = Network::random(preset, 2, 1).multiply_adds(54, 96) / (54.0 * 96.0);
            assert!((found / macs - 1.0).abs() < 0.02, "{name}: {found} a pixel, not {macs}");
        }
    }
}
