//! Weights files: safetensors with the family, its parameters and the scale as metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::Preset;
use crate::Error;

/// What a weights file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// Family and parameters.
    pub preset: Preset,
    /// 2, 3 or 4.
    pub scale: usize,
}

/// A tensor of a weights file, widened to f32.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: Vec<f32>,
}

/// A weights file in memory. f16 tensors are widened to f32.
#[derive(Clone, Debug)]
pub struct Weights {
    path: PathBuf,
    metadata: HashMap<String, String>,
    tensors: BTreeMap<String, NamedTensor>,
}

impl Weights {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] if it cannot be read, is truncated or is not safetensors; [`Error::Tensor`] for a tensor of a
    /// type other than f32 and f16, or with a value that is not finite.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|e| Error::WeightsFile { path: path.into(), reason: e.to_string() })?;
        Self::parse(path, &bytes, "")
    }

    /// Reads a file that is in memory; of its tensors only those whose names begin with `prefix`, which is taken off.
    /// `path` is for messages.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn parse(path: &Path, bytes: &[u8], prefix: &str) -> Result<Self, Error> {
        let file = |reason: String| Error::WeightsFile { path: path.into(), reason };
        let broken = |e: safetensors::SafeTensorError| {
            file(format!("is not a whole safetensors file ({e}); download or convert it again"))
        };
        let parsed = SafeTensors::deserialize(bytes).map_err(broken)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let mut tensors = BTreeMap::new();
        for (name, view) in parsed.iter() {
            let Some(name) = name.strip_prefix(prefix) else { continue };
            let tensor = |reason: String| Error::Tensor { path: path.into(), tensor: name.into(), reason };
            let data =
                floats(&view).ok_or_else(|| tensor(format!("has type {:?}, f32 and f16 are read", view.dtype())))?;
            if let Some(at) = data.iter().position(|v| !v.is_finite()) {
                return Err(tensor(format!("has the value {} at place {at}; the file is damaged", data[at])));
            }
            tensors.insert(name.to_owned(), NamedTensor { shape: view.shape().to_vec(), data });
        }
        Ok(Self { path: path.into(), metadata, tensors })
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A metadata field.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// A metadata field that is a number.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] if it is there and is none.
    pub fn number(&self, key: &str) -> Result<Option<f32>, Error> {
        let parse = |text: &str| match text.parse() {
            Ok(number) if f32::is_finite(number) => Ok(number),
            _ => Err(self.error(format!("its {key} is '{text}', it must be a number"))),
        };
        self.field(key).map(parse).transpose()
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.get(name)
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Family, parameters and scale, of the file's metadata. None where it has no `network` field.
    ///
    /// # Errors
    /// [`Error::WeightsFile`] if a field is missing or wrong.
    pub fn metadata(&self) -> Result<Option<Metadata>, Error> {
        let Some(family) = self.field("network") else { return Ok(None) };
        let need = |key: &str| self.field(key).ok_or_else(|| self.error(format!("its metadata lack '{key}'")));
        let preset = Preset::parse(family, need("preset")?).map_err(|e| self.error(e))?;
        let scale = need("scale")?;
        match scale.parse() {
            Ok(scale @ 2..=4) => Ok(Some(Metadata { preset, scale })),
            _ => Err(self.error(format!("its scale is '{scale}', it must be 2, 3 or 4"))),
        }
    }

    /// An error about the file as a whole.
    pub(crate) fn error(&self, reason: String) -> Error {
        Error::WeightsFile { path: self.path.clone(), reason }
    }

    /// An error about one tensor.
    pub(super) fn tensor_error(&self, tensor: &str, reason: String) -> Error {
        Error::Tensor { path: self.path.clone(), tensor: tensor.into(), reason }
    }
}

/// The values of a tensor of type f32 or f16.
pub(crate) fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    match view.dtype() {
        Dtype::F32 => Some(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Some(view.data().as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}
