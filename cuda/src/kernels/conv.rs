//! Dense convolutions, 1x1 and 3x3, of feature maps or a picture.

use half::f16;

use super::channels::{CHUNK, Channels};
use super::fragment::{DEPTH, OUTPUTS, fragment};
use super::video::{ensure, halves};
use crate::launch::{Arguments, Launch};
use crate::module::{Source, source};
use crate::view::{CHANNEL_STEP, Image};
use crate::{Buffer, Device, Error};

static SOURCE: Source = source!("conv");

const BLOCK: u32 = 256;
/// Pixels of a block along both axes.
const TILE: usize = 16;
/// Words of [`Fields`], filled up to a size that can be passed.
const ARGUMENT_WORDS: usize = 48;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// The exact GELU.
    Gelu,
}

/// The size of a convolution.
#[derive(Clone, Debug)]
pub struct Shape {
    /// 1 or 3.
    pub kernel: usize,
    /// Channels of each input; they follow one another.
    pub inputs: Vec<usize>,
    /// Channels out.
    pub outputs: usize,
    /// 1, or s where the result is a map that is `s` times as large, with output `c * s * s + i * s + j` as channel c
    /// of pixel `(s * y + i, s * x + j)`.
    pub shuffle: usize,
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Channels of maps, as many as the shape has inputs.
    Maps(&'a [Channels<'a>]),
    /// A picture of up to 16 channels, the only input.
    Image(&'a Image),
}

/// Where the result goes.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// To channels of a map of the input's size, or of a larger one for a shape that shuffles.
    Map(Channels<'a>),
    /// To a picture: output `c * s * s + i * s + j` to channel c at `(s * y + i, s * x + j)`.
    Image {
        /// `s` times as large as the input.
        image: &'a Image,
        /// s.
        shuffle: usize,
        /// A picture of the input's size, added to each of its `s * s` outputs.
        nearest: Option<&'a Image>,
    },
}

/// A convolution's weights on a device.
#[derive(Clone, Debug)]
pub struct Conv {
    shape: Shape,
    /// Of 16 channels.
    slices: usize,
    /// Outputs of a block.
    step: usize,
    tiles: usize,
    weights: Buffer,
    bias: Buffer,
}

impl Conv {
    /// With weights `[outputs][sum of inputs][kernel][kernel]` and a bias for each output.
    ///
    /// # Errors
    /// [`Error::Memory`].
    ///
    /// # Panics
    /// If the kernel is neither 1 nor 3, a tensor has another size, or outputs to be shuffled are no whole channel steps.
    pub fn new(device: &Device, shape: &Shape, weight: &[f32], bias: &[f32]) -> Result<Self, Error> {
        let Shape { kernel, ref inputs, outputs, shuffle } = *shape;
        assert!(kernel == 1 || kernel == 3, "a kernel of {kernel}");
        assert_eq!(weight.len(), outputs * inputs.iter().sum::<usize>() * kernel * kernel, "the weights");
        assert_eq!(bias.len(), outputs, "the bias");
        let parts = shuffle * shuffle;
        assert!(parts == 1 || outputs.is_multiple_of(parts * CHANNEL_STEP), "{outputs} outputs, shuffled by {shuffle}");
        let step = outputs_of_a_block(outputs);
        let tiles = outputs.div_ceil(step);
        // The kernel has the outputs of a pixel together.
        let order = |output: usize| output % (outputs / parts) * parts + output / (outputs / parts);
        let bias = |output: usize| if output < outputs { bias[order(output)] } else { 0.0 };
        Ok(Self {
            shape: shape.clone(),
            slices: inputs.iter().map(|channels| channels.div_ceil(CHANNEL_STEP)).sum(),
            step,
            tiles,
            weights: Buffer::from_slice(device, &pack(shape, step, weight, order))?,
            bias: Buffer::from_slice(device, &(0..tiles * step).map(bias).collect::<Vec<f32>>())?,
        })
    }

    /// `activation(convolution + bias) + scale * residual`. The residual may be what is written.
    ///
    /// # Errors
    /// [`Error::Shape`] if inputs, residual and output do not fit the convolution or each other.
    pub fn launch(
        &self,
        input: Input<'_>,
        activation: Activation,
        residual: Option<(Channels<'_>, f32)>,
        output: Output<'_>,
    ) -> Result<Launch, Error> {
        let size = self.input_size(input)?;
        self.check_output(size, output)?;
        self.check_residual(residual, output)?;
        self.check_overlap(input, output)?;
        let (height, width) = size;
        let across = width.div_ceil(TILE);
        let blocks = self.tiles * across * height.div_ceil(TILE);
        let device = self.weights.device();
        let mut fields = Fields::default();
        let channels = self.push_input(&mut fields, input)?;
        fields.address(Some(&self.weights));
        fields.numbers([channels, self.slices, self.tiles, across]);
        self.push_result(&mut fields, output, residual.map(|(from, _)| from));
        fields.numbers([height, width]);
        let shape = match output {
            Output::Map(to) => [to.chunks() * self.shape.shuffle * self.shape.shuffle, 0, self.shape.shuffle],
            Output::Image { image, shuffle, .. } => [0, image.channels, shuffle],
        };
        fields.numbers(shape);
        fields.numbers([activation as usize]);
        fields.words.push(residual.map_or(0.0, |(_, scale)| scale).to_bits());
        Launch::new(device, (&SOURCE, self.name()), [blocks as u32, 1, 1], BLOCK, 0, fields.arguments())
    }

    fn name(&self) -> &'static str {
        match (self.shape.kernel, self.step) {
            (1, 16) => "conv_1x1_n16_f16",
            (1, 32) => "conv_1x1_n32_f16",
            (1, _) => "conv_1x1_n48_f16",
            (_, 16) => "conv_3x3_n16_f16",
            (_, 32) => "conv_3x3_n32_f16",
            (_, _) => "conv_3x3_n48_f16",
        }
    }

    /// Height and width, where the inputs fit.
    fn input_size(&self, input: Input<'_>) -> Result<(usize, usize), Error> {
        let wanted = &self.shape.inputs;
        match input {
            Input::Image(image) => {
                let fits = *wanted == [image.channels] && image.channels <= CHANNEL_STEP;
                ensure(self.name(), fits, || format!("a picture of {} channels for {wanted:?}", image.channels))?;
                Ok((image.height, image.width))
            }
            Input::Maps(maps) => {
                let fit = |(c, &n): (&Channels<'_>, &usize)| {
                    (c.count == n || c.count == padded(n)) && c.first + padded(n) <= c.map.channels
                };
                let fits = maps.len() == wanted.len() && maps.iter().zip(wanted).all(fit);
                let counts = || maps.iter().map(|c| c.count).collect::<Vec<_>>();
                ensure(self.name(), fits, || format!("inputs of {:?} channels for {wanted:?}", counts()))?;
                let sizes: Vec<_> = maps.iter().map(|c| (c.map.height, c.map.width)).collect();
                let alike = sizes.windows(2).all(|pair| pair[0] == pair[1]);
                ensure(self.name(), alike && !sizes.is_empty(), || format!("inputs of sizes {sizes:?}"))?;
                Ok(sizes[0])
            }
        }
    }

    fn check_output(&self, (height, width): (usize, usize), output: Output<'_>) -> Result<(), Error> {
        let Shape { outputs, shuffle, .. } = self.shape;
        match output {
            Output::Map(to) => {
                let (map, channels) = (to.map, outputs / (shuffle * shuffle));
                // Whole chunks are written; what fills the last one must be the map's padding.
                let whole = to.count.is_multiple_of(CHUNK) && (to.count == channels || to.count == padded(channels));
                let fits = whole && (map.height, map.width) == (height * shuffle, width * shuffle);
                let found = (to.count, map.height, map.width);
                ensure(self.name(), fits, || format!("{found:?} (channels, height, width) for {channels} channels"))
            }
            Output::Image { image, shuffle: factor, nearest } => {
                let found = image.shape();
                let fits = shuffle == 1
                    && (found.0 * factor * factor, found.1, found.2) == (outputs, height * factor, width * factor);
                ensure(self.name(), fits, || format!("a picture of {found:?} for {outputs} outputs"))?;
                let alike = nearest.is_none_or(|skip| skip.shape() == (found.0, height, width));
                ensure(self.name(), alike, || "the nearest picture has another size than the input".into())
            }
        }
    }

    fn check_residual(&self, residual: Option<(Channels<'_>, f32)>, output: Output<'_>) -> Result<(), Error> {
        let Some((from, _)) = residual else { return Ok(()) };
        let Output::Map(to) = output else {
            return ensure(self.name(), false, || "a residual is added to maps only".into());
        };
        ensure(self.name(), self.shape.shuffle == 1, || "a residual is not shuffled".into())?;
        to.ensure_like(self.name(), &[from])
    }

    /// Blocks read what others write, if that is an input.
    fn check_overlap(&self, input: Input<'_>, output: Output<'_>) -> Result<(), Error> {
        let (Input::Maps(maps), Output::Map(to)) = (input, output) else { return Ok(()) };
        let meets = |from: &Channels<'_>| {
            from.map.buffer.address() == to.map.buffer.address()
                && from.first < to.first + to.count
                && to.first < from.first + from.count
        };
        ensure(self.name(), !maps.iter().any(meets), || "it writes what it reads".into())
    }

    /// Where the input lies. Gives the channels of a picture, or 0.
    fn push_input(&self, fields: &mut Fields, input: Input<'_>) -> Result<usize, Error> {
        match input {
            Input::Image(image) => {
                fields.words.extend([0; 4]);
                fields.address(None);
                fields.address(Some(&image.buffer));
                Ok(image.channels)
            }
            Input::Maps(maps) => {
                let slices: Vec<[u32; 4]> = maps.iter().flat_map(slices).collect();
                fields.words.extend(slices[0]);
                fields.buffers.extend(maps.iter().map(|channels| channels.map.buffer.clone()));
                let several = maps.len() > 1;
                let table = several.then(|| Buffer::from_slice(self.weights.device(), slices.as_flattened()));
                fields.address(table.transpose()?.as_ref());
                fields.address(None);
                Ok(0)
            }
        }
    }

    /// The addresses of `ResultArguments` of `kernels/common/result.cuh`.
    fn push_result(&self, fields: &mut Fields, output: Output<'_>, residual: Option<Channels<'_>>) {
        let (map, image, nearest) = match output {
            Output::Map(to) => (Some(to), None, None),
            Output::Image { image, nearest, .. } => (None, Some(&image.buffer), nearest.map(|skip| &skip.buffer)),
        };
        fields.channels(map);
        fields.channels(residual);
        fields.address(Some(&self.bias));
        fields.address(image);
        fields.address(nearest);
    }
}

/// `ConvArguments` of `kernels/conv.cu`, word by word, and the buffers in it.
#[derive(Default)]
struct Fields {
    words: Vec<u32>,
    buffers: Vec<Buffer>,
}

impl Fields {
    fn numbers<const N: usize>(&mut self, numbers: [usize; N]) {
        self.words.extend(numbers.map(|n| n as u32));
    }

    fn address(&mut self, buffer: Option<&Buffer>) {
        self.words.extend(buffer.map_or([0; 2], |buffer| halves(buffer.address())));
        self.buffers.extend(buffer.cloned());
    }

    fn channels(&mut self, channels: Option<Channels<'_>>) {
        self.words.extend(channels.map_or([0; 4], |channels| channels.words()));
        self.buffers.extend(channels.map(|channels| channels.map.buffer.clone()));
    }

    fn arguments(mut self) -> Arguments {
        self.words.resize(ARGUMENT_WORDS, 0);
        let words: [u32; ARGUMENT_WORDS] = self.words.try_into().expect("they were resized");
        self.buffers.iter().fold(Arguments::default().value(words), Arguments::keep)
    }
}

const fn padded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_STEP)
}

/// `ConvSlice` of `kernels/conv.cu` for each 16 channels: the address of the first, bytes of a pixel.
fn slices(channels: &Channels<'_>) -> Vec<[u32; 4]> {
    let first = channels.map.buffer.address() + 2 * channels.first as u64;
    let slice = |i: usize| {
        let [low, high] = halves(first + (2 * CHANNEL_STEP * i) as u64);
        [low, high, 2 * channels.map.channels as u32, 0]
    };
    (0..channels.count.div_ceil(CHANNEL_STEP)).map(slice).collect()
}

/// How many outputs a block makes: few blocks that read the input again, few outputs that are only padding.
fn outputs_of_a_block(outputs: usize) -> usize {
    // What reading a tile costs, in outputs.
    const READING: usize = 16;
    let cost = |step: usize| outputs.div_ceil(step) * (step + READING);
    [48, 32, 16].into_iter().min_by_key(|&step| cost(step)).expect("there are three")
}

/// `[tile][slice][tap][pair of groups of 8 outputs]`, inputs and outputs padded with zeros.
fn pack(shape: &Shape, step: usize, weight: &[f32], order: impl Fn(usize) -> usize) -> Vec<f16> {
    let (taps, inputs) = (shape.kernel * shape.kernel, shape.inputs.iter().sum::<usize>());
    let mut packed = Vec::new();
    for tile in 0..shape.outputs.div_ceil(step) {
        let mut before = 0;
        for &channels in &shape.inputs {
            for slice in 0..channels.div_ceil(DEPTH) {
                for (tap, first) in (0..taps).flat_map(|tap| (0..step).step_by(2 * OUTPUTS).map(move |n| (tap, n))) {
                    let group = |first: usize| {
                        let value = |row: usize, column: usize| {
                            let (input, output) = (slice * DEPTH + row, tile * step + first + column);
                            let exists = input < channels && output < shape.outputs;
                            let at = || (order(output) * inputs + before + input) * taps + tap;
                            if exists { weight[at()] } else { 0.0 }
                        };
                        fragment(value).collect::<Vec<f16>>()
                    };
                    let (one, other) = (group(first), group(first + OUTPUTS));
                    let lanes = one.chunks(4).zip(other.chunks(4));
                    packed.extend(lanes.flat_map(|(a, b)| a.iter().chain(b)).copied());
                }
            }
            before += channels;
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::outputs_of_a_block;

    #[test]
    fn blocks_have_little_padding_and_few_turns() {
        let cases = [(12, 16), (16, 16), (27, 32), (48, 48), (64, 32), (80, 48), (96, 48), (192, 48)];
        for (outputs, step) in cases {
            assert_eq!(outputs_of_a_block(outputs), step, "{outputs}");
        }
    }
}
