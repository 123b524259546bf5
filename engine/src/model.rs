//! Models by name: the built-in weights, plain resampling, or a file.
//!
//! Trained weights are compiled into the library, so that a plugin is one file which always finds them and cannot meet those
//! of another version.

use std::path::Path;
use std::sync::Arc;

use crate::Error;
use crate::frame::Kernel;
use crate::frame::convert::Domain;
use crate::network::{Network, Preset, Weights};

// `BUILTIN: &[(&str, usize, &[u8])]`, written by build.rs: name, scale and bytes of every file in models/.
include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The model that is used where none is named.
pub const DEFAULT: &str = "luma-s";

/// What makes a frame larger.
#[derive(Clone, Debug)]
pub enum Model {
    /// A trained network.
    Network(Arc<Network>),
    /// Plain resampling, the baseline.
    Resample(Kernel),
}

/// Weights that are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltinModel {
    /// The name, `luma-s` for example.
    pub name: &'static str,
    /// 2, 3 or 4.
    pub scale: usize,
}

/// Every trained model that is compiled in, by name and scale.
pub fn builtin() -> Vec<BuiltinModel> {
    BUILTIN.iter().map(|&(name, scale, _)| BuiltinModel { name, scale }).collect()
}

/// The names that [`Model::open`] knows, in order, each once.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = BUILTIN.iter().map(|&(name, ..)| name).collect();
    names.dedup();
    names.extend(["bicubic", "lanczos"]);
    names
}

impl Model {
    /// Opens a model for a scale: a built-in name, `bicubic`, `lanczos`, or the path of a weights file (whatever has a slash
    /// or ends in `.safetensors`).
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::ScaleUnavailable`], or what is wrong with the file.
    pub fn open(name: &str, scale: usize) -> Result<Self, Error> {
        match name {
            "bicubic" => return resample(Kernel::Bicubic, name, scale),
            "lanczos" => return resample(Kernel::Lanczos, name, scale),
            _ => {}
        }
        if name.contains('/') || name.ends_with(".safetensors") {
            let network = Network::load(&Weights::open(Path::new(name))?)?;
            return if network.scale == scale {
                Ok(Self::Network(Arc::new(network)))
            } else {
                Err(Error::ScaleUnavailable { model: name.into(), scale, available: network.scale.to_string() })
            };
        }
        open_builtin(name, scale)
    }

    /// The name, for reports.
    pub fn name(&self) -> &str {
        match self {
            Self::Network(network) => &network.name,
            Self::Resample(Kernel::Bicubic) => "bicubic",
            Self::Resample(Kernel::Lanczos) => "lanczos",
        }
    }

    /// What it sees of a frame.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Network(network) if network.channels == 1 => Domain::Luma,
            Self::Network(_) => Domain::Rgb,
            Self::Resample(kernel) => Domain::Each(*kernel),
        }
    }

    /// Multiply-adds of a frame of that size; 0 for resampling.
    pub fn multiply_adds(&self, height: usize, width: usize) -> f64 {
        match self {
            Self::Network(network) => network.multiply_adds(height, width),
            Self::Resample(_) => 0.0,
        }
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Network(network) => network.parameters,
            Self::Resample(_) => 0,
        }
    }
}

fn resample(kernel: Kernel, name: &str, scale: usize) -> Result<Model, Error> {
    if (2..=4).contains(&scale) {
        return Ok(Model::Resample(kernel));
    }
    Err(Error::ScaleUnavailable { model: name.into(), scale, available: "2, 3, 4".into() })
}

fn open_builtin(name: &str, scale: usize) -> Result<Model, Error> {
    if let Some((_, _, bytes)) = BUILTIN.iter().find(|(n, s, _)| *n == name && *s == scale) {
        let path = format!("built-in {name}-x{scale}");
        let network = Network::load(&Weights::parse(Path::new(&path), bytes, "")?)?;
        return Ok(Model::Network(Arc::new(network)));
    }
    let scales: Vec<_> = BUILTIN.iter().filter(|(n, ..)| *n == name).map(|(_, s, _)| s.to_string()).collect();
    if !scales.is_empty() {
        return Err(Error::ScaleUnavailable { model: name.into(), scale, available: scales.join(", ") });
    }
    let known = names().join(", ");
    if Preset::named(scale).iter().any(|(n, _)| *n == name) {
        let name = format!("{name} (a known network without built-in weights)");
        return Err(Error::UnknownModel { name, known });
    }
    Err(Error::UnknownModel { name: name.into(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_model_loads_and_is_what_its_name_says() {
        for BuiltinModel { name, scale } in builtin() {
            let Model::Network(network) = Model::open(name, scale).unwrap() else { panic!("{name} is a network") };
            assert_eq!((network.name.as_str(), network.scale), (name, scale));
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let text = |name: &str, scale| Model::open(name, scale).unwrap_err().to_string();
        assert!(text("luma-x", 2).contains("unknown model 'luma-x'") && text("luma-x", 2).contains("bicubic"));
        assert!(text("bicubic", 5).contains("2, 3, 4"));
        assert!(text("dlsn", 2).contains("without built-in weights"));
        assert!(text("no/such/file.safetensors", 2).contains("no/such/file.safetensors"));
    }
}
