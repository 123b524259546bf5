//! The parameters of each family, and the presets that have names.

use serde::{Deserialize, Serialize};

/// Luma networks: a chain of 3x3 convolutions on Y.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Luma {
    /// Channels of every layer.
    pub width: usize,
    /// Layers between head and tail.
    pub depth: usize,
    /// Whether the head's output is added after the last layer.
    pub head_skip: bool,
}

/// One channel group of SDAN's large-kernel attention, written `[square, strip, dilation]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[usize; 3]", into = "[usize; 3]")]
pub struct LargeKernel {
    /// Side of the square kernel, odd.
    pub square: usize,
    /// Taps of the two strips, odd.
    pub strip: usize,
    /// Pixels from tap to tap of the strips.
    pub dilation: usize,
}

impl From<[usize; 3]> for LargeKernel {
    fn from([square, strip, dilation]: [usize; 3]) -> Self {
        Self { square, strip, dilation }
    }
}

impl From<LargeKernel> for [usize; 3] {
    fn from(k: LargeKernel) -> Self {
        [k.square, k.strip, k.dilation]
    }
}

/// SDAN (arXiv 2506.12475): star distillation and multi-shape large-kernel attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sdan {
    /// Channels.
    pub dim: usize,
    /// Residual modules.
    pub blocks: usize,
    /// Star steps of a module.
    pub steps: usize,
    /// Channels that a step sets aside.
    pub distill: usize,
    /// One entry a channel group.
    pub lka: Vec<LargeKernel>,
}

/// DLGSANet: dynamic local and sparse global self-attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dlgsanet {
    /// Channels.
    pub dim: usize,
    /// Residual groups.
    pub groups: usize,
    /// Pairs of a local and a global layer in a group.
    pub blocks: usize,
    /// Side of the dynamic kernel, odd.
    pub window_size: usize,
    /// Consecutive channels that share a dynamic kernel.
    pub group_channels: usize,
    /// Heads of the global attention.
    pub heads: usize,
    /// Side of the global attention's windows, in pixels.
    pub tlc_kernel: usize,
}

/// DLSN: residual blocks and global learnable attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dlsn {
    /// Channels.
    pub n_feats: usize,
    /// Modules.
    pub n_modules: usize,
    /// Residual blocks of a module.
    pub n_resblocks: usize,
    /// Channels over the channels of queries and keys.
    pub reduction: usize,
    /// Tokens of an attention chunk, 256 at the most.
    pub chunk_size: usize,
    /// Rounds of hashing.
    pub n_hashes: usize,
    /// Factor of a module's output.
    pub res_scale: f32,
}

/// A family of networks with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Preset {
    /// See [`Luma`].
    Luma(Luma),
    /// See [`Sdan`].
    Sdan(Sdan),
    /// See [`Dlgsanet`].
    Dlgsanet(Dlgsanet),
    /// See [`Dlsn`].
    Dlsn(Dlsn),
}

/// Sides and counts beyond this are damage, not design; it keeps sizes far from overflow.
const LIMIT: usize = 4096;
/// The farthest that a dilated strip may look, in pixels.
const MAX_REACH: usize = 64;

impl Preset {
    /// The name in a weights file's `network` field.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Luma(_) => "luma",
            Self::Sdan(_) => "sdan",
            Self::Dlgsanet(_) => "dlgsanet",
            Self::Dlsn(_) => "dlsn",
        }
    }

    /// Reads the parameters of a family.
    ///
    /// # Errors
    /// A text that says which family or parameter is wrong.
    pub fn parse(family: &str, json: &str) -> Result<Self, String> {
        let bad = |e: serde_json::Error| format!("its preset for '{family}' is wrong: {e}");
        let preset = match family {
            "luma" => Self::Luma(serde_json::from_str(json).map_err(bad)?),
            "sdan" => Self::Sdan(serde_json::from_str(json).map_err(bad)?),
            "dlgsanet" => Self::Dlgsanet(serde_json::from_str(json).map_err(bad)?),
            "dlsn" => Self::Dlsn(serde_json::from_str(json).map_err(bad)?),
            _ => return Err(format!("unknown network '{family}': use luma, sdan, dlgsanet or dlsn")),
        };
        preset.check().map_err(|e| format!("its preset for '{family}' is wrong: {e}"))?;
        Ok(preset)
    }

    /// The presets that have names, for that scale.
    pub fn named(scale: usize) -> Vec<(&'static str, Self)> {
        let luma = |width, depth, head_skip| Self::Luma(Luma { width, depth, head_skip });
        let sdan = |blocks| {
            let lka = [[3, 5, 1], [5, 7, 2], [7, 9, 3]].map(LargeKernel::from).to_vec();
            Self::Sdan(Sdan { dim: 48, blocks, steps: 2, distill: 16, lka })
        };
        let dlgsanet = |groups| {
            let tlc_kernel = match scale {
                2 => 96,
                3 => 72,
                _ => 48,
            };
            Self::Dlgsanet(Dlgsanet {
                dim: 48,
                groups,
                blocks: 3,
                window_size: 7,
                group_channels: 6,
                heads: 6,
                tlc_kernel,
            })
        };
        let dlsn = |n_feats, n_modules, n_resblocks, reduction, n_hashes, res_scale| {
            let chunk_size = 128;
            Self::Dlsn(Dlsn { n_feats, n_modules, n_resblocks, reduction, chunk_size, n_hashes, res_scale })
        };
        vec![
            ("luma-s", luma(16, 3, false)),
            ("luma-m", luma(32, 5, true)),
            ("luma-l", luma(48, 8, true)),
            ("sdan-small", sdan(2)),
            ("sdan", sdan(9)),
            ("dlgsanet-tiny", dlgsanet(3)),
            ("dlgsanet-light", dlgsanet(4)),
            ("dlsn-light", dlsn(48, 3, 3, 3, 2, 1.0)),
            ("dlsn", dlsn(256, 10, 4, 4, 3, 0.1)),
        ]
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Luma(p) => counts(&[("width", p.width), ("depth", p.depth)]),
            Self::Sdan(p) => p.check(),
            Self::Dlgsanet(p) => p.check(),
            Self::Dlsn(p) => p.check(),
        }
    }
}

fn counts(values: &[(&str, usize)]) -> Result<(), String> {
    match values.iter().find(|(_, v)| *v == 0 || *v > LIMIT) {
        Some((name, v)) => Err(format!("{name} is {v}, it must be from 1 to {LIMIT}")),
        None => Ok(()),
    }
}

fn divides(name: &str, value: usize, dim_name: &str, dim: usize) -> Result<(), String> {
    if dim.is_multiple_of(value) { Ok(()) } else { Err(format!("{name} {value} does not divide {dim_name} {dim}")) }
}

fn odd(name: &str, value: usize) -> Result<(), String> {
    if value % 2 == 1 { Ok(()) } else { Err(format!("{name} is {value}, it must be odd")) }
}

impl Sdan {
    fn check(&self) -> Result<(), String> {
        counts(&[
            ("dim", self.dim),
            ("blocks", self.blocks),
            ("steps", self.steps),
            ("distill", self.distill),
            ("the number of lka groups", self.lka.len()),
        ])?;
        divides("the number of lka groups", self.lka.len(), "dim", self.dim)?;
        for k in &self.lka {
            counts(&[("lka square", k.square), ("lka strip", k.strip), ("lka dilation", k.dilation)])?;
            odd("lka square", k.square)?;
            odd("lka strip", k.strip)?;
            let reach = (k.square / 2).max(k.dilation * (k.strip / 2));
            if reach > MAX_REACH {
                return Err(format!("an lka group looks {reach} pixels far, {MAX_REACH} are allowed"));
            }
        }
        Ok(())
    }
}

impl Dlgsanet {
    fn check(&self) -> Result<(), String> {
        counts(&[
            ("dim", self.dim),
            ("groups", self.groups),
            ("blocks", self.blocks),
            ("group_channels", self.group_channels),
            ("heads", self.heads),
            ("tlc_kernel", self.tlc_kernel),
            ("a quarter of dim", self.dim / 4),
        ])?;
        odd("window_size", self.window_size)?;
        if self.window_size / 2 > MAX_REACH {
            return Err(format!("window_size is {}, {} is allowed", self.window_size, 2 * MAX_REACH + 1));
        }
        divides("group_channels", self.group_channels, "dim", self.dim)?;
        divides("heads", self.heads, "dim", self.dim)
    }
}

impl Dlsn {
    fn check(&self) -> Result<(), String> {
        counts(&[
            ("n_feats", self.n_feats),
            ("n_modules", self.n_modules),
            ("n_resblocks", self.n_resblocks),
            ("reduction", self.reduction),
            ("chunk_size", self.chunk_size),
            ("n_hashes", self.n_hashes),
        ])?;
        // The smallest frame, extended to 16x16, has to fill a chunk.
        if self.chunk_size > 256 {
            return Err(format!("chunk_size is {}, 256 is the most", self.chunk_size));
        }
        if !self.res_scale.is_finite() {
            return Err(format!("res_scale is {}", self.res_scale));
        }
        divides("reduction", self.reduction, "n_feats", self.n_feats)
    }
}
