//! SDAN's residual modules among a network's steps: six steps that two kernels do, and their share in the sum behind them.
//!
//! A module is `y = x + star(norm(x))`, then `y + attention(norm(y))`. The outputs of all modules together go through a 1x1
//! convolution; its part of each module is added up module by module, so that their outputs need not be kept.

use srup_cuda::Device;
use srup_cuda::kernels::large_kernel::{self, GroupShape, GroupWeights, LargeKernel, LargeKernelWeights};
use srup_cuda::kernels::slice::Weights;
use srup_cuda::kernels::star::{self, Star, StarStep, StarWeights};

use crate::Error;
use crate::network::{
    Activation, Block, Conv, DepthwiseConv, LargeKernelAttention, LayerNorm, Network, StarDistillation, Step, ValueId,
};

/// One module. Values and steps are the network's.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// What goes in.
    pub input: ValueId,
    /// The norm before the star.
    pub norm: &'a LayerNorm,
    /// The star.
    pub star: &'a StarDistillation,
    /// The norm before the attention.
    pub next_norm: &'a LayerNorm,
    /// The attention.
    pub attention: &'a LargeKernelAttention,
    /// What comes out.
    pub output: ValueId,
    /// Whether anything but the convolution of all modules reads that.
    pub is_read: bool,
    /// Its six steps, the first one first.
    pub steps: [usize; 6],
    /// Its part of the convolution of all modules, where there is one.
    pub share: Option<Share<'a>>,
}

/// A module's part of a 1x1 convolution with GELU over the outputs of all modules.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// The convolution.
    pub conv: &'a Conv,
    /// Its step.
    pub step: usize,
    /// Which of its inputs the module is.
    pub number: usize,
    /// How many inputs it has.
    pub count: usize,
}

impl Module<'_> {
    /// Brings the weights of the first half to a device.
    pub fn star(&self, device: &Device) -> Result<Star, Error> {
        let [first, second] = self.star.steps.as_slice() else { unreachable!("modules with kernels have two steps") };
        let weights = StarWeights {
            norm: norm(self.norm),
            steps: [star_step(first), star_step(second)],
            out: dense(&self.star.out),
            next_norm: norm(self.next_norm),
            project_in: dense(&self.attention.project_in),
        };
        Ok(Star::new(device, &weights)?)
    }

    /// Brings the weights of the second half to a device.
    pub fn attention(&self, device: &Device) -> Result<LargeKernel, Error> {
        let groups = self.attention.groups.iter().map(|group| GroupWeights {
            square: depthwise(&group.square),
            horizontal: depthwise(&group.horizontal),
            vertical: depthwise(&group.vertical),
        });
        let dim = self.attention.project_out.cout;
        let part = self.share.map_or_else(|| vec![0.0; dim * dim], |share| share.weights());
        let zeros = vec![0.0; dim];
        let weights = LargeKernelWeights {
            groups: &groups.collect::<Vec<_>>(),
            mix: dense(&self.attention.mix),
            project_out: dense(&self.attention.project_out),
            fuse: Weights { weight: &part, bias: self.share.map_or(&zeros, |share| &share.conv.bias) },
        };
        Ok(LargeKernel::new(device, &group_shapes(self.attention), &weights)?)
    }
}

impl Share<'_> {
    /// The columns of the convolution that belong to the module.
    fn weights(&self) -> Vec<f32> {
        let dim = self.conv.cin / self.count;
        let rows = self.conv.weight.chunks_exact(self.conv.cin);
        rows.flat_map(|row| &row[self.number * dim..][..dim]).copied().collect()
    }
}

fn dense(conv: &Conv) -> Weights<'_> {
    Weights { weight: &conv.weight, bias: &conv.bias }
}

fn depthwise(conv: &DepthwiseConv) -> Weights<'_> {
    Weights { weight: &conv.weight, bias: &conv.bias }
}

fn norm(norm: &LayerNorm) -> Weights<'_> {
    Weights { weight: &norm.weight, bias: &norm.bias }
}

fn star_step(step: &crate::network::StarStep) -> StarStep<'_> {
    StarStep { pointwise: dense(&step.pointwise), depthwise: depthwise(&step.depthwise) }
}

/// The shapes of an attention's groups.
fn group_shapes(attention: &LargeKernelAttention) -> Vec<GroupShape> {
    let shape = |group: &crate::network::LargeKernelGroup| GroupShape {
        square: group.square.kernel_h,
        strip: group.horizontal.kernel_w,
        dilation: group.horizontal.dilation,
    };
    attention.groups.iter().map(shape).collect()
}

/// Every module of a network that there are kernels for, in order; `readers` are the steps that read each value.
pub fn find<'a>(network: &'a Network, readers: &[Vec<usize>]) -> Vec<Module<'a>> {
    let mut modules: Vec<_> =
        (0..network.steps.len()).filter_map(|first| Search { network, readers }.module(first)).collect();
    for (index, step) in network.steps.iter().enumerate() {
        let Block::Conv(conv) = &step.block else { continue };
        let outputs: Vec<ValueId> = modules.iter().map(|module| module.output).collect();
        let whole = conv.kernel == 1 && conv.activation == Activation::Gelu && step.inputs == outputs;
        if !whole || conv.cin != conv.cout * outputs.len() {
            continue;
        }
        for (number, module) in modules.iter_mut().enumerate() {
            module.is_read = module.output == network.output || readers[module.output].len() > 1;
            module.share = Some(Share { conv, step: index, number, count: outputs.len() });
        }
    }
    modules
}

struct Search<'a, 'b> {
    network: &'a Network,
    readers: &'b [Vec<usize>],
}

impl<'a> Search<'a, '_> {
    fn step(&self, index: usize) -> &'a Step {
        &self.network.steps[index]
    }

    /// The module that begins with that step.
    fn module(&self, first: usize) -> Option<Module<'a>> {
        let input = *self.step(first).inputs.first()?;
        let half = |norm: usize, input: ValueId| {
            let block = self.only_reader(norm)?;
            let sum = self.only_reader(block)?;
            let Step { block: Block::Add { scale: 1.0 }, inputs, output } = self.step(sum) else { return None };
            (*inputs == [input, self.step(block).output]).then_some((block, sum, *output))
        };
        let Block::LayerNorm(norm) = &self.step(first).block else { return None };
        let (star, y_step, y) = half(first, input)?;
        let &[next, last] = self.readers[y].as_slice() else { return None };
        let Block::LayerNorm(next_norm) = &self.step(next).block else { return None };
        let (attention, out_step, output) = half(next, y)?;
        let steps = [first, star, y_step, next, attention, out_step];
        let Block::StarDistillation(star) = &self.step(star).block else { return None };
        let Block::LargeKernelAttention(attention) = &self.step(attention).block else { return None };
        let supported = star::is_supported(star.out.cout, star.steps.len(), star.distill)
            && large_kernel::is_supported(&group_shapes(attention));
        let whole = last == out_step && y != self.network.output && supported;
        let module = Module { input, norm, star, next_norm, attention, output, is_read: true, steps, share: None };
        whole.then_some(module)
    }

    /// The one step that reads what a step makes.
    fn only_reader(&self, index: usize) -> Option<usize> {
        let output = self.step(index).output;
        match self.readers[output][..] {
            [reader] if output != self.network.output => Some(reader),
            _ => None,
        }
    }
}
