//! What can go wrong, each with what to do about it.

use std::path::PathBuf;

/// Every error of the engine. The text is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name is built in, and no such file exists.
    #[error("unknown model '{name}': use one of {known}, or the path of a .safetensors file")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The names that exist, for the message.
        known: String,
    },
    /// The model has no weights for that scale.
    #[error("model '{model}' has no weights for scale {scale}: it has {available}")]
    ScaleUnavailable {
        /// The model's name or path.
        model: String,
        /// What was asked for.
        scale: usize,
        /// The scales that it has, for the message.
        available: String,
    },
    /// A weights file could not be read as a whole.
    #[error("weights file {path}: {reason}")]
    WeightsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// One tensor of a weights file is missing, surplus, or of the wrong shape or type.
    #[error("weights file {path}: tensor '{tensor}' {reason}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame's sides are out of range.
    #[error(
        "a picture of {width}x{height} cannot be made: each side must be from 1 to {limit} pixels; use a smaller input or scale"
    )]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The largest side.
        limit: usize,
    },
    /// A plane of a frame is too small for its format.
    #[error("plane {plane}: {what} is {found}, but at least {needed} is needed; the buffer does not match its caps")]
    Plane {
        /// Number of the plane.
        plane: usize,
        /// Which quantity.
        what: &'static str,
        /// The least that will do.
        needed: usize,
        /// What it is.
        found: usize,
    },
    /// A frame's description is not the one that the upscaler was built for.
    #[error("a frame of {found} came where {expected} was announced; build a new upscaler when the stream changes")]
    FrameMismatch {
        /// What the upscaler was built for.
        expected: String,
        /// What came.
        found: String,
    },
    /// The network would need more memory than there is.
    #[error(
        "not enough memory: {model} on {width}x{height} needs {needed_mib} MiB, {available_mib} MiB are available; use a smaller model or input"
    )]
    Memory {
        /// The model's name.
        model: String,
        /// Input width in pixels.
        width: usize,
        /// Input height in pixels.
        height: usize,
        /// What would be needed.
        needed_mib: usize,
        /// What there is.
        available_mib: usize,
    },
    /// A device has not as much memory as is needed.
    #[error(
        "backend {backend}: {needed_kib} KiB of {kind} memory cannot be had, {available_kib} KiB are free; use a smaller frame or model, or end what else runs there"
    )]
    DeviceMemory {
        /// Which backend.
        backend: &'static str,
        /// `device` or `pinned`.
        kind: &'static str,
        /// What was asked for.
        needed_kib: usize,
        /// What is free on the device.
        available_kib: usize,
    },
    /// The backend cannot be had on this machine, or cannot run this network.
    #[error("backend {backend}: {reason}")]
    Backend {
        /// Which backend.
        backend: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// What is asked for contradicts itself.
    #[error("{reason}")]
    Plan {
        /// What does not fit, and what would.
        reason: String,
    },
    /// A fault of this software.
    #[error("a fault inside srupscale: {text}; please report it")]
    Fault {
        /// What is known of it.
        text: String,
    },
    /// A network gave a value that is not a number: its weights are damaged.
    #[error(
        "model '{model}' produced a value that is not a number; its weights are damaged: convert or download them again"
    )]
    NotANumber {
        /// The model's name.
        model: String,
    },
}
