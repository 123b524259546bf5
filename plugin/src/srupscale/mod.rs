//! The element `srupscale`.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use srup_engine::BackendKind;

mod imp;
mod input;
mod output;
mod pace;
mod quality;
mod queue;
mod session;
mod settings;
mod told;

pub(crate) use told::META;

/// The element's debug category: `GST_DEBUG=srupscale:6`.
pub(crate) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("srupscale", gst::DebugColorFlags::empty(), Some("Super-resolution upscaler"))
});

glib::wrapper! {
    /// Makes video `scale-factor` times as large with a neural network, frame by frame, in order.
    ///
    /// ```text
    /// gst-launch-1.0 filesrc location=in.mp4 ! decodebin ! videoconvert ! srupscale model=luma-s ! autovideosink
    /// ```
    ///
    /// **Caps**: format, frame rate, pixel aspect ratio, colorimetry, chroma site, HDR fields and all others go out as
    /// they came in; only width and height change, up to 16384. Interlaced video is refused when linked. Where caps
    /// name no colours and their default would change with the size, what the input meant is named.
    ///
    /// **Properties** may be changed in any state; what they change takes effect at the next frame, with new caps if the
    /// size changes. In READY they cost nothing, while playing the stream waits until the new network is loaded; for
    /// `target-fps`, unless from or to 0, and `qos` it does not wait. What is wrong with them is told when the element goes
    /// to PAUSED, or at that frame.
    ///
    /// **Frames in flight** are computed side by side and leave in order, each as soon as it is done, on a thread of the
    /// source pad; events keep their place among them. When live, `max-in-flight` frames of latency are reported; where
    /// they take longer than they are apart and there is no target, more of it as soon as that is measured.
    ///
    /// **`target-fps`** holds a frame rate: for each frame the best network of the ladder is taken that is in time by what
    /// was measured; a live frame that would be late all the same leaves bicubic. Every change posts an element message
    /// `srupscale-model` (`model`, `previous`, `reason`, `running-time`).
    ///
    /// **Buffers** may have any stride and offset (`VideoMeta`), and a crop rectangle. Downstream's pool is used if it has
    /// enough buffers. Captions, time codes and the like are copied; regions, bars, crops, overlays are scaled. Each buffer
    /// gets a custom meta `SrUpscaleMeta`: `model`, `time` that it took (in ns), part `reused`, `late`, `bicubic`.
    ///
    /// **Nothing is lost**, but with `qos` what downstream would throw away.
    pub struct SrUpscale(ObjectSubclass<imp::SrUpscale>)
        @extends gst::Element, gst::Object;
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstSrUpscaleBackend")]
#[repr(i32)]
pub enum Backend {
    /// An NVIDIA GPU where a usable one is found, else the CPU.
    #[default]
    #[enum_value(name = "NVIDIA GPU where a usable one is found, else the CPU", nick = "auto")]
    Auto = 0,
    /// The CPU.
    #[enum_value(name = "CPU, with the best instruction set that it has", nick = "cpu")]
    Cpu = 1,
    /// An NVIDIA GPU; an error where there is none.
    #[enum_value(name = "NVIDIA GPU; an error where there is none", nick = "cuda")]
    Cuda = 2,
}

impl From<Backend> for BackendKind {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Cpu => Self::Cpu,
            Backend::Cuda => Self::Cuda,
        }
    }
}

/// In which numbers networks are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstSrUpscalePrecision")]
#[repr(i32)]
pub enum Precision {
    /// The fastest that costs no visible quality.
    #[default]
    #[enum_value(
        name = "The fastest that costs no visible quality: f16 on a GPU; int8, bf16 or f32 on the CPU",
        nick = "auto"
    )]
    Auto = 0,
    /// 32-bit floats.
    #[enum_value(name = "32-bit floats; on the CPU", nick = "f32")]
    F32 = 1,
    /// 16-bit floats.
    #[enum_value(name = "16-bit floats; on a GPU", nick = "f16")]
    F16 = 2,
    /// Floats of at least 8 bits of precision.
    #[enum_value(
        name = "At least as exact as bfloat16; the CPU takes it where that is faster, else f32",
        nick = "bf16"
    )]
    Bf16 = 3,
    /// Small integers.
    #[enum_value(
        name = "Small integers on the CPU: luma networks, about 0.02 dB less; 1x1 convolutions of others; else f32",
        nick = "int8"
    )]
    Int8 = 4,
}

impl From<Precision> for srup_engine::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Auto => Self::Auto,
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
            Precision::Bf16 => Self::Bf16,
            Precision::Int8 => Self::Int8,
        }
    }
}

/// A lock whose holder panicked guards nothing half-done: what the panic touched has been thrown away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // Nothing plugs it by itself: who wants larger pictures asks for them.
    gst::Element::register(Some(plugin), "srupscale", gst::Rank::NONE, SrUpscale::static_type())
}
