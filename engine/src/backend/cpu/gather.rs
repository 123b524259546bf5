//! A 1x1 convolution over the results of many steps, as SDAN ends with, is summed up by a few results at a time, where the last
//! of them is made: all would else be kept until the end, and memory would grow with the depth of the network.

use crate::network::{Activation, Block, Conv, Network, ValueId};

/// Results that are kept until they are added together: the sum itself has to be read and written each time.
const TOGETHER: usize = 3;

/// Such a convolution in parts.
#[derive(Debug)]
pub struct Gathering {
    /// What the convolution makes.
    pub output: ValueId,
    parts: Vec<Part>,
}

/// A convolution over some of the results.
#[derive(Debug)]
pub struct Part {
    /// The results, in the order in which they are made.
    pub inputs: Vec<ValueId>,
    /// The bias is that of the first part, the activation that of the last.
    pub conv: Conv,
    /// Whether there is a sum already, with which it begins.
    pub adds: bool,
}

impl Gathering {
    /// All of a network.
    pub fn all(network: &Network) -> Vec<Self> {
        let steps = network.steps.iter();
        let gatherings = steps.filter_map(|step| match &step.block {
            Block::Conv(conv) if conv.kernel == 1 => Self::new(network, conv, &step.inputs, step.output),
            _ => None,
        });
        gatherings.collect()
    }

    fn new(network: &Network, conv: &Conv, inputs: &[ValueId], output: ValueId) -> Option<Self> {
        let made = |value: ValueId| network.steps.iter().position(|step| step.output == value);
        let order: Option<Vec<usize>> = inputs.iter().map(|&value| made(value)).collect();
        // Results of one size: a step's channels are not written down.
        let alike = conv.cin.is_multiple_of(inputs.len());
        let fits = inputs.len() > TOGETHER && alike && order?.is_sorted_by(|a, b| a < b);
        fits.then(|| Self { output, parts: parts(conv, inputs) })
    }

    /// What is to be done once that value is there, if anything is.
    pub fn part(&self, value: ValueId) -> Option<&Part> {
        self.parts.iter().find(|part| part.inputs.last() == Some(&value))
    }
}

fn parts(conv: &Conv, inputs: &[ValueId]) -> Vec<Part> {
    let channels = conv.cin / inputs.len();
    let mut first = 0;
    let parts = inputs.chunks(TOGETHER).map(|inputs| {
        let own = first..first + inputs.len() * channels;
        first = own.end;
        let conv = Conv {
            cin: own.len(),
            weight: conv.weight.chunks_exact(conv.cin).flat_map(|row| &row[own.clone()]).copied().collect(),
            bias: if own.start == 0 { conv.bias.clone() } else { vec![0.0; conv.cout] },
            activation: if own.end == conv.cin { conv.activation } else { Activation::None },
            ..*conv
        };
        Part { inputs: inputs.to_vec(), conv, adds: own.start > 0 }
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::fuse::{Fused, Fusion};
    use crate::backend::cpu::lower::{Kernel, Op, Products, Program};
    use crate::backend::cpu::plan::Layout;
    use crate::network::{Preset, Sdan};

    fn sdan(blocks: usize) -> Program {
        let preset = Sdan { dim: 8, blocks, steps: 1, distill: 4, lka: vec![[3, 5, 1].into(), [3, 5, 2].into()] };
        Program::new(&Network::random(Preset::Sdan(preset), 2, 1), 200, 64, Products::Floats)
    }

    #[test]
    fn frames_do_not_grow_with_depth() {
        for threads in [1, 2, 16] {
            let values = |blocks| Layout::new(&sdan(blocks), threads).slots.iter().sum::<usize>();
            assert_eq!(values(24), values(9), "{threads} threads");
        }
    }

    #[test]
    fn only_many_results_are_gathered() {
        for (blocks, parts) in [(1, 0), (3, 0), (4, 1), (8, 2)] {
            let mut program = sdan(blocks);
            let begins = |op: &mut Op| match &mut op.kernel {
                Kernel::Row(kernel) => matches!(kernel.fused_mut(), Some(Some(Fused { then: Fusion::Begin, .. }))),
                Kernel::Frame(_) => false,
            };
            assert_eq!(program.ops.iter_mut().map(begins).filter(|&begins| begins).count(), parts, "{blocks}");
        }
    }
}
