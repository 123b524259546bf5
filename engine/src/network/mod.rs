//! Networks as data: a list of blocks with weights, each reading values that earlier ones made.

mod block;
mod builder;
mod cost;
pub(crate) mod dlgsanet;
pub(crate) mod dlsn;
mod luma;
mod presets;
mod quantized;
mod reach;
pub(crate) mod sdan;
mod weights;

pub use block::*;
pub use builder::{Builder, Source};
pub(crate) use luma::Layers;
pub use presets::{Dlgsanet, Dlsn, LargeKernel, Luma, Preset, Sdan};
pub(crate) use quantized::{IntegerConv, LIMIT, Quantized, TIMES, WEIGHT};
pub(crate) use weights::floats;
pub use weights::{Metadata, NamedTensor, Weights};

use crate::Error;

/// Number of a value within a network; 0 is its input.
pub type ValueId = usize;

/// One block, the values that it reads and the one that it makes.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub block: Block,
    /// What is read.
    pub inputs: Vec<ValueId>,
    /// What is made; every value is made once.
    pub output: ValueId,
}

/// The most dB of Y-PSNR that fewer bits may lose where they are taken unasked.
const LOSS: f32 = 0.05;

/// A network with its weights, ready for any backend.
#[derive(Clone, Debug)]
pub struct Network {
    /// Preset name, with a dash and the flavour where there is one.
    pub name: String,
    /// What it was trained for beside clean pictures, if the file says so: `stream`.
    pub flavour: Option<String>,
    /// Family and parameters.
    pub preset: Preset,
    /// 2, 3 or 4.
    pub scale: usize,
    /// Planes in and out: 1 (luma) or 3 (RGB).
    pub channels: usize,
    /// In the order of execution.
    pub steps: Vec<Step>,
    /// The value that leaves.
    pub output: ValueId,
    /// Number of values, the input included.
    pub values: usize,
    /// Number of trained parameters.
    pub parameters: usize,
    /// The largest value of each channel of each layer's result but the last's, found on pictures; the last of them is that
    /// of the sum with the first layer's where there is one. Empty where they are not known: such a network has no integer
    /// form.
    pub activations: Vec<Vec<f32>>,
    /// How many dB of Y-PSNR its integer form was measured to lose on Set5 or Set14, whichever is more.
    pub integer_loss: Option<f32>,
    /// The same of bf16.
    pub bfloat_loss: Option<f32>,
    /// Mean Y-PSNR on Set5 and Set14 in dB, as the file says that it was measured.
    pub quality: Option<f32>,
}

impl Network {
    /// Builds the network that a weights file describes: by its metadata, or, where it has none, the named preset
    /// and scale whose tensors it has.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] or [`Error::Tensor`]: what is wrong with the file.
    pub fn load(weights: &Weights) -> Result<Self, Error> {
        let source = Source::File(weights);
        if let Some(Metadata { preset, scale }) = weights.metadata()? {
            let mut network = Self::build(source, preset, scale)?;
            network.read_integers(weights)?;
            network.bfloat_loss = weights.number("bf16_loss")?;
            network.quality = weights.number("y_psnr")?;
            if let Some(flavour) = weights.field("flavour") {
                network.name += &format!("-{flavour}");
                network.flavour = Some(flavour.to_owned());
            }
            return Ok(network);
        }
        let candidates = (2..=4).flat_map(|scale| Preset::named(scale).into_iter().map(move |(_, p)| (p, scale)));
        candidates.into_iter().find_map(|(preset, scale)| Self::build(source, preset, scale).ok()).ok_or_else(|| {
            weights.error("has no metadata and is no network that is known; convert it with training/export.py".into())
        })
    }

    /// A network with random weights, for tests and benches: the same for the same seed.
    ///
    /// # Panics
    /// If `scale` is not 2, 3 or 4.
    pub fn random(preset: Preset, scale: usize, seed: u64) -> Self {
        assert!((2..=4).contains(&scale), "networks have the scales 2, 3 and 4");
        Self::build(Source::Random(seed), preset, scale).expect("random tensors have every name and shape")
    }

    fn build(source: Source<'_>, preset: Preset, scale: usize) -> Result<Self, Error> {
        let mut builder = Builder::new(source, scale);
        let (channels, output) = match &preset {
            Preset::Luma(p) => (1, luma::build(&mut builder, p)?),
            Preset::Sdan(p) => (3, sdan::build(&mut builder, p)?),
            Preset::Dlgsanet(p) => (3, dlgsanet::build(&mut builder, p)?),
            Preset::Dlsn(p) => (3, dlsn::build(&mut builder, p)?),
        };
        let name = Preset::named(scale).into_iter().find(|(_, p)| *p == preset);
        let name = name.map_or_else(|| preset.family().to_owned(), |(name, _)| name.to_owned());
        builder.finish(name, preset, channels, output)
    }

    /// Whether bf16 was measured to lose no more than 0.05 dB of Y-PSNR on Set5 and Set14.
    pub(crate) fn bfloats_are_as_good(&self) -> bool {
        self.bfloat_loss.is_some_and(|loss| loss <= LOSS)
    }

    /// `(channels, height, width)` of every value, for an input of that size.
    pub fn shapes(&self, height: usize, width: usize) -> Vec<(usize, usize, usize)> {
        let mut shapes = vec![(self.channels, height, width); self.values];
        for step in &self.steps {
            let inputs: Vec<_> = step.inputs.iter().map(|&v| shapes[v]).collect();
            shapes[step.output] = step.block.shape(&inputs);
        }
        shapes
    }

    /// For every value, the number of the last step that reads it (the number of steps for the output).
    pub fn last_use(&self) -> Vec<usize> {
        let mut last = vec![0; self.values];
        for (i, step) in self.steps.iter().enumerate() {
            for &v in &step.inputs {
                last[v] = i;
            }
        }
        last[self.output] = self.steps.len();
        last
    }
}

impl Block {
    /// The shape that comes out, `(channels, height, width)`, of the shapes that go in.
    pub fn shape(&self, inputs: &[(usize, usize, usize)]) -> (usize, usize, usize) {
        let (c, h, w) = inputs[0];
        match self {
            Self::Conv(conv) => (conv.cout, h, w),
            Self::DynamicLocalAttention(p) => (p.project_out.cout, h, w),
            Self::PixelShuffle { factor } => (c / (factor * factor), h * factor, w * factor),
            Self::Nearest { factor } => (c, h * factor, w * factor),
            Self::Extend { side } => (c, h.max(*side), w.max(*side)),
            Self::CropLike { factor } => (c, inputs[1].1 * factor, inputs[1].2 * factor),
            _ => (c, h, w),
        }
    }
}

#[cfg(test)]
mod tests;
