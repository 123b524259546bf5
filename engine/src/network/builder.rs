//! Makes a network step by step, taking each tensor from a weights file by name and shape.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Activation, Block, Conv, DepthwiseConv, LayerNorm, Network, Preset, Step, ValueId, Weights};
use crate::Error;

/// The red, green and blue means that DLGSANet and DLSN take off and add again; constants of the authors' code.
pub(super) const RGB_MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];

/// Where a builder's tensors come from.
#[derive(Clone, Copy)]
pub enum Source<'w> {
    /// A weights file.
    File(&'w Weights),
    /// Noise of this seed, scaled so that activations neither grow nor vanish: for tests and benches.
    Random(u64),
}

/// Collects steps and remembers which tensors were used.
pub struct Builder<'w> {
    source: Source<'w>,
    used: HashSet<String>,
    parameters: usize,
    steps: Vec<Step>,
    values: usize,
    /// 2, 3 or 4.
    pub scale: usize,
}

impl<'w> Builder<'w> {
    /// The number of the value that enters.
    pub const INPUT: ValueId = 0;

    /// Starts with nothing but the input.
    pub fn new(source: Source<'w>, scale: usize) -> Self {
        Self { source, used: HashSet::new(), parameters: 0, steps: Vec::new(), values: 1, scale }
    }

    /// Appends a step; returns the value that it makes.
    pub fn push(&mut self, block: Block, inputs: &[ValueId]) -> ValueId {
        let output = self.values;
        self.values += 1;
        self.steps.push(Step { block, inputs: inputs.to_vec(), output });
        output
    }

    /// `first + scale * second`.
    pub fn add(&mut self, first: ValueId, scale: f32, second: ValueId) -> ValueId {
        self.push(Block::Add { scale }, &[first, second])
    }

    /// The values of a tensor of exactly that shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let data = self.constant(name, shape)?;
        self.parameters += data.len();
        Ok(data)
    }

    /// As [`Builder::tensor`], for values that are stored but not trained.
    pub fn constant(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let weights = match self.source {
            Source::File(weights) => weights,
            Source::Random(seed) => return Ok(noise(seed, name, shape)),
        };
        let error = |reason| weights.tensor_error(name, reason);
        let Some(tensor) = weights.get(name) else {
            return Err(error(format!("is missing; it should have the shape {shape:?}")));
        };
        if tensor.shape != shape {
            return Err(error(format!("has the shape {:?}, it should be {shape:?}", tensor.shape)));
        }
        self.used.insert(name.to_owned());
        Ok(tensor.data.clone())
    }

    /// Says that a tensor may be there and is not needed.
    pub fn ignore(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }

    /// A dense convolution with bias.
    pub fn conv(&mut self, name: &str, cin: usize, cout: usize, kernel: usize) -> Result<Conv, Error> {
        let bias = self.tensor(&format!("{name}.bias"), &[cout])?;
        Ok(Conv { bias, ..self.conv_without_bias(name, cin, cout, kernel)? })
    }

    /// A dense convolution with bias and an activation.
    pub fn conv_then(
        &mut self,
        name: &str,
        cin: usize,
        cout: usize,
        kernel: usize,
        activation: Activation,
    ) -> Result<Conv, Error> {
        Ok(Conv { activation, ..self.conv(name, cin, cout, kernel)? })
    }

    /// A dense convolution without bias.
    pub fn conv_without_bias(&mut self, name: &str, cin: usize, cout: usize, kernel: usize) -> Result<Conv, Error> {
        let weight = self.tensor(&format!("{name}.weight"), &[cout, cin, kernel, kernel])?;
        Ok(Conv { cin, cout, kernel, weight, bias: vec![0.0; cout], activation: Activation::None })
    }

    /// A linear layer (`[cout, cin]`), as the 1x1 convolution that it is.
    pub fn linear(&mut self, name: &str, cin: usize, cout: usize, activation: Activation) -> Result<Conv, Error> {
        let weight = self.tensor(&format!("{name}.weight"), &[cout, cin])?;
        let bias = self.tensor(&format!("{name}.bias"), &[cout])?;
        Ok(Conv { cin, cout, kernel: 1, weight, bias, activation })
    }

    /// A depth-wise convolution with bias; `kernel` is (rows, columns).
    pub fn depthwise(
        &mut self,
        name: &str,
        channels: usize,
        kernel: (usize, usize),
        dilation: usize,
    ) -> Result<DepthwiseConv, Error> {
        let bias = self.tensor(&format!("{name}.bias"), &[channels])?;
        Ok(DepthwiseConv { bias, dilation, ..self.depthwise_without_bias(name, channels, kernel)? })
    }

    /// A depth-wise convolution without bias or dilation.
    pub fn depthwise_without_bias(
        &mut self,
        name: &str,
        channels: usize,
        (kernel_h, kernel_w): (usize, usize),
    ) -> Result<DepthwiseConv, Error> {
        let weight = self.tensor(&format!("{name}.weight"), &[channels, 1, kernel_h, kernel_w])?;
        Ok(DepthwiseConv { channels, kernel_h, kernel_w, dilation: 1, weight, bias: vec![0.0; channels] })
    }

    /// A layer norm.
    pub fn layer_norm(&mut self, name: &str, channels: usize) -> Result<Block, Error> {
        Ok(Block::LayerNorm(LayerNorm {
            weight: self.tensor(&format!("{name}.weight"), &[channels])?,
            bias: self.tensor(&format!("{name}.bias"), &[channels])?,
        }))
    }

    /// The network that leaves with `output`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the file has tensors that were not asked for.
    pub fn finish(self, name: String, preset: Preset, channels: usize, output: ValueId) -> Result<Network, Error> {
        if let Source::File(weights) = self.source
            && let Some(surplus) = weights.names().find(|name| !self.used.contains(*name))
        {
            return Err(weights.tensor_error(surplus, "is not part of the network; the file is another one's".into()));
        }
        Ok(Network {
            name,
            preset,
            scale: self.scale,
            channels,
            steps: self.steps,
            output,
            values: self.values,
            parameters: self.parameters,
            activations: Vec::new(),
            integer_loss: None,
            bfloat_loss: None,
            quality: None,
            flavour: None,
        })
    }
}

/// Weights of variance 1/fan-in, small biases, norms near 1.
fn noise(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let mut hasher = DefaultHasher::new();
    (seed, name).hash(&mut hasher);
    let mut state = hasher.finish() | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let fan_in: usize = shape[1..].iter().product();
    let (centre, radius) = match (shape.len(), name.ends_with(".bias")) {
        (1, true) => (0.0, 0.1),
        (1, false) => (1.0, 0.2),
        _ => (0.0, (3.0 / fan_in as f32).sqrt()),
    };
    (0..shape.iter().product()).map(|_| centre + radius * uniform()).collect()
}
