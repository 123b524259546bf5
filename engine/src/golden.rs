//! Golden vectors: inputs, weights and the outputs that the authors' code gives for them, one case a file.
//!
//! A file is safetensors with `input`, `output` (f32, `[C, H, W]`) and `weights.*`; its metadata name the network or operator.

use std::path::Path;

use safetensors::SafeTensors;

use crate::backend::{Backend, BackendKind, Precision};
use crate::frame::{Colour, PixelFormat, VideoInfo};
use crate::network::{
    Activation, Block, Builder, Conv, DepthwiseConv, Dlgsanet, Dlsn, DynamicLocalAttention, Network, Preset, Sdan,
    Source, Weights, dlgsanet, dlsn, sdan,
};
use crate::tensor::Tensor;
use crate::{Error, network};

/// How far a result may be from the golden one; both relative to the golden output's range (largest minus smallest value).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The largest error of a value; infinite where it says nothing.
    pub max_error: f64,
    /// The least PSNR in dB, the range being the peak.
    pub psnr: f64,
}

impl Tolerance {
    /// The bound of a case that is computed in those numbers. `family` is the network's, or `op`.
    ///
    /// Seen in bf16 were 1.3e-2 and 52 dB, of luma 4.3e-3 and 60 dB, of operators 3.3e-3; in int8 4.7e-2 and 40 dB, of operators
    /// 1.3e-2. Luma's vectors have no `activations`, so that int8 is refused. In f16 one hash code of DLSN that flips moves every
    /// later token of its round, so that only the PSNR can be bounded.
    fn of(backend: BackendKind, precision: Precision, family: &str) -> Self {
        let half = precision == Precision::F16 || backend == BackendKind::Cuda && precision == Precision::Auto;
        let (max_error, psnr) = match (backend, precision, family) {
            (BackendKind::Reference, ..) => (2e-5, 0.0),
            (BackendKind::Cpu, Precision::Bf16, "sdan" | "dlgsanet") => (3e-2, 48.0),
            (BackendKind::Cpu, Precision::Bf16, "luma") => (1e-2, 55.0),
            (BackendKind::Cpu, Precision::Bf16, "op") => (1e-2, 0.0),
            (BackendKind::Cpu, Precision::Int8, "sdan" | "dlgsanet") => (8e-2, 38.0),
            (BackendKind::Cpu, Precision::Int8, "op") => (2e-2, 0.0),
            _ if !half => (1e-4, 0.0),
            // Sums in f16, too, where the device is faster at them: never more than one code of 8 bits.
            (_, Precision::Auto, "luma") => (1.0 / 255.0, 62.0),
            (_, _, "luma") => (2e-3, 70.0),
            (_, _, "dlsn") => (f64::INFINITY, 30.0),
            (_, _, "op") => (5e-3, 0.0),
            _ => (1e-2, 55.0),
        };
        Self { max_error, psnr }
    }
}

/// A golden vector in memory.
pub struct Golden {
    /// The network, or the operator as a network of one block.
    pub network: Network,
    /// `luma`, `sdan`, `dlgsanet`, `dlsn` or `op`.
    pub family: String,
    /// What goes in.
    pub input: Tensor,
    /// What should come out.
    pub output: Tensor,
    /// A pixel (row, column) that f16 cannot hold, of which nothing is asked then.
    beyond_half: Option<(usize, usize)>,
}

/// How a result compares with the golden output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Largest error over the golden output's range.
    pub max_error: f64,
    /// In dB, the range being the peak.
    pub psnr: f64,
}

impl Comparison {
    /// Whether it is within that tolerance. A value that is not a number never is.
    pub fn passes(&self, tolerance: Tolerance) -> bool {
        self.max_error.is_finite() && self.max_error <= tolerance.max_error && self.psnr >= tolerance.psnr
    }
}

impl Golden {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] or [`Error::Tensor`]: what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = |reason: String| Error::WeightsFile { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|e| file(e.to_string()))?;
        let weights = Weights::parse(path, &bytes, "weights.")?;
        let family = weights.field("network").ok_or_else(|| file("its metadata lack 'network'".into()))?.to_owned();
        let mut input = picture(path, &bytes, "input")?;
        let output = picture(path, &bytes, "output")?;
        let network = match weights.field("op") {
            None => Network::load(&weights)?,
            Some("dyndw") => {
                let kernels = picture(path, &bytes, "kernel")?;
                let preset = DynamicFilterPreset::parse(&weights)?;
                let network = raw_dynamic_filter(&weights, &preset, input.channels, kernels.channels)?;
                input.channels += kernels.channels;
                input.data.extend(kernels.data);
                network
            }
            Some(op) => operator(&weights, op, input.channels)?,
        };
        if input.channels != network.channels {
            let reason = format!("has {} channels, {} go into the network", input.channels, network.channels);
            return Err(Error::Tensor { path: path.into(), tensor: "input".into(), reason });
        }
        let shape = network.shapes(input.height, input.width)[network.output];
        if shape != (output.channels, output.height, output.width) {
            let reason = format!("is {}x{}x{}, it should be {shape:?}", output.channels, output.height, output.width);
            return Err(Error::Tensor { path: path.into(), tensor: "output".into(), reason });
        }
        // Mean 30 with a deviation of 0.1: made to catch a variance that is found in one pass.
        let beyond_half = (weights.field("op") == Some("layernorm")).then_some((1, 1));
        Ok(Self { network, family, input, output, beyond_half })
    }

    /// How far the result of a backend may be that was asked for that precision: networks that bf16 does not help are f32.
    ///
    /// # Errors
    /// The backend's own.
    pub fn tolerance(&self, backend: &dyn Backend, asked: Precision) -> Result<Tolerance, Error> {
        let mut computed = asked;
        if asked == Precision::Bf16 {
            let input = VideoInfo::new(PixelFormat::Rgb, self.input.width, self.input.height, Colour::default())?;
            computed = backend.precision(&self.network, asked, &input)?;
        }
        Ok(Tolerance::of(backend.kind(), computed, &self.family))
    }

    /// Runs a backend on the input and compares.
    ///
    /// # Errors
    /// The backend's own.
    pub fn check(&self, backend: &dyn Backend, precision: Precision) -> Result<Comparison, Error> {
        let mut found = backend.run(&self.network, precision, &self.input)?;
        let half = matches!(precision, Precision::F16) || backend.kind() == BackendKind::Cuda;
        if let (true, Some((y, x))) = (half, self.beyond_half) {
            for channel in 0..found.channels {
                let at = (channel * found.height + y) * found.width + x;
                found.data[at] = self.output.data[at];
            }
        }
        Ok(self.compare(&found))
    }

    fn compare(&self, found: &Tensor) -> Comparison {
        let truth = &self.output.data;
        let largest = truth.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let smallest = truth.iter().copied().fold(f32::INFINITY, f32::min);
        let range = f64::from(largest) - f64::from(smallest);
        let errors = truth.iter().zip(&found.data).map(|(&t, &f)| (f64::from(f) - f64::from(t)).abs() / range);
        let (mut max_error, mut squares) = (0.0_f64, 0.0);
        for error in errors {
            // `f64::max` would drop a NaN.
            max_error = if error > max_error || error.is_nan() { error } else { max_error };
            squares += error * error;
        }
        if found.data.len() != truth.len() {
            max_error = f64::NAN;
        }
        Comparison { max_error, psnr: -10.0 * (squares / truth.len() as f64).log10() }
    }
}

/// A tensor `[C, H, W]` of f32 that is not a weight.
fn picture(path: &Path, bytes: &[u8], name: &str) -> Result<Tensor, Error> {
    let tensor = |reason: String| Error::Tensor { path: path.into(), tensor: name.into(), reason };
    let parsed =
        SafeTensors::deserialize(bytes).map_err(|e| Error::WeightsFile { path: path.into(), reason: e.to_string() })?;
    let view = parsed.tensor(name).map_err(|_| tensor("is missing".into()))?;
    let data =
        network::floats(&view).ok_or_else(|| tensor(format!("has type {:?}, it should be f32", view.dtype())))?;
    match *view.shape() {
        [channels, height, width] if !data.is_empty() => Ok(Tensor::from_vec(channels, height, width, data)),
        ref shape => Err(tensor(format!("has the shape {shape:?}, it should be [C, H, W] with values"))),
    }
}

/// The fields of an operator's preset; each operator uses some of them.
#[derive(serde::Deserialize)]
struct OperatorPreset {
    #[serde(default)]
    s: usize,
    #[serde(default)]
    dim: usize,
    #[serde(default)]
    heads: usize,
    #[serde(default)]
    tlc_kernel: usize,
}

fn preset<T: serde::de::DeserializeOwned>(weights: &Weights) -> Result<T, Error> {
    let json = weights.field("preset").unwrap_or("{}");
    serde_json::from_str(json).map_err(|e| weights.error(format!("its preset is wrong: {e}")))
}

/// A preset of a family of which the file gives only the fields that the operator uses.
fn family_preset(weights: &Weights, family: &str, defaults: serde_json::Value) -> Result<Preset, Error> {
    let mut all = defaults;
    let given: serde_json::Map<String, serde_json::Value> = preset(weights)?;
    all.as_object_mut().expect("the defaults are an object").extend(given);
    Preset::parse(family, &all.to_string()).map_err(|e| weights.error(e))
}

/// An operator as a network of one block.
fn operator(weights: &Weights, op: &str, channels: usize) -> Result<Network, Error> {
    let p: OperatorPreset = preset(weights)?;
    let mut b = Builder::new(Source::File(weights), 1);
    let block = match op {
        "layernorm" => Block::LayerNorm(network::LayerNorm {
            weight: b.tensor("weight", &[channels])?,
            bias: b.tensor("bias", &[channels])?,
        }),
        "pixelshuffle" if p.s > 0 => Block::PixelShuffle { factor: p.s },
        "gdfn" => dlgsanet::gated_ffn(&mut b, "", p.dim)?,
        "sparsegsa" if p.heads > 0 && p.tlc_kernel > 0 => {
            dlgsanet::sparse_global_attention(&mut b, "", p.dim, p.heads, p.tlc_kernel)?
        }
        "mhdlsa" => dlgsanet::dynamic_local_attention(&mut b, "", &dlgsanet_preset(weights)?)?,
        "gla" => dlsn::global_learnable_attention(&mut b, "", &dlsn_preset(weights)?)?,
        "sdm" => sdan::star_distillation(&mut b, "", &sdan_preset(weights)?)?,
        "mmlka" => sdan::large_kernel_attention(&mut b, "", &sdan_preset(weights)?)?,
        _ => return Err(weights.error(format!("unknown operator '{op}', or its preset is wrong"))),
    };
    let output = b.push(block, &[Builder::INPUT]);
    b.finish(op.into(), Preset::named(2).swap_remove(0).1, channels, output)
}

fn dlgsanet_preset(weights: &Weights) -> Result<Dlgsanet, Error> {
    let rest = serde_json::json!({"groups": 1, "blocks": 1, "heads": 1, "tlc_kernel": 1});
    match family_preset(weights, "dlgsanet", rest)? {
        Preset::Dlgsanet(p) => Ok(p),
        _ => unreachable!("the family was given"),
    }
}

fn dlsn_preset(weights: &Weights) -> Result<Dlsn, Error> {
    let rest = serde_json::json!({"n_modules": 1, "n_resblocks": 1, "res_scale": 1.0});
    match family_preset(weights, "dlsn", rest)? {
        Preset::Dlsn(p) => Ok(p),
        _ => unreachable!("the family was given"),
    }
}

fn sdan_preset(weights: &Weights) -> Result<Sdan, Error> {
    let rest = serde_json::json!({"blocks": 1, "steps": 1, "distill": 1, "lka": [[1, 1, 1]]});
    match family_preset(weights, "sdan", rest)? {
        Preset::Sdan(p) => Ok(p),
        _ => unreachable!("the family was given"),
    }
}

#[derive(serde::Deserialize)]
struct DynamicFilterPreset {
    window_size: usize,
    group_channels: usize,
}

impl DynamicFilterPreset {
    fn parse(weights: &Weights) -> Result<Self, Error> {
        let p: Self = preset(weights)?;
        if p.window_size % 2 == 1 && p.group_channels > 0 {
            return Ok(p);
        }
        Err(weights.error("its window_size must be odd and its group_channels positive".into()))
    }
}

/// The bare dynamic filter, inside the block that every backend has: the picture and its kernels enter as one tensor, and
/// convolutions that only select channels stand around the filter.
fn raw_dynamic_filter(
    weights: &Weights,
    p: &DynamicFilterPreset,
    channels: usize,
    kernels: usize,
) -> Result<Network, Error> {
    let taps = p.window_size * p.window_size;
    let cin = channels + kernels;
    let filtered = cin.next_multiple_of(p.group_channels);
    let block = Block::DynamicLocalAttention(DynamicLocalAttention {
        project_in: select(cin, filtered, 0),
        reduce: select(filtered, kernels, channels),
        depthwise: DepthwiseConv {
            channels: kernels,
            kernel_h: 1,
            kernel_w: 1,
            dilation: 1,
            weight: vec![1.0; kernels],
            bias: vec![0.0; kernels],
        },
        expand: select(kernels, filtered / p.group_channels * taps, 0),
        window: p.window_size,
        group_channels: p.group_channels,
        project_out: select(filtered, channels, 0),
    });
    let mut b = Builder::new(Source::File(weights), 1);
    let output = b.push(block, &[Builder::INPUT]);
    b.finish("dyndw".into(), Preset::named(2).swap_remove(0).1, cin, output)
}

/// A 1x1 convolution whose output channel i is input channel `first + i`, or 0 where there is none.
fn select(cin: usize, cout: usize, first: usize) -> Conv {
    let mut weight = vec![0.0; cout * cin];
    for i in 0..cout.min(cin - first) {
        weight[i * cin + first + i] = 1.0;
    }
    Conv { cin, cout, kernel: 1, weight, bias: vec![0.0; cout], activation: Activation::None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;

    #[test]
    fn bf16_is_held_to_what_f32_is_where_it_is_that() {
        let cpu = Cpu::new(1).unwrap();
        for (name, preset) in Preset::named(2).into_iter().filter(|(name, _)| *name != "dlsn") {
            let network = Network::random(preset, 2, 1);
            let (input, output) = (Tensor::zeros(network.channels, 8, 8), Tensor::zeros(network.channels, 16, 16));
            let family = network.preset.family().to_owned();
            let golden = Golden { network, family, input, output, beyond_half: None };
            let of = |precision| golden.tolerance(&cpu, precision).unwrap();
            let info = VideoInfo::new(PixelFormat::Rgb, 8, 8, Colour::default()).unwrap();
            let computed = cpu.precision(&golden.network, Precision::Bf16, &info).unwrap();
            assert_eq!(of(Precision::Bf16) == of(Precision::F32), computed == Precision::F32, "{name}");
            assert!(of(Precision::Bf16).max_error >= of(Precision::F32).max_error, "{name}");
        }
    }

    #[test]
    fn a_nan_or_a_missing_value_never_passes() {
        let truth = Tensor::from_vec(1, 1, 3, vec![0.0, 0.5, 1.0]);
        let network = {
            let weights = Weights::parse(Path::new("none"), &empty_file(), "").unwrap();
            let mut b = Builder::new(Source::File(&weights), 1);
            let output = b.push(Block::PixelShuffle { factor: 1 }, &[Builder::INPUT]);
            b.finish("one".into(), Preset::named(2).swap_remove(0).1, 1, output).unwrap()
        };
        let golden =
            Golden { network, family: "op".into(), input: truth.clone(), output: truth.clone(), beyond_half: None };
        let tolerance = Tolerance::of(BackendKind::Reference, Precision::F32, "op");
        assert!(golden.compare(&truth).passes(tolerance));
        let with = |v: f32| Tensor::from_vec(1, 1, 3, vec![0.0, v, 1.0]);
        assert!(golden.compare(&with(0.500_01)).passes(tolerance));
        assert!(!golden.compare(&with(0.500_1)).passes(tolerance));
        assert!(!golden.compare(&with(f32::NAN)).passes(tolerance));
        assert!(!golden.compare(&Tensor::from_vec(1, 1, 2, vec![0.0, 0.5])).passes(tolerance));
    }

    fn empty_file() -> Vec<u8> {
        let header = b"{}      ";
        [&(header.len() as u64).to_le_bytes()[..], header].concat()
    }
}
