//! Networks in operations, one kernel each, with their values in one block of memory.

use srup_cuda::kernels::channels::Channels;
use srup_cuda::kernels::conv::{self, Input, Output};
use srup_cuda::kernels::depthwise::{Depthwise, Window};
use srup_cuda::kernels::elementwise::{add, product, star_product};
use srup_cuda::kernels::large_kernel::{LargeKernel, Share};
use srup_cuda::kernels::norm::Norm;
use srup_cuda::kernels::shuffle::pixel_shuffle;
use srup_cuda::kernels::star::Star;
use srup_cuda::{ALIGNMENT, Buffer, Device, Image, Launch, Map};

use super::arena::{Layout, Lifetime};
use super::lower::{Kind, Operation, Part, Value, lower};
use super::network::{Port, unfit};
use crate::Error;
use crate::network::{Activation, Network};

/// Operations with their weights on a device.
pub struct Blocks {
    steps: Vec<Step>,
    values: Vec<Value>,
    output: usize,
}

struct Step {
    kernel: Kernel,
    /// Values that it touches beside the output, for the layout of memory.
    others: Vec<usize>,
    output: usize,
}

/// An operation of `lower`, its weights on the device.
enum Kernel {
    Conv { conv: conv::Conv, inputs: Vec<Part>, activation: conv::Activation, residual: Option<(usize, f32)> },
    Tail { conv: conv::Conv, input: Part, nearest: usize, factor: usize },
    Shuffle { input: usize, factor: usize },
    Norm { norm: Norm, input: usize },
    Depthwise { conv: Depthwise, channels: usize, input: usize, from: usize, to: usize, residual: Option<usize> },
    Star { residual: usize, gates: usize, gate: usize, values: usize },
    Product(usize, usize),
    Add(usize, usize, f32),
    ModuleStar { star: Star, input: usize, p: usize },
    ModuleAttention { attention: LargeKernel, y: usize, p: usize, output: Option<usize>, share: Option<Sum> },
}

/// A module's share in the sum over all.
#[derive(Clone, Copy)]
struct Sum {
    value: usize,
    first: bool,
    last: bool,
}

/// A value in memory.
enum Place {
    Map(Map),
    Image(Image),
}

impl Blocks {
    /// Takes a network apart and brings its weights to the device.
    ///
    /// # Errors
    /// [`Error::Backend`] naming a block that has no kernel, or too little memory.
    pub fn new(device: &Device, network: &Network) -> Result<Self, Error> {
        let lowered = lower(network)?;
        let step = |operation: &Operation<'_>| {
            Ok(Step {
                kernel: Kernel::new(device, &operation.kind)?,
                others: operation.kind.others(),
                output: operation.output,
            })
        };
        let steps = lowered.operations.iter().map(step).collect::<Result<_, Error>>()?;
        Ok(Self { steps, values: lowered.values, output: lowered.output })
    }

    /// Where the values between input and output lie, for an input of that size.
    pub fn layout(&self, height: usize, width: usize) -> Layout {
        let unused = Lifetime { bytes: 0, first: usize::MAX, last: 0 };
        let mut lifetimes = vec![unused; self.values.len()];
        for (number, step) in self.steps.iter().enumerate() {
            for &value in step.others.iter().chain([&step.output]) {
                let lifetime = &mut lifetimes[value];
                lifetime.first = lifetime.first.min(number);
                lifetime.last = lifetime.last.max(number);
            }
        }
        for (value, lifetime) in lifetimes.iter_mut().enumerate() {
            if value != 0 && value != self.output {
                lifetime.bytes = bytes(self.values[value], height, width);
            }
        }
        Layout::new(&lifetimes, ALIGNMENT)
    }

    /// The launches from input to output, with [`Blocks::layout`] in `scratch`.
    ///
    /// # Errors
    /// [`Error::Backend`] if input or output are not what the network reads and makes.
    pub fn launches(&self, input: &Port, output: &Port, scratch: &Buffer) -> Result<Vec<Launch>, Error> {
        let (height, width) = input.size();
        let layout = self.layout(height, width);
        let place = |(number, &value): (usize, &Value)| {
            let port = match number {
                0 => Some(input),
                _ if number == self.output => Some(output),
                _ => None,
            };
            let memory = || scratch.part(layout.offsets[number], bytes(value, height, width));
            match (value, port) {
                (Value::Map { channels }, None) => Ok(Place::Map(Map::new(&memory(), height, width, channels))),
                (Value::Image { channels, factor }, None) => {
                    Ok(Place::Image(Image::new(&memory(), channels, factor * height, factor * width)))
                }
                (Value::Map { .. }, Some(Port::Map(map))) => Ok(Place::Map(map.clone())),
                (Value::Image { .. }, Some(Port::Image(image))) => Ok(Place::Image(image.clone())),
                _ => Err(unfit()),
            }
        };
        let places = self.values.iter().enumerate().map(place).collect::<Result<Vec<_>, Error>>()?;
        self.steps.iter().map(|step| Ok(step.kernel.launch(&places, step.output)?)).collect()
    }
}

fn bytes(value: Value, height: usize, width: usize) -> usize {
    match value {
        Value::Map { channels } => Map::bytes(height, width, channels),
        Value::Image { channels, factor } => Image::bytes(channels, factor * height, factor * width),
    }
}

impl Kernel {
    fn new(device: &Device, kind: &Kind<'_>) -> Result<Self, Error> {
        Ok(match kind {
            Kind::Conv { conv, inputs, residual } => Self::Conv {
                conv: dense(device, conv, inputs)?,
                inputs: inputs.clone(),
                activation: match conv.activation {
                    Activation::None => conv::Activation::None,
                    Activation::Relu => conv::Activation::Relu,
                    Activation::Gelu => conv::Activation::Gelu,
                },
                residual: *residual,
            },
            Kind::Tail { conv, input, nearest, factor } => {
                let input = Part { value: *input, channels: conv.cin };
                let conv = dense(device, conv, &[input])?;
                Self::Tail { conv, input, nearest: *nearest, factor: *factor }
            }
            &Kind::Shuffle { input, factor } => Self::Shuffle { input, factor },
            Kind::Norm { norm, input } => {
                Self::Norm { norm: Norm::new(device, &norm.weight, &norm.bias)?, input: *input }
            }
            Kind::Depthwise { conv, input, from, to, residual } => {
                let window = Window { rows: conv.kernel_h, columns: conv.kernel_w, dilation: conv.dilation };
                Self::Depthwise {
                    channels: conv.channels,
                    conv: Depthwise::new(device, window, &conv.weight, &conv.bias)?,
                    input: *input,
                    from: *from,
                    to: *to,
                    residual: *residual,
                }
            }
            &Kind::Star { residual, gates, gate, values } => Self::Star { residual, gates, gate, values },
            &Kind::Product(a, b) => Self::Product(a, b),
            &Kind::Add(a, b, scale) => Self::Add(a, b, scale),
            Kind::ModuleStar { module, input, p } => {
                Self::ModuleStar { star: module.star(device)?, input: *input, p: *p }
            }
            Kind::ModuleAttention { module, y, p, output, sum } => {
                let share = module.share.zip(*sum).map(|(share, value)| Sum {
                    value,
                    first: share.number == 0,
                    last: share.number + 1 == share.count,
                });
                let attention = module.attention(device)?;
                Self::ModuleAttention { attention, y: *y, p: *p, output: *output, share }
            }
        })
    }

    fn launch(&self, places: &[Place], output: usize) -> Result<Launch, srup_cuda::Error> {
        let all = |value: usize| map(places, value).all();
        match self {
            Self::Conv { conv, inputs, activation, residual } => {
                let residual = residual.map(|(value, scale)| (all(value), scale));
                let target = Output::Map(all(output));
                match (&places[inputs[0].value], inputs.len()) {
                    (Place::Image(image), 1) => conv.launch(Input::Image(image), *activation, residual, target),
                    _ => {
                        let parts: Vec<_> = inputs.iter().map(|part| first(places, part)).collect();
                        conv.launch(Input::Maps(&parts), *activation, residual, target)
                    }
                }
            }
            Self::Tail { conv, input, nearest, factor } => {
                let target = Output::Image {
                    image: image(places, output),
                    shuffle: *factor,
                    nearest: Some(image(places, *nearest)),
                };
                conv.launch(Input::Maps(&[first(places, input)]), conv::Activation::None, None, target)
            }
            Self::Shuffle { input, factor } => {
                let target = image(places, output);
                let channels = target.shape().0 * factor * factor;
                pixel_shuffle(map(places, *input).range(0, channels), *factor, target)
            }
            Self::Norm { norm, input } => norm.launch(map(places, *input), map(places, output)),
            Self::Depthwise { conv, channels, input, from, to, residual } => {
                let range = |value: usize, first: usize| map(places, value).range(first, *channels);
                conv.launch(range(*input, *from), residual.map(|value| range(value, *to)), range(output, *to))
            }
            Self::Star { residual, gates, gate, values } => {
                let out = all(output);
                star_product(all(*residual), map(places, *gates).range(*gate, out.count()), all(*values), out)
            }
            Self::Product(a, b) => product(all(*a), all(*b), all(output)),
            Self::Add(a, b, scale) => add(all(*a), all(*b), *scale, all(output)),
            Self::ModuleStar { star, input, p } => {
                star.launch(map(places, *input), map(places, output), map(places, *p))
            }
            Self::ModuleAttention { attention, y, p, output, share } => {
                let share = share.map(|sum| {
                    let map = map(places, sum.value);
                    Share { before: (!sum.first).then_some(map), output: map, last: sum.last }
                });
                let output = output.map(|value| map(places, value));
                attention.launch(map(places, *p), map(places, *y), output, share)
            }
        }
    }
}

fn dense(device: &Device, conv: &crate::network::Conv, inputs: &[Part]) -> Result<conv::Conv, Error> {
    let inputs = inputs.iter().map(|part| part.channels).collect();
    let shape = conv::Shape { kernel: conv.kernel, inputs, outputs: conv.cout, shuffle: 1 };
    Ok(conv::Conv::new(device, &shape, &conv.weight, &conv.bias)?)
}

fn map(places: &[Place], value: usize) -> &Map {
    match &places[value] {
        Place::Map(map) => map,
        Place::Image(_) => unreachable!("lowering gives maps to operations on maps"),
    }
}

fn image(places: &[Place], value: usize) -> &Image {
    match &places[value] {
        Place::Image(image) => image,
        Place::Map(_) => unreachable!("lowering gives images to tails and shuffles"),
    }
}

/// The channels of a part.
fn first<'a>(places: &'a [Place], part: &Part) -> Channels<'a> {
    map(places, part.value).range(0, part.channels)
}
