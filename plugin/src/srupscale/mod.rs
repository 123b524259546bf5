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
    /// Makes video `scale-factor` times as large with a neural network, frame by frame.
    ///
    /// Properties `model`, `scale-factor`, `backend`, `threads`; always pads `sink` and `src`.
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
