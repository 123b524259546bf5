//! The naive truth: one loop per formula, f32 values with sums in f64, one thread. Tests compare everything else with it.

mod attention;
mod convolution;
mod global;
mod quantized;

pub use global::chunk_order;

use std::sync::Arc;

use super::host::{HostLane, Runner};
use super::{Backend, BackendKind, Lane, Plan, Precision};
use crate::Error;
use crate::frame::VideoInfo;
use crate::model::Model;
use crate::network::{Block, Network};
use crate::tensor::Tensor;

pub use attention::{
    dynamic_filter, dynamic_local_attention, gated_ffn, large_kernel_attention, sparse_global_attention,
    star_distillation, window_starts,
};
pub use convolution::{conv, depthwise, gelu, layer_norm};

/// The reference backend.
pub struct Reference;

impl Backend for Reference {
    fn lane(&self, plan: &Plan) -> Result<Box<dyn Lane>, Error> {
        let networks = Networks { ladder: plan.ladder.clone(), precision: plan.precision };
        for model in &plan.ladder {
            if let Model::Network(network) = model {
                self.precision(network, plan.precision, &plan.input)?;
            }
        }
        Ok(Box::new(HostLane::new(plan, Box::new(networks), None)))
    }

    fn run(&self, network: &Network, precision: Precision, input: &Tensor) -> Result<Tensor, Error> {
        numbers(network, precision)?;
        Ok(run_in(network, precision, input))
    }

    fn precision(&self, network: &Network, asked: Precision, _: &VideoInfo) -> Result<Precision, Error> {
        numbers(network, asked)
    }

    fn sibling(self: Arc<Self>) -> Result<Arc<dyn Backend>, Error> {
        Ok(self)
    }

    fn kind(&self) -> BackendKind {
        BackendKind::Reference
    }

    fn describe(&self) -> String {
        "reference (1 thread)".into()
    }
}

fn numbers(network: &Network, precision: Precision) -> Result<Precision, Error> {
    let reason = match precision {
        Precision::Auto | Precision::F32 => return Ok(Precision::F32),
        Precision::Int8 if network.quantized().is_some() => return Ok(Precision::Int8),
        Precision::Int8 => format!("{} has no int8 form; ask for precision f32", network.name),
        Precision::F16 | Precision::Bf16 => "it computes in f32 and int8 only".into(),
    };
    Err(Error::Backend { backend: "reference", reason })
}

struct Networks {
    ladder: Vec<Model>,
    precision: Precision,
}

impl Runner for Networks {
    fn run(&mut self, rung: usize, input: &Tensor, output: &mut Tensor) -> Result<(), Error> {
        if let Model::Network(network) = &self.ladder[rung] {
            *output = run_in(network, self.precision, input);
        }
        Ok(())
    }
}

/// A network on one tensor in numbers that it has a form in.
fn run_in(network: &Network, precision: Precision, input: &Tensor) -> Tensor {
    let integers = if precision == Precision::Int8 { quantized::run(network, input) } else { None };
    integers.unwrap_or_else(|| run(network, input))
}

/// A network on one tensor. Values are dropped after their last use.
pub fn run(network: &Network, input: &Tensor) -> Tensor {
    let last_use = network.last_use();
    let mut values: Vec<Option<Tensor>> = vec![None; network.values];
    values[0] = Some(input.clone());
    for (i, step) in network.steps.iter().enumerate() {
        let inputs: Vec<&Tensor> =
            step.inputs.iter().map(|&v| values[v].as_ref().expect("a step reads what earlier steps made")).collect();
        let output = apply(&step.block, &inputs);
        values[step.output] = Some(output);
        for &v in &step.inputs {
            if last_use[v] == i {
                values[v] = None;
            }
        }
    }
    values[network.output].take().expect("the last step makes the output")
}

/// One block on its inputs.
pub fn apply(block: &Block, inputs: &[&Tensor]) -> Tensor {
    let x = inputs[0];
    match block {
        Block::Conv(p) if inputs.len() == 1 => conv(p, x),
        Block::Conv(p) => conv(p, &concat(inputs)),
        Block::LayerNorm(p) => layer_norm(p, x),
        Block::GatedFfn(p) => gated_ffn(p, x),
        Block::DynamicLocalAttention(p) => dynamic_local_attention(p, x),
        Block::SparseGlobalAttention(p) => sparse_global_attention(p, x),
        Block::GlobalLearnableAttention(p) => global::global_learnable_attention(p, x),
        Block::StarDistillation(p) => star_distillation(p, x),
        Block::LargeKernelAttention(p) => large_kernel_attention(p, x),
        Block::PixelShuffle { factor } => pixel_shuffle(x, *factor),
        Block::Nearest { factor } => gather(x, x.height * factor, x.width * factor, |y, x| (y / factor, x / factor)),
        Block::Add { scale } => zip(x, inputs[1], |a, b| a + scale * b),
        Block::Shift { offset } => map_channels(x, |c, v| v + offset[c]),
        Block::Extend { side } => {
            gather(x, x.height.max(*side), x.width.max(*side), |y, i| (y.min(x.height - 1), i.min(x.width - 1)))
        }
        Block::CropLike { factor } => gather(x, inputs[1].height * factor, inputs[1].width * factor, |y, x| (y, x)),
    }
}

/// All channels of all inputs, in order.
fn concat(inputs: &[&Tensor]) -> Tensor {
    let channels = inputs.iter().map(|t| t.channels).sum();
    let data = inputs.iter().flat_map(|t| t.data.iter().copied()).collect();
    Tensor::from_vec(channels, inputs[0].height, inputs[0].width, data)
}

/// Channels `range` of a tensor.
fn channels(x: &Tensor, range: std::ops::Range<usize>) -> Tensor {
    let n = x.plane_len();
    Tensor::from_vec(range.len(), x.height, x.width, x.data[range.start * n..range.end * n].to_vec())
}

/// Pixel by pixel of two tensors of the same shape.
fn zip(a: &Tensor, b: &Tensor, f: impl Fn(f32, f32) -> f32) -> Tensor {
    assert_eq!((a.channels, a.height, a.width), (b.channels, b.height, b.width), "shapes must agree");
    let data = a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect();
    Tensor::from_vec(a.channels, a.height, a.width, data)
}

fn map_channels(x: &Tensor, f: impl Fn(usize, f32) -> f32) -> Tensor {
    let n = x.plane_len();
    let data = x.data.iter().enumerate().map(|(i, &v)| f(i / n, v)).collect();
    Tensor::from_vec(x.channels, x.height, x.width, data)
}

/// A picture of another size whose pixel (y, x) is the input's at `from(y, x)`.
fn gather(x: &Tensor, height: usize, width: usize, from: impl Fn(usize, usize) -> (usize, usize)) -> Tensor {
    let mut out = Tensor::zeros(x.channels, height, width);
    for c in 0..x.channels {
        for oy in 0..height {
            for ox in 0..width {
                let (iy, ix) = from(oy, ox);
                out.data[(c * height + oy) * width + ox] = x.data[(c * x.height + iy) * x.width + ix];
            }
        }
    }
    out
}

/// `out[c, s*y+i, s*x+j] = in[c*s*s + i*s + j, y, x]`.
pub fn pixel_shuffle(x: &Tensor, s: usize) -> Tensor {
    let mut out = Tensor::zeros(x.channels / (s * s), x.height * s, x.width * s);
    for c in 0..out.channels {
        for oy in 0..out.height {
            for ox in 0..out.width {
                let from = c * s * s + (oy % s) * s + ox % s;
                out.data[(c * out.height + oy) * out.width + ox] =
                    x.data[(from * x.height + oy / s) * x.width + ox / s];
            }
        }
    }
    out
}
