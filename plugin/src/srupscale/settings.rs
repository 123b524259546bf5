//! The properties: what they are, what they default to, and what they mean for the engine.

use gst::glib;
use gst::prelude::*;
use srup_engine::model::{self, Model};
use srup_engine::scheduler::{Options, ladder};
use srup_engine::{BackendKind, backend};

use super::{Backend, Precision};
use crate::errors::Failure;

/// More threads than any machine has cores: bounds a slip of the finger.
const MAX_THREADS: u32 = 1024;

/// Frames in flight, each with its input and output, take memory: bounds a slip of the finger.
const MAX_IN_FLIGHT: u32 = 64;

/// The highest target, far above any display.
const MAX_FPS: f64 = 1000.0;

/// The values of the properties.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A name or a path.
    pub model: String,
    /// Output size over input size: 2, 3 or 4.
    pub scale_factor: u32,
    /// Where the network runs.
    pub backend: Backend,
    /// Number of the GPU; -1 for the first, or that of the environment.
    pub device: i32,
    /// In which numbers.
    pub precision: Precision,
    /// CPU threads, 0 for all.
    pub threads: u32,
    /// Frames inside at once, 0 for what suits the backend.
    pub max_in_flight: u32,
    /// Frames a second to hold; 0 none, -1 the stream's own.
    pub target_fps: f64,
    /// Names of models, best first, with commas between; empty for what is below the model.
    pub ladder: String,
    /// Whether unchanged parts are taken from the frame before.
    pub reuse: bool,
    /// Whether frames are dropped that downstream would drop.
    pub qos: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: model::DEFAULT.into(),
            scale_factor: 2,
            backend: Backend::Auto,
            device: -1,
            precision: Precision::Auto,
            threads: 0,
            max_in_flight: 0,
            target_fps: 0.0,
            ladder: String::new(),
            reuse: true,
            qos: true,
        }
    }
}

impl Settings {
    /// Opens models and backend once, so that a wrong setting is told before the first frame.
    pub fn check(&self) -> Result<(), Failure> {
        self.models(None)?;
        backend::open_on(self.backend_kind(), self.threads as usize, self.device_number())?;
        Ok(())
    }

    /// The target in frames a second, for a stream of that rate.
    pub fn target(&self, rate: Option<f64>) -> Option<f64> {
        if self.target_fps < 0.0 { rate } else { Some(self.target_fps).filter(|&target| target > 0.0) }
    }

    /// Whether everything but the target rate and quality of service is the same.
    pub fn differ_in_pace_only(&self, other: &Self) -> bool {
        Self { target_fps: other.target_fps, qos: other.qos, ..self.clone() } == *other
    }

    /// What the engine is asked for, for a stream of that rate.
    pub fn options(&self, rate: Option<f64>, live: bool) -> Result<Options, Failure> {
        let target = self.target(rate);
        let options = Options::new(self.models(target)?, self.scale_factor as usize);
        Ok(Options {
            backend: self.backend_kind(),
            device: self.device_number(),
            precision: self.precision.into(),
            threads: self.threads as usize,
            window: self.max_in_flight as usize,
            target,
            live,
            reuse: self.reuse,
            ..options
        })
    }

    /// The ladder; without a target the model alone, but names that cannot be had are told all the same.
    fn models(&self, target: Option<f64>) -> Result<Vec<Model>, Failure> {
        let scale = self.scale_factor as usize;
        let names: Vec<&str> = self.ladder.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let named = if names.is_empty() { None } else { Some(ladder::named(&names, scale)?) };
        match (target, named) {
            (Some(_), Some(ladder)) => Ok(ladder),
            (Some(_), None) => Ok(ladder::below(Model::open(&self.model, scale)?, scale)?),
            (None, _) => Ok(vec![Model::open(&self.model, scale)?]),
        }
    }

    fn backend_kind(&self) -> BackendKind {
        self.backend.into()
    }

    fn device_number(&self) -> Option<usize> {
        self.device.try_into().ok()
    }

    /// Sets a property.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Result<(), glib::value::ValueTypeMismatchError> {
        let text = || value.get::<Option<String>>().map(Option::unwrap_or_default);
        match name {
            "model" => self.model = Some(text()?).filter(|t| !t.is_empty()).unwrap_or_else(|| model::DEFAULT.into()),
            "scale-factor" => self.scale_factor = value.get()?,
            "backend" => self.backend = value.get()?,
            "device" => self.device = value.get()?,
            "precision" => self.precision = value.get()?,
            "threads" => self.threads = value.get()?,
            "max-in-flight" => self.max_in_flight = value.get()?,
            "target-fps" => self.target_fps = value.get()?,
            "ladder" => self.ladder = text()?,
            "reuse" => self.reuse = value.get()?,
            "qos" => self.qos = value.get()?,
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
            "device" => self.device.to_value(),
            "precision" => self.precision.to_value(),
            "max-in-flight" => self.max_in_flight.to_value(),
            "target-fps" => self.target_fps.to_value(),
            "ladder" => self.ladder.to_value(),
            "reuse" => self.reuse.to_value(),
            "qos" => self.qos.to_value(),
            "threads" => self.threads.to_value(),
            _ => unreachable!("GObject asks only for properties that were declared"),
        }
    }
}

/// The declarations, with texts that `gst-inspect-1.0` shows.
pub fn properties() -> Vec<glib::ParamSpec> {
    let mut all = picture();
    all.extend(machine());
    all.extend(pace());
    all
}

/// What the picture depends on.
fn picture() -> Vec<glib::ParamSpec> {
    let model_blurb = format!(
        "Network that makes the picture: one of {}, or the path of a .safetensors file. bicubic and lanczos are plain \
         resampling. With target-fps, the best that may be taken. A change takes effect at the next frame",
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
        glib::ParamSpecEnum::builder_with_default("precision", Precision::Auto)
            .nick("Precision")
            .blurb(
                "Numbers to compute in. auto takes the fastest of the backend that costs no visible quality: f16 on the \
                 cuda backend; on the cpu backend, for video of 8 bits, int8 or bf16 where the network's weights file says \
                 that it loses at most 0.05 dB, else f32. f32, bf16 and int8 need the cpu backend, f16 the cuda backend; int8 of \
                 a luma network needs calibrated weights. stats tells what was taken. A change takes effect at the next frame",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("reuse")
            .nick("Reuse")
            .blurb(
                "Copy what has not changed since the previous frame from its result, bit for bit, so that held frames cost \
                 next to nothing; with luma-s, luma-m, bicubic and lanczos also unchanged parts of a frame, as bars and \
                 screens have. Keeps one of upstream's buffers",
            )
            .default_value(true)
            .mutable_playing()
            .build(),
    ]
}

/// Where the work is done.
fn machine() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecEnum::builder_with_default("backend", Backend::Auto)
            .nick("Backend")
            .blurb(
                "Where the network runs. auto uses the CPU if there is no NVIDIA GPU that can run it, which may be too slow \
                 for real time; cuda is an error where there is no NVIDIA GPU. A change takes effect at the next frame",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecInt::builder("device")
            .nick("Device")
            .blurb(
                "Number of the NVIDIA GPU; -1 takes the one that the environment variable SRUP_CUDA_DEVICE names, else \
                 the first. A change takes effect at the next frame",
            )
            .minimum(-1)
            .maximum(63)
            .default_value(-1)
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

/// When frames leave.
fn pace() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecDouble::builder("target-fps")
            .nick("Target frame rate")
            .blurb(
                "Frames a second to hold, by taking for each frame the best network of the ladder that fits: 0 for none, \
                 always model; -1 for the rate of the stream. A live frame that would still be late is made by bicubic. A \
                 change takes effect at the next frame, and holds nothing up unless it is from or to 0",
            )
            .minimum(-1.0)
            .maximum(MAX_FPS)
            .default_value(0.0)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("ladder")
            .nick("Ladder")
            .blurb(
                "Models that target-fps may take, best first, separated by commas: luma-m,luma-s for example. bicubic is \
                 always the last. Empty: model, then built-in networks, each at less than half the cost of the one before \
                 and better than every cheaper one",
            )
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("max-in-flight")
            .nick("Frames in flight")
            .blurb(
                "How many frames may be in work at once. A live pipeline reports as many frames of latency, and more where \
                 a frame takes longer than the frame interval and there is no target. 0 chooses: live, 2 on the CPU and 3 on \
                 a GPU, else a few more than are computed at once. 1 puts all threads on one frame",
            )
            .minimum(0)
            .maximum(MAX_IN_FLIGHT)
            .default_value(0)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("qos")
            .nick("Quality of service")
            .blurb(
                "Drop frames that would come too late downstream before computing them, with a qos message for each. \
                 Without target-fps, a live stream that cannot be kept up with drops frames, too",
            )
            .default_value(true)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "What has been done since the element started: engine (models, the numbers that each is computed in, \
                 where), model in use, frames, late, bicubic (for a deadline's sake), dropped, switches, probes (of a \
                 better model, between frames), reused (part of the picture, 0 to 1), fps, latency (from a frame's coming \
                 to its leaving, mean of the last second, in nanoseconds), and models (frames by model)",
            )
            .read_only()
            .build(),
    ]
}
