//! Takes blocks apart into operations on rows, and the few that need a whole frame.

use super::dispatch::Isa;
use super::fuse::{Fused, Fusion};
use super::gather::Gathering;
use super::kernels::bfloat::BfloatConv;
use super::kernels::bytes::ByteConv;
use super::kernels::conv::PackedConv;
use super::kernels::correlate::Correlation;
use super::kernels::dynamic::DynamicFilter;
use super::kernels::elementwise::Elementwise;
use super::kernels::vertical::{self, Vertical};
use super::kernels::windows::{Axis, Folded};
use crate::network::{
    Activation, Block, Conv, DepthwiseConv, DynamicLocalAttention, GatedFfn, GlobalLearnableAttention,
    LargeKernelAttention, LayerNorm, Network, SparseGlobalAttention, StarDistillation, Step,
};

/// A value between operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// `[pixels][channels]` in place of lines.
    pub tokens: bool,
}

/// Some channels of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Which value.
    pub value: usize,
    /// First channel.
    pub first: usize,
    /// Channels.
    pub channels: usize,
}

/// What follows a depth-wise convolution; see [`super::kernels::depthwise::Then`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// Adds the second input.
    Add,
    /// The second input is the gate, the third the residual.
    Star,
    /// GELU of the first half times the second half.
    Gate,
}

/// In which numbers 1x1 convolutions are computed, on an instruction set that has such products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// f32.
    Floats,
    /// bf16, sums in f32.
    Bfloats(Isa),
    /// Bytes.
    Bytes,
}

impl Products {
    /// What computes in bf16.
    fn bfloats(self) -> Option<Isa> {
        match self {
            Self::Bfloats(isa) => Some(isa),
            Self::Floats | Self::Bytes => None,
        }
    }
}

/// Computes a row of a value from rows of others.
#[derive(Clone, Debug)]
pub enum RowKernel {
    /// The network's input.
    Import,
    /// Over the channels of all inputs but the one that is fused.
    Conv(PackedConv, Activation, Option<Fused>),
    /// The same in bf16.
    Bfloat(BfloatConv, Activation, Option<Fused>),
    /// The same in bytes.
    Bytes(ByteConv, Activation, Option<Fused>),
    /// The same in blocks of rows.
    Vertical(Vertical, Activation, Option<Fused>),
    /// Of the first input.
    Depthwise(DepthwiseConv, Then),
    /// Inputs: what kernels are made of, and what is filtered.
    DynamicFilter(DynamicFilter),
    /// Of one input.
    LayerNorm(LayerNorm),
    /// Of one or two inputs.
    Elementwise(Elementwise),
    /// Of one input; adds the second repeated, where there is one.
    PixelShuffle(usize),
    /// Of one input.
    Nearest(usize),
    /// Of one input.
    ToTokens,
    /// Queries and keys to sums of squares and products.
    Correlate(Correlation),
    /// The folded convolutions of that state.
    Windows(usize, Option<Fused>),
    /// The rounds of that state.
    Combine(usize),
}

impl RowKernel {
    /// Where what it does with its values and another is said, of those that can.
    pub fn fused_mut(&mut self) -> Option<&mut Option<Fused>> {
        match self {
            Self::Conv(_, _, fused)
            | Self::Bfloat(_, _, fused)
            | Self::Bytes(_, _, fused)
            | Self::Vertical(_, _, fused)
            | Self::Windows(_, fused) => Some(fused),
            _ => None,
        }
    }

    /// Rows that are computed at a time, the first of them at a multiple.
    pub fn block(&self) -> usize {
        if matches!(self, Self::Vertical(..)) { vertical::ROWS } else { 1 }
    }

    /// Rows of the input that a row, or a block of rows, needs, and the distance from one to the next.
    pub fn rows(&self, input: usize) -> (usize, usize) {
        match self {
            Self::Conv(_, _, Some(fused)) if input == fused.input => (1, 1),
            Self::Conv(p, ..) => (p.kernel, 1),
            Self::Vertical(_, _, Some(fused)) if input == fused.input => (vertical::ROWS, 1),
            Self::Vertical(..) => (vertical::PLACES, 1),
            Self::Depthwise(p, _) if input == 0 => (p.kernel_h, p.dilation),
            Self::DynamicFilter(p) if input == 1 => (p.window, 1),
            _ => (1, 1),
        }
    }

    /// How far above a row, or a block of rows, the first of those that it needs lies.
    pub fn above(&self, input: usize) -> usize {
        let (rows, distance) = self.rows(input);
        (rows - self.block()).div_ceil(2) * distance
    }

    /// Rows that it looks up and down in an input, at the most: from any row of a block.
    pub fn reach(&self, input: usize) -> usize {
        self.above(input) + self.block() - 1
    }

    /// Pixels that it looks left and right.
    fn reach_x(&self) -> usize {
        match self {
            Self::Conv(p, ..) => p.kernel / 2,
            Self::Vertical(..) => 1,
            Self::Depthwise(p, _) => p.kernel_w / 2 * p.dilation,
            Self::DynamicFilter(p) => p.window / 2,
            _ => 0,
        }
    }
}

/// An operation on whole frames.
#[derive(Clone, Copy, Debug)]
pub enum FrameKernel {
    /// Repeats or leaves out the last rows and columns.
    Fit,
    /// Sums of squares and products to the folded convolutions of that state.
    Matrices(usize),
    /// Queries and keys, values, place scores to the rounds of that state.
    Attention(usize),
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// Row by row.
    Row(RowKernel),
    /// On whole frames.
    Frame(FrameKernel),
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Op {
    /// The network's step that it comes from: operations of a step are not parted.
    pub step: usize,
    /// What is done.
    pub kernel: Kernel,
    /// What is read.
    pub inputs: Vec<View>,
    /// What is made, if it is a value.
    pub output: Option<usize>,
}

/// SparseGSA on frames of one size.
#[derive(Clone, Debug)]
pub struct Windows {
    /// What is computed.
    pub block: SparseGlobalAttention,
    /// Windows along the columns of the picture.
    pub rows: Axis,
    /// Windows along its rows, and what there is of each row.
    pub correlation: Correlation,
    /// Attention and what follows it, without weights.
    pub folded: Folded,
}

impl Windows {
    /// Values of the matrices of a window.
    pub fn matrices(&self) -> usize {
        self.correlation.channels * self.correlation.width
    }
}

/// What an operation on frames leaves for later ones.
#[derive(Clone, Debug)]
pub enum StateSpec {
    /// SparseGSA.
    Windows(Box<Windows>),
    /// GLA: on that many tokens.
    Rounds(Box<GlobalLearnableAttention>, usize),
}

/// A network taken apart for frames of one size.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// All values.
    pub values: Vec<Value>,
    /// In the order of execution.
    pub ops: Vec<Op>,
    /// What operations leave for others.
    pub states: Vec<StateSpec>,
    /// The value that leaves.
    pub output: usize,
    /// The farthest that any kernel looks to the side.
    pub reach: usize,
}

impl Program {
    /// Takes a network apart.
    pub fn new(network: &Network, height: usize, width: usize, products: Products) -> Self {
        let mut b = Lowering {
            program: Self::default(),
            step: 0,
            map: vec![usize::MAX; network.values],
            gatherings: Gathering::all(network),
            products,
        };
        b.map[0] = b.value(network.channels, height, width);
        let import = Op { step: 0, kernel: Kernel::Row(RowKernel::Import), inputs: vec![], output: Some(b.map[0]) };
        b.program.ops.push(import);
        let mut at = 0;
        while at < network.steps.len() {
            b.step = at + 1;
            at += b.upscaling_skip(network, at).unwrap_or_else(|| {
                b.lower(&network.steps[at]);
                1
            });
        }
        b.program.output = b.map[network.output];
        b.program.fuse();
        let rows = b.program.ops.iter().filter_map(|op| match &op.kernel {
            Kernel::Row(kernel) => Some(kernel.reach_x()),
            Kernel::Frame(_) => None,
        });
        b.program.reach = rows.max().unwrap_or(0);
        b.program
    }
}

/// Channels from which on a 3x3 convolution in blocks of rows is worth what it transforms.
const MANY: usize = 12;

struct Lowering {
    program: Program,
    step: usize,
    /// The value that stands for each value of the network.
    map: Vec<usize>,
    /// Convolutions that are summed up part by part.
    gatherings: Vec<Gathering>,
    products: Products,
}

impl Lowering {
    fn value(&mut self, channels: usize, height: usize, width: usize) -> usize {
        self.program.values.push(Value { channels, height, width, tokens: false });
        self.program.values.len() - 1
    }

    /// All channels of a value.
    fn all(&self, value: usize) -> View {
        View { value, first: 0, channels: self.program.values[value].channels }
    }

    /// An operation whose result has the size of its first input.
    fn row(&mut self, kernel: RowKernel, inputs: &[View], channels: usize) -> usize {
        let Value { height, width, .. } = self.program.values[inputs[0].value];
        self.sized(kernel, inputs, (channels, height, width))
    }

    fn sized(&mut self, kernel: RowKernel, inputs: &[View], (channels, height, width): (usize, usize, usize)) -> usize {
        let output = self.value(channels, height, width);
        self.push(Kernel::Row(kernel), inputs, Some(output));
        output
    }

    fn push(&mut self, kernel: Kernel, inputs: &[View], output: Option<usize>) {
        self.program.ops.push(Op { step: self.step, kernel, inputs: inputs.to_vec(), output });
    }

    fn conv(&mut self, p: &Conv, inputs: &[View]) -> usize {
        if p.kernel == 3 && p.cin.min(p.cout) >= MANY {
            return self.row(RowKernel::Vertical(Vertical::new(p), p.activation, None), inputs, p.cout);
        }
        let narrow = match self.products {
            Products::Floats => None,
            Products::Bfloats(isa) => {
                BfloatConv::new(p, isa).map(|packed| RowKernel::Bfloat(packed, p.activation, None))
            }
            Products::Bytes => ByteConv::new(p).map(|packed| RowKernel::Bytes(packed, p.activation, None)),
        };
        match narrow {
            Some(kernel) => self.row(kernel, inputs, p.cout),
            None => self.direct_conv(p, inputs),
        }
    }

    /// Without the roundings of a transform.
    fn direct_conv(&mut self, p: &Conv, inputs: &[View]) -> usize {
        self.row(RowKernel::Conv(PackedConv::new(p), p.activation, None), inputs, p.cout)
    }

    fn depthwise(&mut self, p: &DepthwiseConv, then: Then, inputs: &[View]) -> usize {
        let channels = if then == Then::Gate { p.channels / 2 } else { p.channels };
        self.row(RowKernel::Depthwise(p.clone(), then), inputs, channels)
    }

    /// Pixel shuffle plus the nearest picture, the end of luma and SDAN, as one operation. Returns the steps that it takes.
    fn upscaling_skip(&mut self, network: &Network, at: usize) -> Option<usize> {
        let [shuffle, nearest, add, ..] = network.steps.get(at..)? else { return None };
        let (Block::PixelShuffle { factor }, Block::Nearest { factor: again }, Block::Add { scale }) =
            (&shuffle.block, &nearest.block, &add.block)
        else {
            return None;
        };
        let readers = |v: usize| network.steps.iter().flat_map(|s| &s.inputs).filter(|&&i| i == v).count();
        let only_here = readers(shuffle.output) == 1 && readers(nearest.output) == 1;
        if factor != again || *scale != 1.0 || add.inputs != [shuffle.output, nearest.output] || !only_here {
            return None;
        }
        let inputs = [self.input(shuffle, 0), self.input(nearest, 0)];
        self.map[add.output] = self.pixel_shuffle(*factor, &inputs);
        Some(3)
    }

    fn pixel_shuffle(&mut self, factor: usize, inputs: &[View]) -> usize {
        let v = self.program.values[inputs[0].value];
        let shape = (v.channels / (factor * factor), v.height * factor, v.width * factor);
        self.sized(RowKernel::PixelShuffle(factor), inputs, shape)
    }

    fn input(&self, step: &Step, index: usize) -> View {
        self.all(self.map[step.inputs[index]])
    }

    fn lower(&mut self, step: &Step) {
        // Its last part has made it.
        if self.gatherings.iter().any(|gathering| gathering.output == step.output) {
            return;
        }
        let inputs: Vec<View> = (0..step.inputs.len()).map(|i| self.input(step, i)).collect();
        let x = inputs[0];
        let channels = x.channels;
        let output = match &step.block {
            Block::Conv(p) => self.conv(p, &inputs),
            Block::LayerNorm(p) => self.row(RowKernel::LayerNorm(p.clone()), &[x], channels),
            Block::GatedFfn(p) => self.gated_ffn(p, x),
            Block::DynamicLocalAttention(p) => self.dynamic_local_attention(p, x),
            Block::SparseGlobalAttention(p) => self.sparse_global_attention(p, x),
            Block::GlobalLearnableAttention(p) => self.global_learnable_attention(p, x),
            Block::StarDistillation(p) => self.star_distillation(p, x),
            Block::LargeKernelAttention(p) => self.large_kernel_attention(p, x),
            Block::PixelShuffle { factor } => self.pixel_shuffle(*factor, &[x]),
            Block::Nearest { factor } => {
                let v = self.program.values[x.value];
                let shape = (channels, v.height * factor, v.width * factor);
                self.sized(RowKernel::Nearest(*factor), &[x], shape)
            }
            Block::Add { scale } => self.elementwise(Elementwise::Add(*scale), &inputs),
            Block::Shift { offset } => self.elementwise(Elementwise::Shift(offset.clone()), &[x]),
            Block::Extend { side } => {
                let v = self.program.values[x.value];
                self.fit(x, v.height.max(*side), v.width.max(*side))
            }
            Block::CropLike { factor } => {
                let like = self.program.values[inputs[1].value];
                self.fit(x, like.height * factor, like.width * factor)
            }
        };
        self.map[step.output] = output;
        self.gather(step.output);
    }

    /// Adds results, the last of which is that value, to the sums that they are parts of.
    fn gather(&mut self, value: usize) {
        let gatherings = std::mem::take(&mut self.gatherings);
        for (gathering, part) in gatherings.iter().filter_map(|g| Some((g, g.part(value)?))) {
            let inputs: Vec<View> = part.inputs.iter().map(|&input| self.all(self.map[input])).collect();
            let made = self.conv(&part.conv, &inputs);
            if part.adds {
                self.begin_last_with(self.map[gathering.output]);
            }
            self.map[gathering.output] = made;
        }
        self.gatherings = gatherings;
    }

    /// The last operation begins its sums with that value.
    fn begin_last_with(&mut self, value: usize) {
        let (other, op) = (self.all(value), self.program.ops.last_mut().expect("the convolution was just made"));
        let Kernel::Row(kernel) = &mut op.kernel else { unreachable!("a convolution computes rows") };
        *kernel.fused_mut().expect("a convolution can be fused") =
            Some(Fused { then: Fusion::Begin, input: op.inputs.len() });
        op.inputs.push(other);
    }

    fn elementwise(&mut self, kernel: Elementwise, inputs: &[View]) -> usize {
        self.row(RowKernel::Elementwise(kernel), inputs, inputs[0].channels)
    }

    /// The value itself where it has that size already.
    fn fit(&mut self, x: View, height: usize, width: usize) -> usize {
        let v = self.program.values[x.value];
        if (v.height, v.width) == (height, width) {
            return x.value;
        }
        let output = self.value(v.channels, height, width);
        self.push(Kernel::Frame(FrameKernel::Fit), &[x], Some(output));
        output
    }

    fn gated_ffn(&mut self, p: &GatedFfn, x: View) -> usize {
        let t = self.conv(&p.project_in, &[x]);
        let gated = self.depthwise(&p.depthwise, Then::Gate, &[self.all(t)]);
        self.conv(&p.project_out, &[self.all(gated)])
    }

    fn dynamic_local_attention(&mut self, p: &DynamicLocalAttention, x: View) -> usize {
        let u = self.conv(&p.project_in, &[x]);
        let reduced = self.conv(&p.reduce, &[self.all(u)]);
        let reduced = self.depthwise(&p.depthwise, Then::Nothing, &[self.all(reduced)]);
        let inputs = [self.all(reduced), self.all(u)];
        let filter = DynamicFilter::new(p, self.products.bfloats().is_some());
        let filtered = self.row(RowKernel::DynamicFilter(filter), &inputs, p.project_in.cout);
        self.conv(&p.project_out, &[self.all(filtered)])
    }

    fn sparse_global_attention(&mut self, p: &SparseGlobalAttention, x: View) -> usize {
        let z = self.conv(&p.qkv, &[x]);
        let Value { height, width, .. } = self.program.values[z];
        // Queries and keys stay in rings; only their sums, and the values, are kept for the whole frame.
        let c = x.channels;
        let part = |first, channels| View { value: z, first, channels };
        let pairs = self.depthwise(&p.depthwise.part(0..2 * c), Then::Nothing, &[part(0, 2 * c)]);
        let correlation =
            Correlation { channels: c, width: c / p.temperature.len(), columns: Axis::new(width, p.window) };
        let shape = (correlation.columns.starts.len(), height, correlation.sums());
        let sums = self.sized(RowKernel::Correlate(correlation.clone()), &[self.all(pairs)], shape);
        let values = self.depthwise(&p.depthwise.part(2 * c..3 * c), Then::Nothing, &[part(2 * c, c)]);
        let state = self.program.states.len();
        let (rows, folded) = (Axis::new(height, p.window), Folded::new(&p.project_out, self.products.bfloats()));
        self.program.states.push(StateSpec::Windows(Box::new(Windows { block: p.clone(), rows, correlation, folded })));
        self.push(Kernel::Frame(FrameKernel::Matrices(state)), &[self.all(sums)], None);
        self.row(RowKernel::Windows(state, None), &[self.all(values)], p.project_out.cout)
    }

    fn star_distillation(&mut self, p: &StarDistillation, x: View) -> usize {
        let (c, d) = (x.channels, p.distill);
        let mut r = x;
        let mut parts = Vec::new();
        for step in &p.steps {
            let t = self.conv(&step.pointwise, &[r]);
            let part = |first, channels| View { value: t, first, channels };
            parts.push(part(0, d));
            let star = self.depthwise(&step.depthwise, Then::Star, &[part(d + c, c), part(d, c), r]);
            r = self.all(star);
        }
        parts.push(r);
        self.conv(&p.out, &parts)
    }

    fn large_kernel_attention(&mut self, p: &LargeKernelAttention, x: View) -> usize {
        let gate = self.conv(&p.project_in, &[x]);
        let width = p.project_in.cout / p.groups.len();
        let mut parts = Vec::new();
        for (j, group) in p.groups.iter().enumerate() {
            let own = View { value: gate, first: j * width, channels: width };
            let a = self.depthwise(&group.square, Then::Nothing, &[own]);
            let h = self.depthwise(&group.horizontal, Then::Nothing, &[self.all(a)]);
            let e = self.depthwise(&group.vertical, Then::Add, &[self.all(h), self.all(a)]);
            parts.push(self.all(e));
        }
        let mixed = self.conv(&p.mix, &parts);
        let gated = self.elementwise(Elementwise::Mul, &[self.all(gate), self.all(mixed)]);
        self.conv(&p.project_out, &[self.all(gated)])
    }

    fn global_learnable_attention(&mut self, p: &GlobalLearnableAttention, x: View) -> usize {
        // Hash codes tell apart what may be very near.
        let embed = self.direct_conv(&p.matching, &[x]);
        let values = self.conv(&p.assembly, &[x]);
        let places = self.conv(&p.assembly_fc, &[x]);
        let places = self.conv(&p.fc0, &[self.all(places)]);
        let places = self.conv(&p.fc2, &[self.all(places)]);
        let inputs = [embed, values, places].map(|v| {
            let channels = self.program.values[v].channels;
            let tokens = self.row(RowKernel::ToTokens, &[self.all(v)], channels);
            self.program.values[tokens].tokens = true;
            self.all(tokens)
        });
        let Value { height, width, .. } = self.program.values[x.value];
        let state = self.program.states.len();
        self.program.states.push(StateSpec::Rounds(Box::new(p.clone()), height * width));
        self.push(Kernel::Frame(FrameKernel::Attention(state)), &inputs, None);
        self.row(RowKernel::Combine(state), &[x], x.channels)
    }
}
