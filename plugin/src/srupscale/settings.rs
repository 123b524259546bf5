//! The properties: what they are, what they default to, and what they mean for the engine.

use gst::glib;
use gst::prelude::*;
use srup_engine::{backend, model};

use super::Backend;
use crate::errors::Failure;

/// More threads than any machine has cores: bounds a slip of the finger.
const MAX_THREADS: u32 = 1024;

/// The values of the properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A name or a path.
    pub model: String,
    /// Output size over input size: 2, 3 or 4.
    pub scale_factor: u32,
    /// Where the network runs.
    pub backend: Backend,
    /// CPU threads, 0 for all.
    pub threads: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { model: model::DEFAULT.into(), scale_factor: 2, backend: Backend::Auto, threads: 0 }
    }
}

impl Settings {
    /// Opens model and backend once, so that a wrong setting is told before the first frame.
    pub fn check(&self) -> Result<(), Failure> {
        model::Model::open(&self.model, self.scale_factor as usize)?;
        backend::open(self.backend.into(), self.threads as usize)?;
        Ok(())
    }

    /// What the engine is asked for.
    pub fn builder(&self) -> srup_engine::Builder {
        srup_engine::Upscaler::builder()
            .model(&self.model)
            .scale(self.scale_factor as usize)
            .backend(self.backend.into())
            .threads(self.threads as usize)
    }

    /// Sets a property.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<(), glib::value::ValueTypeMismatchError> {
        match name {
            "model" => {
                let text = value.get::<Option<String>>().unwrap_or_default();
                self.model = text.filter(|text| !text.is_empty()).unwrap_or_else(|| model::DEFAULT.into());
            }
            "scale-factor" => self.scale_factor = value.get()?,
            "backend" => self.backend = value.get()?,
            "threads" => self.threads = value.get()?,
            // GObject asks only for properties that were declared.
            _ => {}
        }
        Ok(())
    }

    /// Reads a property.
    pub fn get(&self, name: &str) -> glib::Value {
        match name {
            "model" => self.model.to_value(),
            "scale-factor" => self.scale_factor.to_value(),
            "backend" => self.backend.to_value(),
            _ => self.threads.to_value(),
        }
    }
}

/// The declarations, with texts that `gst-inspect-1.0` shows.
pub fn properties() -> Vec<glib::ParamSpec> {
    let model_blurb = format!(
        "Network that makes the picture: one of {}, or the path of a .safetensors file. \
         bicubic and lanczos are plain resampling. A change takes effect at the next frame",
        model::names().join(", ")
    );
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb(&model_blurb)
            .default_value(model::DEFAULT)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("scale-factor")
            .nick("Scale factor")
            .blurb(
                "Output width and height over those of the input, the larger the slower: 2, 3 or 4, as far as the model \
                 has weights for it. A change takes effect at the next frame, with new caps downstream",
            )
            .minimum(2)
            .maximum(4)
            .default_value(2)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("backend", Backend::Auto)
            .nick("Backend")
            .blurb(
                "Where the network runs. auto never fails for want of a GPU but may be slower than the video; cuda is an \
                 error where there is no NVIDIA GPU. A change takes effect at the next frame",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb(
                "CPU threads of the cpu backend; 0 takes as many as the process may use. Fewer leave room for a decoder \
                 and an encoder; the picture does not depend on it. A change takes effect at the next frame",
            )
            .minimum(0)
            .maximum(MAX_THREADS)
            .default_value(0)
            .mutable_playing()
            .build(),
    ]
}
