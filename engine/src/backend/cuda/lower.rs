//! A network as operations that the device has a kernel for, with values in its layouts.
//!
//! Neighbouring blocks become one operation where a kernel does both: a sum goes into the convolution before it, pixel
//! shuffle and the nearest picture into the last convolution.

use srup_cuda::CHANNEL_STEP;

use super::modules::{self, Module};
use crate::Error;
use crate::network::{
    Activation, Block, Conv, DepthwiseConv, LargeKernelAttention, LayerNorm, Network, StarDistillation, Step,
};

/// How a value lies in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// f16, channels last and padded.
    Map {
        /// Without the padding.
        channels: usize,
    },
    /// f32 planes.
    Image {
        /// Planes.
        channels: usize,
        /// Size relative to the network's input.
        factor: usize,
    },
}

/// The first channels of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which value.
    pub value: usize,
    /// How many channels.
    pub channels: usize,
}

/// What an operation does. Numbers are those of values.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// A dense convolution over the channels of all inputs together, then `residual.1 * value residual.0` is added.
    Conv {
        /// Weights.
        conv: &'a Conv,
        /// One image or some maps.
        inputs: Vec<Part>,
        /// A map and its factor.
        residual: Option<(usize, f32)>,
    },
    /// The last convolution: its output shuffled into planes, and the network's input repeated added.
    Tail {
        /// `planes * factor²` channels come out.
        conv: &'a Conv,
        /// A map.
        input: usize,
        /// An image.
        nearest: usize,
        /// Of the pixel shuffle.
        factor: usize,
    },
    /// A map's channels shuffled into planes.
    Shuffle {
        /// A map.
        input: usize,
        /// Of the pixel shuffle.
        factor: usize,
    },
    /// Of one map.
    Norm {
        /// Factors and offsets.
        norm: &'a LayerNorm,
        /// A map.
        input: usize,
    },
    /// Of `conv.channels` channels of a map, from `from` on, into channels of the output from `to` on.
    Depthwise {
        /// Kernels.
        conv: &'a DepthwiseConv,
        /// A map.
        input: usize,
        /// First channel of the input.
        from: usize,
        /// First channel of the output, and of the residual.
        to: usize,
        /// A map that is added.
        residual: Option<usize>,
    },
    /// `r + min(max(a, 0), 6) * b`, where a begins at channel `gate` of its map.
    Star {
        /// r: a map.
        residual: usize,
        /// The map that holds a.
        gates: usize,
        /// Its first channel there.
        gate: usize,
        /// b: a map.
        values: usize,
    },
    /// `a * b`.
    Product(usize, usize),
    /// `a + scale * b`.
    Add(usize, usize, f32),
    /// The first half of a module: makes its y, and p, what its attention works on.
    ModuleStar {
        /// The module.
        module: Module<'a>,
        /// A map.
        input: usize,
        /// A map that is made.
        p: usize,
    },
    /// The second half of a module.
    ModuleAttention {
        /// The module.
        module: Module<'a>,
        /// Of the first half.
        y: usize,
        /// Of the first half.
        p: usize,
        /// The module's output, where it is read.
        output: Option<usize>,
        /// The sum over the modules up to this one, where there is one.
        sum: Option<usize>,
    },
}

/// One operation and the value that it makes, or some channels of it.
#[derive(Clone, Debug)]
pub struct Operation<'a> {
    /// What is done.
    pub kind: Kind<'a>,
    /// What is made.
    pub output: usize,
}

impl Kind<'_> {
    /// The values that are read, and those that are made beside the operation's output.
    pub fn others(&self) -> Vec<usize> {
        match self {
            Self::Conv { inputs, residual, .. } => {
                inputs.iter().map(|part| part.value).chain(residual.map(|(v, _)| v)).collect()
            }
            Self::Tail { input, nearest, .. } => vec![*input, *nearest],
            Self::Norm { input, .. } | Self::Shuffle { input, .. } => vec![*input],
            Self::Depthwise { input, residual, .. } => std::iter::once(*input).chain(*residual).collect(),
            Self::Star { residual, gates, values, .. } => vec![*residual, *gates, *values],
            Self::Product(a, b) | Self::Add(a, b, _) => vec![*a, *b],
            Self::ModuleStar { input, p, .. } => vec![*input, *p],
            Self::ModuleAttention { y, p, output, sum, .. } => {
                [Some(*y), Some(*p), *output, *sum].into_iter().flatten().collect()
            }
        }
    }
}

/// A network in operations. Value 0 is its input.
#[derive(Clone, Debug)]
pub struct Lowered<'a> {
    /// In the order of execution.
    pub operations: Vec<Operation<'a>>,
    /// How each value lies.
    pub values: Vec<Value>,
    /// The value that leaves.
    pub output: usize,
}

/// Takes a network apart. Its input is an image of at most [`IMAGE_CHANNELS`] planes, else a map.
///
/// # Errors
/// [`Error::Backend`] naming a block that has no kernel here yet.
pub fn lower(network: &Network) -> Result<Lowered<'_>, Error> {
    let mut lowering = Lowering::new(network);
    let modules = modules::find(network, &lowering.readers);
    for index in 0..network.steps.len() {
        if lowering.done[index] {
            continue;
        }
        match modules.iter().find(|module| module.steps[0] == index) {
            Some(module) => lowering.module(module),
            None => lowering.step(index)?,
        }
    }
    let output = lowering.places[network.output];
    Ok(Lowered { operations: lowering.operations, values: lowering.values, output })
}

/// The most planes that a convolution reads as an image.
pub const IMAGE_CHANNELS: usize = 4;

struct Lowering<'a> {
    network: &'a Network,
    /// For each of the network's values, the steps that read it.
    readers: Vec<Vec<usize>>,
    /// Steps that went into an earlier one.
    done: Vec<bool>,
    /// For each of the network's values, its number among ours.
    places: Vec<usize>,
    operations: Vec<Operation<'a>>,
    values: Vec<Value>,
}

impl<'a> Lowering<'a> {
    fn new(network: &'a Network) -> Self {
        let mut readers = vec![Vec::new(); network.values];
        for (index, step) in network.steps.iter().enumerate() {
            for &value in &step.inputs {
                readers[value].push(index);
            }
        }
        let channels = network.channels;
        let input =
            if channels <= IMAGE_CHANNELS { Value::Image { channels, factor: 1 } } else { Value::Map { channels } };
        Self {
            network,
            readers,
            done: vec![false; network.steps.len()],
            places: vec![0; network.values],
            operations: Vec::new(),
            values: vec![input],
        }
    }

    fn value(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len() - 1
    }

    fn map(&mut self, channels: usize) -> usize {
        self.value(Value::Map { channels })
    }

    /// Adds an operation that makes a new map.
    fn push(&mut self, channels: usize, kind: Kind<'a>) -> usize {
        let output = self.map(channels);
        self.operations.push(Operation { kind, output });
        output
    }

    fn channels(&self, value: usize) -> usize {
        match self.values[value] {
            Value::Map { channels } | Value::Image { channels, .. } => channels,
        }
    }

    /// The one step that reads what step `index` makes, if it is one.
    fn only_reader(&self, index: usize) -> Option<(usize, &'a Step)> {
        let output = self.network.steps[index].output;
        match self.readers[output][..] {
            [reader] if output != self.network.output => Some((reader, &self.network.steps[reader])),
            _ => None,
        }
    }

    fn step(&mut self, index: usize) -> Result<(), Error> {
        let network = self.network;
        let step = &network.steps[index];
        let inputs: Vec<usize> = step.inputs.iter().map(|&v| self.places[v]).collect();
        let first = inputs[0];
        let made = match &step.block {
            Block::Conv(conv) => return self.conv(index, conv, inputs),
            Block::LayerNorm(norm) => self.push(norm.weight.len(), Kind::Norm { norm, input: first }),
            Block::StarDistillation(star) => self.star(star, first)?,
            Block::LargeKernelAttention(attention) => self.attention(attention, first)?,
            Block::PixelShuffle { factor } if step.output == network.output => self.shuffle(first, *factor)?,
            Block::Add { scale } => self.push(self.channels(first), Kind::Add(first, inputs[1], *scale)),
            other => return Err(unsupported(other)),
        };
        self.places[step.output] = made;
        Ok(())
    }

    /// A convolution with what follows it and can be done at once.
    fn conv(&mut self, index: usize, conv: &'a Conv, inputs: Vec<usize>) -> Result<(), Error> {
        if let Some(()) = self.tail(index, conv, &inputs) {
            return Ok(());
        }
        let step = &self.network.steps[index];
        let (mut output, mut residual) = (step.output, None);
        if let Some((reader, Step { block: Block::Add { scale }, inputs: terms, output: sum })) =
            self.only_reader(index)
        {
            // The residual must be there already, and the convolution be the term that has no factor or the other none.
            let other = if terms[0] == step.output { terms[1] } else { terms[0] };
            let ready = other != step.output && (other == 0 || self.places[other] != 0);
            let factor = if terms[0] == step.output { *scale } else { 1.0 };
            let plain = terms[0] == step.output || *scale == 1.0;
            if ready && plain && matches!(self.values[self.places[other]], Value::Map { .. }) {
                residual = Some((self.places[other], factor));
                output = *sum;
                self.done[reader] = true;
            }
        }
        let inputs = inputs.into_iter().map(|value| self.whole(value)).collect();
        self.places[output] = self.push(conv.cout, Kind::Conv { conv, inputs, residual });
        Ok(())
    }

    /// Convolution, pixel shuffle, and the sum with the input repeated, in one.
    fn tail(&mut self, index: usize, conv: &'a Conv, inputs: &[usize]) -> Option<()> {
        let (shuffle, Step { block: Block::PixelShuffle { factor }, .. }) = self.only_reader(index)? else {
            return None;
        };
        let (sum, Step { block: Block::Add { scale: 1.0 }, inputs: terms, output }) = self.only_reader(shuffle)? else {
            return None;
        };
        let shuffled = self.network.steps[shuffle].output;
        let other = if terms[0] == shuffled { terms[1] } else { terms[0] };
        let nearest = self.network.steps.iter().position(|s| s.output == other)?;
        let Step { block: Block::Nearest { factor: repeated }, inputs: source, .. } = &self.network.steps[nearest]
        else {
            return None;
        };
        let source = self.places[source[0]];
        let Value::Image { channels, factor: 1 } = self.values[source] else { return None };
        let fits = repeated == factor && channels * factor * factor == conv.cout && inputs.len() == 1;
        if !fits || conv.activation != Activation::None || self.readers[other].len() != 1 {
            return None;
        }
        for step in [shuffle, nearest, sum] {
            self.done[step] = true;
        }
        let made = self.value(Value::Image { channels, factor: *factor });
        let kind = Kind::Tail { conv, input: inputs[0], nearest: source, factor: *factor };
        self.operations.push(Operation { kind, output: made });
        self.places[*output] = made;
        Some(())
    }

    fn whole(&self, value: usize) -> Part {
        Part { value, channels: self.channels(value) }
    }

    /// A convolution of one map that nothing is added to.
    fn dense(&mut self, conv: &'a Conv, input: usize) -> usize {
        let inputs = vec![self.whole(input)];
        self.push(conv.cout, Kind::Conv { conv, inputs, residual: None })
    }

    fn module(&mut self, module: &Module<'a>) {
        let dim = module.star.out.cout;
        let (input, p) = (self.places[module.input], self.map(dim));
        let y = self.push(dim, Kind::ModuleStar { module: *module, input, p });
        let sum = module.share.map(|share| {
            if share.number == 0 {
                self.places[self.network.steps[share.step].output] = self.map(dim);
            }
            self.done[share.step] = true;
            self.places[self.network.steps[share.step].output]
        });
        let output = module.is_read.then(|| self.map(dim));
        self.places[module.output] = output.unwrap_or(0);
        let made = output.or(sum).expect("what nothing reads is part of a sum");
        let kind = Kind::ModuleAttention { module: *module, y, p, output, sum };
        self.operations.push(Operation { kind, output: made });
        for step in module.steps {
            self.done[step] = true;
        }
    }

    /// A pixel shuffle that nothing is done before or after.
    fn shuffle(&mut self, input: usize, factor: usize) -> Result<usize, Error> {
        let Value::Map { channels } = self.values[input] else {
            return Err(refused(format!("its pixel shuffle takes more than {IMAGE_CHANNELS} channels")));
        };
        let output = self.value(Value::Image { channels: channels / (factor * factor), factor });
        self.operations.push(Operation { kind: Kind::Shuffle { input, factor }, output });
        Ok(output)
    }

    fn star(&mut self, star: &'a StarDistillation, input: usize) -> Result<usize, Error> {
        let (d, c) = (star.distill, star.out.cout);
        aligned(c, CHANNEL_STEP)?;
        aligned(d, GROUP_STEP)?;
        let (mut r, mut parts) = (input, Vec::with_capacity(star.steps.len() + 1));
        for step in &star.steps {
            let split = self.dense(&step.pointwise, r);
            let depthwise = Kind::Depthwise { conv: &step.depthwise, input: split, from: d + c, to: 0, residual: None };
            let values = self.push(c, depthwise);
            r = self.push(c, Kind::Star { residual: r, gates: split, gate: d, values });
            // The distilled channels are the first of each split.
            parts.push(Part { value: split, channels: d });
        }
        parts.push(self.whole(r));
        Ok(self.push(c, Kind::Conv { conv: &star.out, inputs: parts, residual: None }))
    }

    fn attention(&mut self, attention: &'a LargeKernelAttention, input: usize) -> Result<usize, Error> {
        let c = attention.project_in.cout;
        aligned(c, CHANNEL_STEP)?;
        let p = self.dense(&attention.project_in, input);
        let [square, horizontal, joined] = [self.map(c), self.map(c), self.map(c)];
        let mut first = 0;
        for group in &attention.groups {
            aligned(group.square.channels, GROUP_STEP)?;
            let stages = [
                (&group.square, p, None, square),
                (&group.horizontal, square, None, horizontal),
                (&group.vertical, horizontal, Some(square), joined),
            ];
            for (conv, input, residual, output) in stages {
                let kind = Kind::Depthwise { conv, input, from: first, to: first, residual };
                self.operations.push(Operation { kind, output });
            }
            first += group.square.channels;
        }
        let mixed = self.dense(&attention.mix, joined);
        let gated = self.push(c, Kind::Product(p, mixed));
        Ok(self.dense(&attention.project_out, gated))
    }
}

/// Channels that a kernel takes at a time.
const GROUP_STEP: usize = 8;

fn aligned(channels: usize, step: usize) -> Result<(), Error> {
    if channels.is_multiple_of(step) {
        return Ok(());
    }
    Err(refused(format!("its kernels take channels in multiples of {step}, not {channels}")))
}

fn unsupported(block: &Block) -> Error {
    let name = match block {
        Block::GatedFfn(_) | Block::DynamicLocalAttention(_) | Block::SparseGlobalAttention(_) => "DLGSANet",
        Block::GlobalLearnableAttention(_) | Block::Extend { .. } | Block::CropLike { .. } => "DLSN",
        Block::Shift { .. } => "DLGSANet and DLSN",
        _ => "a rearrangement outside a network's end",
    };
    refused(format!("there are no kernels for {name} yet"))
}

fn refused(reason: String) -> Error {
    Error::Backend { backend: "cuda", reason: format!("{reason}; use backend=cpu") }
}

#[cfg(test)]
mod tests;
