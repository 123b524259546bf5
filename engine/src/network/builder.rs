//! Makes a network step by step, taking each tensor from a weights file by name and shape.

use std::collections::HashSet;

use super::{Activation, Block, Conv, DepthwiseConv, LayerNorm, Network, Preset, Step, ValueId, Weights};
use crate::Error;

/// The red, green and blue means that DLGSANet and DLSN take off and add again; constants of the authors' code.
pub(super) const RGB_MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];

/// Collects steps and remembers which tensors were used.
pub struct Builder<'w> {
    weights: &'w Weights,
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
    pub fn new(weights: &'w Weights, scale: usize) -> Self {
        Self { weights, used: HashSet::new(), parameters: 0, steps: Vec::new(), values: 1, scale }
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
        let error = |reason| self.weights.tensor_error(name, reason);
        let Some(tensor) = self.weights.get(name) else {
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
        let (steps, values) = self.finish_steps()?;
        Ok(Network { name, preset, scale: self.scale, channels, steps, output, values, parameters: self.parameters })
    }

    fn finish_steps(&self) -> Result<(Vec<Step>, usize), Error> {
        match self.weights.names().find(|name| !self.used.contains(*name)) {
            Some(name) => {
                Err(self.weights.tensor_error(name, "is not part of the network; the file is another one's".into()))
            }
            None => Ok((self.steps.clone(), self.values)),
        }
    }
}
