//! The element `srupscale`.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use srup_engine::BackendKind;

mod imp;
mod settings;

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
    /// **Properties** may be changed in any state. `model`, `backend` and `threads` take effect at the next frame,
    /// `scale-factor` too, with new caps. In READY they cost nothing, while playing the stream waits until the new
    /// network is loaded. What is wrong with them is told when the element goes to PAUSED, or at that frame.
    ///
    /// **Buffers** may have any stride and offset (`VideoMeta`), and a crop rectangle. Downstream's pool is used.
    /// Captions, time codes and the like are copied; regions, bars, crops, overlays are scaled.
    ///
    /// **Time**: one frame in, one frame out, on upstream's thread; no frame is kept. So the latency is that of
    /// upstream; what a frame costs is for a `queue` behind the element to hide.
    pub struct SrUpscale(ObjectSubclass<imp::SrUpscale>)
        @extends gst_base::BaseTransform, gst::Element, gst::Object;
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

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    // Nothing plugs it by itself: who wants larger pictures asks for them.
    gst::Element::register(Some(plugin), "srupscale", gst::Rank::NONE, SrUpscale::static_type())
}
