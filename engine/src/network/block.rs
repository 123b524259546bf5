//! The blocks that networks are made of. A backend implements every block; a network is data.
//!
//! Shapes: activations are `[C, H, W]`, dense weights `[Cout, Cin, k, k]`, depth-wise weights `[C, kh, kw]`, all row-major.
//! Every convolution pads with zeros around the tensor that enters it and keeps its size.

use std::ops::Range;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// The exact `x/2 (1 + erf(x / sqrt 2))`.
    Gelu,
}

/// A dense convolution, 1x1 or 3x3.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Channels in.
    pub cin: usize,
    /// Channels out.
    pub cout: usize,
    /// Side of the kernel: 1 or 3.
    pub kernel: usize,
    /// `[cout, cin, kernel, kernel]`.
    pub weight: Vec<f32>,
    /// `[cout]`; zeros where the network has no bias.
    pub bias: Vec<f32>,
    /// What follows.
    pub activation: Activation,
}

/// A depth-wise convolution: one kernel a channel.
#[derive(Clone, Debug)]
pub struct DepthwiseConv {
    /// Channels in and out.
    pub channels: usize,
    /// Rows of the kernel, odd.
    pub kernel_h: usize,
    /// Columns of the kernel, odd.
    pub kernel_w: usize,
    /// Pixels from tap to tap, along both axes.
    pub dilation: usize,
    /// `[channels, kernel_h, kernel_w]`.
    pub weight: Vec<f32>,
    /// `[channels]`; zeros where the network has no bias.
    pub bias: Vec<f32>,
}

impl DepthwiseConv {
    /// Some of its channels alone.
    pub(crate) fn part(&self, channels: Range<usize>) -> Self {
        let taps = self.kernel_h * self.kernel_w;
        let weight = self.weight[channels.start * taps..channels.end * taps].to_vec();
        Self { channels: channels.len(), weight, bias: self.bias[channels].to_vec(), ..*self }
    }
}

/// Normalisation of each pixel over its channels, with biased variance and eps 1e-5.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// `[C]`.
    pub weight: Vec<f32>,
    /// `[C]`.
    pub bias: Vec<f32>,
}

/// GDFN of DLGSANet: `project_out(GELU(t[..h]) * t[h..])` with `t = depthwise(project_in(x))`.
#[derive(Clone, Debug)]
pub struct GatedFfn {
    /// 1x1, C to 2h.
    pub project_in: Conv,
    /// 3x3 on 2h channels.
    pub depthwise: DepthwiseConv,
    /// 1x1, h to C.
    pub project_out: Conv,
}

/// MHDLSA of DLGSANet: a depth-wise convolution whose kernel is made from the picture at every pixel.
#[derive(Clone, Debug)]
pub struct DynamicLocalAttention {
    /// 1x1, C to C: the values that are filtered, u.
    pub project_in: Conv,
    /// 1x1, C to C/4: first step of u to the kernels.
    pub reduce: Conv,
    /// 7x7 on C/4 channels.
    pub depthwise: DepthwiseConv,
    /// 1x1, C/4 to groups * window², channel `g * window² + dy * window + dx`.
    pub expand: Conv,
    /// Side of the dynamic kernel, odd.
    pub window: usize,
    /// Consecutive channels that share a kernel.
    pub group_channels: usize,
    /// 1x1, C to C.
    pub project_out: Conv,
}

/// SparseGSA of DLGSANet: attention between channels, with ReLU, in overlapping windows that are averaged.
#[derive(Clone, Debug)]
pub struct SparseGlobalAttention {
    /// 1x1, C to 3C: queries, keys, values.
    pub qkv: Conv,
    /// 3x3 on 3C channels, over the whole picture.
    pub depthwise: DepthwiseConv,
    /// `[heads]`.
    pub temperature: Vec<f32>,
    /// Side of a window in pixels (the authors' TLC kernel).
    pub window: usize,
    /// 1x1, C to C.
    pub project_out: Conv,
}

/// GLA of DLSN: tokens sorted by hash codes attend to their own and the two neighbouring chunks. Its skip is inside.
#[derive(Clone, Debug)]
pub struct GlobalLearnableAttention {
    /// 3x3 with ReLU, C to Cx: queries and keys.
    pub matching: Conv,
    /// 3x3 with ReLU, C to C: values.
    pub assembly: Conv,
    /// 3x3 with ReLU, C to C: input of the place scores.
    pub assembly_fc: Conv,
    /// 1x1 with ReLU, C to chunk size.
    pub fc0: Conv,
    /// 1x1, chunk size to chunk size.
    pub fc2: Conv,
    /// `[rounds, Cx, 128]`.
    pub rotations: Vec<f32>,
    /// Rounds of hashing.
    pub rounds: usize,
    /// Tokens of a chunk, 256 at the most.
    pub chunk: usize,
}

/// One step of the star module: `r + ReLU6(a) * depthwise(b)`, where `[D, a, b] = pointwise(r)`.
#[derive(Clone, Debug)]
pub struct StarStep {
    /// 1x1, C to d + 2C.
    pub pointwise: Conv,
    /// 3x3 on C channels.
    pub depthwise: DepthwiseConv,
}

/// SDM of SDAN: star steps whose distilled parts are joined at the end.
#[derive(Clone, Debug)]
pub struct StarDistillation {
    /// The steps.
    pub steps: Vec<StarStep>,
    /// Channels that each step sets aside, d.
    pub distill: usize,
    /// 1x1, steps * d + C to C.
    pub out: Conv,
}

/// One channel group of the large-kernel attention: `a + v(h(a))` with `a = square(p)`.
#[derive(Clone, Debug)]
pub struct LargeKernelGroup {
    /// q x q.
    pub square: DepthwiseConv,
    /// 1 x k, dilated.
    pub horizontal: DepthwiseConv,
    /// k x 1, dilated.
    pub vertical: DepthwiseConv,
}

/// MM-LKA of SDAN: `project_out(p * mix(groups(p)))` with `p = GELU(project_in(x))`.
#[derive(Clone, Debug)]
pub struct LargeKernelAttention {
    /// 1x1 with GELU, C to C.
    pub project_in: Conv,
    /// Equal groups of consecutive channels.
    pub groups: Vec<LargeKernelGroup>,
    /// 1x1, C to C.
    pub mix: Conv,
    /// 1x1, C to C.
    pub project_out: Conv,
}

/// One operation of a network. Inputs and their number are those of the [`Step`](super::Step) that holds it.
#[derive(Clone, Debug)]
pub enum Block {
    /// Dense convolution over the channels of all inputs together, in their order.
    Conv(Conv),
    /// Layer norm of one input.
    LayerNorm(LayerNorm),
    /// Gated feed-forward of one input.
    GatedFfn(GatedFfn),
    /// Dynamic local attention of one input.
    DynamicLocalAttention(DynamicLocalAttention),
    /// Sparse global attention of one input.
    SparseGlobalAttention(SparseGlobalAttention),
    /// Global learnable attention of one input, its skip included.
    GlobalLearnableAttention(Box<GlobalLearnableAttention>),
    /// Star distillation of one input.
    StarDistillation(StarDistillation),
    /// Large-kernel attention of one input.
    LargeKernelAttention(LargeKernelAttention),
    /// `out[c, s*y+i, s*x+j] = in[c*s*s + i*s + j, y, x]`.
    PixelShuffle {
        /// s.
        factor: usize,
    },
    /// Every pixel repeated `factor` times along both axes.
    Nearest {
        /// s.
        factor: usize,
    },
    /// `first + scale * second`, of two inputs.
    Add {
        /// Factor of the second input.
        scale: f32,
    },
    /// `x[c] + offset[c]`.
    Shift {
        /// One value a channel.
        offset: Vec<f32>,
    },
    /// Repeats the last row and column until both sides are at least `side`.
    Extend {
        /// The least height and width.
        side: usize,
    },
    /// The top left part of the first input, `factor` times as large as the second input.
    CropLike {
        /// Size of the first relative to the second.
        factor: usize,
    },
}
